//! Tests of the journal: what is written where, what happens when it can't be, and that records are found again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gatepost::facts::Facts;
use gatepost::facts::record::{DecisionRecord, DeliveryRecord, PolicyRecord, Recipient, Record, RuleRecord, Timings};
use gatepost::facts::word::{Action, Outcome, Stage};
use gatepost::observe::journal::{
    Clock, Journal, LINE_OCTETS, Leap, QUEUE_LINES, STRING_CHARACTERS, find, make_private, normalise, remove_older,
    search,
};
use proptest::prelude::*;
use tempfile::TempDir;

const TWO_WEEKS: Duration = Duration::from_secs(14 * 86_400);
const PATIENCE: Duration = Duration::from_secs(20);

/// A ref as Gatepost makes it: 48 bits of milliseconds, 32 of chance.
pub fn reference(time: &str, random: u32) -> String {
    let milliseconds = time.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u128;
    let bits = milliseconds << 32 | u128::from(random);
    let digits = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    (0..16).rev().map(|at| char::from(digits[(bits >> (at * 5)) as usize & 31])).collect()
}

/// A refused message with something in every list.
pub fn record(time: &str, random: u32) -> Record {
    let mut facts = Facts::new("192.0.2.1".parse().unwrap(), 4711, false);
    facts.helo = "mail.example.net".into();
    facts.mail_from.address = "ceo@bank.example".into();
    facts.mail_from.domain = "bank.example".into();
    facts.score = 1.5;
    Record {
        v: 1,
        reference: reference(time, random),
        time: time.into(),
        stage: Stage::Data,
        facts,
        greylist_of_message: false,
        recipients: vec![Recipient {
            address: "alice@example.com".into(),
            mailboxes: vec!["alice@example.com".into()],
            reply: "250 2.1.5 ok".into(),
            ..Recipient::default()
        }],
        recipients_more: 0,
        rules: vec![RuleRecord {
            name: "dmarc-reject".into(),
            at: Stage::Data,
            outcome: Outcome::Acted,
            action: None,
            score: None,
        }],
        policy: PolicyRecord { file: "default.toml".into(), sha256: "ab".repeat(32) },
        decision: DecisionRecord {
            action: Action::Reject,
            rule: "dmarc-reject".into(),
            reply: "550 5.7.1 no ref=X".into(),
            ..DecisionRecord::default()
        },
        delivery: vec![],
        trouble: String::new(),
        timings_us: Timings { total: 10, evidence: 5, decide: 1, deliver: 0 },
        cut: Vec::new(),
    }
}

fn open(directory: &TempDir) -> Journal {
    Journal::open(directory.path(), TWO_WEEKS).unwrap()
}

/// Records all of them through a journal of its own, which is then closed.
fn write(directory: &TempDir, records: impl IntoIterator<Item = Record>) {
    let journal = open(directory);
    journal.start().unwrap();
    records.into_iter().for_each(|record| journal.record(record));
    assert_eq!(journal.close(PATIENCE), 0);
}

