//! What honest clients don't do: speak before the greeting, send ahead where a reply must be waited for, ask for one mailbox after the
//! other until one is there.

use std::io;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{CHUNK, Connection};
use crate::observe::metrics::label::Abuse;
use crate::smtp::reply::{self, Reply};
use crate::smtp::session;

impl Connection {
    /// The client has done what no honest one does.
    pub(super) fn note_abuse(&self, abuse: Abuse) {
        self.lasting.abuses.note(abuse, self.inquiry.client(), self.metrics());
    }

    /// Waits before the greeting, and notes who speaks meanwhile (RFC 5321 §3.1: a client waits for it). False where the client has left.
    pub(super) async fn pause_before_greeting(&mut self) -> io::Result<bool> {
        let pause = self.generation.greet_pause;
        if pause.is_zero() || self.inquiry.is_trusted() {
            return Ok(true);
        }
        let ends = Instant::now() + pause;
        // what came behind a PROXY header came too early, too
        let spoke = if self.input.is_empty() { self.speaks_before(ends).await? } else { Some(true) };
        let Some(early) = spoke else { return Ok(false) };
        if early {
            self.note_abuse(Abuse::EarlyTalk);
            self.inquiry.talked_early();
            // who does not wait gets nothing sooner by it
            tokio::select! {
                () = self.presence.going() => {}
                () = sleep_until(ends) => {}
            }
        }
        Ok(true)
    }

    /// Whether the client says something until then; `None` where it leaves.
    async fn speaks_before(&mut self, ends: Instant) -> io::Result<Option<bool>> {
        let Connection { wire: Some(wire), input, presence, .. } = self else { return Ok(None) };
        let octets = async {
            wire.readable().await?;
            input.reserve(CHUNK);
            wire.read(input).await
        };
        tokio::select! {
            () = presence.going() => Ok(Some(false)),
            read = timeout_at(ends, octets) => match read {
                Err(_) => Ok(Some(false)),
                Ok(Ok(0)) => Ok(None),
                Ok(Ok(_)) => Ok(Some(true)),
                Ok(Err(error)) => Err(error),
            },
        }
    }

    /// Whether the client has sent something behind a command whose reply it had to wait for (RFC 2920 §3.1).
    pub(super) fn was_sent_ahead(&self) -> bool {
        self.start < self.input.len() && !self.inquiry.is_trusted()
    }

    /// Ends the session of a client that sent ahead: what it sent may be another's dialog, read as ours.
    pub(super) async fn refuse_sent_ahead(&mut self) -> io::Result<()> {
        self.note_abuse(Abuse::Pipelining);
        self.reply(reply::sent_ahead());
        self.flush().await
    }

    /// A recipient who is nobody here was asked for: the reply, after a while where there were many, or the end of the session.
    pub(super) async fn answer_about_nobody(&mut self, answer: Reply) -> Reply {
        let generation = &self.generation;
        let (client, budget) = (self.inquiry.client(), generation.unknown_recipients);
        if generation.has_no_budget(client) {
            return answer;
        }
        self.unknown_recipients = self.unknown_recipients.saturating_add(1);
        let network_is_over = generation.harvest.note(client, Instant::now());
        if self.unknown_recipients > budget || network_is_over {
            self.note_abuse(Abuse::Harvest);
            return self.inquiry.refused_for_good(reply::too_many_unknown());
        }
        if self.unknown_recipients > budget / 2 {
            let ends = Instant::now() + generation.tarpit;
            if self.start >= self.input.len() {
                // a timer is all that waits
                (self.input, self.start) = (Vec::new(), 0);
            }
            tokio::select! {
                () = self.presence.going() => {}
                () = sleep_until(ends) => {}
            }
        }
        answer
    }

    /// The session ends because of its mistakes: they count against the budget of its network, so that nobody begins anew by connecting
    /// again.
    pub(super) fn count_errors(&self) {
        self.note_abuse(Abuse::Errors);
        let client = self.inquiry.client();
        if !self.generation.has_no_budget(client) {
            self.generation.harvest.blundered(client, Instant::now());
        }
    }

    /// Counts what the session found to be no SMTP.
    pub(super) fn count_abuse(&self, abuse: session::Abuse) {
        self.note_abuse(match abuse {
            session::Abuse::Http => Abuse::Http,
            session::Abuse::Tls => Abuse::Tls,
            session::Abuse::ProxyHeader => Abuse::ProxyHeader,
            session::Abuse::BareLf => Abuse::BareLf,
            session::Abuse::EndlessLine => Abuse::EndlessLine,
        });
    }
}
