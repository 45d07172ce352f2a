//! The store of one host: everything in memory, bounded; what changes is noted for whoever keeps it on disk.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::facts::rate::Rate;

use super::aged::Aged;
use super::clock::Clock;
use super::store::{Answer, Entry, Key, Shelf, Store, StoreError};
use super::window::Window;

/// The most rates that are counted: policies ask for 32 at most, each.
const MOST_RATES: usize = 256;
/// Counts of all rates together, as a multiple of what one shelf has.
const ALL_RATES: usize = 8;
/// The part of the strangers that may be of one network: a sixteenth.
const SHARE: usize = 16;
/// That many strangers a network may have anyway.
const LEAST_SHARE: usize = 1_000;
/// How many entries go at once, so that nobody waits long for the lock.
const AT_ONCE: usize = 1_000;

/// One change, as it is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// `None`: it is gone.
    Entry(Shelf, Key, Option<Entry>),
    /// `None`: it is gone.
    Window(Rate, Key, Option<Window>),
}

/// What has changed since it was last asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Changes {
    /// These.
    Some(Vec<Change>),
    /// So much that this is all there is.
    All(Vec<Change>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Shelf(Shelf),
    Rate(Rate),
}

#[derive(Debug, Default)]
struct Changed {
    places: HashSet<(Place, Key)>,
    /// There were too many to note each.
    all: bool,
}

/// The store.
#[derive(Debug)]
pub struct Local {
    /// Entries of a shelf or a rate.
    most: usize,
    strangers: Mutex<Aged<Entry>>,
    known: Mutex<Aged<Entry>>,
    rates: Mutex<HashMap<Rate, Aged<Window>>>,
    changed: Mutex<Changed>,
    /// Milliseconds that a stranger has to come back before it may be pushed out.
    grace: AtomicU64,
    pushed_out: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Local {
    /// At most `most` entries of each kind.
    pub fn new(most: usize) -> Self {
        Local {
            most,
            strangers: Mutex::new(Aged::new(most)),
            known: Mutex::new(Aged::new(most)),
            rates: Mutex::default(),
            changed: Mutex::default(),
            grace: AtomicU64::new(0),
            pushed_out: AtomicU64::new(0),
        }
    }

    /// How long a stranger is safe from being pushed out, in milliseconds.
    pub(super) fn set_grace(&self, grace: u64) {
        self.grace.store(grace, Relaxed);
    }

    /// How many strangers, known senders and counts are remembered.
    pub fn entries(&self) -> [usize; 3] {
        let rates = lock(&self.rates).values().map(Aged::len).sum();
        [lock(&self.strangers).len(), lock(&self.known).len(), rates]
    }

    /// How many had to go before their time because there was no room.
    pub fn pushed_out(&self) -> u64 {
        self.pushed_out.load(Relaxed)
    }

    /// Entries of a shelf or a rate.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many strangers one network may have.
    fn share(&self) -> usize {
        (self.most / SHARE).max(LEAST_SHARE)
    }

    fn shelf(&self, shelf: Shelf) -> MutexGuard<'_, Aged<Entry>> {
        lock(match shelf {
            Shelf::Strangers => &self.strangers,
            Shelf::Known => &self.known,
        })
    }

    fn note(&self, place: Place, key: Key, pushed_out: Option<Key>) {
        let mut changed = lock(&self.changed);
        if pushed_out.is_some() {
            self.pushed_out.fetch_add(1, Relaxed);
        }
        for key in pushed_out.into_iter().chain([key]) {
            if changed.all || changed.places.len() >= self.most.saturating_mul(4) {
                changed.all = true;
                changed.places = HashSet::new();
            } else {
                changed.places.insert((place, key));
            }
        }
    }

    /// What has changed since this was asked last.
    pub(super) fn take_changes(&self) -> Changes {
        let Changed { places, all } = std::mem::take(&mut *lock(&self.changed));
        if all {
            return Changes::All(self.everything());
        }
        let change = |(place, key): (Place, Key)| match place {
            Place::Shelf(shelf) => Change::Entry(shelf, key, self.shelf(shelf).get(&key, 0)),
            Place::Rate(rate) => {
                let rates = lock(&self.rates);
                Change::Window(rate, key, rates.get(&rate).and_then(|table| table.get(&key, 0)))
            }
        };
        Changes::Some(places.into_iter().map(change).collect())
    }

