//! Writers that have nothing else to do help with the copies of one message.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gatepost::deliver::{Copy, Delivery, Folder, Step, Witness, Writers};

use super::durability::judge;
use super::fairness::{Gate, many, spooled_payload, to};
use super::{
    Event, Fault, NETWORK, OTHER, Script, abandoned, block_on, copy, delivery, files_in, limits, one, paths, store,
    writers,
};
use crate::support::server::wait_for;

fn gated(root: &Path, threads: usize) -> (Arc<Gate>, Arc<Writers>) {
    let gate = Arc::new(Gate::default());
    let writers = Arc::new(Writers::with(root.to_owned(), limits(threads), gate.clone()));
    writers.start().unwrap();
    (gate, writers)
}

/// Of eight writers all but two write copies of one message at the same time; each copy is there once.
#[test]
fn all_but_a_quarter_of_the_writers_help() {
    let root = tempfile::tempdir().unwrap();
    let (gate, writers) = gated(root.path(), 8);
    let (others, copies) = (writers.clone(), to(20));
    let several = std::thread::spawn(move || store(&others, delivery("several\r\n", copies)));
    gate.wait_until_held(6);
    for _ in 0..20 {
        assert!(store(&writers, one("another\r\n")).is_ok(), "two writers are left");
    }
    assert_eq!(gate.most(), 6);
    gate.open();
    let stored = several.join().unwrap().unwrap();
    let names: Vec<&str> = stored.files().iter().map(|file| file.mailbox().name.as_str()).collect();
    assert_eq!(names, to(20).iter().map(|copy| copy.mailbox.name.clone()).collect::<Vec<_>>(), "in their order");
    for file in stored.files() {
        let octets = std::fs::read(root.path().join(file.path())).unwrap();
        assert_eq!(octets.len() as u64, file.bytes());
        assert!(octets.ends_with(b"several\n"));
    }
    assert_eq!((files_in(root.path(), "new").len(), files_in(root.path(), "tmp").len()), (40, 0));
}

/// Idle writers look for something to do after each small one, and there is a copy to be made.
fn is_made_by_one_writer(delivery: impl Fn(&Arc<Writers>) -> Delivery) {
    let root = tempfile::tempdir().unwrap();
    let (gate, writers) = gated(root.path(), 8);
    let (others, held) = (writers.clone(), delivery(&writers));
    let several = std::thread::spawn(move || store(&others, held));
    gate.wait_until_held(1);
    for _ in 0..20 {
        assert!(store(&writers, one("another\r\n")).is_ok());
    }
    assert_eq!(gate.most(), 1);
    gate.open();
    assert!(several.join().unwrap().is_ok());
}

#[test]
fn nobody_helps_with_spooled_copies_nor_with_few() {
    is_made_by_one_writer(|writers| Delivery { payload: spooled_payload(writers), copies: to(20), network: NETWORK });
    is_made_by_one_writer(|_| delivery("few\r\n", to(4)));
}

#[test]
fn every_copy_is_durable_before_the_first_is_renamed_whoever_wrote_it() {
    let root = tempfile::tempdir().unwrap();
    let slow = Slow::of(Script::new());
    let script = slow.script.clone();
    let writers = Arc::new(Writers::with(root.path().to_owned(), limits(8), slow));
    writers.start().unwrap();
    let mut events = Vec::new();
    let mut writing = 0;
    for round in 0..20 {
        // new mailboxes in every other round
        let name = |number| format!("bob{}-{number}@example.com", round / 2);
        let copies: Vec<Copy> = (0..20).map(|number| copy(&name(number), Folder::Inbox)).collect();
        let stored = store(&writers, delivery("several\r\n", copies)).unwrap();
        script.note(Event::Acknowledged(paths(&stored)));
        let round = script.events();
        script.forget();
        let first_rename = round.iter().position(|event| matches!(event, Event::Begun(Step::Rename, _))).unwrap();
        let synced = round.iter().take(first_rename);
        assert_eq!(synced.filter(|event| matches!(event, Event::Done(Step::SyncFile, ..))).count(), 20);
        assert_eq!(round.iter().filter(|event| matches!(event, Event::Begun(Step::SyncFile, _))).count(), 20);
        writing = writing.max(at_once(&round, Step::Write));
        events.extend(round);
    }
    judge(root.path(), &events).unwrap();
    assert!(writing > 1, "nobody helped");
}

