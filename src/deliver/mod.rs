//! Durable delivery to Maildir. A [`Stored`] is the only proof that a message is kept, and only this room can make one:
//! after the file, its entry in `new/` and the directories that lead there are on disk.
//!
//! ```text
//! store() -> queue -> a writer thread: prepare directories -> write tmp/ -> fsync -> rename into new/ -> fsync new/ -> Stored
//! ```
//!
//! Where a message has several copies, writers that are idle help with them: all are in `tmp/` and durable before the first is renamed.
//!
//! A large body is written to disk while it comes in ([`Spooling`]), into a file without a name, and copied from there.
//!
//! What is on disk while that goes on: a file in `tmp/` (nobody reads it; [`clean_tmp`] removes it after a crash), then the same
//! file in `new/` whose entry a power cut may still undo (nothing was acknowledged), then the entry is durable and the
//! sender is told. Whatever fails on that way is undone and told as a [`DeliverError`], for which the sender is asked to try again.
//!
//! No path comes from a client's text: a path is made of the domain and mailbox that the configuration names.

mod clean;
mod commit;
mod counters;
mod disk;
mod group_sync;
mod identity;
mod lines;
mod place;
mod queue;
pub mod quota;
mod room;
mod root;
mod space;
mod spool;
mod spooled;
mod steps;
mod suspect;
mod writers;

pub use clean::{Cleaned, clean_tmp};
pub use counters::Counters;
pub use disk::{Step, Unwatched, Witness};
pub use root::{RootProblem, check_host_name, check_root};
pub use space::Space;
pub use spool::Spooling;
pub use spooled::Spooled;
pub use suspect::Suspect;
pub use writers::{Limits, Writers};

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::facts::record::DeliveryRecord;
use crate::message::content::Body;
use crate::recipients::{MailboxName, is_safe_component};

/// The octets that all copies of a message share, with CRLF line ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// The message's own header as it is to be kept, with the blank line that ends it.
    pub header: Vec<u8>,
    /// Everything after the blank line.
    pub body: Body,
}

impl Payload {
    /// Octets of header and body that are in memory.
    fn weight(&self) -> usize {
        self.header.len().saturating_add(self.body.memory_bytes())
    }
}

/// A delivery to more mailboxes counts as a large one.
const MANY: usize = 32;

/// A message and the mailboxes that it goes to: all of them, or none.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What all copies share.
    pub payload: Arc<Payload>,
    /// One entry a mailbox; at least one.
    pub copies: Vec<Copy>,
    /// Of which network its client is: no network may keep the others from the writers, nor from the disk.
    pub network: IpAddr,
}

impl Delivery {
    /// Whether it keeps a writer busy for long: its body is spooled, or its mailboxes are many.
    fn is_large(&self) -> bool {
        matches!(self.payload.body, Body::Spooled(_)) || self.copies.len() > MANY
    }

    /// Octets that it keeps in memory while it waits.
    fn weight(&self) -> usize {
        let mut weight = self.payload.weight();
        let mut counted: Option<&Arc<Vec<u8>>> = None;
        for copy in &self.copies {
            weight = weight.saturating_add(copy.prefix.len());
            // copies that share a header stand next to each other
            if let Some(header) = &copy.header
                && counted.is_none_or(|counted| !Arc::ptr_eq(counted, header))
            {
                weight = weight.saturating_add(header.len());
                counted = Some(header);
            }
        }
        weight
    }
}

/// One copy of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Whose it is.
    pub mailbox: MailboxName,
    /// Where in the mailbox it goes.
    pub folder: Folder,
    /// Our trace fields, in front of the message's header, with CRLF line ends.
    pub prefix: Vec<u8>,
    /// The message's header in this copy, with the blank line that ends it; `None`: the payload's.
    pub header: Option<Arc<Vec<u8>>>,
}

/// A folder of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// The Maildir itself.
    Inbox,
    /// The Maildir++ folder `.Junk`.
    Junk,
    /// A Maildir++ folder of this name, directly below the inbox. What is no safe name of a directory is not stored.
    Named(Box<str>),
}

impl Folder {
    /// Its name as IMAP shows it: `INBOX`, `Junk`.
    pub const fn name(&self) -> &str {
        match self {
            Folder::Inbox => "INBOX",
            Folder::Junk => "Junk",
            Folder::Named(name) => name,
        }
    }

    /// The directory below the mailbox's, `None` for the inbox.
    ///
    /// # Errors
    /// A name that is no safe name of one folder: the policy refuses it, this is the second lock.
    fn directory(&self) -> io::Result<Option<String>> {
        match self {
            Folder::Inbox => Ok(None),
            Folder::Junk => Ok(Some(".Junk".to_owned())),
            Folder::Named(name) if is_safe_component(name, 64) && !name.contains('.') => Ok(Some(format!(".{name}"))),
            Folder::Named(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "the folder's name is no safe name of a directory"))
            }
        }
    }
}

/// The proof that every copy of a message is durable: file, directory entry and parents. Only this room makes one.
#[derive(Debug)]
#[must_use = "a stored message is to be acknowledged"]
pub struct Stored {
    files: Vec<StoredFile>,
}

impl Stored {
    /// One file a copy, in the order of the copies.
    pub fn files(&self) -> &[StoredFile] {
        &self.files
    }

    /// The same for the decision record.
    pub fn records(&self) -> Vec<DeliveryRecord> {
        let record = |file: &StoredFile| DeliveryRecord {
            mailbox: file.mailbox.to_string(),
            folder: file.folder.name().to_owned(),
            file: file.path.to_string_lossy().into_owned(),
        };
        self.files.iter().map(record).collect()
    }
}

/// One durable file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    mailbox: MailboxName,
    folder: Folder,
    path: PathBuf,
    bytes: u64,
}

impl StoredFile {
    /// Whose it is.
    pub fn mailbox(&self) -> &MailboxName {
        &self.mailbox
    }

    /// Where in the mailbox.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Its path below the Maildir root, as it was in `new/` when it was stored.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size on disk, with LF line ends.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Why a message was not stored. Nothing of it is kept; each is our own trouble and answered with 4yz.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// No space or quota left on the file system (ENOSPC, EDQUOT): 452 4.3.1.
    #[error("the file system is full: {0}")]
    Full(#[source] io::Error),
    /// A mailbox would hold more than its quota: 452 4.2.2.
    #[error("{mailbox} is over its quota: it holds {used} of {quota} bytes, and the message has {octets}")]
    OverQuota {
        /// Whose it is.
        mailbox: MailboxName,
        /// Octets that it holds, with what deliveries under way will add.
        used: u64,
        /// Octets that it may hold.
        quota: u64,
        /// Octets of the message, with LF line ends.
        octets: u64,
    },
    /// A bound of ours is reached before the file system's: 452 4.3.1.
    #[error("{0}")]
    NoRoom(&'static str),
    /// Any other trouble of the file system, or a bug: 451 4.3.0.
    #[error("the message could not be stored: {0}")]
    Io(#[source] io::Error),
    /// The queue stayed full, the disk did not answer in time, or we are shutting down: 451 4.3.0.
    #[error("the writers are busy")]
    Busy,
}

impl From<io::Error> for DeliverError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DeliverError::Full(error),
            _ => DeliverError::Io(error),
        }
    }
}

/// A panic elsewhere is no reason to stop: what these locks guard is right after each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
