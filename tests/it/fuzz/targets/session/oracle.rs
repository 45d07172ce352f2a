//! What must hold in every session, by a reading of the client's octets that knows nothing of the state machine: which of them are
//! commands and which a message, whose envelope it is, and what was answered.

use gatepost::smtp::data::DataDefect;
use gatepost::smtp::reply::Reply;
use gatepost::smtp::session::{Capabilities, Limits, Notice, Question};

use super::super::data::{first_defect, read_whole};
use super::super::{check_reply, outcome};
use super::lines::{Verb, is_fatal, read_verb};

/// What the next octet is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Line,
    /// The rest of a line that was too long.
    Skipping,
    Data,
    Chunk {
        left: u64,
        last: bool,
    },
    Closed,
}

/// A transaction: which MAIL of the session began it, and how many recipients it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transaction {
    mail: usize,
    recipients: usize,
}

/// Watches one session.
pub struct Oracle {
    limits: Limits,
    starttls: bool,
    xclient: bool,
    mode: Mode,
    line: Vec<u8>,
    /// A command that is consumed and has no reply yet.
    pending: Option<Verb>,
    greeted: bool,
    secure: bool,
    commands: u32,
    mails: usize,
    /// The transaction as the client must see it, by commands and replies.
    client: Option<Transaction>,
    /// The transaction as the server keeps it, by questions, answers and notices.
    server: Option<Transaction>,
    /// The octets of the message, as they were sent.
    sent: Vec<u8>,
    /// Whether CRLF.CRLF is among them.
    ended: bool,
    /// And as they were passed on.
    content: Vec<u8>,
    /// Octets of this message's chunks, and whether there was one.
    chunked: Option<u64>,
    must_close: bool,
    /// Questions so far.
    pub asked: usize,
    /// What happened.
    pub events: Vec<String>,
}

fn hold(condition: bool, what: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what.to_owned()) }
}

impl Oracle {
    /// For a session of these capabilities.
    pub fn new(capabilities: &Capabilities, xclient: bool) -> Oracle {
        Oracle {
            limits: capabilities.limits.clone(),
            starttls: capabilities.starttls,
            xclient,
            mode: Mode::Line,
            line: Vec::new(),
            pending: None,
            greeted: false,
            secure: false,
            commands: 0,
            mails: 0,
            client: None,
            server: None,
            sent: Vec::new(),
            ended: false,
            content: Vec::new(),
            chunked: None,
            must_close: false,
            asked: 0,
            events: Vec::new(),
        }
    }

