//! One test a check of the Maildir corpus; its list is held against ours.

use std::collections::{BTreeSet, HashSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gatepost::deliver::{DeliverError, Delivery, Folder, Payload, RootProblem, Step, check_host_name, clean_tmp};
use proptest::prelude::*;

use super::{Fault, Script, block_on, copy, delivery, files_in, one, program, root_in_memory, store, three, writers};
use crate::support::corpora;

/// The checks of the corpus and where each is tested: here under its own name, or in the file named.
const CHECKS: [(&str, &str); 18] = [
    ("name-unique", "name_unique"),
    ("tmp-first", "durability.rs"),
    ("no-partial", "processes.rs"),
    ("crash-after-250", "durability.rs"),
    ("name-no-slash-colon", "name_no_slash_colon"),
    ("host-escape", "host_escape"),
    ("dot-files-ignored", "dot_files_ignored"),
    ("size-suffix", "size_suffix"),
    ("same-filesystem", "same_filesystem"),
    ("disk-full", "faults.rs"),
    ("tmp-clean", "tmp_clean"),
    ("multi-rcpt", "multi_rcpt"),
    ("missing-dir", "missing_dir"),
    ("symlink", "faults.rs"),
    ("perm", "perm"),
    ("line-ends", "line_ends"),
    ("headers-on-top", "headers_on_top"),
    ("readers", "readers"),
];

#[test]
fn every_check_of_the_corpus_has_its_test() {
    let Some(checks) = corpora::json("maildir", "checks.json") else { return };
    let wanted: BTreeSet<&str> = checks.as_array().unwrap().iter().map(|check| check["id"].as_str().unwrap()).collect();
    let ours: BTreeSet<&str> = CHECKS.iter().map(|(id, _)| *id).collect();
    assert_eq!(ours, wanted);
    let here = include_str!("corpus.rs");
    let there = [
        ("durability.rs", include_str!("durability.rs")),
        ("faults.rs", include_str!("faults.rs")),
        ("processes.rs", include_str!("processes.rs")),
    ];
    for (id, place) in CHECKS {
        let found = here.contains(&format!("fn {place}()"))
            || there.iter().any(|(name, text)| *name == place && text.contains("#[test]"));
        assert!(found, "{id}: {place}");
    }
}

#[test]
fn name_unique() {
    let root = root_in_memory();
    let writers = writers(root.path(), 8, &Script::new());
    let names = block_on(async {
        let deliver = async |_number: usize| writers.store(one("x\r\n")).await.unwrap().files()[0].path().to_owned();
        futures_util::future::join_all((0..10_000).map(deliver)).await
    });
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 10_000);
    assert_eq!(files_in(root.path(), "new"), names.into_iter().collect());
}

#[test]
fn name_no_slash_colon() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    for file in store(&writers, three()).unwrap().files() {
        let name = file.path().file_name().unwrap().to_str().unwrap();
        assert!(!name.contains([':', '/']), "{name}");
        assert!(!name.starts_with('.'), "{name}");
        assert_eq!(file.path().parent().unwrap().file_name().unwrap(), "new");
    }
}

#[test]
fn host_escape() {
    // Names that would need escaping are refused at start; whatever a host is called, no delivery comes to that.
    assert!(matches!(check_host_name("mx/1"), Err(RootProblem::HostName { .. })));
    assert!(matches!(check_host_name("mx:1"), Err(RootProblem::HostName { .. })));
}

#[test]
fn dot_files_ignored() {
    let root = tempfile::tempdir().unwrap();
    let mailbox = root.path().join("example.com/alice");
    let writers = writers(root.path(), 1, &Script::new());
    let _stored = store(&writers, one("x\r\n")).unwrap();
    std::fs::write(mailbox.join("new/.hidden"), "not a message").unwrap();
    let listed: Vec<_> =
        maildir::Maildir::from(mailbox).list_new().map(|entry| entry.unwrap().id().to_owned()).collect();
    assert_eq!(listed.len(), 1);
}

