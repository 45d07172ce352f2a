//! How a client behaves: what it earns by it, it has at once, and so it loses it.

use std::net::IpAddr;
use std::sync::Arc;

use super::Connection;
use crate::server::generation::Lasting;
use crate::smtp::reply::Reply;
use crate::smtp::session::Question;

/// How the client of a session behaves.
pub(super) struct Conduct {
    lasting: Arc<Lasting>,
    /// Who is at the other end, whomever it speaks for.
    client: IpAddr,
    /// It heard a 5yz, or was closed: for the rest of the session nothing makes that good.
    failed: bool,
}

impl Conduct {
    pub fn of(client: IpAddr, lasting: Arc<Lasting>) -> Self {
        Conduct { lasting, client, failed: false }
    }
}

impl Connection {
    /// A reply is sent.
    pub(super) fn note_reply(&mut self, code: u16) {
        let conduct = &mut self.conduct;
        if code < 500 && code != 421 {
            return;
        }
        conduct.failed = true;
        conduct.lasting.behaved.note(conduct.client, false);
        self.prefer_or_not();
    }

    /// Whether its waits are long under stress: its network has behaved, and it has in this session, too.
    pub(super) fn prefer_or_not(&mut self) {
        let Conduct { lasting, client, failed } = &self.conduct;
        let receiver = &self.generation.receiver;
        self.patience.prefer(receiver.trusts(*client) || (!failed && lasting.behaved.knows(*client)));
    }

    /// What a question and its answer mean for our patience: a step renews it if it was taken, unless an earlier transaction led nowhere.
    pub(super) fn note_answer(&mut self, asked: Asked, answer: &Reply) {
        match asked {
            Asked::Step if answer.is_positive() => self.patience.began(),
            Asked::Step => {}
            Asked::Content => self.patience.went_on(),
            Asked::Message => {
                self.patience.went_on();
                self.patience.ended(answer.is_positive());
                if self.inquiry.was_welcome() && !self.conduct.failed {
                    self.conduct.lasting.behaved.note(self.conduct.client, true);
                    self.prefer_or_not();
                }
            }
        }
    }
}

/// What kind of question was asked.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// MAIL or RCPT.
    Step,
    /// Whether the message may come.
    Content,
    /// What becomes of it.
    Message,
}

impl Asked {
    pub fn of(question: &Question) -> Asked {
        match question {
            Question::Mail { .. }
            | Question::TooBig { .. }
            | Question::Recipient { .. }
            | Question::TooManyRecipients { .. } => Asked::Step,
            Question::Data | Question::Chunks => Asked::Content,
            Question::Message { .. } => Asked::Message,
        }
    }
}
