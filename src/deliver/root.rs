//! Whether the Maildir root can be used: asked at start, told in a sentence.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Why the Maildir root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootProblem {
    /// It is not there and could not be made.
    #[error("the Maildir root {} does not exist and cannot be made: {error}", path.display())]
    Missing {
        /// The root.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something else has its name.
    #[error("the Maildir root {} is not a directory", path.display())]
    NotADirectory {
        /// The root.
        path: PathBuf,
    },
    /// We may not write into it.
    #[error("no permission to write to the Maildir root {}: it must belong to the user in [security]", path.display())]
    NoPermission {
        /// The root.
        path: PathBuf,
    },
    /// Its file system is mounted read-only.
    #[error("the Maildir root {} is on a read-only file system", path.display())]
    ReadOnly {
        /// The root.
        path: PathBuf,
    },
    /// Its file system is full.
    #[error("the file system of the Maildir root {} is full", path.display())]
    Full {
        /// The root.
        path: PathBuf,
    },
    /// A trial write failed otherwise.
    #[error("a trial write to the Maildir root {} failed: {error}", path.display())]
    Trial {
        /// The root.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The host's name cannot be part of a file name.
    #[error(
        "the host is named {name:?}, which cannot stand in the names of Maildir files: \"/\" and \":\" must go from it"
    )]
    HostName {
        /// The name.
        name: String,
    },
}

impl RootProblem {
    /// How to mend it.
    pub fn mend(&self) -> &'static str {
        match self {
            RootProblem::Missing { .. } => "name a path whose directories can be made, or make it",
            RootProblem::NotADirectory { .. } => "name a directory, or move away what has its name",
            RootProblem::NoPermission { .. } => "give it to the user in [security]",
            RootProblem::ReadOnly { .. } => "mount it so that it can be written",
            RootProblem::Full { .. } => "make room there",
            RootProblem::Trial { .. } => "see what is wrong with the file system: dmesg may tell",
            RootProblem::HostName { .. } => "give the host another name",
        }
    }
}

/// Makes the root where it is missing (0700), and writes, syncs and removes a file in it.
///
/// # Errors
/// The one thing that stands in the way, told in a sentence.
pub fn check_root(root: &Path) -> Result<(), RootProblem> {
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        check_host_name(name.trim_end_matches('\n'))?;
    }
    let path = || root.to_owned();
    match std::fs::metadata(root) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(RootProblem::NotADirectory { path: path() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(root).map_err(|error| RootProblem::Missing { path: path(), error })?;
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(RootProblem::Missing { path: path(), error });
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(RootProblem::NoPermission { path: path() });
        }
        Err(error) => return Err(RootProblem::Trial { path: path(), error }),
    }
    try_to_write(root).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => RootProblem::NoPermission { path: path() },
        ErrorKind::ReadOnlyFilesystem => RootProblem::ReadOnly { path: path() },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => RootProblem::Full { path: path() },
        _ => RootProblem::Trial { path: path(), error },
    })
}

/// Whether the host's name can be part of a Maildir file's name. The Maildir page would have `/` and `:` written as `\057` and
/// `\072`; no host of ours needs such a name, so that it is refused at start.
///
/// # Errors
/// The name has a `/`, a `:` or a control character.
pub fn check_host_name(name: &str) -> Result<(), RootProblem> {
    if name.contains(['/', ':']) || name.chars().any(char::is_control) {
        return Err(RootProblem::HostName { name: name.to_owned() });
    }
    Ok(())
}

/// Makes the root and the directories that lead to it, and makes their entries durable.
fn make(root: &Path) -> io::Result<()> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let made: Vec<PathBuf> = root.ancestors().take_while(missing).map(Path::to_owned).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    for path in made {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Writes, syncs and removes a file in a directory.
pub(super) fn try_to_write(directory: &Path) -> io::Result<()> {
    // A leading dot: no domain, mailbox or message can have this name.
    let path = directory.join(format!(".gatepost-trial-{}", std::process::id()));
    let result = write_trial(&path);
    // Removed also after a failed write: a full disk still makes the entry.
    match std::fs::remove_file(&path) {
        Err(error) if result.is_ok() => Err(error),
        _ => result,
    }
}

fn write_trial(path: &Path) -> io::Result<()> {
    // a link that somebody has put there is not followed
    let no_follow = OFlag::O_NOFOLLOW.bits();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_follow);
    let mut file = options.open(path)?;
    file.write_all(b"Gatepost tries whether it can write here.\n")?;
    file.sync_all()
}
