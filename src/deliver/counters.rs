//! What delivery counts, in plain atomics that the server hands to the metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{DeliverError, Stored};

/// Counts since the start; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Deliveries that are durable.
    pub stored: AtomicU64,
    /// Files that are durable: one a copy.
    pub files: AtomicU64,
    /// Octets of those files.
    pub bytes: AtomicU64,
    /// Bodies that were spooled whole.
    pub spooled: AtomicU64,
    /// Octets of those bodies, as received.
    pub spooled_bytes: AtomicU64,
    /// Deliveries, and bodies that came in, that failed for want of space or quota, or of a share of the disk.
    pub full: AtomicU64,
    /// Deliveries that failed for other trouble of the file system.
    pub io: AtomicU64,
    /// Deliveries that were not taken or not finished in time.
    pub busy: AtomicU64,
    /// Deliveries during which a writer panicked (they are counted in `io` too).
    pub panics: AtomicU64,
    /// Copies that were renamed into `new/` and taken back because the delivery failed.
    pub taken_back: AtomicU64,
    /// Copies that should have been taken back and could not: a reader had moved them, or the file system refused.
    pub left_behind: AtomicU64,
    /// Files that a crash left where bodies are spooled, and that were removed.
    pub leftovers: AtomicU64,
    /// Directory fsyncs that were made.
    pub directory_syncs: AtomicU64,
    /// Directory fsyncs that were spared because another delivery's served.
    pub directory_syncs_shared: AtomicU64,
}

impl Counters {
    /// Notes the result of one delivery.
    pub(super) fn note(&self, result: &Result<Stored, DeliverError>) {
        match result {
            Ok(stored) => {
                let bytes = stored.files.iter().map(|file| file.bytes).sum();
                self.stored.fetch_add(1, Relaxed);
                self.files.fetch_add(stored.files.len() as u64, Relaxed);
                self.bytes.fetch_add(bytes, Relaxed);
            }
            Err(error) => self.note_error(error),
        }
    }

    /// Notes why a message could not be stored, or spooled.
    pub(super) fn note_error(&self, error: &DeliverError) {
        match error {
            DeliverError::Full(_) | DeliverError::NoRoom(_) => count(&self.full),
            DeliverError::Io(_) => count(&self.io),
            DeliverError::Busy => count(&self.busy),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
