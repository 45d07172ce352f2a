//! SIGHUP: config, policies and certificates are read anew, all or nothing. What is bad leaves the old ones in force.
//!
//! A session keeps the configuration that it began with; a transaction takes the newest policies at MAIL.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, NOT_READABLE};
use crate::observe::journal::audit::Event;
use crate::observe::journal::{Journal, Keys};
use crate::observe::metrics::label::ReloadOutcome;
use crate::problem::Problems;
use crate::receive::{Carrier, Receiver};

use super::audit;
use super::certificates::Certificates;
use super::descriptors;
use super::generation::{self, Lasting, generation, message_limits, policies};
use super::lists::block_lists;
use super::memory;
use super::permits::Places;

/// Problems that the log tells one by one, a line each.
pub(super) const MOST_PROBLEMS: usize = 25;

/// One reload.
pub(super) struct Reload {
    pub lasting: Arc<Lasting>,
    pub journal: Arc<Journal>,
    pub path: Option<PathBuf>,
    /// What the server was started with: keys that need a restart are still in force from there.
    pub started: Config,
    /// Whether a domain may lose its mailboxes.
    pub force: bool,
}

impl Reload {
    /// Reads and applies; gives what is in force then, `None` where the old stays. Says what came of it.
    pub(super) async fn run(self, old: Config) -> Option<Config> {
        let (metrics, landlocked) = (Arc::clone(&self.lasting.metrics), self.lasting.landlocked);
        let (journal, path) = (Arc::clone(&self.journal), self.path.clone());
        let read = tokio::task::spawn_blocking(move || self.apply(&old)).await;
        match read.unwrap_or_else(|error| Err(format!("the reload ended in an error of ours: {error}"))) {
            Ok(config) => {
                metrics.reload(ReloadOutcome::Applied);
                journal.audit(Event::Reload, audit::taken(&config));
                tracing::info!("the configuration was reloaded");
                Some(config)
            }
            Err(why) => {
                metrics.reload(ReloadOutcome::Refused);
                journal.audit(Event::Refused, audit::refused(path.as_deref()));
                // one line a problem: a reader of the log wants each with its place
                for line in why.lines().filter(|line| !line.trim().is_empty()) {
                    tracing::error!("reload: {line}");
                }
                if landlocked && why.contains(NOT_READABLE) {
                    tracing::error!(
                        "reload: only files in directories that the configuration named at the start can be read \
                         (security.landlock): where a new file lies elsewhere, restart"
                    );
                }
                tracing::error!("the configuration was NOT reloaded, the old one stays in force");
                None
            }
        }
    }

    fn apply(self, old: &Config) -> Result<Config, String> {
        let loaded = match &self.path {
            Some(path) => Config::load(path),
            None => Config::built_in(),
        };
        let config = loaded.map_err(|problems| problems.headlines(MOST_PROBLEMS).join("\n"))?;
        if !self.force {
            guard(old, &config)?;
        }
        descriptors::check(old.limits.connections, &config)
            .map_err(|problem| Problems::from(problem).headlines(1).join("\n"))?;
        let journal = &self.started.journal;
        if journal.pseudonymise {
            Keys::check(&journal.directory).map_err(|problem| Problems::from(problem).render(false))?;
        }
        let in_force = self.lasting.generation.load();
        let certificates = Certificates::in_place_of(in_force.certificates.as_deref(), &config)
            .map_err(|problems| problems.headlines(MOST_PROBLEMS).join("\n"))?;
        say_warnings(&config);
        let restart = self.started.restart_keys(&config);
        if !restart.is_empty() {
            tracing::warn!(keys = %restart.join(", "), "these keys have changed and need a restart; the old values stay");
        }
        let was = &self.lasting.receiver;
        let state = was.state.as_ref().map(|state| state.with(memory::remembering(&config)));
        if let Some(state) = &state {
            memory::keep(state, &config).map_err(|error| error.to_string())?;
        }
        let receiver = Arc::new(Receiver {
            hostname: config.hostname.as_str().to_owned(),
            authserv_id: config.authserv_id.clone(),
            trusted: config.smtp.trusted.clone(),
            soft_reject: config.smtp.soft_reject,
            most_received: config.limits.received,
            directory: Arc::clone(&config.directory),
            state,
            limits: message_limits(&config),
            authenticator: in_force.receiver.authenticator.with_block_lists(block_lists(&config)),
            ..Receiver::clone(was)
        });
        let (most, of_network) = generation::memory(&config);
        was.memory.bound(most, of_network);
        if let Carrier::Maildirs(writers) = &was.carrier {
            writers.space().floor(config.limits.free_disk, config.limits.free_inodes);
            generation::bound_spool(writers, &config);
            generation::bound_mailboxes(writers, &config);
        }
        self.lasting.permits.bound(Places::of_config(&config.limits));
        was.metrics.soft_reject(config.smtp.soft_reject);
        was.policies.store(Arc::new(policies(&config.policies)));
        let harvest = Arc::clone(&in_force.harvest);
        self.lasting.generation.store(Arc::new(generation(&config, receiver, certificates.map(Arc::new), harvest)));
        self.lasting.say_expiry();
        self.lasting.lists_due.notify_one();
        Ok(config)
    }
}

/// Says what in the policies is seldom meant.
pub(super) fn say_warnings(config: &Config) {
    for warning in config.policies.warnings().headlines(MOST_PROBLEMS) {
        tracing::warn!("policy: {warning}");
    }
}

/// Refuses a configuration that would refuse mail of people who had mailboxes a moment ago: a list cut short looks like that.
fn guard(old: &Config, new: &Config) -> Result<(), String> {
    let losses = old.directory.losses(&new.directory);
    if losses.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = losses
        .iter()
        .map(|loss| {
            format!("domains.\"{}\": {} of {} mailboxes would be gone", loss.domain.as_str(), loss.gone, loss.had)
        })
        .collect();
    Err(format!("{}\nif that is meant, restart, or run serve with --force", lines.join("\n")))
}
