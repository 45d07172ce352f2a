//! Whether what was not taken came again, and whether what was taken had been put off before.

use std::collections::VecDeque;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::cli::Exit;
use crate::cli::lines::Lines;
use crate::facts::record::Record;
use crate::observe::explain::{again, before};
use crate::observe::journal::{Brief, Earlier, Returns};

/// How many days of the journal are looked through: clients try for five at most, as RFC 5321 §4.5.4.1 has it.
const DAYS: u64 = 7;

/// What the journal says of it afterwards; nothing of a record that all recipients got, or that has no time.
pub fn told(directory: &Path, record: &Record) -> Result<String, Exit> {
    let (Some(returns), Ok(time)) = (Returns::of(record), record.time.parse::<Timestamp>()) else {
        return Ok(String::new());
    };
    let end = time.checked_add(SignedDuration::from_hours(24 * DAYS as i64)).unwrap_or(time);
    let last = format!("{end}");
    let last = last.get(..10).unwrap_or_default();
    let lines = Lines::of_journal(directory, Some(time), |file| {
        file.file_stem().is_some_and(|day| day.to_string_lossy().as_ref() <= last)
    })?;
    let mut found: Vec<Brief> = Vec::new();
    lines.oldest_first(
        Vec::new,
        |line, part| returns.take(line, part),
        |parts, _| {
            found.extend(parts.into_iter().flatten());
            found.iter().any(|brief| returns.is_taken(brief))
        },
    )?;
    found.sort_by(|one, other| (&one.time, &one.reference).cmp(&(&other.time, &other.reference)));
    Ok(again(&record.time, &returns, &found, DAYS))
}

/// What the journal says of the tries of an accepted message before it; nothing of any other record, or where there was none.
pub fn told_before(directory: &Path, record: &Record) -> Result<String, Exit> {
    let (Some(earlier), Ok(time)) = (Earlier::of(record), record.time.parse::<Timestamp>()) else {
        return Ok(String::new());
    };
    let first = time.checked_sub(SignedDuration::from_hours(24 * DAYS as i64)).unwrap_or(time);
    let last = record.time.get(..10).unwrap_or_default();
    let lines = Lines::of_journal(directory, Some(first), |file| {
        file.file_stem().is_some_and(|day| day.to_string_lossy().as_ref() <= last)
    })?;
    let (parts, _) = lines.each(VecDeque::new, |line, part| earlier.take(line, part))?;
    let mut found: Vec<Brief> = parts.into_iter().flatten().collect();
    Ok(before(&record.time, &earlier.put_off(&mut found)))
}
