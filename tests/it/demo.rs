//! `gatepost demo`, as a person runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gatepost::cli::{self, Exit};
use gatepost::demo::client::{Answer, stuffed};
use gatepost::demo::expected::{Expected, Seen};
use gatepost::demo::report::Tally;
use gatepost::demo::samples::{Sample, samples};
use gatepost::demo::zone::Signers;
use gatepost::demo::{Outcome, table};
use gatepost::facts::record::{DecisionRecord, DeliveryRecord, PolicyRecord, Record, Timings};
use gatepost::facts::word::Action;
use gatepost::facts::{Dkim, DmarcResult, Facts, MethodResult, Stage};
use unicode_width::UnicodeWidthStr;

use crate::support::programs;

/// No test waits longer for the program.
const DEADLINE: Duration = Duration::from_secs(60);

fn all_samples() -> Vec<Sample> {
    samples(&Signers::new().unwrap(), jiff::Timestamp::now()).unwrap()
}

fn gatepost(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(words).stdin(Stdio::null()).env_remove("GATEPOST_LOG").env_remove("CLICOLOR_FORCE");
    command
}

/// Runs it with a directory of temporary files of its own.
fn run(command: &mut Command, temporary: &Path) -> (Output, String, String) {
    let output = command.env("TMPDIR", temporary).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

/// The lines of the table that tell of a sample.
fn row_of<'a>(out: &'a str, title: &str) -> &'a str {
    let (_, after) = out.split_once(title).unwrap_or_else(|| panic!("{title:?} is not in\n{out}"));
    after.split("\n\n").next().unwrap()
}

#[test]
fn once_shows_every_sample_decided_as_expected_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let (output, out, err) = run(&mut gatepost(&["demo", "--once"]), temporary.path());
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert_eq!(err, "");
    assert!(!out.contains("All that it writes"), "it is gone at the end: {out}");
    for Sample { title, expected, .. } in all_samples() {
        let row = row_of(&out, title);
        let decision = format!("{} {}", expected.action.as_str().to_uppercase(), expected.reply);
        assert!(row.contains(&decision), "{decision} is not in {row}");
        assert!(row.contains(expected.rule), "{} is not in {row}", expected.rule);
        let place = match expected.stored {
            Some((_, folder)) => format!("to alice, {folder}"),
            None => "nothing stored".to_owned(),
        };
        assert!(row.contains(&place), "{place} is not in {row}");
    }
    assert!(out.contains("12 messages: 3 accepted, 3 quarantined, 6 refused; each as expected"), "{out}");
    assert!(!out.contains('\u{1b}'), "colour in a pipe");
    for line in out.lines().filter(|line| !line.contains(temporary.path().to_str().unwrap())) {
        assert!(line.width() <= table::WIDTH, "{} columns: {line}", line.width());
        assert_eq!(line, line.trim_end(), "blanks at the end");
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "its directory is still there");
}

#[test]
fn the_table_shows_the_evidence_that_each_title_speaks_of() {
    let temporary = tempfile::tempdir().unwrap();
    let (_, out, _) = run(&mut gatepost(&["demo", "--once"]), temporary.path());
    for (title, evidence) in [
        ("Honest", &["SPF   pass", "DKIM  pass ed25519", "DMARC pass p=reject", "PTR pass", "rMX pass"][..]),
        ("Forwarded", &["SPF   fail", "DKIM  pass rsa", "DMARC pass p=reject", "rMX fail"]),
        ("Forged author of a p=reject", &["SPF   fail", "DKIM  none", "DMARC fail p=reject", "told "]),
        ("The same by a mailing list", &["SPF   pass", "DKIM  fail", "DMARC fail p=reject"]),
        ("Forged author of a p=quarantine", &["DMARC fail p=quarantine"]),
        ("Forged author of a p=none", &["DMARC fail p=none", "score 3"]),
        ("Two From fields", &["security@bank.example, ", "several-fields"]),
        ("does not exist", &["rMX no MX", "nowhere.example does not exist"]),
        ("has a null MX", &["rMX no MX", "takes no mail"]),
        ("No reverse name", &["PTR none", "rMX fail", "SPF   none"]),
        ("Unknown recipient", &["by SMTP, no rule", "no such mailbox"]),
        ("Relay attempt", &["by SMTP, no rule", "relaying is denied"]),
    ] {
        let row = row_of(&out, title);
        for words in evidence {
            assert!(row.contains(words), "{words:?} is not in {row}");
        }
    }
}

