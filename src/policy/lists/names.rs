//! A set of names that is small in memory: all of them stand in one text, and a table has where each begins.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// What stands behind each name; no name has it.
const END: char = '\n';

/// A set of names without line ends.
#[derive(Debug, Clone, Default)]
pub struct Names {
    text: String,
    starts: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    /// Adds a name.
    ///
    /// # Errors
    /// The set is full (4 GiB of text), or the name has a line end.
    pub fn insert(&mut self, name: &str) -> Result<(), &'static str> {
        if name.contains(END) {
            return Err("a name has no line end");
        }
        if self.contains(name) {
            return Ok(());
        }
        let start = u32::try_from(self.text.len()).map_err(|_| "the list is too long")?;
        self.text.push_str(name);
        self.text.push(END);
        let Names { text, starts, hasher } = self;
        starts.insert_unique(hasher.hash_one(name), start, |start| hasher.hash_one(at(text, *start)));
        Ok(())
    }

    /// Whether it has this name, as it was added.
    pub fn contains(&self, name: &str) -> bool {
        let is_name = |start: &u32| at(&self.text, *start) == name;
        !self.text.is_empty() && self.starts.find(self.hasher.hash_one(name), is_name).is_some()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Gives back what was reserved and isn't needed: no name comes any more.
    pub fn shrink(&mut self) {
        let Names { text, starts, hasher } = self;
        text.shrink_to_fit();
        starts.shrink_to_fit(|start| hasher.hash_one(at(text, *start)));
    }
}

/// The name that begins at a byte.
fn at(text: &str, start: u32) -> &str {
    let rest = usize::try_from(start).ok().and_then(|start| text.get(start..)).unwrap_or_default();
    rest.split(END).next().unwrap_or_default()
}
