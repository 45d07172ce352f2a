//! A bounded table whose entries leave in the order in which their time ends.

use std::collections::{BTreeSet, HashMap};

use super::store::Key;

/// A value with its end.
#[derive(Debug, Clone, Copy)]
struct Held<V> {
    value: V,
    place: Place,
    group: u32,
}

/// When it ends; of those that end together which was set first; and its key.
type Place = (u64, u64, Key);

/// The table.
#[derive(Debug)]
pub(super) struct Aged<V> {
    most: usize,
    /// How often something was set.
    set: u64,
    held: HashMap<Key, Held<V>>,
    order: BTreeSet<Place>,
    /// The same by group, of those that have one.
    groups: HashMap<u32, BTreeSet<Place>>,
}

impl<V: Copy> Aged<V> {
    /// At most so many entries.
    pub(super) fn new(most: usize) -> Self {
        Aged { most, set: 0, held: HashMap::new(), order: BTreeSet::new(), groups: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= self.most
    }

    /// The value of a key whose time has not ended.
    pub(super) fn get(&self, key: &Key, now: u64) -> Option<V> {
        self.held.get(key).filter(|held| held.place.0 > now).map(|held| held.value)
    }

    /// The entry that leaves next.
    pub(super) fn first(&self) -> Option<(Key, V)> {
        let (_, _, key) = self.order.first()?;
        self.held.get(key).map(|held| (*key, held.value))
    }

    /// How many entries a group has.
    pub(super) fn len_of(&self, group: u32) -> usize {
        self.groups.get(&group).map_or(0, BTreeSet::len)
    }

    /// The entry of a group that leaves next.
    pub(super) fn first_of(&self, group: u32) -> Option<(Key, V)> {
        let (_, _, key) = self.groups.get(&group)?.first()?;
        self.held.get(key).map(|held| (*key, held.value))
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, key: Key) {
        if let Some(place) = self.held.get(&key).map(|held| held.place) {
            self.remove(place);
        }
    }

    /// Sets a value of no group; gives the key that had to leave for it.
    pub(super) fn set(&mut self, key: Key, value: V, until: u64) -> Option<Key> {
        self.set_in(0, key, value, until)
    }

    /// Sets a value of a group, 0 being none; gives the key that had to leave for it.
    pub(super) fn set_in(&mut self, group: u32, key: Key, value: V, until: u64) -> Option<Key> {
        self.take(key);
        self.set += 1;
        let place = (until, self.set, key);
        self.held.insert(key, Held { value, place, group });
        self.order.insert(place);
        if group != 0 {
            self.groups.entry(group).or_default().insert(place);
        }
        if self.held.len() <= self.most {
            return None;
        }
        // the newcomer stays, however short its time
        let leaving = self.order.iter().find(|(_, _, other)| *other != key).copied()?;
        self.remove(leaving);
        Some(leaving.2)
    }

    /// Lets one entry go whose time has ended.
    pub(super) fn expire_one(&mut self, now: u64) -> Option<Key> {
        let first = self.order.first().copied().filter(|(until, _, _)| *until <= now)?;
        self.remove(first);
        Some(first.2)
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, V)> + '_ {
        self.held.iter().map(|(key, held)| (*key, held.value))
    }

    fn remove(&mut self, place: Place) {
        self.order.remove(&place);
        let Some(gone) = self.held.remove(&place.2) else { return };
        if let Some(group) = self.groups.get_mut(&gone.group) {
            group.remove(&place);
            if group.is_empty() {
                self.groups.remove(&gone.group);
            }
        }
    }
}
