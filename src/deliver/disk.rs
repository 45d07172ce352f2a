//! The steps that touch the file system, each announced to a [`Witness`] that can watch their order or make one fail.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::maildir::{Maildir, MaildirError, TemporaryMailFile};

use super::suspect::Suspect;

/// A step of a delivery that touches the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A look whether a directory is there.
    Look,
    /// mkdir
    MakeDirectory,
    /// A file is created, in `tmp/` or as a folder's `maildirfolder`.
    CreateFile,
    /// The octets of a copy are written.
    Write,
    /// fsync of a file.
    SyncFile,
    /// rename from `tmp/` into `new/`.
    Rename,
    /// fsync of a directory.
    SyncDirectory,
    /// A file is taken back.
    Remove,
    /// A file without a name is made, for a body that comes in.
    CreateSpool,
    /// Octets are written to it.
    WriteSpool,
}

/// Is told of every step before it is made, and after it was made without error. It runs on the threads of
/// writers, of which several may make one delivery.
pub trait Witness: Send + Sync {
    /// The step is about to be made on `path` (for a rename: the file in `tmp/`).
    ///
    /// # Errors
    /// An error takes the place of the step: the step is not made and fails with it.
    fn before(&self, _step: Step, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// The step was made; `to` is the new path of a rename.
    fn done(&self, _step: Step, _path: &Path, _to: Option<&Path>) {}
}

/// Watches nothing: what production uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Witness for Unwatched {}

/// The file system as delivery uses it.
#[derive(Clone)]
pub(super) struct Disk {
    witness: Arc<dyn Witness>,
    root: Arc<Path>,
    suspect: Arc<Suspect>,
}

impl Disk {
    pub(super) fn new(witness: Arc<dyn Witness>, root: &Path, suspect: Arc<Suspect>) -> Self {
        Disk { witness, root: root.into(), suspect }
    }

    /// Whether the file system is suspect.
    pub(super) fn suspect(&self) -> &Suspect {
        &self.suspect
    }

    /// Whether no fsync of a directory has failed since there were so many of these faults.
    ///
    /// # Errors
    /// One has, anybody's: what was put into directories meanwhile may be lost.
    pub(super) fn must_have_no_more_faults(&self, path: &Path, faults: u64) -> io::Result<()> {
        if self.suspect.faults_of_directories() == faults {
            return Ok(());
        }
        Err(self.at(path, &io::Error::other("another fsync of a directory failed meanwhile")))
    }

    /// An error with the place below the root that it came from.
    pub(super) fn at(&self, path: &Path, error: &io::Error) -> io::Error {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let place = if below.as_os_str().is_empty() { Path::new("the Maildir root") } else { below };
        io::Error::new(error.kind(), format!("{}: {error}", place.display()))
    }

    fn failed(&self, step: Step, path: &Path, error: &io::Error) -> io::Error {
        self.suspect.note(step, path, error);
        self.at(path, error)
    }

    pub(super) fn step<T>(&self, step: Step, path: &Path, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let made = self.witness.before(step, path).and_then(|()| make());
        let made = made.map_err(|error| self.failed(step, path, &error))?;
        self.witness.done(step, path, None);
        Ok(made)
    }

    /// What is at a path, a symbolic link itself; `None` where nothing is.
    pub(super) fn look(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.step(Step::Look, path, || match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        })
    }

