//! A whole session: random dialogs against the state machine, watched by an oracle that reads the same octets by itself.

mod lines;
mod oracle;

use std::sync::Arc;

use gatepost::smtp::reply::{self, Reply};
use gatepost::smtp::session::{Capabilities, Limits, Question, Session, Step};

use super::mutator::Random;
use super::{Target, options, outcome, pieces};
use oracle::Oracle;

pub const TARGET: Target = Target {
    name: "session",
    run,
    seeds: &["testdata/fuzz/session"],
    words: &[
        b"EHLO x\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<a@b.example>\r\n",
        b"MAIL FROM:<>\r\n",
        b"MAIL FROM:<c@d.example> SIZE=9\r\n",
        b"RCPT TO:<e@f.example>\r\n",
        b"RCPT TO:<postmaster>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\nab\r\nc",
        b"BDAT 4 LAST\r\nde\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT ",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY x\r\n",
        b"HELP\r\n",
        b"QUIT\r\n",
        b"STARTTLS\r\n\x1c",
        b"STARTTLS\r\n",
        b"\x1c",
        b"XCLIENT ADDR=192.0.2.1\r\n",
        b"text\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"..\r\n",
        b"GET / HTTP/1.1\r\n",
        b" LAST",
        b"MAIL FROM:<\xc3\xa9@b.example> SMTPUTF8\r\n",
        b"MAIL FROM:<a@b.example> REQUIRETLS\r\n",
    ],
    longest: 3000,
    briefly: 2000,
};

/// Parts of an input, each sent when the handshake before it is over.
const HANDSHAKE: u8 = 0x1c;

/// What the oracle watches: [`Session`], or something that pretends to be one.
pub trait Machine {
    /// [`Session::next`]
    fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>);
    /// [`Session::answer`]
    fn answer(&mut self, reply: Reply);
    /// [`Session::secured`]
    fn secured(&mut self);
}

impl Machine for Session {
    fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        Session::next(self, input)
    }

    fn answer(&mut self, reply: Reply) {
        Session::answer(self, reply);
    }

    fn secured(&mut self) {
        Session::secured(self);
    }
}

/// How a session is set up and what the server answers in it.
#[derive(Debug, Clone)]
pub struct Setting {
    capabilities: Capabilities,
    xclient: bool,
    /// 0: every sound question is answered in favour.
    answers: u8,
    /// Of the pieces in which the input comes.
    cuts: u8,
}

impl Setting {
    /// Of an input's first four octets: features and tight limits, the greatest message, answers, cuts. `0000` is a server that offers
    /// STARTTLS and takes everything.
    pub fn of([features, message, answers, cuts]: [u8; 4]) -> Setting {
        let tight = features & 4 != 0;
        let (errors, commands, transactions, recipients) = if tight { (2, 12, 2, 1) } else { (10, 1000, 100, 3) };
        let message = if message == b'0' { 1 << 20 } else { u64::from(message & 0x3f) * 4 };
        let limits = Limits { line: 600, message, recipients, errors, commands, transactions };
        let capabilities = Capabilities { hostname: "mx.example.com".to_owned(), starttls: features & 1 == 0, limits };
        Setting { capabilities, xclient: features & 2 != 0, answers: answers.wrapping_sub(b'0'), cuts }
    }

    /// A session of this setting.
    pub fn session(&self) -> Session {
        let mut session = Session::new(Arc::new(self.capabilities.clone()));
        if self.xclient {
            session.allow_xclient();
        }
        session
    }

    /// The answer to the question of this number.
    fn answer(&self, number: usize, question: &Question) -> Reply {
        let mut random = Random::new(u64::from(self.answers) << 32 | number as u64);
        match (self.answers, random.below(12)) {
            (1.., 0) => reply::no_such_mailbox(),
            (1.., 1) => reply::io_error(),
            (1.., 2) if self.answers & 1 == 1 => reply::shutting_down(),
            // none that fits
            (1.., 3) if self.answers & 2 == 2 => match question {
                Question::Data | Question::Chunks => reply::mail_ok(),
                _ => reply::start_data(),
            },
            _ => match question {
                Question::Mail { .. } => reply::mail_ok(),
                Question::Recipient { .. } => reply::rcpt_ok(),
                Question::TooBig { .. } => reply::too_big(),
                Question::TooManyRecipients { .. } => reply::too_many_recipients(),
                Question::Data | Question::Chunks => reply::start_data(),
                Question::Message { defect: None } => reply::accepted("REF"),
                Question::Message { defect: Some(defect) } => reply::data_defect(*defect),
            },
        }
    }
}

/// Input in the pieces in which it is read.
type Cut = fn(&[u8], u8) -> Vec<&[u8]>;

