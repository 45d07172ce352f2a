//! Capabilities: pieces of root's power. All are given up, and with them the way back to any of them.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::super::privileges::is_root;

/// Takes every capability out of the bounding set, so that no file could give it back. Needs CAP_SETPCAP: whoever becomes another
/// user must call it before. Gives whether the set is empty now.
///
/// # Errors
/// The system's own.
pub(in crate::server) fn empty_bounding_set() -> Result<bool, Errno> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => {}
            Ok(false) => continue,
            // the kernel knows no more of them
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(Errno::PERM) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Gives up all capabilities. The outer error is the system's; the inner one says why they are kept: root on loopback, which is a trial
/// in somebody's own directory, could not write there without them.
pub(super) fn give_up() -> Result<Result<String, String>, String> {
    if is_root() {
        return Ok(Err("root keeps them in a trial on loopback".to_owned()));
    }
    let told = |error: Errno| format!("capabilities can't be given up: {error}");
    let is_empty = empty_bounding_set().map_err(told)?;
    // a kernel before 4.3 has no ambient set
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(told(error)),
    }
    let are_left = || {
        let left = capabilities(None).map_err(told)?;
        Ok::<bool, String>(!(left.effective | left.permitted | left.inheritable).is_empty())
    };
    let none = CapabilitySet::empty();
    // where there is none, a filter around us may deny the call (systemd's ~@privileged)
    if are_left()? {
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).map_err(told)?;
    }
    if are_left()? {
        return Err("capabilities are still there after they were given up; refusing to run".to_owned());
    }
    let bounding = if is_empty { "and none can come back" } else { "the bounding set stays without CAP_SETPCAP" };
    Ok(Ok(format!("none is left, {bounding}")))
}
