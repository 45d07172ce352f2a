//! The chain of loads, and what `gatepost journal verify` sees.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost::observe::journal::audit::{ANCHOR, Entry, Event, Line, Note, Verdict, append, sha256, verify};
use gatepost::observe::journal::{Journal, find};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::server::{Server, Setup, wait_for};

const YEAR: Duration = Duration::from_secs(366 * 86_400);
const PATIENCE: Duration = Duration::from_secs(20);

fn note(file: &str) -> Note {
    Note { file: file.into(), sha256: "ab".repeat(32), ..Note::default() }
}

fn add(directory: &Path, file: &str) -> String {
    append(directory, Entry { at: Timestamp::now(), event: Event::Reload, note: note(file) }, YEAR).unwrap().sha256
}

fn chain(directory: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "chain"));
    files.sort();
    files.pop().unwrap()
}

fn lines(directory: &Path) -> Vec<String> {
    fs::read_to_string(chain(directory)).unwrap().lines().map(str::to_owned).collect()
}

/// Four lines.
fn four() -> TempDir {
    let directory = TempDir::new().unwrap();
    ["a", "b", "c", "d"].iter().for_each(|file| drop(add(directory.path(), file)));
    directory
}

fn put(directory: &Path, lines: &[String]) {
    fs::write(chain(directory), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn each_line_has_the_digest_of_the_one_before_it() {
    let directory = four();
    let lines = lines(directory.path());
    let parsed: Vec<Line> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed[0].prev, ANCHOR);
    for (before, line) in lines.iter().zip(&parsed[1..]) {
        assert_eq!(line.prev, sha256(before.as_bytes()));
    }
    assert_eq!(parsed.iter().map(|line| line.n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let Verdict::Whole { lines: count, first, head, torn, .. } = verify(directory.path(), None).unwrap() else {
        panic!("not whole")
    };
    assert_eq!((count, first, torn), (4, 1, 0));
    assert_eq!(head, sha256(lines[3].as_bytes()));
}

#[test]
fn whatever_is_changed_is_seen() {
    type Change = fn(&mut Vec<String>);
    let broken: &[(&str, Change, u64)] = &[
        ("a word", |lines| lines[1] = lines[1].replace("\"file\":\"b\"", "\"file\":\"x\""), 3),
        ("a line is taken out", |lines| drop(lines.remove(1)), 2),
        ("a line is put in", |lines| lines.insert(2, lines[1].clone()), 3),
        ("lines change places", |lines| lines.swap(1, 2), 2),
        ("the first line is gone", |lines| drop(lines.remove(0)), 1),
        ("a line is made unreadable", |lines| lines[1] = "x".into(), 3),
        ("the last line is changed", |lines| lines[3] = lines[3].replace("\"file\":\"d\"", "\"file\":\"x\""), 4),
    ];
    for (what, change, at) in broken {
        let directory = four();
        let mut lines = lines(directory.path());
        change(&mut lines);
        put(directory.path(), &lines);
        match verify(directory.path(), None).unwrap() {
            Verdict::Broken { line, .. } => assert_eq!(line, *at, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_missing_end_is_seen() {
    type Cut = fn(&Path);
    let cut: &[(&str, Cut)] = &[
        ("the last line", |directory| put(directory, &lines(directory)[..3])),
        ("half of the last line", |directory| {
            let text = fs::read_to_string(chain(directory)).unwrap();
            fs::write(chain(directory), &text[..text.len() - 20]).unwrap();
        }),
        ("all lines", |directory| fs::write(chain(directory), "").unwrap()),
        ("the file", |directory| fs::remove_file(chain(directory)).unwrap()),
        ("what knows the last line", |directory| fs::remove_file(directory.join("audit.head")).unwrap()),
    ];
    for (what, cut) in cut {
        let directory = four();
        cut(directory.path());
        let verdict = verify(directory.path(), None).unwrap();
        assert!(matches!(verdict, Verdict::Truncated { .. }), "{what}: {verdict:?}");
    }
    // with the note of it put back the chain alone looks whole; a digest that was noted elsewhere tells
    let directory = TempDir::new().unwrap();
    add(directory.path(), "a");
    let (text, head) =
        (fs::read(chain(directory.path())).unwrap(), fs::read(directory.path().join("audit.head")).unwrap());
    let noted = add(directory.path(), "b");
    assert!(matches!(verify(directory.path(), Some(&noted.to_uppercase())).unwrap(), Verdict::Whole { .. }));
    fs::write(chain(directory.path()), text).unwrap();
    fs::write(directory.path().join("audit.head"), head).unwrap();
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Whole { .. }));
    assert!(matches!(verify(directory.path(), Some(&noted)).unwrap(), Verdict::Truncated { .. }));
}

#[test]
fn what_was_missing_is_seen_for_ever() {
    type Cut = fn(&Path);
    // what is done, which line of those that are left says it, and what it says
    let cut: &[(&str, Cut, usize, (u64, bool))] = &[
        ("the last two lines", |directory| put(directory, &lines(directory)[..2]), 2, (2, false)),
        (
            "half of the last line",
            |directory| {
                let text = fs::read_to_string(chain(directory)).unwrap();
                fs::write(chain(directory), &text[..text.len() - 20]).unwrap();
            },
            4,
            (1, false),
        ),
        ("all lines", |directory| fs::write(chain(directory), "").unwrap(), 0, (4, false)),
        (
            "the last line is another",
            |directory| {
                let mut lines = lines(directory);
                lines[3] = lines[3].replace("\"d\"", "\"x\"");
                put(directory, &lines);
            },
            4,
            (0, true),
        ),
        (
            "a line less, and what knew it",
            |directory| {
                put(directory, &lines(directory)[..3]);
                fs::remove_file(directory.join("audit.head")).unwrap();
            },
            3,
            (0, true),
        ),
    ];
    for (what, cut, place, said) in cut {
        let directory = four();
        cut(directory.path());
        assert!(!matches!(verify(directory.path(), None).unwrap(), Verdict::Whole { .. }), "{what}");
        for file in ["e", "f", "g"] {
            add(directory.path(), file);
            let verdict = verify(directory.path(), None).unwrap();
            let Verdict::Broken { line, .. } = &verdict else { panic!("{what}: {verdict:?}") };
            assert_eq!(*line as usize, place + 1, "{what}: {verdict:?}");
        }
        let all = lines(directory.path());
        let line: Line = serde_json::from_str(&all[*place]).unwrap();
        assert_eq!((line.missing, line.unvouched), *said, "{what}");
        // no number is given twice
        assert_eq!(line.n, if what.starts_with("a line less") { 4 } else { 5 }, "{what}");
        let last: Line = serde_json::from_str(&all[place + 2]).unwrap();
        assert_eq!((last.n, last.missing, last.unvouched), (line.n + 2, 0, false), "{what}");
    }
}

#[test]
fn half_a_line_of_a_crash_is_known_to_the_next() {
    let directory = four();
    OpenOptions::new().append(true).open(chain(directory.path())).unwrap().write_all(b"{\"prev\":\"12").unwrap();
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Truncated { .. }));
    add(directory.path(), "e");
    let verdict = verify(directory.path(), None).unwrap();
    assert!(matches!(verdict, Verdict::Whole { lines: 5, torn: 1, .. }), "{verdict:?}");
    // it can't be taken away later
    let mut lines = lines(directory.path());
    assert_eq!(lines.len(), 6);
    lines.remove(4);
    put(directory.path(), &lines);
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Broken { line: 5, .. }));
}

#[test]
fn several_crashes_in_a_row_leave_a_chain_that_goes_on() {
    let directory = four();
    for torn in ["{\"prev\":\"12", "\n{\"prev\":\"1234", "\n\0\0\0\0"] {
        OpenOptions::new().append(true).open(chain(directory.path())).unwrap().write_all(torn.as_bytes()).unwrap();
    }
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Truncated { .. }));
    add(directory.path(), "e");
    let verdict = verify(directory.path(), None).unwrap();
    assert!(matches!(verdict, Verdict::Whole { lines: 5, torn: 3, .. }), "{verdict:?}");
    // none can be taken away or put in later
    let whole = lines(directory.path());
    for change in
        [|lines: &mut Vec<String>| drop(lines.remove(5)), |lines: &mut Vec<String>| lines.insert(5, "one more".into())]
    {
        let mut changed = whole.clone();
        change(&mut changed);
        put(directory.path(), &changed);
        assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Broken { .. }));
    }
}

