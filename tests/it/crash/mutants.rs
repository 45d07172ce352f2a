//! The harness finds what it looks for: a server whose fsync of directories, or of files, does nothing loses acknowledged mail.

use std::path::Path;

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
