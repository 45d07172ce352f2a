//! Sessions that are broken on purpose: the oracle of `targets/session.rs` must name what is wrong with each, and find nothing wrong
//! with the one that is not.

use gatepost::smtp::reply::{self, Reply};
use gatepost::smtp::session::{Question, Session, Step};

use super::lab;
use super::targets::Target;
use super::targets::session::{self, Machine, setting_of, told_apart, watch};

const OPENING: &str = "0000EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";

/// What is broken.
#[derive(Clone, Copy)]
enum Fault {
    Nothing,
    /// Data ends at LF.LF, too.
    EndsAtLfDotLf,
    /// This command is answered and has no effect.
    Ignores(&'static str),
    /// The handshake changes nothing.
    KeepsAcrossTls,
    /// NOOP is answered twice.
    AnswersTwice,
    /// NOOP is not answered.
    AnswersNever,
    /// RSET is answered otherwise where nothing came with it.
    DependsOnCuts,
    /// An octet of a message's is lost.
    LosesContent,
}

/// A session with a fault.
struct Mutant {
    session: Session,
    fault: Fault,
    /// The octets of data so far.
    data: Vec<u8>,
    said: Vec<Reply>,
    /// Whether it waits for an answer.
    asked: bool,
    closed: bool,
}

impl Machine for Mutant {
    fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        if let Some(reply) = self.said.pop() {
            return (0, Step::Reply(reply));
        }
        // what it has to say or was asked goes first: a fault is in what it makes of input
        match self.session.next(b"").1 {
            Step::NeedInput if self.asked => return (0, Step::NeedInput),
            Step::NeedInput => {}
            step => return (0, self.noted(step)),
        }
        let (taken, step) = self.broken(input);
        (taken, self.noted(step))
    }

    fn answer(&mut self, reply: Reply) {
        self.asked = false;
        self.session.answer(reply);
    }

    fn secured(&mut self) {
        if !matches!(self.fault, Fault::KeepsAcrossTls) {
            self.session.secured();
        }
    }
}

impl Mutant {
    fn noted<'a>(&mut self, step: Step<'a>) -> Step<'a> {
        self.asked |= matches!(step, Step::Ask(_));
        self.closed |= matches!(step, Step::Close(_));
        step
    }

    fn broken<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        let in_data = self.session.in_data();
        let line = &input[..end_of_line(input)];
        let whole = line.ends_with(b"\r\n") && !line[..line.len() - 2].contains(&b'\r') && !self.closed;
        match self.fault {
            Fault::EndsAtLfDotLf if in_data && !input.is_empty() => self.octets_of_data(input),
            Fault::Ignores(verb) if whole && !in_data && begins(input, verb) => {
                (line.len(), Step::Reply(reply::reset()))
            }
            Fault::KeepsAcrossTls if whole && !in_data && begins(input, "STARTTLS\r\n") => {
                (line.len(), Step::StartTls(reply::start_tls()))
            }
            Fault::AnswersTwice if whole && !in_data && begins(input, "NOOP\r\n") => {
                self.said.push(reply::noop());
                (line.len(), Step::Reply(reply::noop()))
            }
            Fault::AnswersNever if whole && !in_data && begins(input, "NOOP\r\n") => (line.len(), Step::NeedInput),
            Fault::DependsOnCuts if whole && !in_data && input == b"RSET\r\n" => {
                (input.len(), Step::Reply(reply::noop()))
            }
            _ => match self.session.next(input) {
                (taken, Step::Content([_, rest @ ..]))
                    if matches!(self.fault, Fault::LosesContent) && !rest.is_empty() =>
                {
                    (taken, Step::Content(rest))
                }
                (taken, step) => (taken, step),
            },
        }
    }

    /// Data octet by octet; after LF.LF the session is told that it ended, and without a defect.
    fn octets_of_data<'a>(&mut self, input: &'a [u8]) -> (usize, Step<'a>) {
        for (at, octet) in input.chunks(1).enumerate() {
            self.data.extend(octet);
            let step = if self.data.ends_with(b"\n.\n") {
                self.session.next(b"\r\n.\r\n").1
            } else {
                self.session.next(octet).1
            };
            match step {
                Step::NeedInput => {}
                Step::Ask(_) => return (at + 1, Step::Ask(Question::Message { defect: None })),
                step => return (at + 1, step),
            }
        }
        (input.len(), Step::NeedInput)
    }
}

fn begins(input: &[u8], verb: &str) -> bool {
    input.starts_with(verb.as_bytes())
}

fn end_of_line(input: &[u8]) -> usize {
    input.iter().position(|octet| *octet == b'\n').map_or(input.len(), |at| at + 1)
}