#[test]
fn half_lines_of_any_length_hide_no_line_from_the_next() {
    let directory = four();
    let torn = "x".repeat(1 << 20);
    OpenOptions::new().append(true).open(chain(directory.path())).unwrap().write_all(torn.as_bytes()).unwrap();
    add(directory.path(), "e");
    let verdict = verify(directory.path(), None).unwrap();
    assert!(matches!(verdict, Verdict::Whole { lines: 5, torn: 1, .. }), "{verdict:?}");
}

#[test]
fn a_clock_that_was_set_back_a_month_breaks_no_chain() {
    let directory = four();
    let next = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 31);
    let month = next.to_zoned(jiff::tz::TimeZone::UTC).strftime("audit-%Y-%m.chain").to_string();
    fs::rename(chain(directory.path()), directory.path().join(&month)).unwrap();
    // as if without its end
    let text = fs::read_to_string(chain(directory.path())).unwrap();
    fs::write(chain(directory.path()), text.trim_end()).unwrap();
    add(directory.path(), "e");
    add(directory.path(), "f");
    let verdict = verify(directory.path(), None).unwrap();
    assert!(matches!(verdict, Verdict::Whole { lines: 6, torn: 0, .. }), "{verdict:?}");
    let files = fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "chain"));
    assert_eq!(files.count(), 1);
}

