//! Whether a list is in order: it lists what it must and does not list what it must not (RFC 5782 §5).
//!
//! Probes bypass the cache, so that what they see is what the list says now.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use futures_util::future::{join, join_all};

use super::answer::can_list;
use super::{List, ListSetup, name};
use crate::authenticate::Authenticator;
use crate::authenticate::resolver::{Answer, DnsName, Trouble};
use crate::facts::ListKind;

/// RFC 5782 §5.
const LISTED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const UNLISTED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const LISTED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 2));
const UNLISTED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1));
const LISTED_DOMAIN: &str = "TEST";
const UNLISTED_DOMAIN: &str = "INVALID";

/// One family of addresses, or the domains, of a list: with its own probes and its own health.
pub(super) struct Lane {
    what: &'static str,
    listed: String,
    unlisted: String,
    health: AtomicU8,
    /// Something was amiss with an answer since the last probe.
    doubted: AtomicBool,
    /// How often it was asked whether to probe it again soon, since it fell silent.
    waited: AtomicU32,
}

/// How a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Health {
    /// Not probed yet.
    Unknown,
    /// In order.
    Up,
    /// It answers, and does not list what it must: it holds nothing of this kind, or nothing at all.
    Empty,
    /// It lists what it must not: a zone that answers for every name.
    ListsAll,
    /// An answer that can be no listing.
    Refuses,
    /// No answer, or SERVFAIL and the like.
    Silent,
}

impl Health {
    const ALL: [Health; 6] =
        [Health::Unknown, Health::Up, Health::Empty, Health::ListsAll, Health::Refuses, Health::Silent];

    const fn describe(self) -> &'static str {
        match self {
            Health::Unknown => "it was not probed yet",
            Health::Up => "it is in order",
            Health::Empty => "it does not list its own test entry",
            Health::ListsAll => "it lists what must not be listed: the zone answers for every name",
            Health::Refuses => {
                "it answers with what is no listing: the operator refuses our resolver, or the zone is gone"
            }
            Health::Silent => "it does not answer",
        }
    }
}

/// The lanes of a list. A probe of the administrator's takes the place of the one of its own family.
pub(super) fn lanes(setup: &ListSetup) -> Vec<Lane> {
    let lane = |what, listed, unlisted| {
        let health = AtomicU8::new(Health::Unknown as u8);
        Lane { what, listed, unlisted, health, doubted: AtomicBool::default(), waited: AtomicU32::default() }
    };
    if setup.kind == ListKind::Domain {
        let name = |own: &Option<String>, default: &str| own.clone().unwrap_or_else(|| default.to_owned());
        let (listed, unlisted) =
            (name(&setup.listed_probe, LISTED_DOMAIN), name(&setup.unlisted_probe, UNLISTED_DOMAIN));
        return vec![lane("domains", listed, unlisted)];
    }
    let address = |own: &Option<String>, default: IpAddr| {
        let own = own.as_ref().and_then(|text| text.parse::<IpAddr>().ok());
        name::of_address(own.filter(|own| own.is_ipv4() == default.is_ipv4()).unwrap_or(default))
    };
    let pair = |listed, unlisted| (address(&setup.listed_probe, listed), address(&setup.unlisted_probe, unlisted));
    let (v4, v6) = (pair(LISTED_V4, UNLISTED_V4), pair(LISTED_V6, UNLISTED_V6));
    vec![lane("IPv4 addresses", v4.0, v4.1), lane("IPv6 addresses", v6.0, v6.1)]
}

impl Lane {
    fn health(&self) -> Health {
        let now = self.health.load(Ordering::Relaxed);
        Health::ALL.into_iter().find(|health| *health as u8 == now).unwrap_or(Health::Unknown)
    }

    pub(super) fn is_up(&self) -> bool {
        self.health() == Health::Up
    }

    /// Sets the health and gives what it was.
    fn set(&self, health: Health) -> Health {
        let was = self.health.swap(health as u8, Ordering::Relaxed);
        Health::ALL.into_iter().find(|health| *health as u8 == was).unwrap_or(Health::Unknown)
    }

    /// An answer was trouble, or can be no listing: the list is to be probed soon.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// Whether a probe is due before its time: in doubt, or where there was no answer to the last one.
    fn is_doubtful(&self) -> bool {
        self.doubted.load(Ordering::Relaxed) || self.is_unheard()
    }

    /// There was no answer to the last probe.
    fn is_unheard(&self) -> bool {
        matches!(self.health(), Health::Unknown | Health::Silent)
    }

