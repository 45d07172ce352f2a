//! Finding messages in the journal: `gatepost search`, `gatepost explain MESSAGE-ID`, and what came again.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use gatepost::facts::Greylist;
use gatepost::facts::record::{Recalled, Recipient, RecipientDecision, Record};
use gatepost::facts::word::{Action, DmarcPolicy, GreylistResult, Stage};
use gatepost::observe::journal::Keys;
use tempfile::TempDir;

use crate::support::journal_lines::{decided, record, reference, unaligned};

const DAY: u64 = 86_400;
const DOCS: &str = include_str!("../../docs/explain.md");

/// A journal in ./journal with these records, each in the file of its day.
fn journal(records: &[Record]) -> TempDir {
    let directory = TempDir::new().unwrap();
    let journal = directory.path().join("journal");
    fs::create_dir(&journal).unwrap();
    for record in records {
        add(directory.path(), &record.time[..10], &serde_json::to_string(record).unwrap());
    }
    directory
}

fn add(directory: &Path, day: &str, line: &str) {
    let path = directory.join("journal").join(format!("{day}.jsonl"));
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

fn gatepost(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).current_dir(directory).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// An honest message, one that was refused at RCPT from a null reverse-path, and a forgery to two the next day.
fn three() -> Vec<Record> {
    let mut refused = record(2, "", "report.example");
    refused.facts.mail_from = Default::default();
    refused.facts.from = Default::default();
    refused.recipients = vec![Recipient {
        address: "bob@local.example".into(),
        reply: "550 5.7.25 no".into(),
        decision: Some(RecipientDecision { action: Action::Reject, rule: "no-name".into(), instead_of: None }),
        ..Recipient::default()
    }];
    decided(&mut refused, Action::Reject, "no-name");
    refused.stage = Stage::Connect;
    let mut forged = record(DAY, "mx9.evil.example", "bank.example");
    unaligned(&mut forged, DmarcPolicy::Reject, None);
    decided(&mut forged, Action::Quarantine, "dmarc");
    forged.recipients.push(Recipient { address: "Carol@Sub.Local.Example".into(), ..Recipient::default() });
    vec![record(1, "mx1.sender.example", "sender.example"), refused, forged]
}

#[test]
fn the_newest_stand_on_top_a_line_each() {
    let directory = journal(&three());
    let table = "  time                 ref               decided     by rule  client                        from                       to
  2026-11-02 00:00:00  06DBD69SG0002MC0  quarantine  dmarc    192.0.2.151 mx9.evil.example  bounce-86400@bank.example  alice@local.example +1
  2026-11-01 00:00:02  06DBD5Z808000002  reject      no-name  192.0.2.3                     <>                         bob@local.example
  2026-11-01 00:00:01  06DBD5Z804000001  accept      -        192.0.2.2 mx1.sender.example  bounce-1@sender.example    alice@local.example
";
    let (code, out, complaint) = said(&gatepost(directory.path(), &["search"]));
    assert_eq!((code, out.as_str(), complaint.as_str()), (Some(0), table, "gatepost: 3 found\n"));
    let shown: String = table.lines().map(|line| format!("    {line}\n")).collect();
    assert!(DOCS.contains(&shown), "docs/explain.md shows this table");
    let (_, out, complaint) = said(&gatepost(directory.path(), &["search", "--limit", "1"]));
    assert_eq!((out.lines().count(), out.contains("mx9.evil.example")), (2, true));
    assert_eq!(complaint, "gatepost: 1 found; there may be older ones: --limit, --until\n");
}

/// Which of the three are found, by their numbers, newest first.
fn found(directory: &Path, arguments: &[&str]) -> Vec<u64> {
    let mut all = vec!["search", "--json"];
    all.extend(arguments);
    let (code, out, complaint) = said(&gatepost(directory, &all));
    let refs: Vec<String> = out.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().reference).collect();
    assert_eq!(code, Some(i32::from(refs.is_empty())), "{arguments:?}: {complaint}");
    let number = |found: &String| [1, 2, DAY].into_iter().find(|number| reference(*number) == *found).unwrap();
    refs.iter().map(number).collect()
}

