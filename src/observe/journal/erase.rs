//! Takes an address out of the decisions, and gives out what they say of it.
//!
//! A day's file is never changed in place: a new one is written beside it, made durable, and put in its place under the journal's lock,
//! with what the server has appended meanwhile. The server sees that and goes on in the new file. A crash leaves the old one. What takes
//! long, copying and syncing, is done before the lock is taken: the server waits for the last few lines at most.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::lines::{self, Lines, Next};
use super::regular::{self, Opened};
use super::subject::{Looked, Subject};
use super::{day, lock};
use crate::problem::{Problem, Problems};

/// How often a day is begun anew because its file was replaced meanwhile.
const ATTEMPTS: usize = 5;
/// How often what has come meanwhile is copied before the lock is taken for the rest.
const ROUNDS: usize = 8;
/// Octets that may be left for the time under the lock.
const REST: u64 = 64 * 1024;
/// Octets that are written at once.
const CHUNK: usize = 256 * 1024;

/// What an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Erased {
    /// Days in the journal.
    pub days: u64,
    /// Days of which a line was changed.
    pub days_changed: u64,
    /// Days that could not be read or changed, and are as they were.
    pub days_failed: u64,
    /// What has a day's name and is no regular file.
    pub no_files: u64,
    /// Records that were looked at.
    pub records: u64,
    /// Records in which the address stood, and that are there without it.
    pub changed: u64,
    /// Torn or foreign lines that held it, and were removed; a record too that could not be written without it.
    pub removed: u64,
    /// Other torn or foreign lines, which were left.
    pub skipped: u64,
    /// Each day that failed, and each that is no regular file: place, cause and mend.
    #[serde(skip)]
    pub problems: Problems,
}

/// What an export came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Exported {
    /// Days in the journal.
    pub days: u64,
    /// Records that were looked at.
    pub records: u64,
    /// Records in which the address stands.
    pub found: u64,
    /// Torn or foreign lines.
    pub skipped: u64,
    /// Each day that is no regular file: place, cause and mend.
    #[serde(skip)]
    pub problems: Problems,
}

/// Writes the lines in which the address stands, oldest first.
///
/// # Errors
/// The journal can't be read, or `out` not be written.
pub fn export(directory: &Path, subject: &Subject, out: &mut dyn Write) -> io::Result<Exported> {
    let mut exported = Exported::default();
    for day in day::list(directory)? {
        let file = match regular::open(&day::path(directory, day))? {
            Opened::File(file) => file,
            Opened::Gone => continue,
            Opened::Odd(problem) => {
                exported.problems.push(problem);
                continue;
            }
        };
        exported.days += 1;
        let mut lines = Lines::of(&file, 0..u64::MAX);
        let mut line = Vec::new();
        while let Some(next) = lines.next(&mut line)? {
            match looked(subject, &next, &line) {
                Looked::Empty => continue,
                Looked::Other => exported.records += 1,
                Looked::Foreign(_) => exported.skipped += 1,
                Looked::About(_) => {
                    exported.records += 1;
                    exported.found += 1;
                    line.push(b'\n');
                    out.write_all(&line)?;
                }
            }
        }
    }
    out.flush()?;
    Ok(exported)
}

fn looked(subject: &Subject, next: &Next, line: &[u8]) -> Looked {
    match next {
        Next::Line => subject.look(line),
        Next::Long(_) => Looked::Foreign(false),
    }
}

/// Takes the address out of every line; with `rehearse` nothing is changed. The server may be writing meanwhile. A day that can't be
/// changed stays as it is, is told in [`Erased::problems`], and hinders no other.
///
/// # Errors
/// The directory can't be read.
pub fn erase(directory: &Path, subject: &Subject, rehearse: bool) -> io::Result<Erased> {
    let mut erased = Erased::default();
    for day in day::list(directory)? {
        let path = day::path(directory, day);
        let mut result = Ok(None);
        for _ in 0..ATTEMPTS {
            result = of_day(directory, day, subject, rehearse);
            if !matches!(result, Ok(None)) {
                break;
            }
        }
        let again = || io::Error::other("it is replaced again and again: is another erasure running?");
        match result.and_then(|of_day| of_day.ok_or_else(again)) {
            Ok(of_day) => erased.add(of_day),
            Err(error) => {
                erased.days += 1;
                erased.days_failed += 1;
                erased.problems.push(problem(directory, &path, &error));
            }
        }
    }
    Ok(erased)
}

/// Place, cause and mend of a day that can't be changed.
fn problem(directory: &Path, path: &Path, error: &io::Error) -> Problem {
    let place = directory.display();
    let mend = match (error.kind(), error.raw_os_error()) {
        (_, Some(code)) if code == nix::errno::Errno::EPERM as i32 => {
            format!(
                "take the attribute off (`chattr -ai {}`, and of {place}), or erase as root, then once more",
                path.display()
            )
        }
        (ErrorKind::PermissionDenied, _) => "erase as root, or as the user in [security]".to_owned(),
        (ErrorKind::ReadOnlyFilesystem, _) => format!("mount the file system of {place} so that it can be written"),
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge, _) => {
            format!("make room in {place}, where the day is written anew beside the old file, then erase once more")
        }
        _ => "erase once more when the cause is gone".to_owned(),
    };
    let cause = format!("the address is still in here, nothing of this day was changed: {error}");
    Problem::with_file(&path.display().to_string(), "", cause, mend)
}

