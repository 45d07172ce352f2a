//! The queue of the writers: its bounds, its start and end, and what is counted.

use std::sync::atomic::Ordering::Relaxed;

use gatepost::deliver::{DeliverError, Limits, Step, Writers};

use super::{
    Fault, SHORT, Script, abandoned, block_on, delivery, files_in, limits, one, store, three, with_limits, writers,
};

#[test]
fn nothing_is_stored_before_the_start_and_after_the_drain() {
    let root = tempfile::tempdir().unwrap();
    let writers = Writers::new(root.path().to_owned(), 2, 1 << 20);
    assert!(matches!(store(&writers, one("x\r\n")), Err(DeliverError::Busy)));
    writers.start().unwrap();
    writers.start().unwrap();
    assert!(store(&writers, one("x\r\n")).is_ok());
    assert!(block_on(writers.drain()));
    assert!(matches!(store(&writers, one("x\r\n")), Err(DeliverError::Busy)));
    assert_eq!(files_in(root.path(), "new").len(), 1);
}

#[test]
fn new_touches_nothing() {
    let root = tempfile::tempdir().unwrap();
    let writers = Writers::new(root.path().join("mail"), 2, 1 << 20);
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    drop(writers);
}

/// While the only writer stands still, `bounds` has room for one delivery; the next finds none.
fn full(bounds: Limits, first: &str) {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::Write, 0, Fault::Wait);
    let writers = with_limits(root.path(), Limits { patience: SHORT, threads: 1, ..bounds }, &script);
    let body = first.to_owned();
    let waiting = std::thread::spawn({
        let writers = writers.clone();
        move || store(&writers, one(&body))
    });
    script.wait_until_met();
    assert!(matches!(store(&writers, one("second\r\n")), Err(DeliverError::Busy)));
    script.release();
    // Its patience may be over or not: both are in order, and it is stored exactly then.
    let stored = waiting.join().unwrap().is_ok();
    while !block_on(writers.drain()) {}
    assert_eq!(files_in(root.path(), "new").len(), usize::from(stored));
    assert!(files_in(root.path(), "tmp").is_empty());
}

#[test]
fn a_full_queue_makes_the_next_wait_and_then_give_up() {
    full(Limits { queue_deliveries: 1, ..Limits::default() }, "first\r\n");
    full(Limits { queue_bytes: 4096, ..Limits::default() }, &"first\r\n".repeat(600));
}

#[test]
fn a_delivery_larger_than_the_queue_goes_alone() {
    let root = tempfile::tempdir().unwrap();
    let writers = with_limits(root.path(), Limits { queue_bytes: 1024, ..limits(2) }, &Script::new());
    let stored = store(&writers, one(&"long line\r\n".repeat(10_000))).unwrap();
    assert!(stored.files()[0].bytes() > 100_000);
}

#[test]
fn room_in_the_queue_is_given_back() {
    let root = tempfile::tempdir().unwrap();
    let writers =
        with_limits(root.path(), Limits { queue_bytes: 2048, queue_deliveries: 1, ..limits(1) }, &Script::new());
    for _ in 0..20 {
        let _stored = store(&writers, one("x\r\n")).unwrap();
    }
    let failing = Script::failing(Step::Write, 0, Fault::Panic);
    let writers = with_limits(root.path(), Limits { queue_deliveries: 1, ..limits(1) }, &failing);
    assert!(store(&writers, one("x\r\n")).is_err());
    assert!(store(&writers, one("x\r\n")).is_ok());
}

#[test]
fn a_disk_that_does_not_answer_is_busy() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::SyncFile, 0, Fault::Wait);
    let writers = with_limits(root.path(), Limits { patience: SHORT, ..limits(1) }, &script);
    assert!(matches!(store(&writers, one("x\r\n")), Err(DeliverError::Busy)));
    script.release();
    while !block_on(writers.drain()) {}
    assert!(files_in(root.path(), "new").is_empty(), "what was not acknowledged is taken back");
    assert!(files_in(root.path(), "tmp").is_empty());
}

#[test]
fn the_drain_ends_although_the_disk_does_not_answer() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing(Step::Write, 0, Fault::Wait);
    let writers = with_limits(root.path(), Limits { patience: SHORT, ..limits(1) }, &script);
    assert!(
        abandoned(&writers, &script, one("x\r\n"), || assert!(!block_on(writers.drain())))
            .is_none_or(|result| result.is_err())
    );
    script.release();
}

#[test]
fn the_drain_waits_for_what_is_queued() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    let results = block_on(async {
        let all = futures_util::future::join_all((0..8).map(|_| writers.store(one("x\r\n"))));
        let (results, idle) = futures_util::future::join(all, async {
            // After the deliveries have taken their places in the queue.
            tokio::task::yield_now().await;
            writers.drain().await
        })
        .await;
        assert!(idle);
        results
    });
    let stored = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(stored, files_in(root.path(), "new").len());
    assert_eq!(stored, 8);
}

#[test]
fn what_happens_is_counted() {
    let root = tempfile::tempdir().unwrap();
    let script = Script::failing_at(&[(Step::Write, 4, Fault::Errno(28)), (Step::Rename, 4, Fault::Errno(5))]);
    let writers = writers(root.path(), 1, &script);
    let first = store(&writers, three()).unwrap();
    let second = store(&writers, one("x\r\n")).unwrap();
    assert!(matches!(store(&writers, one("full\r\n")), Err(DeliverError::Full(_))));
    assert!(matches!(store(&writers, delivery("none\r\n", Vec::new())), Err(DeliverError::Io(_))));
    assert!(matches!(store(&writers, one("io\r\n")), Err(DeliverError::Io(_))));
    let counters = writers.shared_counters();
    let bytes: u64 = first.files().iter().chain(second.files()).map(|file| file.bytes()).sum();
    assert_eq!(counters.stored.load(Relaxed), 2);
    assert_eq!(counters.files.load(Relaxed), 4);
    assert_eq!(counters.bytes.load(Relaxed), bytes);
    assert_eq!(counters.full.load(Relaxed), 1);
    assert_eq!(counters.io.load(Relaxed), 2);
    assert_eq!(counters.busy.load(Relaxed), 0);
    assert_eq!(counters.directory_syncs.load(Relaxed), script.done(Step::SyncDirectory) as u64);
}