fn lines(directory: &Path, day: &str) -> Vec<String> {
    let text = fs::read_to_string(directory.join(format!("{day}.jsonl"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The line that the journal makes of a record.
pub fn line_of(record: Record) -> String {
    let directory = TempDir::new().unwrap();
    let day = record.time[..10].to_owned();
    write(&directory, [record]);
    lines(directory.path(), &day).remove(0)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_line_is_the_decision_record_and_reads_back_equal() {
    let directory = TempDir::new().unwrap();
    let record = record("2026-11-22T10:11:12.345Z", 7);
    write(&directory, [record.clone()]);
    let lines = lines(directory.path(), "2026-11-22");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with(&format!("{{\"v\":1,\"ref\":\"{}\",\"time\":", record.reference)), "{}", lines[0]);
    assert_eq!(serde_json::from_str::<Record>(&lines[0]).unwrap(), record);
}

#[test]
fn each_record_goes_to_the_day_of_its_own_time() {
    let directory = TempDir::new().unwrap();
    write(
        &directory,
        [
            record("2026-11-22T23:59:59.999Z", 1),
            record("2026-11-23T00:00:00.000Z", 2),
            record("2026-11-22T23:59:59.998Z", 3),
        ],
    );
    assert_eq!(lines(directory.path(), "2026-11-22").len(), 2);
    assert_eq!(lines(directory.path(), "2026-11-23").len(), 1);
}

#[test]
fn a_directory_that_was_open_to_others_is_closed_or_told() {
    type Put = fn(&Path);
    // what else is there; the mode before and after; what is told
    let ways: &[(&str, Put, u32, u32, &str)] = &[
        ("alone", |_| {}, 0o755, 0o700, ""),
        ("set-group-ID", |_| {}, 0o2770, 0o2700, ""),
        (
            "a month of the audit",
            |directory| fs::write(directory.join("audit-2026-11.chain"), "").unwrap(),
            0o750,
            0o700,
            "",
        ),
        ("private before", |directory| fs::write(directory.join("notes.txt"), "").unwrap(), 0o700, 0o700, ""),
        (
            "another's file",
            |directory| fs::write(directory.join("notes.txt"), "").unwrap(),
            0o755,
            0o755,
            "notes.txt in it",
        ),
        ("everybody's", |_| {}, 0o1777, 0o1777, "everybody's files"),
    ];
    for (what, put, before, after, told) in ways {
        let directory = TempDir::new().unwrap();
        write(&directory, [record("2026-11-22T10:00:00.000Z", 1)]);
        put(directory.path());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(*before)).unwrap();
        write(&directory, [record("2026-11-22T10:00:00.000Z", 2)]);
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, *after, "{what}: {mode:o}");
        assert_eq!(lines(directory.path(), "2026-11-22").len(), 2, "{what}");
        let left = make_private(directory.path()).unwrap();
        assert_eq!(left.is_some(), !told.is_empty(), "{what}");
        if let Some(problem) = left {
            assert!(problem.cause.contains(told) && problem.cause.contains(&format!("{before:04o}")), "{problem:?}");
            assert!(problem.mend.contains(&format!("chmod 0700 {}", directory.path().display())), "{problem:?}");
        }
    }
}

#[test]
fn files_and_a_directory_that_is_made_are_private() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("a/journal");
    let journal = Journal::open(&directory, TWO_WEEKS).unwrap();
    journal.start().unwrap();
    journal.record(record("2026-11-22T10:00:00.000Z", 1));
    assert_eq!(journal.close(PATIENCE), 0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("2026-11-22.jsonl")), 0o600);
}

#[test]
fn a_file_in_place_of_the_directory_is_an_error_at_once() {
    let parent = TempDir::new().unwrap();
    fs::write(parent.path().join("journal"), "").unwrap();
    assert!(Journal::open(&parent.path().join("journal"), TWO_WEEKS).is_err());
}

#[test]
fn the_time_of_a_record_removes_nothing() {
    let directory = TempDir::new().unwrap();
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let kept = directory.path().join(format!("{today}.jsonl"));
    fs::write(&kept, "{}\n").unwrap();
    let journal = open(&directory);
    journal.start().unwrap();
    for time in ["2089-01-01T00:00:00.000Z", "2090-01-01T00:00:00.000Z", "9998-01-01T00:00:00.000Z"] {
        journal.record(record(time, 1));
    }
    assert_eq!(journal.close(PATIENCE), 0);
    assert!(kept.exists(), "a record from the future must not end today's time");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
}

/// The moment at the start of a day.
fn at(day: &str) -> jiff::Timestamp {
    format!("{day}T00:00:00Z").parse().unwrap()
}

