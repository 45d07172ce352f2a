//! One connection: octets to the session, its questions to the inquiry, the answers back; every wait has a deadline.

mod conduct;
mod introduced;
mod manners;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::observe::metrics::Metrics;
use crate::observe::metrics::label::{Abuse, HandshakeOutcome, SessionTls, Verb};
use crate::receive::{Inquiry, Receiver};
use crate::smtp::reply::{self, Reply};
use crate::smtp::session::{Capabilities, Notice, Question, Session, Step};

use super::certificates::Certificates;
use super::generation::Lasting;
use super::harvest::Harvest;
use super::patience::{Patience, Waits};
use super::permits::Permit;
use super::shutdown::Presence;
use super::wire::Wire;
use conduct::{Asked, Conduct};
use introduced::{introduce, session_for};

/// Octets that are read at once, a record of TLS: a session that spools holds this and few parts of its message.
const CHUNK: usize = 16 * 1024;
/// Replies are sent at the latest when so many octets wait, however much the client pipelines.
const REPLIES: usize = 16 * 1024;

/// What the sessions of one configuration share.
#[derive(Clone)]
pub(super) struct Generation {
    pub receiver: Arc<Receiver>,
    pub capabilities: Arc<Capabilities>,
    pub certificates: Option<Arc<Certificates>>,
    /// How long a client may say nothing, and how slow its messages may come.
    pub waits: Waits,
    /// How long a session may be.
    pub session: Duration,
    /// Whose connections begin with a PROXY header.
    pub proxy_from: Vec<IpNet>,
    /// Who may say XCLIENT.
    pub xclient_from: Vec<IpNet>,
    /// How long the greeting waits.
    pub greet_pause: Duration,
    /// Unknown recipients of a session.
    pub unknown_recipients: u32,
    /// How long the reply about one waits where there were many.
    pub tarpit: Duration,
    /// Unknown recipients of each network; outlives a reload.
    pub harvest: Arc<Harvest>,
}

/// Serves a client to the end of its session, for which it holds its permit. A panic ends this session and no other.
pub(super) async fn serve(
    mut stream: TcpStream,
    mut client: SocketAddr,
    generation: Arc<Generation>,
    presence: Presence,
    mut permit: Permit,
    lasting: Arc<Lasting>,
) {
    let metrics = &lasting.metrics;
    let mut ahead = Vec::new();
    if generation.is_proxy(client.ip()) {
        match Box::pin(introduce(&mut stream, client, &generation, &mut permit, &lasting)).await {
            Ok(introduced) => (client, ahead) = introduced,
            Err(denied) => {
                if let Some((client, denied)) = denied {
                    lasting.turned_away.refuse(stream, client, denied, &generation.receiver);
                }
                return metrics.connection_closed(SessionTls::Clear);
            }
        }
    }
    let mut connection = Connection::new(stream, client, generation, presence, permit, Arc::clone(&lasting));
    connection.input = ahead;
    let ended = AssertUnwindSafe(connection.run()).catch_unwind().await;
    let tls = connection.tls;
    match ended {
        Ok(Ok(())) => connection.leave().await,
        Ok(Err(error)) => {
            tracing::debug!(client = %client.ip(), %error, "the connection was lost");
            connection.inquiry.end_transaction();
        }
        Err(_) => {
            tracing::error!(client = %client.ip(), "a session panicked and was ended; please report this");
            metrics.panic();
        }
    }
    metrics.connection_closed(tls);
}

struct Connection {
    generation: Arc<Generation>,
    lasting: Arc<Lasting>,
    presence: Presence,
    permit: Permit,
    /// Who has the connection, whoever it speaks for by XCLIENT.
    host: IpAddr,
    /// `None` only while hands are shaken.
    wire: Option<Wire>,
    session: Session,
    inquiry: Inquiry,
    /// What was read and not yet consumed begins at `start`.
    input: Vec<u8>,
    start: usize,
    replies: Vec<u8>,
    /// The command that the next reply answers, for the metrics.
    verb: Verb,
    /// When the session has lasted long enough.
    ends: Instant,
    tls: SessionTls,
    patience: Patience,
    conduct: Conduct,
    /// Recipients who are nobody here, since a message was taken.
    unknown_recipients: u32,
}

