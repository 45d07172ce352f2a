//! The thread that writes the journal.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use nix::fcntl::OFlag;

use super::retention::{self, Clock};
use super::{Entry, Queue, Shared, audit, day, erase, lock};
use crate::observe::busy::{Busy, GATHER};

/// How long the writer waits after a failure before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is noted how long a leap of the clock was waited for.
const NOTING: Duration = Duration::from_secs(60);
/// How much goes to the file in one write.
const CHUNK_OCTETS: usize = 1024 * 1024;

/// Writes until the journal is closed.
pub fn run(shared: &Shared) {
    let mut retention = Retention::begin(shared);
    let mut files = Files { shared, open: None, newest: None };
    let mut audit = Audit { shared, waiting: VecDeque::new(), failing: false, troubled: false };
    let mut busy = Busy::new();
    while let Some((mut batch, notes)) = take(shared, audit.failing) {
        let count = batch.len();
        retention.look();
        audit.write(notes, retention.may_remove);
        while let Err(error) = files.write(&mut batch) {
            files.open = None;
            fail(shared, &mut batch, &error);
            if batch.is_empty() || !wait_to_retry(shared) {
                break;
            }
        }
        shared.drop_lines(batch.len());
        if busy.wrote(count) {
            gather(shared);
        }
    }
    if let Some(OpenFile { file, .. }) = files.open {
        // Whoever closes the journal expects its lines on disk; if this fails the kernel still has them.
        let _ = file.sync_data();
    }
    retention.end();
    audit.end(retention.may_remove);
    shared.lock().ended = true;
    shared.ended.notify_all();
}

/// What goes when its time is over: looked at at the start, and with the first line of each day of the host's clock.
struct Retention<'a> {
    shared: &'a Shared,
    begun: Instant,
    clock: Clock,
    day: Date,
    may_remove: bool,
    /// Whether it was said that there are days that have not come yet.
    said: bool,
    /// How long the process had run when a leap of the clock was last noted.
    noted: Option<Duration>,
}

impl<'a> Retention<'a> {
    fn begin(shared: &'a Shared) -> Self {
        // what a crash has left
        erase::clean(&shared.directory);
        let now = Timestamp::now();
        let clock = retention::clock(&shared.directory);
        let begun = Instant::now();
        let mut retention =
            Retention { shared, begun, clock, day: day::of(now), may_remove: false, said: false, noted: None };
        retention.ask(now);
        if retention.may_remove {
            retention.remove(now);
        }
        retention
    }

    fn ask(&mut self, now: Timestamp) {
        let (could, run) = (self.may_remove, self.begun.elapsed());
        self.may_remove = self.clock.is_believed(now, run);
        let is_time = self.noted.is_none_or(|noted| run >= noted + NOTING);
        if could != self.may_remove || !self.may_remove && is_time {
            self.note(run);
        }
    }

    fn note(&mut self, run: Duration) {
        retention::note_leap(&self.shared.directory, self.clock.leap(run));
        self.noted = Some(run);
    }

    /// What was waited up to now is not waited again by the next process.
    fn end(&mut self) {
        if !self.may_remove {
            self.note(self.begun.elapsed());
        }
    }

    fn look(&mut self) {
        let now = Timestamp::now();
        let could = self.may_remove;
        self.ask(now);
        let is_new = day::of(now) != self.day;
        if self.may_remove && (is_new || !could) {
            self.day = day::of(now);
            self.remove(now);
        }
    }

    fn remove(&mut self, now: Timestamp) {
        let removed = lock::directory(&self.shared.directory)
            .and_then(|_held| retention::remove_older(&self.shared.directory, now, self.shared.keep));
        match removed {
            Ok(removed) => {
                removed.refused.iter().for_each(|why| tracing::warn!("{why}"));
                if let (Some(day), false) = (removed.future.first(), self.said) {
                    self.said = true;
                    tracing::warn!(%day, "the journal has days that have not come yet, of a clock that was wrong: they go by when they were last written");
                }
            }
            Err(error) => tracing::warn!(%error, "old files of the journal cannot be removed"),
        }
    }
}

