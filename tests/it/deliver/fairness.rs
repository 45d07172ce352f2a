//! What large deliveries may take of the writers: small ones always find one, and what nobody waits for any more ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gatepost::deliver::{Copy, Delivery, Folder, Limits, Payload, Step, Witness, Writers};
use gatepost::message::content::Body;
use gatepost::message::spool::Spool;

use super::{
    Event, Fault, NETWORK, OTHER, Script, abandoned, block_on, copy, delivery, files_in, limits, one, payload, store,
    writers,
};

/// Holds whoever writes into Bob's mailbox, and counts them.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    now: usize,
    most: usize,
    open: bool,
}

impl Gate {
    pub(super) fn wait_until_held(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let waited = self.changed.wait_timeout_while(state, Duration::from_secs(30), |state| state.now < count);
        assert!(!waited.unwrap().1.timed_out(), "{count} are held");
    }

    /// How many were held at the same time at most.
    pub(super) fn most(&self) -> usize {
        self.state.lock().unwrap().most
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }
}

impl Witness for Gate {
    fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        if step == Step::Write && path.to_string_lossy().contains("/bob") {
            let mut state = self.state.lock().unwrap();
            state.now += 1;
            state.most = state.most.max(state.now);
            self.changed.notify_all();
            let mut state = self.changed.wait_while(state, |state| !state.open).unwrap();
            state.now -= 1;
        }
        Ok(())
    }
}

fn spooled(writers: &Arc<Writers>) -> Spool {
    block_on(writers.spooling(IpAddr::V4(Ipv4Addr::LOCALHOST)).finish(b"large\r\n".to_vec().into())).unwrap()
}

pub(super) fn spooled_payload(writers: &Arc<Writers>) -> Arc<Payload> {
    Arc::new(Payload { header: b"Subject: Test\r\n\r\n".to_vec(), body: Body::Spooled(spooled(writers)) })
}

/// Of more large deliveries than there are writers, half as many are under way, and a small one is stored meanwhile. Their bodies are
/// spooled: nobody helps with their copies.
fn large_ones_leave_room(large: impl Fn(&Arc<Writers>) -> Delivery) {
    let root = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let bounds = Limits { patience: Duration::from_secs(5), ..limits(4) };
    let writers = Arc::new(Writers::with(root.path().to_owned(), bounds, gate.clone()));
    writers.start().unwrap();
    let deliveries: Vec<Delivery> = (0..8).map(|_| large(&writers)).collect();
    let waiting: Vec<_> = deliveries
        .into_iter()
        .map(|delivery| {
            let writers = writers.clone();
            std::thread::spawn(move || store(&writers, delivery))
        })
        .collect();
    gate.wait_until_held(2);
    for _ in 0..20 {
        let stored = store(&writers, one("small\r\n"));
        assert!(stored.is_ok(), "a small one finds a writer: {stored:?}");
    }
    assert_eq!(gate.most(), 2, "half of four");
    gate.open();
    for delivery in waiting {
        assert!(delivery.join().unwrap().is_ok());
    }
    assert_eq!(gate.most(), 2, "at any time");
    assert!(block_on(writers.drain()));
}

#[test]
fn spooled_deliveries_hold_half_of_the_writers() {
    large_ones_leave_room(|writers| {
        let payload = spooled_payload(writers);
        Delivery { payload, copies: vec![copy("bob@example.org", Folder::Inbox)], network: NETWORK }
    });
}

#[test]
fn deliveries_to_many_mailboxes_hold_half_of_the_writers() {
    large_ones_leave_room(|writers| spooled_to_many(writers, "bob", NETWORK));
}

/// To more mailboxes than a small delivery has, whose names begin so.
pub(super) fn many(name: &str, network: IpAddr) -> Delivery {
    let copies = (0..33).map(|number| copy(&format!("{name}{number}@example.org"), Folder::Inbox)).collect();
    Delivery { payload: payload("small\r\n"), copies, network }
}

/// The same, its body spooled.
fn spooled_to_many(writers: &Arc<Writers>, name: &str, network: IpAddr) -> Delivery {
    Delivery { payload: spooled_payload(writers), ..many(name, network) }
}

