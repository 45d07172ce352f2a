//! File descriptors: each connection needs one, and a second one while a large message of its goes to disk.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For all else: listeners, journal, state, DNS, writers, clients of /metrics.
const OTHERS: u64 = 512;

/// Sees that there may be as many open files as so many connections can need, as far as whoever started us allows it (the hard
/// limit), and says where that is not enough: connections then wait in the kernel's queue, and large messages are deferred.
pub(super) fn allow_for(connections: usize) {
    let wanted = (connections as u64).saturating_mul(2).saturating_add(OTHERS);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let reachable = wanted.min(hard);
    let raised = soft >= reachable || setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).is_ok();
    let allowed = if raised { soft.max(reachable) } else { soft };
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "limits.connections may need more open files than are allowed: raise LimitNOFILE of the unit (or ulimit -n), or lower \
             limits.connections"
        );
    }
}
