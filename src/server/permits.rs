//! How many connections there may be: in all, from one address, and from one network; and whether so many are open that the server is
//! under stress.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

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
    /// With so many open, the server is under stress.
    pub stress: usize,
}

impl Places {
    /// So many, of which `percent` make stress.
    pub fn new(total: usize, per_address: usize, per_network: usize, percent: usize) -> Places {
        let stress = total.saturating_mul(percent).div_ceil(100).max(1);
        Places { total, per_address, per_network, stress }
    }

    /// For clients of networks that have behaved all of them; half of what is left under stress is kept for these.
    fn of(&self, has_behaved: bool) -> usize {
        let kept = if has_behaved { 0 } else { self.total.saturating_sub(self.stress) / 2 };
        self.total.saturating_sub(kept)
    }

    /// With fewer open, stress is over: a tenth below its beginning, so that it does not flicker.
    fn calm(&self) -> usize {
        self.stress.saturating_sub(self.total / 10).max(1)
    }

    /// As the configuration has it.
    pub fn of_config(limits: &Limits) -> Places {
        Places::new(
            limits.connections,
            limits.connections_per_address,
            limits.connections_per_network,
            usize::try_from(limits.stress).unwrap_or(100),
        )
    }
}

/// The places of connections.
#[derive(Debug)]
pub struct Permits {
    open: Mutex<Open>,
    /// Since when there is stress. Changed only under the lock.
    stress: watch::Sender<Option<Instant>>,
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
    /// `None` as long as a proxy has not said for whom it speaks.
    ip: Option<IpAddr>,
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
    /// Its network has asked for too many unknown recipients.
    Harvest,
    /// Hardly a file can be opened any more.
    Files,
}

impl Permits {
    /// So many.
    pub fn new(places: Places) -> Arc<Self> {
        let (by_address, by_network) = (HashMap::new(), HashMap::new());
        let open = Mutex::new(Open { places, total: 0, by_address, by_network });
        Arc::new(Permits { open, stress: watch::Sender::new(None) })
    }

    /// From now on so many; connections beyond that stay.
    pub fn bound(&self, places: Places) {
        let mut open = self.open();
        open.places = places;
        self.weigh(&open);
    }

    /// Since when there is stress, now and later.
    pub fn stress(&self) -> watch::Receiver<Option<Instant>> {
        self.stress.subscribe()
    }

    /// Whether there is stress.
    pub fn is_under_stress(&self) -> bool {
        self.stress.borrow().is_some()
    }

    /// Stress begins or ends, or neither.
    fn weigh(&self, open: &Open) {
        let (connections, Places { total, stress, .. }) = (open.total, open.places);
        let was = self.is_under_stress();
        if !was && connections >= stress {
            self.stress.send_replace(Some(Instant::now()));
            tracing::warn!(
                connections,
                total,
                "under stress: nearly all connections are in use, waits are short and clients that have behaved are preferred"
            );
        } else if was && connections < open.places.calm() {
            self.stress.send_replace(None);
            tracing::info!(connections, total, "the stress is over");
        }
    }

    /// Takes a place, for a client of a network that has behaved or not.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(self: &Arc<Self>, ip: IpAddr, has_behaved: bool) -> Result<Permit, Denied> {
        let ip = ip.to_canonical();
        let mut open = self.open();
        if open.total >= open.places.of(has_behaved) {
            return Err(Denied::Busy);
        }
        open.name(ip)?;
        open.total += 1;
        self.weigh(&open);
        Ok(Permit { permits: Arc::clone(self), ip: Some(ip) })
    }

    /// Takes a place for whom a proxy speaks, who is to be [named](Permit::name) next.
    ///
    /// # Errors
    /// All are taken.
    pub fn take_for_proxy(self: &Arc<Self>) -> Result<Permit, Denied> {
        let mut open = self.open();
        if open.total >= open.places.total {
            return Err(Denied::Busy);
        }
        open.total += 1;
        self.weigh(&open);
        Ok(Permit { permits: Arc::clone(self), ip: None })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Counts a connection for its address and network.
    fn name(&mut self, ip: IpAddr) -> Result<(), Denied> {
        if held(&self.by_address, ip) >= self.places.per_address {
            return Err(Denied::Share);
        }
        if held(&self.by_network, network(ip)) >= self.places.per_network {
            return Err(Denied::Network);
        }
        *self.by_address.entry(ip).or_insert(0) += 1;
        *self.by_network.entry(network(ip)).or_insert(0) += 1;
        Ok(())
    }
}

impl Permit {
    /// Says whose it is, once: of a network that has behaved or not.
    ///
    /// # Errors
    /// Why there is no place for it.
    pub fn name(&mut self, ip: IpAddr, has_behaved: bool) -> Result<(), Denied> {
        let ip = ip.to_canonical();
        let mut open = self.permits.open();
        // its own place is counted
        if open.total > open.places.of(has_behaved) {
            return Err(Denied::Busy);
        }
        open.name(ip)?;
        self.ip = Some(ip);
        Ok(())
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
        if let Some(ip) = self.ip {
            give_back(&mut open.by_address, ip);
            give_back(&mut open.by_network, network(ip));
        }
        self.permits.weigh(&open);
    }
}

/// The /24 of an IPv4 address, the /64 of an IPv6 one.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & !0xff).into()),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}
