//! The audit: a line for every load of configuration and policies, each with the digest of the line before it.
//!
//! `audit-2026-11.chain`, a file of JSON lines a month (UTC) beside the decisions, only ever appended to. A line that is changed, taken out or put in
//! later does not fit its neighbours any more, which [`verify`] sees; lines that are missing at the end are seen by `audit.head`, which
//! knows the last one, or by the digest that the log has. What was in force when a decision was made can so be shown a year later: the
//! decision has the policy's digest, the audit says when it was loaded and from where. No name of a person is in it.

mod head;
mod verify;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::regular::{self, Opened};
use super::search::read_line;
use super::{day, lock};
use crate::facts::record::PolicyRecord;

use head::{HEAD, Head};
pub use verify::{Verdict, verify};

/// How long audit files are kept unless somebody says otherwise: more than a year.
pub const KEEP: Duration = Duration::from_secs(400 * 86_400);
/// What stands for the line before the first.
pub const ANCHOR: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Octets of the longest line.
pub const LINE: usize = 64 * 1024;
/// Octets at the end of a file that are looked through for a line, behind which half ones of crashes stand.
const MOST_TORN: u64 = 16 << 20;

/// What a line of the audit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The server started with this.
    Start,
    /// A reload took this into force.
    Reload,
    /// A reload found this and did not take it: what was before stays.
    Refused,
    /// Someone's address was taken out of the decisions. Whose is not said.
    Erase,
    /// The oldest file of the audit was removed, since its time was over; `sha256` is the digest of its last line.
    Retired,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// SHA-256 of the line before, without its line end, in hex; [`ANCHOR`] for the first.
    pub prev: String,
    /// 1 for the first, one more for each after it.
    pub n: u64,
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What it is about.
    pub event: Event,
    /// Gatepost's version.
    pub version: String,
    /// The user whose process wrote it.
    pub uid: u32,
    /// What happened.
    #[serde(flatten)]
    pub note: Note,
    /// Whether half a line stands before this one, which a crash or a full disk has left; `prev` is of the line before that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_torn: bool,
    /// How many half lines stand there, where it is more than one.
    #[serde(default, skip_serializing_if = "is_one_at_most")]
    pub half_lines: u64,
    /// How many lines that `audit.head` knew before this one were gone when it was written; its number leaves them out.
    #[serde(default, skip_serializing_if = "is_none")]
    pub missing: u64,
    /// Whether `audit.head` did not know the line before when this one was written: it was gone or put back, or it knew another line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unvouched: bool,
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

fn is_one_at_most(number: &u64) -> bool {
    *number <= 1
}

