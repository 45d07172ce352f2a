//! Whatever lies in the place of `maildirsize`.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Instant;

use gatepost::deliver::quota::{Room, Sizes, Usage};
use gatepost::deliver::{DeliverError, Folder};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proptest::prelude::*;

use super::{ALICE, Mail, really_used, sizes};

fn laid() -> Mail {
    let mail = Mail::of(200_000);
    mail.lay(&[("new/1.a.host,S=3000", 3_000)]);
    mail
}

#[test]
fn a_link_is_replaced_and_never_followed() {
    let mail = laid();
    let (elsewhere, file) = (mail.path("elsewhere"), mail.path(ALICE).join("maildirsize"));
    // were it followed, the mailbox would be full, and the file elsewhere would get a line
    fs::write(&elsewhere, "200000S\n200000 1\n").unwrap();
    symlink(&elsewhere, &file).unwrap();
    drop(mail.store(Folder::Inbox, 1_000).unwrap());
    assert!(file.symlink_metadata().unwrap().is_file());
    assert_eq!(mail.file(), "200000S\n3000 1\n1000 1\n");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "200000S\n200000 1\n");
}

#[test]
fn a_link_that_comes_between_looking_and_noting_gets_no_line() {
    let mail = laid();
    let (elsewhere, file) = (mail.path("elsewhere"), mail.path(ALICE).join("maildirsize"));
    fs::write(&elsewhere, "200000S\n3000 1\n").unwrap();
    fs::hard_link(&elsewhere, &file).unwrap();
    drop(mail.store(Folder::Inbox, 1_000).unwrap());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "200000S\n3000 1\n", "nor does a second name of a file");
    assert_eq!(file.symlink_metadata().unwrap().nlink(), 1);
    assert_eq!(mail.sizes().used, really_used(&mail.path(ALICE)));
}

#[test]
fn a_pipe_is_not_waited_for() {
    let mail = laid();
    let file = mail.path(ALICE).join("maildirsize");
    mkfifo(&file, Mode::from_bits_truncate(0o600)).unwrap();
    drop(mail.store(Folder::Inbox, 1_000).unwrap());
    assert_eq!(mail.sizes().used, Usage { bytes: 4_000, messages: 2 });
}

#[test]
fn where_no_file_can_be_written_mail_comes_in_and_is_bounded_by_what_is_counted() {
    let mail = laid();
    // a directory can't be replaced
    fs::create_dir(mail.path(ALICE).join("maildirsize")).unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(mail.room(Some(1_000)), Room::Enough);
    }
    // it is counted once a second at the most
    let most = began.elapsed().as_secs() + 1;
    assert!(mail.recounts() <= most, "{} recounts, {most} at the most", mail.recounts());
    assert_eq!(mail.counted(|all| &all.quota_errors), mail.recounts());
    let mut stored = 1;
    while mail.store(Folder::Inbox, 50_000).is_ok() {
        stored += 1;
        assert!(stored < 10, "no bound");
    }
    assert_eq!(really_used(&mail.path(ALICE)), Usage { bytes: 153_000, messages: stored });
    assert_eq!(stored, 4);
}

#[test]
fn folders_behind_links_are_not_counted_and_a_mailbox_behind_one_is_not_read() {
    let mail = laid();
    fs::create_dir_all(mail.path("other/new")).unwrap();
    fs::write(mail.path("other/new/1.a.host,S=190000"), "x").unwrap();
    symlink(mail.path("other"), mail.path(ALICE).join(".Shared")).unwrap();
    drop(mail.store(Folder::Inbox, 20_000).unwrap());
    assert_eq!(mail.sizes().used, Usage { bytes: 23_000, messages: 2 });

    let mail = Mail::of(200_000);
    fs::create_dir_all(mail.path("local.example")).unwrap();
    fs::create_dir_all(mail.path("other/new")).unwrap();
    symlink(mail.path("other"), mail.path(ALICE)).unwrap();
    assert_eq!(mail.room(None), Room::Unknown, "RCPT leaves it to the delivery");
    assert!(matches!(mail.store(Folder::Inbox, 1_000), Err(DeliverError::Io(_))));
    assert!(!mail.path("other/maildirsize").exists());
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"200000S\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b" ".to_vec()),
        Just(b"-".to_vec()),
        Just(b"9223372036854775807 ".to_vec()),
        Just(b"-9223372036854775808 1\n".to_vec()),
        "[0-9]{1,22} [0-9]{1,22}\n".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn any_octets_are_read_or_not_believed(text in garbage()) {
        if let Some(sizes) = Sizes::parse(&text) {
            prop_assert!(sizes.lines > 0 && text.ends_with(b"\n") && text.len() <= 5120);
        }
    }

    #[test]
    fn lines_are_summed(lines in proptest::collection::vec((0_i64..1 << 40, 0_i64..1 << 20), 1..50), quota in 1_u64..) {
        let mut text = format!("{quota}S\n");
        for (bytes, messages) in &lines {
            text += &format!("{bytes} {messages}\n{} {}\n", -(bytes / 2), -(messages / 2));
        }
        let sum = |of: fn(&(i64, i64)) -> i64| lines.iter().map(of).map(|n| n - n / 2).sum::<i64>() as u64;
        let used = Usage { bytes: sum(|line| line.0), messages: sum(|line| line.1) };
        let sizes = Sizes::parse(text.as_bytes());
        prop_assert_eq!(sizes.map(|sizes| (sizes.quota_bytes, sizes.quota_messages, sizes.used)), Some((quota, 0, used)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_stands_in_the_file_mail_comes_in_or_is_over_quota(text in garbage()) {
        let mail = laid();
        mail.write_file(&text);
        match mail.store(Folder::Inbox, 1_000) {
            Ok(stored) => prop_assert_eq!(stored.files().len(), 1),
            Err(error) => prop_assert!(matches!(error, DeliverError::OverQuota { .. }), "{}", error),
        }
        // what it says then is sound, and ours where it was counted
        let after = sizes(&mail.path(ALICE));
        if mail.recounts() > 0 {
            prop_assert_eq!(after.used, really_used(&mail.path(ALICE)));
        }
    }
}
