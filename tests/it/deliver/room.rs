//! What copies may take of the disk: a message to many mailboxes leaves room for everybody else's.

use std::net::IpAddr;
use std::sync::Arc;

use gatepost::deliver::{Copy, DeliverError, Delivery, Folder, Payload, Step, Stored, Writers};
use gatepost::message::content::Body;
use gatepost::message::spool::Spool;

use super::fairness::Gate;
use super::{Fault, NETWORK, OTHER, Script, block_on, copy, files_in, limits, root_in_memory, store, three, writers};

const EIO: i32 = 5;
const BODY: u64 = 2_000_000;

fn to(name: &str, mailboxes: usize) -> Vec<Copy> {
    (0..mailboxes).map(|number| copy(&format!("{name}{number}@example.com"), Folder::Inbox)).collect()
}

/// A body of so many octets on disk, half of what came: all line ends.
fn spooled(writers: &Arc<Writers>) -> Spool {
    let body = b"\r\n".repeat(usize::try_from(BODY).unwrap());
    let spool = block_on(writers.spooling(NETWORK).finish(body.into())).unwrap();
    assert_eq!(spool.stored_bytes(), BODY);
    spool
}

fn large(spool: &Spool, copies: Vec<Copy>, network: IpAddr) -> Delivery {
    let payload = Payload { header: b"Subject: Test\r\n\r\n".to_vec(), body: Body::Spooled(spool.clone()) };
    Delivery { payload: Arc::new(payload), copies, network }
}

/// Leaves so much above the floor.
fn leave(writers: &Writers, octets: u64) {
    writers.space().floor(writers.space().bytes() - octets, 0);
}

#[track_caller]
fn is_refused(result: &Result<Stored, DeliverError>) {
    assert!(matches!(result, Err(DeliverError::NoRoom(why)) if why.contains("limits.free_disk")), "{result:?}");
}

#[test]
fn a_message_whose_copies_would_take_more_than_half_is_refused_before_the_first() {
    let root = root_in_memory();
    let script = Script::new();
    let writers = writers(root.path(), 1, &script);
    let spool = spooled(&writers);
    leave(&writers, 21 * BODY);
    script.forget();
    is_refused(&store(&writers, large(&spool, to("a", 11), NETWORK)));
    assert_eq!(script.events(), [], "nothing was begun");
    assert_eq!(store(&writers, large(&spool, to("a", 10), NETWORK)).unwrap().files().len(), 10);
    // what was stored is gone, what was refused is not: eleven are left
    is_refused(&store(&writers, large(&spool, to("a", 6), NETWORK)));
    store(&writers, large(&spool, to("a", 5), NETWORK)).map(drop).unwrap();
    // one copy of a message may have all that is left
    leave(&writers, BODY + 10_000);
    is_refused(&store(&writers, large(&spool, to("a", 2), NETWORK)));
    store(&writers, large(&spool, to("a", 1), NETWORK)).map(drop).unwrap();
    is_refused(&store(&writers, large(&spool, to("a", 1), NETWORK)));
    assert_eq!(files_in(root.path(), "new").len(), 16);
}

#[test]
fn small_messages_are_stored_under_the_floor_and_many_octets_in_memory_are_not() {
    let root = root_in_memory();
    let writers = writers(root.path(), 1, &Script::new());
    writers.space().floor(1_000_000_000_000_000, 0);
    store(&writers, three()).map(drop).unwrap();
    let payload = Payload { header: b"Subject: Test\r\n\r\n".to_vec(), body: vec![b'x'; 100_000].into() };
    let many = Delivery { payload: Arc::new(payload), copies: to("a", 1_000), network: NETWORK };
    is_refused(&store(&writers, many));
    assert_eq!(files_in(root.path(), "new").len(), 3);
}

#[test]
fn copies_that_are_taken_back_give_their_room_back() {
    for (step, nth) in [(Step::Write, 4), (Step::SyncFile, 3), (Step::Rename, 0), (Step::Rename, 3)] {
        let root = root_in_memory();
        let script = Script::failing(step, nth, Fault::Errno(EIO));
        let writers = writers(root.path(), 1, &script);
        let spool = spooled(&writers);
        let before = writers.space().bytes();
        leave(&writers, 12 * BODY);
        assert!(matches!(store(&writers, large(&spool, to("a", 5), NETWORK)), Err(DeliverError::Io(_))));
        let after = writers.space().bytes();
        assert!(script.met() && after + BODY > before, "{step:?} {nth}: {} are missing", before - after);
        store(&writers, large(&spool, to("a", 5), NETWORK)).map(drop).unwrap();
        let after = writers.space().bytes();
        assert!(after + 6 * BODY > before, "as much as stands on disk: {} are missing", before - after);
    }
}

#[test]
fn copies_under_way_of_one_network_take_half_and_others_have_room() {
    let root = root_in_memory();
    let gate = Arc::new(Gate::default());
    let writers = Arc::new(Writers::with(root.path().to_owned(), limits(8), gate.clone()));
    writers.start().unwrap();
    let spool = spooled(&writers);
    leave(&writers, 20 * BODY + 100_000);
    let first = std::thread::spawn({
        let (writers, delivery) = (writers.clone(), large(&spool, to("bob", 8), NETWORK));
        move || store(&writers, delivery)
    });
    gate.wait_until_held(1);
    is_refused(&store(&writers, large(&spool, to("a", 3), NETWORK)));
    store(&writers, large(&spool, to("a", 2), NETWORK)).map(drop).unwrap();
    // ten are left, of which another network has half
    is_refused(&store(&writers, large(&spool, to("c", 6), OTHER)));
    store(&writers, large(&spool, to("c", 4), OTHER)).map(drop).unwrap();
    gate.open();
    assert!(first.join().unwrap().is_ok());
    assert_eq!(files_in(root.path(), "new").len(), 14);
}

#[test]
fn a_small_copy_takes_a_whole_block() {
    let root = root_in_memory();
    let writers = writers(root.path(), 1, &Script::new());
    let payload = Payload { header: b"Subject: Test\r\n\r\n".to_vec(), body: vec![b'x'; 100].into() };
    // 300 copies have some 60 kB of text, and 1.2 MB of blocks
    let many = Delivery { payload: Arc::new(payload), copies: to("a", 300), network: NETWORK };
    leave(&writers, 1_500_000);
    is_refused(&store(&writers, many.clone()));
    leave(&writers, 4_000_000);
    store(&writers, many).map(drop).unwrap();
}

#[test]
fn copies_leave_inodes_too() {
    let root = root_in_memory();
    let writers = writers(root.path(), 1, &Script::new());
    let inodes = writers.space().inodes();
    assert!(inodes > 1_000, "the file system of the test counts them");
    let few = |mailboxes| Delivery { copies: to("a", mailboxes), ..three() };
    writers.space().floor(0, inodes - 9);
    let refused = store(&writers, few(10));
    assert!(matches!(refused, Err(DeliverError::NoRoom(why)) if why.contains("limits.free_inodes")), "{refused:?}");
    store(&writers, few(6)).map(drop).unwrap();
    // six of the nine are taken, whatever the disk said last
    assert!(store(&writers, few(4)).is_err());
    assert!(writers.space().inodes() <= inodes - 6);
}