impl Erased {
    fn add(&mut self, other: Erased) {
        let Erased { days, days_changed, days_failed, no_files, records, changed, removed, skipped, problems } = other;
        self.days += days;
        self.days_changed += days_changed;
        self.days_failed += days_failed;
        self.no_files += no_files;
        self.records += records;
        self.changed += changed;
        self.removed += removed;
        self.skipped += skipped;
        self.problems.extend(problems);
    }

    fn anything(&self) -> bool {
        self.changed + self.removed > 0
    }
}

/// One day; `None` where its file was replaced meanwhile.
fn of_day(directory: &Path, day: Date, subject: &Subject, rehearse: bool) -> io::Result<Option<Erased>> {
    let path = day::path(directory, day);
    let file = match regular::open(&path)? {
        Opened::File(file) => file,
        Opened::Gone => return Ok(Some(Erased::default())),
        Opened::Odd(problem) => {
            return Ok(Some(Erased { no_files: 1, problems: problem.into(), ..Erased::default() }));
        }
    };
    let mut found = Erased { days: 1, ..Erased::default() };
    copy(&file, 0..u64::MAX, subject, &mut io::sink(), &mut found)?;
    if rehearse || !found.anything() {
        found.days_changed = u64::from(found.anything());
        return Ok(Some(found));
    }
    let Some(new) = NewFile::beside(directory, day)? else { return Ok(None) };
    let mut done = Erased { days: 1, days_changed: 1, ..Erased::default() };
    let mut out = BufWriter::with_capacity(CHUNK, &new.file);
    let mut copied = 0;
    for _ in 0..ROUNDS {
        // under the lock the server is between two writes, so that the lines up to here are whole
        let whole = {
            let _held = lock::directory(directory)?;
            file.metadata()?.len()
        };
        if copied > 0 && whole.saturating_sub(copied) <= REST {
            break;
        }
        copy(&file, copied..whole, subject, &mut out, &mut done)?;
        copied = whole;
    }
    out.flush()?;
    new.like(&file)?;
    new.file.sync_all()?;
    {
        let _held = lock::directory(directory)?;
        if !is_at(&file, &path) {
            return Ok(None);
        }
        let end = file.metadata()?.len();
        if end > copied {
            copy(&file, copied..end, subject, &mut out, &mut done)?;
            out.flush()?;
            new.file.sync_data()?;
        }
        fs::rename(&new.path, &path)?;
    }
    // the server may write into the new file already, and syncs the directory itself before it promises anything
    File::open(directory)?.sync_all()?;
    Ok(Some(done))
}

/// Copies lines, those about the subject without it.
fn copy(
    file: &File,
    octets: std::ops::Range<u64>,
    subject: &Subject,
    out: &mut dyn Write,
    counts: &mut Erased,
) -> io::Result<()> {
    let mut lines = Lines::of(file, octets);
    let mut line = Vec::new();
    while let Some(next) = lines.next(&mut line)? {
        if let Next::Long(octets) = next {
            if lines::holds(file, octets.clone(), |text, within| subject.is_within(text, within))? {
                counts.removed += 1;
            } else {
                counts.skipped += 1;
                lines::copy(file, octets, out)?;
                out.write_all(b"\n")?;
            }
            continue;
        }
        match subject.look(&line) {
            Looked::Empty => continue,
            Looked::Other => counts.records += 1,
            Looked::Foreign(false) => counts.skipped += 1,
            Looked::Foreign(true) => {
                counts.removed += 1;
                continue;
            }
            Looked::About(record) => {
                counts.records += 1;
                match subject.taken_out_of(&record) {
                    Some(without) => {
                        counts.changed += 1;
                        out.write_all(without.as_bytes())?;
                    }
                    // what can't be written without the address is not kept
                    None => counts.removed += 1,
                }
                continue;
            }
        }
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

/// The file that is to take a day's place. It is removed when it is dropped before that.
struct NewFile {
    path: PathBuf,
    file: File,
    _held: lock::Held,
}

impl NewFile {
    /// `None` where another erasure is writing the same one.
    fn beside(directory: &Path, day: Date) -> io::Result<Option<NewFile>> {
        let path = directory.join(format!(".erase-{day}-{}.tmp", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        // who cleans up leaves a file whose maker lives: the lock goes with the maker
        let held = lock::at_once(file.try_clone()?)?;
        Ok(held.map(|held| NewFile { path, file, _held: held }))
    }

    /// Gives it the old one's mode and owner.
    fn like(&self, old: &File) -> io::Result<()> {
        let was = old.metadata()?;
        self.file.set_permissions(fs::Permissions::from_mode(was.mode() & 0o777))?;
        if was.uid() != self.file.metadata()?.uid() {
            chown(&self.path, Some(was.uid()), Some(was.gid()))?;
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what was cut off: an erasure's copy of lines that nobody would ever remove, and a key of pseudonyms that was not yet one.
pub fn clean(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = |name: &str| {
            [".erase-", ".pseudonyms-"].iter().any(|begin| name.starts_with(begin)) && name.ends_with(".tmp")
        };
        if !name.to_str().is_some_and(is_ours) {
            continue;
        }
        if let Ok(Opened::File(file)) = regular::open(&entry.path())
            && let Ok(Some(_held)) = lock::at_once(file)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether the file that a path leads to is still this one.
pub fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    open.dev() == there.dev() && open.ino() == there.ino()
}
