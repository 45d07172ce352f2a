//! The files of policies' lists: what changes in them counts soon, without a signal. Policy files and gatepost.toml wait for SIGHUP.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Policies};
use crate::observe::journal::audit::Event;
use crate::observe::metrics::label::ReloadOutcome;

use super::audit;
use super::generation::{Lasting, policies};
use super::reload::MOST_PROBLEMS;
use super::watch::Watch;

/// The eye on the files.
#[derive(Default)]
pub(super) struct ListFiles {
    watch: Watch,
}

impl ListFiles {
    /// Waits until files differ from what is in force, and have been left alone since the last look. Dropping the future loses
    /// nothing.
    pub async fn changed(&mut self, in_force: &Policies) -> Vec<PathBuf> {
        self.watch.changed(in_force.list_files().cloned().collect(), |_| true).await
    }

    /// Reads the lists in these files again and has them judge from the next transaction on. Lists that can't be taken leave the
    /// old ones in force.
    pub async fn read_again(
        &mut self,
        changed: Vec<PathBuf>,
        config: &Config,
        lasting: &Arc<Lasting>,
    ) -> Option<Policies> {
        let in_force = config.policies.clone();
        let files = changed.clone();
        let journal = lasting.receiver.journal.clone();
        let read = move || {
            let read = in_force.reading_again(&files).map_err(|problems| problems.headlines(MOST_PROBLEMS));
            let event = if read.is_ok() { Event::Reload } else { Event::Refused };
            for (journal, file) in journal.iter().flat_map(|journal| files.iter().map(move |file| (journal, file))) {
                journal.audit(event, audit::list(file));
            }
            read
        };
        let read = tokio::task::spawn_blocking(read).await;
        let named = changed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        match read.unwrap_or_else(|error| Err(vec![format!("reading ended in an error of ours: {error}")])) {
            Ok(read) => {
                self.watch.taken();
                lasting.receiver.policies.store(Arc::new(policies(&read)));
                lasting.metrics.list_reload(ReloadOutcome::Applied);
                tracing::info!(files = %named, "lists were read again");
                Some(read)
            }
            Err(why) => {
                self.watch.refused(changed);
                lasting.metrics.list_reload(ReloadOutcome::Refused);
                for line in why {
                    tracing::error!("lists: {line}");
                }
                tracing::error!(files = %named, "lists were NOT read again, the old ones stay in force");
                None
            }
        }
    }
}
