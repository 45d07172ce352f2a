//! File descriptors: each connection needs one, and a second one while a large message of its goes to disk. Where they run out, clients
//! hear 421, and what is left serves those who are connected.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;
use crate::config::keys::MOST_CONNECTIONS;
use crate::observe::seldom::Seldom;
use crate::problem::Problem;

/// For all else: listeners, journal, state, DNS, writers, clients of /metrics.
const OTHERS: u64 = 512;
/// No connection gets one of the last so many, or of the last quarter where that is less: writers, spools and DNS need them for those
/// who are connected.
const KEPT: u64 = 128;

/// So many descriptors can so many connections need.
fn wanted(connections: u64) -> u64 {
    connections.saturating_mul(2).saturating_add(OTHERS)
}

fn allowed() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// Descriptors that connections and large messages may have together.
pub(super) fn for_sessions() -> u64 {
    let allowed = allowed();
    allowed.saturating_sub(OTHERS).max(allowed / 2)
}

/// Sees that there may be as many open files as whoever started us allows (the hard limit), up to what any configuration can need: a
/// reload that wants more connections can't raise it, seccomp forbids that by then. Says where it is not enough for so many connections:
/// clients then hear 421, and large messages are deferred.
pub(super) fn allow_for(connections: usize) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let reachable = wanted(MOST_CONNECTIONS).min(hard);
    let raised = soft >= reachable || setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).is_ok();
    let allowed = if raised { soft.max(reachable) } else { soft };
    let wanted = wanted(connections as u64);
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "limits.connections may need more open files than are allowed: raise LimitNOFILE of the unit (or ulimit -n), or lower \
             limits.connections"
        );
    }
}

/// Whether a reload may have more connections than there were.
///
/// # Errors
/// The process can't have the open files that they need.
pub(super) fn check(was: usize, config: &Config) -> Result<(), Problem> {
    let connections = config.limits.connections;
    let (allowed, wanted) = (allowed(), wanted(connections as u64));
    if connections <= was || wanted <= allowed {
        return Ok(());
    }
    let cause = format!(
        "{connections} connections may need {wanted} open files, and this process may have {allowed}, which only a start can raise"
    );
    let most = (allowed.saturating_sub(OTHERS) / 2).max(was as u64);
    let mend =
        format!("raise LimitNOFILE of the unit (or ulimit -n) and restart, or have limits.connections at most {most}");
    Err(config.problem("limits.connections", cause, mend))
}

/// The descriptors of a listener's connections.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// A connection whose descriptor has this number or a higher one takes one of the last: the kernel gives the lowest that is free.
    last: u64,
    /// One that is open for nothing: given up for a moment, it lets a client be told that there are none.
    reserve: Option<OwnedFd>,
    said: Seldom,
}

impl Descriptors {
    /// As many as the process may have now.
    pub(super) fn new() -> Self {
        let last = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft - KEPT.min(soft / 4));
        Descriptors { last, reserve: None, said: Seldom::once() }
    }

    /// Sees that there is a reserve: a second descriptor of the listener, for which no file need be opened.
    pub(super) fn keep_reserve(&mut self, listener: &impl AsFd) {
        if self.reserve.is_none() {
            self.reserve = listener.as_fd().try_clone_to_owned().ok();
        }
    }

    /// Gives the reserve up; whether there was one.
    pub(super) fn give_up_reserve(&mut self) -> bool {
        self.reserve.take().is_some()
    }

    /// Whether a connection takes one of the last. Says so now and then.
    pub(super) fn are_scarce_for(&self, connection: &impl AsRawFd) -> bool {
        let is_scarce = u64::try_from(connection.as_raw_fd()).unwrap_or(0) >= self.last;
        if is_scarce {
            self.say();
        }
        is_scarce
    }

    /// Says that there are none left.
    pub(super) fn say(&self) {
        if let Some(clients) = self.said.due(Instant::now()) {
            tracing::warn!(
                clients,
                "hardly any more files can be opened, clients that connect hear 421: raise LimitNOFILE of the unit (or ulimit -n), \
                 or lower limits.connections"
            );
        }
    }
}

/// Whether no descriptor is left, to this process or to the machine.
pub(super) fn is_of_descriptors(error: &io::Error) -> bool {
    [Errno::EMFILE, Errno::ENFILE].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}