/// How many steps of this kind were under way at the same time at most.
fn at_once(events: &[Event], step: Step) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for event in events {
        match event {
            Event::Begun(one, _) if *one == step => now += 1,
            Event::Done(one, ..) if *one == step => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// Whoever makes it, the writer of the delivery or one who helps: there is no answer before the last directory is durable.
#[test]
fn nothing_is_acknowledged_before_the_last_directory_is_durable() {
    for number in 0..8 {
        let root = tempfile::tempdir().unwrap();
        let script = Script::new();
        let writers = writers(root.path(), 8, &script);
        store(&writers, delivery("first\r\n", to(20))).map(drop).unwrap();
        script.forget();
        script.fail_at(Step::SyncDirectory, number, Fault::Wait);
        let others = writers.clone();
        let second = std::thread::spawn(move || store(&others, delivery("second\r\n", to(20))));
        script.wait_until_met();
        wait_for("the others", || (script.done(Step::SyncDirectory) == 19).then_some(()));
        // an answer that came now would be here by then
        std::thread::sleep(Duration::from_millis(20));
        assert!(!second.is_finished());
        script.release();
        assert!(second.join().unwrap().is_ok());
    }
}

#[test]
fn what_several_writers_made_is_taken_back_when_one_step_fails() {
    for (step, number) in [
        (Step::CreateFile, 7),
        (Step::Write, 7),
        (Step::SyncFile, 7),
        (Step::SyncFile, 19),
        (Step::Rename, 7),
        (Step::SyncDirectory, 1),
        (Step::SyncDirectory, 19),
    ] {
        for fault in [Fault::Errno(5), Fault::Panic] {
            let root = tempfile::tempdir().unwrap();
            let script = Script::new();
            let writers = writers(root.path(), 8, &script);
            store(&writers, delivery("first\r\n", to(20))).map(drop).unwrap();
            let before = files_in(root.path(), "new");
            script.fail_at(step, number, fault);
            assert!(store(&writers, delivery("several\r\n", to(20))).is_err(), "{step:?}");
            assert!(script.met(), "{step:?}");
            assert_eq!(files_in(root.path(), "new"), before, "{step:?}");
            assert!(files_in(root.path(), "tmp").is_empty(), "{step:?}");
            let panics = writers.counters().panics.load(Ordering::Relaxed);
            assert_eq!(panics, u64::from(matches!(fault, Fault::Panic)), "{step:?}");
            assert!(store(&writers, delivery("several\r\n", to(20))).is_ok(), "{step:?}");
            assert!(block_on(writers.drain()));
        }
    }
}

/// No copy is begun by anybody once nobody waits for them, and those that were are taken back.
#[test]
fn nobody_goes_on_when_the_client_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::Write, 0, Fault::Wait);
    let slow = Slow::of(script.clone());
    let writers = Arc::new(Writers::with(root.path().to_owned(), limits(8), slow.clone()));
    writers.start().unwrap();
    assert!(abandoned(&writers, &script, delivery("several\r\n", to(200)), || {}).is_none());
    let begun = slow.writes.load(Ordering::Relaxed);
    script.release();
    assert!(block_on(writers.drain()));
    let after = slow.writes.load(Ordering::Relaxed);
    assert!(after <= begun + 6, "{begun} copies were begun, and {after} in the end");
    assert!(files_in(root.path(), "new").is_empty() && files_in(root.path(), "tmp").is_empty());
}

/// A disk on which each of Bob's copies takes a while.
struct Slow {
    script: Arc<Script>,
    writes: AtomicUsize,
}

impl Slow {
    fn of(script: Arc<Script>) -> Arc<Self> {
        Arc::new(Slow { script, writes: AtomicUsize::new(0) })
    }
}

impl Witness for Slow {
    fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        let told = self.script.before(step, path);
        if step == Step::Write {
            self.writes.fetch_add(1, Ordering::Relaxed);
            if path.to_string_lossy().contains("/bob") {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        told
    }

    fn done(&self, step: Step, path: &Path, to: Option<&Path>) {
        Witness::done(&*self.script, step, path, to);
    }
}

/// One network sends to many mailboxes, and writers help with it; small ones and another's large one don't wait for its end.
#[test]
fn help_keeps_nobody_from_the_writers() {
    let root = super::root_in_memory();
    let writers = Arc::new(Writers::with(root.path().to_owned(), limits(8), Slow::of(Script::new())));
    writers.start().unwrap();
    let sending = || {
        let writers = writers.clone();
        std::thread::spawn(move || store(&writers, many("bob", NETWORK)))
    };
    let waiting: Vec<_> = (0..20).map(|_| sending()).collect();
    for _ in 0..5 {
        assert!(store(&writers, one("small\r\n")).is_ok());
        assert!(store(&writers, many("alice", OTHER)).is_ok());
    }
    let left = waiting.iter().filter(|delivery| !delivery.is_finished()).count();
    assert!(left > 0, "others came only when all was done");
    assert!(waiting.into_iter().all(|delivery| delivery.join().unwrap().is_ok()));
}

/// A file that we rename has a name like one that the crate does.
#[test]
fn names_are_alike_whoever_renames() {
    use std::os::unix::fs::MetadataExt;
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    for mailboxes in [1, 3] {
        let stored = store(&writers, delivery("several\r\n", to(mailboxes))).unwrap();
        for file in stored.files() {
            let metadata = std::fs::metadata(root.path().join(file.path())).unwrap();
            let name = file.path().file_name().unwrap().to_str().unwrap();
            let (unique, rest) = name.split_once('V').unwrap();
            let (seconds, unique) = unique.split_once(".#").unwrap();
            assert!(seconds.parse::<u64>().is_ok());
            assert!(unique.ends_with(&format!("P{}", std::process::id())), "{name}");
            let host = nix::unistd::gethostname().unwrap();
            let (place, size) = (format!("{}I{}", metadata.dev(), metadata.ino()), metadata.len());
            assert_eq!(rest, format!("{place}.{},S={size}", host.to_str().unwrap()));
        }
    }
}
