//! Landlock: files and ports that the kernel holds us to, whatever the process is made to try.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::Refusal;
use super::paths::Allowed;

/// The newest version whose rights this is written for. UDP, which the resolver needs on any port, is not among them.
const WRITTEN_FOR: ABI = ABI::V7;

/// What may be done to files that are read.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// What may be done below the Maildirs, the journal and the state: no programs, devices, sockets or links among it.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});

/// Holds this thread, and those that it starts, to what is allowed; gives what that is, in words.
///
/// # Errors
/// See [`Refusal`].
pub(super) fn restrict(allowed: &Allowed) -> Result<String, Refusal> {
    // without Refer (ABI 2, Linux 5.19) no message could go from tmp/ to new/
    let hard = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Refer);
    if hard.and_then(Ruleset::create).is_err() {
        return Err(Refusal::Unavailable(
            "this kernel has no Landlock, or one before version 2 (Linux 5.19), or a filter around us denies it"
                .to_owned(),
        ));
    }
    let status = rules(allowed).and_then(RulesetCreated::restrict_self);
    let status = status.map_err(|error| Refusal::Failed(error.to_string()))?;
    let version = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            kernel_abi.map_or_else(|| effective_abi.to_string(), |abi| abi.to_string())
        }
        _ => "unknown".to_owned(),
    };
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(Refusal::Unavailable("this kernel does not enforce Landlock".to_owned())),
        RulesetStatus::PartiallyEnforced => Ok(format!("version {version}, files and what else this kernel has")),
        RulesetStatus::FullyEnforced => Ok(format!("version {version}, files and ports")),
    }
}

fn rules(allowed: &Allowed) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(WRITTEN_FOR))?
        .handle_access(AccessNet::from_all(WRITTEN_FOR))?
        .scope(scope())?
        .create()?;
    for path in &allowed.write {
        rules = beneath(rules, path, WRITE)?;
    }
    for path in &allowed.read {
        rules = beneath(rules, path, READ)?;
    }
    for port in &allowed.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules)
}

/// No signals to processes outside; nor abstract sockets, unless systemd is told our state by one.
fn scope() -> BitFlags<Scope> {
    let notified = std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| path.as_encoded_bytes().starts_with(b"@"));
    if notified { Scope::Signal.into() } else { Scope::Signal | Scope::AbstractUnixSocket }
}

/// A path that is not there needs no right.
fn beneath(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(rules) };
    let is_directory = path.is_dir();
    let access = if is_directory { access } else { access & AccessFs::from_file(WRITTEN_FOR) };
    rules.add_rule(PathBeneath::new(opened, access))
}