#[test]
fn the_samples_are_of_every_kind() {
    let samples = all_samples();
    for action in [Action::Accept, Action::Quarantine, Action::Reject] {
        let of_action = samples.iter().filter(|sample| sample.expected.action == action).count();
        assert!(of_action >= 3, "{action}: {of_action}");
    }
    let mut titles: Vec<&str> = samples.iter().map(|sample| sample.title).collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), samples.len());
}

const EXPECTED: Expected = Expected {
    reply: "250 2.0.0",
    action: Action::Quarantine,
    rule: "some-rule",
    stored: Some(("alice@gate.example", "Junk")),
    evidence: Some((MethodResult::Pass, &[MethodResult::Fail], DmarcResult::Fail)),
};

/// What is seen when all is as `EXPECTED`.
fn seen() -> Seen {
    let mut facts = Facts::default();
    facts.spf.mail_from.result = MethodResult::Pass;
    facts.dkim = vec![Dkim { result: MethodResult::Fail, ..Dkim::default() }];
    facts.dmarc.result = DmarcResult::Fail;
    let reply = "250 2.0.0 accepted, ref=06H0DY4Y856C4S3P";
    let copy = DeliveryRecord {
        mailbox: "alice@gate.example".into(),
        folder: "Junk".into(),
        file: "gate.example/alice/.Junk/new/1".into(),
    };
    Seen {
        answer: Answer { line: reply.into() },
        record: Record {
            v: 1,
            reference: "06H0DY4Y856C4S3P".into(),
            time: "2026-11-23T05:54:46.000Z".into(),
            stage: Stage::Data,
            facts,
            greylist_of_message: false,
            recipients: Vec::new(),
            recipients_more: 0,
            rules: Vec::new(),
            policy: PolicyRecord::default(),
            decision: DecisionRecord {
                action: Action::Quarantine,
                rule: "some-rule".into(),
                reply: reply.into(),
                ..DecisionRecord::default()
            },
            delivery: vec![copy],
            trouble: String::new(),
            timings_us: Timings::default(),
            cut: Vec::new(),
        },
    }
}

/// How a run of this one sample would end.
fn exit_after(seen: &Seen) -> Exit {
    let mut tally = Tally::default();
    tally.count(seen.record.decision.action, EXPECTED.differences(seen).is_empty(), &seen.record.reference);
    cli::demo::exit(true, Ok(Outcome::Ran(tally)))
}

#[test]
fn whatever_differs_is_told_in_the_table_and_makes_once_fail() {
    assert_eq!(EXPECTED.differences(&seen()), Vec::<String>::new());
    assert_eq!(exit_after(&seen()), Exit::Fine);
    type Change = fn(&mut Seen);
    let changes: [(&str, Change); 10] = [
        ("reply: expected 250 2.0.0, got 550 5.7.1", |seen| seen.answer.line = "550 5.7.1 no".into()),
        ("journalled reply: expected 250 2.0.0, got none", |seen| seen.record.decision.reply.clear()),
        ("action: expected quarantine, got accept", |seen| seen.record.decision.action = Action::Accept),
        ("rule: expected some-rule, got none", |seen| seen.record.decision.rule.clear()),
        ("stored: expected alice@gate.example Junk, got alice@gate.example INBOX", |seen| {
            seen.record.delivery[0].folder = "INBOX".into();
        }),
        ("stored: expected alice@gate.example Junk, got none", |seen| seen.record.delivery.clear()),
        ("stage: expected data, got rcpt", |seen| seen.record.stage = Stage::Rcpt),
        ("SPF: expected pass, got none", |seen| seen.record.facts.spf.mail_from.result = MethodResult::None),
        ("DKIM: expected fail, got none", |seen| seen.record.facts.dkim.clear()),
        ("DMARC: expected fail, got pass", |seen| seen.record.facts.dmarc.result = DmarcResult::Pass),
    ];
    for (difference, change) in changes {
        let mut seen = seen();
        change(&mut seen);
        let differences = EXPECTED.differences(&seen);
        assert_eq!(differences, [difference]);
        assert_eq!(exit_after(&seen), Exit::Failed, "{difference}");
        let row = table::row(1, "a sample", &seen, &differences);
        assert!(row.contains("NOT AS EXPECTED") && row.contains(difference), "{row}");
    }
}

#[test]
fn a_sample_that_came_to_nothing_and_an_interruption_make_once_fail() {
    let mut tally = Tally::default();
    tally.count_unknown();
    assert_eq!(cli::demo::exit(true, Ok(Outcome::Ran(tally))), Exit::Failed);
    assert_eq!(cli::demo::exit(true, Ok(Outcome::Interrupted)), Exit::Failed);
    assert_eq!(cli::demo::exit(false, Ok(Outcome::Interrupted)), Exit::Fine);
    let row = table::failed_row(7, "a sample", "it could not be \u{1b}[31msent");
    assert!(row.contains("NOT AS EXPECTED  it could not be \\u{1b}[31msent"), "{row:?}");
}

