//! What session and server exchange: what a session may do, the steps it says, the questions it asks.

use crate::smtp::address::{ForwardPath, ReversePath};
use crate::smtp::command::BodyType;
use crate::smtp::data::DataDefect;
use crate::smtp::reply::Reply;
use crate::smtp::xclient::Introduced;

/// The bounds of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A command line in octets, CRLF included; at least 512 (RFC 5321 §4.5.3.1.4).
    pub line: usize,
    /// A message in octets; announced as SIZE (RFC 1870).
    pub message: u64,
    /// Accepted recipients of a transaction; announced as RCPTMAX (RFC 9422). At least 100 (RFC 5321 §4.5.3.1.8).
    pub recipients: usize,
    /// Mistakes in commands that are answered; the next one ends the session.
    pub errors: u32,
    /// Commands of a session.
    pub commands: u32,
    /// Transactions of a session, refused ones included.
    pub transactions: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line: 2048,
            message: 50_000_000,
            recipients: 1000,
            errors: 10,
            commands: 100_000,
            transactions: 10_000,
        }
    }
}

/// What a session offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Our name in the greeting and in the answer to EHLO.
    pub hostname: String,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    /// The bounds.
    pub limits: Limits,
}

/// What the server has to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'a> {
    /// Flush what was replied and read more. Input that was not consumed has to be offered again with more behind it;
    /// it is never more than [`Limits::line`] octets.
    NeedInput,
    /// Send this.
    Reply(Reply),
    /// Take notice; no answer is expected.
    Notice(Notice),
    /// Find the answer and give it to [`answer`](super::Session::answer).
    Ask(Question),
    /// Octets of the message: CRLF line ends kept, dots unstuffed, without the final dot; never after a defect.
    Content(&'a [u8]),
    /// Send and flush this; if there is input that was not consumed, close (RFC 3207 §4.2, command injection); else shake
    /// hands, then [`secured`](super::Session::secured).
    StartTls(Reply),
    /// Send this, flush and close.
    Close(Reply),
}

/// What happened in the session that calls for no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// EHLO or HELO; it holds until the next.
    Helo {
        /// What the client calls itself, as it was written: printable ASCII, at most 255 octets.
        name: String,
        /// Whether it was EHLO.
        extended: bool,
    },
    /// XCLIENT: the client is another, or more is known of it; the session begins again.
    Introduced(Introduced),
    /// BDAT: so many octets follow, and are a message's or forgotten.
    Chunk {
        /// How many.
        octets: u64,
        /// Whether the message ends with them.
        last: bool,
    },
    /// The session is closed for this.
    Abuse(Abuse),
    /// The transaction ended before its message did: RSET, EHLO, HELO, QUIT, BDAT without recipients, or a
    /// command flood within it.
    Abandoned,
}

/// What no mail server does: it ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abuse {
    /// A request of HTTP.
    Http,
    /// A TLS handshake where a command should be.
    Tls,
    /// A header of the PROXY protocol from somebody who may not say for whom it speaks.
    ProxyHeader,
    /// A command that a bare LF ends.
    BareLf,
    /// A line of more than a megabyte.
    EndlessLine,
}

/// What the session cannot know by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// MAIL: may this transaction begin? A positive reply begins it.
    Mail {
        /// The reverse-path.
        reverse_path: ReversePath,
        /// SIZE, in octets, within the limit.
        size: Option<u64>,
        /// BODY.
        body: Option<BodyType>,
        /// SMTPUTF8.
        smtputf8: bool,
    },
    /// RCPT: is this a recipient? A positive reply adds it.
    Recipient {
        /// The forward-path.
        forward_path: ForwardPath,
    },
    /// MAIL, with a SIZE over the limit: refused, in whose words? (`reply::too_big`)
    TooBig {
        /// The reverse-path.
        reverse_path: ReversePath,
    },
    /// RCPT, after as many recipients as there may be: refused, in whose words? (`reply::too_many_recipients`)
    TooManyRecipients {
        /// The forward-path.
        forward_path: ForwardPath,
    },
    /// DATA, with at least one recipient: may the message come? 354 (`reply::start_data`) lets it, a refusal leaves the
    /// transaction as it was.
    Data,
    /// The first BDAT of a transaction, with at least one recipient: may the message come? 354 (`reply::start_data`), which is not
    /// sent, lets it; a refusal is sent once the chunk has come, and the transaction is over.
    Chunks,
    /// The end of data was seen, or a defect in a chunk: what becomes of the message? Whatever the reply, the transaction is over.
    Message {
        /// What the framing found; then the reply should be `reply::data_defect`.
        defect: Option<DataDefect>,
    },
}
