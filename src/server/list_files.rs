//! The files of policies' lists: what changes in them counts soon, without a signal. Policy files and gatepost.toml wait for SIGHUP.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, ListFile, Policies, Stamp};
use crate::observe::journal::audit::Event;
use crate::observe::metrics::label::ReloadOutcome;

use super::audit;
use super::generation::{Lasting, policies};
use super::reload::MOST_PROBLEMS;

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_secs(2);

/// The eye on the files.
#[derive(Default)]
pub(super) struct ListFiles {
    /// What differed from what is in force when it was looked at last. Who is still writing changes it again.
    unsettled: HashMap<PathBuf, Option<Stamp>>,
    /// What was read and can't be taken: not tried again until it changes again.
    refused: HashMap<PathBuf, Option<Stamp>>,
}

impl ListFiles {
    /// Waits until files differ from what is in force, and have been left alone since the last look. Dropping the future loses
    /// nothing.
    pub async fn changed(&mut self, in_force: &Policies) -> Vec<PathBuf> {
        let watched: Vec<ListFile> = in_force.list_files().cloned().collect();
        if watched.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(PAUSE).await;
            let looked_at = watched.clone();
            let look = move || looked_at.into_iter().map(|file| (Stamp::of(&file.path), file)).collect::<Vec<_>>();
            let Ok(found) = tokio::task::spawn_blocking(look).await else { continue };
            let changed = self.settled(found);
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    /// Of what was found: the files that have changed, and did not change any more between two looks.
    fn settled(&mut self, found: Vec<(Option<Stamp>, ListFile)>) -> Vec<PathBuf> {
        let before = std::mem::take(&mut self.unsettled);
        let mut settled = Vec::new();
        for (stamp, ListFile { path, stamp: in_force }) in found {
            if stamp == in_force || self.refused.get(&path) == Some(&stamp) {
                continue;
            }
            if before.get(&path) == Some(&stamp) {
                settled.push(path.clone());
            }
            self.unsettled.insert(path, stamp);
        }
        settled
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
                self.refused.clear();
                lasting.receiver.policies.store(Arc::new(policies(&read)));
                lasting.metrics.list_reload(ReloadOutcome::Applied);
                tracing::info!(files = %named, "lists were read again");
                Some(read)
            }
            Err(why) => {
                for path in changed {
                    let stamp = self.unsettled.get(&path).copied().flatten();
                    self.refused.insert(path, stamp);
                }
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
