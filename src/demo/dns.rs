//! An authoritative DNS server in this process, on real UDP and TCP: the DNS of `gatepost demo` and of the tests.
//!
//! It serves one [`Zone`], given as plain data, that stands for the whole tree from the root down, as a recursive resolver
//! would show it: CNAMEs are followed, what is absent is NXDOMAIN or NODATA with an SOA (so that it can be cached), and
//! every kind of trouble that a receiver meets can be asked for by name and type.

mod zone;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

pub use hickory_server::proto::rr::RecordType;
pub use zone::{Fault, Zone};
use zone::{Found, name_text};

/// How long a TCP connection may be idle.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Responses that may wait for a slow TCP client.
const TCP_RESPONSES: usize = 64;
/// How often a port is sought that is free for UDP and TCP.
const PORT_ATTEMPTS: usize = 20;
/// The UDP payload that we offer by EDNS (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;

/// A running DNS server; it stops when dropped.
pub struct DnsServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Owns the listening tasks: dropping it aborts them.
    _server: Server<Answerer>,
}

struct Shared {
    zone: RwLock<Arc<Zone>>,
    asked: Mutex<BTreeMap<(String, RecordType), u64>>,
}

impl DnsServer {
    /// Serves `zone` on a free port of `ip`, the same for UDP and TCP. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When no port of that address can be bound.
    pub async fn start(zone: Zone, ip: IpAddr) -> io::Result<DnsServer> {
        let (udp, tcp) = bind(ip).await?;
        DnsServer::on(zone, udp, tcp)
    }

    /// Serves `zone` at this address. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start_at(zone: Zone, address: SocketAddr) -> io::Result<DnsServer> {
        DnsServer::on(zone, UdpSocket::bind(address).await?, TcpListener::bind(address).await?)
    }

    fn on(zone: Zone, udp: UdpSocket, tcp: TcpListener) -> io::Result<DnsServer> {
        let addr = udp.local_addr()?;
        let shared = Arc::new(Shared { zone: RwLock::new(Arc::new(zone)), asked: Mutex::default() });
        let mut server = Server::new(Answerer(Arc::clone(&shared)));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_RESPONSES);
        Ok(DnsServer { addr, shared, _server: server })
    }

    /// Where it listens, for UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What answers for the zone, for listeners of another kind.
    pub fn answerer(&self) -> Answerer {
        Answerer(Arc::clone(&self.shared))
    }

    /// Serves another zone from now on.
    pub fn replace(&self, zone: Zone) {
        *self.shared.zone.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(zone);
    }

    /// How often this name (any case, with or without trailing dot) was asked for this type, repetitions and TCP included.
    pub fn count(&self, name: &str, record_type: RecordType) -> u64 {
        let asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        asked.get(&(name, record_type)).copied().unwrap_or(0)
    }

    /// All that was asked, with how often; names in lower case, without trailing dot.
    pub fn asked(&self) -> BTreeMap<(String, RecordType), u64> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many queries there were.
    pub fn queries(&self) -> u64 {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

/// The kernel's choice of a UDP port can be taken for TCP by somebody else, so it may need several tries.
async fn bind(ip: IpAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_ATTEMPTS {
        let udp = UdpSocket::bind((ip, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Answers for a zone.
pub struct Answerer(Arc<Shared>);

impl RequestHandler for Answerer {
    fn handle_request<'life0, 'life1, 'async_trait, R, T>(
        &'life0 self,
        request: &'life1 Request,
        response: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        R: 'async_trait + ResponseHandler,
        T: 'async_trait + Time,
        Self: 'async_trait,
    {
        Box::pin(self.answer(request, response))
    }
}

impl Answerer {
    async fn answer<R: ResponseHandler>(&self, request: &Request, mut response: R) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let silent = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        let Ok(info) = request.request_info() else { return silent };

        let key = (name_text(info.query.name()), info.query.query_type());
        *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;

        let zone = self.0.zone.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = zone.look_up(info.query.name(), info.query.query_type());
        if let Some(delay) = found.delay {
            tokio::time::sleep(delay).await;
        }
        match found.fault {
            Some(Fault::NoAnswer) => return silent,
            Some(Fault::ServFail) => found = Found::refusal(ResponseCode::ServFail),
            Some(Fault::Refused) => found = Found::refusal(ResponseCode::Refused),
            Some(Fault::Truncated) if request.protocol() == Protocol::Udp => {
                found = Found::refusal(ResponseCode::NoError);
                metadata.truncation = true;
            }
            Some(Fault::Truncated | Fault::Delay(_)) | None => {}
        }
        metadata.response_code = found.code;
        let asks_for_word = request.metadata.authentic_data;
        metadata.authentic_data = asks_for_word && zone.vouches_for(info.query.name(), &found.answers);
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let message = builder.build(metadata, &found.answers, [], &found.soa, []);
        response.send_response(message).await.unwrap_or(silent)
    }
}
