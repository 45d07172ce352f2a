//! The most frequent names of a stream, in memory that does not grow with it.

use std::collections::HashMap;

use serde::Serialize;

/// Counts names; once there are twice as many as it keeps, the rarer half is dropped. What is counted of a name is then too low by at most
/// what the dropped ones had, see [`Most::is_approximate`].
#[derive(Debug, Clone)]
pub struct Most {
    keeps: usize,
    counts: HashMap<String, u64>,
    /// The largest count that was ever dropped.
    dropped: u64,
}

/// A name with its count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// How often it was counted, at least.
    pub count: u64,
}

impl Most {
    /// Keeps so many names.
    pub fn keeping(keeps: usize) -> Most {
        Most { keeps, counts: HashMap::new(), dropped: 0 }
    }

    /// Counts a name once; an empty one is none.
    pub fn add(&mut self, name: &str) {
        if name.is_empty() {
            return;
        }
        match self.counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(name.to_owned(), 1);
                self.prune();
            }
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: Most) {
        self.dropped += other.dropped;
        for (name, count) in other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        self.prune();
    }

    fn prune(&mut self) {
        if self.counts.len() < self.keeps.saturating_mul(2) {
            return;
        }
        let mut sorted = self.sorted();
        let rare = sorted.split_off(self.keeps.min(sorted.len()));
        self.dropped += rare.iter().map(|named| named.count).max().unwrap_or(0);
        for named in rare {
            self.counts.remove(&named.name);
        }
    }

    fn sorted(&self) -> Vec<Named> {
        let mut all: Vec<Named> =
            self.counts.iter().map(|(name, count)| Named { name: name.clone(), count: *count }).collect();
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        all
    }

    /// The most frequent ones, most frequent first.
    pub fn top(&self, length: usize) -> Vec<Named> {
        let mut all = self.sorted();
        all.truncate(length);
        all
    }

    /// Whether names were dropped, so that counts may be too low.
    pub fn is_approximate(&self) -> bool {
        self.dropped > 0
    }

    /// By how much a count may be too low.
    pub fn error(&self) -> u64 {
        self.dropped
    }

    /// Whether this name was counted, and is still kept.
    pub fn has(&self, name: &str) -> bool {
        self.counts.contains_key(name)
    }

    /// How many names are kept.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}
