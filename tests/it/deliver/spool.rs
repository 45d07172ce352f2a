//! Bodies that go to disk while they come in: stored as one in memory would be, and nothing of them left where they are not.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use gatepost::deliver::{DeliverError, Delivery, Folder, Payload, Step, Witness, Writers};
use gatepost::message::content::Body;
use gatepost::message::pieces::Pieces;
use gatepost::message::spool::Spool;

use super::durability::judge;
use super::{
    Event, Fault, NETWORK, OTHER, SHORT, Script, block_on, copy, files_in, limits, paths, store, with_limits, writers,
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;
const EOPNOTSUPP: i32 = 95;

fn spooled(writers: &Arc<Writers>, body: &[u8], part: usize) -> Result<Spool, DeliverError> {
    block_on(async {
        let mut spooling = writers.spooling(NETWORK);
        for octets in body.chunks(part) {
            spooling.write(octets.to_vec().into()).await?;
        }
        spooling.finish(Pieces::default()).await
    })
}

fn delivery(body: Body) -> Delivery {
    let payload = Arc::new(Payload { header: b"Subject: Test\r\n\r\n".to_vec(), body });
    let copies = vec![copy("alice@example.com", Folder::Inbox), copy("bob@example.org", Folder::Junk)];
    Delivery { payload, copies, network: NETWORK }
}

fn content(root: &Path, writers: &Writers, body: Body) -> Vec<Vec<u8>> {
    let stored = store(writers, delivery(body)).unwrap();
    let read = |path| std::fs::read(root.join(path)).unwrap();
    let files: Vec<Vec<u8>> = paths(&stored).into_iter().map(read).collect();
    assert_eq!(stored.files()[0].bytes(), files[0].len() as u64, "what the name says");
    files
}

/// Files without a name below `root` that this process still holds.
fn held(root: &Path) -> usize {
    let root = std::fs::canonicalize(root).unwrap();
    let links = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links.filter(|to| to.starts_with(&root) && to.to_string_lossy().ends_with("(deleted)")).count()
}

#[track_caller]
fn none_is_held(root: &Path) {
    for _ in 0..400 {
        if held(root) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} files are held", held(root));
}

/// Names below the root that are no directories.
fn named(root: &Path) -> usize {
    files_in(root, "new").len() + files_in(root, "tmp").len() + files_in(root, ".gatepost-spool").len()
}

#[test]
fn a_spooled_body_is_stored_as_one_in_memory_wherever_it_is_cut() {
    let root = super::root_in_memory();
    let writers = writers(root.path(), 2, &Script::new());
    let bodies = ["a\r\nb\r\n", "\r\n\r\n", "no end", "ends in CR\r", "\r\rx\r\n\r", "one\r\n.two\r\n..\r\n", ""];
    for body in bodies {
        let whole = content(root.path(), &writers, body.as_bytes().to_vec().into());
        for part in 1..=body.len().max(1) {
            let spool = spooled(&writers, body.as_bytes(), part).unwrap();
            assert_eq!(spool.bytes(), body.len() as u64);
            assert_eq!(String::from_utf8(spool.read(usize::MAX).unwrap()).unwrap(), body, "in parts of {part}");
            for most in 0..=body.len() {
                assert_eq!(spool.read(most).unwrap(), &body.as_bytes()[..most]);
            }
            assert_eq!(content(root.path(), &writers, Body::Spooled(spool)), whole, "{body:?} in parts of {part}");
            // between two pieces of one that stays in memory too
            let filler = "x".repeat(16 * 1024 - part.min(body.len()));
            let (first, second) = body.split_at(part.min(body.len()));
            let mut pieces = Pieces::from(format!("{filler}{first}").into_bytes());
            pieces.extend(second.as_bytes());
            let stored = content(root.path(), &writers, Body::Memory(pieces));
            assert_eq!(stored, content(root.path(), &writers, format!("{filler}{body}").into_bytes().into()));
        }
    }
    none_is_held(root.path());
}

#[test]
fn a_large_body_goes_to_every_mailbox_octet_for_octet() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 2, &script);
    let line = |number: u32| format!("{number} {}\r\n", "x".repeat(number as usize % 200)).into_bytes();
    let body: Vec<u8> = (0..60_000).flat_map(line).collect();
    assert!(body.len() > 5_000_000);
    let spool = spooled(&writers, &body, 70_001).unwrap();
    let expected = |to: &str| [format!("Delivered-To: {to}\nSubject: Test\n\n").into_bytes(), lf(&body)].concat();
    let stored = store(&writers, delivery(Body::Spooled(spool.clone()))).unwrap();
    script.note(Event::Acknowledged(paths(&stored)));
    for (path, to) in paths(&stored).iter().zip(["alice@example.com", "bob@example.org"]) {
        assert!(std::fs::read(root.path().join(path)).unwrap() == expected(to), "{to}");
    }
    judge(root.path(), &script.events()).expect("as durable as one in memory");
    assert_eq!(spool.stored_bytes(), lf(&body).len() as u64);
    assert_eq!(writers.counters().spooled.load(Relaxed), 1);
    assert_eq!(writers.counters().spooled_bytes.load(Relaxed), body.len() as u64);
    drop(spool);
    none_is_held(root.path());
}