impl Line {
    /// How many half lines stand before this one.
    fn torn(&self) -> u64 {
        if self.after_torn { self.half_lines.max(1) } else { 0 }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Note {
    /// The configuration's file, or that which was removed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// SHA-256 of its text, in hex.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// The policies that it names, each once, the default one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyRecord>,
    /// Lines of decisions that were changed or taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Days of decisions that could not be changed: what was to be taken out is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_failed: Option<u64>,
}

/// Something to note.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// What it is about.
    pub event: Event,
    /// What happened.
    pub note: Note,
}

/// A line that is durable.
#[derive(Debug)]
pub struct Appended {
    /// Its digest.
    pub sha256: String,
    /// What did not work beside it, a sentence each: `audit.head` is one line behind, or a file whose time is over is still there.
    pub trouble: Vec<String>,
}

/// Appends a line, durably, and removes files whose time is over, where it is said how long they are kept.
///
/// # Errors
/// The file can't be written or read, `audit.head` can't be brought up to the line before, or another program holds the directory for
/// too long. No line was added then that a second try would add again.
pub fn append(directory: &Path, entry: Entry, keep: impl Into<Option<Duration>>) -> io::Result<Appended> {
    let _held = lock::directory(directory)?;
    let mut trouble = match keep.into() {
        Some(keep) => retire(directory, Timestamp::now(), keep)?,
        None => Vec::new(),
    };
    let appended = write(directory, entry)?;
    trouble.extend(appended.trouble);
    Ok(Appended { trouble, ..appended })
}

/// The digest of a line or a file, in hex.
pub fn sha256(octets: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, octets);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn write(directory: &Path, Entry { at, event, note }: Entry) -> io::Result<Appended> {
    let tail = tail(directory)?;
    let path = directory.join(&tail.file);
    let lack = head::compared(directory, tail.last.as_ref())?;
    let (before, prev) = tail.last.map_or((0, ANCHOR.to_owned()), |(line, digest)| (line.n, digest));
    let n = before.saturating_add(lack.missing).saturating_add(1);
    let line = Line {
        prev,
        n,
        time: format!("{at:.3}"),
        event,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uid: nix::unistd::getuid().as_raw(),
        note,
        after_torn: tail.torn > 0,
        half_lines: tail.torn,
        missing: lack.missing,
        unvouched: lack.unvouched,
    };
    let mut text = serde_json::to_string(&line)?;
    if text.len() >= LINE {
        let note = Note { policies: Vec::new(), ..line.note };
        text = serde_json::to_string(&Line { note, ..line })?;
    }
    let digest = sha256(text.as_bytes());
    let mut file = open(directory, &path)?;
    let mut octets = Vec::with_capacity(text.len() + 2);
    if tail.open_line {
        octets.push(b'\n');
    }
    octets.extend_from_slice(text.as_bytes());
    octets.push(b'\n');
    file.write_all(&octets)?;
    file.sync_all()?;
    // the line is there: an error now would make the caller write it again
    lack.tell(directory);
    let noted = head::note(directory, &Head { n, sha256: digest.clone() });
    let behind = |error| format!("{HEAD} can't be written and is one line behind: {error}");
    Ok(Appended { sha256: digest, trouble: noted.err().map(behind).into_iter().collect() })
}

/// What the next line goes on from.
struct Tail {
    /// The file that it goes to: this month's, or a newer one of a clock that was set back since.
    file: String,
    /// The last line that is whole, and its digest.
    last: Option<(Line, String)>,
    /// How many that are no lines stand behind it.
    torn: u64,
    /// Whether the file does not end in a line end.
    open_line: bool,
}

fn tail(directory: &Path) -> io::Result<Tail> {
    let files = files(directory)?;
    // a line that had to wait for the disk goes behind those that are there
    let this_month = name(day::of(Timestamp::now()));
    let file = files.last().filter(|newest| **newest > this_month).cloned().unwrap_or(this_month);
    let mut tail = Tail { file, last: None, torn: 0, open_line: false };
    for file in files.iter().rev() {
        let Ending { octets, last, torn } = ending(&directory.join(file))?;
        if *file == tail.file {
            tail.open_line = octets.last().is_some_and(|last| *last != b'\n');
        }
        tail.torn += torn;
        if last.is_some() {
            tail.last = last;
            break;
        }
    }
    Ok(tail)
}

/// How a file ends.
struct Ending {
    /// Its last octets.
    octets: Vec<u8>,
    /// The last line that is whole, and its digest.
    last: Option<(Line, String)>,
    /// How many that are none stand behind it.
    torn: u64,
}

fn ending(path: &Path) -> io::Result<Ending> {
    let mut most = 4 * LINE as u64;
    loop {
        let (octets, is_whole) = end_of(path, most)?;
        // without its beginning the first one is no line
        let first = if is_whole { 0 } else { memchr::memchr(b'\n', &octets).map_or(octets.len(), |end| end + 1) };
        let mut torn = 0;
        for line in octets.get(first..).unwrap_or_default().split(|octet| *octet == b'\n').rev() {
            if let Ok(whole) = serde_json::from_slice::<Line>(line) {
                let digest = sha256(line);
                return Ok(Ending { octets, last: Some((whole, digest)), torn });
            }
            torn += u64::from(!line.is_empty());
        }
        if is_whole {
            return Ok(Ending { octets, last: None, torn });
        }
        if most >= MOST_TORN {
            let why = format!("{}: its last {most} octets have no line of the audit", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        most *= 4;
    }
}

/// The last octets of a file, and whether they are all.
fn end_of(path: &Path, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = regular::required(path)?;
    let start = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut octets = Vec::new();
    file.take(most).read_to_end(&mut octets)?;
    Ok((octets, start == 0))
}

/// Opens a file to append to. A new one belongs to whom the directory belongs: an erasure by root must not lock the server out.
fn open(directory: &Path, path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(regular::FLAGS).open(path)?;
    if file.metadata()?.len() == 0 {
        File::open(directory)?.sync_all()?;
        belongs_to_owner(directory, path)?;
    }
    Ok(file)
}

fn belongs_to_owner(directory: &Path, path: &Path) -> io::Result<()> {
    let (of_directory, of_file) = (fs::metadata(directory)?, fs::metadata(path)?);
    if of_directory.uid() != of_file.uid() && nix::unistd::geteuid().is_root() {
        chown(path, Some(of_directory.uid()), Some(of_directory.gid()))?;
    }
    Ok(())
}

/// The file of a day's month.
fn name(day: Date) -> String {
    format!("audit-{:04}-{:02}.chain", day.year(), day.month())
}

/// Whether a file of this name is the audit's.
pub(super) fn is_ours(name: &str) -> bool {
    name == HEAD || month_of(name).is_some()
}

/// The first day of a file's month; `None` for a file that is not the audit's.
fn month_of(file: &str) -> Option<Date> {
    let month = file.strip_prefix("audit-")?.strip_suffix(".chain")?;
    let first: Date = format!("{month}-01").parse().ok()?;
    (name(first) == file).then_some(first)
}

/// The names of the audit's files, oldest first.
fn files(directory: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        if let Some(file) = entry?.file_name().to_str().filter(|file| month_of(file).is_some()) {
            files.push(file.to_owned());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Removes the files of months that ended before `keep`, seen from `now`; the chain says where it begins from then on. Gives what could
/// not be removed: that file and those behind it stay, since the chain must have no hole.
fn retire(directory: &Path, now: Timestamp, keep: Duration) -> io::Result<Vec<String>> {
    let mut trouble = Vec::new();
    let first_kept = jiff::SignedDuration::try_from(keep).ok().and_then(|keep| now.checked_sub(keep).ok());
    let Some(first_kept) = first_kept.map(day::of) else { return Ok(trouble) };
    let this_month = name(day::of(now));
    let over = |file: &str| {
        let end = month_of(file).and_then(|first| day::neighbour(first.last_of_month(), 1));
        file != this_month && end.is_some_and(|end| end <= first_kept)
    };
    for file in files(directory)?.into_iter().take_while(|file| over(file)) {
        let path: PathBuf = directory.join(&file);
        let last = match ending(&path) {
            Ok(ending) => ending.last,
            Err(error) => {
                trouble.push(format!("{} can't be read, though its time is over: {error}", path.display()));
                break;
            }
        };
        let digest = last.map(|(_, digest)| digest).unwrap_or_default();
        let note = Note { file, sha256: digest, ..Note::default() };
        if !is_retired(directory, &note)? {
            let retired = Entry { at: now, event: Event::Retired, note };
            trouble.extend(write(directory, retired)?.trouble);
        }
        if let Err(error) = fs::remove_file(&path) {
            trouble.push(format!("{} can't be removed, though its time is over: {error}", path.display()));
            break;
        }
    }
    Ok(trouble)
}

/// Whether the chain says already that a file's time was over.
fn is_retired(directory: &Path, note: &Note) -> io::Result<bool> {
    for file in files(directory)? {
        let Opened::File(file) = regular::open(&directory.join(file))? else { continue };
        let mut reader = BufReader::new(file);
        let mut raw = Vec::new();
        while read_line(&mut reader, &mut raw)? {
            let line = serde_json::from_slice::<Line>(&raw);
            if line.is_ok_and(|line| line.event == Event::Retired && line.note == *note) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