    /// What was taken did not reach the disk: next time it is everything.
    pub(super) fn not_kept(&self) {
        *lock(&self.changed) = Changed { all: true, ..Changed::default() };
    }

    fn everything(&self) -> Vec<Change> {
        let mut all = Vec::new();
        for shelf in Shelf::ALL {
            all.extend(self.shelf(shelf).iter().map(|(key, entry)| Change::Entry(shelf, key, Some(entry))));
        }
        for (rate, table) in lock(&self.rates).iter() {
            all.extend(table.iter().map(|(key, window)| Change::Window(*rate, key, Some(window))));
        }
        all
    }

    /// Takes in what the disk has. Where there is something in memory as well, that is newer; but what is read for the first time (`anew`)
    /// is of another process, and both are true: whoever was seen was seen then, and counts add up.
    pub(super) fn fill(&self, kept: Vec<Change>, anew: bool) {
        for change in kept {
            match change {
                Change::Entry(shelf, key, Some(entry)) => {
                    let mut table = self.shelf(shelf);
                    if let Some(ours) = table.get(&key, 0).filter(|ours| anew && ours.since < entry.until) {
                        let since = ours.since.min(entry.since);
                        let both = Entry { since, until: ours.until.max(entry.until), ..ours };
                        table.set_in(both.origin, key, both, both.until);
                        continue;
                    }
                    let has_share = entry.origin == 0 || table.len_of(entry.origin) < self.share();
                    if table.get(&key, 0).is_none() && !table.is_full() && has_share {
                        table.set_in(entry.origin, key, entry, entry.until);
                    }
                }
                Change::Window(rate, key, Some(window)) => {
                    let mut rates = lock(&self.rates);
                    if self.is_crowded_with(&rates) {
                        continue;
                    }
                    let Some(table) = of_rate(&mut rates, rate, self.most) else { continue };
                    if let Some(ours) = table.get(&key, 0).filter(|_| anew) {
                        let both = ours.plus(window);
                        table.set(key, both, both.end(rate.seconds()));
                        continue;
                    }
                    if table.get(&key, 0).is_none() && !table.is_full() {
                        table.set(key, window, window.end(rate.seconds()));
                    }
                }
                Change::Entry(_, _, None) | Change::Window(_, _, None) => {}
            }
        }
    }

    /// No stranger of that network may go for another: the oldest, where there is no room at all, or the network's own oldest, where it
    /// has its share, has not had its time to come back.
    fn is_crowded(&self, strangers: &Aged<Entry>, origin: u32, now: u64) -> bool {
        let grace = self.grace.load(Relaxed);
        let too_young = |oldest: Entry| oldest.until > now && oldest.since.saturating_add(grace) > now;
        let leaves = if self.has_its_share(strangers, origin) {
            strangers.first_of(origin)
        } else if strangers.is_full() {
            strangers.first()
        } else {
            None
        };
        leaves.is_some_and(|(_, oldest)| too_young(oldest))
    }

    fn has_its_share(&self, strangers: &Aged<Entry>, origin: u32) -> bool {
        origin != 0 && strangers.len_of(origin) >= self.share()
    }

    /// All rates together have as many counts as there may be.
    fn is_crowded_with(&self, rates: &HashMap<Rate, Aged<Window>>) -> bool {
        rates.values().map(Aged::len).sum::<usize>() >= self.most.saturating_mul(ALL_RATES)
    }

    /// Lets go what is past its time, unless the clock that says so has leapt. The process has run for `run`.
    pub fn expire_if_believed(&self, clock: &mut Clock, now: u64, run: Duration) {
        if clock.is_believed(now, run) {
            self.expire_now(now);
        }
    }

    /// Lets go what is past its time.
    pub(super) fn expire_now(&self, now: u64) {
        for shelf in Shelf::ALL {
            while expire_some(&mut self.shelf(shelf), now, |key| self.note_gone(Place::Shelf(shelf), key)) {}
        }
        let rates: Vec<Rate> = lock(&self.rates).keys().copied().collect();
        for rate in rates {
            let some_more = || {
                let mut rates = lock(&self.rates);
                let table = rates.get_mut(&rate);
                let more =
                    table.is_some_and(|table| expire_some(table, now, |key| self.note_gone(Place::Rate(rate), key)));
                rates.retain(|_, table| table.len() > 0);
                more
            };
            while some_more() {}
        }
    }