#[test]
fn filters_find_what_fits_all_of_them() {
    let directory = journal(&three());
    let day = DAY;
    let cases: &[(&[&str], &[u64])] = &[
        (&["--to", "alice@local.example"], &[day, 1]),
        (&["--to", "<ALICE@local.example>"], &[day, 1]),
        (&["--to", "local.example"], &[day, 2, 1]),
        (&["--to", "sub.local.example"], &[day]),
        (&["--to", ".local.example", "--client", "mx9.evil.example"], &[day]),
        (&["--to", ".example"], &[day, 2, 1]),
        (&["--to", "example"], &[]),
        (&["--to", "lice@local.example"], &[]),
        (&["--from", "sender.example"], &[1]),
        (&["--from", "ender.example"], &[]),
        (&["--from", "someone@bank.example"], &[day]),
        (&["--from", "bounce-1@sender.example"], &[1]),
        (&["--from", "<>"], &[2]),
        (&["--client", "192.0.2.3"], &[2]),
        (&["--client", "192.0.2.2/31"], &[2, 1]),
        (&["--client", "192.0.2.99"], &[]),
        (&["--client", ".evil.example"], &[day]),
        (&["--action", "reject"], &[2]),
        (&["--action", "accept", "--to", "local.example"], &[1]),
        (&["--rule", "dmarc"], &[day]),
        (&["--rule", "dmarc-reject"], &[]),
        (&["--since", "2026-11-02"], &[day]),
        (&["--until", "2026-11-01"], &[2, 1]),
        (&["--since", "2026-11-01T00:00:02Z", "--until", "2026-11-01T00:00:03Z"], &[2]),
    ];
    for (arguments, expected) in cases {
        assert_eq!(found(directory.path(), arguments), *expected, "{arguments:?}");
    }
}

#[test]
fn what_can_not_be_looked_for_is_told() {
    let directory = journal(&three());
    for (arguments, code, complaint) in [
        (
            ["--to", "<>"],
            2,
            "gatepost: --to \"<>\" is nobody: write an address, as alice@example.com, or a domain, as example.com\n",
        ),
        (
            ["--client", "no such"],
            2,
            "gatepost: --client \"no such\" is nobody: write an address, a network as 192.0.2.0/24, or a name as mail.example.com\n",
        ),
        (
            ["--client", "300.1.1.1"],
            2,
            "gatepost: --client \"300.1.1.1\" is nobody: write an address, a network as 192.0.2.0/24, or a name as mail.example.com\n",
        ),
        (["--to", "nobody@local.example"], 1, "gatepost: nothing in the journal in journal fits\n"),
    ] {
        let arguments = ["search", arguments[0], arguments[1]];
        assert_eq!(said(&gatepost(directory.path(), &arguments)), (Some(code), String::new(), complaint.to_owned()));
    }
    for torn in ["{\"v\":1,\"ref\":\"", "", "\u{0}\u{0}"] {
        add(directory.path(), "2026-11-01", torn);
    }
    let (_, _, complaint) = said(&gatepost(directory.path(), &["search"]));
    assert_eq!(complaint, "gatepost: 3 found; 2 lines can't be read\n");
}

#[test]
fn a_journal_without_names_is_searched_by_the_keys_that_are_kept() {
    let mut hidden = record(1, "mx1.sender.example", "sender.example");
    let directory = journal(&[]);
    let key = Keys::open(&directory.path().join("journal")).today();
    let ip = hidden.facts.client.ip;
    hidden.recipients[0].address = key.address("alice@local.example", ip);
    hidden.recipients[0].mailboxes.clear();
    hidden.facts.mail_from.address = key.address("bounce-1@sender.example", ip);
    hidden.facts.message.message_id = key.message_id("<1.msg@sender.example>", ip);
    hidden.facts.client.ip = "192.0.2.0".parse().unwrap();
    add(directory.path(), "2026-11-01", &serde_json::to_string(&hidden).unwrap());
    for arguments in [
        ["--to", "alice@local.example"],
        ["--from", "Bounce-1@sender.example"],
        ["--client", "192.0.2.77"],
        ["--client", "192.0.2.64/26"],
        ["--to", "local.example"],
    ] {
        assert_eq!(found(directory.path(), &arguments), [1], "{arguments:?}");
    }
    assert!(found(directory.path(), &["--to", "bob@local.example"]).is_empty());
    let (code, out, _) = said(&gatepost(directory.path(), &["explain", "<1.msg@sender.example>"]));
    assert!(code == Some(0) && out.contains(&reference(1)), "{out}");
}

