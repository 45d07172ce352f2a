//! The file: it outlives a restart, and where it can't be used, mail goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use gatepost::facts::Facts;
use gatepost::facts::word::GreylistResult::{Early, Known, New, Pass};
use gatepost::state::{State, now, octets_at_most};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{HOUR, MINUTE, PATIENCE, accepted, at_once, counts, rate, sent, state, vouched, word};

fn kept_in(directory: &Path) -> State {
    let state = state(1000);
    state.keep_in(directory).unwrap();
    state
}

fn stranger() -> Facts {
    sent("192.0.2.7", "secret.person@sender.example", "alice@local.example")
}

fn friend() -> Facts {
    vouched(sent("198.51.100.1", "friend@known.example", "alice@local.example"))
}

/// A stranger, a friend and four of a count, as of some minutes ago.
fn filled(state: &State) {
    let then = now() - 10 * MINUTE;
    word(state, &stranger(), then);
    accepted(state, &friend(), then);
    for _ in 0..4 {
        counts(state, &stranger(), rate("client", "1h"), then);
    }
}

#[track_caller]
fn is_filled(state: &State) {
    assert_eq!(state.entries(), [1, 1, 1]);
    assert_eq!(word(state, &stranger(), now()), Pass);
    assert_eq!(word(state, &friend(), now()), Known);
    assert_eq!(at_once(state.rates(&stranger(), &[rate("client", "1h")], now()))["client/1h"], 4);
}

/// A process that goes on for another one, which has the file.
fn after(old: &State, directory: &Path, unread: std::time::Duration) -> State {
    let new = state(1000).after_another(old.secret(), unread);
    new.keep_in(directory).unwrap();
    assert!(new.is_failing(), "the other has the file");
    new
}

#[track_caller]
fn wait_for_the_file(state: &State) {
    let until = Instant::now() + PATIENCE;
    while state.is_failing() {
        assert!(Instant::now() < until, "it did not get the file");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_two_processes_learn_beside_each_other_becomes_one_memory() {
    let directory = tempfile::tempdir().unwrap();
    let old = kept_in(directory.path());
    filled(&old);
    let new = after(&old, directory.path(), std::time::Duration::ZERO);
    // the same stranger comes to the new one, and to both come others
    let [other, meanwhile] =
        ["198.51.100.8", "203.0.113.9"].map(|ip| sent(ip, "b@other.example", "alice@local.example"));
    let then = now() - 6 * MINUTE;
    assert_eq!(word(&new, &stranger(), now()), New);
    word(&new, &other, then);
    word(&old, &meanwhile, then);
    for _ in 0..3 {
        counts(&new, &stranger(), rate("client", "1h"), now());
    }
    for _ in 0..2 {
        counts(&old, &stranger(), rate("client", "1h"), now());
    }
    counts(&new, &other, rate("client", "1h"), now());
    assert!(old.close(PATIENCE));
    wait_for_the_file(&new);
    let is_whole = |state: &State| {
        assert_eq!(state.entries(), [3, 1, 2]);
        for seen in [&stranger(), &other, &meanwhile] {
            assert_eq!(word(state, seen, now()), Pass);
        }
        assert_eq!(word(state, &friend(), now()), Known);
        assert_eq!(at_once(state.rates(&stranger(), &[rate("client", "1h")], now()))["client/1h"], 4 + 3 + 2);
        assert_eq!(at_once(state.rates(&other, &[rate("client", "1h")], now()))["client/1h"], 1);
    };
    is_whole(&new);
    assert!(new.close(PATIENCE));
    is_whole(&kept_in(directory.path()));
}

#[test]
fn nobody_is_asked_to_come_again_for_what_only_another_process_knows() {
    let directory = tempfile::tempdir().unwrap();
    let old = kept_in(directory.path());
    let new = after(&old, directory.path(), PATIENCE);
    let counted = |state: &State| state.counters().unanswered();
    assert_eq!((word(&new, &stranger(), now()), counted(&new)), (Known, 1));
    assert!(old.close(PATIENCE));
    wait_for_the_file(&new);
    assert_eq!((word(&new, &stranger(), now()), counted(&new)), (New, 1), "now it would know");
    // one that waits in vain does not wait for ever
    let late = after(&new, directory.path(), std::time::Duration::ZERO);
    assert_eq!(word(&late, &stranger(), now()), New);
}

#[test]
fn one_that_ends_before_it_has_the_file_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let old = kept_in(directory.path());
    let new = after(&old, directory.path(), std::time::Duration::ZERO);
    word(&new, &stranger(), now() - 6 * MINUTE);
    assert!(!new.clone().close(std::time::Duration::from_millis(300)), "and says where that was too short");
    let new = after(&old, directory.path(), std::time::Duration::ZERO);
    word(&new, &stranger(), now() - 6 * MINUTE);
    let ending = std::thread::spawn(move || new.close(PATIENCE));
    word(&old, &friend(), now() - 6 * MINUTE);
    assert!(old.close(PATIENCE) && ending.join().unwrap());
    let next = kept_in(directory.path());
    assert_eq!((word(&next, &stranger(), now()), word(&next, &friend(), now())), (Pass, Pass));
}

#[test]
fn a_restart_forgets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/state");
    let state = kept_in(&path);
    filled(&state);
    assert!(state.close(PATIENCE) && !state.is_failing());
    let state = kept_in(&path);
    is_filled(&state);
    assert!(state.close(PATIENCE));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("state.redb"))), (0o700, 0o600));
    let octets = fs::read(path.join("state.redb")).unwrap();
    let holds = |text: &str| octets.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("strangers"), "its own names stand there in clear");
    for personal in ["secret", "sender.example", "alice", "192.0.2", "known.example"] {
        assert!(!holds(personal), "{personal} stands in the file in clear");
    }
}