    /// Where all rates together have too much, the one that has the most loses its oldest.
    fn push_one_out(&self, rates: &mut HashMap<Rate, Aged<Window>>) {
        let Some((rate, table)) = rates.iter_mut().max_by_key(|(_, table)| table.len()) else { return };
        let Some((key, _)) = table.first() else { return };
        table.take(key);
        self.pushed_out.fetch_add(1, Relaxed);
        self.note_gone(Place::Rate(*rate), key);
    }

    fn note_gone(&self, place: Place, key: Key) {
        self.note(place, key, None);
    }
}

/// Lets go at most [`AT_ONCE`]; whether there are more.
fn expire_some<V: Copy>(table: &mut Aged<V>, now: u64, mut gone: impl FnMut(Key)) -> bool {
    for _ in 0..AT_ONCE {
        match table.expire_one(now) {
            Some(key) => gone(key),
            None => return false,
        }
    }
    true
}

fn of_rate(rates: &mut HashMap<Rate, Aged<Window>>, rate: Rate, most: usize) -> Option<&mut Aged<Window>> {
    if rates.len() >= MOST_RATES && !rates.contains_key(&rate) {
        return None;
    }
    Some(rates.entry(rate).or_insert_with(|| Aged::new(most)))
}

fn at_once<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(ready(answer))
}

impl Store for Local {
    fn get(&self, shelf: Shelf, key: Key, now: u64) -> Answer<'_, Option<Entry>> {
        at_once(Ok(self.shelf(shelf).get(&key, now)))
    }

    fn put(&self, shelf: Shelf, key: Key, entry: Entry, now: u64) -> Answer<'_, ()> {
        let mut table = self.shelf(shelf);
        let mut pushed_out = None;
        if shelf == Shelf::Strangers && table.get(&key, now).is_none() {
            if self.is_crowded(&table, entry.origin, now) {
                return at_once(Err(StoreError::Full));
            }
            if self.has_its_share(&table, entry.origin) {
                pushed_out = table.first_of(entry.origin).map(|(oldest, _)| oldest);
                pushed_out.into_iter().for_each(|oldest| table.take(oldest));
            }
        }
        let pushed_out = table.set_in(entry.origin, key, entry, entry.until).or(pushed_out);
        drop(table);
        self.note(Place::Shelf(shelf), key, pushed_out);
        at_once(Ok(()))
    }

    fn has_room(&self, origin: u32, now: u64) -> Answer<'_, bool> {
        at_once(Ok(!self.is_crowded(&self.shelf(Shelf::Strangers), origin, now)))
    }

    fn count(&self, rate: Rate, key: Key, now: u64) -> Answer<'_, u64> {
        let rates = lock(&self.rates);
        let window = rates.get(&rate).and_then(|table| table.get(&key, now));
        at_once(Ok(window.map_or(0, |window| window.sum(rate.seconds(), now))))
    }

    fn increment(&self, rate: Rate, key: Key, now: u64) -> Answer<'_, ()> {
        let mut rates = lock(&self.rates);
        let is_known = rates.get(&rate).is_some_and(|table| table.get(&key, 0).is_some());
        if !is_known && self.is_crowded_with(&rates) {
            self.push_one_out(&mut rates);
        }
        let Some(table) = of_rate(&mut rates, rate, self.most) else {
            return at_once(Err(StoreError::Unreachable("too many rates are asked for".to_owned())));
        };
        let mut window = table.get(&key, now).unwrap_or_else(Window::new);
        window.add(rate.seconds(), now);
        let pushed_out = table.set(key, window, window.end(rate.seconds()));
        drop(rates);
        self.note(Place::Rate(rate), key, pushed_out);
        at_once(Ok(()))
    }

    fn expire(&self, now: u64) -> Answer<'_, ()> {
        self.expire_now(now);
        at_once(Ok(()))
    }
}
