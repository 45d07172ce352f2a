//! Who the client is, where somebody else may say so: a proxy before the session, XCLIENT within it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::future::FutureExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Conduct, Connection, Generation};
use crate::server::generation::Lasting;
use crate::server::patience::Patience;
use crate::server::permits::{Denied, Permit};
use crate::server::proxy;
use crate::smtp::session::Session;
use crate::smtp::xclient::{Address, Introduced};

impl Generation {
    /// Whether it is a proxy, which says for whom it speaks.
    pub fn is_proxy(&self, ip: IpAddr) -> bool {
        self.proxy_from.iter().any(|network| network.contains(&ip))
    }

    /// Whether it is a filter, which may say XCLIENT.
    pub fn is_filter(&self, ip: IpAddr) -> bool {
        self.xclient_from.iter().any(|network| network.contains(&ip))
    }

    /// Whether it stands between clients and us.
    pub fn is_between(&self, ip: IpAddr) -> bool {
        self.is_proxy(ip) || self.is_filter(ip)
    }

    /// Whether a client may ask for unknown recipients: one of our own, or who stands between clients and us and speaks for itself.
    pub fn has_no_budget(&self, ip: IpAddr) -> bool {
        self.receiver.trusts(ip) || self.is_between(ip)
    }

    /// Whether a client's network has asked for too many unknown recipients.
    pub fn turns_away(&self, ip: IpAddr) -> bool {
        !self.has_no_budget(ip) && self.harvest.turns_away(ip, Instant::now())
    }

    /// Whether a client that somebody introduces may come in, whose the permit is then.
    fn admit(&self, ip: IpAddr, permit: &mut Permit, lasting: &Lasting) -> Result<(), Denied> {
        if self.turns_away(ip) {
            return Err(Denied::Harvest);
        }
        if self.is_filter(ip) {
            permit.unname();
            return Ok(());
        }
        permit.name(ip, lasting.prefers(ip, &self.receiver))
    }
}

impl Connection {
    /// XCLIENT: another client is at the other end, or more is known of the same. False where it may not come in, which it was told.
    pub(super) async fn introduce_client(&mut self, introduced: Introduced) -> io::Result<bool> {
        let Introduced { address, port, helo } = introduced;
        let another = match address {
            Address::Same => None,
            Address::Unknown => Some(self.host),
            Address::Is(ip) => Some(ip.to_canonical()),
        };
        if let Some(ip) = another {
            (self.conduct, self.unknown_recipients) = (Conduct::of(ip), 0);
        }
        self.inquiry.introduced(another, port);
        if let Some(ip) = another {
            let Connection { generation, permit, lasting, .. } = self;
            if let Err(denied) = generation.admit(ip, permit, lasting) {
                let client = SocketAddr::new(ip, port.unwrap_or_default());
                let refusal = lasting.turned_away.refusal(client, denied, &generation.receiver);
                // as at the door
                self.conduct = Conduct::of_nobody();
                self.say_goodbye(refusal).await?;
                return Ok(false);
            }
            let is_preferred = lasting.prefers(ip, &generation.receiver);
            let patience = Patience::new(generation.waits, lasting.permits.stress(), is_preferred).with(ip);
            self.patience = patience.of_our_own(generation.receiver.trusts(ip));
        }
        if let Some(helo) = helo {
            self.inquiry.helo(&helo, false);
        }
        Ok(true)
    }
}

/// Hears from a proxy for whom it speaks, and whether that client may come in; what has come behind the header.
///
/// # Errors
/// Whom to tell what, if anybody anything.
pub(super) async fn introduce(
    stream: &mut TcpStream,
    proxy: SocketAddr,
    generation: &Generation,
    permit: &mut Permit,
    lasting: &Lasting,
) -> Result<(SocketAddr, Vec<u8>), Option<(SocketAddr, Denied)>> {
    let reading = AssertUnwindSafe(proxy::introduced(stream, proxy, proxy::DEADLINE)).catch_unwind().await;
    let spoke = matches!(&reading, Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData);
    let Ok(Ok((client, ahead))) = reading else {
        lasting.abuses.note_proxy(proxy.ip(), spoke, &lasting.metrics);
        return Err(None);
    };
    generation.admit(client.ip(), permit, lasting).map_err(|denied| Some((client, denied)))?;
    Ok((client, ahead))
}

/// The session of a client, which may say XCLIENT or not.
pub(super) fn session_for(client: IpAddr, generation: &Generation) -> Session {
    let mut session = Session::new(Arc::clone(&generation.capabilities));
    if generation.is_filter(client) {
        session.allow_xclient();
    }
    session
}