    /// Whether a lane that was not heard is to be probed again at this call: at the first, second, fourth and eighth.
    fn is_due_again(&self) -> bool {
        if !self.is_unheard() {
            self.waited.store(0, Ordering::Relaxed);
            return false;
        }
        let waited = self.waited.load(Ordering::Relaxed).saturating_add(1);
        self.waited.store(waited, Ordering::Relaxed);
        waited <= 8 && waited.is_power_of_two()
    }
}

impl Authenticator {
    /// Takes every list to be in order, without asking any: a rehearsal's DNS has no test entries.
    pub fn trust_block_lists(&self) {
        for lane in self.block_lists().iter().flat_map(|list| &list.lanes) {
            lane.set(Health::Up);
        }
    }

    /// Probes every list, side by side, and switches each off or on; what changes is said in the log. To be called at start, every ten
    /// minutes, and when the configuration has changed.
    pub async fn probe_block_lists(&self) {
        let all = |lane: &Lane| {
            lane.waited.store(0, Ordering::Relaxed);
            true
        };
        self.probe_some(all).await;
    }

    /// The same for the lists that gave reason to doubt since their last probe, or did not answer it. To be called every quarter of a
    /// minute: more often, and strangers could have an operator asked more than he likes.
    pub async fn probe_doubtful_block_lists(&self) {
        self.probe_some(Lane::is_doubtful).await;
    }

    /// The same for the lists that did not answer their last probe, at the first, second, fourth and eighth call since: whatever was out
    /// of order for a moment, a resolver that restarts or a connection that is gone, costs a list no more than that moment. To be called
    /// every second.
    pub async fn probe_unheard_block_lists(&self) {
        self.probe_some(Lane::is_due_again).await;
    }

    async fn probe_some(&self, is_due: impl Fn(&Lane) -> bool) {
        // every lane is asked, so that none loses count
        let is_any_due = |list: &&Arc<List>| list.lanes.iter().filter(|lane| is_due(lane)).count() > 0;
        let due = self.block_lists().iter().filter(is_any_due);
        let probes = due.map(async |list| {
            let healths = join_all(list.lanes.iter().map(|lane| self.probe(list.zone(), lane))).await;
            note(list, &healths);
        });
        join_all(probes).await;
    }

    async fn probe(&self, zone: &str, lane: &Lane) -> Health {
        let was_doubted = lane.doubted.swap(false, Ordering::Relaxed);
        let (listed, unlisted) = join(self.probe_one(&lane.listed, zone), self.probe_one(&lane.unlisted, zone)).await;
        match (listed, unlisted) {
            // our own DNS is out of order: that says nothing of the list
            (Answer::Trouble(Trouble::Outage), _) | (_, Answer::Trouble(Trouble::Outage)) => {
                lane.doubted.fetch_or(was_doubted, Ordering::Relaxed);
                lane.health()
            }
            (Answer::Found(answers), _) | (_, Answer::Found(answers)) if !answers.iter().all(|one| can_list(*one)) => {
                Health::Refuses
            }
            (_, Answer::Found(_)) => Health::ListsAll,
            (Answer::Trouble(_), _) | (_, Answer::Trouble(_)) => Health::Silent,
            (Answer::NoData | Answer::NxDomain, _) => Health::Empty,
            (Answer::Found(_), Answer::NoData | Answer::NxDomain) => Health::Up,
        }
    }

    async fn probe_one(&self, name: &str, zone: &str) -> Answer<Ipv4Addr> {
        match DnsName::parse(format!("{name}.{zone}")) {
            Some(name) => self.resolver().a_afresh(&name).await,
            None => Answer::NxDomain,
        }
    }
}

/// Sets the health of a list's lanes and says what changed. A list of one family of addresses is in order.
fn note(list: &List, healths: &[Health]) {
    let zone = list.zone();
    let was: Vec<Health> = list.lanes.iter().zip(healths).map(|(lane, health)| lane.set(*health)).collect();
    if was == healths {
        return;
    }
    if !healths.contains(&Health::Up) {
        let why = healths.first().map_or("", |health| health.describe());
        tracing::error!(zone, why, "block_lists: the list is switched off until it passes its probe");
        return;
    }
    for ((lane, now), was) in list.lanes.iter().zip(healths).zip(was) {
        let what = lane.what;
        match (was, *now) {
            (was, now) if was == now => {}
            (Health::Unknown, Health::Up) => {}
            (_, Health::Up) => {
                tracing::info!(zone, "block_lists: the list is in order again and is asked about {what}")
            }
            (Health::Unknown | Health::Silent, Health::Empty) => {
                tracing::info!(zone, "block_lists: the list has no {what}");
            }
            (_, now) => tracing::error!(zone, why = now.describe(), "block_lists: the list is not asked about {what}"),
        }
    }
}