#[test]
fn a_message_is_explained_by_its_message_id() {
    let mut records = three();
    let directory = journal(&records);
    for id in ["<1.msg@sender.example>", "1.msg@sender.example", " <1.MSG@sender.example> "] {
        let (code, out, complaint) = said(&gatepost(directory.path(), &["explain", id]));
        assert_eq!((code, complaint.as_str()), (Some(0), ""));
        assert_eq!(out, gatepost::observe::explain::story(&records[0]), "{id}");
    }
    let mut again = records.remove(0);
    (again.reference, again.time) = (reference(DAY + 7), "2026-11-02T00:00:07.000Z".into());
    add(directory.path(), "2026-11-02", &serde_json::to_string(&again).unwrap());
    let (code, out, _) = said(&gatepost(directory.path(), &["explain", "1.msg@sender.example"]));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len(), lines[0]), (Some(0), 7, "It came 2 times:"));
    assert!(lines[3].contains(&reference(DAY + 7)) && lines[4].contains(&reference(1)), "newest first: {out}");
    assert_eq!(lines[6], format!("The whole story of one: gatepost explain {}; of all: --all", reference(DAY + 7)));
    let (_, out, _) = said(&gatepost(directory.path(), &["explain", "1.msg@sender.example", "--all"]));
    assert_eq!(out.matches("\nOutcome\n").count(), 2);
    let (_, out, _) = said(&gatepost(directory.path(), &["explain", "1.msg@sender.example", "--json"]));
    assert_eq!(out.lines().count(), 2);
    let (code, _, complaint) = said(&gatepost(directory.path(), &["explain", "<none@sender.example>"]));
    assert_eq!(
        (code, complaint.as_str()),
        (Some(1), "gatepost: no message \"<none@sender.example>\" is in the journal in journal\n")
    );
}

/// A try of one message, so many seconds after the first.
fn attempt(number: u64, action: Action) -> Record {
    let mut one = record(number, "mx1.sender.example", "sender.example");
    one.facts.client.ip = "192.0.2.50".parse().unwrap();
    one.facts.mail_from.address = "ann@sender.example".into();
    one.facts.message.message_id = "<1@sender.example>".into();
    if action != Action::Accept {
        decided(&mut one, action, "greylist");
    }
    one
}

fn afterwards(records: &[Record]) -> String {
    let directory = journal(records);
    let (code, out, complaint) = said(&gatepost(directory.path(), &["explain", &records[0].reference]));
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    out.split_once("\nAfterwards\n").map(|(_, text)| text.to_owned()).unwrap_or_default()
}

#[test]
fn what_was_deferred_and_came_again_is_told() {
    let early = attempt(100, Action::Defer);
    let mut later = attempt(1_000, Action::Accept);
    later.facts.client.ip = "192.0.2.51".parse().unwrap();
    let next_day = attempt(DAY + 5_000, Action::Accept);
    let first = attempt(10, Action::Defer);
    let all = [first.clone(), early, later.clone(), next_day];
    let told = afterwards(&all);
    assert_eq!(
        told,
        format!(
            "  came again: ref {}, 90 seconds later, deferred\n  came again: ref {}, 16 minutes later, accepted\n",
            reference(100),
            reference(1_000)
        )
    );
    assert!(told.lines().all(|line| DOCS.contains(line)), "docs/explain.md shows this");
    assert_eq!(afterwards(std::slice::from_ref(&later)), "", "what was taken is not waited for");
    let none = "  it has not come again (7 days of the journal were looked through)\n";
    assert_eq!(afterwards(std::slice::from_ref(&first)), none);
    let changes: &[fn(&mut Record)] = &[
        |other| other.facts.client.ip = "198.51.100.1".parse().unwrap(),
        |other| other.facts.mail_from.address = "other@sender.example".into(),
        |other| other.facts.message.message_id = "<2@sender.example>".into(),
        |other| other.recipients[0].address = "bob@local.example".into(),
        |other| other.time = "2026-11-12T00:00:00.000Z".into(),
        |other| other.time = "2026-11-01T00:00:01.000Z".into(),
    ];
    for change in changes {
        let mut other = later.clone();
        change(&mut other);
        assert_eq!(afterwards(&[first.clone(), other]), none);
    }
    let deferred: Vec<Record> = (1..=9).map(|n| attempt(n * 600, Action::Defer)).collect();
    let told = afterwards(&deferred);
    assert_eq!(told.lines().count(), 7, "{told}");
    assert!(told.contains("  ... 3 more\n") && told.ends_with("  it has not been taken since\n"), "{told}");
}

