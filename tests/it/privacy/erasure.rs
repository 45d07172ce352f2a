//! `gatepost journal erase` and `export`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost::facts::record::{DeliveryRecord, Recipient, Record};
use gatepost::observe::journal::{Erased, Journal, Settings, Spellings, Subject, erase, export, find};
use tempfile::TempDir;

use crate::journal::{record, reference};

const TWO_WEEKS: Duration = Duration::from_secs(14 * 86_400);
const PATIENCE: Duration = Duration::from_secs(20);

fn subject(directory: &Path, address: &str) -> Subject {
    Subject::new(address, &Spellings::read(directory).unwrap()).unwrap()
}

/// A record that has nothing to do with alice.
fn stranger(time: &str, random: u32) -> Record {
    let mut record = record(time, random);
    record.recipients = vec![Recipient { address: "bob@example.com".into(), ..Recipient::default() }];
    record
}

fn write(directory: &Path, records: impl IntoIterator<Item = Record>) {
    let journal = Journal::open(directory, TWO_WEEKS).unwrap();
    journal.start().unwrap();
    records.into_iter().for_each(|record| journal.record(record));
    assert_eq!(journal.close(PATIENCE), 0);
}

/// Puts an address somewhere.
type Put = fn(&mut Record);

/// Each way in which alice@example.com can stand in a record.
fn ways() -> Vec<(&'static str, Put)> {
    vec![
        ("reverse-path", |record| record.facts.mail_from.address = "Alice@Example.COM".into()),
        ("quoted", |record| record.facts.mail_from.address = "\"alice\"@example.com".into()),
        ("author", |record| record.facts.from.addresses = vec!["x@y.example".into(), "alice@example.com".into()]),
        ("recipient with a detail", |record| record.recipients[0].address = "alice+news@example.com".into()),
        ("mailbox", |record| record.recipients[0].mailboxes = vec!["alice@example.com".into()]),
        ("delivery", |record| {
            record.delivery = vec![DeliveryRecord {
                mailbox: "alice@example.com".into(),
                folder: "INBOX".into(),
                file: "example.com/alice/new/1.M2.host,S=3".into(),
            }];
        }),
        ("reply", |record| record.decision.reply = "550 5.7.1 <ALICE@example.com> no, alice! ref=X".into()),
        ("VERP", |record| record.facts.mail_from.address = "bounce-alice=example.com@list.example".into()),
        ("SRS", |record| record.facts.mail_from.address = "SRS0=ab=cd=example.com=alice@forwarder.example".into()),
        ("trouble", |record| record.trouble = "example.com/alice: this is no directory".into()),
        ("Message-ID", |record| record.facts.message.message_id = "<alice@example.com>".into()),
    ]
}

#[test]
fn the_codes_of_a_reply_and_the_name_of_a_policy_are_nobodys() {
    for local in ["250", "2.1.5", "default"] {
        let directory = TempDir::new().unwrap();
        let mut about = stranger("2026-11-22T10:00:00.000Z", 1);
        about.facts.mail_from.address = format!("{local}@example.com");
        about.decision.reply = format!("250 2.1.5 for {local}");
        about.policy.file = "policies/default.toml".into();
        write(directory.path(), [about.clone()]);
        let subject = subject(directory.path(), &format!("{local}@example.com"));
        assert_eq!(erase(directory.path(), &subject, false).unwrap().changed, 1);
        let left = gatepost::observe::journal::find(directory.path(), &about.reference).unwrap().unwrap();
        assert_eq!(left.facts.mail_from.address, "~erased@example.com");
        assert_eq!(left.decision.reply, "250 2.1.5 for ~erased");
        assert_eq!(left.policy.file, "policies/default.toml");
    }
}

