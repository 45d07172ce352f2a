//! What a configuration makes of the server: the generation that new sessions begin with, and what outlives it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::observe::metrics::Metrics;
use crate::receive::{Policies, Receiver};
use crate::smtp::session::Capabilities;

use super::connection::Generation;
use super::harvest::Harvest;

/// What outlives a reload.
pub(super) struct Lasting {
    pub receiver: Arc<Receiver>,
    pub metrics: Arc<Metrics>,
    pub generation: Arc<ArcSwap<Generation>>,
    /// Told when block lists should be probed: after a reload, and once our DNS works again.
    pub lists_due: Notify,
}

/// Who judges whose mail.
pub fn policies(policies: &crate::config::Policies) -> Policies {
    let of = policies.clone();
    let policies_of = move |mailbox: &_| Arc::clone(of.of(mailbox));
    Policies::new(Arc::clone(policies.default()), &policies.all(), policies_of).with_mixed(policies.mixed())
}

/// What sessions that begin from now on share.
pub(super) fn generation(
    config: &Config,
    receiver: Arc<Receiver>,
    acceptor: Option<TlsAcceptor>,
    harvest: Arc<Harvest>,
) -> Generation {
    let limits = config.limits.of_session();
    let hostname = config.hostname.as_str().to_owned();
    let capabilities = Arc::new(Capabilities { hostname, starttls: acceptor.is_some(), limits });
    let (idle, session) = (config.limits.idle, config.limits.session);
    Generation {
        receiver,
        capabilities,
        acceptor,
        idle,
        session,
        proxy_from: config.smtp.proxy_from.clone(),
        xclient_from: config.smtp.xclient_from.clone(),
        greet_pause: config.smtp.greet_pause,
        unknown_recipients: config.limits.unknown_recipients,
        tarpit: config.smtp.tarpit,
        harvest,
    }
}
