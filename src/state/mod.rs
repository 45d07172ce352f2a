//! What is remembered between messages: whom greylisting has seen, and how often something was so.
//!
//! Deciding stays pure: what is remembered is recalled into facts before ([`State::greylist`], [`State::rates`]) and noted after
//! ([`State::note_stranger`], [`State::note_accepted`], [`State::count`]). Only what a loaded policy asks for is recalled or noted.
//!
//! Memory serves; a thread writes behind, into `state.redb` (see `keeper`). Nothing here fails: where a store can't be reached, or has
//! no room for another stranger, nobody is asked to come again, for what can't be remembered would defer for ever.

mod aged;
mod clock;
mod disk;
mod greylist;
mod keeper;
mod local;
mod names;
mod reverse_path;
pub mod store;
mod window;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::facts::rate::Rate;
use crate::facts::word::{GreylistKey, GreylistResult};
use crate::facts::{Facts, Greylist};

pub use clock::Clock;
use greylist::{Sender, is_exempt, origin};
use keeper::Keeper;
pub use keeper::octets_at_most;
pub use local::Local;
use names::Names;
use store::{Entry, Shelf, Store, StoreError};

/// Recipients of one message that greylisting looks at.
const MOST_RECIPIENTS: usize = 100;
/// A known sender's time is prolonged at most so often, in milliseconds: nothing is written for every message.
const PROLONGED: u64 = 3_600_000;
/// Senders try again within minutes, at the latest within an hour or so (RFC 5321 §4.5.4.1): that long a stranger is not pushed out.
const GRACE: Duration = Duration::from_secs(4 * 3600);

/// How greylisting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Who comes again sooner is early.
    pub delay: Duration,
    /// Who comes again later is new.
    pub window: Duration,
    /// How long a sender is known after its last accepted message.
    pub known: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Settings { delay: Duration::from_secs(300), window: days(2), known: days(36) }
    }
}

/// What it counts, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// By result and key, in the order of their words.
    results: [[AtomicU64; GreylistKey::ALL.len()]; GreylistResult::ALL.len()],
    /// Strangers who were let in because there was no room to remember them.
    no_room: AtomicU64,
    /// Questions that the store did not answer.
    unanswered: AtomicU64,
}

impl Counters {
    /// How often greylisting said so.
    pub fn results(&self, result: GreylistResult, key: GreylistKey) -> u64 {
        let row = self.results.get(result as usize);
        row.and_then(|row| row.get(key as usize)).map_or(0, |counter| counter.load(Relaxed))
    }

    /// Strangers who were let in because there was no room to remember them.
    pub fn no_room(&self) -> u64 {
        self.no_room.load(Relaxed)
    }

