//! Many at once.

use std::fs;

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use gatepost::deliver::quota::Room;
use gatepost::deliver::{DeliverError, Folder, Step, Witness};

use super::{ALICE, Mail, delivery, mailbox, really_used, sizes};
use crate::support::site::{Setup, Site, wait_for};

#[test]
fn twenty_sessions_never_overshoot_together() {
    let more = "[domains.\"local.example\".mailbox.\"alice\"]\nquota = 100000\n";
    let domains = format!("[domains.\"local.example\"]\nmailboxes = [\"alice\", \"bob\"]\n{more}");
    let site = Site::start(Setup { domains: &domains, ..Setup::default() });
    let text = format!("From: <a@sender.example>\r\n\r\n{}", format!("{}\r\n", "x".repeat(98)).repeat(80));
    let session = || {
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        let mut taken = 0;
        for _ in 0..3 {
            client.expect("MAIL FROM:<a@sender.example>", "250");
            if client.say("RCPT TO:<alice@local.example>").is_taken_or("452 4.2.2") {
                let reply = client.data(&text);
                taken += u64::from(reply.is_taken_or("452 4.2.2"));
            } else {
                client.expect("RSET", "250");
            }
        }
        taken
    };
    let taken: u64 = std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..20).map(|_| scope.spawn(session)).collect();
        sessions.into_iter().map(|session| session.join().unwrap()).sum()
    });
    let used = really_used(&site.maildir(ALICE));
    assert_eq!(used.messages, taken, "what was answered 250 is there, and nothing else");
    assert!(used.bytes <= 100_000, "{used:?}");
    assert!(used.bytes + used.bytes / used.messages > 99_000, "as many as fit are taken: {used:?}");
    assert_eq!(sizes(&site.maildir(ALICE)).used, used);
    let refused = site.metric("gatepost_over_quota_total", &[]);
    assert_eq!(refused, 60.0 - taken as f64, "each refusal is counted once");
}

impl crate::support::site::Reply {
    /// Whether it is a 2yz; else it must begin with these codes.
    #[track_caller]
    fn is_taken_or(&self, codes: &str) -> bool {
        self.code / 100 == 2 || {
            self.is(codes);
            false
        }
    }
}