fn lf(body: &[u8]) -> Vec<u8> {
    String::from_utf8(body.to_vec()).unwrap().replace("\r\n", "\n").into_bytes()
}

#[test]
fn a_file_system_without_nameless_files_is_served_too() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::CreateSpool, 0, Fault::Errno(EOPNOTSUPP));
    let writers = writers(root.path(), 1, &script);
    let spool = spooled(&writers, b"a\r\nb\r\n", 4).unwrap();
    assert!(script.met());
    assert_eq!((held(root.path()), named(root.path())), (1, 0), "it has no name any more");
    assert_eq!(
        content(root.path(), &writers, Body::Spooled(spool))[0],
        b"Delivered-To: alice@example.com\nSubject: Test\n\na\nb\n"
    );
    none_is_held(root.path());
}

#[test]
fn trouble_at_any_step_is_told_apart_and_leaves_nothing() {
    for (step, code, full) in [
        (Step::CreateSpool, ENOSPC, true),
        (Step::WriteSpool, ENOSPC, true),
        (Step::WriteSpool, EDQUOT, true),
        (Step::WriteSpool, EIO, false),
    ] {
        let most = if step == Step::CreateSpool { 1 } else { 4 };
        for nth in 0..most {
            let root = tempfile::tempdir().unwrap();
            let writers = writers(root.path(), 1, &Script::failing(step, nth, Fault::Errno(code)));
            let error = spooled(&writers, b"a\r\nb\r\nc\r\n", 3).expect_err("a step failed");
            assert_eq!(matches!(error, DeliverError::Full(_)), full, "{step:?} {nth}: {error}");
            assert_eq!(matches!(error, DeliverError::Io(_)), !full, "{step:?} {nth}: {error}");
            assert!(error.to_string().contains("the Maildir root: "), "{error}");
            let counted = writers.counters();
            assert_eq!((counted.full.load(Relaxed), counted.io.load(Relaxed)), (u64::from(full), u64::from(!full)));
            none_is_held(root.path());
            assert_eq!(named(root.path()), 0);
            assert_eq!(counted.spooled.load(Relaxed), 0);
            spooled(&writers, b"a\r\n", 3).expect("the next one");
        }
    }
}

#[test]
fn a_panic_costs_one_body_and_no_writer() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::failing(Step::WriteSpool, 1, Fault::Panic));
    assert!(spooled(&writers, b"a\r\nb\r\nc\r\n", 3).is_err());
    none_is_held(root.path());
    spooled(&writers, b"a\r\n", 3).expect("the next one");
    assert_eq!(writers.counters().panics.load(Relaxed), 1);
}

#[test]
fn whoever_hands_over_waits_for_the_disk_and_not_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::WriteSpool, 0, Fault::Wait);
    let writers = with_limits(root.path(), gatepost::deliver::Limits { patience: 4 * SHORT, ..limits(1) }, &script);
    block_on(async {
        let mut spooling = writers.spooling(NETWORK);
        spooling.write(b"a\r\n".to_vec().into()).await.expect("one part may be under way");
        let second = tokio::time::timeout(SHORT, spooling.write(b"b\r\n".to_vec().into())).await;
        assert!(second.is_err(), "the second waits for the first");
        let mut late = writers.spooling(NETWORK);
        late.write(b"c\r\n".to_vec().into()).await.unwrap();
        assert!(matches!(late.settle().await, Err(DeliverError::Busy)));
        assert!(matches!(late.write(b"d\r\n".to_vec().into()).await, Err(DeliverError::Busy)), "it was given up");
    });
    script.release();
    assert!(block_on(writers.drain()));
    none_is_held(root.path());
}

