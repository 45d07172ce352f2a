//! Steps that fail: nothing of the delivery stays, the error says what kind it is, and the next try stores one copy.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use gatepost::deliver::{Copy, DeliverError, Delivery, Folder, Step};
use gatepost::recipients::MailboxName;

use super::{
    Event, Fault, Script, abandoned, copy, delivery, domain, files_in, one, root_in_memory, store, three, writers,
};
use crate::support::server::wait_for;

const EIO: i32 = 5;
const EACCES: i32 = 13;
const EXDEV: i32 = 18;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

const STEPS: [Step; 7] =
    [Step::Look, Step::MakeDirectory, Step::CreateFile, Step::Write, Step::SyncFile, Step::Rename, Step::SyncDirectory];

/// Makes each step of a delivery fail in turn, and hands what came of it to `check`.
fn sweep(fault: Fault, wanted: fn() -> Delivery, check: impl Fn(Step, usize, &DeliverError)) {
    for step in STEPS {
        let mut nth = 0;
        loop {
            let root = root_in_memory();
            let script = Script::failing(step, nth, fault);
            let writers = writers(root.path(), 1, &script);
            let result = store(&writers, wanted());
            if !script.met() {
                assert!(result.is_ok());
                break;
            }
            let error = result.expect_err("a step failed");
            check(step, nth, &error);
            assert!(files_in(root.path(), "new").is_empty(), "{step:?} {nth}: something is left in new/");
            assert!(files_in(root.path(), "tmp").is_empty(), "{step:?} {nth}: something is left in tmp/");
            let copies = wanted().copies.len();
            let stored = store(&writers, wanted()).unwrap_or_else(|error| panic!("{step:?} {nth}: the retry: {error}"));
            assert_eq!(stored.files().len(), copies);
            assert_eq!(files_in(root.path(), "new").len(), copies, "{step:?} {nth}: the retry");
            assert_eq!(writers.counters().left_behind.load(Relaxed), 0);
            nth += 1;
        }
        assert!(nth > 0, "{step:?} never happened");
    }
}

/// Whether an error names its place, below the root, and the system's error.
fn told_with_place(error: &std::io::Error, code: i32) -> bool {
    let text = error.to_string();
    let place = text.split_once(": ").map_or("", |(place, _)| place);
    text.contains(&format!("(os error {code})")) && !place.starts_with('/') && !place.is_empty()
}

#[test]
fn an_io_error_at_any_step_leaves_nothing_behind() {
    for code in [EIO, EXDEV] {
        sweep(Fault::Errno(code), three, |step, nth, error| {
            assert!(matches!(error, DeliverError::Io(io) if told_with_place(io, code)), "{step:?} {nth}: {error}");
        });
    }
    sweep(Fault::Errno(EIO), || one("alone\r\n"), |_, _, error| assert!(matches!(error, DeliverError::Io(_))));
}

#[test]
fn a_full_disk_and_a_used_up_quota_are_told_apart_from_other_trouble() {
    for code in [ENOSPC, EDQUOT] {
        sweep(Fault::Errno(code), three, |step, nth, error| {
            assert!(matches!(error, DeliverError::Full(_)), "{step:?} {nth}: {error}");
        });
    }
}

#[test]
fn a_panic_at_any_step_leaves_nothing_behind_and_the_writer_goes_on() {
    sweep(Fault::Panic, three, |step, nth, error| {
        assert!(
            matches!(error, DeliverError::Io(io) if io.to_string() == "a writer panicked"),
            "{step:?} {nth}: {error}"
        );
    });
}

#[test]
fn a_failed_fsync_of_a_file_is_never_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::SyncFile, 0, Fault::Errno(EIO));
    let writers = writers(root.path(), 1, &script);
    assert!(store(&writers, one("x\r\n")).is_err());
    let syncs = script.events().iter().filter(|event| matches!(event, Event::Begun(Step::SyncFile, _))).count();
    assert_eq!(syncs, 1);
    assert_eq!(script.done(Step::Rename), 0);
}

