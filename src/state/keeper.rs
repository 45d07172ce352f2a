//! The one thread that keeps what is remembered on disk: in batches, at most one a second, so that no message waits for it.
//!
//! What a crash loses is the last second or two; a stranger is then a stranger once more. While the disk can't be used all stays in
//! memory: that is said once, and tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::disk::{self, Disk, DiskError};
use super::local::{Change, Changes, Local};
use super::names::Names;

/// How often changes are written.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the disk is left alone after it failed.
const AGAIN: Duration = Duration::from_secs(15);
/// How long it is waited at the end until another process, which has the file, is asked again.
const ASKED_AGAIN: Duration = Duration::from_millis(100);
/// How often what is past its time goes.
const EXPIRING: Duration = Duration::from_secs(30);

/// Keeps a store on disk.
#[derive(Debug)]
pub(super) struct Keeper {
    directory: PathBuf,
    local: Arc<Local>,
    names: Names,
    phase: Mutex<Phase>,
    changed: Condvar,
    failing: AtomicBool,
    /// The file was read once.
    read: AtomicBool,
    /// Another process has the file.
    in_use: AtomicBool,
    errors: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Until then at the latest.
    Closing(Instant),
    /// Whether what is remembered is where it can be.
    Ended {
        kept: bool,
    },
}

impl Keeper {
    /// Reads what the directory has, and starts the thread. A disk that can't be used is no error: what is remembered stays in
    /// memory.
    ///
    /// # Errors
    /// The thread can't be started.
    pub(super) fn start(directory: &Path, local: Arc<Local>, names: Names) -> std::io::Result<Arc<Keeper>> {
        let keeper = Arc::new(Keeper {
            directory: directory.to_owned(),
            local,
            names,
            phase: Mutex::new(Phase::Running),
            changed: Condvar::new(),
            failing: AtomicBool::new(false),
            read: AtomicBool::new(false),
            in_use: AtomicBool::new(false),
            errors: AtomicU64::new(0),
        });
        let clock = Clock::since(disk::written(directory), super::now());
        let disk = keeper.open();
        let of_thread = Arc::clone(&keeper);
        std::thread::Builder::new().name("state".into()).spawn(move || of_thread.run(disk, clock))?;
        Ok(keeper)
    }

    /// Whether what is remembered does not reach the disk.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    /// Whether the file was read once.
    pub(super) fn has_read(&self) -> bool {
        self.read.load(Relaxed)
    }