#[test]
fn days_go_by_their_name_and_the_clock_and_nothing_else_does() {
    let directory = TempDir::new().unwrap();
    for name in [
        "2025-01-01.jsonl",
        "2025-01-02.jsonl",
        "2025-01-03.jsonl",
        "2025-01-1.jsonl",
        "2025-01-01.json",
        "notes.txt",
        // of a clock that was wrong: the one was last written long ago
        "2090-01-01.jsonl",
        "2090-01-02.jsonl",
    ] {
        let file = fs::File::create(directory.path().join(name)).unwrap();
        if name == "2090-01-01.jsonl" {
            file.set_modified(at("2024-12-01").into()).unwrap();
        }
    }
    let removed = remove_older(directory.path(), at("2025-01-04"), Duration::from_secs(2 * 86_400)).unwrap();
    assert_eq!((removed.removed, removed.refused.len(), removed.future.len()), (2, 0, 1));
    let mut names: Vec<String> =
        fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let left = ["2025-01-01.json", "2025-01-02.jsonl", "2025-01-03.jsonl", "2025-01-1.jsonl", "2090-01-02.jsonl"];
    assert_eq!(names, [&left[..], &["notes.txt"]].concat());
}

#[test]
fn a_day_that_can_not_be_removed_hinders_no_other() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("2025-01-01.jsonl")).unwrap();
    fs::write(directory.path().join("2025-01-02.jsonl"), "{}\n").unwrap();
    let removed = remove_older(directory.path(), at("2025-02-01"), TWO_WEEKS).unwrap();
    assert_eq!(removed.removed, 1);
    assert!(removed.refused.len() == 1 && removed.refused[0].contains("2025-01-01.jsonl"), "{removed:?}");
}

#[test]
fn a_clock_that_leaps_removes_nothing_for_a_day() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    // (what the clock says, how many hours the process has run, whether it is believed)
    let ways: &[&[(&str, u64, bool)]] = &[
        // as time goes
        &[("2026-11-22", 0, true), ("2026-11-23", 24, true), ("2026-12-23", 31 * 24, true)],
        // a summer's hour, or a day asleep
        &[("2026-11-22", 0, true), ("2026-11-23", 1, true)],
        // forward, and it stays
        &[("2026-11-22", 0, true), ("2090-01-01", 1, false), ("2090-01-01", 24, false), ("2090-01-02", 25, true)],
        // forward and back
        &[("2026-11-22", 0, true), ("2090-01-01", 1, false), ("2026-11-22", 2, false), ("2026-11-23", 25, true)],
        // back: nothing is removed too early by that
        &[("2026-11-22", 0, true), ("2020-01-01", 1, true)],
        // forward twice
        &[("2026-11-22", 0, true), ("2090-01-01", 1, false), ("2091-01-01", 24, false), ("2091-01-02", 47, false)],
    ];
    for way in ways {
        let mut clock = Clock::since(None);
        for (now, run, believed) in *way {
            let run = hours(*run) + Duration::from_secs(1);
            assert_eq!(clock.is_believed(at(now), run), *believed, "{way:?}: {now}");
            let before = clock.leap(run).map(|leap| leap.before);
            assert_eq!(before, (!believed).then(|| at("2026-11-22")), "{way:?}: {now}");
        }
    }
    // a journal that was last written two days ago, or long ago
    for (now, believed) in [("2026-11-24", true), ("2026-12-24", false)] {
        assert_eq!(
            Clock::since(Some(at("2026-11-22"))).is_believed(at(now), Duration::from_millis(1)),
            believed,
            "{now}"
        );
    }
}

#[test]
fn what_was_waited_for_a_leap_is_not_waited_again_by_the_next_start() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let mut clock = Clock::after(Leap { before: at("2026-11-22"), served: Duration::ZERO });
    // a start every ten hours
    for served in [0, 10, 20] {
        assert!(!clock.is_believed(at("2090-01-01"), Duration::from_secs(1)), "{served}");
        assert!(!clock.is_believed(at("2090-01-01"), hours(3)), "{served}");
        let run = hours(10) + Duration::from_secs(1);
        assert_eq!(clock.is_believed(at("2090-01-01"), run), served == 20, "{served}");
        if let Some(leap) = clock.leap(run) {
            assert_eq!(leap, Leap { before: at("2026-11-22"), served: hours(served + 10) });
            clock = Clock::after(leap);
        }
    }
    // a leap of its own is waited for anew
    let mut clock = Clock::after(Leap { before: at("2026-11-22"), served: hours(23) });
    assert!(clock.is_believed(at("2026-11-22"), Duration::from_secs(1)), "it was set back meanwhile");
    assert!(!clock.is_believed(at("2090-01-01"), hours(1)));
    assert!(!clock.is_believed(at("2090-01-01"), hours(24)));
    assert!(clock.is_believed(at("2090-01-02"), hours(25)));
}

