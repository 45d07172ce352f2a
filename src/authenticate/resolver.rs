//! The one DNS resolver: hickory's, with the only DNS cache (of raw records). Everything that asks the DNS asks here.
//!
//! A look-up never fails: trouble is one of its answers. Names are absolute and are checked before anything is asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, TokioResolver};

use super::{AuthenticateError, Dns};

/// No answer is believed for longer, whatever its TTL.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// What a look-up may take beyond all its attempts: CNAMEs that have to be followed, TCP after a truncated answer.
const GRACE: Duration = Duration::from_millis(500);
/// Queries that may be under way on one TCP connection to a server.
const IN_FLIGHT: usize = 1024;
/// Octets of a name in text, without the trailing dot (RFC 1035 §2.3.4: 255 on the wire).
const NAME_OCTETS: usize = 253;
/// Octets of a label (RFC 1035 §2.3.4).
const LABEL_OCTETS: usize = 63;

/// What the DNS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// At least one record.
    Found(Vec<T>),
    /// The name exists and has no such record.
    NoData,
    /// There is no such name.
    NxDomain,
    /// It can't be told now.
    Trouble(Trouble),
}

/// Why it can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answered in time.
    Timeout,
    /// The server said SERVFAIL, REFUSED or the like.
    Refusal,
    /// The network, or an answer that can't be read.
    Network,
}

impl<T> Answer<T> {
    /// Whether this is an answer without records (RFC 7208 §4.6.4 calls the look-up void).
    pub fn is_void(&self) -> bool {
        matches!(self, Answer::NoData | Answer::NxDomain)
    }

    /// The records; none where there are none, `Err` for trouble.
    ///
    /// # Errors
    /// The trouble.
    pub fn records(self) -> Result<Vec<T>, Trouble> {
        match self {
            Answer::Found(records) => Ok(records),
            Answer::NoData | Answer::NxDomain => Ok(Vec::new()),
            Answer::Trouble(trouble) => Err(trouble),
        }
    }
}

/// An absolute name that can be asked for. Compares without regard to case; shown in lower case, without trailing dot,
/// with odd octets escaped (`\032`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsName(Name);

impl DnsName {
    /// The name of this text, whose dots always separate labels (there are no escapes). `None` where it can't be asked for:
    /// empty, an empty label, a label over 63 octets, over 253 octets in all.
    pub fn parse(text: impl AsRef<[u8]>) -> Option<DnsName> {
        let text = text.as_ref();
        let text = text.strip_suffix(b".").unwrap_or(text);
        if text.is_empty() || text.len() > NAME_OCTETS {
            return None;
        }
        let labels = || text.split(|octet| *octet == b'.');
        if labels().any(|label| label.is_empty() || label.len() > LABEL_OCTETS) {
            return None;
        }
        Name::from_labels(labels()).ok().map(DnsName)
    }

    /// The name in `in-addr.arpa` or `ip6.arpa` (RFC 1035 §3.5, RFC 3596 §2.5).
    pub fn reverse(ip: IpAddr) -> DnsName {
        DnsName(Name::from(ip.to_canonical()))
    }

    /// Whether it is `.`: the exchanger of a null MX (RFC 7505 §3).
    pub fn is_root(&self) -> bool {
        self.0.is_root()
    }

    /// Whether it is `other` or below it.
    pub fn is_within(&self, other: &DnsName) -> bool {
        other.0.zone_of(&self.0)
    }

