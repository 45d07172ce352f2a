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
}

impl Clock {
    /// A clock that is not known yet. `written`: when the journal was last written, by the clock of then.
    pub fn since(written: Option<Timestamp>) -> Clock {
        Clock { last: written.map(|at| (at, Duration::ZERO)), held: None }
    }

    /// Looks at the clock: it says `now`, and the process has run for `run`. False where nothing may be removed; that is said once in
    /// the log.
    pub fn is_believed(&mut self, now: Timestamp, run: Duration) -> bool {
        let last = self.last.replace((now, run));
        if let Some((before, ran)) = last {
            let allowed = if ran.is_zero() { SILENCE } else { LEAP.saturating_add(run.saturating_sub(ran)) };
            let went = Duration::try_from(now.duration_since(before)).unwrap_or_default();
            if went > allowed {
                self.held = Some((run.saturating_add(HOLD), self.held.map_or(before, |(_, first)| first)));
                tracing::warn!(
                    was = %before, now = %now,
                    "the clock leapt forward, or the journal was not written for long: none of its old files is removed for a day; if the clock is wrong, set it"
                );
            }
        }
        self.held = self.held.filter(|(until, _)| run < *until);
        self.held.is_none()
    }

    /// What it said before it leapt, while it is not believed.
    pub fn leapt_from(&self) -> Option<Timestamp> {
        self.held.map(|(_, before)| before)
    }
}

/// Remembers over a restart what the clock said before it leapt; nothing where it is believed. What can't be noted is looked at anew by the
/// next start.
pub fn note_leap(directory: &Path, leapt_from: Option<Timestamp>) {
    let path = directory.join(LEAPT);
    match leapt_from {
        Some(before) if !path.exists() => {
            let text = format!("{before}\n");
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
        }
        Some(_) => {}
        None => drop(fs::remove_file(&path)),
    }
}

/// When the journal was last written by a clock that is believed; `None` where it never was.
pub fn last_written(directory: &Path) -> Option<Timestamp> {
    let mut noted = String::new();
    let leapt = regular::required(&directory.join(LEAPT));
    if leapt.and_then(|file| file.take(100).read_to_string(&mut noted)).is_ok()
        && let Ok(before) = noted.trim().parse()
    {
        return Some(before);
    }
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