#[test]
fn a_journal_remembers_how_long_it_has_waited_for_a_leap() {
    let directory = TempDir::new().unwrap();
    let (path, leapt) = (directory.path().join("2001-01-01.jsonl"), directory.path().join(".clock-leapt"));
    fs::write(&path, "{}\n").unwrap();
    let noted = || fs::read_to_string(&leapt).unwrap();
    // as older versions wrote it, then as we do
    for (before, least) in [("2001-01-02T00:00:00Z", 0), ("2001-01-02T00:00:00Z 80000", 80_000)] {
        fs::write(&leapt, format!("{before}\n")).unwrap();
        write(&directory, [record("2026-11-22T10:00:00.000Z", 1)]);
        assert!(path.exists(), "{before}");
        let now = noted();
        let (at, served) = now.trim_end().split_once(' ').unwrap();
        assert_eq!(at, "2001-01-02T00:00:00Z");
        assert!((least..86_400).contains(&served.parse::<u64>().unwrap()), "{now}");
    }
    fs::write(&leapt, "2001-01-02T00:00:00Z 86400\n").unwrap();
    write(&directory, []);
    assert!(!path.exists() && !leapt.exists(), "the day is over");
}

#[test]
fn a_start_long_after_the_last_line_removes_nothing_yet_nor_does_the_next_start() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("2001-01-01.jsonl");
    let file = fs::File::create(&path).unwrap();
    file.set_modified(at("2001-01-01").into()).unwrap();
    let today = jiff::Timestamp::now();
    for n in 1..3 {
        // the lines of the first make the journal look fresh to the second
        write(&directory, [record(&format!("{today:.3}"), n)]);
        assert!(path.exists(), "start {n}: the clock may have leapt");
    }
    // once the clock was believed nothing of that is left
    fs::remove_file(directory.path().join(".clock-leapt")).unwrap();
    write(&directory, []);
    assert!(!path.exists());
    assert!(!directory.path().join(".clock-leapt").exists());
}

#[test]
fn start_removes_what_is_older_than_keep() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("2001-01-01.jsonl"), "{}\n").unwrap();
    write(&directory, []);
    assert!(!directory.path().join("2001-01-01.jsonl").exists());
}

#[test]
fn a_torn_last_line_costs_no_later_line() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("2026-11-22.jsonl");
    fs::write(&path, "{\"v\":1,\"ref\":\"01ABC").unwrap();
    let record = record("2026-11-22T10:00:00.000Z", 1);
    write(&directory, [record.clone()]);
    assert_eq!(lines(directory.path(), "2026-11-22").len(), 2);
    let found = search(directory.path(), &record.reference).unwrap();
    assert_eq!(found.record, Some(record));
    assert_eq!(found.skipped, 1);
}

#[test]
fn record_now_returns_with_the_line_in_the_file() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    journal.start().unwrap();
    let record = record("2026-11-22T10:00:00.000Z", 1);
    runtime().block_on(journal.record_now(record.clone())).unwrap();
    assert_eq!(find(directory.path(), &record.reference).unwrap(), Some(record));
    assert_eq!(journal.counters().written.load(Ordering::Relaxed), 1);
}

#[test]
fn record_now_fails_where_the_disk_is_full_and_the_line_is_not_written_later() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("2026-11-22.jsonl");
    symlink("/dev/full", &path).unwrap();
    let journal = open(&directory);
    journal.start().unwrap();
    let error = runtime().block_on(journal.record_now(record("2026-11-22T10:00:00.000Z", 1))).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    fs::remove_file(&path).unwrap();
    journal.record(record("2026-11-22T10:00:01.000Z", 2));
    assert_eq!(journal.close(PATIENCE), 0);
    let lines = lines(directory.path(), "2026-11-22");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(&reference("2026-11-22T10:00:01.000Z", 2)));
}