/// What came of waiting for input.
enum Input {
    More,
    End,
    /// Nothing came in time.
    Silence,
    /// The session has lasted long enough.
    Length,
    /// Its message comes too slowly, and others wait.
    Slowness,
    /// The server is going, and no transaction is under way.
    Going,
}

impl Connection {
    fn new(
        stream: TcpStream,
        client: SocketAddr,
        generation: Arc<Generation>,
        presence: Presence,
        permit: Permit,
        lasting: Arc<Lasting>,
    ) -> Self {
        let is_preferred = lasting.prefers(client.ip(), &generation.receiver);
        Connection {
            patience: Patience::new(generation.waits, lasting.permits.stress(), is_preferred)
                .with(client.ip())
                .of_our_own(generation.receiver.trusts(client.ip())),
            permit,
            host: client.ip(),
            conduct: Conduct::of(client.ip()),
            presence,
            wire: Some(Wire::Clear(stream)),
            session: session_for(client.ip(), &generation),
            inquiry: Inquiry::connect(Arc::clone(&generation.receiver), client),
            input: Vec::new(),
            start: 0,
            replies: Vec::new(),
            verb: Verb::Connection,
            ends: Instant::now() + generation.session,
            tls: SessionTls::Clear,
            unknown_recipients: 0,
            generation,
            lasting,
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.generation.receiver.metrics
    }

    /// Greets, then goes on until one side ends it. `Ok` means that the goodbye was said.
    async fn run(&mut self) -> io::Result<()> {
        if !Box::pin(self.pause_before_greeting()).await? {
            return Ok(());
        }
        self.reply(reply::greeting(&self.generation.capabilities.hostname));
        loop {
            let of_message = self.session.in_data();
            let (taken, step) = self.session.next(self.input.get(self.start..).unwrap_or_default());
            if !of_message && let Some(verb) = verb_of(self.input.get(self.start..).unwrap_or_default(), taken) {
                self.verb = verb;
            }
            self.start += taken;
            match step {
                Step::Content(octets) => self.inquiry.content(octets),
                Step::Reply(reply) => {
                    self.reply(reply);
                    if self.replies.len() > REPLIES {
                        self.flush().await?;
                    }
                }
                Step::Notice(Notice::Helo { .. }) | Step::Ask(Question::Data) if self.was_sent_ahead() => {
                    return self.refuse_sent_ahead().await;
                }
                Step::Notice(Notice::Helo { name, extended, .. }) => {
                    self.patience.heard_name();
                    self.inquiry.helo(&name, extended);
                }
                Step::Notice(Notice::Introduced(introduced)) => {
                    if !Box::pin(self.introduce_client(introduced)).await? {
                        return Ok(());
                    }
                }
                Step::Notice(Notice::Abuse(abuse)) => self.count_abuse(abuse),
                Step::Notice(Notice::Chunk { .. }) => self.patience.went_on(),
                Step::Notice(Notice::Abandoned) => {
                    self.patience.ended(false);
                    self.inquiry.end_transaction();
                }
                Step::Ask(question) => {
                    let (asked, began) = (Asked::of(&question), Instant::now());
                    let answer = self.answer(question).await;
                    self.patience.waited_for_us(began.elapsed());
                    self.note_answer(asked, &answer);
                    self.session.answer(answer);
                }
                Step::StartTls(reply) => {
                    if !Box::pin(self.start_tls(reply)).await? {
                        return Ok(());
                    }
                }
                Step::Close(reply) => {
                    if self.session.made_too_many_errors() {
                        self.count_errors();
                    }
                    self.reply(reply);
                    return self.flush().await;
                }
                Step::NeedInput => {
                    self.flush().await?;
                    if self.inquiry.is_to_keep() {
                        let began = Instant::now();
                        Box::pin(self.inquiry.keep()).await;
                        self.patience.waited_for_us(began.elapsed());
                    }
                    match self.wait().await? {
                        Input::More => {}
                        Input::End => return Ok(()),
                        Input::Silence => return self.say_goodbye(reply::idle()).await,
                        Input::Length => return self.say_goodbye(reply::session_over()).await,
                        Input::Slowness => {
                            self.note_abuse(Abuse::TooSlow);
                            return self.say_goodbye(reply::too_slow()).await;
                        }
                        Input::Going => return self.say_goodbye(reply::shutting_down()).await,
                    }
                }
            }
        }
    }

    /// What needs much room while it waits is boxed: it would be a part of every idle connection.
    async fn answer(&mut self, question: Question) -> Reply {
        match question {
            Question::Mail { reverse_path, size: Some(size), .. } if self.inquiry.has_no_room_for(size) => {
                self.verb = Verb::Mail;
                self.inquiry.refused_mail(reverse_path, reply::disk_full())
            }
            Question::Mail { reverse_path, smtputf8, size, .. } => {
                self.verb = Verb::Mail;
                let answer = self.inquiry.mail(reverse_path, smtputf8);
                size.into_iter().for_each(|size| self.inquiry.declares(size));
                answer
            }
            Question::Recipient { forward_path } => {
                self.verb = Verb::Rcpt;
                let answer = Box::pin(self.inquiry.recipient(forward_path)).await;
                if self.inquiry.was_nobody() { Box::pin(self.answer_about_nobody(answer)).await } else { answer }
            }
            Question::TooBig { reverse_path } => {
                self.verb = Verb::Mail;
                self.inquiry.refused_mail(reverse_path, reply::too_big())
            }
            Question::TooManyRecipients { forward_path } => {
                self.verb = Verb::Rcpt;
                self.inquiry.refused_recipient(&forward_path, reply::too_many_recipients())
            }
            Question::Data => {
                self.verb = Verb::Data;
                self.inquiry.data()
            }
            Question::Chunks => self.inquiry.data(),
            Question::Message { defect } => {
                self.verb = Verb::Message;
                let answer = Box::pin(self.inquiry.message(defect)).await;
                if answer.is_positive() {
                    self.unknown_recipients = 0;
                }
                if self.inquiry.was_welcome() {
                    self.generation.harvest.delivered(self.inquiry.client(), Instant::now());
                }
                answer
            }
        }
    }

    /// Waits for octets; look-ups go on meanwhile.
    async fn wait(&mut self) -> io::Result<Input> {
        let in_transaction = self.session.in_transaction();
        // a transaction in flight is finished, but it may not last another session's time
        let ends = if in_transaction { self.ends + self.generation.session } else { self.ends };
        let now = Instant::now();
        if now >= ends {
            // a client that always has octets ready would never reach a deadline
            return Ok(Input::Length);
        }
        if self.patience.is_short() {
            self.prefer_or_not();
        }
        let (in_data, in_message) = (self.session.in_data(), self.session.in_message());
        self.input.drain(..self.start);
        self.start = 0;
        if self.input.is_empty() && !in_transaction {
            // an idle connection owns no buffer
            self.input = Vec::new();
        }
        let Connection { wire, input, inquiry, presence, patience, .. } = self;
        let Some(wire) = wire else { return Ok(Input::End) };
        loop {
            let deadline = patience.deadline(now, in_message);
            if deadline.at <= Instant::now() {
                // a client that always has an octet ready would never be found slow, nor silent
                return Ok(if deadline.is_slow { Input::Slowness } else { Input::Silence });
            }
            let octets = async {
                wire.readable().await?;
                make_room(input);
                wire.read(input).await
            };
            tokio::select! {
                biased;
                // first: a client that never stops talking hears it too
                () = presence.going(), if !in_transaction => return Ok(Input::Going),
                read = timeout_at(ends.min(deadline.at), octets) => return match read {
                    Err(_) if ends <= deadline.at => Ok(Input::Length),
                    Err(_) if deadline.is_slow => Ok(Input::Slowness),
                    Err(_) => Ok(Input::Silence),
                    Ok(Ok(0)) => Ok(Input::End),
                    Ok(Ok(octets)) => {
                        if in_data {
                            patience.went_on();
                        }
                        patience.came(octets);
                        Ok(Input::More)
                    }
                    Ok(Err(error)) => Err(error),
                },
                () = patience.changed() => {}
                () = inquiry.progress(), if inquiry.is_looking() => {}
            }
        }
    }

    /// Puts a reply into the outgoing buffer, and counts it.
    fn reply(&mut self, reply: Reply) {
        let soft = self.generation.receiver.soft_reject;
        let reply = if soft { reply.soften() } else { reply };
        self.metrics().reply(self.verb, reply.code());
        self.note_reply(reply.code());
        reply.write_to(&mut self.replies);
    }

    async fn flush(&mut self) -> io::Result<()> {
        let replies = std::mem::take(&mut self.replies);
        match &mut self.wire {
            Some(wire) if !replies.is_empty() => self.patience.hurried(wire.send(&replies)).await,
            _ => Ok(()),
        }
    }

    async fn say_goodbye(&mut self, reply: Reply) -> io::Result<()> {
        self.verb = Verb::Connection;
        self.reply(reply);
        self.flush().await
    }

    /// Shakes hands; false where the connection must be closed: octets that came before the handshake would be taken for
    /// octets under TLS (RFC 3207 §4.2, command injection).
    async fn start_tls(&mut self, reply: Reply) -> io::Result<bool> {
        let (Some(certificates), Some(wire)) = (self.generation.certificates.clone(), self.wire.take()) else {
            return Ok(false);
        };
        self.wire = Some(wire);
        self.reply(reply);
        let injected = self.start < self.input.len();
        self.flush().await?;
        if injected {
            self.note_abuse(Abuse::StartTls);
            return Ok(false);
        }
        let Some(wire) = self.wire.take() else { return Ok(false) };
        match self.patience.hurried(wire.secure(&certificates.acceptor, self.generation.waits.idle)).await {
            Ok(wire) => {
                if let Some(tls) = wire.tls() {
                    self.tls = SessionTls::from_version(Some(&tls.version));
                    self.inquiry.secured(tls);
                }
                self.wire = Some(wire);
                self.session.secured();
                self.patience.secured();
                self.metrics().tls_handshake(HandshakeOutcome::Ok);
                Ok(true)
            }
            Err(error) => {
                let timed_out = error.kind() == io::ErrorKind::TimedOut;
                let outcome = if timed_out { HandshakeOutcome::Timeout } else { HandshakeOutcome::Failed };
                self.metrics().tls_handshake(outcome);
                Err(error)
            }
        }
    }

    /// The session is over: a transaction that is left is accounted for, and the connection closed.
    async fn leave(&mut self) {
        self.inquiry.end_transaction();
        if let Some(wire) = self.wire.take() {
            wire.close().await;
        }
    }
}

/// Makes room for half of a chunk at least, so that the buffer stays of one size: what a line left over would double it.
fn make_room(input: &mut Vec<u8>) {
    if input.capacity().saturating_sub(input.len()) < CHUNK / 2 {
        input.reserve_exact(CHUNK.saturating_sub(input.len()).max(CHUNK / 2));
    }
}

/// The command of a line that was just taken, for the metrics.
fn verb_of(input: &[u8], taken: usize) -> Option<Verb> {
    let line = input.get(..taken).filter(|line| line.ends_with(b"\n"))?;
    let word = line.split(|octet| !octet.is_ascii_alphabetic()).next()?;
    std::str::from_utf8(word.get(..8).unwrap_or(word)).ok().map(Verb::from_word)
}
