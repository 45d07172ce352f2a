//! The DNS as the configuration wants it asked, and the eye that is kept on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::generation::Lasting;
use crate::config::Config;
use crate::config::dns::Transport;
use crate::receive::{Dns, DnsName, DnsServer, DnsTransport};

/// How the DNS is asked.
pub fn asking(config: &Config) -> Dns {
    let servers = config.dns.servers.iter().map(|server| {
        let transport = match server.transport.clone() {
            Transport::Plain => DnsTransport::Plain,
            Transport::Tls { name } => DnsTransport::Tls { name },
            Transport::Https { name, path } => DnsTransport::Https { name, path },
        };
        DnsServer { address: server.address, transport }
    });
    Dns {
        servers: servers.collect(),
        roots: config.dns.roots.clone(),
        validate: config.dns.validate,
        anchors: config.dns.trust_anchors.clone(),
        canary: config.dns.canary.as_ref().and_then(|name| DnsName::parse(name.as_str())),
        cache_answers: config.dns.cache,
        ..Dns::default()
    }
}

/// Says where the DNS doesn't work, and when it does again: to the log, the metrics, and `/readyz` by `works`.
pub(super) async fn watch(lasting: Arc<Lasting>, works: Arc<AtomicBool>) {
    let mut was_broken = false;
    let changed = |found: Result<(), _>| {
        works.store(found.is_ok(), Ordering::Relaxed);
        lasting.metrics.dns_up(found.is_ok());
        match found {
            Err(error) => {
                was_broken = true;
                tracing::error!(%error, "dns: until the DNS works, what needs it is answered 451; check dns.servers or /etc/resolv.conf");
            }
            Ok(()) if was_broken => {
                tracing::info!("the DNS works again");
                lasting.lists_due.notify_one();
            }
            Ok(()) => {}
        }
    };
    lasting.receiver.authenticator.watch(changed).await;
}
