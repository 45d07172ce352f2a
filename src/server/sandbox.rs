//! The layers between whoever breaks into this process and the machine: given up or closed before the first thread, for good.
//!
//! ```text
//! account -> capabilities -> no_new_privs -> Landlock (files, ports) -> seccomp (system calls)
//! ```
//!
//! Landlock and seccomp hold for the thread that asks and for those that it starts: so no other may run yet.

mod capabilities;
mod landlock;
mod paths;
mod seccomp;

use std::fmt::Write;

use crate::config::{Config, Layer};
use crate::observe::metrics::label::SandboxLayer;

use super::bind::StartError;
use super::privileges::is_root;

pub(super) use capabilities::empty_bounding_set;
pub use seccomp::filters;

/// Which layers are in force.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    layers: Vec<State>,
}

#[derive(Debug, Clone)]
struct State {
    layer: SandboxLayer,
    is_on: bool,
    /// What of it, or why not.
    detail: String,
}

impl Sandbox {
    /// Every layer, and whether it is in force.
    pub fn layers(&self) -> impl Iterator<Item = (SandboxLayer, bool)> {
        let is_on = |layer| self.layers.iter().any(|state| state.layer == layer && state.is_on);
        SandboxLayer::ALL.iter().map(move |&layer| (layer, is_on(layer)))
    }

    /// Whether a layer is in force.
    pub fn has(&self, layer: SandboxLayer) -> bool {
        self.layers().any(|(other, is_on)| other == layer && is_on)
    }

    fn note(&mut self, layer: SandboxLayer, found: Result<String, String>) {
        let is_on = found.is_ok();
        let detail = found.unwrap_or_else(|why| why);
        self.layers.push(State { layer, is_on, detail });
    }

    /// One line for the log: `account on (uid 999), ..., seccomp off (switched off)`.
    pub fn line(&self) -> String {
        let mut line = String::new();
        for State { layer, is_on, detail } in &self.layers {
            let between = if line.is_empty() { "" } else { ", " };
            let _ = write!(line, "{between}{} {} ({detail})", layer.as_str(), if *is_on { "on" } else { "OFF" });
        }
        line
    }
}

/// Closes what can be closed on this kernel. To be called after everything is bound and before the first thread.
///
/// # Errors
/// A layer that the configuration requires can't be had, a thread runs already, or the kernel failed half-way.
pub(super) fn confine(config: &Config) -> Result<Sandbox, StartError> {
    alone()?;
    confine_thread(config)
}

/// The same for this thread and those that it starts, whoever runs beside it: what a test needs that tries the forbidden.
///
/// # Errors
/// As of the whole: a layer that is required can't be had, or the kernel failed half-way.
pub fn confine_thread(config: &Config) -> Result<Sandbox, StartError> {
    let mut sandbox = Sandbox::default();
    let uid = nix::unistd::geteuid();
    let account = if is_root() { Err("we are root".to_owned()) } else { Ok(format!("uid {uid}")) };
    sandbox.note(SandboxLayer::Account, account);
    sandbox.note(SandboxLayer::Capabilities, capabilities::give_up().map_err(StartError::Machine)?);
    let no_new_privs = rustix::thread::set_no_new_privs(true);
    let no_new_privs = no_new_privs.map(|()| "nothing that is run gains rights".to_owned());
    sandbox.note(SandboxLayer::NoNewPrivs, no_new_privs.map_err(|error| error.to_string()));
    let security = &config.security;
    let held = asked(security.landlock, "landlock", || landlock::restrict(&paths::Allowed::of(config)))?;
    sandbox.note(SandboxLayer::Landlock, held);
    // last: it denies some of the calls above
    sandbox.note(SandboxLayer::Seccomp, asked(security.seccomp, "seccomp", seccomp::restrict)?);
    Ok(sandbox)
}

/// Why a layer is not in force.
enum Refusal {
    /// The kernel does not have it.
    Unavailable(String),
    /// It has it, and something went wrong: nobody knows what is in force.
    Failed(String),
}

fn asked(
    layer: Layer,
    key: &str,
    restrict: impl FnOnce() -> Result<String, Refusal>,
) -> Result<Result<String, String>, StartError> {
    if layer == Layer::Off {
        return Ok(Err("switched off".to_owned()));
    }
    match (restrict(), layer) {
        (Ok(what), _) => Ok(Ok(what)),
        (Err(Refusal::Unavailable(why)), Layer::Require) => Err(StartError::Machine(format!(
            "security.{key}: it is required, and {why}; use a kernel that has it, or write \"on\" to do without"
        ))),
        (Err(Refusal::Unavailable(why)), _) => Ok(Err(why)),
        (Err(Refusal::Failed(why)), _) => Err(StartError::Machine(format!(
            "security.{key}: the kernel refused what it should have taken: {why}; please report this, and write \"off\" meanwhile"
        ))),
    }
}

/// No thread beside this one: it would keep all that is given up here.
fn alone() -> Result<(), StartError> {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    match threads {
        Ok(count) if count > 1 => {
            Err(StartError::Machine(format!("{count} threads run before privileges are given up; please report this")))
        }
        // without /proc nobody can tell
        _ => Ok(()),
    }
}
