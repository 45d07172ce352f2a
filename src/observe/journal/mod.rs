//! The journal: one JSON line a transaction, a file a day (UTC), kept for as long as the administrator says.
//!
//! Whoever has something to record only enqueues it; one thread writes. When the disk is full or broken, mail goes on: that is said
//! once, the lines wait in the queue until it is full, and what does not fit is counted as dropped. Writing begins again by itself.
//! [`Journal::record_now`] alone waits, because a discarded message is acknowledged on the strength of its line.

mod day;
mod line;
mod read;
mod search;
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

pub use line::{LINE_OCTETS, STRING_CHARACTERS};
pub use read::{BLOCK, Block, Blocks, files_since};
pub use search::{Search, find, normalise, search};

/// How many lines wait at most.
pub const QUEUE_LINES: usize = 20_000;
/// How many octets of lines wait at most.
pub const QUEUE_OCTETS: usize = 32 * 1024 * 1024;
/// How long [`Journal::record_now`] waits for the disk.
pub const DURABLE_DEADLINE: Duration = Duration::from_secs(10);

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
}

struct Shared {
    directory: PathBuf,
    keep: Duration,
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
        queue.entries.push_back(entry);
        drop(queue);
        self.work.notify_one();
        Ok(())
    }
}

enum Refused {
    Full,
    Closed,
}

impl Journal {
    /// Opens the journal in `directory`, which is made (0700) if it is missing. To be called as the user that will write it. No line
    /// is written and no thread runs before [`Journal::start`]; lines that come earlier wait.
    ///
    /// # Errors
    /// The directory can't be made, is none, or can't be written.
    pub fn open(directory: &Path, keep: Duration) -> io::Result<Journal> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        day::try_to_write(directory)?;
        Ok(Journal {
            shared: Arc::new(Shared {
                directory: directory.to_path_buf(),
                keep,
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
        self.shared.push(entry(record, Some(sender))).map_err(|why| match why {
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

fn entry(record: Record, durable: Option<oneshot::Sender<io::Result<()>>>) -> Entry {
    let day = day::of_record(&record);
    Entry { day, line: line::line(record), durable }
}
