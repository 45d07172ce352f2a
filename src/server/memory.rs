//! What is remembered between messages: from the configuration to the store, kept on disk only where a policy asks for it.

use std::io;

use crate::config::Config;
use crate::receive::{Remembering, State};

/// How greylisting goes by this configuration.
pub(super) fn remembering(config: &Config) -> Remembering {
    let state = &config.state;
    Remembering { delay: state.greylist_delay, window: state.greylist_window, known: state.greylist_known }
}

/// Whether a policy asks for what is remembered.
pub(super) fn is_asked_for(config: &Config) -> bool {
    config.policies.all().iter().any(|policy| policy.remembers())
}

/// Keeps it on disk from now on, if a policy asks for it. Blocks.
///
/// # Errors
/// A thread can't be started. A disk that can't be used is none.
pub(super) fn keep(state: &State, config: &Config) -> io::Result<()> {
    if is_asked_for(config) { state.keep_in(&config.state.directory) } else { Ok(()) }
}
