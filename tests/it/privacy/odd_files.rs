//! What stands in the journal's directory and is no regular file, lines that are none of ours however long, and days that can't be changed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gatepost::facts::record::{Recipient, Record};
use gatepost::observe::journal::{Spellings, Subject, erase, export};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::journal::record;
use crate::support::programs;

/// A command that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Exit code, standard output, standard error; a command that hangs is ended.
pub fn run(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn gatepost(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(arguments).current_dir(directory);
    run(command)
}

fn subject(address: &str) -> Subject {
    Subject::new(address, &Spellings::default()).unwrap()
}

fn line(record: &Record) -> String {
    serde_json::to_string(record).unwrap() + "\n"
}

/// To alice, on a day.
fn to_alice(day: &str) -> Record {
    record(&format!("{day}T10:00:00.000Z"), 1)
}

fn journal(directory: &Path, days: &[&str]) -> PathBuf {
    let journal = directory.join("journal");
    fs::create_dir_all(&journal).unwrap();
    for day in days {
        fs::write(journal.join(format!("{day}.jsonl")), line(&to_alice(day))).unwrap();
    }
    journal
}

/// Puts something there that is no regular file.
type Put = fn(&Path);

fn odd() -> Vec<(&'static str, Put)> {
    vec![
        ("FIFO", |path| nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap()),
        ("symbolic link", |path| {
            let elsewhere = path.with_extension("elsewhere");
            fs::write(&elsewhere, "{}\n").unwrap();
            symlink(elsewhere, path).unwrap();
        }),
        ("symbolic link", |path| symlink("/dev/zero", path).unwrap()),
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("socket", |path| drop(UnixListener::bind(path).unwrap())),
    ]
}

#[test]
fn what_is_no_file_is_told_and_passed_over() {
    let one = to_alice("2026-11-22");
    // each finds the record of the day beside it
    let commands: &[(&[&str], &str)] = &[
        (&["explain", &one.reference], "Refused"),
        (&["search", "--to", "alice@example.com"], &one.reference),
        (&["journal", "export", "--address", "alice@example.com"], &one.reference),
        (&["policy", "forwarders"], ""),
        (&["journal", "erase", "--address", "alice@example.com", "--dry-run"], "1 of 1 record in 1 of 1 day"),
        (&["journal", "erase", "--address", "alice@example.com"], "1 of 1 record in 1 of 1 day"),
    ];
    for (what, put) in odd() {
        let directory = TempDir::new().unwrap();
        let journal = journal(directory.path(), &["2026-11-22"]);
        // where a ref's own day is looked for first, and where all are
        let odd = ["2026-11-21.jsonl", "2026-11-23.jsonl"].map(|day| journal.join(day));
        odd.iter().for_each(|path| put(path));
        for (arguments, found) in commands {
            let (code, out, said) = gatepost(directory.path(), arguments);
            assert_eq!(code, Some(0), "{what}, {arguments:?}: {said}");
            assert!(out.contains(found), "{what}, {arguments:?}: {out}");
            let told = said.matches(&format!("this is a {what}")).count();
            let needed = if arguments[0] == "explain" { 0..=2 } else { 2..=2 };
            assert!(needed.contains(&told), "{what}, {arguments:?}: {said}");
            assert_eq!(said.matches("mend:").count(), told, "{what}, {arguments:?}: {said}");
        }
        assert!(odd.iter().all(|path| path.symlink_metadata().is_ok()), "{what}: it is left to the administrator");
        let (code, _, said) = gatepost(directory.path(), &["explain", "0000000000000000"]);
        assert_eq!((code, said.matches(&format!("this is a {what}")).count()), (Some(1), 2), "{what}: {said}");
    }
}

#[test]
fn an_audit_that_is_no_file_is_broken_and_hangs_nobody() {
    for (what, put) in odd() {
        let directory = TempDir::new().unwrap();
        let journal = journal(directory.path(), &["2026-11-22"]);
        // leaves a line of the audit
        assert_eq!(gatepost(directory.path(), &["journal", "erase", "--address", "alice@example.com"]).0, Some(0));
        assert_eq!(gatepost(directory.path(), &["journal", "verify"]).0, Some(0));
        put(&journal.join("audit-2020-01.chain"));
        let (code, _, said) = gatepost(directory.path(), &["journal", "verify"]);
        assert_eq!(code, Some(1), "{what}: {said}");
        assert!(said.contains("BROKEN") && said.contains(&format!("this is a {what}")), "{what}: {said}");
        fs::write(journal.join("2026-11-22.jsonl"), line(&to_alice("2026-11-22"))).unwrap();
        let (code, _, said) = gatepost(directory.path(), &["journal", "erase", "--address", "alice@example.com"]);
        assert!(code.is_some(), "{what}: {said}");
    }
}

#[test]
fn a_line_of_any_length_that_is_none_of_ours_is_kept_to_the_octet_or_removed_whole() {
    const LONG: usize = 20 << 20;
    let filler = b"no record \xff\xc3\xa4 \x00".iter().copied().cycle();
    let kept: Vec<u8> = filler.clone().take(LONG).collect();
    // the address stands far behind what is read at once
    let removed = [filler.take(LONG).collect(), b" alice@example.com ".to_vec(), vec![b'x'; 100]].concat();
    let day = to_alice("2026-11-22");
    let mut bob = to_alice("2026-11-22");
    bob.recipients = vec![Recipient { address: "bob@example.com".into(), ..Recipient::default() }];
    let text =
        [line(&day).into_bytes(), kept.clone(), b"\n".to_vec(), removed, b"\n".to_vec(), line(&bob).into_bytes()];
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("2026-11-22.jsonl");
    fs::write(&path, text.concat()).unwrap();
    let exported = export(directory.path(), &subject("alice@example.com"), &mut std::io::sink()).unwrap();
    assert_eq!((exported.records, exported.found, exported.skipped), (2, 1, 2));
    let erased = erase(directory.path(), &subject("alice@example.com"), false).unwrap();
    assert_eq!((erased.records, erased.changed, erased.removed, erased.skipped), (2, 1, 1, 1));
    let mut left = BufReader::new(fs::File::open(&path).unwrap()).split(b'\n').map(Result::unwrap);
    assert!(left.next().unwrap().starts_with(b"{\"v\":1,"));
    assert!(left.next().unwrap() == kept, "not to the octet");
    assert_eq!(left.next().unwrap(), line(&bob).trim_end().as_bytes());
    assert!(left.next().is_none());
}

#[test]
fn a_day_that_can_not_be_changed_hinders_no_other_and_the_audit_says_so() {
    let directory = TempDir::new().unwrap();
    let days = ["2026-11-21", "2026-11-22", "2026-11-23"];
    let journal = journal(directory.path(), &days);
    let mut big = fs::OpenOptions::new().append(true).open(journal.join("2026-11-22.jsonl")).unwrap();
    for _ in 0..100 {
        writeln!(big, "{}", "x".repeat(10_000)).unwrap();
    }
    // no file of more than 256 kB: the disk is full in the middle of the second day
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_gatepost")]);
    command.args(["journal", "erase", "--address", "alice@example.com", "--json"]).current_dir(directory.path());
    let (code, out, said) = run(command);
    assert_eq!(code, Some(1), "{said}");
    let counts: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&counts["changed"], &counts["days_failed"]), (&2.into(), &1.into()), "{out}");
    assert!(said.contains("journal/2026-11-22.jsonl: ") && said.contains("mend:"), "{said}");
    for (day, is_left) in days.iter().zip([false, true, false]) {
        let text = fs::read_to_string(journal.join(format!("{day}.jsonl"))).unwrap();
        assert_eq!(text.contains("alice@example.com"), is_left, "{day}");
    }
    let audit = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
    let audit: Vec<PathBuf> = audit.filter(|path| path.extension().is_some_and(|end| end == "chain")).collect();
    let note = fs::read_to_string(&audit[0]).unwrap();
    assert!(note.contains("\"lines\":2") && note.contains("\"days_failed\":1"), "{note}");
    let left: Vec<std::ffi::OsString> =
        fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("erase")), "{left:?}");
}

