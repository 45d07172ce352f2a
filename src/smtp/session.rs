//! The session: which command may come when, and what follows from it (RFC 5321 §3, §4.1.4). Without I/O.
//!
//! The server offers octets to [`Session::next`] and does what the [`Step`] says; where the session asks a
//! [`Question`], it takes no input until [`Session::answer`] has the reply. Each phase of a session is a variant that
//! owns what the phase knows: what a transaction left behind cannot be seen by the next, because it is gone.

mod exchange;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::address::{ForwardPath, ReversePath};
use super::command::{Command, CommandError, MailParameters};
use super::data::{Frame, Framer};
use super::line::{Line, LineReader};
use super::reply::{self, Reply};

pub use exchange::{Capabilities, Limits, Notice, Question, Step};

/// A session from the greeting, which the server sends, to its end.
#[derive(Debug)]
pub struct Session {
    capabilities: Arc<Capabilities>,
    phase: Phase,
    lines: LineReader,
    /// Steps that one command or answer led to and that are not fetched yet: three at most, since no input is taken
    /// before they are.
    steps: VecDeque<Step<'static>>,
    counts: Counts,
    tls: bool,
}

#[derive(Debug, Default)]
struct Counts {
    commands: u32,
    transactions: u32,
    errors: u32,
}

/// Where a session is.
#[derive(Debug)]
enum Phase {
    /// The client has not yet said who it is.
    Greeted,
    /// It has; no transaction is open.
    Identified,
    /// MAIL was accepted.
    Mail(Envelope),
    /// At least one recipient was accepted.
    Recipients { envelope: Envelope, accepted: usize },
    /// The message comes in.
    Data(Framer),
    /// A question was asked.
    Waiting(Waiting),
    /// STARTTLS was agreed, the handshake is not over.
    Securing,
    /// Nothing is read any more.
    Closed,
}

/// What was asked, and what is needed to go on from the answer.
#[derive(Debug)]
enum Waiting {
    Mail(Envelope),
    Recipient { envelope: Envelope, accepted: usize },
    Data { envelope: Envelope, accepted: usize },
    Message,
}

/// What the session itself keeps of a transaction.
#[derive(Debug, Clone, Copy)]
struct Envelope {
    smtputf8: bool,
}

impl Session {
    /// A session whose greeting was sent.
    pub fn new(capabilities: Arc<Capabilities>) -> Session {
        let lines = LineReader::new(capabilities.limits.line);
        Session {
            capabilities,
            phase: Phase::Greeted,
            lines,
            steps: VecDeque::new(),
            counts: Counts::default(),
            tls: false,
        }
    }

