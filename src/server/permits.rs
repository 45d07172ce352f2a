//! How many connections there may be: in all, from one address, and from one network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Limits;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// In all.
    pub total: usize,
    /// From one address.
    pub per_address: usize,
    /// From one IPv4 /24 or IPv6 /64.
    pub per_network: usize,
}

impl Places {
    /// As the configuration has it.
    pub fn of(limits: &Limits) -> Places {
        Places {
            total: limits.connections,
            per_address: limits.connections_per_address,
            per_network: limits.connections_per_network,
        }
    }
}

/// The places of connections.
#[derive(Debug)]
pub struct Permits {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    places: Places,
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    by_network: HashMap<IpAddr, usize>,
}

/// Held as long as the connection is open.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    ip: IpAddr,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// All places are taken.
    Busy,
    /// This address has its share.
    Share,
    /// This network has its share.
    Network,
}

impl Permits {
    /// So many.
    pub fn new(places: Places) -> Arc<Self> {
        let (by_address, by_network) = (HashMap::new(), HashMap::new());
        Arc::new(Permits { open: Mutex::new(Open { places, total: 0, by_address, by_network }) })
    }

    /// From now on so many; connections beyond that stay.
    pub fn bound(&self, places: Places) {
        self.open().places = places;
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, Denied> {
        let ip = ip.to_canonical();
        let mut open = self.open();
        if open.total >= open.places.total {
            return Err(Denied::Busy);
        }
        if held(&open.by_address, ip) >= open.places.per_address {
            return Err(Denied::Share);
        }
        if held(&open.by_network, network(ip)) >= open.places.per_network {
            return Err(Denied::Network);
        }
        *open.by_address.entry(ip).or_insert(0) += 1;
        *open.by_network.entry(network(ip)).or_insert(0) += 1;
        open.total += 1;
        Ok(Permit { permits: Arc::clone(self), ip })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held(counts: &HashMap<IpAddr, usize>, of: IpAddr) -> usize {
    counts.get(&of).copied().unwrap_or(0)
}

fn give_back(counts: &mut HashMap<IpAddr, usize>, of: IpAddr) {
    if let Some(count) = counts.get_mut(&of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.permits.open();
        open.total = open.total.saturating_sub(1);
        give_back(&mut open.by_address, self.ip);
        give_back(&mut open.by_network, network(self.ip));
    }
}

/// The /24 of an IPv4 address, the /64 of an IPv6 one.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & !0xff).into()),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}