#[test]
fn nothing_is_synced_while_the_server_has_to_wait() {
    let directory = TempDir::new().unwrap();
    journal(directory.path(), &["2026-11-21"]);
    let Some(mut command) = programs::command("strace") else { return };
    command.args(["-f", "-o", "calls", "-e", "trace=flock,fsync,fdatasync,rename"]);
    command.args([env!("CARGO_BIN_EXE_gatepost"), "journal", "erase", "--address", "alice@example.com"]);
    command.current_dir(directory.path());
    let (code, _, said) = run(command);
    if code != Some(0) && said.contains("ptrace") {
        return programs::left_out("this machine lets nobody trace a program");
    }
    assert_eq!(code, Some(0), "{said}");
    let calls = fs::read_to_string(directory.path().join("calls")).unwrap();
    let calls: Vec<&str> = calls.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim()).collect();
    let replaced = calls.iter().position(|call| call.starts_with("rename(") && call.contains(".erase-2026-11-21"));
    let before = &calls[..replaced.expect("the day was not replaced")];
    let locked = before.iter().rposition(|call| call.starts_with("flock(")).expect("it was replaced without the lock");
    let is_sync = |call: &&&str| call.starts_with("fsync(") || call.starts_with("fdatasync(");
    assert_eq!(before[locked..].iter().filter(is_sync).count(), 0, "{calls:?}");
    assert_eq!(before[..locked].iter().filter(is_sync).count(), 1, "the new file is durable before: {calls:?}");
}

