//! A bounded table whose entries leave in the order in which their time ends.

use std::collections::{BTreeSet, HashMap};

use super::store::Key;

/// A value with its end.
#[derive(Debug, Clone, Copy)]
struct Held<V> {
    value: V,
    until: u64,
}

/// The table.
#[derive(Debug)]
pub(super) struct Aged<V> {
    most: usize,
    held: HashMap<Key, Held<V>>,
    order: BTreeSet<(u64, Key)>,
}

impl<V: Copy> Aged<V> {
    /// At most so many entries.
    pub(super) fn new(most: usize) -> Self {
        Aged { most, held: HashMap::new(), order: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= self.most
    }

    /// The value of a key whose time has not ended.
    pub(super) fn get(&self, key: &Key, now: u64) -> Option<V> {
        self.held.get(key).filter(|held| held.until > now).map(|held| held.value)
    }

    /// The entry that leaves next.
    pub(super) fn first(&self) -> Option<(Key, V)> {
        let (_, key) = self.order.first()?;
        self.held.get(key).map(|held| (*key, held.value))
    }

    /// Sets a value; gives the key that had to leave for it.
    pub(super) fn set(&mut self, key: Key, value: V, until: u64) -> Option<Key> {
        if let Some(old) = self.held.insert(key, Held { value, until }) {
            self.order.remove(&(old.until, key));
        }
        self.order.insert((until, key));
        if self.held.len() <= self.most {
            return None;
        }
        // the newcomer stays, however short its time
        let leaving = self.order.iter().find(|(_, other)| *other != key).copied()?;
        self.remove(leaving);
        Some(leaving.1)
    }

    /// Lets one entry go whose time has ended.
    pub(super) fn expire_one(&mut self, now: u64) -> Option<Key> {
        let first = self.order.first().copied().filter(|(until, _)| *until <= now)?;
        self.remove(first);
        Some(first.1)
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, V)> + '_ {
        self.held.iter().map(|(key, held)| (*key, held.value))
    }

    fn remove(&mut self, (until, key): (u64, Key)) {
        self.order.remove(&(until, key));
        self.held.remove(&key);
    }
}
