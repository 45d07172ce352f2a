//! What tells that a file has changed, without reading it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The state of a file when it was looked at. Two that are equal mean that nobody has written to it in between: a replaced file has
/// another inode, one that was written to another time or size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file that a path leads to; `None` where it can't be looked at.
    pub fn of(path: &Path) -> Option<Stamp> {
        let found = path.metadata().ok()?;
        Some(Stamp {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
