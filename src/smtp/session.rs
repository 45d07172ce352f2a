//! The session: which command may come when, and what follows from it (RFC 5321 §3, §4.1.4). Without I/O.
//!
//! The server offers octets to [`Session::next`] and does what the [`Step`] says; where the session asks a
//! [`Question`], it takes no input until [`Session::answer`] has the reply. Each phase of a session is a variant that
//! owns what the phase knows: what a transaction left behind cannot be seen by the next, because it is gone.

mod chunking;
mod exchange;
mod phase;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::address::{ForwardPath, ReversePath};
use super::command::{Command, CommandError, MailParameters};
use super::data::Frame;
use super::line::{Line, LineReader};
use super::reply::{self, Reply};
use super::xclient::{Address, Introduced};

pub use exchange::{Abuse, Capabilities, Limits, Notice, Question, Step};
use phase::{Envelope, Phase, Waiting};

/// A session from the greeting, which the server sends, to its end.
#[derive(Debug)]
pub struct Session {
    capabilities: Arc<Capabilities>,
    phase: Phase,
    lines: LineReader,
    /// Steps that one command or answer led to and that are not fetched yet: four at most, since no input is taken
    /// before they are.
    steps: VecDeque<Step<'static>>,
    counts: Counts,
    tls: bool,
    /// Whether the client may say for whom it speaks.
    xclient: bool,
}

