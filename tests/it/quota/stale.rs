//! When the file is believed, and when the mailbox is counted.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use gatepost::deliver::Folder;
use gatepost::deliver::quota::{Room, Usage, size_in_name};

use super::{ALICE, Mail, really_used};

const QUOTA: u64 = 200_000;

/// A mailbox of 30,000 octets in 4 files.
fn laid() -> Mail {
    let mail = Mail::of(QUOTA);
    mail.lay(&[
        ("new/1.a.host,S=10000", 10_000),
        ("cur/2.a.host,S=9000:2,ST", 9_000),
        (".Trash/cur/3.a.host:2,T", 6_000),
        (".Lists.Rust/new/4.a.host,S=5000,W=5100", 5_000),
        // what is not a message, or not in a folder
        ("tmp/5.a.host", 700),
        (".Junk/maildirfolder", 0),
        ("dovecot.index.cache", 800),
        ("..odd/new/6.a.host,S=1", 1),
    ]);
    mail
}

const LAID: Usage = Usage { bytes: 30_000, messages: 4 };

fn age(mail: &Mail, age: Duration) {
    let file = File::options().write(true).open(mail.path(ALICE).join("maildirsize")).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn a_missing_file_is_made_of_all_folders_by_names_and_else_by_sizes() {
    let mail = laid();
    assert_eq!(mail.room(Some(1)), Room::Enough);
    assert_eq!(mail.file(), "200000S\n30000 4\n");
    assert_eq!(mail.recounts(), 1);
    assert!(fs::read_dir(mail.path(ALICE).join("tmp")).unwrap().count() == 1, "nothing of ours is left in tmp/");
    assert_eq!(mail.room(Some(1)), Room::Enough);
    assert_eq!(mail.recounts(), 1, "it is believed from then on");
}

#[test]
fn what_is_stored_is_a_line_more() {
    let mail = laid();
    drop(mail.store(Folder::Inbox, 1_000).unwrap());
    drop(mail.store(Folder::Junk, 2_000).unwrap());
    assert_eq!(mail.file(), "200000S\n30000 4\n1000 1\n2000 1\n");
    assert_eq!(really_used(&mail.path(ALICE)).bytes - 1, 33_000, "and is as large as is said");
    assert_eq!(mail.recounts(), 1);
}

#[test]
fn the_first_message_of_a_mailbox_makes_its_file() {
    let mail = Mail::of(QUOTA);
    assert_eq!(mail.room(None), Room::Enough);
    assert_eq!(mail.recounts(), 0, "there is nothing to count");
    drop(mail.store(Folder::Inbox, 1_000).unwrap());
    assert_eq!(mail.file(), "200000S\n1000 1\n");
    drop(mail.store(Folder::Inbox, 500).unwrap());
    assert_eq!(mail.file(), "200000S\n1000 1\n500 1\n");
    assert_eq!(mail.recounts(), 0);
}

/// What a file says is taken, or the mailbox counted, with what is written then.
#[track_caller]
fn check(text: &str, seconds: u64, counted: bool) {
    let mail = laid();
    mail.write_file(text.as_bytes());
    age(&mail, Duration::from_secs(seconds));
    mail.room(Some(1_000));
    assert_eq!(mail.recounts(), u64::from(counted), "{text:?}, {seconds} s old");
    let expected = if counted { "200000S\n30000 4\n" } else { text };
    assert_eq!(mail.file(), expected);
    if counted {
        assert_eq!(mail.sizes().used, LAID);
    }
}

#[test]
fn a_file_is_believed_or_the_mailbox_is_counted() {
    const OLD: u64 = 16 * 60;
    // others' ways to write the same
    check("200000S\n30000 4\n", 0, false);
    check("200000S,0C\n       30000            4\n", OLD, false);
    check("200000S\n40000 5\n-10000 -1\n", OLD, false);
    check("200000S\n0 0\n", 0, false);
    // for another quota
    check("100000S\n30000 4\n", 0, true);
    check("200000S,1000C\n30000 4\n", 0, true);
    check("30000 4\n", 0, true);
    check("\n30000 4\n", 0, true);
    // broken
    check("", 0, true);
    check("200000S\n", 0, true);
    check("200000S\n30000 4", 0, true);
    check("200000S\n30000 4\n\n", 0, true);
    check("200000S\n30000\n", 0, true);
    check("200000S\n30000 four\n", 0, true);
    check("200000S\n-1 4\n", 0, true);
    check("200000S\n30000 4\n9223372036854775807 1\n", 0, true);
    check("200000S\n30000 4\0\n", 0, true);
    // over 5,120 octets
    let lines = |count: usize| format!("200000S\n30000 4\n{}", "0000 0\n".repeat(count));
    assert!(lines(729).len() <= 5120 && lines(730).len() > 5120);
    check(&lines(729), 0, false);
    check(&lines(730), 0, true);
    // full: one line is believed for 15 minutes
    check("200000S\n199001 4\n", 14 * 60, false);
    check("200000S\n199001 4\n", OLD, true);
    check("200000S\n199000 4\n", OLD, false);
    check("200000S\n199000 4\n1 0\n", 0, true);
}

#[test]
fn a_file_of_a_time_to_come_is_not_believed_for_ever() {
    let mail = laid();
    mail.write_file(b"200000S\n199999 4\n");
    let file = File::options().write(true).open(mail.path(ALICE).join("maildirsize")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    assert_eq!(mail.room(Some(1_000)), Room::Enough);
    assert_eq!((mail.recounts(), mail.sizes().used), (1, LAID));
}

#[test]
fn what_others_delete_makes_room() {
    let mail = Mail::of(QUOTA);
    drop(mail.store(Folder::Inbox, 90_000).unwrap());
    drop(mail.store(Folder::Inbox, 90_000).unwrap());
    let full = mail.room(Some(50_000));
    let Room::Full(short) = &full else { panic!("{full:?}") };
    let why = "alice@local.example holds 180000 of 200000 bytes, and the message may need 50000";
    assert_eq!(short.to_string(), why);
    assert_eq!(mail.recounts(), 1, "it has two lines");
    // a reader that keeps no maildirsize
    let new = mail.path(ALICE).join("new");
    fs::remove_file(fs::read_dir(&new).unwrap().next().unwrap().unwrap().path()).unwrap();
    assert_eq!(mail.room(Some(50_000)), full, "it is believed: one line, not old");
    // and one that does
    let mut text = mail.file();
    text.push_str("-90000 -1\n");
    mail.write_file(text.as_bytes());
    assert_eq!(mail.room(Some(30_000)), Room::Enough);
    drop(mail.store(Folder::Inbox, 90_000).unwrap());
    assert_eq!(mail.sizes().used, really_used(&mail.path(ALICE)));
}

#[test]
fn a_mailbox_without_a_quota_is_left_alone() {
    let mail = Mail::of(0);
    drop(mail.store(Folder::Inbox, 90_000).unwrap());
    assert_eq!(mail.room(None), Room::Enough);
    assert!(!mail.path(ALICE).join("maildirsize").exists());
}

#[test]
fn sizes_in_names_are_read_as_dovecot_reads_them() {
    for (name, size) in [
        ("1.M2P3.host,S=4711", Some(4711)),
        ("1.M2P3.host,S=4711:2,S", Some(4711)),
        ("1.M2P3.host,S=4711,W=4800:2,", Some(4711)),
        ("1.M2P3.host,W=4800,S=4711", Some(4711)),
        ("1.M2P3.host:2,S", None),
        ("1.M2P3.host,S=47x", None),
        ("1.M2P3.host,S=", None),
        ("1.M2P3.host,S=99999999999999999999", None),
        (",S=1", Some(1)),
    ] {
        assert_eq!(size_in_name(name.as_bytes()), size, "{name}");
    }
}
