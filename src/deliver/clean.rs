//! Removes what crashes left: in `tmp/` files that nobody touched for a while, in `.gatepost-spool/` those that nobody holds.

use std::fs::{DirEntry, OpenOptions, ReadDir, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;

use super::spool::FALLBACK;

/// A file in `.gatepost-spool/` that is older is nobody's: it has its name for a moment only.
const MOMENT: Duration = Duration::from_secs(3600);
/// Directory entries that one run looks at before it ends: the next one goes on with what is left.
const MOST_ENTRIES: u64 = 10_000_000;

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Files that were removed.
    pub removed: u64,
    /// Their octets.
    pub bytes: u64,
    /// Directories that could not be read and files that could not be removed.
    pub failed: u64,
    /// Whether it ended before all was looked at.
    pub cut_short: bool,
}

/// Removes regular files in `tmp/` of every mailbox and folder below `root` that were neither read nor written for `older_than`
/// (maildir(5) allows it after 36 hours). Follows no symbolic link. It blocks: not for an async task.
///
/// # Errors
/// The root cannot be read; trouble further down is counted and passed over.
pub fn clean_tmp(root: &Path, older_than: Duration) -> io::Result<Cleaned> {
    let mut run = Run { cleaned: Cleaned::default(), entries: 0, before: SystemTime::now().checked_sub(older_than) };
    for domain in std::fs::read_dir(root)? {
        if let Some(domain) = run.directory(domain) {
            for mailbox in run.list(&domain.path()) {
                if let Some(mailbox) = run.directory(mailbox) {
                    run.mailbox(&mailbox.path());
                }
            }
        }
    }
    run.cleaned.cut_short = run.entries >= MOST_ENTRIES;
    Ok(run.cleaned)
}

/// Removes files in `.gatepost-spool/` of which no process holds the lock; where the file system has no locks, those that are an hour old.
/// A process that lives needs none of these names: it removes its own at once, and minds not if it is gone. Names that are not ours stay
/// (`.nfs...` is what NFS calls a file without a name). It blocks: not for an async task.
///
/// # Errors
/// The directory is there and can't be read.
pub(super) fn clean_spool(root: &Path) -> io::Result<Cleaned> {
    let directory = root.join(FALLBACK);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cleaned::default()),
        entries => entries?,
    };
    let mut run = Run { cleaned: Cleaned::default(), entries: 0, before: SystemTime::now().checked_sub(MOMENT) };
    for entry in entries {
        let Some(entry) = run.entry(entry) else { continue };
        let name = entry.file_name();
        let is_ours = name.len() == 16 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            run.leftover(&entry);
        }
    }
    run.cleaned.cut_short = run.entries >= MOST_ENTRIES;
    Ok(run.cleaned)
}

struct Run {
    cleaned: Cleaned,
    entries: u64,
    /// Files last used before this are old; `None` where the clock has no such time.
    before: Option<SystemTime>,
}

impl Run {
    fn list(&mut self, path: &Path) -> impl Iterator<Item = io::Result<DirEntry>> + use<> {
        let listed: Option<ReadDir> = match std::fs::read_dir(path) {
            Ok(listed) => Some(listed),
            Err(error) => {
                self.cleaned.failed += u64::from(error.kind() != io::ErrorKind::NotFound);
                None
            }
        };
        listed.into_iter().flatten()
    }

    /// The entry if the budget lasts and it can be read.
    fn entry(&mut self, entry: io::Result<DirEntry>) -> Option<DirEntry> {
        if self.entries >= MOST_ENTRIES {
            return None;
        }
        self.entries += 1;
        self.cleaned.failed += u64::from(entry.is_err());
        entry.ok()
    }

    /// The entry if it is a directory itself, no link to one.
    fn directory(&mut self, entry: io::Result<DirEntry>) -> Option<DirEntry> {
        self.entry(entry).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    }

    fn mailbox(&mut self, mailbox: &Path) {
        for entry in self.list(mailbox) {
            let Some(entry) = self.directory(entry) else { continue };
            let name = entry.file_name();
            if name == "tmp" {
                self.tmp(&entry.path());
            } else if name.as_encoded_bytes().starts_with(b".") {
                self.folder(&entry.path());
            }
        }
    }

    fn folder(&mut self, folder: &Path) {
        let tmp = folder.join("tmp");
        if std::fs::symlink_metadata(&tmp).is_ok_and(|found| found.is_dir()) {
            self.tmp(&tmp);
        }
    }

    fn tmp(&mut self, tmp: &Path) {
        for entry in self.list(tmp) {
            if let Some(entry) = self.entry(entry) {
                self.file(&entry);
            }
        }
    }

    fn file(&mut self, entry: &DirEntry) {
        // DirEntry's metadata is the link's own.
        let Ok(found) = entry.metadata() else { return };
        let used = found.modified().ok().max(found.accessed().ok());
        if !found.is_file() || used.is_none() || used >= self.before {
            return;
        }
        self.remove(entry, found.len());
    }

    fn leftover(&mut self, entry: &DirEntry) {
        let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(entry.path());
        match opened.map(|file| file.try_lock()) {
            Ok(Ok(())) => self.remove(entry, entry.metadata().map_or(0, |found| found.len())),
            Ok(Err(TryLockError::WouldBlock)) => {}
            Ok(Err(TryLockError::Error(_))) => self.file(entry),
            Err(error) => self.cleaned.failed += u64::from(error.kind() != io::ErrorKind::NotFound),
        }
    }

    fn remove(&mut self, entry: &DirEntry, bytes: u64) {
        match std::fs::remove_file(entry.path()) {
            Ok(()) => {
                self.cleaned.removed += 1;
                self.cleaned.bytes += bytes;
            }
            Err(_) => self.cleaned.failed += 1,
        }
    }
}