#[test]
fn a_root_that_is_gone_is_suspect_until_it_is_back_or_another_takes_mail() {
    let above = tempfile::tempdir().unwrap();
    let (root, away) = (above.path().join("mail"), above.path().join("away"));
    std::fs::create_dir(&root).unwrap();
    let writers = writers(&root, 1, &Script::new());
    store(&writers, one("x\r\n")).map(drop).unwrap();
    let becomes = |is_suspect| {
        for _ in 0..800 {
            if writers.suspect().is_suspect() == is_suspect {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it never becomes so: {is_suspect}");
    };
    std::fs::rename(&root, &away).unwrap();
    assert!(store(&writers, one("x\r\n")).is_err());
    becomes(true);
    std::fs::rename(&away, &root).unwrap();
    becomes(false);
    std::fs::rename(&root, &away).unwrap();
    becomes(true);
    std::fs::create_dir(&root).unwrap();
    becomes(false);
    store(&writers, one("y\r\n")).map(drop).unwrap();
}

#[test]
fn a_failing_disk_is_suspect_until_something_succeeds_that_was_begun_later() {
    for (step, code, is_suspect) in [
        (Step::SyncFile, EIO, true),
        (Step::SyncFile, ENOSPC, true),
        (Step::SyncDirectory, EIO, true),
        (Step::Look, EIO, true),
        (Step::Look, EACCES, false),
        (Step::Write, EIO, true),
        (Step::Write, ENOSPC, false),
        (Step::CreateFile, EMFILE, false),
        (Step::SyncDirectory, EMFILE, false),
    ] {
        let root = root_in_memory();
        let writers = writers(root.path(), 1, &Script::failing(step, 0, Fault::Errno(code)));
        assert!(!writers.suspect().is_suspect());
        assert!(store(&writers, one("x\r\n")).is_err(), "{step:?} {code}");
        assert_eq!(writers.suspect().is_suspect(), is_suspect, "{step:?} {code}");
        let _stored = store(&writers, one("y\r\n")).unwrap();
        assert!(!writers.suspect().is_suspect(), "{step:?} {code}");
    }
    // what was begun before the fault says nothing of what is after it
    let root = root_in_memory();
    let script = Script::failing_at(&[(Step::CreateFile, 0, Fault::Wait), (Step::SyncFile, 0, Fault::Errno(EIO))]);
    let writers = writers(root.path(), 2, &script);
    let early = std::thread::spawn({
        let writers = writers.clone();
        move || store(&writers, one("early\r\n")).map(drop)
    });
    script.wait_until_met();
    assert!(store(&writers, one("late\r\n")).is_err());
    script.release();
    early.join().unwrap().unwrap();
    assert!(writers.suspect().is_suspect());
    let _stored = store(&writers, one("later\r\n")).unwrap();
    assert!(!writers.suspect().is_suspect());
}

/// In a delivery to one fresh mailbox, the fsync of new/ comes after those of the mailbox, the domain and the root.
const SYNC_OF_NEW: usize = 3;

/// The kernel tells one of them that the directory could not be written, and would let the other's fsync succeed.
#[test]
fn who_is_under_way_when_the_fsync_of_a_directory_fails_is_not_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 4, &script);
    store(&writers, one("first\r\n")).map(drop).unwrap();
    script.fail(Step::SyncDirectory, Fault::Late(5));
    let storing = |body: &'static str| {
        let writers = writers.clone();
        std::thread::spawn(move || store(&writers, one(body)).map(drop))
    };
    let fails = storing("second\r\n");
    script.wait_until_met();
    let beside = storing("third\r\n");
    wait_for("the rename of the third", || (script.done(Step::Rename) == 3).then_some(()));
    script.fail_now();
    assert!(fails.join().unwrap().is_err() && beside.join().unwrap().is_err());
    assert_eq!((files_in(root.path(), "new").len(), files_in(root.path(), "tmp").len()), (1, 0));
    assert!(writers.suspect().is_suspect());
    store(&writers, one("fourth\r\n")).map(drop).unwrap();
    assert!(!writers.suspect().is_suspect());
}

/// A folder that was made beside the failure is not taken for durable by who comes later.
#[test]
fn a_folder_that_is_made_while_the_fsync_of_a_directory_fails_is_made_durable_again() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 4, &script);
    // the first fsync of each is that of its mailbox
    script.fail(Step::SyncDirectory, Fault::Late(EIO));
    let storing = |address: &'static str| {
        let writers = writers.clone();
        std::thread::spawn(move || store(&writers, delivery("x\r\n", vec![copy(address, Folder::Inbox)])).map(drop))
    };
    let fails = storing("alice@example.com");
    script.wait_until_met();
    let mailbox = root.path().join("example.org/bob");
    let synced = || {
        let events = script.events();
        events
            .iter()
            .filter(|event| matches!(event, Event::Begun(Step::SyncDirectory, path) if *path == mailbox))
            .count()
    };
    script.fail(Step::SyncDirectory, Fault::Wait);
    let beside = storing("bob@example.org");
    wait_for("the fsync of Bob's mailbox", || (synced() == 1).then_some(()));
    script.fail_now();
    assert!(fails.join().unwrap().is_err());
    script.release();
    assert!(beside.join().unwrap().is_err(), "it was under way");
    store(&writers, delivery("x\r\n", vec![copy("bob@example.org", Folder::Inbox)])).map(drop).unwrap();
    assert_eq!(synced(), 2);
}

