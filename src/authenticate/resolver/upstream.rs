//! Connections to the servers, below hickory's cache: what is asked is shaped for each server, what it answers is weighed, and
//! during an outage of ours nothing is asked.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use hickory_resolver::config::{ConnectionConfig, ProtocolConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::{ConnectionProvider, PoolContext};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::super::Dns;
use super::health::{Health, SLOW};
use super::server::{is_believed, is_near};

/// An answer that takes more of the cache than this is not kept there: the cache is bounded by the number of answers, and strangers
/// publish answers of 64 kB under as many names as they like.
const LARGE: usize = 8 * 1024;
/// What a record takes in memory beside its octets, about.
const RECORD: usize = 128;

/// Makes the connections.
#[derive(Clone)]
pub(super) struct Upstream {
    runtime: Sockets,
    health: Arc<Health>,
    /// The canary is asked during an outage, too.
    asks_in_outage: bool,
    /// We validate ourselves; what servers say of it doesn't count.
    validates: bool,
    mixes_case: Option<bool>,
    /// There are several servers.
    has_others: bool,
    /// A server answered, if only that it can't.
    heard_no: Arc<AtomicBool>,
}

impl Upstream {
    pub fn new(health: Arc<Health>, dns: &Dns, servers: usize) -> Upstream {
        Upstream {
            runtime: Sockets::default(),
            health,
            asks_in_outage: false,
            validates: dns.validate,
            mixes_case: dns.mixed_case,
            has_others: servers > 1,
            heard_no: Arc::default(),
        }
    }

    pub fn asking_in_outage(self) -> Upstream {
        Upstream { asks_in_outage: true, heard_no: Arc::default(), ..self }
    }

    /// Whether a server answered that it can't, since this was asked before.
    pub fn heard_no(&self) -> bool {
        self.heard_no.swap(false, Ordering::Relaxed)
    }

    /// An error of one server as the pool passes it over, so that the others are heard: it goes on after errors of the network alone,
    /// and ends at those of TLS and HTTP.
    fn passable(&self, error: NetError) -> NetError {
        let kind = if error.is_connection_closed() { ErrorKind::ConnectionReset } else { ErrorKind::Other };
        match error {
            NetError::Io(_)
            | NetError::NoConnections
            | NetError::Timeout
            | NetError::Busy
            | NetError::QueryCaseMismatch => error,
            other if self.has_others => io::Error::new(kind, other).into(),
            other => other,
        }
    }

    /// Gives up at the moment when an outage is known.
    async fn unless_broken<T>(&self, work: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
        if self.asks_in_outage {
            return work.await;
        }
        if self.health.is_broken() {
            return Err(NetError::NoConnections);
        }
        let mut work = pin!(work);
        let slow = async {
            tokio::time::sleep(SLOW).await;
            self.health.suspect();
            std::future::pending::<Infallible>().await
        };
        let outcome = tokio::select! {
            outcome = &mut work => outcome,
            () = self.health.breaks() => return Err(NetError::NoConnections),
            never = slow => match never {},
        };
        if outcome.is_err() {
            self.health.suspect();
        }
        outcome
    }
}

impl ConnectionProvider for Upstream {
    type Conn = Exchange;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Exchange, NetError>> + Send>>;
    type RuntimeProvider = Sockets;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let connecting = self.runtime.new_connection(ip, config, context)?;
        let upstream = self.clone();
        let is_encrypted = !matches!(config.protocol, ProtocolConfig::Udp | ProtocolConfig::Tcp);
        let is_believed = is_believed(ip, is_encrypted);
        let keeps_case = !self.mixes_case.unwrap_or(!is_near(ip));
        Ok(Box::pin(async move {
            let inner = upstream.unless_broken(connecting).await.map_err(|error| upstream.passable(error))?;
            Ok(Exchange { inner, upstream, keeps_case, is_believed, is_encrypted })
        }))
    }

    fn runtime_provider(&self) -> &Sockets {
        &self.runtime
    }
}

/// One connection to one server.
#[derive(Clone)]
pub(super) struct Exchange {
    inner: DnsExchange<Sockets>,
    upstream: Upstream,
    keeps_case: bool,
    /// Whether the server's AD bit counts.
    is_believed: bool,
    is_encrypted: bool,
}

impl DnsHandle for Exchange {
    type Response = BoxStream<'static, Result<DnsResponse, NetError>>;
    type Runtime = Sockets;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let exchange = self.clone();
        stream::once(async move {
            let request = exchange.shaped(request);
            let asked = request.queries.clone();
            let answer = async {
                let response = exchange.inner.send(request).first_answer().await?;
                if answers(&asked, &response) {
                    Ok(response)
                } else {
                    Err(io::Error::new(ErrorKind::InvalidData, "the answer is to another question").into())
                }
            };
            let upstream = &exchange.upstream;
            let mut response = upstream.unless_broken(answer).await.map_err(|error| upstream.passable(error))?;
            exchange.weigh(&mut response);
            exchange.slim(&mut response);
            match response.metadata.response_code {
                code if exchange.passes_over(code) => {
                    upstream.heard_no.store(true, Ordering::Relaxed);
                    Err(io::Error::other(format!("the server says {code}")).into())
                }
                _ => Ok(response),
            }
        })
        .boxed()
    }
}

