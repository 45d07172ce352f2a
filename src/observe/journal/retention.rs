//! What goes when its time is over, and when the clock that says so is not believed.
//!
//! A file's time is that of its name, the day, against the host's clock; never that of a record. A clock can be wrong: a host that boots
//! with the year 2090 would throw everything away. So a clock that leapt forward removes nothing for a day. Who meant it has only to wait.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::Date;

use super::{day, keys, regular};

/// A clock that goes on by so much more than time did has leapt.
const LEAP: Duration = Duration::from_secs(86_400);
/// A clock that starts so much later than the journal was last written may have leapt.
const SILENCE: Duration = Duration::from_secs(2 * 86_400);
/// How long nothing is removed after a leap.
const HOLD: Duration = Duration::from_secs(86_400);

/// The file that knows of a leap.
const LEAPT: &str = ".clock-leapt";

/// Whether the host's clock is believed where something is removed by it.
#[derive(Debug, Default)]
pub struct Clock {
    /// What it said when it was last looked at, and how long the process had run then.
    last: Option<(Timestamp, Duration)>,
    /// How long the process has to have run before it is believed, and what the clock said before it leapt.
    held: Option<(Duration, Timestamp)>,
    /// How much of the time that nothing is removed earlier processes have waited.
    served: Duration,
}

/// A leap that is not over yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leap {
    /// What the clock said before it.
    pub before: Timestamp,
    /// How long nothing was removed since, over all processes.
    pub served: Duration,
}

impl Clock {
    /// A clock that is not known yet. `written`: when the journal was last written, by the clock of then.
    pub fn since(written: Option<Timestamp>) -> Clock {
        Clock { last: written.map(|at| (at, Duration::ZERO)), ..Clock::default() }
    }

    /// A clock that leapt while an earlier process ran: what that has waited is not waited again.
    pub fn after(leap: Leap) -> Clock {
        Clock { served: leap.served, ..Clock::since(Some(leap.before)) }
    }

    /// Looks at the clock: it says `now`, and the process has run for `run`. False where nothing may be removed; that is said once in
    /// the log.
    pub fn is_believed(&mut self, now: Timestamp, run: Duration) -> bool {
        let last = self.last.replace((now, run));
        if let Some((before, ran)) = last {
            let allowed = if ran.is_zero() { SILENCE } else { LEAP.saturating_add(run.saturating_sub(ran)) };
            let went = Duration::try_from(now.duration_since(before)).unwrap_or_default();
            if went > allowed {
                // only the first look can find the leap that was waited for before
                let rest = HOLD.saturating_sub(std::mem::take(&mut self.served));
                self.held = Some((run.saturating_add(rest), self.held.map_or(before, |(_, first)| first)));
                tracing::warn!(
                    was = %before, now = %now, hours_left = rest.as_secs().div_ceil(3_600),
                    "the clock leapt forward, or the journal was not written for long: none of its old files is removed for a day; if the clock is wrong, set it"
                );
            }
            self.served = Duration::ZERO;
        }
        self.held = self.held.filter(|(until, _)| run < *until);
        self.held.is_none()
    }

    /// The leap for which it is not believed, seen when the process has run for `run`.
    pub fn leap(&self, run: Duration) -> Option<Leap> {
        let served = |until: Duration| HOLD.saturating_sub(until.saturating_sub(run));
        self.held.map(|(until, before)| Leap { before, served: served(until) })
    }
}

/// Remembers over a restart that the clock leapt, and how long that was waited for; nothing where it is believed. What can't be noted is
/// looked at anew by the next start.
pub fn note_leap(directory: &Path, leap: Option<Leap>) {
    let path = directory.join(LEAPT);
    let Some(Leap { before, served }) = leap else { return drop(fs::remove_file(&path)) };
    // half a note would be none
    let temporary = directory.join(format!("{LEAPT}.tmp"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(regular::FLAGS);
    let text = format!("{before} {}\n", served.as_secs());
    let written = options.open(&temporary).and_then(|mut file| file.write_all(text.as_bytes()));
    let _ = written.and_then(|()| fs::rename(&temporary, &path));
}

/// The clock as the directory knows it: the leap that is noted, or when the journal was last written.
pub fn clock(directory: &Path) -> Clock {
    noted(directory).map_or_else(|| Clock::since(last_written(directory)), Clock::after)
}

/// What was noted of a leap. Older versions note only what the clock said before it.
fn noted(directory: &Path) -> Option<Leap> {
    let mut noted = String::new();
    regular::required(&directory.join(LEAPT)).ok()?.take(100).read_to_string(&mut noted).ok()?;
    let (before, served) = noted.trim().split_once(' ').unwrap_or((noted.trim(), "0"));
    Some(Leap { before: before.parse().ok()?, served: Duration::from_secs(served.parse().unwrap_or(0)) })
}

/// When the journal was last written; `None` where it never was.
fn last_written(directory: &Path) -> Option<Timestamp> {
    let ours = |name: &str| day::of_name(name).is_some() || name.ends_with(".chain");
    let written = fs::read_dir(directory).ok()?.flatten().filter(|entry| entry.file_name().to_str().is_some_and(ours));
    let newest = written.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max()?;
    Timestamp::try_from(newest).ok()
}

/// What was removed, and what should have been.
#[derive(Debug, Default)]
pub struct Removed {
    /// Days that are gone.
    pub removed: usize,
    /// Days that can't be removed though their time is over, a sentence each.
    pub refused: Vec<String>,
    /// Days that have not come yet, of a clock that was wrong.
    pub future: Vec<Date>,
}

/// Removes the files of days that ended before `keep`, seen from `now`, and the keys of their pseudonyms. A day that has not come yet
/// goes by when its file was last written. Other people's files are left alone.
///
/// # Errors
/// The directory can't be read, or a key not be removed.
pub fn remove_older(directory: &Path, now: Timestamp, keep: Duration) -> io::Result<Removed> {
    let mut result = Removed::default();
    let Ok(keep) = jiff::SignedDuration::try_from(keep) else { return Ok(result) };
    let Ok(oldest_kept) = now.checked_sub(keep) else { return Ok(result) };
    let first_kept = day::of(oldest_kept);
    let tomorrow = day::neighbour(day::of(now), 1);
    for day in day::list(directory)? {
        let path = day::path(directory, day);
        let mut over = day < first_kept;
        if tomorrow.is_some_and(|tomorrow| day > tomorrow) {
            let written = fs::symlink_metadata(&path).and_then(|found| found.modified()).unwrap_or(SystemTime::now());
            over = Timestamp::try_from(written).is_ok_and(|written| day::of(written) < first_kept);
            if !over {
                result.future.push(day);
            }
        }
        if !over {
            continue;
        }
        match fs::remove_file(&path) {
            Ok(()) => result.removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => result.refused.push(format!(
                "{}: its time is over and it can't be removed: {error}; take it away (`chattr -ai` where it has that attribute)",
                path.display()
            )),
        }
    }
    // what can't be removed is readable as long as its key is there, and that is no longer than it should be
    keys::remove_older(directory, first_kept)?;
    Ok(result)
}