    /// The address that stands where a name should, with or without the brackets of RFC 5321 §4.1.3.
    pub fn as_address(&self) -> Option<IpAddr> {
        let text = self.to_string();
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
        IpAddr::from_str(text.strip_prefix("ipv6:").unwrap_or(text)).ok()
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
                    octet if octet.is_ascii_graphic() => write!(f, "{}", char::from(octet.to_ascii_lowercase()))?,
                    // RFC 1035 §5.1: three decimal digits.
                    octet => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

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

/// The resolver. Cheap to clone; clones share cache and counters.
#[derive(Clone)]
pub struct Resolver {
    hickory: TokioResolver,
    /// Asks the servers without hickory's own answers for reserved names.
    servers: NameServerPool<TokioRuntimeProvider>,
    addresses: Arc<[SocketAddr]>,
    deadline: Duration,
    counters: Arc<Counters>,
}

impl Resolver {
    /// A resolver of these servers, or of the system's. No network I/O.
    ///
    /// # Errors
    /// When the system's configuration can't be read or names no server.
    pub fn new(dns: &Dns) -> Result<Resolver, AuthenticateError> {
        let configured = if dns.servers.is_empty() {
            read_system_conf().map_err(|error| AuthenticateError::SystemDns(error.to_string()))?.0.name_servers
        } else {
            dns.servers.iter().map(|server| name_server(*server)).collect()
        };
        let addresses = configured.iter().flat_map(|server| {
            server.connections.first().map(|connection| SocketAddr::new(server.ip, connection.port))
        });
        let addresses: Arc<[SocketAddr]> = addresses.collect();
        if addresses.is_empty() {
            return Err(AuthenticateError::NoServer);
        }
        let options = options(dns);
        let build = |error: NetError| AuthenticateError::Build(error.to_string());
        let tls = TlsConfig::new().map_err(build)?;
        let context = Arc::new(PoolContext::new(options.clone(), tls));
        let servers = NameServerPool::from_config(configured.clone(), context, TokioRuntimeProvider::default());
        // Search domains stay empty: every name that is asked here is absolute.
        let config = ResolverConfig::from_name_servers(configured);
        let hickory = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(build)?;
        let deadline = dns.timeout * u32::from(dns.attempts.max(1)) + GRACE;
        Ok(Resolver { hickory, servers, addresses, deadline, counters: Arc::default() })
    }

    /// What was asked since start.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether a server answers at all, whatever it says to `. NS`.
    ///
    /// # Errors
    /// Names the servers where none does.
    pub async fn reachable(&self) -> Result<(), AuthenticateError> {
        match self.ask_servers(Name::root(), RecordType::NS, |_| Some(())).await {
            Answer::Trouble(Trouble::Timeout | Trouble::Network) => {
                let servers: Vec<String> = self.addresses.iter().map(SocketAddr::to_string).collect();
                Err(AuthenticateError::Unreachable(servers.join(", ")))
            }
            _ => Ok(()),
        }
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
        let look_up = self.hickory.lookup(name.0.clone(), record_type);
        let answer = match tokio::time::timeout(self.deadline, look_up).await {
            Ok(Ok(found)) => taken_from(found.answers(), read),
            Ok(Err(error)) => absent_or_trouble(&error),
            Err(_) => Answer::Trouble(Trouble::Timeout),
        };
        self.counters.count(&answer);
        answer
    }

    async fn ask_servers<T>(
        &self,
        name: Name,
        record_type: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Answer<T> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        let mut responses = self.servers.lookup(Query::query(name, record_type), options);
        let answer = match tokio::time::timeout(self.deadline, responses.next()).await {
            Ok(Some(Ok(response))) => match DnsError::from_response(response) {
                Ok(response) => taken_from(&response.answers, read),
                Err(error) => absent_or_trouble(&NetError::Dns(error)),
            },
            Ok(Some(Err(error))) => absent_or_trouble(&error),
            Ok(None) => Answer::Trouble(Trouble::Network),
            Err(_) => Answer::Trouble(Trouble::Timeout),
        };
        self.counters.count(&answer);
        answer
    }
}

/// What is asked for among the records; an answer holds the CNAMEs that led there, too.
fn taken_from<T>(records: &[Record], read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let taken: Vec<T> = records.iter().filter_map(|record| read(&record.data)).collect();
    if taken.is_empty() { Answer::NoData } else { Answer::Found(taken) }
}

impl<T> Answer<T> {
    fn map<U>(self, convert: impl Fn(T) -> U) -> Answer<U> {
        match self {
            Answer::Found(records) => Answer::Found(records.into_iter().map(convert).collect()),
            Answer::NoData => Answer::NoData,
            Answer::NxDomain => Answer::NxDomain,
            Answer::Trouble(trouble) => Answer::Trouble(trouble),
        }
    }
}

fn absent_or_trouble<T>(error: &NetError) -> Answer<T> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Answer::NxDomain,
            ResponseCode::NoError => Answer::NoData,
            _ => Answer::Trouble(Trouble::Refusal),
        },
        NetError::Dns(_) => Answer::Trouble(Trouble::Refusal),
        NetError::Timeout => Answer::Trouble(Trouble::Timeout),
        _ => Answer::Trouble(Trouble::Network),
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    NameServerConfig::new(server.ip(), true, vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())])
}

fn options(dns: &Dns) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = dns.timeout;
    // hickory counts the tries after the first.
    options.attempts = usize::from(dns.attempts.saturating_sub(1));
    options.cache_size = dns.cache_answers;
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(MAX_TTL);
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    options.max_active_requests = IN_FLIGHT;
    options
}
