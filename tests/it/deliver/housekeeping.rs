//! The Maildir root at start, and what crashes left in tmp/.

use std::fs::{File, FileTimes};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gatepost::deliver::{RootProblem, check_host_name, check_root, clean_tmp};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_missing_root_is_made_for_us_alone() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("var/vmail");
    check_root(&root).unwrap();
    check_root(&root).unwrap();
    for made in [root.as_path(), root.parent().unwrap()] {
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "the trial file is gone");
}

#[test]
fn each_trouble_with_the_root_is_one_sentence() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("mail");
    let cases: [(&Path, &str); 3] = [
        (&file, "is not a directory"),
        (&below, "does not exist and cannot be made"),
        (Path::new("/proc/gatepost-mail"), "does not exist and cannot be made"),
    ];
    for (root, expected) in cases {
        let told = check_root(root).expect_err(expected).to_string();
        assert!(told.contains(expected) && told.contains(root.to_str().unwrap()), "{told}");
        assert!(!told.contains('\n'));
    }
    // The kernel's own files: root may not write there either.
    let told = check_root(Path::new("/proc")).unwrap_err().to_string();
    assert!(told.starts_with("the Maildir root /proc") || told.contains("Maildir root /proc"), "{told}");
}

#[test]
fn a_root_without_permission_to_write_says_whose_it_must_be() {
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    if File::create(root.path().join("probe")).is_ok() {
        println!("left out: whoever runs the tests may write everywhere");
        return;
    }
    assert!(matches!(check_root(root.path()), Err(RootProblem::NoPermission { .. })));
}

#[test]
fn a_host_name_that_cannot_be_part_of_a_file_name_is_told() {
    for name in ["mx1.example.com", "localhost", "a_b"] {
        check_host_name(name).unwrap();
    }
    for name in ["a/b", "a:b", "a\nb"] {
        assert!(matches!(check_host_name(name), Err(RootProblem::HostName { .. })), "{name:?}");
    }
}

/// A file that was last read and written that long ago.
fn aged(path: PathBuf, age: Duration) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(&path).unwrap();
    let then = SystemTime::now() - age;
    file.set_times(FileTimes::new().set_accessed(then).set_modified(then)).unwrap();
    path
}

#[test]
fn old_files_in_tmp_go_and_everything_else_stays() {
    let root = tempfile::tempdir().unwrap();
    let mailbox = root.path().join("example.com/alice");
    let old = [aged(mailbox.join("tmp/old"), 37 * HOUR), aged(mailbox.join(".Junk/tmp/old"), 400 * HOUR)];
    let kept = [
        aged(mailbox.join("tmp/young"), 35 * HOUR),
        aged(mailbox.join("new/message"), 400 * HOUR),
        aged(mailbox.join("cur/message:2,S"), 400 * HOUR),
        aged(mailbox.join("dovecot.index"), 400 * HOUR),
        aged(mailbox.join("other/tmp/old"), 400 * HOUR),
        aged(mailbox.join("tmp/directory/file"), 400 * HOUR),
        aged(root.path().join("tmp/old"), 400 * HOUR),
    ];
    let cleaned = clean_tmp(root.path(), 36 * HOUR).unwrap();
    assert_eq!((cleaned.removed, cleaned.failed, cleaned.cut_short), (2, 0, false));
    assert!(old.iter().all(|path| !path.exists()));
    assert!(kept.iter().all(|path| path.exists()));
}

#[test]
fn a_file_that_was_read_lately_counts_as_young() {
    let root = tempfile::tempdir().unwrap();
    let path = aged(root.path().join("example.com/alice/tmp/slow"), 400 * HOUR);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_times(FileTimes::new().set_accessed(SystemTime::now())).unwrap();
    assert_eq!(clean_tmp(root.path(), 36 * HOUR).unwrap().removed, 0);
}

#[test]
fn cleaning_follows_no_symbolic_link() {
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = [
        aged(elsewhere.path().join("old"), 400 * HOUR),
        aged(elsewhere.path().join("tmp/old"), 400 * HOUR),
        aged(elsewhere.path().join("alice/tmp/old"), 400 * HOUR),
    ];
    let root = tempfile::tempdir().unwrap();
    let mailbox = root.path().join("example.com/bob");
    std::fs::create_dir_all(mailbox.join(".Junk")).unwrap();
    symlink(elsewhere.path(), root.path().join("example.org")).unwrap();
    symlink(elsewhere.path(), root.path().join("example.com/alice")).unwrap();
    symlink(elsewhere.path(), mailbox.join("tmp")).unwrap();
    symlink(elsewhere.path(), mailbox.join(".Junk/tmp")).unwrap();
    symlink(elsewhere.path(), mailbox.join(".Sent")).unwrap();
    std::fs::create_dir_all(root.path().join("example.com/carol/tmp")).unwrap();
    symlink(&outside[0], root.path().join("example.com/carol/tmp/link")).unwrap();
    let cleaned = clean_tmp(root.path(), Duration::ZERO).unwrap();
    assert_eq!(cleaned.removed, 0);
    assert!(outside.iter().all(|path| path.exists()));
}

#[test]
fn cleaning_a_root_that_is_not_there_is_an_error() {
    assert!(clean_tmp(Path::new("/nonexistent/gatepost"), 36 * HOUR).is_err());
}