#[test]
fn lines_wait_for_a_full_disk_to_have_room_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("2026-11-22.jsonl");
    symlink("/dev/full", &path).unwrap();
    let journal = open(&directory);
    journal.start().unwrap();
    journal.record(record("2026-11-22T10:00:00.000Z", 1));
    wait_until("the failure is noticed", || journal.is_failing());
    journal.record(record("2026-11-22T10:00:01.000Z", 2));
    fs::remove_file(&path).unwrap();
    wait_until("the journal recovers", || !journal.is_failing());
    assert_eq!(journal.close(PATIENCE), 0);
    assert_eq!(lines(directory.path(), "2026-11-22").len(), 2);
    assert!(journal.counters().errors.load(Ordering::Relaxed) >= 1);
    assert_eq!(journal.counters().dropped.load(Ordering::Relaxed), 0);
}

#[test]
fn a_pipe_in_place_of_the_day_keeps_nothing_and_is_not_written_to() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("2026-11-22.jsonl");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    let journal = open(&directory);
    journal.start().unwrap();
    journal.record(record("2026-11-22T10:00:00.000Z", 1));
    wait_until("the failure is noticed", || journal.is_failing());
    assert_eq!(journal.counters().written.load(Ordering::Relaxed), 0);
    fs::remove_file(&path).unwrap();
    wait_until("the journal recovers", || !journal.is_failing());
    assert_eq!(journal.close(PATIENCE), 0);
    assert_eq!(lines(directory.path(), "2026-11-22").len(), 1);
}

#[test]
fn what_can_not_be_written_before_the_end_is_counted() {
    let directory = TempDir::new().unwrap();
    symlink("/dev/full", directory.path().join("2026-11-22.jsonl")).unwrap();
    let journal = open(&directory);
    journal.start().unwrap();
    (0..3).for_each(|n| journal.record(record("2026-11-22T10:00:00.000Z", n)));
    journal.close(PATIENCE);
    assert_eq!(journal.counters().dropped.load(Ordering::Relaxed), 3);
    journal.record(record("2026-11-22T10:00:00.000Z", 4));
    assert_eq!(journal.counters().dropped.load(Ordering::Relaxed), 4, "a closed journal counts what still comes");
}

#[test]
fn a_full_queue_drops_and_counts_and_never_blocks() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    let record = record("2026-11-22T10:00:00.000Z", 1);
    (0..QUEUE_LINES + 5).for_each(|_| journal.record(record.clone()));
    assert_eq!(journal.counters().dropped.load(Ordering::Relaxed), 5);
    let error = runtime().block_on(journal.record_now(record)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    journal.start().unwrap();
    assert_eq!(journal.close(PATIENCE), 0);
    assert_eq!(lines(directory.path(), "2026-11-22").len(), QUEUE_LINES);
}

#[test]
fn closing_a_journal_that_never_started_says_what_is_lost() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    journal.record(record("2026-11-22T10:00:00.000Z", 1));
    assert_eq!(journal.close(Duration::ZERO), 1);
}

#[test]
fn what_a_client_sent_can_not_make_a_second_line() {
    let directory = TempDir::new().unwrap();
    let mut forged = record("2026-11-22T10:00:00.000Z", 1);
    forged.facts.helo = "x\n{\"v\":1,\"ref\":\"0000000000000000\"}\r\n\u{1b}[2J".into();
    write(&directory, [forged.clone()]);
    let lines = lines(directory.path(), "2026-11-22");
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains('\u{1b}'));
    assert_eq!(find(directory.path(), &forged.reference).unwrap().unwrap().facts.helo, forged.facts.helo);
}

#[test]
fn a_score_that_json_has_no_word_for_does_not_lose_the_record() {
    for score in [f64::NAN, f64::INFINITY] {
        let directory = TempDir::new().unwrap();
        let mut record = record("2026-11-22T10:00:00.000Z", 1);
        record.facts.score = score;
        write(&directory, [record.clone()]);
        assert!(find(directory.path(), &record.reference).unwrap().is_some());
    }
}