#[test]
fn the_client_doubles_dots_and_ends_every_message() {
    for (message, wire) in [
        ("", ".\r\n"),
        ("a\r\n", "a\r\n.\r\n"),
        ("a", "a\r\n.\r\n"),
        (".\r\n", "..\r\n.\r\n"),
        ("a\r\n.b\r\n..\r\nc.\r\n", "a\r\n..b\r\n...\r\nc.\r\n.\r\n"),
    ] {
        assert_eq!(String::from_utf8(stuffed(message.as_bytes())).unwrap(), wire, "{message:?}");
    }
}

#[test]
fn the_client_reads_code_text_and_ref_of_an_answer() {
    for (line, code, text, reference) in [
        ("250 2.0.0 accepted, ref=0123456789ABCDEF", 250, "250 2.0.0 accepted", Some("0123456789ABCDEF")),
        ("550 5.7.1 no ref=0123456789ABCDEF", 550, "550 5.7.1 no", Some("0123456789ABCDEF")),
        ("421 4.3.2 busy", 421, "421 4.3.2 busy", None),
        ("", 0, "", None),
    ] {
        let answer = Answer { line: line.into() };
        assert_eq!((answer.code(), answer.text(), answer.reference()), (code, text, reference), "{line:?}");
    }
}

/// A demo that stays up; ended whatever becomes of the test.
struct Demo {
    child: Child,
    lines: mpsc::Receiver<String>,
    out: String,
}

impl Demo {
    fn start(temporary: &Path) -> Demo {
        let mut command = gatepost(&["demo"]);
        command.env("TMPDIR", temporary).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Demo { child, lines, out: String::new() }
    }

    /// Reads on until a line has these words.
    fn until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no {words:?} in\n{}", self.out));
            self.out.push_str(&line);
            self.out.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    /// What stands behind these words in what was printed, up to a space.
    fn after(&self, words: &str) -> &str {
        let (_, after) = self.out.split_once(words).unwrap_or_else(|| panic!("no {words:?} in\n{}", self.out));
        after.split_whitespace().next().unwrap()
    }

    /// As Ctrl-C does; gives the exit code and what was complained of.
    fn interrupt(&mut self) -> (Option<i32>, String) {
        let kill = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), err)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says the lines one after the other and gives the last reply but the goodbye.
fn send(server: SocketAddr, lines: &[&str]) -> String {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let mut reply = move || {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(replies.read_line(&mut line).unwrap() > 0, "the server hung up");
            if line.as_bytes().get(3) == Some(&b' ') {
                return line.clone();
            }
        }
    };
    reply();
    let mut last = String::new();
    for line in lines {
        (&stream).write_all(line.as_bytes()).unwrap();
        last = reply();
    }
    (&stream).write_all(b"QUIT\r\n").unwrap();
    reply();
    last
}