    /// Makes one directory, 0700; one that is there already is fine.
    pub(super) fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.step(Step::MakeDirectory, path, || match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        })
    }

    /// Makes an empty file, 0600; one that is there already is fine.
    pub(super) fn create_empty(&self, path: &Path) -> io::Result<()> {
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        self.step(Step::CreateFile, path, || match create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.map(drop),
        })
    }

    /// A new file in `tmp/` of a Maildir, 0600. It is removed when it is dropped before it was published.
    pub(super) fn create_tmp(&self, directory: &Path, maildir: &Maildir) -> io::Result<TemporaryMailFile> {
        self.step(Step::CreateFile, &directory.join("tmp"), || {
            let file = maildir.open_file_in_tmp().map_err(io_error)?;
            // The crate leaves the mode to the umask; the file is still empty and its directories are 0700. To look is cheaper than to set.
            if std::fs::metadata(file.path())?.mode() & 0o777 != 0o600 {
                std::fs::set_permissions(file.path(), Permissions::from_mode(0o600))?;
            }
            Ok(file)
        })
    }

    /// Writes the octets of a copy by `write`.
    pub(super) fn write(
        &self,
        file: &mut TemporaryMailFile,
        write: impl FnOnce(&mut TemporaryMailFile) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = file.path().to_owned();
        self.step(Step::Write, &path, || write(file))
    }

    /// fsync of a file in `tmp/`, ahead of [`Disk::rename`]. The crate keeps its descriptor to itself: by another one the kernel tells of every
    /// error that nobody was told of before.
    pub(super) fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.step(Step::SyncFile, path, || OpenOptions::new().write(true).open(path)?.sync_all())
    }

    /// fsync and rename from `tmp/` into `new/`: both by the crate, in this order. Returns the new path.
    pub(super) fn publish(&self, directory: &Path, maildir: &Maildir, file: TemporaryMailFile) -> io::Result<PathBuf> {
        let from = file.path().to_owned();
        let announced =
            self.witness.before(Step::SyncFile, &from).and_then(|()| self.witness.before(Step::Rename, &from));
        let name = announced.and_then(|()| maildir.move_tmp_to_new(file).map_err(io_error));
        // which of the two failed the crate doesn't tell
        let name = name.map_err(|error| self.failed(Step::SyncFile, &from, &error))?;
        let to = directory.join("new").join(name);
        self.witness.done(Step::SyncFile, &from, None);
        self.witness.done(Step::Rename, &from, Some(&to));
        Ok(to)
    }

    /// Rename from `tmp/` into `new/` of a file that is durable, under the name that the crate would give it: the crate itself would first
    /// sync it again. Returns the new path. What is dropped then has nothing left to remove: no other file gets its name in `tmp/`.
    pub(super) fn rename(&self, directory: &Path, file: TemporaryMailFile) -> io::Result<PathBuf> {
        let from = file.path().to_owned();
        let rename = || {
            let to = directory.join("new").join(name_in_new(&from, &std::fs::metadata(&from)?)?);
            std::fs::rename(&from, &to).map(|()| to)
        };
        let renamed = self.witness.before(Step::Rename, &from).and_then(|()| rename());
        let to = renamed.map_err(|error| self.failed(Step::Rename, &from, &error))?;
        self.witness.done(Step::Rename, &from, Some(&to));
        Ok(to)
    }

    /// fsync of a directory: its entries are durable afterwards.
    pub(super) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step(Step::SyncDirectory, path, || File::open(path)?.sync_all())
    }

    /// Removes a file.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Remove, path, || std::fs::remove_file(path))
    }
}

fn io_error(error: MaildirError) -> io::Error {
    match error {
        MaildirError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// The name in `new/` of a file in `tmp/`: device and inode, which no other file has at its time, stand before the host, its size at the end.
fn name_in_new(tmp: &Path, file: &Metadata) -> io::Result<String> {
    let name = tmp.file_name().and_then(|name| name.to_str());
    // SECONDS.UNIQUE.HOST
    let at = name.and_then(|name| name.match_indices('.').nth(1)).map(|(at, _)| at);
    let parts = name.zip(at).and_then(|(name, at)| name.split_at_checked(at));
    let (unique, host) = parts.ok_or_else(|| io::Error::other("a name in tmp/ that is not of our making"))?;
    Ok(format!("{unique}V{}I{}{host},S={}", file.dev(), file.ino(), file.size()))
}
