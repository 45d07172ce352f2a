//! What messages hold in memory: bounded over all sessions, and for each client network, so that one cannot starve the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets of messages that may be in memory at once.
#[derive(Debug)]
pub struct Memory {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    limit: u64,
    share: u64,
    all: u64,
    by_network: HashMap<IpAddr, u64>,
}

impl Memory {
    /// At most `limit` octets, and `share` of them for the clients of one network.
    pub fn new(limit: u64, share: u64) -> Arc<Self> {
        Arc::new(Memory { held: Mutex::new(Held { limit, share, ..Held::default() }) })
    }

    /// From now on so much; what is held beyond it stays.
    pub fn bound(&self, limit: u64, share: u64) {
        let mut held = self.held();
        (held.limit, held.share) = (limit, share);
    }

    /// Octets that are held now.
    pub fn used(&self) -> u64 {
        self.held().all
    }

    /// What a message of this client will hold; nothing yet.
    pub(super) fn of(self: &Arc<Self>, client: IpAddr) -> Share {
        Share { memory: Arc::clone(self), network: network(client), octets: 0 }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Octets that one message holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    network: IpAddr,
    octets: u64,
}

impl Share {
    /// Takes more; false, and nothing is taken, where there is no room.
    pub(super) fn grow(&mut self, octets: u64) -> bool {
        let mut held = self.memory.held();
        let of_network = held.by_network.get(&self.network).copied().unwrap_or(0).saturating_add(octets);
        let all = held.all.saturating_add(octets);
        if all > held.limit || of_network > held.share {
            return false;
        }
        held.all = all;
        held.by_network.insert(self.network, of_network);
        self.octets = self.octets.saturating_add(octets);
        true
    }

    /// Gives all of it back.
    pub(super) fn give_back(&mut self) {
        self.shrink(self.octets);
    }

    /// Gives so much of it back.
    pub(super) fn shrink(&mut self, octets: u64) {
        let octets = octets.min(self.octets);
        self.octets -= octets;
        let mut held = self.memory.held();
        held.all = held.all.saturating_sub(octets);
        if let Some(of_network) = held.by_network.get_mut(&self.network) {
            *of_network = of_network.saturating_sub(octets);
            if *of_network == 0 {
                held.by_network.remove(&self.network);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// One IPv4 address, or the /64 of an IPv6 address: what one sender commonly has.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        ip => ip,
    }
}