#[test]
fn size_suffix() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    for body in ["", "x\r\n", &"line\r\n".repeat(50_000)] {
        let stored = store(&writers, one(body)).unwrap();
        let file = &stored.files()[0];
        let size = root.path().join(file.path()).metadata().unwrap().size();
        assert!(file.path().to_str().unwrap().ends_with(&format!(",S={size}")));
        assert_eq!(file.bytes(), size);
    }
}

#[test]
fn same_filesystem() {
    const EXDEV: i32 = 18;
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::failing(Step::Rename, 0, Fault::Errno(EXDEV)));
    assert!(matches!(store(&writers, one("x\r\n")), Err(DeliverError::Io(_))));
    assert!(files_in(root.path(), "tmp").is_empty());
    let stored = store(&writers, one("x\r\n")).unwrap();
    let mailbox = root.path().join("example.com/alice");
    let device = |name: &str| mailbox.join(name).metadata().unwrap().dev();
    assert_eq!(device("tmp"), device("new"));
    assert_eq!(stored.files().len(), 1);
}

#[test]
fn tmp_clean() {
    let root = tempfile::tempdir().unwrap();
    let tmp = root.path().join("example.com/alice/tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    for (name, hours) in [("old", 37), ("young", 35)] {
        let file = std::fs::File::create(tmp.join(name)).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
        file.set_times(std::fs::FileTimes::new().set_accessed(then).set_modified(then)).unwrap();
    }
    clean_tmp(root.path(), Duration::from_secs(36 * 3600)).unwrap();
    assert!(!tmp.join("old").exists());
    assert!(tmp.join("young").exists());
}

#[test]
fn multi_rcpt() {
    let root = tempfile::tempdir().unwrap();
    // The third rename fails: what the first two put into new/ is taken back.
    let writers = writers(root.path(), 1, &Script::failing(Step::Rename, 2, Fault::Errno(5)));
    assert!(store(&writers, three()).is_err());
    assert!(files_in(root.path(), "new").is_empty());
    let stored = store(&writers, three()).unwrap();
    let mailboxes: Vec<String> =
        stored.records().into_iter().map(|record| format!("{} {}", record.mailbox, record.folder)).collect();
    assert_eq!(mailboxes, ["alice@example.com INBOX", "bob@example.org INBOX", "alice@example.com Junk"]);
    assert_eq!(files_in(root.path(), "new").len(), 3);
}

#[test]
fn missing_dir() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    let mailbox = root.path().join("example.com/alice");
    for name in ["tmp", "new", "cur", "."] {
        let _stored = store(&writers, one("x\r\n")).unwrap();
        std::fs::remove_dir_all(mailbox.join(name).canonicalize().unwrap()).unwrap();
        let stored = store(&writers, one("x\r\n")).unwrap();
        assert!(root.path().join(stored.files()[0].path()).is_file(), "{name}");
        assert!(mailbox.join("cur").is_dir());
    }
}

#[test]
fn perm() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    let stored = store(&writers, three()).unwrap();
    let mode = |path: &Path| root.path().join(path).metadata().unwrap().permissions().mode() & 0o7777;
    for file in stored.files() {
        assert_eq!(mode(file.path()), 0o600);
        for directory in file.path().ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
    }
    let junk = Path::new("example.com/alice/.Junk");
    assert_eq!(mode(&junk.join("maildirfolder")), 0o600);
    assert_eq!(root.path().join(junk.join("maildirfolder")).metadata().unwrap().len(), 0);
    assert!(!root.path().join("example.com/alice/maildirfolder").exists(), "only folders have it");
}

