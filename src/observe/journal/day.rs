//! Days of the journal (UTC) and the names of their files.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::facts::record::Record;

/// The day a record belongs to, by its own time; today where that can't be read.
pub fn of_record(record: &Record) -> Date {
    let time = record.time.parse().unwrap_or_else(|_| Timestamp::now());
    of(time)
}

/// The day of a moment.
pub fn of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// The file of a day: `2026-11-22.jsonl`.
pub fn path(directory: &Path, day: Date) -> PathBuf {
    directory.join(format!("{day}.jsonl"))
}

/// The day of a file's name; `None` for a file that is not the journal's.
pub fn of_name(name: &str) -> Option<Date> {
    let stem = name.strip_suffix(".jsonl")?;
    let day: Date = stem.parse().ok()?;
    // The parser takes more spellings than the one that we write.
    (day.to_string() == stem).then_some(day)
}

/// Makes and removes a file, so that a directory that can't be written is known at start and not with the first message.
pub fn try_to_write(directory: &Path) -> io::Result<()> {
    let path = directory.join(".writable");
    fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    fs::remove_file(path)
}

/// The days that the directory has a file of, oldest first.
pub fn list(directory: &Path) -> io::Result<Vec<Date>> {
    let mut days = Vec::new();
    for entry in fs::read_dir(directory)? {
        if let Some(day) = entry?.file_name().to_str().and_then(of_name) {
            days.push(day);
        }
    }
    days.sort_unstable();
    Ok(days)
}

/// The day after or before.
pub fn neighbour(day: Date, days: i32) -> Option<Date> {
    day.checked_add(i64::from(days).days()).ok()
}