#[test]
fn every_trace_goes_and_nothing_else() {
    for (way, put) in ways() {
        let directory = TempDir::new().unwrap();
        let mut about = stranger("2026-11-22T10:00:00.000Z", 1);
        put(&mut about);
        let other = stranger("2026-11-22T11:00:00.000Z", 2);
        write(directory.path(), [about.clone(), other.clone()]);
        let subject = subject(directory.path(), "alice@example.com");
        let mut exported = Vec::new();
        assert_eq!(export(directory.path(), &subject, &mut exported).unwrap().found, 1, "{way}");
        assert_eq!(serde_json::from_slice::<Record>(&exported).unwrap(), about, "{way}");
        let erased = erase(directory.path(), &subject, false).unwrap();
        assert_eq!(erased, Erased { days: 1, days_changed: 1, records: 2, changed: 1, ..Erased::default() }, "{way}");
        let text = fs::read_to_string(directory.path().join("2026-11-22.jsonl")).unwrap();
        assert!(!text.to_lowercase().contains("alice"), "{way}: {text}");
        assert!(text.contains("~erased"), "{way}: {text}");
        let left = find(directory.path(), &about.reference).unwrap().unwrap();
        assert_eq!((left.decision.action, &left.rules), (about.decision.action, &about.rules), "{way}");
        assert_eq!(find(directory.path(), &other.reference).unwrap().unwrap(), other, "{way}");
        assert_eq!(erase(directory.path(), &subject, false).unwrap().changed, 0, "{way}: a second time");
    }
}

