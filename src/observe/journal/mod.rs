//! The journal: one JSON line a transaction, a file a day (UTC), kept for as long as the administrator says.
//!
//! Whoever has something to record only enqueues it; one thread writes. When the disk is full or broken, mail goes on: that is said
//! once, the lines wait in the queue until it is full, and what does not fit is counted as dropped. Writing begins again by itself.
//! [`Journal::record_now`] alone waits, because a discarded message is acknowledged on the strength of its line.
//!
//! Its lines are personal data. They can be written without names ([`Settings::pseudonymise`]), an address can be taken out of them
//! ([`erase`]) and its records be given out ([`export`]). Beside them is the [`audit`] of what was loaded when.

mod again;
pub mod audit;
mod before;
mod brief;
mod day;
mod erase;
mod keys;
mod line;
mod lines;
mod lock;
mod newest;
mod private;
mod query;
mod read;
mod regular;
mod retention;
mod search;
mod subject;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::facts::record::Record;
use crate::observe::pseudonym::Key;

pub use again::Returns;
pub use before::Earlier;
pub use brief::Brief;
pub use erase::{Erased, Exported, erase, export};
pub use keys::{Keys, Spellings};
pub use line::{LINE_OCTETS, STRING_CHARACTERS};
pub use newest::{Found, Newest};
pub use private::make as make_private;
pub use query::{Match, MessageId, Party, Query, Who};
pub use read::{BLOCK, Block, Blocks, files_since, odd_since};
pub use retention::{Clock, Leap, Removed, remove_older};
pub use search::{Search, find, normalise, search};
pub use subject::{ERASED, Subject};

/// How many lines wait at most.
pub const QUEUE_LINES: usize = 20_000;
/// How many octets of lines wait at most.
pub const QUEUE_OCTETS: usize = 32 * 1024 * 1024;
/// How long [`Journal::record_now`] waits for the disk.
pub const DURABLE_DEADLINE: Duration = Duration::from_secs(10);

/// How many lines of the audit wait at most: one a reload.
const AUDIT_LINES: usize = 1_000;

/// What is kept for how long, and with whose names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a day's decisions are kept.
    pub keep: Duration,
    /// How long a month's audit is kept.
    pub keep_audit: Duration,
    /// Whether local-parts and addresses stand under pseudonyms.
    pub pseudonymise: bool,
}

/// A record as it may be written down and logged: without names where the administrator wants that.
#[derive(Debug, Clone, PartialEq)]
pub struct Veiled(Record);

impl std::ops::Deref for Veiled {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0
    }
}

/// Where decision records go. Share it in an [`Arc`].
pub struct Journal {
    shared: Arc<Shared>,
}

/// What the journal counts, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lines that were written.
    pub written: AtomicU64,
    /// Lines that were lost: the queue was full, or the journal closed before they could be written.
    pub dropped: AtomicU64,
    /// Attempts to write that failed.
    pub errors: AtomicU64,
    /// Lines of the audit that were written.
    pub audit_written: AtomicU64,
    /// Attempts to write the audit that failed.
    pub audit_errors: AtomicU64,
}

struct Shared {
    directory: PathBuf,
    keep: Duration,
    keep_audit: Duration,
    /// Where pseudonyms are wanted.
    keys: Option<Arc<Keys>>,
    queue: Mutex<Queue>,
    /// The writer waits here for lines, or for the end.
    work: Condvar,
    /// `close` waits here for the writer to have ended.
    ended: Condvar,
    counters: Arc<Counters>,
    failing: AtomicBool,
    overflowing: AtomicBool,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    octets: usize,
    audit: VecDeque<audit::Entry>,
    /// Whether somebody waits for a line of them to be durable.
    urgent: bool,
    /// Whether the writer waits for work.
    idle: bool,
    started: bool,
    closing: bool,
    ended: bool,
}

/// One line on its way to its day's file.
struct Entry {
    day: jiff::civil::Date,
    line: String,
    /// Told once the line is durable, or why it is not.
    durable: Option<oneshot::Sender<io::Result<()>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_lines(&self, count: usize) {
        self.counters.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn push(&self, entry: Entry) -> Result<(), Refused> {
        let mut queue = self.lock();
        if queue.closing {
            return Err(Refused::Closed);
        }
        if queue.entries.len() >= QUEUE_LINES || queue.octets.saturating_add(entry.line.len()) > QUEUE_OCTETS {
            return Err(Refused::Full);
        }
        queue.octets += entry.line.len();
        let urgent = entry.durable.is_some();
        queue.entries.push_back(entry);
        queue.urgent |= urgent;
        let wake = std::mem::take(&mut queue.idle) || urgent;
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }
}

enum Refused {
    Full,
    Closed,
}

impl Journal {
    /// Opens the journal in `directory`, which is made (0700) if it is missing, and closed to others if it is ours. To be called as the user that will write it. No line
    /// is written and no thread runs before [`Journal::start`]; lines that come earlier wait.
    ///
    /// # Errors
    /// The directory can't be made, is none, or can't be written; a key of its pseudonyms can't be read.
    pub fn open(directory: &Path, keep: Duration) -> io::Result<Journal> {
        Journal::open_with(directory, Settings { keep, keep_audit: audit::KEEP, pseudonymise: false })
    }