#[test]
fn a_recipient_that_was_put_off_beside_one_that_was_taken_came_again() {
    let mut first = attempt(10, Action::Accept);
    first.recipients.push(Recipient {
        address: "carol@local.example".into(),
        reply: "452 4.5.3 another policy".into(),
        ..Recipient::default()
    });
    let mut again = attempt(70, Action::Accept);
    again.recipients[0].address = "carol@local.example".into();
    let to_alice = attempt(40, Action::Accept);
    assert_eq!(
        afterwards(&[first, to_alice, again]),
        format!("  came again: ref {}, 60 seconds later, accepted\n", reference(70))
    );
}

/// The tries of the message before it was accepted, as `explain` of the last record tells them.
fn before(records: &[Record]) -> String {
    let directory = journal(records);
    let last = &records.last().unwrap().reference;
    let (code, out, complaint) = said(&gatepost(directory.path(), &["explain", last]));
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    out.split_once("\nBefore\n").map(|(_, text)| text.to_owned()).unwrap_or_default()
}

/// A try whose recipient was answered this at RCPT, by this rule; the client went away.
fn at_rcpt(number: u64, reply: &str, rule: &str, result: GreylistResult) -> Record {
    let mut one = attempt(number, Action::Defer);
    one.stage = Stage::Rcpt;
    one.facts.message.message_id.clear();
    one.recipients[0].reply = reply.into();
    let decision = RecipientDecision { action: Action::Defer, rule: rule.into(), instead_of: None };
    one.recipients[0].decision = (!rule.is_empty()).then_some(decision);
    let greylist = Greylist { result, ..Greylist::default() };
    one.recipients[0].recalled = Some(Recalled { greylist, ..Recalled::default() });
    one
}

#[test]
fn what_was_accepted_tells_how_it_was_put_off_before() {
    let greylisted = |number, result| at_rcpt(number, "451 4.7.1 come again", "stranger", result);
    let mut first = greylisted(10, GreylistResult::New);
    first.facts.client.ip = "192.0.2.77".parse().unwrap();
    let split = at_rcpt(400, "452 4.5.3 send it again", "", GreylistResult::Unasked);
    let early = greylisted(100, GreylistResult::Early);
    let accepted = attempt(DAY + 1_000, Action::Accept);
    let told = before(&[first.clone(), early.clone(), split.clone(), accepted.clone()]);
    let lines = [
        format!(
            "  came first at 2026-11-01T00:00:10.000Z (ref {}), 24 hours before: <alice@local.example> was deferred by rule stranger, new to greylisting",
            reference(10)
        ),
        format!(
            "  came again at 2026-11-01T00:01:40.000Z (ref {}), 24 hours before: <alice@local.example> was deferred by rule stranger, too early for greylisting",
            reference(100)
        ),
        format!(
            "  came again at 2026-11-01T00:06:40.000Z (ref {}), 24 hours before: <alice@local.example> was answered 452 4.5.3 send it again",
            reference(400)
        ),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), lines);
    // a message that came after the dot and was deferred there, by its Message-ID
    let told = before(&[attempt(10, Action::Defer), attempt(700, Action::Accept)]);
    assert!(told.contains(", 11 minutes before: <alice@local.example> was deferred by rule greylist\n"), "{told}");
    // what another message went through is not this one's
    let other = attempt(200, Action::Accept);
    assert_eq!(before(&[first.clone(), other, accepted.clone()]), "");
    assert_eq!(
        before(&[first.clone(), at_rcpt(500, "451 4.7.1 no", "r", GreylistResult::Unasked)]),
        "",
        "not accepted"
    );
    let changes: &[fn(&mut Record)] = &[
        |other| other.facts.client.ip = "198.51.100.1".parse().unwrap(),
        |other| other.facts.mail_from.address = "other@sender.example".into(),
        |other| other.facts.message.message_id = "<2@sender.example>".into(),
        |other| other.recipients[0].address = "bob@local.example".into(),
        |other| other.time = "2026-10-20T00:00:00.000Z".into(),
        |other| other.time = "2026-11-03T00:00:00.000Z".into(),
    ];
    for change in changes {
        let mut other = first.clone();
        change(&mut other);
        assert_eq!(before(&[other, accepted.clone()]), "");
    }
    let many: Vec<Record> = (1..=9).map(|n| greylisted(n * 60, GreylistResult::Early)).chain([accepted]).collect();
    let told = before(&many);
    assert_eq!(told.lines().count(), 6, "{told}");
    assert!(told.contains("  ... 4 more\n"), "{told}");
}