#[test]
fn others_of_a_like_name_stay_to_the_letter() {
    let directory = TempDir::new().unwrap();
    let likes = [
        "malice@example.com",
        "alice.b@example.com",
        "x-alice@example.com",
        "alice@example.com.evil.example",
        "alice@sub.example.com",
        "alice@example.community",
        "alicee@example.com",
        "alice-2@example.com",
    ];
    let records = likes.iter().zip(1..).map(|(like, n)| {
        let mut record = stranger("2026-11-22T10:00:00.000Z", n);
        record.facts.mail_from.address = (*like).into();
        record
    });
    write(directory.path(), records);
    let path = directory.path().join("2026-11-22.jsonl");
    let before = fs::read(&path).unwrap();
    let erased = erase(directory.path(), &subject(directory.path(), "alice@example.com"), false).unwrap();
    assert_eq!((erased.records, erased.changed), (likes.len() as u64, 0));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn torn_and_foreign_lines_are_passed_over_and_removed_where_they_hold_the_address() {
    let directory = TempDir::new().unwrap();
    let about = record("2026-11-22T10:00:00.000Z", 1);
    let line = serde_json::to_string(&about).unwrap();
    let torn = &line[..line.find("alice@example.com").unwrap() + 20];
    let text = format!("{line}\nnot ours\n{torn}\n\n{{\"v\":2}}\n\u{0}\u{0}\u{0}\n{torn}");
    fs::write(directory.path().join("2026-11-22.jsonl"), text).unwrap();
    let subject = subject(directory.path(), "alice@example.com");
    let mut exported = Vec::new();
    let counts = export(directory.path(), &subject, &mut exported).unwrap();
    assert_eq!((counts.found, counts.skipped), (1, 5));
    let erased = erase(directory.path(), &subject, false).unwrap();
    assert_eq!((erased.records, erased.changed, erased.removed, erased.skipped), (1, 1, 2, 3));
    let text = fs::read_to_string(directory.path().join("2026-11-22.jsonl")).unwrap();
    assert!(!text.contains("alice") && text.contains("not ours") && text.contains("{\"v\":2}"), "{text}");
}

#[test]
fn pseudonyms_are_found_while_their_key_is_kept() {
    let directory = TempDir::new().unwrap();
    let settings = Settings { keep: TWO_WEEKS, keep_audit: TWO_WEEKS, pseudonymise: true };
    let journal = Journal::open_with(directory.path(), settings).unwrap();
    journal.start().unwrap();
    // two weeks, two keys
    for time in ["2090-01-01T10:00:00.000Z", "2090-01-02T10:00:00.000Z"] {
        journal.record(record(time, 1));
        journal.record(stranger(time, 2));
    }
    assert_eq!(journal.close(PATIENCE), 0);
    let subject = subject(directory.path(), "alice@example.com");
    let mut exported = Vec::new();
    assert_eq!(export(directory.path(), &subject, &mut exported).unwrap().found, 2);
    let erased = erase(directory.path(), &subject, false).unwrap();
    assert_eq!((erased.days_changed, erased.records, erased.changed), (2, 4, 2));
    let left = find(directory.path(), &reference("2090-01-01T10:00:00.000Z", 1)).unwrap().unwrap();
    assert_eq!(left.recipients[0].address, "~erased@example.com");
    assert_eq!(left.recipients[0].mailboxes, ["~erased@example.com"]);
    assert!(left.facts.mail_from.address.starts_with("~k"), "another's pseudonym stays");
}

/// Records of 2026-11-22 as a journal without names has them.
fn write_without_names(directory: &Path, records: impl IntoIterator<Item = Record>) {
    let settings = Settings { keep: 1_000 * TWO_WEEKS, keep_audit: TWO_WEEKS, pseudonymise: true };
    let journal = Journal::open_with(directory, settings).unwrap();
    journal.start().unwrap();
    records.into_iter().for_each(|record| journal.record(record));
    assert_eq!(journal.close(PATIENCE), 0);
}

#[test]
fn a_detail_is_found_under_a_pseudonym_too() {
    let time = "2026-11-22T10:00:00.000Z";
    let sent_to = |n: u32, address: &str| {
        let mut record = stranger(time, n);
        record.recipients[0].address = address.into();
        record.decision.reply = format!("550 5.7.1 <{address}> no ref=X");
        record
    };
    let all = ["alice@example.com", "Alice+News@example.com", "alice+shop@example.com", "\"alice\"@example.com"];
    // (asked for, how many of them are meant)
    for (asked, found) in [("alice@example.com", 4), ("alice+news@example.com", 1), ("alice+other@example.com", 0)] {
        let directory = TempDir::new().unwrap();
        let likes = ["malice+news@example.com", "alice+news@example.net", "bob@example.com"];
        write_without_names(directory.path(), all.iter().chain(&likes).zip(1..).map(|(one, n)| sent_to(n, one)));
        let subject = subject(directory.path(), asked);
        let mut exported = Vec::new();
        assert_eq!(export(directory.path(), &subject, &mut exported).unwrap().found, found, "{asked}");
        assert_eq!(erase(directory.path(), &subject, false).unwrap().changed, found, "{asked}");
        assert_eq!(erase(directory.path(), &subject, false).unwrap().changed, 0, "{asked}: a second time");
        let text = fs::read_to_string(directory.path().join("2026-11-22.jsonl")).unwrap();
        assert_eq!(text.matches("\"address\":\"~erased@example.com\"").count() as u64, found, "{asked}: {text}");
        assert_eq!(text.matches("<~erased@example.com> no").count() as u64, found, "{asked}: no half is left: {text}");
    }
}

#[test]
fn no_line_is_lost_while_the_server_writes() {
    let directory = TempDir::new().unwrap();
    let journal = Journal::open(directory.path(), TWO_WEEKS).unwrap();
    journal.start().unwrap();
    let time = "2026-11-22T10:00:00.000Z";
    let written = 6_000_u32;
    let subject = subject(directory.path(), "alice@example.com");
    let erasures = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 1..=written {
                journal.record(if n % 10 == 0 { record(time, n) } else { stranger(time, n) });
                if n % 20 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mut erasures = 0;
        while !writer.is_finished() {
            erasures += u64::from(erase(directory.path(), &subject, false).unwrap().changed > 0);
        }
        erasures
    });
    assert!(erasures > 0, "none fell into the writing");
    assert_eq!(journal.close(PATIENCE), 0);
    assert_eq!(journal.counters().dropped.load(Ordering::Relaxed), 0);
    assert_eq!(journal.counters().errors.load(Ordering::Relaxed), 0);
    erase(directory.path(), &subject, false).unwrap();
    let text = fs::read_to_string(directory.path().join("2026-11-22.jsonl")).unwrap();
    let mut references: Vec<String> =
        text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().reference).collect();
    assert_eq!(references.len(), written as usize);
    references.sort();
    references.dedup();
    assert_eq!(references.len(), written as usize, "each once");
    assert!(!text.contains("alice"));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["2026-11-22.jsonl"]);
}

#[test]
fn what_an_erasure_that_was_cut_off_has_left_is_removed() {
    let directory = TempDir::new().unwrap();
    let left = directory.path().join(".erase-2026-11-22-4711.tmp");
    fs::write(&left, "alice@example.com\n").unwrap();
    write(directory.path(), []);
    assert!(!left.exists());
}

#[test]
fn the_file_keeps_its_mode() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), [record("2026-11-22T10:00:00.000Z", 1)]);
    let path = directory.path().join("2026-11-22.jsonl");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    erase(directory.path(), &subject(directory.path(), "alice@example.com"), false).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

