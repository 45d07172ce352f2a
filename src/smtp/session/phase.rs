//! Where a session is: each phase owns what it knows, so that what a transaction left behind cannot be seen by the next.

use crate::smtp::chunk::Chunks;
use crate::smtp::data::{DataDefect, Framer};
use crate::smtp::reply::Reply;

/// Where a session is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The client has not yet said who it is.
    Greeted,
    /// It has; no transaction is open.
    Identified,
    /// MAIL was accepted.
    Mail(Envelope),
    /// At least one recipient was accepted.
    Recipients { envelope: Envelope, accepted: usize },
    /// The message comes in after DATA.
    Data(Framer),
    /// A chunk of the message comes in after BDAT.
    Chunk(Chunk),
    /// Between two chunks of a message.
    Chunks(Chunks),
    /// The octets of a chunk that is refused come in.
    Refusing(Box<Refusing>),
    /// A chunk was refused, and with it the transaction, of which nothing is left: what chunks were sent ahead are refused alike
    /// (RFC 3030 §2). For all else it is as if there had been none.
    Refused(Box<Reply>),
    /// A question was asked.
    Waiting(Waiting),
    /// STARTTLS was agreed, the handshake is not over.
    Securing,
    /// Nothing is read any more.
    Closed,
}

/// A chunk that comes in.
#[derive(Debug)]
pub(super) struct Chunk {
    pub chunks: Chunks,
    /// Octets that are still to come.
    pub left: u64,
    /// Whether the message ends with it.
    pub last: bool,
}

/// A chunk whose octets are read and forgotten: the client sends them whatever it is answered.
#[derive(Debug)]
pub(super) struct Refusing {
    /// Octets that are still to come.
    pub left: u64,
    pub then: Then,
}

/// What follows when they have come.
#[derive(Debug)]
pub(super) enum Then {
    /// The refusal, and the phase after it.
    Reply(Reply, Phase),
    /// The question what becomes of the message.
    Message { last: bool, defect: DataDefect },
}

/// What was asked, and what is needed to go on from the answer.
#[derive(Debug)]
pub(super) enum Waiting {
    Mail(Envelope),
    Recipient {
        envelope: Envelope,
        accepted: usize,
    },
    Data {
        envelope: Envelope,
        accepted: usize,
    },
    /// The first BDAT of a transaction, of so many octets.
    Chunk {
        octets: u64,
        last: bool,
    },
    /// MAIL announced more octets than a message may have.
    TooBig,
    /// RCPT came after as many as there may be.
    TooMany {
        envelope: Envelope,
        accepted: usize,
    },
    Message,
    /// A message whose chunk is refused although it is not the last one.
    Unfinished,
}

/// What the session itself keeps of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope {
    pub smtputf8: bool,
    /// A recipient was refused: DATA may have been sent ahead of that reply (RFC 2920 §3.1), and is no mistake.
    pub refused: bool,
}

impl Phase {
    /// A transaction with so many recipients.
    pub fn collecting(envelope: Envelope, accepted: usize) -> Phase {
        if accepted == 0 { Phase::Mail(envelope) } else { Phase::Recipients { envelope, accepted } }
    }

    /// Whether a transaction is open, or asked for.
    pub fn in_transaction(&self) -> bool {
        match self {
            Phase::Mail(_)
            | Phase::Recipients { .. }
            | Phase::Data(_)
            | Phase::Chunk(_)
            | Phase::Chunks(_)
            | Phase::Waiting(_) => true,
            Phase::Refusing(refusing) => match &refusing.then {
                Then::Reply(_, phase) => phase.in_transaction(),
                Then::Message { .. } => true,
            },
            Phase::Greeted | Phase::Identified | Phase::Refused(_) | Phase::Securing | Phase::Closed => false,
        }
    }

    /// Whether the next octets are a message's and no command's.
    pub fn in_data(&self) -> bool {
        matches!(self, Phase::Data(_) | Phase::Chunk(_) | Phase::Refusing(_))
    }

    /// Whether a message comes in, though a command of it may be next.
    pub fn in_message(&self) -> bool {
        self.in_data() || matches!(self, Phase::Chunks(_) | Phase::Refused(_))
    }
}

impl Refusing {
    /// The phase in which the octets come in.
    pub fn begin(self) -> Phase {
        Phase::Refusing(Box::new(self))
    }
}

impl Waiting {
    /// Whether an answer is of a kind that the question knows: another would leave the client in another phase than us.
    pub fn takes(&self, reply: &Reply) -> bool {
        match self {
            _ if !reply.is_positive() => true,
            Waiting::TooBig | Waiting::TooMany { .. } | Waiting::Unfinished => false,
            Waiting::Data { .. } | Waiting::Chunk { .. } => reply.code() == 354,
            Waiting::Mail(_) | Waiting::Recipient { .. } | Waiting::Message => reply.code() != 354,
        }
    }

    /// The phase after the answer.
    pub fn after(self, reply: &Reply, message_limit: u64) -> Phase {
        let positive = reply.is_positive();
        match self {
            Waiting::Mail(envelope) if positive => Phase::Mail(envelope),
            Waiting::Mail(_) | Waiting::TooBig | Waiting::Message => Phase::Identified,
            Waiting::TooMany { envelope, accepted } => Phase::collecting(envelope, accepted),
            Waiting::Recipient { envelope, accepted } => {
                let envelope = Envelope { refused: envelope.refused || !positive, ..envelope };
                Phase::collecting(envelope, accepted + usize::from(positive))
            }
            Waiting::Data { .. } if positive => Phase::Data(Framer::new(message_limit)),
            Waiting::Data { envelope, accepted } => Phase::collecting(envelope, accepted),
            Waiting::Chunk { octets, last } if positive => {
                Phase::Chunk(Chunk { chunks: Chunks::new(message_limit), left: octets, last })
            }
            // said when the chunk's octets have come
            Waiting::Chunk { octets, .. } => {
                let after = Phase::Refused(Box::new(reply.clone()));
                Refusing { left: octets, then: Then::Reply(reply.clone(), after) }.begin()
            }
            Waiting::Unfinished => Phase::Refused(Box::new(reply.clone())),
        }
    }
}
