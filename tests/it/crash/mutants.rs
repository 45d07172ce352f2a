//! The harness finds what it looks for: files that are wrong in any way, and acknowledged mail that a server loses whose fsync of
//! directories, or of files, does nothing.

use std::path::Path;

use super::ledger::{After, Answer, Ledger};
use super::power::{Cuts, series};
use super::volume::Mode;
use crate::support::programs::{command, run};

/// Cuts until each must have been caught.
const MOST_CUTS: usize = 25;
/// Few, for the fsync of one connection's file takes the directory entries of the others with it.
const CONNECTIONS: usize = 3;

/// One without directory fsyncs, and one without file fsyncs. With data=journal the latter loses nothing: the fsync of the directory takes
/// all data before it along.
pub fn both() {
    for (which, shows) in [("directories", "is lost"), ("files", "half a message")] {
        let library = tempfile::Builder::new().prefix("gatepost-mutant-").tempdir().unwrap();
        let Some(path) = without_sync(library.path()) else { return };
        let cuts = Cuts {
            mode: Mode::Ordered,
            count: MOST_CUTS,
            connections: CONNECTIONS,
            until_wrong: true,
            environment: vec![("LD_PRELOAD", path), ("WITHOUT_SYNC", which.to_owned())],
        };
        let Some((count, found)) = series(&cuts) else { return };
        println!("mutant without fsync of {which}: caught by cut {count}: {:?}", found.wrong.first());
        assert!(
            found.wrong.iter().any(|wrong| wrong.contains(shows)),
            "the harness would not notice that {which} are never synced: {count} cuts, {:?}",
            found.wrong
        );
    }
}

/// Builds the library.
fn without_sync(directory: &Path) -> Option<String> {
    let path = directory.join("without_sync.so").to_str().unwrap().to_owned();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/crash/without_sync.c");
    let mut cc = command("cc")?;
    let output = run(cc.args(["-shared", "-fPIC", "-O1", "-o", &path]).arg(source));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(path)
}

/// Files by their name below a mailbox, and their text.
type Files<'a> = &'a [(String, &'a str)];

/// Maildirs made by hand, with one thing wrong in each.
pub fn by_hand() {
    let ledger = Ledger::default();
    let message = ledger.begin(&["alice"], 3);
    let whole = format!("Return-Path: <a@b.example>\nDelivered-To: alice@receiver.example\n{}", message.text());
    let half = &whole[..whole.len() - 10];
    let strange = whole.replace("message 0", "message 1").replace("<0@", "<1@");
    let stored = |octets: &str| format!("new/1.a.host,S={}", octets.len());
    // what the client heard, what is there, and what is found
    let (yes, no) = (Answer::Stored, Answer::Deferred(451));
    let cases: &[(Answer, Files<'_>, &str)] = &[
        (yes, &[(stored(&whole), &whole)], ""),
        (yes, &[(stored(&whole).replace("new", "cur"), &whole)], ""),
        (no, &[], ""),
        (yes, &[], "is lost"),
        (yes, &[(stored(&whole).replace("new", "tmp"), &whole)], "is lost"),
        (yes, &[(stored(&whole), &whole), ("new/2.b.host,S=1".to_owned(), &whole)], "the file has"),
        (yes, &[(stored(&whole), &whole), (stored(&whole).replace("1.a", "2.b"), &whole)], "2 times"),
        (yes, &[(stored(half), half)], "half a message"),
        (yes, &[(stored(""), "")], "half a message"),
        (no, &[(stored(half), half)], "half a message"),
        (yes, &[(stored(&strange), &strange), (stored(&whole).replace("1.a", "2.b"), &whole)], "nobody sent"),
        (yes, &[(stored(&whole), &whole.replace("alice@", "other@"))], "another mailbox's"),
        (yes, &[(stored(&whole), &whole.replace("\nDeliv", "\ndeliv"))], "another mailbox's"),
        (no, &[(stored(&whole), &whole)], "nobody was told of"),
        (Answer::Nothing, &[], "without answer"),
        (Answer::Refused(550), &[], "was answered 550"),
    ];
    for (answer, files, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in *files {
            let path = root.path().join("receiver.example/alice").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        ledger.note(&message, *answer);
        let wrong = ledger.compare(root.path(), After::Faults).wrong.join("\n");
        let is_as_expected = if expected.is_empty() { wrong.is_empty() } else { wrong.contains(expected) };
        assert!(is_as_expected, "{answer:?} {files:?}: {expected:?}, {wrong}");
    }
}
