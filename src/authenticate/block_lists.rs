//! DNS block and allow lists (RFC 5782): what they say of the client's address and of domains.
//!
//! An answer counts only where it can be a listing: within 127.0.0.0/8, and outside 127.255.255.0/24, where operators put their
//! refusals. A list that fails its probe is switched off until a probe finds it in order again: a zone that has lapsed, or a
//! resolver that the operator refuses, would otherwise list the whole world. An answer that can be no listing has the list probed soon,
//! and nothing more: whoever says a name in HELO chooses what is asked, and below a list's zone stand hosts of its operator, too.

mod answer;
mod name;
mod probe;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;

use super::Authenticator;
use super::resolver::{Answer, Share, Trouble};
use crate::facts::{BlockList, ListKind};
use answer::Heard;
use probe::Lane;

/// Names of a message and its session that a list of domains may be asked about: HELO, reverse name, reverse-path, and the authors
/// whom `receive` names.
const MOST_NAMES: usize = 7;

/// One list as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSetup {
    /// Its zone, A-labels in lower case.
    pub zone: String,
    /// What it is asked about.
    pub kind: ListKind,
    /// What its return codes are called; an answer that none of them matches does not list. `None`: every answer but 127.0.0.1
    /// lists, and is its own name.
    pub codes: Option<Vec<Code>>,
    /// What must be listed: an address or a domain, by [`ListSetup::kind`]. `None`, and for the family of addresses that it is not of:
    /// what RFC 5782 §5 says.
    pub listed_probe: Option<String>,
    /// What must not be listed.
    pub unlisted_probe: Option<String>,
}

/// Return codes of one name: the addresses that agree with `address` in the bits of `mask`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// An address of them.
    pub address: Ipv4Addr,
    /// The bits that count.
    pub mask: Ipv4Addr,
    /// What they are called.
    pub name: String,
}

impl Code {
    fn matches(&self, answer: Ipv4Addr) -> bool {
        (answer.to_bits() ^ self.address.to_bits()) & self.mask.to_bits() == 0
    }
}

/// What was asked of one list since it was set up.
#[derive(Debug, Default)]
pub struct ListCounters {
    /// It lists what was asked.
    pub listed: AtomicU64,
    /// It does not.
    pub unlisted: AtomicU64,
    /// Answers to which the configuration gives no name.
    pub unmapped: AtomicU64,
    /// Answers that can be no listing: the operator refuses us, or the zone is not what it was.
    pub refused: AtomicU64,
    /// DNS trouble.
    pub errors: AtomicU64,
}

/// A list and what is known of its health.
pub struct List {
    setup: ListSetup,
    /// For an address list IPv4 and IPv6, for a list of domains one.
    lanes: Vec<Lane>,
    counters: ListCounters,
}

/// The lists of one configuration.
#[derive(Default)]
pub(super) struct BlockLists(Vec<Arc<List>>);

impl List {
    fn new(setup: ListSetup) -> List {
        List { lanes: probe::lanes(&setup), setup, counters: ListCounters::default() }
    }

    /// Its zone.
    pub fn zone(&self) -> &str {
        &self.setup.zone
    }

    /// Whether it is in order, and so is asked.
    pub fn is_up(&self) -> bool {
        self.lanes.iter().any(Lane::is_up)
    }

    /// What was asked of it.
    pub fn counters(&self) -> &ListCounters {
        &self.counters
    }
}

impl BlockLists {
    /// How often a message with its session can have them asked.
    pub(super) fn most_questions(&self) -> usize {
        self.of(ListKind::Address).count() + MOST_NAMES * self.of(ListKind::Domain).count()
    }

    fn of(&self, kind: ListKind) -> impl Iterator<Item = &Arc<List>> {
        self.0.iter().filter(move |list| list.setup.kind == kind)
    }
}

/// What lists say, by zone.
pub type Listings = BTreeMap<String, BlockList>;