#[test]
fn it_stays_up_takes_ones_own_mail_and_stops_at_ctrl_c() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path());
    demo.until("Ctrl-C stops it");
    let server: SocketAddr = demo.after("swaks --server ").parse().unwrap();
    let directory = PathBuf::from(demo.after("All that it writes is in "));

    let own = |from: &str, helo: &str| {
        let helo = format!("EHLO {helo}\r\n");
        let mail = format!("MAIL FROM:<{from}>\r\n");
        let message = format!("From: {from}\r\nSubject: mine\r\n\r\nHello\r\n.\r\n");
        send(server, &[&helo, &mail, "RCPT TO:<alice@gate.example>\r\n", "DATA\r\n", &message])
    };
    let taken = own("you@you.example", "you.example");
    assert!(taken.starts_with("250 2.0.0 "), "{taken}");
    let refused = own("boss@bank.example", "mail.isp.example");
    assert!(refused.starts_with("550 5.7.1 bank.example asks receivers"), "{refused}");
    for (number, reply) in [(13, &taken), (14, &refused)] {
        let reference = reply.rsplit_once("ref=").unwrap().1.trim();
        let first = demo.until(reference);
        assert!(first.starts_with(&format!("{number}  Yours, ")), "{first}");
    }
    demo.until("told     550 5.7.1 bank.example");

    let inbox = directory.join("mail/gate.example/alice/new");
    let is_mine = |file: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(file.unwrap().path()).unwrap().contains("\nSubject: mine\n")
    };
    assert_eq!(std::fs::read_dir(&inbox).unwrap().map(is_mine).filter(|mine| *mine).count(), 1);

    let http: SocketAddr = demo.after("curl http://").split_once('/').unwrap().0.parse().unwrap();
    let mut page = TcpStream::connect(http).unwrap();
    page.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    page.read_to_string(&mut text).unwrap();
    assert!(text.contains("gatepost_decisions_total{action=\"reject\",rule=\"dmarc-reject\"} 2"), "{text}");

    let config = directory.join("gatepost.toml");
    let printed = demo.after("explain ").to_owned();
    for reference in [&printed, refused.rsplit_once("ref=").unwrap().1.trim()] {
        let words = ["explain", reference, "--config", config.to_str().unwrap()];
        let (output, story, err) = run(&mut gatepost(&words), temporary.path());
        assert_eq!(output.status.code(), Some(0), "{err}");
        assert!(story.contains("dmarc-reject"), "{story}");
    }

    let attempt = demo.out.lines().find(|line| line.contains(" try --config ")).unwrap().to_owned();
    let words: Vec<&str> = attempt.split_whitespace().skip(1).collect();
    let (output, story, err) = run(&mut gatepost(&words), temporary.path());
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(story.contains("reverse-path-null-mx"), "{story}");

    let (code, err) = demo.interrupt();
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(inbox.is_dir(), "what was written stays");
}

#[test]
fn the_printed_swaks_commands_work() {
    let Some(program) = programs::program("swaks") else {
        return programs::left_out("swaks is not on this machine (make packages gets it)");
    };
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path());
    demo.until("Ctrl-C stops it");
    let commands: Vec<String> =
        demo.out.lines().filter(|line| line.contains("swaks --server")).map(str::to_owned).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for (command, reply) in commands.iter().zip(["250 2.0.0 accepted", "550 5.7.1 bank.example"]) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut swaks = programs::command("swaks").unwrap();
        let output = swaks.args(&words[1..]).stdin(Stdio::null()).output().unwrap();
        let dialog = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(dialog.contains(reply), "{} of {}: {dialog}", words.join(" "), program.display());
    }
    assert_eq!(demo.interrupt().0, Some(0));
}

#[test]
fn the_readme_shows_the_table_as_it_is() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, table) = readme.split_once("<!-- demo table: begin -->").unwrap();
    let (table, _) = table.split_once("<!-- demo table: end -->").unwrap();
    for Sample { title, expected, .. } in all_samples() {
        let row = row_of(table, title);
        let decision = format!("{} {}", expected.action.as_str().to_uppercase(), expected.reply);
        assert!(row.contains(&decision) && row.contains(expected.rule), "{decision} is not in {row}");
    }
}

#[test]
fn ports_that_are_taken_are_said_and_replaced() {
    let temporary = tempfile::tempdir().unwrap();
    // another test's demo holds it for a moment; whoever holds it for longer serves the purpose as well
    let deadline = Instant::now() + Duration::from_secs(10);
    let taken = || std::net::TcpListener::bind("127.0.0.1:2525").ok();
    let mut listener = taken();
    while listener.is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        listener = taken();
    }
    let (output, out, err) = run(&mut gatepost(&["demo", "--once"]), temporary.path());
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("Port 2525 is taken, so 127.0.0.1:"), "{out}");
}

#[test]
fn no_directory_for_its_files_is_one_line_and_exit_2() {
    let (output, out, err) = run(&mut gatepost(&["demo", "--once"]), Path::new("/nonexistent"));
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(err.starts_with("gatepost: a directory for the demo's files can't be made"), "{err}");
    assert_eq!((out.as_str(), err.matches('\n').count()), ("", 1), "{err}");
}

#[test]
fn without_its_senders_addresses_it_says_so_in_one_line_and_exits_2() {
    let temporary = tempfile::tempdir().unwrap();
    // in a fresh network namespace loopback is down, and 127.0.0.11 is out of reach as it is on macOS
    let isolated = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", program]).stdin(Stdio::null()).env_remove("GATEPOST_LOG");
        command
    };
    if !isolated("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("left out: no network namespace can be made here");
        return;
    }
    let (output, out, err) = run(isolated(env!("CARGO_BIN_EXE_gatepost")).args(["demo", "--once"]), temporary.path());
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(err.contains("this host can't use 127.0.0.11"), "{err}");
    assert_eq!((out.as_str(), err.matches('\n').count()), ("", 1), "{err}");
}
