//! Evidence about a client and a message: what the DNS and the signatures say. Results, never verdicts: rules decide.
//!
//! Every check ends within its deadline and never fails: DNS trouble is a result (`temperror`). Every look-up goes through
//! the one [`resolver`]. mail-auth does the mathematics and never asks the DNS: its cache is keyed by the name alone and holds
//! what the first asker parsed, so that `MAIL FROM:<x@_dmarc.victim.example>` would hide the victim's DMARC record.

mod arc;
pub mod body;
pub mod dkim;
pub mod dmarc;
pub mod header;
mod heavy;
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

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use resolver::{Counters, Resolver};

/// How the DNS is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The recursive resolvers; empty: the system's (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
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
    /// The servers, as `address:port`, comma-separated.
    #[error("no DNS server answers: {0}")]
    Unreachable(String),
}

/// Gathers the evidence. Cheap to clone; clones share the DNS cache and the counters.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    resolver: Resolver,
    check: Duration,
}

impl Authenticator {
    /// An authenticator. No network I/O.
    ///
    /// # Errors
    /// When the system's DNS configuration, where it is to be used, can't be.
    pub fn new(dns: &Dns) -> Result<Authenticator, AuthenticateError> {
        let resolver = Resolver::new(dns)?;
        Ok(Authenticator(Arc::new(Inner { resolver, check: dns.check })))
    }

    /// Whether a DNS server answers; to be asked at start.
    ///
    /// # Errors
    /// [`AuthenticateError::Unreachable`] with the servers' addresses.
    pub async fn reachable(&self) -> Result<(), AuthenticateError> {
        self.0.resolver.reachable().await
    }

    /// What was asked of the DNS since start.
    pub fn counters(&self) -> &Counters {
        self.0.resolver.counters()
    }

    /// The resolver, for look-ups that are not a check.
    pub fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }

    /// How long one check may take.
    fn check_deadline(&self) -> Duration {
        self.0.check
    }
}