/// What the oracle says of a session with this fault.
fn said_of(fault: Fault, dialog: &[u8]) -> Result<Vec<String>, String> {
    let (setting, dialog) = setting_of(dialog);
    let mutant = || Mutant {
        session: setting.session(),
        fault,
        data: Vec::new(),
        said: Vec::new(),
        asked: false,
        closed: false,
    };
    watch(&setting, dialog, mutant)
}

#[track_caller]
fn check(fault: Fault, dialog: &str, violation: &str) {
    let sound =
        said_of(Fault::Nothing, dialog.as_bytes()).unwrap_or_else(|violation| panic!("without a fault: {violation}"));
    assert!(!sound.is_empty());
    let found = said_of(fault, dialog.as_bytes()).expect_err("the fault is seen");
    assert!(found.contains(violation), "{found}");
}

#[test]
fn the_oracle_sees_data_that_ends_at_lf_dot_lf() {
    let smuggled = format!("{OPENING}DATA\r\na: b\r\n\r\nc\n.\nMAIL FROM:<admin@bank.example>\r\n.\r\n");
    check(Fault::EndsAtLfDotLf, &smuggled, "a delivery without CRLF.CRLF");
}

#[test]
fn the_oracle_sees_an_envelope_that_outlives_rset() {
    check(Fault::Ignores("RSET"), &format!("{OPENING}RSET\r\nDATA\r\n"), "disagree about the transaction");
}

#[test]
fn the_oracle_sees_an_envelope_that_outlives_ehlo_or_helo() {
    for greeting in ["EHLO y", "HELO y"] {
        check(Fault::Ignores(greeting), &format!("{OPENING}{greeting}\r\nDATA\r\n"), "disagree about the transaction");
    }
}

#[test]
fn the_oracle_sees_an_envelope_that_outlives_starttls() {
    check(
        Fault::KeepsAcrossTls,
        &format!("{OPENING}STARTTLS\r\n\x1cRCPT TO:<e@f.example>\r\n"),
        "STARTTLS within a transaction",
    );
    check(Fault::KeepsAcrossTls, "0000EHLO x\r\nSTARTTLS\r\n\x1cMAIL FROM:<a@b.example>\r\n", "before EHLO");
}

#[test]
fn the_oracle_sees_a_reply_too_many_and_one_too_few() {
    check(Fault::AnswersTwice, "0000NOOP\r\nNOOP\r\n", "a reply more than there are commands");
    check(Fault::AnswersNever, "0000NOOP\r\nNOOP\r\n", "a command got no reply");
}

#[test]
fn the_oracle_sees_that_cuts_make_a_difference_and_that_content_is_lost() {
    check(Fault::DependsOnCuts, "0000RSET\r\nNOOP\r\n", "cut otherwise it comes to something else");
    let sent = format!("{OPENING}DATA\r\nabc\r\n.\r\n");
    check(Fault::LosesContent, &sent, "the message is not what was sent");
}

/// The session target over a session with a fault.
macro_rules! faulty {
    ($fault:expr) => {
        Target {
            run: |input| told_apart(&said_of($fault, input).unwrap_or_else(|violation| panic!("{violation}"))),
            ..session::TARGET
        }
    };
}

/// Not only dialogs made for the purpose: from a plain one, changes at random come upon each fault within twice the inputs of a brief
/// run.
#[test]
fn random_dialogs_come_upon_every_fault() {
    for (violation, greeting, target) in [
        ("a delivery without CRLF.CRLF", "EHLO", faulty!(Fault::EndsAtLfDotLf)),
        ("disagree about the transaction", "EHLO", faulty!(Fault::Ignores("RSET"))),
        ("disagree about the transaction", "HELO", faulty!(Fault::Ignores("EHLO"))),
        ("disagree about the transaction", "EHLO", faulty!(Fault::Ignores("HELO"))),
        ("STARTTLS", "EHLO", faulty!(Fault::KeepsAcrossTls)),
        ("a reply more than there are commands", "EHLO", faulty!(Fault::AnswersTwice)),
        ("a command got no reply", "EHLO", faulty!(Fault::AnswersNever)),
        ("cut otherwise it comes to something else", "EHLO", faulty!(Fault::DependsOnCuts)),
        ("the message is not what was sent", "EHLO", faulty!(Fault::LosesContent)),
    ] {
        let plain = format!("{OPENING}DATA\r\na: b\r\n\r\nc\r\n.\r\nQUIT\r\n").replace("EHLO", greeting);
        let found = lab::explore(&target, &[plain.into_bytes()], 1, 2 * session::TARGET.briefly);
        let (_, panic) = found.failure.unwrap_or_else(|| panic!("{violation}: not found"));
        assert!(panic.contains(violation), "{violation}: after {} inputs {panic}", found.executions);
    }
}