#[test]
fn a_body_that_is_given_up_at_any_moment_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 2, &Script::new());
    for parts in 0..4 {
        block_on(async {
            let mut spooling = writers.spooling(NETWORK);
            for _ in 0..parts {
                spooling.write(b"a\r\n".to_vec().into()).await.unwrap();
            }
            if parts > 1 {
                spooling.settle().await.unwrap();
                assert_eq!(held(root.path()), 1);
            }
        });
        none_is_held(root.path());
    }
    // whole, and then refused
    drop(spooled(&writers, b"a\r\n", 3).unwrap());
    none_is_held(root.path());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_spooled_after_the_end() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    let spool = spooled(&writers, b"a\r\n", 3).unwrap();
    assert!(block_on(writers.drain()));
    assert!(matches!(spooled(&writers, b"a\r\n", 3), Err(DeliverError::Busy)));
    drop((spool, writers));
    none_is_held(root.path());
}

/// Whether it is refused for want of a share, and what it says.
#[track_caller]
fn no_room<T>(result: Result<T, DeliverError>) -> &'static str {
    match result {
        Err(DeliverError::NoRoom(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("there was room"),
    }
}

#[test]
fn what_bodies_hold_of_the_disk_is_bounded_in_all_and_for_a_network() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 2, &script);
    writers.spooled().bound(10_000, 4_000, 4_000);
    let part = || Pieces::from(vec![b'x'; 1_000]);
    block_on(async {
        let mut greedy = writers.spooling(NETWORK);
        let mut second = writers.spooling(NETWORK);
        for _ in 0..2 {
            greedy.write(part()).await.unwrap();
            second.write(part()).await.unwrap();
        }
        greedy.settle().await.unwrap();
        let written = script.done(Step::WriteSpool);
        assert!(no_room(second.write(part()).await).contains("limits.spool_per_network"));
        assert!(matches!(second.write(part()).await, Err(DeliverError::Busy)), "it was given up");
        assert!(script.done(Step::WriteSpool) <= written + 1, "nothing more was written");
        while writers.spooled().ledger().used() > 2_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(held(root.path()), 1, "the file goes at once, before its sender ends");
        // another network has its own, until all is spent
        let mut others: Vec<_> = (0..2).map(|_| writers.spooling(OTHER)).collect();
        for other in &mut others {
            other.write(part()).await.unwrap();
            other.write(part()).await.unwrap();
        }
        let mut third = writers.spooling(IpAddr::from([198, 51, 100, 0]));
        for _ in 0..4 {
            third.write(part()).await.unwrap();
        }
        assert!(
            no_room(writers.spooling(IpAddr::from([203, 0, 113, 0])).write(part()).await).contains("limits.spool,")
        );
        assert_eq!(writers.spooled().ledger().used(), 10_000);
        // a whole body is held until it is gone
        let spool = greedy.finish(Pieces::default()).await.unwrap();
        assert_eq!(writers.spooled().ledger().used(), 10_000);
        drop((spool, others, third, second));
    });
    none_is_held(root.path());
    assert!(block_on(writers.drain()));
    drop(writers);
}

#[test]
fn what_is_reserved_is_given_back_on_every_way_out() {
    for (step, nth, fault) in [
        (Step::CreateSpool, 0, Fault::Errno(ENOSPC)),
        (Step::WriteSpool, 1, Fault::Errno(EIO)),
        (Step::WriteSpool, 1, Fault::Panic),
        (Step::WriteSpool, 9, Fault::Errno(EIO)),
    ] {
        let root = tempfile::tempdir().unwrap();
        let writers = writers(root.path(), 1, &Script::failing(step, nth, fault));
        let spool = spooled(&writers, &[b'x'; 100], 30);
        assert_eq!(spool.is_err(), nth < 9);
        assert_eq!(writers.spooled().ledger().used(), if nth < 9 { 0 } else { 100 });
        drop(spool);
        // in the hands of a writer, and of nobody
        for settled in [true, false] {
            block_on(async {
                let mut spooling = writers.spooling(NETWORK);
                spooling.write(vec![b'x'; 50].into()).await.unwrap();
                if settled {
                    spooling.settle().await.unwrap();
                }
            });
        }
        // whoever takes the last place has all before it behind him
        spooled(&writers, b"y", 1).map(drop).unwrap();
        none_is_held(root.path());
        for _ in 0..400 {
            if writers.spooled().ledger().used() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(writers.spooled().ledger().used(), 0, "{step:?} {nth} {fault:?}");
    }
}

#[test]
fn nothing_is_spooled_or_copied_under_the_floor() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::new();
    let writers = writers(root.path(), 1, &script);
    let spool = spooled(&writers, &[b'x'; 1_000], 1_000).unwrap();
    block_on(async {
        let mut under_way = writers.spooling(NETWORK);
        under_way.write(vec![b'x'; 1_000].into()).await.unwrap();
        under_way.settle().await.unwrap();
        let written = script.done(Step::WriteSpool);
        writers.space().floor(1_000_000_000_000_000, 0);
        assert!(no_room(under_way.write(vec![b'x'; 1_000].into()).await).contains("limits.free_disk"));
        assert!(no_room(writers.spooling(OTHER).write(vec![b'x'].into()).await).contains("limits.free_disk"));
        assert!(no_room(writers.spooled().check(OTHER, 1)).contains("limits.free_disk"));
        assert_eq!(script.done(Step::WriteSpool), written);
    });
    let error = store(&writers, delivery(Body::Spooled(spool.clone()))).unwrap_err();
    assert!(matches!(error, DeliverError::NoRoom(why) if why.contains("limits.free_disk")), "{error}");
    assert_eq!(named(root.path()), 0);
    writers.space().floor(0, 0);
    assert_eq!(content(root.path(), &writers, Body::Spooled(spool)).len(), 2);
}