    /// Octets that the session took.
    pub fn consumed(&mut self, octets: &[u8]) -> Result<(), String> {
        for octet in octets {
            match &mut self.mode {
                Mode::Closed => return Err("octets were taken after the end".to_owned()),
                Mode::Data => {
                    self.sent.push(*octet);
                    self.ended |= self.sent.ends_with(b"\r\n.\r\n") || self.sent == b".\r\n";
                }
                Mode::Chunk { left, .. } => {
                    *left = left.checked_sub(1).ok_or("octets behind a chunk were taken for it")?;
                    self.sent.push(*octet);
                }
                Mode::Line | Mode::Skipping => {
                    hold(self.pending.is_none(), "the next command was taken before this one was answered")?;
                    self.line.push(*octet);
                    self.end_of_line();
                }
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) {
        let ended = self.line.ends_with(b"\n");
        match self.mode {
            Mode::Skipping if self.line.ends_with(b"\r\n") => {
                self.line.clear();
                self.mode = Mode::Line;
            }
            Mode::Skipping => {}
            _ if ended || self.line == [0x16] => {
                let line = std::mem::take(&mut self.line);
                let verb = line.strip_suffix(b"\r\n").map_or(Verb::Fatal, read_verb);
                self.commands += u32::from(line.ends_with(b"\r\n"));
                if let Verb::Bdat { octets, last } = verb {
                    self.mode = Mode::Chunk { left: octets, last };
                }
                self.begin(verb);
            }
            _ if self.line.len() == self.limits.line => {
                let head = std::mem::take(&mut self.line);
                self.line.extend(head.last().filter(|octet| **octet == b'\r'));
                self.mode = Mode::Skipping;
                self.begin(if is_fatal(&head) { Verb::Fatal } else { Verb::Bad });
            }
            _ => {}
        }
    }

    fn begin(&mut self, verb: Verb) {
        self.pending = Some(verb);
        self.mails += usize::from(verb == Verb::Mail);
    }

    /// It asks for more, and left these octets.
    pub fn needs_input(&self, left: &[u8]) -> Result<(), String> {
        hold(left.len() <= self.limits.line, "more is left in the buffer than a line")?;
        match self.mode {
            Mode::Line | Mode::Skipping => {
                hold(self.pending.is_none(), "a command got no reply")?;
                hold(!left.contains(&b'\n'), "a line was left lying")?;
            }
            Mode::Data => {
                hold(left.is_empty(), "octets of a message were left lying")?;
                hold(!self.ended, "the end of data was passed over")?;
            }
            Mode::Chunk { left: missing, .. } => {
                hold(missing > 0 && left.is_empty(), "a chunk that is whole got no reply")?
            }
            Mode::Closed => {}
        }
        // of a chunk that is refused the client hears when all of it has come
        hold(self.pending.is_some() || self.server == self.client, "client and server disagree about the transaction")
    }

    /// Octets of a message.
    pub fn content(&mut self, octets: &[u8]) -> Result<(), String> {
        hold(!octets.is_empty(), "content that is none")?;
        hold(
            matches!(self.mode, Mode::Data | Mode::Chunk { .. }) && self.server.is_some(),
            "content without a message",
        )?;
        self.content.extend_from_slice(octets);
        Ok(())
    }

    /// A notice.
    pub fn notice(&mut self, notice: &Notice) -> Result<(), String> {
        let pending = self.pending.ok_or("a notice without a command")?;
        match notice {
            Notice::Abandoned => {
                hold(self.server.is_some(), "a transaction was abandoned that was not there")?;
                self.server = None;
            }
            Notice::Helo { .. } => {
                hold(pending == Verb::Helo && self.server.is_none(), "a greeting within a transaction")?
            }
            Notice::Introduced(_) => {
                hold(
                    pending == Verb::Xclient && self.xclient && self.server.is_none(),
                    "XCLIENT from anybody, or anywhere",
                )?;
            }
            Notice::Chunk { octets, last } => {
                hold(pending == Verb::Bdat { octets: *octets, last: *last }, "a chunk that was not announced so")?;
            }
            Notice::Abuse(_) => {
                hold(pending == Verb::Fatal, "abuse where there is none")?;
                self.must_close = true;
            }
        }
        self.events.push(format!("N {notice:?}"));
        Ok(())
    }

    /// A question, and the answer that it gets.
    pub fn question(&mut self, question: &Question, answer: &Reply) -> Result<(), String> {
        let pending = self.pending.ok_or("a question without a command")?;
        hold(self.server == self.client, "a question about a transaction that is not the client's")?;
        hold(!self.must_close, "a question where the session must end")?;
        let recipients = self.server.map_or(0, |transaction| transaction.recipients);
        let positive = answer.is_positive() && !answer.closes();
        match question {
            Question::Mail { .. } | Question::TooBig { .. } => {
                hold(pending == Verb::Mail && self.greeted, "MAIL where nobody said it, or before EHLO")?;
                hold(self.server.is_none(), "a transaction within a transaction")?;
                if positive && answer.code() != 354 && matches!(question, Question::Mail { .. }) {
                    self.server = Some(Transaction { mail: self.mails, recipients: 0 });
                }
            }
            Question::Recipient { .. } | Question::TooManyRecipients { .. } => {
                hold(pending == Verb::Rcpt && self.chunked.is_none(), "a recipient that nobody named")?;
                let room = recipients < self.limits.recipients;
                hold(room == matches!(question, Question::Recipient { .. }), "the limit of recipients")?;
                let transaction = self.server.as_mut().ok_or("a recipient without MAIL")?;
                transaction.recipients += usize::from(room && positive && answer.code() != 354);
            }
            Question::Data => {
                hold(pending == Verb::Data && recipients > 0 && self.chunked.is_none(), "DATA out of order")?
            }
            Question::Chunks => {
                let whole = matches!((pending, self.mode), (Verb::Bdat { octets, .. }, Mode::Chunk { left, .. }) if octets == left);
                hold(whole && recipients > 0 && self.chunked.is_none(), "BDAT out of order")?;
                self.chunked = Some(0);
            }
            Question::Message { defect } => {
                hold(recipients > 0, "a message without an envelope")?;
                self.message(*defect)?;
                self.server = None;
            }
        }
        self.asked += 1;
        self.events.push(format!("Q {question:?}"));
        Ok(())
    }

    /// A message that is over: it ended where it ends, and is what was sent.
    fn message(&mut self, defect: Option<DataDefect>) -> Result<(), String> {
        let limit = self.limits.message;
        let (expected, found) = match self.mode {
            Mode::Data => {
                let framed = read_whole(&self.sent, limit).ok_or("a delivery without CRLF.CRLF")?;
                hold(framed.consumed == self.sent.len(), "octets behind CRLF.CRLF were taken for the message")?;
                (framed.message, framed.defect)
            }
            Mode::Chunk { left, last } => {
                hold(left == 0, "a delivery before all of its chunk was there")?;
                hold(last || defect.is_some(), "a delivery without LAST")?;
                let (message, found) = chunked(&self.sent, last, limit);
                (message, found)
            }
            _ => return Err("a message that was never sent".to_owned()),
        };
        hold(defect == found, "what is wrong with a message is not what was found")?;
        hold(defect.is_some() || self.content == expected, "the message is not what was sent")?;
        self.events.push(format!("D {} {}", self.content.len(), outcome(&self.content)));
        Ok(())
    }

    /// A reply.
    pub fn reply(&mut self, reply: &Reply) -> Result<(), String> {
        check_reply(reply);
        let verb = self.pending.take().ok_or("a reply more than there are commands")?;
        hold(!reply.closes(), "a reply that ends the session, and it goes on")?;
        hold(!self.must_close && verb != Verb::Fatal, "the session must end here")?;
        hold(self.commands <= self.limits.commands, "more commands than there may be")?;
        self.after(verb, reply.code())?;
        hold(self.server == self.client, "client and server disagree about the transaction after a reply")?;
        self.events.push(format!("{reply}"));
        Ok(())
    }

    fn after(&mut self, verb: Verb, code: u16) -> Result<(), String> {
        let positive = (200..300).contains(&code);
        hold(positive || code >= 400 || (verb == Verb::Data && code == 354), "a code that no command has")?;
        match verb {
            Verb::Helo | Verb::Rset if positive => {
                self.greeted |= verb == Verb::Helo;
                self.end_transaction();
            }
            Verb::Mail if positive => self.client = Some(Transaction { mail: self.mails, recipients: 0 }),
            Verb::Rcpt if positive => self.client.as_mut().ok_or("RCPT was taken without MAIL")?.recipients += 1,
            Verb::Data if code == 354 => {
                (self.mode, self.pending) = (Mode::Data, Some(Verb::Message));
                self.ended = false;
            }
            Verb::Data => hold(!positive, "DATA was taken, and no message may come")?,
            Verb::Message => {
                self.mode = Mode::Line;
                self.end_transaction();
            }
            Verb::Bdat { last, octets } => {
                hold(matches!(self.mode, Mode::Chunk { left: 0, .. }), "a chunk was answered before it was there")?;
                self.mode = Mode::Line;
                self.chunked = self.chunked.map(|so_far| so_far.saturating_add(octets));
                if last || !positive {
                    self.end_transaction();
                }
            }
            Verb::Xclient if positive => {
                hold(self.client.is_none(), "XCLIENT within a transaction")?;
                self.greeted = false;
            }
            Verb::StartTls | Verb::Bad | Verb::Quit => hold(!positive, "what must be refused was taken")?,
            _ => {}
        }
        Ok(())
    }

    /// The client knows that nothing of the transaction is left.
    fn end_transaction(&mut self) {
        self.client = None;
        self.chunked = None;
        self.sent.clear();
        self.content.clear();
    }

    /// STARTTLS was agreed.
    pub fn start_tls(&mut self, reply: &Reply) -> Result<(), String> {
        check_reply(reply);
        let agreed = self.pending.take() == Some(Verb::StartTls) && self.starttls && !self.secure && self.greeted;
        hold(agreed && reply.code() == 220, "STARTTLS that was not asked for, not offered, or before EHLO")?;
        hold(self.client.is_none() && self.server.is_none(), "STARTTLS within a transaction")?;
        self.events.push(format!("{reply}"));
        Ok(())
    }

    /// The handshake is over: nothing is left of what was said before it (RFC 3207 §4.2).
    pub fn secured(&mut self) -> Result<(), String> {
        hold(self.server.is_none(), "a transaction outlived the handshake")?;
        (self.secure, self.greeted) = (true, false);
        self.end_transaction();
        Ok(())
    }

    /// The end of the session.
    pub fn close(&mut self, reply: &Reply) -> Result<(), String> {
        check_reply(reply);
        hold(self.pending.take().is_some() || self.mode == Mode::Skipping, "it closed for nothing")?;
        hold(reply.closes() || reply.code() >= 500, "it closed with a reply that says otherwise")?;
        self.mode = Mode::Closed;
        self.events.push(format!("close {reply}"));
        Ok(())
    }
}

/// A message in chunks as it should be passed on, and what is wrong with it.
fn chunked(sent: &[u8], last: bool, limit: u64) -> (Vec<u8>, Option<DataDefect>) {
    let lacks_end = last && !sent.is_empty() && !sent.ends_with(b"\n");
    let message = if lacks_end { [sent, b"\r\n"].concat() } else { sent.to_vec() };
    let defect = match first_defect(sent, last) {
        _ if sent.len() as u64 > limit => Some(DataDefect::TooBig),
        Some(defect) => Some(defect),
        None => (message.len() as u64 > limit).then_some(DataDefect::TooBig),
    };
    (message, defect)
}