const STRANGERS: TableDefinition<'_, &[u8; 16], (u64, u64, u32)> = TableDefinition::new("strangers");
const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");

fn names_of_strangers(directory: &Path) -> Vec<[u8; 16]> {
    let database = Database::open(directory.join("state.redb")).unwrap();
    let transaction = database.begin_read().unwrap();
    let table = transaction.open_table(STRANGERS).unwrap();
    table.iter().unwrap().map(|row| *row.unwrap().0.value()).collect()
}

#[test]
fn nobody_can_tell_from_a_name_alone_whom_it_is_about() {
    let names: Vec<_> = (0..2)
        .map(|_| {
            let directory = tempfile::tempdir().unwrap();
            let state = kept_in(directory.path());
            filled(&state);
            assert!(state.close(PATIENCE));
            let names = names_of_strangers(directory.path());
            // a restart goes on under the same secret
            let state = kept_in(directory.path());
            is_filled(&state);
            assert!(state.close(PATIENCE));
            assert_eq!(names_of_strangers(directory.path()), names);
            names
        })
        .collect();
    assert_eq!((names[0].len(), names[1].len()), (1, 1));
    assert_ne!(names[0], names[1], "two hosts have two names for one stranger");
}

#[test]
fn what_was_named_without_a_secret_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path().join("state.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(FORMAT).unwrap().insert("version", 1).unwrap();
    let before: TableDefinition<'_, &[u8; 16], (u64, u64)> = TableDefinition::new("strangers");
    transaction.open_table(before).unwrap().insert(&[7; 16], (now(), now() + HOUR)).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let state = kept_in(directory.path());
    assert_eq!((state.entries(), state.is_failing()), ([0, 0, 0], false));
    filled(&state);
    assert!(state.close(PATIENCE));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["state.redb"], "nothing was put aside");
    assert!(!names_of_strangers(directory.path()).contains(&[7; 16]));
}

#[test]
fn the_file_keeps_to_its_bound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let state = kept_in(directory.path());
    filled(&state);
    assert!(state.close(PATIENCE));
    // something makes it larger than it may be, and compacting does not help
    let database = Database::open(&path).unwrap();
    let junk: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("junk");
    let transaction = database.begin_write().unwrap();
    for n in 0..40 {
        transaction.open_table(junk).unwrap().insert(n, &vec![1; 1 << 20][..]).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let most = octets_at_most(1000);
    let octets = || fs::metadata(&path).unwrap().len();
    assert!(octets() > most, "{}", octets());
    let state = kept_in(directory.path());
    is_filled(&state);
    accepted(&state, &sent("203.0.113.1", "new@sender.example", "alice@local.example"), now());
    assert!(state.close(PATIENCE) && !state.is_failing());
    assert!(octets() <= most, "{} of {most}", octets());
    // and with as many of everything as there may be
    let state = kept_in(directory.path());
    assert_eq!(state.entries(), [1, 2, 1], "what was in it is still known");
    assert_eq!(word(&state, &friend(), now()), Known);
    let rates: Vec<_> = (0..8).map(|n| rate("mail_from.address", &format!("{}s", 9_000 + n))).collect();
    for n in 0..1_000 {
        let facts = sent(&format!("10.{}.{}.1", n / 250, n % 250), &format!("u{n}@b.example"), "alice@local.example");
        word(&state, &facts, now());
        accepted(&state, &facts, now());
        at_once(state.count(&facts, &rates, now()));
    }
    assert!(state.close(PATIENCE) && !state.is_failing());
    assert!(octets() <= most, "{} of {most}", octets());
}