#[test]
fn bodies_take_no_more_than_half_of_what_is_free_above_the_floor() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    writers.spooled().bound(u64::MAX, u64::MAX, 0);
    let free = writers.space().bytes();
    // ten megabytes above the floor, whatever else goes on on this disk meanwhile
    writers.space().floor(free - 10_000_000, 0);
    assert_eq!(writers.spooled().most(), 5_000_000);
    writers.spooled().check(NETWORK, 625_000).unwrap();
    assert!(no_room(writers.spooled().check(NETWORK, 625_001)).contains("limits.spool_per_network"));
    writers.spooled().bound(u64::MAX, 0, 1_000_000);
    writers.spooled().check(NETWORK, 1_000_000).unwrap();
    assert!(no_room(writers.spooled().check(NETWORK, 5_000_001)).contains("limits.spool,"));
    // what was written since the last look counts
    let spool = spooled(&writers, &vec![b'x'; 600_000], 100_000).unwrap();
    assert!(writers.space().bytes() <= free - 600_000);
    assert_eq!(writers.spooled().most(), 5_000_000);
    drop(spool);
}

/// Has no nameless files, and whoever looks for leftovers removes a name before its owner does.
struct Faster;

impl Witness for Faster {
    fn before(&self, step: Step, path: &Path) -> std::io::Result<()> {
        match step {
            Step::CreateSpool => Err(std::io::Error::from_raw_os_error(EOPNOTSUPP)),
            Step::Remove => std::fs::remove_file(path),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_name_that_another_process_removed_is_missed_by_nobody() {
    let root = tempfile::tempdir().unwrap();
    let writers = Arc::new(Writers::with(root.path().to_owned(), limits(1), Arc::new(Faster)));
    writers.start().unwrap();
    let spool = spooled(&writers, b"a\r\nb\r\n", 4).unwrap();
    assert_eq!((held(root.path()), named(root.path())), (1, 0));
    assert_eq!(spool.read(usize::MAX).unwrap(), b"a\r\nb\r\n");
}

#[test]
fn what_a_crash_left_is_removed_and_what_a_process_holds_is_not() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    assert_eq!(writers.clean_spool().unwrap().removed, 0, "there is no directory");
    let directory = root.path().join(".gatepost-spool");
    std::fs::create_dir(&directory).unwrap();
    let names = ["0123456789abcdef", "fedcba9876543210", "00000000000000ff"];
    for name in names.iter().chain(&[".nfs000000000001", "README", "0123"]) {
        std::fs::write(directory.join(name), "x").unwrap();
    }
    let lives = std::fs::File::open(directory.join(names[2])).unwrap();
    lives.try_lock().unwrap();
    std::fs::create_dir(directory.join("1111111111111111")).unwrap();
    let aside = root.path().join("aside");
    std::fs::write(&aside, "x").unwrap();
    std::os::unix::fs::symlink(&aside, directory.join("2222222222222222")).unwrap();
    let cleaned = writers.clean_spool().unwrap();
    assert_eq!((cleaned.removed, cleaned.bytes, cleaned.failed), (2, 2, 0));
    let mut left: Vec<String> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(
        left,
        [".nfs000000000001", "00000000000000ff", "0123", "1111111111111111", "2222222222222222", "README"]
    );
    drop(lives);
    assert_eq!(writers.clean_spool().unwrap().removed, 1);
    assert_eq!(writers.counters().leftovers.load(Relaxed), 3);
}