    /// How many octets of `input` were consumed, and what to do. To be called again, with the rest, until it says
    /// [`Step::NeedInput`].
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        if let Some(step) = self.steps.pop_front() {
            return (0, step);
        }
        match &mut self.phase {
            Phase::Waiting(_) | Phase::Securing => (0, Step::NeedInput),
            Phase::Closed => (input.len(), Step::NeedInput),
            Phase::Data(framer) => match framer.next(input) {
                (taken, Frame::NeedInput) => (taken, Step::NeedInput),
                (taken, Frame::Content(content)) => (taken, Step::Content(content)),
                (taken, Frame::End) => {
                    let defect = framer.defect();
                    self.phase = Phase::Waiting(Waiting::Message);
                    (taken, Step::Ask(Question::Message { defect }))
                }
            },
            Phase::Greeted | Phase::Identified | Phase::Mail(_) | Phase::Recipients { .. } => self.command(input),
        }
    }

    /// The reply to the question that was asked. It is sent, and its class says how the session goes on. Without a
    /// question nothing happens.
    pub fn answer(&mut self, reply: Reply) {
        let waiting = match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Waiting(waiting) => waiting,
            phase => {
                self.phase = phase;
                return;
            }
        };
        if reply.closes() {
            self.steps.push_back(Step::Close(reply));
            return;
        }
        // An answer of a kind that the question does not know would leave the client in another phase than us.
        let fits = !reply.is_positive() || (reply.code() == 354) == matches!(waiting, Waiting::Data { .. });
        let reply = if fits { reply } else { reply::internal_error() };
        self.phase = waiting.after(reply.is_positive(), self.capabilities.limits.message);
        self.steps.push_back(Step::Reply(reply));
    }

    /// TLS is up: everything that the client said before is forgotten (RFC 3207 §4.2). What counts against it is not.
    pub fn secured(&mut self) {
        self.phase = Phase::Greeted;
        self.lines = LineReader::new(self.capabilities.limits.line);
        self.steps.clear();
        self.tls = true;
    }

    /// Whether the next octets are message data.
    pub fn in_data(&self) -> bool {
        matches!(self.phase, Phase::Data(_))
    }

    /// Whether a transaction is open, or asked for.
    pub fn in_transaction(&self) -> bool {
        match self.phase {
            Phase::Mail(_) | Phase::Recipients { .. } | Phase::Data(_) | Phase::Waiting(_) => true,
            Phase::Greeted | Phase::Identified | Phase::Securing | Phase::Closed => false,
        }
    }

    fn command<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        let (taken, line) = self.lines.next(input);
        let phase = mem::replace(&mut self.phase, Phase::Closed);
        self.phase = match line {
            Line::Partial => phase,
            Line::Complete(line) => self.obey(phase, line),
            Line::TooLong => self.mistake(phase, reply::line_too_long()),
            // A client that ends lines so is no mail server, and what follows may be one message read as several.
            Line::BareLf => self.close(phase, reply::bare_line_end()),
            Line::Endless => self.close(phase, reply::too_many_errors()),
            Line::TlsRecord => self.close(phase, reply::not_smtp()),
        };
        (taken, self.steps.pop_front().unwrap_or(Step::NeedInput))
    }

    fn obey(&mut self, phase: Phase, line: &[u8]) -> Phase {
        self.counts.commands = self.counts.commands.saturating_add(1);
        if self.counts.commands > self.capabilities.limits.commands {
            return self.close(phase, reply::too_many_commands());
        }
        match Command::parse(line) {
            Ok(command) => self.carry_out(phase, command),
            Err(CommandError::Foreign) => self.close(phase, reply::not_smtp()),
            Err(error) => self.mistake(phase, error.reply()),
        }
    }

    /// The table of RFC 5321 §4.1.4: which command may come in which phase, and the phase after it.
    fn carry_out(&mut self, phase: Phase, command: Command<'_>) -> Phase {
        match (phase, command) {
            (phase, Command::Noop) => self.reply(phase, reply::noop()),
            (phase, Command::Help) => self.reply(phase, reply::help()),
            (phase, Command::Vrfy) => self.reply(phase, reply::not_verified()),
            (phase, Command::Quit) => self.close(phase, reply::quit()),
            (phase, Command::Rset) => {
                let phase = self.abandon(phase);
                self.reply(phase, reply::reset())
            }
            (phase, Command::Helo { name, extended }) => self.helo(phase, name, extended),
            (Phase::Greeted, _) => self.mistake(Phase::Greeted, reply::bad_order("EHLO or HELO first")),
            (phase, Command::StartTls) => self.start_tls(phase),
            (Phase::Identified, Command::Mail { path, parameters }) => self.mail(path, parameters),
            (phase, Command::Mail { .. }) => self.mistake(phase, reply::bad_order("a transaction is open already")),
            (Phase::Mail(envelope), Command::Rcpt { path }) => self.recipient(envelope, 0, path),
            (Phase::Recipients { envelope, accepted }, Command::Rcpt { path }) => {
                self.recipient(envelope, accepted, path)
            }
            (Phase::Recipients { envelope, accepted }, Command::Data) => {
                self.ask(Waiting::Data { envelope, accepted }, Question::Data)
            }
            (phase @ Phase::Mail(_), Command::Data) => self.mistake(phase, reply::no_recipients()),
            (phase, Command::Rcpt { .. } | Command::Data) => self.mistake(phase, reply::bad_order("MAIL first")),
        }
    }

    fn helo(&mut self, phase: Phase, name: &str, extended: bool) -> Phase {
        self.abandon(phase);
        let notice = Notice::Helo { name: name.to_owned(), extended };
        self.steps.push_back(Step::Notice(notice));
        let capabilities = &self.capabilities;
        let reply = if extended {
            reply::ehlo(capabilities, name, capabilities.starttls && !self.tls)
        } else {
            reply::helo(&capabilities.hostname, name)
        };
        self.reply(Phase::Identified, reply)
    }

    fn start_tls(&mut self, phase: Phase) -> Phase {
        if self.tls {
            return self.mistake(phase, reply::bad_order("TLS is on already"));
        }
        if !self.capabilities.starttls {
            return self.mistake(phase, reply::not_implemented());
        }
        if !matches!(phase, Phase::Identified) {
            return self.mistake(phase, reply::bad_order("not within a transaction"));
        }
        self.steps.push_back(Step::StartTls(reply::start_tls()));
        Phase::Securing
    }

    fn mail(&mut self, path: &[u8], parameters: MailParameters) -> Phase {
        let MailParameters { size, body, smtputf8 } = parameters;
        let reverse_path = match ReversePath::parse(path, smtputf8) {
            Ok(reverse_path) => reverse_path,
            Err(error) => return self.mistake(Phase::Identified, reply::bad_reverse_path(error)),
        };
        if size.is_some_and(|size| size > self.capabilities.limits.message) {
            return self.reply(Phase::Identified, reply::too_big());
        }
        self.counts.transactions = self.counts.transactions.saturating_add(1);
        if self.counts.transactions > self.capabilities.limits.transactions {
            return self.close(Phase::Identified, reply::too_many_transactions());
        }
        self.ask(Waiting::Mail(Envelope { smtputf8 }), Question::Mail { reverse_path, size, body, smtputf8 })
    }

    fn recipient(&mut self, envelope: Envelope, accepted: usize, path: &[u8]) -> Phase {
        let forward_path = match ForwardPath::parse(path, envelope.smtputf8) {
            Ok(forward_path) => forward_path,
            Err(error) => return self.mistake(Phase::collecting(envelope, accepted), reply::bad_forward_path(error)),
        };
        if accepted >= self.capabilities.limits.recipients {
            return self.reply(Phase::collecting(envelope, accepted), reply::too_many_recipients());
        }
        self.ask(Waiting::Recipient { envelope, accepted }, Question::Recipient { forward_path })
    }

    fn ask(&mut self, waiting: Waiting, question: Question) -> Phase {
        self.steps.push_back(Step::Ask(question));
        Phase::Waiting(waiting)
    }

    fn reply(&mut self, phase: Phase, reply: Reply) -> Phase {
        self.steps.push_back(Step::Reply(reply));
        phase
    }

    /// Answers a mistake in a command, or ends the session where there were too many.
    fn mistake(&mut self, phase: Phase, reply: Reply) -> Phase {
        self.counts.errors = self.counts.errors.saturating_add(1);
        if self.counts.errors > self.capabilities.limits.errors {
            return self.close(phase, reply::too_many_errors());
        }
        self.reply(phase, reply)
    }

    fn close(&mut self, phase: Phase, reply: Reply) -> Phase {
        self.abandon(phase);
        self.steps.push_back(Step::Close(reply));
        Phase::Closed
    }

    /// Ends the transaction, if there is one, and says so.
    fn abandon(&mut self, phase: Phase) -> Phase {
        match phase {
            Phase::Mail(_) | Phase::Recipients { .. } | Phase::Data(_) | Phase::Waiting(_) => {
                self.steps.push_back(Step::Notice(Notice::Abandoned));
                Phase::Identified
            }
            Phase::Greeted | Phase::Identified | Phase::Securing | Phase::Closed => phase,
        }
    }
}

impl Phase {
    /// A transaction with so many recipients.
    fn collecting(envelope: Envelope, accepted: usize) -> Phase {
        if accepted == 0 { Phase::Mail(envelope) } else { Phase::Recipients { envelope, accepted } }
    }
}

impl Waiting {
    /// The phase after the answer.
    fn after(self, positive: bool, message_limit: u64) -> Phase {
        match self {
            Waiting::Mail(envelope) if positive => Phase::Mail(envelope),
            Waiting::Mail(_) | Waiting::Message => Phase::Identified,
            Waiting::Recipient { envelope, accepted } => Phase::collecting(envelope, accepted + usize::from(positive)),
            Waiting::Data { .. } if positive => Phase::Data(Framer::new(message_limit)),
            Waiting::Data { envelope, accepted } => Phase::collecting(envelope, accepted),
        }
    }
}
