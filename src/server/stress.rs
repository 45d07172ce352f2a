//! Stress: nearly all of something that sessions share is taken, connections, memory, disk or descriptors. Whose messages hold most of
//! what is short is let go first.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::descriptors;
use super::generation::Lasting;
use crate::deliver::Writers;
use crate::message::ledger::{Ledger, network, wide_network};

/// How often it is looked at what messages hold.
const EVERY: Duration = Duration::from_millis(500);

/// That there is stress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stress {
    /// Since then.
    pub since: Instant,
    /// Who is let go first.
    pub heaviest: Heaviest,
}

impl From<Instant> for Stress {
    /// Of connections: nobody holds more than another.
    fn from(since: Instant) -> Self {
        Stress { since, heaviest: Heaviest::default() }
    }
}

/// The networks whose messages hold most of what is short; `None` of what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heaviest {
    /// Of memory: one IPv4 address or IPv6 /64.
    pub memory: Option<IpAddr>,
    /// Of the disk: one IPv4 /24 or IPv6 /64.
    pub disk: Option<IpAddr>,
}

impl Heaviest {
    /// Whether a client is of one of them.
    pub fn includes(&self, client: IpAddr) -> bool {
        self.memory == Some(network(client)) || self.disk == Some(wide_network(client))
    }
}

/// How much of what sessions share is taken, each in percent of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Of `limits.memory`.
    pub memory: usize,
    /// Of what large messages may hold of the disk.
    pub disk: usize,
    /// Of the open files that we may have.
    pub descriptors: usize,
}

impl Pressure {
    /// What is taken most, and how much of it.
    pub fn greatest(&self) -> (&'static str, usize) {
        let all = [("memory", self.memory), ("disk", self.disk), ("open files", self.descriptors)];
        all.into_iter().max_by_key(|(_, percent)| *percent).unwrap_or_default()
    }
}

/// So much of that, in percent. Of nothing, nothing is taken.
fn percent(taken: u64, of: u64) -> usize {
    if taken == 0 {
        return 0;
    }
    usize::try_from(u128::from(taken) * 100 / u128::from(of.max(1))).unwrap_or(usize::MAX)
}

/// Looks at what messages hold, and tells the permits, as long as the server runs.
pub(super) async fn watch(lasting: Arc<Lasting>, writers: Arc<Writers>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&lasting, &writers);
    }
}

fn look(lasting: &Lasting, writers: &Writers) {
    let (memory, spooled) = (&lasting.receiver.memory, writers.spooled());
    let disk = spooled.ledger();
    let open = lasting.permits.connections().saturating_add(spooled.bodies());
    let pressure = Pressure {
        memory: percent(memory.used(), memory.bounds().all),
        disk: percent(disk.used(), spooled.most()),
        descriptors: percent(open as u64, descriptors::for_sessions()),
    };
    let was = lasting.permits.stress().borrow().map(|stress| stress.heaviest).unwrap_or_default();
    let short = lasting.permits.ends_at();
    let receiver = &lasting.receiver;
    // whom the short waits do not hold for is let go by nobody: hosts of our own, each of which holds what it holds for itself
    let strange_or = |ip: IpAddr, is_network: bool| !receiver.trusts(ip) || is_network;
    let heaviest = Heaviest {
        memory: (pressure.memory >= short)
            .then(|| of(memory, was.memory, |ip| strange_or(ip, ip.is_ipv6() && ip == network(ip))))
            .flatten(),
        disk: (pressure.disk >= short)
            .then(|| of(disk, was.disk, |ip| strange_or(ip, ip == wide_network(ip))))
            .flatten(),
    };
    lasting.permits.press(pressure, heaviest);
}

/// Who holds most; as long as nobody holds twice as much that stays who it was, since all sessions wake up when it changes.
fn of(ledger: &Ledger, was: Option<IpAddr>, counts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let heaviest = ledger.heaviest(&counts)?;
    let stays = was.filter(|was| counts(*was) && ledger.used_by(*was) > ledger.used_by(heaviest) / 2);
    Some(stays.unwrap_or(heaviest))
}