#[test]
fn what_is_past_its_time_is_not_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let state = kept_in(directory.path());
    word(&state, &stranger(), now() - 49 * HOUR);
    assert!(state.close(PATIENCE));
    let state = kept_in(directory.path());
    assert_eq!(word(&state, &stranger(), now()), New);
}

/// What is there when the file is of no use: `spoil` makes it so.
#[track_caller]
fn goes_on_with(spoil: impl Fn(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let state = kept_in(directory.path());
    filled(&state);
    assert!(state.close(PATIENCE));
    spoil(&file);
    let state = kept_in(directory.path());
    // whole, or put aside and empty; never something else, and either way it is kept again
    if state.entries() == [1, 1, 1] {
        is_filled(&state);
    } else {
        assert_eq!((state.entries(), state.errors()), ([0, 0, 0], 1));
        assert!(directory.path().join("state.redb.broken").exists());
        filled(&state);
    }
    assert!(!state.is_failing());
    assert!(state.close(PATIENCE));
    let state = kept_in(directory.path());
    is_filled(&state);
    assert!(state.close(PATIENCE));
}

#[test]
fn a_broken_file_is_put_aside() {
    goes_on_with(|file| fs::write(file, "this is no such file\n".repeat(1000)).unwrap());
    goes_on_with(|file| fs::write(file, [0u8; 8192]).unwrap());
}

#[test]
fn a_file_cut_short_or_damaged_anywhere_costs_no_more_than_what_it_held() {
    let damages: [fn(&mut Vec<u8>); 6] = [
        |octets| octets.truncate(octets.len() / 2),
        |octets| octets.truncate(100),
        |octets| octets.iter_mut().take(64).for_each(|octet| *octet = 0xff),
        |octets| octets.iter_mut().skip(4096).for_each(|octet| *octet = 0x55),
        |octets| octets.iter_mut().skip(1000).step_by(997).for_each(|octet| *octet ^= 1),
        |octets| octets.iter_mut().skip(320).step_by(4096).for_each(|octet| *octet ^= 0x80),
    ];
    for damage in damages {
        goes_on_with(|file| {
            let mut octets = fs::read(file).unwrap();
            damage(&mut octets);
            fs::write(file, octets).unwrap();
        });
    }
}

#[test]
fn where_no_directory_can_be_made_all_stays_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("a-file");
    fs::write(&blocked, "").unwrap();
    let state = kept_in(&blocked.join("state"));
    assert!(state.is_failing() && state.errors() == 1);
    filled(&state);
    is_filled(&state);
    assert_eq!(word(&state, &sent("203.0.113.1", "x@y.example", "z@local.example"), now()), New);
    assert_eq!(word(&state, &sent("203.0.113.1", "x@y.example", "z@local.example"), now()), Early);
    // the disk comes back before the end
    fs::remove_file(&blocked).unwrap();
    assert!(state.close(PATIENCE));
    assert!(!state.is_failing());
    assert_eq!(kept_in(&blocked.join("state")).entries(), [2, 1, 1], "all of it is kept, not only what came since");
}

#[test]
fn a_file_that_another_process_uses_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let first = kept_in(directory.path());
    filled(&first);
    let second = kept_in(directory.path());
    assert!(second.is_failing() && !first.is_failing());
    assert_eq!(word(&second, &stranger(), now()), New);
    assert!(first.close(PATIENCE));
    is_filled(&kept_in(directory.path()));
}

#[test]
fn what_changes_is_written_without_being_asked() {
    let directory = tempfile::tempdir().unwrap();
    let state = kept_in(directory.path());
    filled(&state);
    // a copy of the file is what a crash leaves
    let copy = tempfile::tempdir().unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        fs::copy(directory.path().join("state.redb"), copy.path().join("state.redb")).unwrap();
        let crashed = kept_in(copy.path());
        let entries = crashed.entries();
        assert!(crashed.close(PATIENCE));
        if entries == [1, 1, 1] {
            break;
        }
        assert!(Instant::now() < until, "{entries:?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(state.close(PATIENCE));
}
