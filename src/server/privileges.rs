//! Becoming `[security] user`: after binding, before a byte is read from the network and before the first thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, fchown, lchown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, geteuid, setgid, setgroups, setuid};

use crate::config::Account;

use super::sandbox::empty_bounding_set;

/// Why we can't become that user.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Only root can become somebody else.
    #[error("only root can become another user; start as root or as that user, or leave the key out")]
    NotRoot,
    /// The system refused.
    #[error("the system does not let us become that user: {0}")]
    Refused(#[from] nix::Error),
    /// root would have come back.
    #[error("root could be had back after giving it up; refusing to run")]
    Kept,
}

/// Whether we run as root.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Becomes the account for good, supplementary groups gone. Nothing to do where we are that user already.
///
/// # Errors
/// See [`PrivilegeError`]; the process must not go on then.
pub fn become_account(account: Account) -> Result<(), PrivilegeError> {
    if !is_root() {
        return if geteuid() == account.uid { Ok(()) } else { Err(PrivilegeError::NotRoot) };
    }
    // later CAP_SETPCAP is gone. Where it never was, the set stays; without root nothing can be got of it
    empty_bounding_set().map_err(|error| nix::Error::from_raw(error.raw_os_error()))?;
    setgroups(&[])?;
    setgid(account.gid)?;
    setuid(account.uid)?;
    if !account.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(PrivilegeError::Kept);
    }
    Ok(())
}

/// Makes a directory that is missing, as whoever we are (0700).
///
/// # Errors
/// The system's own.
pub fn make_own_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// From now on what this process makes is for its account alone, where nothing else is said: mail above all.
pub fn keep_files_private() {
    umask(Mode::from_bits_truncate(0o077));
}

/// Listens at a path, for us and the account alone (0600). A socket that is there already is of a process that has ended or hands over.
///
/// # Errors
/// The system's own; something else has the name.
pub fn listen_privately(path: &Path, account: Option<Account>) -> io::Result<UnixListener> {
    match path.symlink_metadata() {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has that name")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // from its first moment on: a mode that is set later leaves a gap
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    if let Some(account) = account.filter(|_| is_root()) {
        lchown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
    }
    Ok(listener)
}

/// Makes a directory that is missing, and what is missing above it, for the account: later we could not. One that is there stays as it
/// is.
///
/// # Errors
/// The system's own.
pub fn make_directory(path: &Path, account: Account) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // one that is root's alone could not be entered
        make_directory(parent, account)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    // whoever may write in its parent could put a link in its place meanwhile
    let made =
        File::options().read(true).custom_flags(OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).bits()).open(path)?;
    fchown(made, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
}
