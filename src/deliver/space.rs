//! How much room the Maildir's file system has: looked at every few seconds, for under a floor no mail is taken.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::statvfs::statvfs;

/// How often it is looked at.
pub(super) const EVERY: Duration = Duration::from_secs(3);

/// Blocks are not larger: network file systems tell of the octets that they transfer at once (NFS 1 MiB, Ceph 4 MiB).
const LARGEST_BLOCK: u64 = 64 * 1024;
/// What is taken for a block there.
const USUAL_BLOCK: u64 = 4 * 1024;

/// The room that is left, as of the last look.
#[derive(Debug, Default)]
pub struct Space {
    /// Whether there was a look that told anything.
    is_known: AtomicBool,
    bytes: AtomicU64,
    /// Octets that we have written since.
    taken: AtomicU64,
    /// Octets that copies which are being made will still take.
    reserved: AtomicU64,
    /// Octets that a file takes at least, and whose multiples.
    block: AtomicU64,
    inodes: AtomicU64,
    /// Files that we have made, or will make, since the last look.
    made: AtomicU64,
    /// File systems that make inodes as they need them say that there are none.
    counts_inodes: AtomicBool,
    floor_bytes: AtomicU64,
    floor_inodes: AtomicU64,
    was_low: AtomicBool,
}

impl Space {
    /// From now on, less than this is too little.
    pub fn floor(&self, bytes: u64, inodes: u64) {
        self.floor_bytes.store(bytes, Relaxed);
        self.floor_inodes.store(inodes, Relaxed);
        self.tell();
    }

    /// Octets that are free for us, less what we have written since the last look; 0 while nobody knows.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed).saturating_sub(self.taken.load(Relaxed))
    }

    /// Octets that are free above the floor, and that no copy will take which is being made; `None` while nobody knows.
    pub(super) fn above_floor(&self) -> Option<u64> {
        let spoken_for = self.floor_bytes.load(Relaxed).saturating_add(self.reserved.load(Relaxed));
        self.is_known.load(Relaxed).then(|| self.bytes().saturating_sub(spoken_for))
    }

    /// Whether so many octets can be written without falling under the floor. Where it can't be known, whoever writes finds out.
    pub(super) fn has_room_for(&self, octets: u64) -> bool {
        self.floor_bytes.load(Relaxed) == 0 || self.above_floor().is_none_or(|free| octets <= free)
    }

    /// So many octets are written, which the next look will find gone.
    pub(super) fn note_taken(&self, octets: u64) {
        self.taken.fetch_add(octets, Relaxed);
    }

    /// So many octets that were written are free again. Where the last look came between, the next one finds them.
    pub(super) fn note_freed(&self, octets: u64) {
        less(&self.taken, octets);
    }

    /// So many octets will be written.
    pub(super) fn reserve(&self, octets: u64) {
        self.reserved.fetch_add(octets, Relaxed);
    }

    /// So many of those are written, or will not be.
    pub(super) fn give_up(&self, octets: u64) {
        less(&self.reserved, octets);
    }

    /// What a file of so many octets takes.
    pub(super) fn on_disk(&self, octets: u64) -> u64 {
        let block = self.block.load(Relaxed).max(1);
        octets.div_ceil(block).saturating_mul(block)
    }

    /// Files that can still be made, less those that we have made since the last look; 0 where the file system does not count them.
    pub fn inodes(&self) -> u64 {
        self.inodes.load(Relaxed).saturating_sub(self.made.load(Relaxed))
    }

    /// Whether so many files can be made without falling under the floor. Where it can't be known, whoever makes them finds out.
    pub(super) fn has_inodes_for(&self, files: u64) -> bool {
        let counts = self.is_known.load(Relaxed) && self.counts_inodes.load(Relaxed);
        !counts || self.inodes() >= self.floor_inodes.load(Relaxed).saturating_add(files)
    }

    /// So many files are being made, which the next look will find gone.
    pub(super) fn note_made(&self, files: u64) {
        self.made.fetch_add(files, Relaxed);
    }

    /// Whether it is too little. Where it can't be known, deliveries find out.
    pub fn is_low(&self) -> bool {
        let few_inodes = self.counts_inodes.load(Relaxed) && self.inodes() < self.floor_inodes.load(Relaxed);
        self.is_known.load(Relaxed) && (few_inodes || self.bytes() < self.floor_bytes.load(Relaxed))
    }

    /// Looks, and says what has changed. Blocks.
    pub(super) fn look(&self, root: &Path) {
        // What was written before it found gone; what is written meanwhile may count twice, but not never.
        let (taken, made) = (self.taken.load(Relaxed), self.made.load(Relaxed));
        match statvfs(root) {
            Ok(found) => {
                let (free, unit) = (found.blocks_available(), found.fragment_size());
                let (inodes, all) = (found.files_available(), found.files());
                self.bytes.store(free.saturating_mul(unit), Relaxed);
                self.block.store(if unit > LARGEST_BLOCK { USUAL_BLOCK } else { unit }, Relaxed);
                self.inodes.store(inodes, Relaxed);
                self.counts_inodes.store(all > 0, Relaxed);
                self.is_known.store(true, Relaxed);
                less(&self.taken, taken);
                less(&self.made, made);
            }
            Err(_) => self.is_known.store(false, Relaxed),
        }
        self.tell();
    }

    /// Says what has changed since it was said last.
    fn tell(&self) {
        let is_low = self.is_low();
        if self.was_low.swap(is_low, Relaxed) != is_low {
            let (bytes, inodes) = (self.bytes(), self.inodes());
            if is_low {
                tracing::error!(
                    bytes,
                    inodes,
                    "the Maildir's file system has less free than limits.free_disk or limits.free_inodes: MAIL is answered 452"
                );
            } else {
                tracing::info!(bytes, inodes, "the Maildir's file system has room again");
            }
        }
    }
}

fn less(count: &AtomicU64, by: u64) {
    let _ = count.fetch_update(Relaxed, Relaxed, |count| Some(count.saturating_sub(by)));
}
