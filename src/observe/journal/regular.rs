//! Opening what should be a regular file: a FIFO, a device or a link in its place must neither hang whoever reads nor lead elsewhere.

use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::problem::Problem;

/// What stands at a path.
#[derive(Debug)]
pub enum Opened {
    /// A regular file, open to be read.
    File(File),
    /// Nothing any more: rotation takes files away.
    Gone,
    /// Something else, and what to do with it.
    Odd(Problem),
}

/// Flags with which nothing waits and no link is followed.
pub const FLAGS: i32 = OFlag::O_NONBLOCK.bits() | OFlag::O_NOFOLLOW.bits() | OFlag::O_CLOEXEC.bits();

/// Opens a regular file and nothing else, without waiting and without following a link.
///
/// # Errors
/// The system's: permissions, the disk.
pub fn open(path: &Path) -> io::Result<Opened> {
    // opening a device may do something: what it is, is asked first
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        Err(error) => return Err(error),
    };
    if !kind.is_file() {
        return Ok(Opened::Odd(problem(path, kind)));
    }
    let file = match OpenOptions::new().read(true).custom_flags(FLAGS).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        Err(error) => return Err(error),
    };
    // it may have been put there between the two
    let kind = file.metadata()?.file_type();
    Ok(if kind.is_file() { Opened::File(file) } else { Opened::Odd(problem(path, kind)) })
}

/// As [`open`], for whoever needs just this file.
///
/// # Errors
/// As [`open`], and where it is gone or no regular file.
pub fn required(path: &Path) -> io::Result<File> {
    match open(path)? {
        Opened::File(file) => Ok(file),
        Opened::Gone => Err(io::ErrorKind::NotFound.into()),
        Opened::Odd(problem) => Err(odd(&problem, path)),
    }
}

/// What is in the way, as an error.
fn odd(problem: &Problem, path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {}", path.display(), problem.cause))
}

fn problem(path: &Path, kind: FileType) -> Problem {
    let what = if kind.is_symlink() {
        "symbolic link"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    };
    let cause = format!("this is a {what}, where the journal has regular files: it was passed over");
    let mend = "take it out of the journal's directory; a file that should be here must lie here itself";
    Problem::with_file(&path.display().to_string(), "", cause, mend)
}