fn gatepost(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).current_dir(directory).output().unwrap()
}

#[test]
fn the_commands_say_what_they_did() {
    let directory = TempDir::new().unwrap();
    let journal = directory.path().join("journal");
    write(&journal, [record("2026-11-22T10:00:00.000Z", 1), stranger("2026-11-22T10:00:00.000Z", 2)]);
    let run = |arguments: &[&str]| {
        let output = gatepost(directory.path(), arguments);
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, out, said) = run(&["journal", "export", "--address", "alice@example.com"]);
    assert_eq!((code, out.lines().count()), (0, 1));
    assert_eq!(said, "gatepost: 1 of 2 records in 1 day\n");
    assert_eq!(run(&["journal", "export", "--address", "carol@example.com"]).0, 1);
    let (code, out, _) = run(&["journal", "erase", "--address", "alice@example.com", "--dry-run"]);
    assert_eq!((code, out.as_str()), (0, "1 of 2 records in 1 of 1 day: the address would become ~erased\n"));
    assert_eq!(run(&["journal", "export", "--address", "alice@example.com"]).0, 0, "a dry run changes nothing");
    let (code, out, _) = run(&["journal", "erase", "--address", "alice@example.com", "--json"]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["changed"], 1);
    assert_eq!(run(&["journal", "export", "--address", "alice@example.com"]).0, 1);
    let (code, out, _) = run(&["journal", "verify"]);
    assert!(code == 0 && out.contains("is whole: 1 line"), "{out}");
    let mut files = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
    let chain = files.find(|path| path.extension().is_some_and(|extension| extension == "chain")).unwrap();
    let note = fs::read_to_string(chain).unwrap();
    assert!(note.contains("\"event\":\"erase\"") && note.contains("\"lines\":1") && !note.contains("alice"), "{note}");
    let (code, _, said) = run(&["journal", "erase", "--address", "alice"]);
    assert!(code == 2 && said.contains("is no address"), "{said}");
    fs::remove_dir_all(&journal).unwrap();
    let (code, _, said) = run(&["journal", "export", "--address", "alice@example.com"]);
    assert!(code == 2 && said.contains("--config FILE"), "{said}");
}

#[test]
fn what_an_erasure_does_not_reach_is_said() {
    let directory = TempDir::new().unwrap();
    write(&directory.path().join("journal"), [record("2026-11-22T10:00:00.000Z", 1)]);
    let config = "hostname = \"mx.example.com\"\n[smtp]\npostmaster = \"alice@example.com\"\n[maildir]\nroot = \"mail\"\n\
                  [domains.\"example.com\"]\nmailboxes = [\"alice\"]\n[journal]\ndirectory = \"journal\"\n[state]\ndirectory = \"state\"\n";
    fs::write(directory.path().join("gatepost.toml"), config).unwrap();
    let said = || {
        let output = gatepost(directory.path(), &["journal", "erase", "--address", "carol@example.com"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(said(), "");
    fs::create_dir(directory.path().join("state")).unwrap();
    fs::write(directory.path().join("state/state.redb"), "").unwrap();
    assert!(said().contains("greylisting and rates"));
}

#[test]
fn an_address_is_taken_as_people_paste_it_or_refused() {
    let directory = TempDir::new().unwrap();
    let spellings = Spellings::read(directory.path()).unwrap();
    for pasted in ["<alice@example.com>", " alice@example.com ", "alice@example.com\t"] {
        assert!(Subject::new(pasted, &spellings).is_ok(), "{pasted:?}");
    }
    for refused in ["Alice <alice@example.com>", "*@example.com", "alice@example.com, bob@example.com", "alice", "<>"] {
        assert!(Subject::new(refused, &spellings).is_err(), "{refused:?}: it would be found nowhere");
    }
    let mut one = record("2026-11-24T10:00:00.000Z", 1);
    one.facts.mail_from.address = "alice@example.com".to_owned();
    fs::write(directory.path().join("2026-11-24.jsonl"), format!("{}\n", serde_json::to_string(&one).unwrap()))
        .unwrap();
    let subject = Subject::new(" <alice@example.com> ", &spellings).unwrap();
    let mut found = Vec::new();
    export(directory.path(), &subject, &mut found).unwrap();
    assert!(String::from_utf8(found).unwrap().contains("alice@example.com"));
}
