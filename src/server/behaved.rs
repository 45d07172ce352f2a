//! Who has behaved: the networks whose last session delivered mail and made no mistake. Under stress they are preferred.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::receive::network;

/// Networks of one half of the table: about 300 kB. When the younger half is full, the older one is forgotten.
const HALF: usize = 8_192;

/// The table. An IPv4 address and an IPv6 /64 are a network.
#[derive(Debug, Default)]
pub struct Behaved {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    younger: HashSet<IpAddr>,
    older: HashSet<IpAddr>,
}

impl Behaved {
    /// Whether the client's network has behaved.
    pub fn knows(&self, ip: IpAddr) -> bool {
        let halves = self.halves();
        let network = network(ip);
        halves.younger.contains(&network) || halves.older.contains(&network)
    }

    /// A session has ended.
    pub fn note(&self, ip: IpAddr, has_behaved: bool) {
        let network = network(ip);
        let mut halves = self.halves();
        halves.older.remove(&network);
        if !has_behaved {
            halves.younger.remove(&network);
            return;
        }
        if halves.younger.len() >= HALF && !halves.younger.contains(&network) {
            halves.older = std::mem::take(&mut halves.younger);
        }
        halves.younger.insert(network);
    }

    /// How many networks it holds.
    pub fn len(&self) -> usize {
        let halves = self.halves();
        halves.younger.len().saturating_add(halves.older.len())
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
