//! Finding one record again.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;

use super::regular::{self, Opened};
use super::{LINE_OCTETS, day};
use crate::facts::record::Record;
use crate::problem::Problems;

/// What a search came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The record; the last one where a ref has several.
    pub record: Option<Record>,
    /// Lines that were passed over because they are torn or not ours.
    pub skipped: u64,
    /// What was passed over because it is no regular file.
    pub problems: Problems,
}

/// The record of a ref, `None` if the journal in `directory` does not have it.
///
/// # Errors
/// The directory or a file that may hold it can't be read.
pub fn find(directory: &Path, reference: &str) -> io::Result<Option<Record>> {
    search(directory, reference).map(|search| search.record)
}

/// Looks for a ref, first in the file of the day that the ref itself tells and its neighbours (a session can end 31 minutes after
/// its ref was made), then in all others, newest first. Case and Crockford's lookalikes don't matter.
///
/// # Errors
/// The directory or a file that may hold it can't be read.
pub fn search(directory: &Path, reference: &str) -> io::Result<Search> {
    let mut found = Search { record: None, skipped: 0, problems: Problems::new() };
    let days = day::list(directory)?;
    let Some(reference) = normalise(reference) else { return Ok(found) };
    for day in order(days, day_of(&reference)) {
        let file = match regular::open(&day::path(directory, day))? {
            Opened::File(file) => file,
            Opened::Gone => continue,
            Opened::Odd(problem) => {
                found.problems.push(problem);
                continue;
            }
        };
        scan(BufReader::with_capacity(256 * 1024, file), &reference, &mut found)?;
        if found.record.is_some() {
            break;
        }
    }
    Ok(found)
}

/// A ref as it is written, from what a person typed or pasted (`ref=01jd…`): upper case, O as 0, I and L as 1, hyphens left out.
/// `None` if that is no ref: 16 characters of Crockford's base32.
pub fn normalise(typed: &str) -> Option<String> {
    if typed.len() > 100 {
        return None;
    }
    let typed = typed.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let typed =
        typed.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case("ref")).map_or(typed, |(_, value)| value);
    let mut reference = String::with_capacity(16);
    for character in typed.chars().filter(|character| *character != '-') {
        reference.push(match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
    }
    (reference.len() == 16 && reference.chars().all(|character| digit(character).is_some())).then_some(reference)
}

fn digit(character: char) -> Option<usize> {
    "0123456789ABCDEFGHJKMNPQRSTVWXYZ".find(character)
}

/// The day in a ref: its upper 48 of 80 bits are milliseconds since 1970.
fn day_of(reference: &str) -> Option<Date> {
    let bits = reference.chars().try_fold(0u128, |bits, character| Some(bits << 5 | digit(character)? as u128))?;
    let milliseconds = i64::try_from(bits >> 32).ok()?;
    Timestamp::from_millisecond(milliseconds).ok().map(day::of)
}

fn order(mut days: Vec<Date>, likely: Option<Date>) -> Vec<Date> {
    let mut first = Vec::new();
    for offset in [0, 1, -1] {
        let Some(day) = likely.and_then(|day| day::neighbour(day, offset)) else { continue };
        if let Ok(at) = days.binary_search(&day) {
            first.push(days.remove(at));
        }
    }
    first.extend(days.into_iter().rev());
    first
}

fn scan(mut reader: impl BufRead, reference: &str, found: &mut Search) -> io::Result<()> {
    let ours = format!("{{\"v\":1,\"ref\":\"{reference}\"");
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line)? {
        let looks_ours = line.starts_with(b"{\"v\":1,\"ref\":\"") && line.ends_with(b"}");
        if looks_ours && !line.starts_with(ours.as_bytes()) {
            continue;
        }
        match serde_json::from_slice::<Record>(&line) {
            Ok(record) if record.reference == reference => found.record = Some(record),
            Ok(_) => {}
            // An empty line is what follows a line that was torn just before its end.
            Err(_) if line.is_empty() => {}
            Err(_) => found.skipped += 1,
        }
    }
    Ok(())
}

/// Reads one line without its end into `line`, of which no more than twice the longest of ours is kept. False at the end.
pub(super) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = available.iter().position(|octet| *octet == b'\n');
        let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        let room = (2 * LINE_OCTETS).saturating_sub(line.len());
        line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        let consumed = end.map_or(available.len(), |at| at + 1);
        reader.consume(consumed);
        if end.is_some() {
            return Ok(true);
        }
    }
}
