//! One fsync of a directory serves every rename that was done before it began.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use super::lock;

/// How a round ended; errors are kept as values because each of its waiters gets one.
type Outcome = Result<(), (io::ErrorKind, Option<i32>)>;

/// One fsync of one directory, made or to be made.
#[derive(Default)]
struct Round {
    outcome: OnceLock<Outcome>,
}

#[derive(Default)]
struct Rounds {
    /// Whether a round is being made now: whoever comes now may have renamed too late for it.
    running: bool,
    /// The round that begins next, which serves all who join before it begins.
    next: Arc<Round>,
}

#[derive(Default)]
struct Directory {
    rounds: Mutex<Rounds>,
    ended: Condvar,
}

/// The directories that are being synced now.
#[derive(Default)]
pub(super) struct GroupSync {
    directories: Mutex<HashMap<PathBuf, Arc<Directory>>>,
}

/// Who made the fsync that served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// This call.
    Alone,
    /// Another's, begun after this call.
    ByAnother,
}

impl GroupSync {
    /// Returns once an fsync of `path` that began after this call has ended: made by `sync` here, or by another caller's.
    ///
    /// # Errors
    /// The error of that fsync. It is not tried again: what it should have made durable may be lost already.
    pub(super) fn sync(&self, path: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<Served> {
        let directory = lock(&self.directories).entry(path.to_owned()).or_default().clone();
        let result = directory.join(sync);
        let mut directories = lock(&self.directories);
        // Two hold it, the map and we: nobody else waits, and the map stays as small as what goes on.
        if Arc::strong_count(&directory) == 2 {
            directories.remove(path);
        }
        result
    }
}

impl Directory {
    fn join(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<Served> {
        let mut rounds = lock(&self.rounds);
        let mine = rounds.next.clone();
        while rounds.running {
            rounds = self.ended.wait(rounds).unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = mine.outcome.get() {
                return restored(*outcome).map(|()| Served::ByAnother);
            }
        }
        rounds.running = true;
        rounds.next = Arc::default();
        drop(rounds);
        let mut lead = Lead { directory: self, round: mine, outcome: Err((io::ErrorKind::Other, None)) };
        let result = sync();
        lead.outcome = result.as_ref().copied().map_err(|error| (error.kind(), error.raw_os_error()));
        result.map(|()| Served::Alone)
    }
}

/// Ends a round when it is dropped, after a panic too: its waiters then get an error and nobody waits for ever.
struct Lead<'a> {
    directory: &'a Directory,
    round: Arc<Round>,
    outcome: Outcome,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut rounds = lock(&self.directory.rounds);
        // It is set only here, so that it cannot be set already.
        let _ = self.round.outcome.set(self.outcome);
        rounds.running = false;
        drop(rounds);
        self.directory.ended.notify_all();
    }
}

fn restored(outcome: Outcome) -> io::Result<()> {
    outcome.map_err(|(kind, code)| code.map_or_else(|| kind.into(), io::Error::from_raw_os_error))
}
