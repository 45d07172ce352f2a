//! The one DNS resolver: hickory's, with the only DNS cache (of raw records). Everything that asks the DNS asks here.
//!
//! A look-up never fails: trouble is one of its answers. Names are absolute and are checked before anything is asked. What a
//! message may ask is bounded, and whether our own servers work is known (the canary), so that their outage is told apart from
//! a stranger's broken zone.

mod absent;
mod account;
mod answer;
mod canary;
mod health;
mod name;
mod options;
mod question;
mod server;
mod told;
mod upstream;

use std::collections::hash_map::RandomState;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::timeout;

pub(super) use account::Share;
pub use account::{KEPT_FOR_CLIENT, KEPT_FOR_DMARC, KEPT_FOR_EXCHANGERS, KEPT_FOR_KEYS, KEPT_FOR_LISTS, LOOK_UPS};
pub use answer::{Answer, Trouble};
pub use name::DnsName;
pub use server::{Server, Transport};

use super::{AuthenticateError, Dns};
use absent::Absences;
use account::{Account, Admission};
use answer::Read;
use health::Health;
use question::Question;
use told::Told;
use upstream::Upstream;

/// What a look-up may take beyond all its attempts: CNAMEs that have to be followed, TCP after a truncated answer.
const GRACE: Duration = Duration::from_millis(500);

/// A mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanger {
    /// The lower, the earlier.
    pub preference: u16,
    /// Its name; the root for a null MX.
    pub name: DnsName,
}

/// What was asked of the DNS and how it ended, since start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Look-ups, answered from the cache or not.
    pub queries: AtomicU64,
    /// Records were found.
    pub found: AtomicU64,
    /// The name or the type was absent.
    pub absent: AtomicU64,
    /// Nobody answered in time.
    pub timeouts: AtomicU64,
    /// Any other trouble.
    pub errors: AtomicU64,
}

impl Counters {
    fn count<T>(&self, answer: &Answer<T>) {
        let counter = match answer {
            Answer::Found(_) => &self.found,
            Answer::NoData | Answer::NxDomain => &self.absent,
            Answer::Trouble(Trouble::Timeout) => &self.timeouts,
            Answer::Trouble(_) => &self.errors,
        };
        self.queries.fetch_add(1, Ordering::Relaxed);
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The resolver. Cheap to clone; clones share cache, counters and what is known of the servers.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
    /// Whose look-ups these are; without one they aren't bounded.
    account: Option<Arc<Account>>,
    /// What the account counts them as.
    share: Share,
    /// Holds answers to DNSSEC.
    secured: Option<Secured>,
}

struct Shared {
    hickory: hickory_resolver::Resolver<Upstream>,
    /// Asks the servers without hickory's own answers for reserved names.
    servers: NameServerPool<Upstream>,
    /// Where we validate.
    absences: Option<Absences>,
    /// Asks the servers in an outage, too.
    canary: NameServerPool<Upstream>,
    /// What the canary is asked over.
    canary_upstream: Upstream,
    canary_name: Option<DnsName>,
    /// The servers, for people.
    named: String,
    deadline: Duration,
    probe: Duration,
    pause: Duration,
    counters: Arc<Counters>,
    health: Arc<Health>,
    hasher: RandomState,
}

/// Whether every answer that a check rests on was vouched for by DNSSEC.
#[derive(Clone, Default)]
pub(super) struct Secured(Arc<AtomicU8>);

impl Secured {
    const ALL: u8 = 1;
    const NOT_ALL: u8 = 2;

    fn note(&self, is_secure: bool) {
        self.0.fetch_max(if is_secure { Self::ALL } else { Self::NOT_ALL }, Ordering::Relaxed);
    }

    /// So far; false where nothing was answered.
    pub fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::ALL
    }
}