/// All lines that wait, of the decisions and of the audit, as soon as there is one; `None` at the end. Where the audit has to be tried
/// again, nothing may come of it.
fn take(shared: &Shared, again: bool) -> Option<(VecDeque<Entry>, VecDeque<audit::Entry>)> {
    let mut queue = shared.lock();
    while queue.entries.is_empty() && queue.audit.is_empty() {
        if queue.closing {
            return None;
        }
        queue.idle = true;
        if again {
            queue = shared.work.wait_timeout(queue, RETRY).unwrap_or_else(PoisonError::into_inner).0;
            break;
        }
        queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    queue.idle = false;
    queue.urgent = false;
    queue.octets = 0;
    Some((std::mem::take(&mut queue.entries), std::mem::take(&mut queue.audit)))
}

/// The audit's part of the writer: what can't be written waits, and holds no decision up.
struct Audit<'a> {
    shared: &'a Shared,
    waiting: VecDeque<audit::Entry>,
    failing: bool,
    /// Whether something beside the last line did not work, which is said once.
    troubled: bool,
}

impl Audit<'_> {
    fn write(&mut self, notes: VecDeque<audit::Entry>, may_remove: bool) {
        self.waiting.extend(notes);
        let keep = may_remove.then_some(self.shared.keep_audit);
        while let Some(entry) = self.waiting.front() {
            let event = entry.event;
            match audit::append(&self.shared.directory, entry.clone(), keep) {
                Ok(audit::Appended { sha256, trouble }) => {
                    self.waiting.pop_front();
                    let troubled = !trouble.is_empty();
                    self.shared.counters.audit_errors.fetch_add(u64::from(troubled), Ordering::Relaxed);
                    if troubled && !self.troubled {
                        tracing::warn!(trouble = trouble.join("; "), "the audit is written, but not all beside it");
                    }
                    self.troubled = troubled;
                    self.shared.counters.audit_written.fetch_add(1, Ordering::Relaxed);
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("the audit is written again");
                    }
                    // a digest outside of the chain shows later whether its end is missing
                    tracing::info!(?event, %sha256, "the audit has a new line");
                }
                Err(error) => {
                    self.shared.counters.audit_errors.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::error!(%error, "the audit cannot be written; the server goes on and its lines wait");
                    }
                    return;
                }
            }
        }
    }

    fn end(mut self, may_remove: bool) {
        self.write(VecDeque::new(), may_remove);
        let lost = self.waiting.len();
        if lost > 0 {
            tracing::error!(lost, "lines of the audit could not be written");
        }
    }
}

/// Counts and says a failure (once, until it is over), and answers those who wait for a durable line.
fn fail(shared: &Shared, batch: &mut VecDeque<Entry>, error: &io::Error) {
    shared.counters.errors.fetch_add(1, Ordering::Relaxed);
    if !shared.failing.swap(true, Ordering::Relaxed) {
        let directory = shared.directory.display();
        tracing::error!(%directory, %error, "the journal cannot be written; mail goes on and its lines wait");
    }
    let mut waiting = VecDeque::with_capacity(batch.len());
    for mut entry in batch.drain(..) {
        match entry.durable.take() {
            // The transaction goes another way now, and will be recorded with that.
            Some(sender) => drop(sender.send(Err(copy_of(error)))),
            None => waiting.push_back(entry),
        }
    }
    *batch = waiting;
}

fn recover(shared: &Shared) {
    shared.overflowing.store(false, Ordering::Relaxed);
    if shared.failing.swap(false, Ordering::Relaxed) {
        let dropped = shared.counters.dropped.load(Ordering::Relaxed);
        tracing::info!(dropped, "the journal is written again");
        if let Some(keys) = &shared.keys {
            keys.prepare(day::of(Timestamp::now()));
        }
    }
}

/// Lets lines gather for a moment, unless one is waited for.
fn gather(shared: &Shared) {
    let queue = shared.lock();
    let nobody_waits = |queue: &mut Queue| !queue.urgent && !queue.closing && queue.audit.is_empty();
    drop(shared.work.wait_timeout_while(queue, GATHER, nobody_waits));
}