impl Authenticator {
    /// The same authenticator, resolver and cache with these lists. A list that is there already keeps its health and its counts; one
    /// that is not is asked once a probe has found it in order.
    #[must_use]
    pub fn with_block_lists(&self, setups: Vec<ListSetup>) -> Authenticator {
        let known = &self.block_lists.0;
        let kept = |setup: &ListSetup| known.iter().find(|list| list.setup == *setup).map(Arc::clone);
        let lists = setups.into_iter().map(|setup| kept(&setup).unwrap_or_else(|| Arc::new(List::new(setup))));
        Authenticator { block_lists: Arc::new(BlockLists(lists.collect())), ..self.clone() }
    }

    /// The lists, in the order of the configuration.
    pub fn block_lists(&self) -> &[Arc<List>] {
        &self.block_lists.0
    }

    /// Whether there is a list of this kind.
    pub fn has_block_lists(&self, kind: ListKind) -> bool {
        self.block_lists.of(kind).next().is_some()
    }

    /// What the address lists say of a client. Lists that are switched off, or that hold no addresses of its family, are not in it.
    pub async fn address_lists(&self, ip: IpAddr) -> Listings {
        let ip = ip.to_canonical();
        let lane = usize::from(ip.is_ipv6());
        self.ask_all(ListKind::Address, lane, &[(ip.to_string(), name::of_address(ip))]).await
    }

    /// What the lists of domains say of some names. Address literals, addresses, names of a single label and what is no name are never
    /// asked for; a name is asked for once, however often and in whatever case it stands there.
    pub async fn domain_lists(&self, names: &[&str]) -> Listings {
        let names: BTreeSet<String> = names.iter().filter_map(|text| name::of_domain(text)).collect();
        let names: Vec<(String, String)> = names.into_iter().map(|name| (name.clone(), name)).collect();
        self.ask_all(ListKind::Domain, 0, &names).await
    }

    /// All lists of a kind, side by side. `names`: what is asked about, and its name below a zone.
    async fn ask_all(&self, kind: ListKind, lane: usize, names: &[(String, String)]) -> Listings {
        let questions = self.block_lists.of(kind).flat_map(|list| {
            let lane = list.lanes.get(lane).filter(|lane| lane.is_up());
            lane.into_iter().flat_map(move |lane| names.iter().map(move |(what, name)| (list, lane, what, name)))
        });
        let answers = questions.map(async |(list, lane, what, name)| {
            (list.zone().to_owned(), self.ask_list(list, lane, what, name).await)
        });
        let answers = join_all(answers.collect::<Vec<_>>()).await;
        let mut listings = Listings::new();
        for (zone, said) in answers {
            listings.entry(zone).or_default().add(&said);
        }
        listings
    }

    async fn ask_list(&self, list: &List, lane: &Lane, what: &str, name: &str) -> BlockList {
        let Some(asked) = name::below(name, list.zone()) else { return BlockList::default() };
        let resolver = self.resolver().on(Share::Lists);
        let answer = tokio::time::timeout(self.check_deadline(), resolver.a(&asked)).await;
        let answer = answer.unwrap_or(Answer::Trouble(Trouble::Timeout));
        let is_of_ours = matches!(answer, Answer::Trouble(Trouble::Outage | Trouble::Budget));
        let heard = answer::hear(answer, list.setup.codes.as_deref());
        let counter = match &heard {
            Heard::Listed(_) => &list.counters.listed,
            Heard::Unlisted => &list.counters.unlisted,
            Heard::Unmapped => &list.counters.unmapped,
            Heard::Refused => &list.counters.refused,
            Heard::Trouble => &list.counters.errors,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match heard {
            Heard::Listed(codes) => BlockList {
                listed: true,
                codes: codes.into_iter().collect(),
                names: vec![what.to_owned()],
                temperror: false,
            },
            Heard::Unlisted | Heard::Unmapped => BlockList::default(),
            Heard::Refused | Heard::Trouble => {
                if !is_of_ours {
                    lane.doubt();
                }
                BlockList { temperror: true, ..BlockList::default() }
            }
        }
    }
}
