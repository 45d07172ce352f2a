//! The newest of what was found, and no more of it in memory.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::brief::Brief;
use super::query::{Match, Query};

/// A record that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it says in brief.
    pub brief: Brief,
    /// The line, where lines are asked for.
    pub line: Vec<u8>,
}

impl Found {
    fn key(&self) -> (&str, &str) {
        (&self.brief.time, &self.brief.reference)
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// The newest records that fit.
#[derive(Debug)]
pub struct Newest {
    limit: usize,
    with_lines: bool,
    kept: BTreeSet<Found>,
    /// How many fit, those included that are not kept.
    pub found: u64,
    /// Lines that were passed over because they are torn or not ours.
    pub skipped: u64,
}

impl Newest {
    /// None yet, of `limit` at most.
    pub fn of(limit: usize, with_lines: bool) -> Newest {
        Newest { limit, with_lines, kept: BTreeSet::new(), found: 0, skipped: 0 }
    }

    /// Takes a line if it fits.
    pub fn take(&mut self, query: &Query, line: &[u8]) {
        match query.look(line) {
            Match::Empty | Match::Other => {}
            Match::Foreign => self.skipped += 1,
            Match::Found(brief) => {
                self.found += 1;
                let line = if self.with_lines { line.to_vec() } else { Vec::new() };
                self.keep(Found { brief: *brief, line });
            }
        }
    }

    /// Adds what was found elsewhere.
    pub fn merge(&mut self, other: Newest) {
        self.found += other.found;
        self.skipped += other.skipped;
        other.kept.into_iter().for_each(|found| self.keep(found));
    }

    /// Whether no older one would be kept.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= self.limit
    }

    /// What is kept, newest first.
    pub fn kept(&self) -> impl DoubleEndedIterator<Item = &Found> {
        self.kept.iter().rev()
    }

    fn keep(&mut self, found: Found) {
        // of a ref that has several lines at one time the last one counts
        self.kept.replace(found);
        if self.kept.len() > self.limit {
            self.kept.pop_first();
        }
    }
}
