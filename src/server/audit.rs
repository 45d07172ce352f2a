//! What the audit is told of each load.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::config::Config;
use crate::observe::journal::audit::{Note, sha256};

/// Octets of a refused configuration that its digest is made of: more than any has.
const MOST: u64 = 64 << 20;

/// A configuration that was taken.
pub(super) fn taken(config: &Config) -> Note {
    let mut policies: Vec<_> = config.policies.all().into_iter().map(|policy| policy.record()).collect();
    if let Some(others) = policies.get_mut(1..) {
        others.sort_by(|a, b| a.file.cmp(&b.file));
    }
    let (file, sha256) = (config.source.name.clone(), sha256(config.source.text.as_bytes()));
    Note { file, sha256, policies, ..Note::default() }
}

/// A configuration that was not taken: it can be wrong in any way, or not be readable at all.
pub(super) fn refused(path: Option<&Path>) -> Note {
    let Some(path) = path else { return Note::default() };
    let sha256 = octets(path).map(|octets| sha256(&octets)).unwrap_or_default();
    Note { file: path.display().to_string(), sha256, ..Note::default() }
}

/// A list of a policy that was read again, or could not be taken.
pub(super) fn list(path: &Path) -> Note {
    refused(Some(path))
}

fn octets(path: &Path) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let regular = path.metadata().is_ok_and(|found| found.is_file());
    let read = || File::open(path)?.take(MOST).read_to_end(&mut octets);
    (regular && { read }().is_ok()).then_some(octets)
}
