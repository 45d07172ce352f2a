//! What messages that are under way hold, of memory or of the disk: bounded over all sessions, and for each client network, so that one
//! cannot starve the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Octets in all.
    pub all: u64,
    /// Octets of one network.
    pub of_network: u64,
}

impl Bounds {
    /// The lesser of each.
    pub fn within(self, other: Bounds) -> Bounds {
        Bounds { all: self.all.min(other.all), of_network: self.of_network.min(other.of_network) }
    }
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// All together hold what they may.
    Spent,
    /// This network does.
    OfNetwork,
}

/// Octets that messages hold, by network.
#[derive(Debug)]
pub struct Ledger {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bounds: Bounds,
    all: u64,
    by_network: HashMap<IpAddr, u64>,
}

impl Held {
    /// What all, and what this network, would hold with so much more.
    fn with(&self, network: IpAddr, octets: u64, bounds: Bounds) -> Result<(u64, u64), NoRoom> {
        let all = self.all.saturating_add(octets);
        let of_network = self.by_network.get(&network).copied().unwrap_or(0).saturating_add(octets);
        if all > bounds.all {
            return Err(NoRoom::Spent);
        }
        if of_network > bounds.of_network { Err(NoRoom::OfNetwork) } else { Ok((all, of_network)) }
    }
}

impl Ledger {
    /// At most `all` octets, and `of_network` of them for the clients of one network.
    pub fn new(all: u64, of_network: u64) -> Arc<Self> {
        Arc::new(Ledger { held: Mutex::new(Held { bounds: Bounds { all, of_network }, ..Held::default() }) })
    }

    /// From now on so much; what is held beyond it stays.
    pub fn bound(&self, all: u64, of_network: u64) {
        self.held().bounds = Bounds { all, of_network };
    }

    /// How much may be held.
    pub fn bounds(&self) -> Bounds {
        self.held().bounds
    }

    /// Octets that are held now.
    pub fn used(&self) -> u64 {
        self.held().all
    }

    /// Octets that a network holds now.
    pub fn used_by(&self, network: IpAddr) -> u64 {
        self.held().by_network.get(&network).copied().unwrap_or(0)
    }

    /// The network that holds most, of those that `counts`.
    pub fn heaviest(&self, counts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let held = self.held();
        let counted = held.by_network.iter().filter(|(network, _)| counts(**network));
        counted.max_by_key(|(_, octets)| **octets).map(|(network, _)| *network)
    }

    /// Whether a network could hold so much more, within narrower bounds.
    ///
    /// # Errors
    /// Why not.
    pub fn would_hold(&self, network: IpAddr, octets: u64, bounds: Bounds) -> Result<(), NoRoom> {
        let held = self.held();
        held.with(network, octets, bounds.within(held.bounds)).map(|_| ())
    }

    /// What a message of this network will hold; nothing yet.
    pub fn of(self: &Arc<Self>, network: IpAddr) -> Share {
        Share { ledger: Arc::clone(self), network, octets: 0 }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Octets that one message holds; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    ledger: Arc<Ledger>,
    network: IpAddr,
    octets: u64,
}

impl Share {
    /// Whose it is.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// Takes more; false, and nothing is taken, where there is no room.
    pub fn grow(&mut self, octets: u64) -> bool {
        self.grow_within(octets, Bounds { all: u64::MAX, of_network: u64::MAX }).is_ok()
    }

    /// Takes more, within narrower bounds.
    ///
    /// # Errors
    /// There is no room, and nothing is taken.
    pub fn grow_within(&mut self, octets: u64, bounds: Bounds) -> Result<(), NoRoom> {
        let mut held = self.ledger.held();
        let (all, of_network) = held.with(self.network, octets, bounds.within(held.bounds))?;
        held.all = all;
        held.by_network.insert(self.network, of_network);
        self.octets = self.octets.saturating_add(octets);
        Ok(())
    }

    /// Gives all of it back.
    pub fn give_back(&mut self) {
        self.shrink(self.octets);
    }

    /// Gives so much of it back.
    pub fn shrink(&mut self, octets: u64) {
        let octets = octets.min(self.octets);
        self.octets -= octets;
        let mut held = self.ledger.held();
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
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip => ip,
    }
}

/// The /24 of an IPv4 address, the /64 of an IPv6 one: what somebody who has several commonly has.
pub fn wide_network(ip: IpAddr) -> IpAddr {
    match network(ip) {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & !0xff).into()),
        ip => ip,
    }
}
