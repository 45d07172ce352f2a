//! Clients with private addresses that nobody declared: behind a NAT or a proxy every client looks like one, and every check that
//! looks at its address lies.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::observe::seldom::Seldom;
use crate::receive::Receiver;

/// Notices such clients, and says so at most once a minute.
#[derive(Debug)]
pub(super) struct PrivateClients {
    /// On loopback only: a trial, where it is no surprise.
    is_trial: bool,
    said: Seldom,
}

impl PrivateClients {
    /// For a server that listens there.
    pub(super) fn of(listen: &[SocketAddr]) -> Self {
        let is_trial = listen.iter().all(|address| address.ip().to_canonical().is_loopback());
        PrivateClients { is_trial, said: Seldom::once() }
    }

    /// Looks at a client that has connected.
    pub(super) fn notice(&self, ip: IpAddr, receiver: &Receiver) {
        if self.is_trial || !is_private(ip) || receiver.trusts(ip) {
            return;
        }
        receiver.metrics.untrusted_private_client();
        if let Some(connections) = self.said.due(Instant::now()) {
            tracing::warn!(
                client = %ip,
                connections,
                "A PRIVATE ADDRESS CONNECTED: behind NAT (Docker's bridge) or a proxy, SPF, reverse names and block lists \
                 judge that host and not the real client. Use host networking, or name your own relays in smtp.trusted"
            );
        }
    }
}

/// Not an address of the public Internet: RFC 1918, RFC 6598, RFC 4193, loopback and link-local.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