    /// Opens the journal as [`Journal::open`] does, with all that can be set.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(directory: &Path, settings: Settings) -> io::Result<Journal> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        day::try_to_write(directory)?;
        private::make_or_warn(directory);
        if settings.pseudonymise {
            // lines under a key that is not kept could never be given out or erased
            Keys::check(directory).map_err(|problem| {
                let place = problem.source.as_ref().map_or("", |source| source.name.as_str());
                io::Error::new(io::ErrorKind::InvalidData, format!("{place}: {}", problem.cause))
            })?;
        }
        Ok(Journal {
            shared: Arc::new(Shared {
                directory: directory.to_path_buf(),
                keep: settings.keep,
                keep_audit: settings.keep_audit,
                keys: settings.pseudonymise.then(|| Arc::new(Keys::open(directory))),
                queue: Mutex::new(Queue::default()),
                work: Condvar::new(),
                ended: Condvar::new(),
                counters: Arc::new(Counters::default()),
                failing: AtomicBool::new(false),
                overflowing: AtomicBool::new(false),
            }),
        })
    }

    /// Removes files that are older than `keep` and starts the thread that writes. A second call does nothing.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(&self) -> io::Result<()> {
        let mut queue = self.shared.lock();
        if queue.started {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new().name("journal".into()).spawn(move || writer::run(&shared))?;
        queue.started = true;
        Ok(())
    }

    /// Hands a record to the writer. Never waits for the disk: when the queue is full the line is dropped and counted.
    pub fn record(&self, record: Record) {
        self.record_veiled(self.veil(record));
    }

    /// Takes the names out of a record, where the administrator wants that.
    pub fn veil(&self, mut record: Record) -> Veiled {
        if let Some(key) = self.key_of(day::of_record(&record)) {
            key.veil(&mut record);
        }
        Veiled(record)
    }

    fn key_of(&self, day: jiff::civil::Date) -> Option<Arc<Key>> {
        self.shared.keys.as_ref().map(|keys| keys.of(day))
    }

    /// The keys of its pseudonyms, where it has some: the log hides names under the same.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.shared.keys.clone()
    }

    /// Hands a line of the audit to the writer. Never waits for the disk.
    pub fn audit(&self, event: audit::Event, note: audit::Note) {
        let mut queue = self.shared.lock();
        if queue.closing || queue.audit.len() >= AUDIT_LINES {
            self.shared.counters.audit_errors.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.audit.push_back(audit::Entry { at: jiff::Timestamp::now(), event, note });
        drop(queue);
        self.shared.work.notify_one();
    }

    /// Hands a record to the writer as [`Journal::record`] does.
    pub fn record_veiled(&self, record: Veiled) {
        if let Err(why) = self.shared.push(entry(record, None)) {
            self.shared.drop_lines(1);
            if matches!(why, Refused::Full) && !self.shared.overflowing.swap(true, Ordering::Relaxed) {
                tracing::error!("the journal's queue is full: lines are dropped until it can be written again");
            }
        }
    }

    /// Hands a record to the writer and returns once it is durable: the line's file and, for a new file, its directory entry.
    ///
    /// # Errors
    /// The line is not known to be durable: the disk refused it or did not answer in time, the queue is full, or the journal was
    /// closed. It may still turn up in the file later on.
    pub async fn record_now(&self, record: Record) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.shared.push(entry(self.veil(record), Some(sender))).map_err(|why| match why {
            Refused::Full => io::Error::new(io::ErrorKind::WouldBlock, "the journal's queue is full"),
            Refused::Closed => io::Error::new(io::ErrorKind::BrokenPipe, "the journal is closed"),
        })?;
        match tokio::time::timeout(DURABLE_DEADLINE, receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the journal's writer has ended")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the journal's disk did not answer in time")),
        }
    }

    /// What it has counted.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Whether the last attempt to write failed: a reason for `/readyz` to speak up.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Takes no more lines, writes those that wait and makes them durable, for at most `deadline`. Blocks its thread. Says how many
    /// lines were left unwritten, which are counted as dropped.
    pub fn close(&self, deadline: Duration) -> usize {
        let until = Instant::now() + deadline;
        let mut queue = self.shared.lock();
        queue.closing = true;
        self.shared.work.notify_all();
        while queue.started && !queue.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.shared.ended.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let lost = queue.entries.len();
        queue.entries.clear();
        queue.octets = 0;
        self.shared.drop_lines(lost);
        lost
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
    }
}

fn entry(Veiled(record): Veiled, durable: Option<oneshot::Sender<io::Result<()>>>) -> Entry {
    let day = day::of_record(&record);
    Entry { day, line: line::line(record), durable }
}
