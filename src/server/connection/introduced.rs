//! Who the client is, where somebody else may say so: a proxy before the session, XCLIENT within it.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::future::FutureExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Generation;
use crate::observe::metrics::label::Abuse;
use crate::server::generation::Lasting;
use crate::server::permits::{Denied, Permit};
use crate::server::proxy;
use crate::smtp::session::Session;

impl Generation {
    /// Whether it is a proxy, which says for whom it speaks.
    pub fn is_proxy(&self, ip: IpAddr) -> bool {
        self.proxy_from.iter().any(|network| network.contains(&ip))
    }

    /// Whether a client's network has asked for too many unknown recipients.
    pub fn turns_away(&self, ip: IpAddr) -> bool {
        !self.receiver.trusts(ip) && self.harvest.is_spent(ip, Instant::now())
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
    let reading = AssertUnwindSafe(proxy::introduced(stream, proxy)).catch_unwind().await;
    let Ok(Ok((client, ahead))) = reading else {
        generation.receiver.metrics.protocol_abuse(Abuse::ProxyHeader);
        tracing::debug!(proxy = %proxy.ip(), "no PROXY header that can be read, the connection is closed");
        return Err(None);
    };
    if generation.turns_away(client.ip()) {
        return Err(Some((client, Denied::Harvest)));
    }
    let is_preferred = lasting.prefers(client.ip(), &generation.receiver);
    permit.name(client.ip(), is_preferred).map_err(|denied| Some((client, denied)))?;
    Ok((client, ahead))
}

/// The session of a client, which may say XCLIENT or not.
pub(super) fn session_for(client: IpAddr, generation: &Generation) -> Session {
    let mut session = Session::new(Arc::clone(&generation.capabilities));
    if generation.xclient_from.iter().any(|network| network.contains(&client)) {
        session.allow_xclient();
    }
    session
}
