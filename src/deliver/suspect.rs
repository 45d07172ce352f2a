//! Whether the Maildir's file system is suspect: after an fsync failed, what was written before may be lost, though later calls succeed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use super::disk::Step;
use super::identity::Identity;
use super::root::try_to_write;

/// Is suspect from a fault on until something that was begun after it is durable.
#[derive(Debug, Default)]
pub struct Suspect {
    faults: AtomicU64,
    /// Those of them that were an fsync of a directory.
    of_directories: AtomicU64,
    /// So many of them lie before something that succeeded.
    outlived: AtomicU64,
    /// Where the last one was.
    place: Mutex<Option<PathBuf>>,
    /// Which directory the root is.
    root: Mutex<Option<u64>>,
}

impl Suspect {
    /// Whether nothing has succeeded since the last fault.
    pub fn is_suspect(&self) -> bool {
        self.faults() > self.outlived.load(Relaxed)
    }

    /// Faults so far: asked before something is written, and handed to [`Suspect::succeeded`] after it.
    pub(super) fn faults(&self) -> u64 {
        self.faults.load(Relaxed)
    }

    /// Of them those that were an fsync of a directory. What others put into it meanwhile may be lost with it: the kernel takes it for
    /// written, and an fsync of theirs would succeed.
    pub(super) fn faults_of_directories(&self) -> u64 {
        self.of_directories.load(Relaxed)
    }

    /// Something is durable that was begun after so many faults.
    pub(super) fn succeeded(&self, faults: u64) {
        if self.outlived.fetch_max(faults, Relaxed) < faults && !self.is_suspect() {
            tracing::info!("the Maildir's file system takes mail again");
        }
    }

    /// Notes an error of a step, if it is one that makes the file system suspect.
    pub(super) fn note(&self, step: Step, path: &Path, error: &io::Error) {
        if !tells_of_the_disk(step, error) {
            return;
        }
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
        let was_suspect = self.is_suspect();
        self.faults.fetch_add(1, Relaxed);
        if step == Step::SyncDirectory {
            self.of_directories.fetch_add(1, Relaxed);
        }
        if !was_suspect {
            tracing::error!(
                %error,
                "the Maildir's file system failed and is suspect until a write succeeds: look at the disk and the kernel's log"
            );
        }
    }

    /// The root is this one from now on: looked at when the writers start.
    pub(super) fn expect_root(&self, root: &Path) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = identity(root);
    }

    /// Whether the root is where it was, or another one that takes mail: it may have been moved away, or a mount may be missing.
    fn finds_root(&self, root: &Path) -> bool {
        let found = identity(root);
        let mut expected = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if found == *expected {
            return true;
        }
        match try_to_write(root) {
            Ok(()) => {
                *expected = found;
                true
            }
            Err(error) => {
                *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(root.to_owned());
                let was_suspect = self.is_suspect();
                self.faults.fetch_add(1, Relaxed);
                if !was_suspect {
                    tracing::error!(
                        root = %root.display(),
                        %error,
                        "the Maildir root is not the directory that it was at the start, and takes no mail: bring that one back, or restart"
                    );
                }
                false
            }
        }
    }

    /// Looks whether the root is there still. Where it is suspect, tries a write beside the last fault: `/readyz` may keep the mail away that would show that it works. Blocks.
    pub(super) fn look(&self, root: &Path) {
        if !self.finds_root(root) || !self.is_suspect() {
            return;
        }
        let faults = self.faults();
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = place.as_deref().and_then(trial_place).unwrap_or_else(|| root.to_owned());
        if try_to_write(&place).is_ok() {
            self.succeeded(faults);
        }
    }
}

fn identity(root: &Path) -> Option<u64> {
    std::fs::metadata(root).ok().filter(std::fs::Metadata::is_dir).map(|found| Identity::of(&found).mark())
}

/// Whether the error says that the disk fails, and not that there is no room, no permission or no descriptor.
fn tells_of_the_disk(step: Step, error: &io::Error) -> bool {
    let Some(code) = error.raw_os_error().map(Errno::from_raw) else { return false };
    match code {
        Errno::EIO | Errno::EROFS | Errno::ESTALE | Errno::ENXIO | Errno::ENODEV | Errno::EUCLEAN | Errno::EBADMSG => {
            true
        }
        // an fsync may find out late that there was no room for what had been written
        Errno::ENOSPC | Errno::EDQUOT => matches!(step, Step::SyncFile | Step::SyncDirectory),
        _ => false,
    }
}

/// The directory for a trial beside a path: never one whose files a reader takes for mail, nor through a link.
fn trial_place(path: &Path) -> Option<PathBuf> {
    let is_directory = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let directory = if is_directory(path) { path } else { path.parent()? };
    let is_read = directory.file_name().is_some_and(|name| name == "new" || name == "cur");
    let tmp = if is_read { directory.parent()?.join("tmp") } else { directory.join("tmp") };
    match (is_directory(&tmp), is_read) {
        (true, _) => Some(tmp),
        (false, false) if is_directory(directory) => Some(directory.to_owned()),
        _ => None,
    }
}