/// Whether a response is to what was asked: over TCP, TLS and HTTPS nobody else looks. A refusal may have no question.
fn answers(asked: &[Query], response: &DnsResponse) -> bool {
    let is_answer = matches!(response.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    response.queries == asked || (response.queries.is_empty() && !is_answer)
}

impl Exchange {
    /// A server on loopback is asked without mixed case (draft-vixie-dnsext-dns0x20): nobody is in between, and some forwarders
    /// don't keep it. The AD bit asks for the server's word on DNSSEC (RFC 6840 §5.7).
    fn shaped(&self, mut request: DnsRequest) -> DnsRequest {
        if self.keeps_case
            && let Some(original) = request.original_query().cloned()
        {
            request.queries = vec![original];
            request.options_mut().case_randomization = false;
            request = request.with_original_query(None);
        }
        request.metadata.authentic_data = self.is_believed && !self.upstream.validates;
        request
    }

    /// Whether another server is waited for: the first answer counts, and a server that is out of order says so faster than others can
    /// answer. Over TLS every such error costs a handshake, so only what strangers can't bring about is passed over there.
    fn passes_over(&self, code: ResponseCode) -> bool {
        let is_no_answer = code == ResponseCode::Refused || (code == ResponseCode::ServFail && !self.is_encrypted);
        is_no_answer && self.upstream.has_others
    }

    /// Leaves what is of use, and has large answers kept for no time.
    fn slim(&self, response: &mut DnsResponse) {
        let octets = response.as_buffer().len();
        let message = &mut **response;
        if !self.upstream.validates {
            message.additionals.clear();
            message.authorities.retain(|record| record.record_type() == RecordType::SOA);
            message.authorities.truncate(1);
        }
        let records = message.answers.len() + message.authorities.len() + message.additionals.len();
        if octets.saturating_add(records.saturating_mul(RECORD)) > LARGE {
            message.answers.iter_mut().for_each(|record| record.ttl = 0);
        }
    }

    /// Writes a believed AD bit (RFC 4035 §3.2.3) to each record, where our own validation would have written its finding: so
    /// it outlives the cache, and negative answers have it, too.
    fn weigh(&self, response: &mut DnsResponse) {
        let code = response.metadata.response_code;
        if matches!(code, ResponseCode::ServFail | ResponseCode::Refused) {
            self.upstream.health.suspect();
        }
        if self.upstream.validates || !self.is_believed || !response.metadata.authentic_data {
            return;
        }
        let message = &mut **response;
        for record in message.answers.iter_mut().chain(&mut message.authorities) {
            record.proof = Proof::Secure;
        }
    }
}

/// Tokio's sockets, those of UDP connected: a port where nobody listens is heard of at once, and the kernel drops what others
/// send.
#[derive(Clone, Default)]
pub(super) struct Sockets(TokioRuntimeProvider);

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Connected;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> TokioHandle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        self.0.connect_tcp(server, local, timeout)
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Connected>>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(local).await?;
            socket.connect(server).await?;
            Ok(Connected(socket))
        })
    }
}

/// A UDP socket that talks to one server.
pub(super) struct Connected(UdpSocket);

impl Connected {
    /// A pending error (the port is closed) makes a socket neither readable nor writable: it has to be waited for by itself.
    async fn receive(&self, octets: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let error = || self.0.take_error()?.ok_or_else(|| io::Error::from(ErrorKind::WouldBlock));
        loop {
            let ready = self.0.ready(Interest::READABLE | Interest::ERROR).await?;
            if ready.is_error()
                && let Ok(error) = self.0.try_io(Interest::ERROR, error)
            {
                return Err(error);
            }
            match self.0.try_recv_from(octets) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

impl DnsUdpSocket for Connected {
    type Time = TokioTime;

    fn recv_from<'s, 'o, 'f>(
        &'s self,
        octets: &'o mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'f>>
    where
        's: 'f,
        'o: 'f,
        Self: 'f,
    {
        Box::pin(self.receive(octets))
    }

    fn poll_recv_from(&self, cx: &mut Context<'_>, octets: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = tokio::io::ReadBuf::new(octets);
        self.0.poll_recv_from(cx, &mut buffer).map_ok(|from| (buffer.filled().len(), from))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, octets: &[u8], _: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, octets)
    }
}
