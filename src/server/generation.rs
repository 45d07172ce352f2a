//! What a configuration makes of the server: the generation that new sessions begin with, and what outlives it.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::config::Config;
use crate::deliver::Writers;
use crate::observe::metrics::Metrics;
use crate::receive::{Limits, Policies, Receiver};
use crate::smtp::session::Capabilities;

use super::abuses::Abuses;
use super::behaved::Behaved;
use super::certificates::Certificates;
use super::connection::Generation;
use super::harvest::Harvest;
use super::patience::Waits;
use super::permits::Permits;
use super::turned_away::TurnedAway;

/// Octets that one message may hold in memory at the most: its header twice, and what of its body is not on disk.
const LARGEST: u64 = 2_000_000;

/// What outlives a reload.
pub(super) struct Lasting {
    pub receiver: Arc<Receiver>,
    pub metrics: Arc<Metrics>,
    pub permits: Arc<Permits>,
    pub behaved: Behaved,
    pub turned_away: TurnedAway,
    pub abuses: Abuses,
    pub generation: Arc<ArcSwap<Generation>>,
    /// Told when block lists should be probed: after a reload, and once our DNS works again.
    pub lists_due: Notify,
    /// Whether files elsewhere than at the start can't be read.
    pub landlocked: bool,
}

impl Lasting {
    /// Whether a client is preferred under stress: its network has behaved, or is one of our own.
    pub fn prefers(&self, ip: IpAddr, receiver: &Receiver) -> bool {
        self.behaved.knows(ip) || receiver.trusts(ip)
    }
}

/// Who judges whose mail.
pub fn policies(policies: &crate::config::Policies) -> Policies {
    let of = policies.clone();
    let policies_of = move |mailbox: &_| Arc::clone(of.of(mailbox));
    Policies::new(Arc::clone(policies.default()), &policies.all(), policies_of).with_mixed(policies.mixed())
}

/// The bounds of one message.
pub(super) fn message_limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits { header: limits.header, header_fields: limits.header_fields, memory_body: limits.memory_body }
}

/// What messages may hold in memory: in all, and those of one network. One message must always fit.
pub(super) fn memory(config: &Config) -> (u64, u64) {
    (config.limits.memory, (config.limits.memory / 8).max(LARGEST))
}

/// What large messages may hold of the disk while they come in.
pub(super) fn bound_spool(writers: &Writers, config: &Config) {
    let limits = &config.limits;
    writers.spooled().bound(limits.spool, limits.spool_per_network, limits.message);
}

/// What mailboxes may hold.
pub(super) fn bound_mailboxes(writers: &Writers, config: &Config) {
    writers.quota().bound(config.quotas.clone(), config.limits.message);
}

/// What sessions that begin from now on share.
pub(super) fn generation(
    config: &Config,
    receiver: Arc<Receiver>,
    certificates: Option<Arc<Certificates>>,
    harvest: Arc<Harvest>,
) -> Generation {
    let hostname = config.hostname.as_str().to_owned();
    let limits = config.limits.of_session();
    let capabilities = Arc::new(Capabilities { hostname, starttls: certificates.is_some(), limits });
    let limits = &config.limits;
    let waits = Waits { idle: limits.idle, stress_idle: limits.stress_idle, stress_rate: limits.stress_rate };
    Generation {
        receiver,
        capabilities,
        certificates,
        waits,
        session: limits.session,
        proxy_from: config.smtp.proxy_from.clone(),
        xclient_from: config.smtp.xclient_from.clone(),
        greet_pause: config.smtp.greet_pause,
        unknown_recipients: limits.unknown_recipients,
        tarpit: config.smtp.tarpit,
        harvest,
    }
}
