//! Evidence about a client and a message: what the DNS and the signatures say. Results, never verdicts: rules decide.
//!
//! Every check ends within its deadline and never fails: DNS trouble is a result (`temperror`). Every look-up goes through
//! the one [`resolver`]. mail-auth does the mathematics and never asks the DNS: its cache is keyed by the name alone and holds
//! what the first asker parsed, so that `MAIL FROM:<x@_dmarc.victim.example>` would hide the victim's DMARC record.

mod arc;
pub mod block_lists;
pub mod body;
pub mod dkim;
pub mod dmarc;
pub mod header;
mod heavy;
mod helo;
mod iprev;
mod key;
mod relaxed;
pub mod resolver;
mod results;
mod reverse_mx;
pub mod sign;
mod signature;
mod spf;
mod tag_list;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use block_lists::BlockLists;
use key::KnownKeys;
use resolver::{Counters, DnsName, Resolver, Server};

/// How the DNS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The recursive resolvers; empty: the system's (`/etc/resolv.conf`).
    pub servers: Vec<Server>,
    /// Certificates, PEM, that vouch for servers over TLS and HTTPS in place of the system's.
    pub roots: Option<PathBuf>,
    /// Whether answers are validated here (RFC 4035); else the word of a server on loopback or over TLS or HTTPS is taken.
    pub validate: bool,
    /// DNSKEY records, as a zone file has them, that validation starts from; `None`: the root's.
    pub anchors: Option<PathBuf>,
    /// Whether names are asked in mixed case, which the answer must repeat (draft-vixie-dnsext-dns0x20), else TCP is tried;
    /// `None`: towards all servers over UDP but those on loopback.
    pub mixed_case: Option<bool>,
    /// What is asked to see whether the servers work; `None`: the name servers of the root.
    pub canary: Option<DnsName>,
    /// How long the canary may take.
    pub probe: Duration,
    /// The least time between two canaries.
    pub pause: Duration,
    /// For one attempt at one query.
    pub timeout: Duration,
    /// Attempts at one query, the first included; at least 1.
    pub attempts: u8,
    /// Answers that the cache holds at most.
    pub cache_answers: u64,
    /// For one check (SPF of one identity, iprev, reverse MX of one name, ...) with all its queries.
    pub check: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Dns {
            servers: Vec::new(),
            roots: None,
            validate: false,
            anchors: None,
            mixed_case: None,
            canary: None,
            probe: Duration::from_secs(1),
            pause: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
            attempts: 2,
            cache_answers: 32_768,
            check: Duration::from_secs(10),
        }
    }
}

/// Why there is no authenticator, or why it can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// `/etc/resolv.conf` or the like.
    #[error("the system's DNS configuration can't be read: {0}")]
    SystemDns(String),
    /// A configuration without a server.
    #[error("the system's DNS configuration names no server")]
    NoServer,
    /// The resolver's own trouble.
    #[error("the DNS resolver can't be built: {0}")]
    Build(String),
    /// The certificates that are to vouch for servers over TLS and HTTPS.
    #[error("certificates of authorities can't be used: {0}")]
    Roots(String),
    /// The file of trust anchors.
    #[error("trust anchors can't be used: {0}")]
    Anchors(String),
    /// The servers, comma-separated.
    #[error("no DNS server answers: {0}")]
    Unreachable(String),
    /// The servers, comma-separated: all they say is SERVFAIL, REFUSED or the like.
    #[error("the DNS servers answer, but only that they can't: {0}")]
    Refusing(String),
}

/// Gathers the evidence. Cheap to clone; clones share the DNS cache, the counters and the keys that were read.
#[derive(Clone)]
pub struct Authenticator {
    block_lists: Arc<BlockLists>,
    resolver: Resolver,
    keys: Arc<KnownKeys>,
    check: Duration,
}

impl Authenticator {
    /// An authenticator. No network I/O.
    ///
    /// # Errors
    /// When the system's DNS configuration, where it is to be used, can't be.
    pub fn new(dns: &Dns) -> Result<Authenticator, AuthenticateError> {
        let (block_lists, keys) = Default::default();
        Ok(Authenticator { resolver: Resolver::new(dns)?, check: dns.check, block_lists, keys })
    }

    /// For one session, whose look-ups are bounded from now on ([`resolver::LOOK_UPS`]).
    #[must_use]
    pub fn for_session(&self) -> Authenticator {
        Authenticator { resolver: self.resolver.bounded(self.block_lists.most_questions()), ..self.clone() }
    }

    /// For one message of the session whose authenticator this is: it may ask as often, less what the session has asked.
    #[must_use]
    pub fn for_message(&self) -> Authenticator {
        self.for_session()
    }

    /// Whether our own DNS is out of order, or was when this session or message needed it: what is temperror then is our
    /// trouble and not the sender's.
    pub fn met_outage(&self) -> bool {
        self.resolver.met_outage()
    }

    /// Whether the DNS servers work; to be asked at start.
    ///
    /// # Errors
    /// [`AuthenticateError::Unreachable`] or [`AuthenticateError::Refusing`], with the servers.
    pub async fn reachable(&self) -> Result<(), AuthenticateError> {
        self.resolver.reachable().await
    }

    /// Keeps an eye on the DNS servers, for ever: while they are out of order, look-ups fail at once. Says how it is first, and
    /// what changes.
    pub async fn watch(&self, changed: impl FnMut(Result<(), AuthenticateError>)) {
        self.resolver.watch(changed).await;
    }

    /// What was asked of the DNS since start.
    pub fn counters(&self) -> &Counters {
        self.resolver.counters()
    }

    /// The resolver, for look-ups that are not a check.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// How long one check may take.
    fn check_deadline(&self) -> Duration {
        self.check
    }
}
