//! Takes an address out of the decisions, and gives out what they say of it.
//!
//! A day's file is never changed in place: a new one is written beside it, made durable, and put in its place under the journal's lock,
//! with what the server has appended meanwhile. The server sees that and goes on in the new file. A crash leaves the old one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::search::read_line;
use super::subject::{Looked, Subject};
use super::{day, lock};

/// How often a day is begun anew because its file was replaced meanwhile.
const ATTEMPTS: usize = 5;

/// What an erasure came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Erased {
    /// Days in the journal.
    pub days: u64,
    /// Days of which a line was changed.
    pub days_changed: u64,
    /// Records that were looked at.
    pub records: u64,
    /// Records in which the address stood.
    pub changed: u64,
    /// Torn or foreign lines that held it, and were removed.
    pub removed: u64,
    /// Other torn or foreign lines, which were left.
    pub skipped: u64,
}

/// What an export came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Exported {
    /// Days in the journal.
    pub days: u64,
    /// Records that were looked at.
    pub records: u64,
    /// Records in which the address stands.
    pub found: u64,
    /// Torn or foreign lines.
    pub skipped: u64,
}

/// Writes the lines in which the address stands, oldest first.
///
/// # Errors
/// The journal can't be read, or `out` not be written.
pub fn export(directory: &Path, subject: &Subject, out: &mut dyn Write) -> io::Result<Exported> {
    let mut exported = Exported::default();
    for day in day::list(directory)? {
        let Some(file) = open(&day::path(directory, day))? else { continue };
        exported.days += 1;
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line)? {
            match subject.look(&line) {
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

/// Takes the address out of every line; with `rehearse` nothing is changed. The server may be writing meanwhile.
///
/// # Errors
/// The journal can't be read or written, or another erasure is under way. Days before the one that failed are done.
pub fn erase(directory: &Path, subject: &Subject, rehearse: bool) -> io::Result<Erased> {
    let mut erased = Erased::default();
    for day in day::list(directory)? {
        let path = day::path(directory, day);
        let place = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut result = None;
        for _ in 0..ATTEMPTS {
            result = of_day(directory, day, subject, rehearse).map_err(place)?;
            if result.is_some() {
                break;
            }
        }
        let Some(of_day) = result else {
            return Err(place(io::Error::other("it is replaced again and again: is another erasure running?")));
        };
        erased.add(of_day);
    }
    Ok(erased)
}

impl Erased {
    fn add(&mut self, other: Erased) {
        self.days += other.days;
        self.days_changed += other.days_changed;
        self.records += other.records;
        self.changed += other.changed;
        self.removed += other.removed;
        self.skipped += other.skipped;
    }

    fn anything(&self) -> bool {
        self.changed + self.removed > 0
    }
}

/// One day; `None` where its file was replaced meanwhile.
fn of_day(directory: &Path, day: Date, subject: &Subject, rehearse: bool) -> io::Result<Option<Erased>> {
    let path = day::path(directory, day);
    let Some(mut file) = open(&path)? else { return Ok(Some(Erased::default())) };
    let mut found = Erased { days: 1, ..Erased::default() };
    copy(&mut BufReader::with_capacity(256 * 1024, &mut file), subject, &mut io::sink(), &mut found)?;
    if rehearse || !found.anything() {
        found.days_changed = u64::from(found.anything());
        return Ok(Some(found));
    }
    // under the lock the server is between two writes, so that the lines up to here are whole
    let whole = {
        let _held = lock::directory(directory)?;
        file.metadata()?.len()
    };
    let Some(new) = NewFile::beside(directory, day)? else { return Ok(None) };
    let mut done = Erased { days: 1, days_changed: 1, ..Erased::default() };
    let mut out = BufWriter::with_capacity(256 * 1024, &new.file);
    file.seek(SeekFrom::Start(0))?;
    copy(&mut BufReader::with_capacity(256 * 1024, (&mut file).take(whole)), subject, &mut out, &mut done)?;
    let _held = lock::directory(directory)?;
    if !is_at(&file, &path) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(whole))?;
    copy(&mut BufReader::new(&mut file), subject, &mut out, &mut done)?;
    out.flush()?;
    drop(out);
    new.put_in_place(directory, &file, &path)?;
    Ok(Some(done))
}

/// Copies lines, those about the subject without it.
fn copy(reader: &mut dyn BufRead, subject: &Subject, out: &mut dyn Write, counts: &mut Erased) -> io::Result<()> {
    let mut reader = reader;
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line)? {
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
                counts.changed += 1;
                // what can't be written without the address is not kept
                out.write_all(subject.taken_out_of(&record).unwrap_or_default().as_bytes())?;
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

    fn put_in_place(self, directory: &Path, old: &File, path: &Path) -> io::Result<()> {
        let was = old.metadata()?;
        self.file.set_permissions(fs::Permissions::from_mode(was.mode() & 0o777))?;
        if was.uid() != self.file.metadata()?.uid() {
            chown(&self.path, Some(was.uid()), Some(was.gid()))?;
        }
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        File::open(directory)?.sync_all()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what an erasure that was cut off has left: a copy of lines that nobody would ever remove.
pub fn clean(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(".erase-") && name.ends_with(".tmp")) {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && let Ok(Some(_held)) = lock::at_once(file)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        // rotation may take a file away meanwhile
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the file that a path leads to is still this one.
pub fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    open.dev() == there.dev() && open.ino() == there.ino()
}