#[test]
fn who_verifies_while_lines_are_added_sees_a_whole_chain() {
    let directory = four();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..150).for_each(|_| drop(add(directory.path(), "more"))));
        while !writer.is_finished() {
            let verdict = verify(directory.path(), None).unwrap();
            assert!(matches!(verdict, Verdict::Whole { .. }), "{verdict:?}");
        }
    });
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Whole { lines: 154, .. }));
}

#[test]
fn what_stands_in_a_line_is_shown_escaped() {
    let directory = TempDir::new().unwrap();
    let journal = directory.path().join("journal");
    fs::create_dir(&journal).unwrap();
    add(&journal, "a");
    let mut line: Line = serde_json::from_str(&lines(&journal)[0]).unwrap();
    line.time = "never\nthe audit is whole\u{202e}".into();
    let line = serde_json::to_string(&line).unwrap();
    fs::write(journal.join("audit.head"), format!("{{\"n\":1,\"sha256\":\"{}\"}}", sha256(line.as_bytes()))).unwrap();
    put(&journal, &[line]);
    let verify = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["journal", "verify"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(verify.stdout).unwrap();
    assert!(said.contains("never") && !said.contains('\u{202e}'), "{said:?}");
    assert!(said.lines().all(|line| line != "the audit is whole"), "{said:?}");
}

#[test]
fn a_line_that_only_lacks_its_end_is_a_line() {
    let directory = four();
    let text = fs::read_to_string(chain(directory.path())).unwrap();
    fs::write(chain(directory.path()), text.trim_end()).unwrap();
    add(directory.path(), "e");
    let verdict = verify(directory.path(), None).unwrap();
    assert!(matches!(verdict, Verdict::Whole { lines: 5, torn: 0, .. }), "{verdict:?}");
}

#[test]
fn a_crash_between_a_line_and_the_note_of_it_is_no_harm() {
    let directory = TempDir::new().unwrap();
    add(directory.path(), "a");
    let head = fs::read(directory.path().join("audit.head")).unwrap();
    add(directory.path(), "b");
    fs::write(directory.path().join("audit.head"), head).unwrap();
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Whole { lines: 2, .. }));
}