const CUTS: [Cut; 3] = [|input, _| vec![input], pieces, |input, _| input.chunks(1).collect()];

fn run(input: &[u8]) -> u64 {
    let (setting, dialog) = setting_of(input);
    let events = watch(&setting, dialog, || setting.session()).unwrap_or_else(|violation| panic!("{violation}"));
    told_apart(&events)
}

/// An outcome: short dialogs are told apart by all of their replies, long ones by how they end.
pub fn told_apart(events: &[String]) -> u64 {
    let codes: Vec<&str> = events.iter().map(|event| event.get(..5).unwrap_or(event)).collect();
    outcome(&&codes[codes.len().saturating_sub(6)..])
}

/// An input's setting, and what is said in it.
pub fn setting_of(input: &[u8]) -> (Setting, &[u8]) {
    let (options, dialog) = options(input);
    (Setting::of(options), dialog)
}

/// Plays a dialog whole, in pieces, and octet by octet: the oracle finds nothing, and it comes to the same.
///
/// # Errors
/// The first thing that should not be.
pub fn watch<M: Machine>(setting: &Setting, dialog: &[u8], machine: impl Fn() -> M) -> Result<Vec<String>, String> {
    let [whole, in_pieces, by_octets] = CUTS.map(|cut| play(setting, dialog, cut, &mut machine()));
    let whole = whole?;
    for other in [in_pieces?, by_octets?] {
        if other != whole {
            let at = whole.iter().zip(&other).take_while(|(a, b)| a == b).count();
            return Err(format!(
                "cut otherwise it comes to something else: {:?} and {:?}",
                whole.get(at),
                other.get(at)
            ));
        }
    }
    Ok(whole)
}

fn play(setting: &Setting, dialog: &[u8], cut: Cut, machine: &mut dyn Machine) -> Result<Vec<String>, String> {
    let mut oracle = Oracle::new(&setting.capabilities, setting.xclient);
    let mut buffer = Vec::new();
    for stretch in dialog.split(|octet| *octet == HANDSHAKE) {
        let mut pieces = cut(stretch, setting.cuts).into_iter().peekable();
        while let Some(piece) = pieces.next() {
            buffer.extend_from_slice(piece);
            match feed(setting, &mut buffer, machine, &mut oracle)? {
                Then::Read => {}
                Then::End => return Ok(oracle.events),
                // RFC 3207 §4.2: what was sent ahead of the handshake is an injection, and the server closes
                Then::Handshake if pieces.peek().is_some() || !buffer.is_empty() => {
                    oracle.events.push("injection".to_owned());
                    return Ok(oracle.events);
                }
                Then::Handshake => {
                    machine.secured();
                    oracle.secured()?;
                }
            }
        }
    }
    // the client is gone: what is not over is no message
    Ok(oracle.events)
}

enum Then {
    Read,
    Handshake,
    End,
}

/// Offers the buffer until the machine wants more; what it did not consume stays.
fn feed(
    setting: &Setting,
    buffer: &mut Vec<u8>,
    machine: &mut dyn Machine,
    oracle: &mut Oracle,
) -> Result<Then, String> {
    let mut position = 0;
    for _ in 0..10 * buffer.len() + 100 {
        let rest = &buffer[position..];
        let (taken, step) = machine.next(rest);
        let octets = rest.get(..taken).ok_or("more was consumed than there was")?;
        oracle.consumed(octets)?;
        position += taken;
        let after = &rest[taken..];
        match step {
            Step::NeedInput => {
                oracle.needs_input(after)?;
                buffer.drain(..position);
                return Ok(Then::Read);
            }
            Step::Content(content) => oracle.content(content)?,
            Step::Notice(notice) => oracle.notice(&notice)?,
            Step::Reply(reply) => oracle.reply(&reply)?,
            Step::Ask(question) => {
                if machine.next(b"RSET\r\n") != (0, Step::NeedInput) {
                    return Err("input was taken before the answer".to_owned());
                }
                let answer = setting.answer(oracle.asked, &question);
                oracle.question(&question, &answer)?;
                machine.answer(answer);
            }
            Step::StartTls(reply) => {
                oracle.start_tls(&reply)?;
                buffer.drain(..position);
                return Ok(Then::Handshake);
            }
            Step::Close(reply) => {
                oracle.close(&reply)?;
                let silent = machine.next(b"NOOP\r\n") == (b"NOOP\r\n".len(), Step::NeedInput);
                return if silent { Ok(Then::End) } else { Err("a closed session goes on".to_owned()) };
            }
        }
    }
    Err("it goes on and on without input".to_owned())
}