#[test]
fn a_copy_that_cannot_be_taken_back_is_counted() {
    let root = tempfile::tempdir().unwrap();
    let faults = [(Step::SyncDirectory, SYNC_OF_NEW, Fault::Errno(EIO)), (Step::Remove, 0, Fault::Errno(EIO))];
    let writers = writers(root.path(), 1, &Script::failing_at(&faults));
    assert!(matches!(store(&writers, one("x\r\n")), Err(DeliverError::Io(_))));
    assert_eq!(writers.counters().left_behind.load(Relaxed), 1);
    assert_eq!(writers.counters().taken_back.load(Relaxed), 0);
    assert_eq!(files_in(root.path(), "new").len(), 1);
}

#[test]
fn a_copy_that_nobody_waits_for_any_more_is_taken_back() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::SyncDirectory, SYNC_OF_NEW, Fault::Wait);
    let writers = writers(root.path(), 1, &script);
    let result = abandoned(&writers, &script, one("x\r\n"), || assert_eq!(files_in(root.path(), "new").len(), 1));
    assert!(result.is_none());
    script.release();
    assert!(super::block_on(writers.drain()));
    assert!(files_in(root.path(), "new").is_empty());
    assert_eq!(writers.counters().taken_back.load(Relaxed), 1);
}

#[test]
fn a_copy_that_a_reader_moved_meanwhile_stays_with_the_reader() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::SyncDirectory, SYNC_OF_NEW, Fault::Wait);
    let writers = writers(root.path(), 1, &script);
    let result = abandoned(&writers, &script, one("x\r\n"), || {
        let seen = root.path().join(files_in(root.path(), "new").first().unwrap());
        let name = format!("{}:2,S", seen.file_name().unwrap().to_str().unwrap());
        std::fs::rename(&seen, root.path().join("example.com/alice/cur").join(name)).unwrap();
    });
    assert!(result.is_none());
    script.release();
    assert!(super::block_on(writers.drain()));
    assert_eq!(files_in(root.path(), "cur").len(), 1);
    assert_eq!(writers.counters().left_behind.load(Relaxed), 1);
}

#[test]
fn a_delivery_given_up_before_its_rename_is_never_visible() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::Write, 0, Fault::Wait);
    let writers = writers(root.path(), 1, &script);
    assert!(abandoned(&writers, &script, one("x\r\n"), || ()).is_none());
    script.release();
    assert!(super::block_on(writers.drain()));
    assert_eq!(script.done(Step::Rename), 0);
    assert!(files_in(root.path(), "tmp").is_empty());
}

#[test]
fn a_delivery_without_a_mailbox_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    assert!(matches!(store(&writers, delivery("x\r\n", Vec::new())), Err(DeliverError::Io(_))));
}

#[test]
fn a_symbolic_link_anywhere_below_the_root_is_refused() {
    for (component, folder) in [
        ("example.com", Folder::Inbox),
        ("example.com/alice", Folder::Inbox),
        ("example.com/alice/tmp", Folder::Inbox),
        ("example.com/alice/new", Folder::Inbox),
        ("example.com/alice/cur", Folder::Inbox),
        ("example.com/alice/.Junk", Folder::Junk),
        ("example.com/alice/.Junk/new", Folder::Junk),
    ] {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let link = root.path().join(component);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(elsewhere.path(), &link).unwrap();
        let writers = writers(root.path(), 1, &Script::new());
        let error = store(&writers, delivery("x\r\n", vec![copy("alice@example.com", folder)])).expect_err(component);
        assert!(error.to_string().contains("symbolic link"), "{component}: {error}");
        assert_eq!(
            std::fs::read_dir(elsewhere.path()).unwrap().count(),
            0,
            "{component}: something was made behind the link"
        );
    }
}

#[test]
fn a_file_where_a_directory_should_be_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("example.com"), "").unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    assert!(matches!(store(&writers, one("x\r\n")), Err(DeliverError::Io(_))));
}

#[test]
fn a_mailbox_name_that_is_no_component_never_becomes_a_path() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let writers = writers(&root, 1, &Script::new());
    let long = "x".repeat(65);
    for name in ["../../alice", "..", ".", "", "a/b", "nul\0", "/etc/alice", ".Junk", long.as_str()] {
        let mailbox = MailboxName { domain: domain("example.com"), name: name.to_owned() };
        let copies = vec![Copy { mailbox, folder: Folder::Inbox, prefix: Vec::new(), header: None }];
        assert!(matches!(store(&writers, delivery("x\r\n", copies)), Err(DeliverError::Io(_))), "{name:?}");
    }
    let below: Vec<PathBuf> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(below, Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    assert!(!Path::new("/etc/alice").exists());
}