#[test]
fn one_network_leaves_others_a_writer_for_their_large_ones() {
    let root = super::root_in_memory();
    let gate = Arc::new(Gate::default());
    let bounds = Limits { patience: Duration::from_secs(5), ..limits(8) };
    let writers = Arc::new(Writers::with(root.path().to_owned(), bounds, gate.clone()));
    writers.start().unwrap();
    let sending = |network| {
        let writers = writers.clone();
        let delivery = spooled_to_many(&writers, "bob", network);
        std::thread::spawn(move || store(&writers, delivery))
    };
    let mut waiting: Vec<_> = (0..10).map(|_| sending(NETWORK)).collect();
    gate.wait_until_held(3);
    for _ in 0..5 {
        let stored = store(&writers, spooled_to_many(&writers, "alice", OTHER));
        assert!(stored.is_ok(), "one of four is left: {stored:?}");
    }
    assert_eq!(gate.most(), 3);
    waiting.push(sending(OTHER));
    gate.wait_until_held(4);
    gate.open();
    for delivery in waiting {
        assert!(delivery.join().unwrap().is_ok());
    }
    assert!(block_on(writers.drain()));
}

#[test]
fn networks_take_turns_with_their_large_ones() {
    let root = super::root_in_memory();
    let script = Script::failing(Step::Write, 0, Fault::Wait);
    let writers = writers(root.path(), 1, &script);
    let third = IpAddr::from([203, 0, 113, 0]);
    let from = |network: IpAddr| [("a", NETWORK), ("b", OTHER), ("c", third)].into_iter().find(|one| one.1 == network);
    let networks = [NETWORK; 8].into_iter().chain([OTHER; 2]).chain([third; 2]);
    let deliveries = networks.filter_map(from).map(|(name, network)| writers.store(many(name, network)));
    let all = futures_util::future::join_all(deliveries);
    let (results, ()) = block_on(futures_util::future::join(all, async {
        tokio::task::yield_now().await;
        script.release();
    }));
    assert!(results.iter().all(Result::is_ok));
    // the first copy of each tells whose turn it was
    let turns: String = script.events().iter().filter_map(begun_with_the_first).collect();
    assert_eq!((turns.len(), turns.matches('a').count()), (12, 8));
    // the writer may have begun before the second came, and be at its first turn
    assert!(["abcabcaaaaaa", "aabcabcaaaaa"].contains(&turns.as_str()), "{turns}");
    assert_eq!(files_in(root.path(), "new").len(), 12 * 33);
}

/// The mailbox's letter where it is a delivery's first copy that is begun.
fn begun_with_the_first(event: &Event) -> Option<char> {
    let Event::Begun(Step::Write, path) = event else { return None };
    let mailbox = path.parent()?.parent()?.file_name()?.to_str()?;
    mailbox.strip_suffix('0').filter(|name| name.len() == 1)?.chars().next()
}

/// Copies to so many mailboxes, whose names begin with Bob's.
pub(super) fn to(mailboxes: usize) -> Vec<Copy> {
    (0..mailboxes).map(|number| copy(&format!("bob{number}@example.org"), Folder::Inbox)).collect()
}

#[test]
fn one_writer_takes_large_ones_too_and_the_drain_waits_for_them() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    let stored = block_on(async {
        let delivery = || many("bob", NETWORK);
        let all = futures_util::future::join_all((0..3).map(|_| writers.store(delivery())));
        let (results, idle) = futures_util::future::join(all, async {
            tokio::task::yield_now().await;
            writers.drain().await
        })
        .await;
        assert!(idle);
        results.iter().filter(|result| result.is_ok()).count()
    });
    assert_eq!((stored, files_in(root.path(), "new").len()), (3, 99));
}

/// Whoever asked for so many copies gives up in the midst of one kind of step: no more than that one is made.
#[test]
fn a_delivery_that_nobody_waits_for_ends_at_its_next_copy() {
    for step in [Step::Write, Step::SyncFile, Step::Rename, Step::SyncDirectory] {
        let root = tempfile::tempdir().unwrap();
        // the first delivery makes the directories
        let count = Script::new();
        let first = writers(root.path(), 1, &count);
        let delivery = || delivery("x\r\n", to(20));
        store(&first, delivery()).map(drop).unwrap();
        drop(first);
        let script = Script::failing(step, 2, Fault::Wait);
        let writers = writers(root.path(), 1, &script);
        // what directories there are is not known to new writers
        let known = script.events().len();
        assert_eq!(known, 0);
        let gone = abandoned(&writers, &script, delivery(), || {});
        assert!(gone.is_none());
        let begun = |step: Step| {
            script.events().iter().filter(|event| matches!(event, Event::Begun(one, _) if *one == step)).count()
        };
        let before = begun(step);
        script.release();
        assert!(block_on(writers.drain()));
        let more = begun(step) - before;
        assert!(more <= 1, "{step:?}: {more} more");
        assert_eq!((files_in(root.path(), "new").len(), files_in(root.path(), "tmp").len()), (20, 0), "{step:?}");
    }
}
