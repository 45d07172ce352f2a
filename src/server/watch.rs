//! An eye on files: which have changed, once nobody writes to them any more. It asks every two seconds and is told by nothing else, so
//! that it works on every file system.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{ListFile, Stamp};

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_secs(2);

/// The eye on the files.
#[derive(Default)]
pub(super) struct Watch {
    /// What differed from what is in force when it was looked at last. Who is still writing changes it again.
    unsettled: HashMap<PathBuf, Option<Stamp>>,
    /// What was read and can't be taken: not tried again until it changes again.
    refused: HashMap<PathBuf, Option<Stamp>>,
}

impl Watch {
    /// Waits until files differ from what is in force, and all have been left alone since the last look. Dropping the future loses
    /// nothing. Files that `sees` is false of have not changed, for nobody can tell.
    pub async fn changed(&mut self, watched: Vec<ListFile>, sees: fn(&Path) -> bool) -> Vec<PathBuf> {
        if watched.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(PAUSE).await;
            let looked_at = watched.clone();
            let look = move || {
                let seen = looked_at.into_iter().filter(|file| sees(&file.path));
                seen.map(|file| (Stamp::of(&file.path), file)).collect::<Vec<_>>()
            };
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

    /// What had changed was taken.
    pub fn taken(&mut self) {
        self.refused.clear();
    }

    /// What had changed can't be taken.
    pub fn refused(&mut self, changed: Vec<PathBuf>) {
        for path in changed {
            let stamp = self.unsettled.get(&path).copied().flatten();
            self.refused.insert(path, stamp);
        }
    }
}
