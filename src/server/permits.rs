//! How many connections there may be: in all, from one address, and from one network; and whether so many are open, or so much of what
//! they share is taken, that the server is under stress.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Limits;
use crate::receive::wide_network;

use super::stress::{Heaviest, Pressure, Stress};

/// So many percent must be given back before stress is over, so that it does not flicker.
const CALMER: usize = 10;

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
    /// And with so many percent of what messages may hold.
    pub percent: usize,
}

impl Places {
    /// So many, of which `percent` make stress.
    pub fn new(total: usize, per_address: usize, per_network: usize, percent: usize) -> Places {
        let stress = total.saturating_mul(percent).div_ceil(100).max(1);
        Places { total, per_address, per_network, stress, percent }
    }

    /// For clients of networks that have behaved all of them; half of what is left under stress is kept for these.
    fn of(&self, has_behaved: bool) -> usize {
        let kept = if has_behaved { 0 } else { self.total.saturating_sub(self.stress) / 2 };
        self.total.saturating_sub(kept)
    }

    /// With fewer open, stress is over: a tenth below its beginning, so that it does not flicker, but half of that is always enough.
    fn calm(&self) -> usize {
        self.stress.saturating_sub(self.total / 10).max(self.stress / 2).max(1)
    }

    /// The same in percent of what messages may hold.
    fn calm_percent(&self) -> usize {
        self.percent.saturating_sub(CALMER).max(self.percent / 2).max(1)
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
    stress: watch::Sender<Option<Stress>>,
}

#[derive(Debug)]
struct Open {
    places: Places,
    pressure: Pressure,
    heaviest: Heaviest,
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    by_network: HashMap<IpAddr, usize>,
}

/// Held as long as the connection is open.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    /// `None` as long as a proxy or a filter has not said for whom it speaks.
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
        let (pressure, heaviest) = (Pressure::default(), Heaviest::default());
        let open = Mutex::new(Open { places, pressure, heaviest, total: 0, by_address, by_network });
        Arc::new(Permits { open, stress: watch::Sender::new(None) })
    }

    /// From now on so many; connections beyond that stay.
    pub fn bound(&self, places: Places) {
        let mut open = self.open();
        open.places = places;
        self.weigh(&open);
    }

    /// So much is taken of what messages share, and these hold most of what is short.
    pub fn press(&self, pressure: Pressure, heaviest: Heaviest) {
        let mut open = self.open();
        (open.pressure, open.heaviest) = (pressure, heaviest);
        self.weigh(&open);
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.open().total
    }

    /// The percent below which stress is over.
    pub fn ends_at(&self) -> usize {
        self.open().places.calm_percent()
    }

    /// Since when there is stress, now and later.
    pub fn stress(&self) -> watch::Receiver<Option<Stress>> {
        self.stress.subscribe()
    }

    /// Whether there is stress.
    pub fn is_under_stress(&self) -> bool {
        self.stress.borrow().is_some()
    }

    /// Stress begins or ends, or neither.
    fn weigh(&self, open: &Open) {
        let (connections, total) = (open.total, open.places.total);
        let (most, percent) = open.pressure.greatest();
        match *self.stress.borrow() {
            None if open.is_short() => {}
            Some(_) if open.is_calm() => {}
            Some(stress) if stress.heaviest != open.heaviest => {}
            _ => return,
        }
        let was = self.stress.borrow().map(|stress| stress.since);
        if was.is_some() && open.is_calm() {
            self.stress.send_replace(None);
            tracing::info!(connections, total, most, percent, "the stress is over");
            return;
        }
        let since = was.unwrap_or_else(Instant::now);
        self.stress.send_replace(Some(Stress { since, heaviest: open.heaviest }));
        if was.is_none() {
            tracing::warn!(
                connections,
                total,
                most,
                percent,
                "under stress: nearly all connections, memory, disk or open files are in use, waits are short and clients that have \
                 behaved are preferred"
            );
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

    /// Takes a place for whom a proxy or a filter speaks, who is to be [named](Permit::name) next.
    ///
    /// # Errors
    /// All are taken.
    pub fn take_unnamed(self: &Arc<Self>) -> Result<Permit, Denied> {
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
    /// Whether nearly all of something is taken.
    fn is_short(&self) -> bool {
        self.total >= self.places.stress || self.pressure.greatest().1 >= self.places.percent
    }

    /// Whether enough was given back of all.
    fn is_calm(&self) -> bool {
        self.total < self.places.calm() && self.pressure.greatest().1 < self.places.calm_percent()
    }

    /// Counts a connection for its address and network.
    fn name(&mut self, ip: IpAddr) -> Result<(), Denied> {
        if held(&self.by_address, ip) >= self.places.per_address {
            return Err(Denied::Share);
        }
        if held(&self.by_network, wide_network(ip)) >= self.places.per_network {
            return Err(Denied::Network);
        }
        *self.by_address.entry(ip).or_insert(0) += 1;
        *self.by_network.entry(wide_network(ip)).or_insert(0) += 1;
        Ok(())
    }

    /// Counts a connection no more for its address and network.
    fn forget(&mut self, ip: IpAddr) {
        give_back(&mut self.by_address, ip);
        give_back(&mut self.by_network, wide_network(ip));
    }
}

impl Permit {
    /// Says whose it is from now on: of a network that has behaved or not.
    ///
    /// # Errors
    /// Why there is no place for it; then it is nobody's.
    pub fn name(&mut self, ip: IpAddr, has_behaved: bool) -> Result<(), Denied> {
        let ip = ip.to_canonical();
        let mut open = self.permits.open();
        if let Some(before) = self.ip.take() {
            open.forget(before);
        }
        // its own place is counted
        if open.total > open.places.of(has_behaved) {
            return Err(Denied::Busy);
        }
        open.name(ip)?;
        self.ip = Some(ip);
        Ok(())
    }

    /// It is nobody's from now on: whoever has the connection speaks for itself.
    pub fn unname(&mut self) {
        if let Some(before) = self.ip.take() {
            self.permits.open().forget(before);
        }
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
            open.forget(ip);
        }
        self.permits.weigh(&open);
    }
}
