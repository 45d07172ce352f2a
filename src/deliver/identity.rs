//! Which directory a path leads to now: one that was removed and made again is another one.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// One directory, or several in order: device, inode and, where the file system tells it, when it was made, for numbers of inodes are
/// used again at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity(DefaultHasher);

impl Identity {
    /// That of one directory.
    pub fn of(found: &Metadata) -> Identity {
        let mut identity = Identity::default();
        identity.add(found);
        identity
    }

    /// Another directory belongs to it.
    pub fn add(&mut self, found: &Metadata) {
        let made = found.created().ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
        (found.dev(), found.ino(), made).hash(&mut self.0);
    }

    /// As a number.
    pub fn mark(&self) -> u64 {
        self.0.finish()
    }
}
