//! How hickory asks, and for how long it keeps what it hears.

use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ProtocolConfig, ResolveHosts, ResolverOpts};
use hickory_resolver::proto::op::DnsRequestOptions;

use super::super::Dns;
use super::server;

/// No answer is believed for longer, whatever its TTL.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// That something is absent is believed for less: a record that was just published shall count soon (RFC 2308 §5 has 1 to 3 h).
pub(super) const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(900);
/// Queries that may be under way on one TCP or TLS connection to a server; beyond them honest look-ups fail. Zones of strangers that
/// never answer hold each for seconds, and there are 65,536 ids to tell them apart.
const IN_FLIGHT: usize = 16 * 1024;

/// Of one query that goes past the cache.
pub(super) fn of_request() -> DnsRequestOptions {
    let mut options = DnsRequestOptions::default();
    options.use_edns = true;
    options
}

/// Of all queries to these servers.
pub(super) fn of_resolver(dns: &Dns, servers: &[NameServerConfig]) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = dns.timeout;
    // hickory counts the tries after the first.
    options.attempts = usize::from(dns.attempts.saturating_sub(1));
    options.cache_size = dns.cache_answers;
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    options.max_active_requests = IN_FLIGHT;
    options.validate = dns.validate;
    let by_udp = |server: &NameServerConfig| {
        server.connections.iter().any(|connection| matches!(connection.protocol, ProtocolConfig::Udp))
    };
    let is_far = |server: &NameServerConfig| !server::is_near(server.ip);
    // For all servers or none: those on loopback are spared in `upstream`.
    options.case_randomization =
        dns.mixed_case.unwrap_or_else(|| servers.iter().any(|server| by_udp(server) && is_far(server)));
    options
}