impl Resolver {
    /// A resolver of these servers, or of the system's. No network I/O.
    ///
    /// # Errors
    /// When the system's configuration can't be read or names no server, or certificates can't be read.
    pub fn new(dns: &Dns) -> Result<Resolver, AuthenticateError> {
        let configured = if dns.servers.is_empty() {
            read_system_conf().map_err(|error| AuthenticateError::SystemDns(error.to_string()))?.0.name_servers
        } else {
            dns.servers.iter().map(Server::for_hickory).collect()
        };
        if configured.iter().all(|server| server.connections.is_empty()) {
            return Err(AuthenticateError::NoServer);
        }
        let named: Vec<String> = if dns.servers.is_empty() {
            configured.iter().map(|server| server.ip.to_string()).collect()
        } else {
            dns.servers.iter().map(Server::to_string).collect()
        };
        let tls = server::tls(&dns.servers, dns.roots.as_ref())?;
        let health = Arc::new(Health::default());
        let upstream = Upstream::new(Arc::clone(&health), dns, configured.len());
        let pool = |options: ResolverOpts, upstream: Upstream| {
            let context = Arc::new(PoolContext::new(options, TlsConfig { config: tls.clone() }));
            NameServerPool::from_config(configured.clone(), context, upstream)
        };
        let options = options::of_resolver(dns, &configured);
        let servers = pool(options.clone(), upstream.clone());
        let mut of_canary = options.clone();
        of_canary.timeout = dns.probe;
        let canary_upstream = upstream.clone().asking_in_outage();
        let canary = pool(of_canary, canary_upstream.clone());
        // Search domains stay empty: every name that is asked here is absolute.
        let config = ResolverConfig::from_name_servers(configured.clone());
        let mut builder = hickory_resolver::Resolver::builder_with_config(config, upstream)
            .with_options(options)
            .with_tls_config(tls.clone());
        if let (true, Some(path)) = (dns.validate, &dns.anchors) {
            builder = builder.with_trust_anchor(Arc::new(server::anchors(path)?));
        }
        let hickory = builder.build().map_err(|error| AuthenticateError::Build(error.to_string()))?;
        let shared = Shared {
            hickory,
            servers,
            absences: dns.validate.then(|| Absences::new(dns.cache_answers)),
            canary,
            canary_upstream,
            canary_name: dns.canary.clone(),
            named: named.join(", "),
            deadline: dns.timeout * u32::from(dns.attempts.max(1)) + GRACE,
            probe: dns.probe,
            pause: dns.pause,
            counters: Arc::default(),
            health,
            hasher: RandomState::new(),
        };
        Ok(Resolver { shared: Arc::new(shared), account: None, share: Share::Common, secured: None })
    }

    /// What was asked since start.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }

    /// For a session, or for a message of the session whose resolver this is: it may ask [`LOOK_UPS`] times, and each kind of check
    /// leaves the others their share. `lists`: how often its block lists may have to be asked.
    pub(super) fn bounded(&self, lists: usize) -> Resolver {
        let account = Account::within(self.account.clone(), lists);
        Resolver { account: Some(account), ..self.clone() }
    }

    /// The same, which asks on another share.
    pub(super) fn on(&self, share: Share) -> Resolver {
        Resolver { share, ..self.clone() }
    }

    /// The same, whose answers are held to DNSSEC.
    pub(super) fn secured(&self) -> (Resolver, Secured) {
        let secured = Secured::default();
        (Resolver { secured: Some(secured.clone()), ..self.clone() }, secured)
    }

    /// Whether our own servers are out of order now, or were when the session or message of this resolver needed them.
    pub(super) fn met_outage(&self) -> bool {
        self.shared.health.is_broken() || self.account.as_ref().is_some_and(|account| account.met_outage())
    }