    /// Attempts to use the disk that failed.
    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Writes what is left, for at most `deadline`; false where that was too short.
    pub(super) fn close(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut phase = self.lock();
        if *phase == Phase::Running {
            *phase = Phase::Closing(until);
        }
        self.changed.notify_all();
        loop {
            if let Phase::Ended { kept } = *phase {
                return kept;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            phase = self.changed.wait_timeout(phase, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut disk: Option<Disk>, mut clock: Clock) {
        let begun = Instant::now();
        let mut tried = begun;
        let mut expired = begun;
        loop {
            let closing = self.pause();
            if expired.elapsed() >= EXPIRING {
                self.local.expire_if_believed(&mut clock, super::now(), begun.elapsed());
                expired = Instant::now();
            }
            // who has the file may leave it at any time
            let pause = if self.in_use.load(Relaxed) { PAUSE } else { AGAIN };
            if disk.is_none() && (closing.is_some() || tried.elapsed() >= pause) {
                disk = self.open();
                tried = Instant::now();
            }
            if let Some(open) = disk.take() {
                disk = if self.write(&open) { self.in_bounds(open) } else { None };
                if disk.is_none() {
                    tried = Instant::now();
                }
            }
            let Some(until) = closing else { continue };
            let waits = disk.is_none() && self.in_use.load(Relaxed);
            if waits && Instant::now() + ASKED_AGAIN < until {
                std::thread::sleep(ASKED_AGAIN);
                continue;
            }
            // closed before anybody hears of the end: whoever comes next opens the file
            drop(disk);
            *self.lock() = Phase::Ended { kept: !waits };
            self.changed.notify_all();
            return;
        }
    }

    /// Waits for the next batch; until when, where it is the last.
    fn pause(&self) -> Option<Instant> {
        let until = Instant::now() + PAUSE;
        let mut phase = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match *phase {
                Phase::Closing(until) => return Some(until),
                Phase::Running if !left.is_zero() => {}
                Phase::Running | Phase::Ended { .. } => return None,
            }
            phase = self.changed.wait_timeout(phase, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens the file and takes in what it has; one that is broken is put aside, and a new one made.
    fn open(&self) -> Option<Disk> {
        let result = self.open_and_read().or_else(|error| match error {
            DiskError::Broken(cause) => {
                let aside = disk::set_aside(&self.directory)?;
                self.errors.fetch_add(1, Relaxed);
                tracing::error!(
                    %cause, aside = %aside.display(),
                    "the file of greylisting and rates is broken: it was put aside, and strangers are strangers again"
                );
                self.open_and_read()
            }
            unusable => Err(unusable),
        });
        match result {
            Ok((disk, kept)) => {
                self.in_use.store(false, Relaxed);
                self.local.fill(kept, !self.has_read());
                self.read.store(true, Relaxed);
                Some(disk)
            }
            Err(DiskError::InUse) => {
                self.is_in_use();
                None
            }
            Err(error) => {
                self.in_use.store(false, Relaxed);
                self.failed(&error);
                None
            }
        }
    }

    /// Another process has the file: said once, asked for again every second.
    fn is_in_use(&self) {
        self.local.not_kept();
        self.failing.store(true, Relaxed);
        if !self.in_use.swap(true, Relaxed) {
            self.errors.fetch_add(1, Relaxed);
            tracing::warn!(
                directory = %self.directory.display(),
                "another process has the file of greylisting and rates: until it ends, what is remembered stays in memory"
            );
        }
    }

    fn open_and_read(&self) -> Result<(Disk, Vec<Change>), DiskError> {
        caught(|| {
            let disk = Disk::open(&self.directory)?;
            let kept = disk.read()?;
            // what was named before by another is forgotten: strangers come again once more
            self.names.under(disk.secret(self.names.secret())?);
            Ok((disk, kept))
        })
    }

    /// Writes what has changed; false where the file is of no use any more.
    fn write(&self, disk: &Disk) -> bool {
        let changes = self.local.take_changes();
        if matches!(&changes, Changes::Some(changes) if changes.is_empty()) && !self.is_failing() {
            return true;
        }
        match caught(|| disk.write(&changes)) {
            Ok(()) => {
                if self.failing.swap(false, Relaxed) {
                    tracing::info!("what greylisting and rates remember is kept on disk again");
                }
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Holds the file to its bound: it is compacted, and where that does not help begun anew from memory. `None` where it is of no use any
    /// more.
    fn in_bounds(&self, mut disk: Disk) -> Option<Disk> {
        let most = octets_at_most(self.local.most());
        let fits = || Disk::octets(&self.directory) <= most;
        if fits() {
            return Some(disk);
        }
        if let Err(error) = caught(|| disk.compact()) {
            self.failed(&error);
            return None;
        }
        if fits() {
            return Some(disk);
        }
        drop(disk);
        tracing::warn!(most, "the file of greylisting and rates is too big: it is begun anew with what is in memory");
        self.local.not_kept();
        if let Err(error) = disk::remove(&self.directory) {
            self.failed(&error.into());
            return None;
        }
        self.open().filter(|disk| self.write(disk))
    }

    fn failed(&self, error: &DiskError) {
        self.errors.fetch_add(1, Relaxed);
        self.local.not_kept();
        if !self.failing.swap(true, Relaxed) {
            tracing::error!(
                %error, directory = %self.directory.display(),
                "what greylisting and rates remember can't be kept on disk: mail goes on, it stays in memory until a restart"
            );
        }
    }
}

/// Octets that the file has at most, where there may be so many entries of a kind: ten kinds of 250 octets each, strangers, known senders and
/// the counts of all rates, and what the file has of its own.
pub const fn octets_at_most(entries: usize) -> u64 {
    8 * 1024 * 1024 + entries as u64 * 2_500
}

/// A panic over a damaged file costs no more than the file.
fn caught<T>(work: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(DiskError::Broken("it can't be made sense of".to_owned())))
}
