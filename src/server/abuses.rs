//! What no honest client does, counted by kind and told in the log, so that a program that shuts hosts out can read who did it.

use std::net::IpAddr;
use std::time::Instant;

use crate::observe::metrics::Metrics;
use crate::observe::metrics::label::Abuse;
use crate::observe::seldom::Seldom;

/// Lines of one kind within a minute: a flood must not fill the log. The metric counts all.
const LINES: u32 = 20;

/// What was told of late, by kind.
#[derive(Debug)]
pub(super) struct Abuses {
    kinds: Vec<(Abuse, Seldom)>,
    /// Of proxies of ours, whose mistakes are not a client's.
    proxies: Seldom,
}

impl Default for Abuses {
    fn default() -> Self {
        let kinds = Abuse::ALL.iter().map(|kind| (*kind, Seldom::times(LINES))).collect();
        Abuses { kinds, proxies: Seldom::once() }
    }
}

impl Abuses {
    /// A client has done that.
    pub fn note(&self, abuse: Abuse, client: IpAddr, metrics: &Metrics) {
        metrics.protocol_abuse(abuse);
        let due = self.kinds.iter().find(|(kind, _)| *kind == abuse).and_then(|(_, seldom)| seldom.due(Instant::now()));
        if let Some(times) = due {
            tracing::info!(%client, kind = %abuse.as_str(), times, "abuse of the protocol");
        }
    }

    /// A proxy of ours has said nothing that can be read as its header. Who only looks whether the port is open says nothing at all.
    pub fn note_proxy(&self, proxy: IpAddr, spoke: bool, metrics: &Metrics) {
        metrics.protocol_abuse(Abuse::ProxyHeader);
        if let Some(times) = spoke.then(|| self.proxies.due(Instant::now())).flatten() {
            tracing::warn!(
                %proxy,
                times,
                "a host of smtp.proxy_from sends no PROXY header that can be read, its connection is closed: have it send one, or take it out"
            );
        }
    }
}