/// False where the journal is closing and waiting makes no sense. New lines wait in the queue meanwhile, but whoever needs one of
/// them durable is told at once that it won't be.
fn wait_to_retry(shared: &Shared) -> bool {
    let mut queue = shared.lock();
    let mut left = RETRY;
    loop {
        if queue.closing {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        let before = std::time::Instant::now();
        queue = shared.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        left = left.saturating_sub(before.elapsed());
        refuse_durable(&mut queue);
    }
}

fn refuse_durable(queue: &mut super::Queue) {
    if queue.entries.iter().all(|entry| entry.durable.is_none()) {
        return;
    }
    let (refused, kept): (VecDeque<Entry>, VecDeque<Entry>) =
        std::mem::take(&mut queue.entries).into_iter().partition(|entry| entry.durable.is_some());
    queue.entries = kept;
    for entry in refused {
        queue.octets = queue.octets.saturating_sub(entry.line.len());
        if let Some(sender) = entry.durable {
            let _ = sender.send(Err(io::Error::other("the journal cannot be written")));
        }
    }
}

fn copy_of(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// The file of the day that is being written.
struct Files<'a> {
    shared: &'a Shared,
    open: Option<OpenFile>,
    /// The newest day so far: only a newer one may need a key, not a late line of yesterday's.
    newest: Option<Date>,
}

struct OpenFile {
    day: Date,
    file: File,
    /// Whether its directory entry is known to be durable.
    entry_durable: bool,
}

impl Files<'_> {
    /// Writes the batch from its front; what is written leaves it.
    fn write(&mut self, batch: &mut VecDeque<Entry>) -> io::Result<()> {
        // Nobody waits any more for a line whose deadline has passed.
        batch.retain(|entry| !entry.durable.as_ref().is_some_and(|sender| sender.is_closed()));
        while let Some(day) = batch.front().map(|entry| entry.day) {
            // who rewrites a day's file puts the new one in its place under the lock
            let _held = lock::directory(&self.shared.directory)?;
            self.open_day(day)?;
            let mut chunk = Vec::new();
            let mut lines = 0;
            for entry in batch.iter().take_while(|entry| entry.day == day) {
                if lines > 0 && chunk.len() + entry.line.len() > CHUNK_OCTETS {
                    break;
                }
                chunk.extend_from_slice(entry.line.as_bytes());
                lines += 1;
            }
            self.write_chunk(&chunk, lines, batch)?;
            recover(self.shared);
        }
        Ok(())
    }

    fn write_chunk(&mut self, chunk: &[u8], lines: usize, batch: &mut VecDeque<Entry>) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::Error::other("no file is open")) };
        let mut rest = chunk;
        let mut result = Ok(());
        while !rest.is_empty() {
            match open.file.write(rest) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        let mut whole = chunk.len() - rest.len();
        let mut durable = Vec::new();
        for _ in 0..lines {
            // A line of which only a part was written is written again, whole, behind that part.
            if batch.front().is_none_or(|entry| entry.line.len() > whole) {
                break;
            }
            if let Some(entry) = batch.pop_front() {
                whole -= entry.line.len();
                self.shared.counters.written.fetch_add(1, Ordering::Relaxed);
                durable.extend(entry.durable);
            }
        }
        if durable.is_empty() {
            return result;
        }
        let synced = sync(open, self.shared);
        for sender in durable {
            let _ = sender.send(synced.as_ref().copied().map_err(copy_of));
        }
        result.and(synced)
    }

    fn open_day(&mut self, day: Date) -> io::Result<()> {
        let path = day::path(&self.shared.directory, day);
        if self.open.as_ref().is_some_and(|open| open.day == day && erase::is_at(&open.file, &path)) {
            return Ok(());
        }
        if let Some(OpenFile { file, .. }) = self.open.take() {
            file.sync_data()?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(OFlag::O_NONBLOCK.bits());
        let mut file = options.open(&path)?;
        if file.metadata()?.file_type().is_fifo() {
            // a pipe keeps nothing
            return Err(io::Error::other(format!("{}: this is a FIFO; take it away", path.display())));
        }
        end_torn_line(&mut file)?;
        self.open = Some(OpenFile { day, file, entry_durable: false });
        if self.newest.is_none_or(|newest| day > newest) {
            self.newest = Some(day);
            if let Some(keys) = &self.shared.keys {
                keys.prepare(day);
            }
        }
        Ok(())
    }
}

/// A crash or a full disk can leave half a line: what follows must not be lost with it.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != *b"\n" { file.write_all(b"\n") } else { Ok(()) }
}

fn sync(open: &mut OpenFile, shared: &Shared) -> io::Result<()> {
    open.file.sync_data()?;
    if !open.entry_durable {
        File::open(&shared.directory)?.sync_all()?;
        open.entry_durable = true;
    }
    Ok(())
}