#[test]
fn of_deliveries_to_two_mailboxes_both_copies_are_there_or_none() {
    let mail = Mail::of(100_000);
    mail.lay(&[("new/1.a.host,S=30000", 30_000)]);
    let store = |names: &'static [&'static str]| {
        let writers = mail.writers.clone();
        mail.runtime.spawn(async move { writers.store(delivery(names, Folder::Inbox, 9_000)).await })
    };
    let both: Vec<_> = (0..20).map(|n| store(if n % 2 == 0 { &["alice", "bob"] } else { &["bob", "alice"] })).collect();
    let results = both.into_iter().map(|task| mail.runtime.block_on(task).unwrap());
    let (mut stored, mut over) = (0, 0);
    for result in results {
        match result {
            Ok(_) => stored += 1,
            Err(DeliverError::OverQuota { mailbox: whose, quota: 100_000, octets: 9_000, .. }) => {
                assert_eq!(whose, mailbox("alice"));
                over += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((stored, over), (7, 13));
    let (alice, bob) = (mail.path(ALICE), mail.path("local.example/bob"));
    assert_eq!(really_used(&alice).messages, 8);
    assert_eq!(really_used(&bob).messages, 7);
    assert_eq!((sizes(&alice).used, sizes(&bob).used), (really_used(&alice), really_used(&bob)));
    for maildir in [alice, bob] {
        assert_eq!(fs::read_dir(maildir.join("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn what_is_reserved_is_given_back_where_nothing_is_stored() {
    let mail = Mail::of(100_000);
    // bob's new/ can't be made
    fs::create_dir_all(mail.path("local.example/bob")).unwrap();
    fs::write(mail.path("local.example/bob/new"), "").unwrap();
    for _ in 0..5 {
        let both = delivery(&["alice", "bob"], Folder::Inbox, 60_000);
        assert!(matches!(mail.runtime.block_on(mail.writers.store(both)), Err(DeliverError::Io(_))));
    }
    drop(mail.store(Folder::Inbox, 60_000).unwrap());
    assert_eq!(mail.sizes().used, really_used(&mail.path(ALICE)));
}

#[test]
fn while_a_mailbox_is_counted_deliveries_are_counted_or_noted_and_never_both() {
    for _ in 0..10 {
        let mail = Mail::of(10_000_000);
        let names: Vec<String> = (0..200).map(|n| format!("cur/{n}.a.host:2,S")).collect();
        mail.lay(&names.iter().map(|name| (name.as_str(), 100)).collect::<Vec<_>>());
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let writers = mail.writers.clone();
                mail.runtime.spawn(async move { writers.store(delivery(&["alice"], Folder::Inbox, 1_000)).await })
            })
            .collect();
        for task in tasks {
            drop(mail.runtime.block_on(task).unwrap().unwrap());
        }
        assert!(mail.recounts() > 0, "its file was missing");
        assert_eq!(mail.sizes().used, really_used(&mail.path(ALICE)));
    }
}

/// A disk that takes its time over the entries of `new/`, while it is held.
#[derive(Default)]
struct SlowDisk {
    state: Mutex<Slow>,
    changed: Condvar,
}

#[derive(Default)]
struct Slow {
    held: bool,
    met: bool,
}

impl SlowDisk {
    fn hold(&self, held: bool) {
        self.state.lock().unwrap().held = held;
        self.changed.notify_all();
    }

    fn wait_until_met(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| !state.met).unwrap());
    }
}

impl Witness for SlowDisk {
    fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        if step == Step::SyncDirectory && path.ends_with("new") {
            let mut state = self.state.lock().unwrap();
            state.met |= state.held;
            self.changed.notify_all();
            drop(self.changed.wait_while(state, |state| state.held).unwrap());
        }
        Ok(())
    }
}

#[test]
fn what_is_under_way_counts_and_what_nobody_waits_for_is_taken_back() {
    let disk = Arc::new(SlowDisk::default());
    let mail = Mail::watched(100_000, disk.clone());
    drop(mail.store(Folder::Inbox, 10_000).unwrap());
    disk.hold(true);
    let writers = mail.writers.clone();
    let slow = mail.runtime.spawn(async move { writers.store(delivery(&["alice"], Folder::Inbox, 60_000)).await });
    disk.wait_until_met();
    assert_eq!(mail.file(), "100000S\n10000 1\n", "it is not durable yet");
    let over = mail.store(Folder::Inbox, 40_000);
    assert!(
        matches!(over, Err(DeliverError::OverQuota { used: 70_000, quota: 100_000, octets: 40_000, .. })),
        "{over:?}"
    );
    assert!(matches!(mail.room(Some(40_000)), Room::Full(_)));
    // its session is gone at the last moment
    slow.abort();
    assert!(mail.runtime.block_on(slow).is_err());
    disk.hold(false);
    wait_for("the line of what was taken back", || (mail.file().lines().count() == 4).then_some(()));
    assert_eq!(mail.file(), "100000S\n10000 1\n60000 1\n-60000 -1\n");
    assert_eq!(mail.counted(|all| &all.taken_back), 1);
    drop(mail.store(Folder::Inbox, 90_000).unwrap());
    assert_eq!(mail.sizes().used, really_used(&mail.path(ALICE)));
}

#[test]
fn a_mailbox_is_not_counted_while_a_delivery_to_it_is_under_way() {
    let disk = Arc::new(SlowDisk::default());
    let mail = Mail::watched(100_000, disk.clone());
    drop(mail.store(Folder::Inbox, 10_000).unwrap());
    disk.hold(true);
    let writers = mail.writers.clone();
    let slow = mail.runtime.spawn(async move { writers.store(delivery(&["alice"], Folder::Inbox, 60_000)).await });
    disk.wait_until_met();
    // its file is in new/ already, its line is not written: counted now it would count twice
    fs::remove_file(mail.path(ALICE).join("maildirsize")).unwrap();
    assert_eq!(mail.room(Some(1_000)), Room::Unknown, "RCPT does not wait for it");
    assert_eq!(mail.recounts(), 0);
    disk.hold(false);
    drop(mail.runtime.block_on(slow).unwrap().unwrap());
    assert!(matches!(mail.room(Some(40_000)), Room::Full(_)));
    assert_eq!(mail.recounts(), 1);
    assert_eq!(mail.sizes().used, really_used(&mail.path(ALICE)));
}