#[test]
fn long_strings_are_cut_and_short_ones_are_not() {
    let directory = TempDir::new().unwrap();
    let mut record = record("2026-11-22T10:00:00.000Z", 1);
    record.facts.helo = "ä".repeat(STRING_CHARACTERS);
    record.facts.message.message_id = "ä".repeat(STRING_CHARACTERS + 1);
    write(&directory, [record.clone()]);
    let facts = find(directory.path(), &record.reference).unwrap().unwrap().facts;
    assert_eq!(facts.helo, record.facts.helo);
    assert_eq!(facts.message.message_id, format!("{}…", "ä".repeat(STRING_CHARACTERS - 1)));
}

#[test]
fn a_line_that_would_be_too_long_keeps_what_matters() {
    let huge = "\u{1}".repeat(1_000);
    let many: Vec<String> = (0..100_000).map(|_| huge.clone()).take(2_000).collect();
    let cases: Vec<fn(&mut Record, &[String])> = vec![
        |record, many| record.facts.from.addresses = many.to_vec(),
        |record, many| record.recipients.iter_mut().for_each(|recipient| recipient.mailboxes = many.to_vec()),
        |record, many| {
            record.delivery =
                many.iter().map(|m| DeliveryRecord { mailbox: m.clone(), ..DeliveryRecord::default() }).collect();
        },
        |record, many| {
            record.rules = many.iter().map(|m| RuleRecord { name: m.clone(), ..RuleRecord::default() }).collect();
        },
        |record, many| {
            record.facts.block_lists =
                many.iter().enumerate().map(|(n, m)| (format!("{n}{m}"), Default::default())).collect();
        },
    ];
    for (at, enlarge) in cases.iter().enumerate() {
        let directory = TempDir::new().unwrap();
        let mut record = record("2026-11-22T10:00:00.000Z", 1);
        enlarge(&mut record, &many);
        write(&directory, [record.clone()]);
        let line = lines(directory.path(), "2026-11-22").remove(0);
        assert!(line.len() < LINE_OCTETS, "case {at}: {}", line.len());
        let found = find(directory.path(), &record.reference).unwrap().unwrap();
        assert_eq!((&found.time, found.stage), (&record.time, record.stage), "case {at}");
        assert_eq!(found.decision, record.decision, "case {at}");
        assert_eq!(found.facts.client, record.facts.client, "case {at}");
    }
}

#[test]
fn a_list_that_was_cut_says_so() {
    let directory = TempDir::new().unwrap();
    let mut record = record("2026-11-22T10:00:00.000Z", 1);
    record.delivery = (0..1_000)
        .map(|n| DeliveryRecord { mailbox: format!("m{n}@example.com"), folder: "INBOX".into(), file: "x".repeat(100) })
        .collect();
    write(&directory, [record.clone()]);
    let found = find(directory.path(), &record.reference).unwrap().unwrap();
    assert_eq!(found.delivery.len(), 100);
    assert_eq!(found.delivery[99].mailbox, "… and 901 more");
}

#[test]
fn a_ref_is_found_in_whatever_file_it_stands() {
    // (when the ref was made, the file that its record is in)
    let cases = [
        ("2026-11-22T10:00:00.000Z", "2026-11-22"),
        ("2026-11-22T23:50:00.000Z", "2026-11-23"),
        ("2026-11-22T00:00:00.000Z", "2026-11-21"),
        ("2026-11-22T10:00:00.000Z", "2020-02-29"),
        ("2026-11-22T10:00:00.000Z", "2030-01-01"),
    ];
    for (made, file) in cases {
        let directory = TempDir::new().unwrap();
        let wanted = record(made, 99);
        for day in ["2020-02-29", "2026-11-21", "2026-11-22", "2026-11-23", "2030-01-01"] {
            let mut text = serde_json::to_string(&record("2026-11-22T11:00:00.000Z", 1)).unwrap() + "\n";
            if day == file {
                text += &(serde_json::to_string(&wanted).unwrap() + "\n");
            }
            fs::write(directory.path().join(format!("{day}.jsonl")), text).unwrap();
        }
        assert_eq!(find(directory.path(), &wanted.reference).unwrap(), Some(wanted), "{made} in {file}");
        assert_eq!(find(directory.path(), &reference(made, 100)).unwrap(), None);
    }
}