    /// Questions that the store did not answer.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Relaxed)
    }

    fn count(&self, greylist: &Greylist) {
        let row = self.results.get(greylist.result as usize);
        if let Some(counter) = row.and_then(|row| row.get(greylist.key as usize)) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// What is remembered between messages. A clone remembers the same.
#[derive(Clone)]
pub struct State {
    store: Arc<dyn Store>,
    /// The same, where it is this host's own.
    local: Option<Arc<Local>>,
    keeper: Arc<OnceLock<Arc<Keeper>>>,
    names: Names,
    settings: Settings,
    counters: Arc<Counters>,
    /// Until then another process may have the file, see [`State::after_another`].
    unread_until: Option<Instant>,
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

impl State {
    /// Remembers in this process' memory, at most `most` strangers, known senders, and counts of each rate.
    pub fn in_memory(settings: Settings, most: usize) -> State {
        let local = Arc::new(Local::new(most));
        State { local: Some(Arc::clone(&local)), ..State::with_store(local, settings) }.with(settings)
    }

    /// Remembers in a store. What is remembered is named under a secret of chance: hosts that share a store, and their next start, need one
    /// in common, see [`State::named_under`].
    pub fn with_store(store: Arc<dyn Store>, settings: Settings) -> State {
        let names = Names::new();
        let (keeper, counters) = (Arc::default(), Arc::default());
        State { store, local: None, keeper, names, settings, counters, unread_until: None }
    }

    /// The same under this secret.
    #[must_use]
    pub fn named_under(self, secret: [u8; 32]) -> State {
        self.names.under(secret);
        self
    }

    /// The secret that names what is remembered.
    pub fn secret(&self) -> [u8; 32] {
        self.names.secret()
    }

    /// The same, in a process that goes on for another one, which has the file until it has ended: for `most` at the most nobody is asked to
    /// come again for what only the file knows. The other's secret makes one memory of both.
    #[must_use]
    pub fn after_another(self, secret: [u8; 32], most: Duration) -> State {
        State { unread_until: Instant::now().checked_add(most), ..self.named_under(secret) }
    }

    /// Whether another process has what we should know.
    fn is_unread(&self) -> bool {
        let until = self.unread_until.is_some_and(|until| Instant::now() < until);
        until && self.keeper.get().is_some_and(|keeper| !keeper.has_read())
    }

    /// The same memory under other settings.
    #[must_use]
    pub fn with(&self, settings: Settings) -> State {
        if let Some(local) = &self.local {
            local.set_grace(millis(GRACE.max(settings.delay.saturating_mul(4))).min(millis(settings.window)));
        }
        State { settings, ..self.clone() }
    }

    /// Takes in what the directory has from before and keeps all there from now on. A second call does nothing, nor does one for a
    /// store elsewhere. Blocks; starts a thread. A disk that can't be used is no error, see [`State::is_failing`].
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn keep_in(&self, directory: &Path) -> io::Result<()> {
        if let (Some(local), None) = (&self.local, self.keeper.get()) {
            let keeper = Keeper::start(directory, Arc::clone(local), self.names.clone())?;
            // two at once: the second would find the file in use
            let _ = self.keeper.set(keeper);
        }
        Ok(())
    }

    /// Writes what is left to the disk, for at most `deadline`, waiting for another process to leave the file; false where that was too
    /// short. Blocks.
    pub fn close(&self, deadline: Duration) -> bool {
        self.keeper.get().is_none_or(|keeper| keeper.close(deadline))
    }

    /// Whether what is remembered does not reach the disk.
    pub fn is_failing(&self) -> bool {
        self.keeper.get().is_some_and(|keeper| keeper.is_failing())
    }

    /// Attempts to use the disk that failed.
    pub fn errors(&self) -> u64 {
        self.keeper.get().map_or(0, |keeper| keeper.errors())
    }

    /// How many strangers, known senders and counts are remembered here.
    pub fn entries(&self) -> [usize; 3] {
        self.local.as_ref().map_or([0; 3], |local| local.entries())
    }

    /// How many had to go before their time because there was no room.
    pub fn pushed_out(&self) -> u64 {
        self.local.as_ref().map_or(0, |local| local.pushed_out())
    }

    /// What it has counted.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// What greylisting knows of the sender and these recipients. At data, where there are several, the best of what is known.
    pub async fn greylist(&self, facts: &Facts, forward_paths: &[&str], now: u64) -> Greylist {
        let sender = Sender::of(facts);
        let looked_up = if is_exempt(facts) {
            Ok(known())
        } else if self.is_unread() {
            Err(StoreError::Unreachable("another process has the file".to_owned()))
        } else {
            self.look_up(facts, &sender, forward_paths, now).await
        };
        let found = looked_up.unwrap_or_else(|error| {
            match error {
                StoreError::Full => self.counters.no_room.fetch_add(1, Relaxed),
                StoreError::Unreachable(_) => self.counters.unanswered.fetch_add(1, Relaxed),
            };
            known()
        });
        let greylist = Greylist { key: sender.key, ..found };
        self.counters.count(&greylist);
        greylist
    }

    async fn look_up(
        &self,
        facts: &Facts,
        sender: &Sender,
        forward_paths: &[&str],
        now: u64,
    ) -> Result<Greylist, StoreError> {
        if self.store.get(Shelf::Known, sender.known(&self.names), now).await?.is_some() {
            return Ok(known());
        }
        let delay = millis(self.settings.delay);
        let mut least = None;
        for path in forward_paths.iter().take(MOST_RECIPIENTS) {
            let key = sender.stranger(&self.names, &facts.mail_from.address, path);
            // one of the future is of a clock that was wrong
            let seen = self.store.get(Shelf::Strangers, key, now).await?.filter(|entry| entry.since <= now + delay);
            let Some(entry) = seen else { continue };
            let wait = entry.since.saturating_add(delay).saturating_sub(now);
            if wait == 0 {
                return Ok(Greylist { result: GreylistResult::Pass, ..Greylist::default() });
            }
            least = Some(least.map_or(wait, |least: u64| least.min(wait)));
        }
        match least {
            Some(wait) => Ok(waiting(GreylistResult::Early, wait)),
            None if self.store.has_room(self.names.origin(&origin(facts)), now).await? => {
                Ok(waiting(GreylistResult::New, delay))
            }
            None => Err(StoreError::Full),
        }
    }

    /// Remembers who was seen for the first time; whoever was seen before stays as it is.
    pub async fn note_stranger(&self, facts: &Facts, forward_paths: &[&str], now: u64) {
        if is_exempt(facts) || !matches!(facts.greylist.result, GreylistResult::New | GreylistResult::Early) {
            return;
        }
        let sender = Sender::of(facts);
        let delay = millis(self.settings.delay);
        let until = now.saturating_add(millis(self.settings.window));
        let origin = self.names.origin(&origin(facts));
        for path in forward_paths.iter().take(MOST_RECIPIENTS) {
            let key = sender.stranger(&self.names, &facts.mail_from.address, path);
            let seen = self.store.get(Shelf::Strangers, key, now).await;
            if let Ok(seen) = seen
                && seen.is_none_or(|entry| entry.since > now + delay)
            {
                let noted = self.store.put(Shelf::Strangers, key, Entry { since: now, until, origin }, now).await;
                self.tell(noted);
            }
        }
    }

    /// A message of this sender was accepted: it is known from now on, by all that it was asked by.
    pub async fn note_accepted(&self, facts: &Facts, now: u64) {
        if is_exempt(facts) {
            return;
        }
        let (before, after) = (Sender::before_data(facts), Sender::of(facts));
        let until = now.saturating_add(millis(self.settings.known));
        let both = [Some(&before), Some(&after).filter(|after| **after != before)];
        for sender in both.into_iter().flatten() {
            let known = self.store.get(Shelf::Known, sender.known(&self.names), now).await;
            let since = match known {
                Ok(Some(entry)) if entry.until.saturating_add(PROLONGED) > until => continue,
                Ok(entry) => entry.map_or(now, |entry| entry.since),
                Err(error) => {
                    self.tell(Err(error));
                    continue;
                }
            };
            let noted =
                self.store.put(Shelf::Known, sender.known(&self.names), Entry { since, until, origin: 0 }, now).await;
            self.tell(noted);
        }
    }

    /// How often it was so before, by the rates' names.
    pub async fn rates(&self, facts: &Facts, rates: &[Rate], now: u64) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for rate in rates {
            let count = match self.key_of(*rate, facts) {
                Some(key) => self.store.count(*rate, key, now).await.unwrap_or_else(|error| {
                    self.tell(Err(error));
                    0
                }),
                None => 0,
            };
            counts.insert(rate.to_string(), count);
        }
        counts
    }

    /// Counts once more.
    pub async fn count(&self, facts: &Facts, rates: &[Rate], now: u64) {
        for rate in rates {
            if let Some(key) = self.key_of(*rate, facts) {
                let counted = self.store.increment(*rate, key, now).await;
                self.tell(counted);
            }
        }
    }

    /// `None` where something that it counts by is empty: nothing is counted then.
    fn key_of(&self, rate: Rate, facts: &Facts) -> Option<store::Key> {
        let values = rate.values(facts)?;
        Some(self.names.of(&values.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    fn tell(&self, noted: Result<(), StoreError>) {
        if noted.is_err() {
            self.counters.unanswered.fetch_add(1, Relaxed);
        }
    }
}

fn known() -> Greylist {
    Greylist { result: GreylistResult::Known, ..Greylist::default() }
}

/// Whole seconds, rounded up: who waits so long is not early.
fn waiting(result: GreylistResult, wait: u64) -> Greylist {
    Greylist { result, wait: wait.div_ceil(1000), ..Greylist::default() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