#[test]
fn what_knows_the_last_line_is_never_more_than_one_behind() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    add(path, "a");
    // the note of the last line can't be written any more
    let in_the_way = path.join(".audit.head.tmp");
    fs::create_dir(&in_the_way).unwrap();
    let try_one = |file| append(path, Entry { at: Timestamp::now(), event: Event::Reload, note: note(file) }, YEAR);
    let second = try_one("b").unwrap();
    assert!(second.trouble.len() == 1 && second.trouble[0].contains("audit.head"), "{second:?}");
    for _ in 0..3 {
        assert!(try_one("c").is_err());
        assert_eq!(lines(path).len(), 2, "a line that is tried again is not added again");
        assert!(matches!(verify(path, None).unwrap(), Verdict::Whole { lines: 2, .. }));
    }
    fs::remove_dir(&in_the_way).unwrap();
    assert!(try_one("c").unwrap().trouble.is_empty());
    assert!(matches!(verify(path, None).unwrap(), Verdict::Whole { lines: 3, .. }));
}

#[test]
fn a_month_whose_time_is_over_is_retired_once() {
    let directory = four();
    let old = directory.path().join("audit-2020-01.chain");
    fs::rename(chain(directory.path()), &old).unwrap();
    let aside = directory.path().join("aside");
    fs::copy(&old, &aside).unwrap();
    add(directory.path(), "e");
    // as if it could not be removed
    fs::rename(&aside, &old).unwrap();
    add(directory.path(), "f");
    assert!(!old.exists());
    let retired = lines(directory.path()).iter().filter(|line| line.contains("\"event\":\"retired\"")).count();
    assert_eq!((retired, lines(directory.path()).len()), (1, 3));
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Whole { lines: 3, first: 5, .. }));
}