#[test]
fn the_last_record_of_a_ref_counts() {
    let directory = TempDir::new().unwrap();
    let first = record("2026-11-22T10:00:00.000Z", 1);
    let mut last = first.clone();
    last.decision.action = Action::Defer;
    write(&directory, [first, last.clone()]);
    assert_eq!(find(directory.path(), &last.reference).unwrap(), Some(last));
}

#[test]
fn foreign_lines_are_passed_over_and_counted() {
    let directory = TempDir::new().unwrap();
    let wanted = record("2026-11-22T10:00:00.000Z", 1);
    let line = serde_json::to_string(&wanted).unwrap();
    let long = "x".repeat(5_000_000);
    let torn = &line[..line.len() - 20];
    let text = format!("hello\n\n{{\"v\":2}}\n\u{0}\n{torn}\n{long}\n{line}\n{{\"v\":1,\"ref\":\"01");
    fs::write(directory.path().join("2026-11-22.jsonl"), text).unwrap();
    fs::create_dir(directory.path().join("2026-11-21.jsonl")).unwrap();
    let found = search(directory.path(), &wanted.reference).unwrap();
    assert_eq!((found.record, found.skipped), (Some(wanted), 6));
    assert_eq!(find(directory.path(), &reference("2026-11-22T10:00:00.000Z", 2)).unwrap(), None);
}

#[test]
fn a_record_that_another_program_wrote_again_is_found_too() {
    let directory = TempDir::new().unwrap();
    let wanted = record("2026-11-22T10:00:00.000Z", 1);
    let value = serde_json::to_value(&wanted).unwrap();
    let sorted: std::collections::BTreeMap<_, _> = value.as_object().unwrap().iter().collect();
    fs::write(directory.path().join("2026-11-22.jsonl"), serde_json::to_string(&sorted).unwrap() + "\n").unwrap();
    assert_eq!(find(directory.path(), &wanted.reference).unwrap(), Some(wanted));
}

#[test]
fn a_ref_may_be_typed_as_people_type() {
    let reference = "01JD7N5R2K0ABCDE";
    for typed in [
        "01JD7N5R2K0ABCDE",
        "01jd7n5r2k0abcde",
        "ref=01JD7N5R2K0ABCDE",
        " REF=oljd7n5r2kOabcde. ",
        "(OIJD7N5R2K0ABCDE)",
        "01JD-7N5R-2K0A-BCDE",
    ] {
        assert_eq!(normalise(typed).as_deref(), Some(reference), "{typed}");
    }
    for wrong in
        ["", "01JD7N5R2K0ABCD", "01JD7N5R2K0ABCDEF", "01JD7N5R2K0ABCDU", "../../etc/passwd", "01JD7N5R2K0ABCÄE"]
    {
        assert_eq!(normalise(wrong), None, "{wrong}");
    }
}

#[test]
fn a_missing_directory_is_an_error_and_no_empty_answer() {
    let directory = TempDir::new().unwrap();
    assert!(find(&directory.path().join("gone"), "01JD7N5R2K0ABCDE").is_err());
}

#[test]
fn many_writers_at_once_lose_and_mix_nothing() {
    let directory = TempDir::new().unwrap();
    let journal = open(&directory);
    journal.start().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let journal = &journal;
            scope.spawn(move || {
                (0..200).for_each(|n| journal.record(record("2026-11-22T10:00:00.000Z", thread * 1_000 + n)));
            });
        }
    });
    assert_eq!(journal.close(PATIENCE), 0);
    let mut refs: Vec<String> = lines(directory.path(), "2026-11-22")
        .iter()
        .map(|line| serde_json::from_str::<Record>(line).unwrap().reference)
        .collect();
    refs.sort();
    refs.dedup();
    assert_eq!(refs.len(), 1_600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn normalise_takes_anything_and_gives_only_refs(typed in "\\PC{0,40}") {
        if let Some(reference) = normalise(&typed) {
            prop_assert_eq!(reference.len(), 16);
            prop_assert_eq!(normalise(&reference), Some(reference));
        }
    }
}
