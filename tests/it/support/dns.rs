//! A zone served over real UDP and TCP, and an authenticator that asks it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use gatepost::authenticate::{Authenticator, Dns};
pub use gatepost::demo::dns::{DnsServer, Fault, RecordType, Zone};

/// Serves `zone` on a port of 127.0.0.1 that the kernel chooses.
pub async fn serve(zone: Zone) -> DnsServer {
    DnsServer::start(zone, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.expect("a free port on loopback")
}

/// How tests ask the DNS: as the product does, but silence is believed after 2 s (less, and a busy machine looks silent).
pub fn asking(server: SocketAddr) -> Dns {
    Dns { servers: vec![server.into()], timeout: Duration::from_secs(1), ..Dns::default() }
}

/// Serves `zone` and gives an authenticator of it; both live as long as the server is held.
pub async fn authenticator(zone: Zone) -> (DnsServer, Authenticator) {
    let server = serve(zone).await;
    let authenticator = Authenticator::new(&asking(server.addr())).expect("no I/O, no failure");
    (server, authenticator)
}

/// A test's runtime: one thread, as `#[tokio::test]` has.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