    /// TXT records, each with its character-strings joined without a separator (RFC 7208 §3.3).
    pub async fn txt(&self, name: &DnsName) -> Answer<Vec<u8>> {
        self.ask(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        })
        .await
    }

    /// MX records, in the order of the answer.
    pub async fn mx(&self, name: &DnsName) -> Answer<Exchanger> {
        self.ask(name, RecordType::MX, |data| match data {
            RData::MX(mx) => Some(Exchanger { preference: mx.preference, name: DnsName(mx.exchange.clone()) }),
            _ => None,
        })
        .await
    }

    /// IPv4 addresses.
    pub async fn a(&self, name: &DnsName) -> Answer<Ipv4Addr> {
        self.ask(name, RecordType::A, |data| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        })
        .await
    }

    /// IPv4 addresses as the servers tell them now, whatever the cache holds.
    pub async fn a_afresh(&self, name: &DnsName) -> Answer<Ipv4Addr> {
        self.ask_servers(name.0.clone(), RecordType::A, |data| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        })
        .await
    }

    /// IPv6 addresses.
    pub async fn aaaa(&self, name: &DnsName) -> Answer<Ipv6Addr> {
        self.ask(name, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(aaaa.0),
            _ => None,
        })
        .await
    }

    /// The addresses of one family: that of `like`.
    pub async fn addresses(&self, name: &DnsName, like: IpAddr) -> Answer<IpAddr> {
        match like {
            IpAddr::V4(_) => self.a(name).await.map(IpAddr::V4),
            IpAddr::V6(_) => self.aaaa(name).await.map(IpAddr::V6),
        }
    }

    /// The reverse names of an address.
    pub async fn ptr(&self, ip: IpAddr) -> Answer<DnsName> {
        let name = DnsName::reverse(ip);
        let read = |data: &RData| match data {
            RData::PTR(ptr) => Some(DnsName(ptr.0.clone())),
            _ => None,
        };
        if ip.to_canonical().is_loopback() {
            // hickory answers these itself, always with `localhost` (RFC 6761 §6.3); what they are called on this host is
            // for the configured server to say.
            self.ask_servers(name.0, RecordType::PTR, read).await
        } else {
            self.ask(&name, RecordType::PTR, read).await
        }
    }

    async fn ask<T>(&self, name: &DnsName, record_type: RecordType, read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
        let question = Question::new(&name.0, record_type, &self.shared.hasher);
        let read = match self.admits(&question) {
            Admission::Refused => Read::refused(Trouble::Budget),
            Admission::Told(told) => Read::of_records(told.records(), read),
            Admission::Granted => self.look_up(&question, read).await,
        };
        self.end(read)
    }

    async fn ask_servers<T>(
        &self,
        name: Name,
        record_type: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Answer<T> {
        if matches!(self.admits(&Question::new(&name, record_type, &self.shared.hasher)), Admission::Refused) {
            return self.end(Read::refused(Trouble::Budget));
        }
        let mut responses = self.shared.servers.lookup(Query::query(name, record_type), options::of_request());
        let read = match timeout(self.shared.deadline, responses.next()).await {
            Ok(response) => Read::responded(response, read),
            Err(_) => Read::timed_out(),
        };
        self.end(read)
    }

    /// Asks, or finds it in the caches.
    async fn look_up<T>(&self, question: &Question<'_>, read: impl Fn(&RData) -> Option<T>) -> Read<T> {
        let Question { name, record_type, .. } = *question;
        let absences = self.shared.absences.as_ref();
        if let Some(absent) = absences.and_then(|absences| absences.find(name, record_type)) {
            return absent;
        }
        let look_up = self.shared.hickory.lookup(name.clone(), record_type);
        let Ok(found) = timeout(self.shared.deadline, look_up).await else { return Read::timed_out() };
        if let (Some(absences), Err(error)) = (absences, &found) {
            absences.note(name, record_type, error);
        }
        self.keep(question, &found);
        Read::looked_up(found, read)
    }

    fn admits(&self, question: &Question<'_>) -> Admission {
        let admits = |account: &Arc<Account>| account.admits(question, self.share);
        self.account.as_ref().map_or(Admission::Granted, admits)
    }

    /// Keeps what was found for the other checks of the message.
    fn keep(&self, question: &Question<'_>, found: &Result<Lookup, NetError>) {
        if let (Some(account), Ok(found)) = (&self.account, found)
            && let Some(told) = Told::of(question, found)
        {
            account.keep(question, told);
        }
    }

    /// Counts an answer, and notes what it means for the message and the check.
    fn end<T>(&self, read: Read<T>) -> Answer<T> {
        let Read { mut answer, is_secure } = read;
        if let Answer::Trouble(trouble) = &mut answer
            && *trouble != Trouble::Budget
            && self.shared.health.is_broken()
        {
            *trouble = Trouble::Outage;
            if let Some(account) = &self.account {
                account.note_outage();
            }
        }
        if let Some(secured) = &self.secured {
            secured.note(is_secure);
        }
        self.shared.counters.count(&answer);
        answer
    }
}