/// Takes away an attribute of a file when it goes.
struct Attribute<'a>(&'a Path, char);

impl<'a> Attribute<'a> {
    /// `None` where the file system or our rights do not allow it.
    fn set(path: &'a Path, attribute: char) -> Option<Self> {
        let set = Command::new("chattr").arg(format!("+{attribute}")).arg(path).output();
        set.is_ok_and(|set| set.status.success()).then_some(Attribute(path, attribute))
    }
}

impl Drop for Attribute<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg(format!("-{}", self.1)).arg(self.0).status();
    }
}

#[test]
fn a_file_that_can_not_be_replaced_is_told_with_place_cause_and_mend() {
    for attribute in ['a', 'i'] {
        let directory = TempDir::new().unwrap();
        let journal = journal(directory.path(), &["2026-11-21", "2026-11-22"]);
        let path = journal.join("2026-11-21.jsonl");
        let Some(_held) = Attribute::set(&path, attribute) else {
            programs::left_out(&format!("chattr +{attribute} needs root and a file system that has it"));
            continue;
        };
        let (code, out, said) = gatepost(directory.path(), &["journal", "erase", "--address", "alice@example.com"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(out.contains("1 of 1 record in 1 of 2 days"), "{out}");
        assert!(said.contains("journal/2026-11-21.jsonl: ") && said.contains("not permitted"), "{said}");
        assert!(said.contains("mend:") && said.contains("chattr -ai"), "{said}");
        assert!(fs::read_to_string(&path).unwrap().contains("alice@example.com"));
        assert!(!fs::read_to_string(journal.join("2026-11-22.jsonl")).unwrap().contains("alice@example.com"));
    }
}

#[test]
fn a_directory_that_may_not_be_written_is_told_with_place_cause_and_mend() {
    let directory = TempDir::new().unwrap();
    let journal = journal(directory.path(), &["2026-11-21"]);
    // root may write whatever the mode says, but not where the attribute is
    let is_root = nix::unistd::geteuid().is_root();
    let _held = if is_root {
        let Some(held) = Attribute::set(&journal, 'i') else {
            return programs::left_out("chattr +i needs a file system that has it");
        };
        Some(held)
    } else {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        fs::set_permissions(&journal, mode).unwrap();
        None
    };
    let (code, _, said) = gatepost(directory.path(), &["journal", "erase", "--address", "alice@example.com"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("journal/2026-11-21.jsonl: ") && said.contains("mend:"), "{said}");
    assert!(said.contains("the audit can't be written"), "{said}");
    assert!(fs::read_to_string(journal.join("2026-11-21.jsonl")).unwrap().contains("alice@example.com"));
    fs::set_permissions(&journal, std::os::unix::fs::PermissionsExt::from_mode(0o700)).err();
}
