//! How a client behaves: what it earns by it, it has at once, and so it loses it.

use std::net::IpAddr;

use super::Connection;
use crate::smtp::reply::Reply;
use crate::smtp::session::Question;

/// How the client of a session behaves.
pub(super) struct Conduct {
    /// Whose it is; `None`: nobody's, of which nothing is noted.
    client: Option<IpAddr>,
    /// It heard a 5yz, or was closed: for the rest of the session nothing makes that good.
    failed: bool,
}

impl Conduct {
    /// A client's, which has done nothing yet.
    pub fn of(client: IpAddr) -> Self {
        Conduct { client: Some(client), failed: false }
    }

    /// That of a client which is not let in: it has done nothing.
    pub fn of_nobody() -> Self {
        Conduct { client: None, failed: false }
    }
}

impl Connection {
    /// A reply is sent.
    pub(super) fn note_reply(&mut self, code: u16) {
        let (500.. | 421, Some(client)) = (code, self.conduct.client) else { return };
        self.conduct.failed = true;
        self.lasting.behaved.note(client, false);
        self.prefer_or_not();
    }

    /// Whether its waits are long under stress: its network has behaved, and it has in this session, too.
    pub(super) fn prefer_or_not(&mut self) {
        let Conduct { client: Some(client), failed } = self.conduct else { return };
        let receiver = &self.generation.receiver;
        self.patience.prefer(receiver.trusts(client) || (!failed && self.lasting.behaved.knows(client)));
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
                if let Conduct { client: Some(client), failed: false } = self.conduct
                    && self.inquiry.was_welcome()
                {
                    self.lasting.behaved.note(client, true);
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
