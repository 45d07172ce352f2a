//! Key records that were read lately. Much mail is signed with few keys, and reading a record anew, down to the numbers of its key,
//! takes as long as a good part of the verification.
//!
//! What a record says depends on nothing but its octets, and by these it is found: nobody can make one record stand for another. The
//! most that a stranger's records do is crowd others out, which then are read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Key;
use crate::authenticate::results::Flaw;

/// Records of one generation; there are two.
const GENERATION: usize = 512;
/// Octets of a record that is kept: an RSA key of 8192 bits has 1,500.
const RECORD_OCTETS: usize = 2048;

/// The records, and what they say. Those that can't be used aren't kept.
#[derive(Default)]
pub(in crate::authenticate) struct KnownKeys(Mutex<Generations>);

/// Whoever is found among the old is young again; the old go when there are too many young.
#[derive(Default)]
struct Generations {
    young: HashMap<Box<[u8]>, Arc<Key>>,
    old: HashMap<Box<[u8]>, Arc<Key>>,
}

impl KnownKeys {
    /// What this record says.
    ///
    /// # Errors
    /// Why it can't be used.
    pub(super) fn read(&self, record: &[u8], read: impl FnOnce(&[u8]) -> Result<Key, Flaw>) -> Result<Arc<Key>, Flaw> {
        if let Some(key) = self.locked(|known| known.find(record)) {
            return Ok(key);
        }
        // Without the lock: reading takes long.
        let key = Arc::new(read(record)?);
        if record.len() <= RECORD_OCTETS {
            self.locked(|known| known.keep(record.into(), Arc::clone(&key)));
        }
        Ok(key)
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Generations) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Generations {
    fn find(&mut self, record: &[u8]) -> Option<Arc<Key>> {
        if let Some(key) = self.young.get(record) {
            return Some(Arc::clone(key));
        }
        let (record, key) = self.old.remove_entry(record)?;
        self.keep(record, Arc::clone(&key));
        Some(key)
    }

    fn keep(&mut self, record: Box<[u8]>, key: Arc<Key>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(record, key);
    }
}