#[test]
fn an_old_month_that_is_no_file_stops_no_line() {
    let directory = four();
    let odd = directory.path().join("audit-2020-01.chain");
    nix::unistd::mkfifo(&odd, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let entry = Entry { at: Timestamp::now(), event: Event::Reload, note: note("e") };
    let appended = append(directory.path(), entry, YEAR).unwrap();
    assert!(appended.trouble.len() == 1 && appended.trouble[0].contains("this is a FIFO"), "{appended:?}");
    assert_eq!(lines(directory.path()).len(), 5);
    fs::remove_file(odd).unwrap();
    assert!(matches!(verify(directory.path(), None).unwrap(), Verdict::Whole { lines: 5, .. }));
}

#[test]
fn old_months_go_and_the_chain_says_so() {
    let directory = four();
    let old = directory.path().join("audit-2020-01.chain");
    fs::rename(chain(directory.path()), &old).unwrap();
    add(directory.path(), "e");
    assert!(!old.exists(), "a year is over");
    let lines = lines(directory.path());
    assert!(lines[0].contains("\"event\":\"retired\"") && lines[0].contains("audit-2020-01.chain"), "{}", lines[0]);
    let verdict = verify(directory.path(), None).unwrap();
    assert!(matches!(verdict, Verdict::Whole { lines: 2, first: 5, .. }), "{verdict:?}");
    // what is kept is not removed
    let kept = TempDir::new().unwrap();
    add(kept.path(), "a");
    let older = Timestamp::now() - jiff::SignedDuration::from_hours(24 * 70);
    let month = older.to_zoned(jiff::tz::TimeZone::UTC).strftime("audit-%Y-%m.chain").to_string();
    fs::rename(chain(kept.path()), kept.path().join(&month)).unwrap();
    add(kept.path(), "b");
    assert!(kept.path().join(&month).exists());
    assert!(matches!(verify(kept.path(), None).unwrap(), Verdict::Whole { lines: 2, first: 1, .. }));
}

#[test]
fn a_full_disk_stops_no_decision_and_the_audit_comes_later() {
    let directory = TempDir::new().unwrap();
    add(directory.path(), "a");
    let path = chain(directory.path());
    let aside = directory.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    symlink("/dev/full", &path).unwrap();
    let journal = Journal::open(directory.path(), YEAR).unwrap();
    journal.start().unwrap();
    journal.audit(Event::Start, note("b"));
    let counters = journal.counters();
    wait_for("the failure", || (counters.audit_errors.load(Ordering::Relaxed) > 0).then_some(()));
    let record = crate::journal::record("2026-11-22T10:00:00.000Z", 1);
    journal.record(record.clone());
    wait_for("the decision", || find(directory.path(), &record.reference).unwrap());
    assert!(!journal.is_failing());
    fs::remove_file(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    wait_for("the line", || (counters.audit_written.load(Ordering::Relaxed) == 1).then_some(()));
    assert_eq!(journal.close(PATIENCE), 0);
    let verdict = verify(directory.path(), None).unwrap();
    assert!(matches!(verdict, Verdict::Whole { lines: 2, .. }), "{verdict:?}");
}

#[test]
fn every_load_of_a_server_has_its_line() {
    let mut server = Server::start(Setup { policy: Some("description = \"all\"\n"), ..Setup::default() });
    let journal = server.path("journal");
    // the writer may not have begun, or be within a line
    let events = || {
        let files = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
        let begun = files.into_iter().any(|path| path.extension().is_some_and(|extension| extension == "chain"));
        let lines = if begun { lines(&journal) } else { Vec::new() };
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Line>>()
    };
    let wait = |count: usize| wait_for("a line of the audit", || Some(events()).filter(|events| events.len() == count));
    let start = &wait(1)[0];
    assert_eq!((start.event, start.note.file.as_str()), (Event::Start, "gatepost.toml"));
    assert_eq!(start.note.sha256, sha256(&fs::read(server.path("gatepost.toml")).unwrap()));
    assert_eq!(start.note.policies.len(), 1);
    assert_eq!(start.note.policies[0].sha256, sha256(&fs::read(server.path("policy.toml")).unwrap()));
    server.write("policy.toml", "description = \"all the same\"\n");
    server.signal(Signal::SIGHUP);
    let reload = &wait(2)[1];
    assert_eq!(reload.event, Event::Reload);
    assert_eq!(reload.note.policies[0].sha256, sha256(&fs::read(server.path("policy.toml")).unwrap()));
    server.write("gatepost.toml", "hostname = 5\n");
    server.signal(Signal::SIGHUP);
    let refused = &wait(3)[2];
    assert_eq!((refused.event, &refused.note.sha256), (Event::Refused, &sha256(b"hostname = 5\n")));
    wait_for("the counter", || (server.metric("gatepost_audit_lines_total", &[]) >= 3.0).then_some(()));
    assert_eq!(server.metric("gatepost_audit_errors_total", &[]), 0.0);
    let head = sha256(lines(&journal)[2].as_bytes());
    wait_for("the digest in the log", || server.log().contains(&head).then_some(()));
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.write_config("");
    let verify = |arguments: &[&str]| server.gatepost(arguments).output().unwrap();
    let whole = verify(&["journal", "verify", "--config", "gatepost.toml", "--expect", &head]);
    let said = String::from_utf8(whole.stdout).unwrap();
    assert!(whole.status.success() && said.contains("is whole: 3 lines") && said.contains(&head), "{said}");
    put(&journal, &lines(&journal)[..2]);
    let cut = verify(&["journal", "verify", "--config", "gatepost.toml"]);
    assert_eq!(cut.status.code(), Some(1));
    assert!(String::from_utf8(cut.stderr).unwrap().contains("TRUNCATED"));
    let mut changed = lines(&journal);
    changed[0] = changed[0].replace("start", "reload");
    put(&journal, &changed);
    let broken = verify(&["journal", "verify", "--config", "gatepost.toml"]);
    assert_eq!(broken.status.code(), Some(1));
    let said = String::from_utf8(broken.stderr).unwrap();
    assert!(said.contains("BROKEN at line 2"), "{said}");
}
