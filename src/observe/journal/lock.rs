//! The journal's lock, which is its directory: the server holds it for each write, and who rewrites a day's file holds it while the new
//! file takes the old one's place. The kernel frees it when its holder ends, however that is.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// How long one waits for the other. What is done under the lock takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(5);

/// A lock that is held for as long as this lives.
pub struct Held {
    _lock: Flock<File>,
}

/// Takes the lock of a journal's directory.
///
/// # Errors
/// The directory can't be opened, or somebody else holds the lock for too long.
pub fn directory(directory: &Path) -> io::Result<Held> {
    let until = Instant::now() + DEADLINE;
    let mut file = File::open(directory)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Held { _lock: lock }),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => file = back,
            Err((_, error)) => return Err(error.into()),
        }
        if Instant::now() >= until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another program holds the journal's lock"));
        }
        std::thread::sleep(AGAIN);
    }
}

/// Takes the lock of a file, if nobody has it.
///
/// # Errors
/// As of the system.
pub fn at_once(file: File) -> io::Result<Option<Held>> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Held { _lock: lock })),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}