#[derive(Debug, Default)]
struct Counts {
    commands: u32,
    transactions: u32,
    errors: u32,
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
            xclient: false,
        }
    }

    /// Offers and takes XCLIENT: the client is in `smtp.xclient_from`.
    pub fn allow_xclient(&mut self) {
        self.xclient = true;
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
            Phase::Chunk(_) | Phase::Refusing(_) => match mem::replace(&mut self.phase, Phase::Closed) {
                Phase::Chunk(chunk) => self.chunk(chunk, input),
                Phase::Refusing(refusing) => self.refused_chunk(refusing, input),
                _ => (input.len(), Step::NeedInput),
            },
            Phase::Greeted
            | Phase::Identified
            | Phase::Mail(_)
            | Phase::Recipients { .. }
            | Phase::Chunks(_)
            | Phase::Refused(_) => self.command(input),
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
        let reply = if waiting.takes(&reply) { reply } else { reply::internal_error() };
        let of_chunk = matches!(waiting, Waiting::Chunk { .. });
        self.phase = waiting.after(&reply, self.capabilities.limits.message);
        match (of_chunk, reply.is_positive()) {
            (false, _) => self.steps.push_back(Step::Reply(reply)),
            (true, true) => {}
            (true, false) => self.steps.push_back(Step::Notice(Notice::Abandoned)),
        }
    }

    /// TLS is up: everything that the client said before is forgotten (RFC 3207 §4.2). What counts against it is not.
    pub fn secured(&mut self) {
        self.phase = Phase::Greeted;
        self.lines = LineReader::new(self.capabilities.limits.line);
        self.steps.clear();
        self.tls = true;
    }

    /// Whether the next octets are a message's, or a refused chunk's.
    pub fn in_data(&self) -> bool {
        self.phase.in_data()
    }

    /// Whether a message comes in: its octets, or what stands between two of its chunks, those of a refused one included.
    pub fn in_message(&self) -> bool {
        self.phase.in_message()
    }

    /// Whether a transaction is open, or asked for.
    pub fn in_transaction(&self) -> bool {
        self.phase.in_transaction()
    }

    /// Whether the session is closed because there were too many mistakes.
    pub fn made_too_many_errors(&self) -> bool {
        self.counts.errors > self.capabilities.limits.errors
    }

    fn command<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        let (taken, line) = self.lines.next(input);
        let phase = mem::replace(&mut self.phase, Phase::Closed);
        self.phase = match line {
            Line::Partial => phase,
            Line::Complete(line) => self.obey(phase, line),
            Line::TooLong(head) => match CommandError::that_ends_the_session(head) {
                Some(error) => self.refuse(phase, error),
                None => self.mistake(phase, reply::line_too_long()),
            },
            // A client that ends lines so is no mail server, and what follows may be one message read as several.
            Line::BareLf => self.throw_out(phase, Abuse::BareLf, reply::bare_line_end()),
            Line::Endless => self.throw_out(phase, Abuse::EndlessLine, reply::too_many_errors()),
            Line::TlsRecord => self.throw_out(phase, Abuse::Tls, reply::not_smtp()),
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
            Err(error) => self.refuse(phase, error),
        }
    }

    fn refuse(&mut self, phase: Phase, error: CommandError) -> Phase {
        match error {
            CommandError::Foreign(abuse) => self.throw_out(phase, abuse, error.reply()),
            // what follows would be taken for commands
            CommandError::Chunk => self.close(phase, error.reply()),
            _ => self.mistake(phase, error.reply()),
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
            (phase, Command::Bdat { octets, last }) => {
                self.steps.push_back(Step::Notice(Notice::Chunk { octets, last }));
                self.bdat(phase, octets, last)
            }
            (phase, Command::Xclient { attributes }) => self.introduce(phase, attributes),
            (Phase::Greeted, _) => self.mistake(Phase::Greeted, reply::bad_order("EHLO or HELO first")),
            (phase, Command::StartTls) => self.start_tls(phase),
            (Phase::Identified | Phase::Refused(_), Command::Mail { path, parameters }) => self.mail(path, parameters),
            (phase, Command::Mail { .. }) => self.mistake(phase, reply::bad_order("a transaction is open already")),
            (Phase::Mail(envelope), Command::Rcpt { path }) => self.recipient(envelope, 0, path),
            (Phase::Recipients { envelope, accepted }, Command::Rcpt { path }) => {
                self.recipient(envelope, accepted, path)
            }
            (Phase::Recipients { envelope, accepted }, Command::Data) => {
                self.ask(Waiting::Data { envelope, accepted }, Question::Data)
            }
            (phase @ Phase::Mail(Envelope { refused: true, .. }), Command::Data) => {
                self.reply(phase, reply::no_recipients())
            }
            (phase @ Phase::Mail(_), Command::Data) => self.mistake(phase, reply::no_recipients()),
            (phase @ Phase::Chunks(_), Command::Rcpt { .. } | Command::Data) => {
                self.mistake(phase, reply::bad_order("BDAT has begun a message, end it or RSET"))
            }
            (phase, Command::Rcpt { .. } | Command::Data) => self.mistake(phase, reply::bad_order("MAIL first")),
        }
    }

    fn helo(&mut self, phase: Phase, name: &str, extended: bool) -> Phase {
        self.abandon(phase);
        let notice = Notice::Helo { name: name.to_owned(), extended };
        self.steps.push_back(Step::Notice(notice));
        let capabilities = &self.capabilities;
        let reply = if extended {
            reply::ehlo(capabilities, name, self.tls, self.xclient)
        } else {
            reply::helo(&capabilities.hostname, name)
        };
        self.reply(Phase::Identified, reply)
    }

    fn introduce(&mut self, phase: Phase, attributes: &[u8]) -> Phase {
        if !self.xclient {
            return self.mistake(phase, reply::not_implemented());
        }
        if phase.in_transaction() {
            return self.mistake(phase, reply::bad_order("not within a transaction"));
        }
        match Introduced::parse(attributes) {
            Err(why) => self.mistake(phase, reply::bad_argument(why)),
            Ok(introduced) => {
                if introduced.address != Address::Same {
                    // what another client did does not count against this one
                    self.counts.errors = 0;
                }
                self.steps.push_back(Step::Notice(Notice::Introduced(introduced)));
                let greeting = reply::greeting(&self.capabilities.hostname);
                self.reply(Phase::Greeted, greeting)
            }
        }
    }

    fn start_tls(&mut self, phase: Phase) -> Phase {
        if self.tls {
            return self.mistake(phase, reply::bad_order("TLS is on already"));
        }
        if !self.capabilities.starttls {
            return self.mistake(phase, reply::not_implemented());
        }
        if !matches!(phase, Phase::Identified | Phase::Refused(_)) {
            return self.mistake(phase, reply::bad_order("not within a transaction"));
        }
        self.steps.push_back(Step::StartTls(reply::start_tls()));
        Phase::Securing
    }

    fn mail(&mut self, path: &[u8], parameters: MailParameters) -> Phase {
        let MailParameters { size, body, smtputf8, require_tls } = parameters;
        if require_tls && !self.tls {
            // it was not offered (RFC 8689 §3)
            return self.mistake(Phase::Identified, reply::unknown_parameter());
        }
        let reverse_path = match ReversePath::parse(path, smtputf8) {
            Ok(reverse_path) => reverse_path,
            Err(error) => return self.mistake(Phase::Identified, reply::bad_reverse_path(error)),
        };
        self.counts.transactions = self.counts.transactions.saturating_add(1);
        if self.counts.transactions > self.capabilities.limits.transactions {
            return self.close(Phase::Identified, reply::too_many_transactions());
        }
        if size.is_some_and(|size| size > self.capabilities.limits.message) {
            return self.ask(Waiting::TooBig, Question::TooBig { reverse_path });
        }
        self.ask(
            Waiting::Mail(Envelope { smtputf8, refused: false }),
            Question::Mail { reverse_path, size, body, smtputf8 },
        )
    }

    fn recipient(&mut self, envelope: Envelope, accepted: usize, path: &[u8]) -> Phase {
        let forward_path = match ForwardPath::parse(path, envelope.smtputf8) {
            Ok(forward_path) => forward_path,
            Err(error) => return self.mistake(Phase::collecting(envelope, accepted), reply::bad_forward_path(error)),
        };
        if accepted >= self.capabilities.limits.recipients {
            return self.ask(Waiting::TooMany { envelope, accepted }, Question::TooManyRecipients { forward_path });
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
        if self.counts_a_mistake_too_many() {
            return self.close(phase, reply::too_many_errors());
        }
        self.reply(phase, reply)
    }

    /// Counts a mistake; says whether it is one too many.
    fn counts_a_mistake_too_many(&mut self) -> bool {
        self.counts.errors = self.counts.errors.saturating_add(1);
        self.made_too_many_errors()
    }

    fn close(&mut self, phase: Phase, reply: Reply) -> Phase {
        self.abandon(phase);
        self.steps.push_back(Step::Close(reply));
        Phase::Closed
    }

    fn throw_out(&mut self, phase: Phase, abuse: Abuse, reply: Reply) -> Phase {
        let phase = self.abandon(phase);
        self.steps.push_back(Step::Notice(Notice::Abuse(abuse)));
        self.close(phase, reply)
    }

    /// Ends the transaction, if there is one, and says so.
    fn abandon(&mut self, phase: Phase) -> Phase {
        if phase.in_transaction() {
            self.steps.push_back(Step::Notice(Notice::Abandoned));
            return Phase::Identified;
        }
        if matches!(phase, Phase::Refused(_)) { Phase::Identified } else { phase }
    }
}
