//! File descriptors: each connection needs one, and a second one while a large message of its goes to disk.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For all else: listeners, journal, state, DNS, writers, clients of /metrics.
const OTHERS: u64 = 512;
/// The greatest number of connections that a configuration can have.
const MOST_CONNECTIONS: usize = 100_000;

/// So many descriptors can so many connections need.
fn wanted(connections: usize) -> u64 {
    (connections as u64).saturating_mul(2).saturating_add(OTHERS)
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
/// connections then wait in the kernel's queue, and large messages are deferred.
pub(super) fn allow_for(connections: usize) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let reachable = wanted(MOST_CONNECTIONS).min(hard);
    let raised = soft >= reachable || setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).is_ok();
    let allowed = if raised { soft.max(reachable) } else { soft };
    let wanted = wanted(connections);
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
/// The process can't have the open files that they need: the key, the cause and the mend.
pub(super) fn check(was: usize, connections: usize) -> Result<(), String> {
    let (allowed, wanted) = (allowed(), wanted(connections));
    if connections <= was || wanted <= allowed {
        return Ok(());
    }
    Err(format!(
        "limits.connections: {connections} connections may need {wanted} open files, and this process may have {allowed}, which only a \
         start can raise; raise LimitNOFILE of the unit (or ulimit -n) and restart, or have limits.connections at most {}",
        (allowed.saturating_sub(OTHERS) / 2).max(was as u64)
    ))
}