/// What is on disk of a message whose parts are these.
fn kept(prefix: &[u8], header: &[u8], body: &[u8]) -> Vec<u8> {
    let root = root_in_memory();
    let writers = writers(root.path(), 1, &Script::new());
    let mut only = copy("alice@example.com", Folder::Inbox);
    only.prefix = prefix.to_vec();
    let payload = Payload { header: header.to_vec(), body: body.to_vec().into() }.into();
    let stored = store(&writers, Delivery { payload, copies: vec![only], network: super::NETWORK }).unwrap();
    std::fs::read(root.path().join(stored.files()[0].path())).unwrap()
}

/// CRLF to LF in the plainest way.
fn plain(parts: [&[u8]; 3]) -> Vec<u8> {
    let whole = parts.concat();
    let mut out = Vec::new();
    for (at, octet) in whole.iter().enumerate() {
        if !(*octet == b'\r' && whole.get(at + 1) == Some(&b'\n')) {
            out.push(*octet);
        }
    }
    out
}

#[test]
fn line_ends() {
    assert_eq!(kept(b"A: 1\r\n", b"B: 2\r\n\r\n", b"one\r\n\r\ntwo\r\n"), b"A: 1\nB: 2\n\none\n\ntwo\n");
    assert_eq!(kept(b"", b"A: 1\r", b"\nx"), b"A: 1\nx", "a CRLF over the border of two parts");
    assert_eq!(kept(b"", b"\r", b""), b"\r");
    assert_eq!(kept(b"", b"a\r", b"b\r\r\n\n\r"), b"a\rb\r\n\n\r");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn line_ends_of_any_octets(prefix in "[ab\r\n]{0,9}", header in "[ab\r\n]{0,9}", body in proptest::collection::vec(any::<u8>(), 0..40)) {
        let parts = [prefix.as_bytes(), header.as_bytes(), &body];
        prop_assert_eq!(kept(parts[0], parts[1], parts[2]), plain(parts));
    }
}

#[test]
fn headers_on_top() {
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    let body = "Return-Path: in the body\r\n\u{e4} \u{0}\r\n.\r\n";
    let top = |who: &str| {
        format!(
            "Return-Path: <a@b.example>\r\nDelivered-To: {who}\r\nReceived: from x\r\n\tby y\r\nAuthentication-Results: z; none\r\n"
        )
    };
    let mut copies = vec![copy("alice@example.com", Folder::Inbox), copy("bob@example.org", Folder::Junk)];
    for copy in &mut copies {
        copy.prefix = top(&copy.mailbox.to_string()).into_bytes();
    }
    let stored = store(&writers, delivery(body, copies)).unwrap();
    for file in stored.files() {
        let text = std::fs::read(root.path().join(file.path())).unwrap();
        let expected = format!("{}Subject: Test\r\n\r\n{body}", top(&file.mailbox().to_string())).replace("\r\n", "\n");
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}

#[test]
fn readers() {
    if !program("python3") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let writers = writers(root.path(), 1, &Script::new());
    let _stored = store(&writers, three()).unwrap();
    let _stored =
        store(&writers, delivery("Gr\u{fc}\u{df}e\r\n", vec![copy("alice@example.com", Folder::Inbox)])).unwrap();
    let script = r#"
import mailbox, sys
box = mailbox.Maildir(sys.argv[1], create=False)
print(box.list_folders())
for folder in (box, box.get_folder("Junk")):
    print(sorted(folder.get_bytes(key) for key in folder.keys()))
    print(all(folder.get_message(key)["Subject"] == "Test" for key in folder.keys()))
"#;
    let output =
        Command::new("python3").args(["-c", script]).arg(root.path().join("example.com/alice")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = concat!(
        "['Junk']\n",
        r"[b'Delivered-To: alice@example.com\nSubject: Test\n\nGr\xc3\xbc\xc3\x9fe\n', ",
        r"b'Delivered-To: alice@example.com\nSubject: Test\n\nthree\n']",
        "\nTrue\n",
        r"[b'Delivered-To: alice@example.com\nSubject: Test\n\nthree\n']",
        "\nTrue\n",
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
