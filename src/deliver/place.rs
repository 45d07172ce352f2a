//! Where a copy goes: the directories of a mailbox's folder, made when first needed, never through a symbolic link, durable.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::group_sync::GroupSync;
use super::identity::Identity;
use super::{Copy, Folder};
use crate::recipients::is_safe_component;

/// Directories of a Maildir.
const MAILDIR: [&str; 3] = ["tmp", "new", "cur"];

/// How many folders we remember to be durable before we forget them all: about 10 MB of paths.
const MOST_REMEMBERED: usize = 65_536;

/// Folders whose directories are durable, by what this process has synced itself: that a directory exists says nothing, another
/// writer may have made it a moment ago, or a process that crashed before its fsync. Nor does its name: a reader may have removed it and
/// made it again.
#[derive(Default)]
pub(super) struct Durable {
    /// Each with what its directories were.
    folders: Mutex<HashMap<PathBuf, u64>>,
}

impl Durable {
    fn knows(&self, folder: &Path, mark: u64) -> bool {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).get(folder) == Some(&mark)
    }

    fn forget(&self, folder: &Path) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
    }

    fn remember(&self, folder: &Path, mark: u64) {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.len() >= MOST_REMEMBERED {
            folders.clear();
        }
        folders.insert(folder.to_owned(), mark);
    }
}

/// What making the directories of a folder needs.
pub(super) struct Ground<'a> {
    pub(super) root: &'a Path,
    pub(super) disk: &'a super::disk::Disk,
    pub(super) syncs: &'a GroupSync,
    pub(super) durable: &'a Durable,
    pub(super) counters: &'a super::Counters,
}

impl Ground<'_> {
    /// The folder of a copy, relative to the root: `domain/mailbox` or `domain/mailbox/.Junk`.
    ///
    /// # Errors
    /// A domain, mailbox or folder that is no safe name of a directory: the configuration refuses it, this is the second lock.
    pub(super) fn folder(copy: &Copy) -> io::Result<PathBuf> {
        let (domain, name) = (copy.mailbox.domain.as_str(), copy.mailbox.name.as_str());
        if !is_safe_component(domain, 253) || !is_safe_component(name, crate::recipients::MAILBOX_NAME_OCTETS) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the mailbox's name is no safe name of a directory",
            ));
        }
        let mailbox = Path::new(domain).join(name);
        Ok(copy.folder.directory()?.map_or_else(|| mailbox.clone(), |directory| mailbox.join(directory)))
    }

    /// Makes the directories of a folder where they are missing and sees that their entries are durable.
    ///
    /// # Errors
    /// A component that is a symbolic link or no directory; any error of the file system.
    pub(super) fn prepare(&self, copy: &Copy) -> io::Result<PathBuf> {
        let below = Self::folder(copy)?;
        let folder = self.root.join(&below);
        let faults = self.disk.suspect().faults_of_directories();
        let mut identity = Identity::default();
        let mut parents = vec![self.root.to_owned()];
        let mut path = self.root.to_owned();
        for component in below.components() {
            path.push(component);
            identity.add(&self.directory(&folder, &path)?);
            parents.push(path.clone());
        }
        // A Maildir++ folder lies in its mailbox, which must be a Maildir too before a reader finds it.
        let is_inbox = copy.folder == Folder::Inbox;
        let maildirs = if is_inbox { vec![folder.as_path()] } else { vec![parent(&folder)?, folder.as_path()] };
        for maildir in maildirs {
            for name in MAILDIR {
                identity.add(&self.directory(&folder, &maildir.join(name))?);
            }
        }
        if self.durable.knows(&folder, identity.mark()) {
            return Ok(folder);
        }
        if !is_inbox {
            self.disk.create_empty(&folder.join("maildirfolder"))?;
        }
        // From the leaf up, so that no durable entry leads to a directory whose own entries are not.
        for directory in parents.iter().rev() {
            self.sync(directory)?;
        }
        self.disk.must_have_no_more_faults(&folder, faults)?;
        self.durable.remember(&folder, identity.mark());
        Ok(folder)
    }

    /// One directory of a folder, which is made unless it is there.
    fn directory(&self, folder: &Path, path: &Path) -> io::Result<Metadata> {
        let found = match self.disk.look(path)? {
            Some(found) => found,
            None => {
                // before others see it: they are to see to its durability themselves
                self.durable.forget(folder);
                self.disk.make_directory(path)?;
                self.disk.look(path)?.ok_or_else(|| self.disk.at(path, &io::ErrorKind::NotFound.into()))?
            }
        };
        if found.is_dir() { Ok(found) } else { Err(self.wrong_kind(path, found.file_type().is_symlink())) }
    }

    fn wrong_kind(&self, path: &Path, symlink: bool) -> io::Error {
        let what = if symlink { "a symbolic link, which delivery does not follow" } else { "no directory" };
        self.disk.at(path, &io::Error::new(io::ErrorKind::NotADirectory, format!("this is {what}")))
    }

    /// fsync of a directory, shared with whoever needs the same one now.
    pub(super) fn sync(&self, directory: &Path) -> io::Result<()> {
        use super::group_sync::Served;
        let counter = match self.syncs.sync(directory, || self.disk.sync_directory(directory))? {
            Served::Alone => &self.counters.directory_syncs,
            Served::ByAnother => &self.counters.directory_syncs_shared,
        };
        super::counters::count(counter);
        Ok(())
    }
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::other("a folder without a parent"))
}
