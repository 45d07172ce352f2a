//! Counting what a mailbox holds, as Dovecot counts it: every message in `new/` and `cur/` of the inbox and of all folders, `.Trash` and
//! messages marked as deleted among them. A size is taken from the file's name (`,S=`) where it stands there.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::size_file::Usage;

/// Directory entries that are looked at: where there are more, the count stops there.
const MOST_ENTRIES: u64 = 10_000_000;
/// How often it is tried to count a mailbox in which nothing moves meanwhile.
const TRIES: u32 = 3;

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub used: Usage,
    /// Nothing came, went or moved meanwhile. Else a message may have been counted twice, or not at all.
    pub is_exact: bool,
}

/// Counts what the mailbox in this directory holds; nothing where there is none. Follows no link.
///
/// # Errors
/// A directory can't be read.
pub(super) fn count(mailbox: &Path) -> io::Result<Counted> {
    let mut entries = 0;
    let mut counted = Counted { used: Usage::default(), is_exact: false };
    for _ in 0..TRIES {
        let directories = directories(mailbox, &mut entries)?;
        let mut used = Usage::default();
        for (directory, _) in &directories {
            used = used.plus(messages(directory, &mut entries)?);
        }
        let is_exact = self::directories(mailbox, &mut entries)? == directories;
        counted = Counted { used, is_exact };
        if is_exact || entries >= MOST_ENTRIES {
            break;
        }
    }
    Ok(counted)
}

/// `new/` and `cur/` of the inbox and the folders, each with the time of its last change.
fn directories(mailbox: &Path, entries: &mut u64) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let mut folders = vec![mailbox.to_owned()];
    for entry in listed(mailbox)?.into_iter().flatten() {
        let Some(entry) = within(entry, entries)? else { break };
        if is_folder(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    let mut directories = Vec::new();
    for directory in folders.iter().flat_map(|folder| ["new", "cur"].map(|name| folder.join(name))) {
        match directory.symlink_metadata() {
            Ok(found) if found.is_dir() => directories.push((directory, found.modified()?)),
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(directories)
}

/// Whether a directory of this name is a folder of Maildir++: `.Junk`, `.Lists.Rust`. Readers show no folder whose name has an empty part.
fn is_folder(name: &OsStr) -> bool {
    let parts = name.as_encoded_bytes().strip_prefix(b".");
    parts.is_some_and(|parts| parts.split(|octet| *octet == b'.').all(|part| !part.is_empty()))
}

/// The messages of one directory.
fn messages(directory: &Path, entries: &mut u64) -> io::Result<Usage> {
    let mut used = Usage::default();
    for entry in listed(directory)?.into_iter().flatten() {
        let Some(entry) = within(entry, entries)? else { break };
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b"..") {
            continue;
        }
        let bytes = match size_in_name(name.as_encoded_bytes()) {
            Some(bytes) => bytes,
            None => match entry.metadata() {
                Ok(found) if found.is_dir() => continue,
                Ok(found) => found.len(),
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            },
        };
        used = used.plus(Usage { bytes, messages: 1 });
    }
    Ok(used)
}

/// The `,S=` of a message's file name, where a field or the name ends behind its number.
pub fn size_in_name(name: &[u8]) -> Option<u64> {
    let at = name.windows(3).position(|three| three == b",S=")?;
    let rest = name.get(at + 3..)?;
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (number, behind) = rest.split_at_checked(digits)?;
    if !matches!(behind.first(), None | Some(b':' | b',')) {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn listed(directory: &Path) -> io::Result<Option<std::fs::ReadDir>> {
    match std::fs::read_dir(directory) {
        Ok(listed) => Ok(Some(listed)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entry, where it is one of those that are looked at.
fn within(entry: io::Result<DirEntry>, entries: &mut u64) -> io::Result<Option<DirEntry>> {
    if *entries >= MOST_ENTRIES {
        return Ok(None);
    }
    *entries += 1;
    entry.map(Some)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle)
}
