//! How servers are talked to: over TLS and HTTPS with certificates that are verified, and over UDP in mixed case.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatepost::authenticate::resolver::{Answer, Server, Transport, Trouble};
use gatepost::authenticate::{AuthenticateError, Authenticator, Dns};
use hickory_server::Server as Listening;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{found, name};
use crate::support::dns::*;

const PATIENCE: Duration = Duration::from_secs(5);

/// A certificate for `dns.example`, and that of the authority which vouches for it.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: rcgen::KeyPair,
    pub roots: tempfile::NamedTempFile,
}

impl Identity {
    pub fn new() -> Identity {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let leaf = rcgen::CertificateParams::new(vec!["dns.example".to_owned()]).unwrap().signed_by(&key, &issuer);
        let roots = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(roots.path(), root.pem()).unwrap();
        Identity { chain: vec![leaf.unwrap().der().clone()], key, roots }
    }

    /// What a server shows that has it; over HTTPS it speaks HTTP/2.
    pub fn config(&self, is_https: bool) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), PrivateKeyDer::try_from(self.key.serialize_der()).unwrap())
            .unwrap();
        if is_https {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        config
    }

    /// How it is asked.
    pub fn dns(&self, servers: Vec<Server>) -> Dns {
        let first = servers[0].address;
        Dns { servers, roots: Some(self.roots.path().to_owned()), ..asking(first) }
    }
}

/// A server over TLS or HTTPS.
pub(super) struct Certified {
    _zone: DnsServer,
    _listening: Box<dyn std::any::Any>,
    pub address: SocketAddr,
}

impl Certified {
    pub async fn start(identity: &Identity, path: Option<&str>) -> Certified {
        Certified::start_at(identity, path, ([127, 0, 0, 1], 0).into()).await
    }

    pub async fn start_at(identity: &Identity, path: Option<&str>, address: SocketAddr) -> Certified {
        let zone = Zone::new().txt("here.example", "text").txt("large.example", &"x".repeat(60_000));
        let zone = serve(zone.failing_label("mute", Fault::NoAnswer)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut listening = Listening::new(zone.answerer());
        let config = Arc::new(identity.config(path.is_some()));
        match path {
            None => listening.register_tls_listener_with_tls_config(listener, PATIENCE, config).unwrap(),
            Some(path) => {
                let host = Some("dns.example".to_owned());
                listening
                    .register_https_listener_with_tls_config(listener, PATIENCE, config, host, path.to_owned())
                    .unwrap();
            }
        }
        Certified { _zone: zone, _listening: Box::new(listening), address }
    }

    fn dns(&self, identity: &Identity, transport: Transport) -> Dns {
        identity.dns(vec![Server { address: self.address, transport }])
    }
}

pub(super) fn tls(name: &str) -> Transport {
    Transport::Tls { name: name.to_owned() }
}

pub(super) fn https(name: &str, path: &str) -> Transport {
    Transport::Https { name: name.to_owned(), path: path.to_owned() }
}

async fn check(dns: &Dns, answered: bool) {
    let authenticator = Authenticator::new(dns).unwrap();
    for (asked, text) in [("here.example", "text".to_owned()), ("large.example", "x".repeat(60_000))] {
        match (authenticator.resolver().txt(&name(asked)).await, answered) {
            (Answer::Trouble(Trouble::Network | Trouble::Timeout), false) => {}
            (answer, true) => assert_eq!(answer, found(&text), "{dns:?}"),
            (answer, false) => panic!("{dns:?}: {answer:?}"),
        }
    }
    let reachable = authenticator.reachable().await;
    let unreachable = AuthenticateError::Unreachable(dns.servers[0].to_string());
    assert_eq!(reachable, if answered { Ok(()) } else { Err(unreachable) });
}

#[tokio::test]
async fn over_tls_only_the_server_of_that_name_and_authority_is_believed() {
    let identity = Identity::new();
    let server = Certified::start(&identity, None).await;
    check(&server.dns(&identity, tls("dns.example")), true).await;
    check(&server.dns(&identity, tls("other.example")), false).await;
    check(&server.dns(&Identity::new(), tls("dns.example")), false).await;
}

#[tokio::test]
async fn over_https_only_the_server_of_that_name_is_believed() {
    let identity = Identity::new();
    let server = Certified::start(&identity, Some("/own/path")).await;
    check(&server.dns(&identity, https("dns.example", "/own/path")), true).await;
    check(&server.dns(&identity, https("other.example", "/own/path")), false).await;
    check(&server.dns(&identity, https("dns.example", "/dns-query")), false).await;
    check(&server.dns(&Identity::new(), https("dns.example", "/own/path")), false).await;
}

#[test]
fn a_file_that_is_no_certificate_is_told() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let dns = Dns {
        servers: vec![Server { address: ([127, 0, 0, 1], 853).into(), transport: tls("dns.example") }],
        roots: Some(empty.path().to_owned()),
        ..Dns::default()
    };
    match Authenticator::new(&dns).map(|_| ()) {
        Err(AuthenticateError::Roots(why)) => assert!(why.contains("no certificate"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// In front of a server: what it counts, and does to the case of questions over UDP.
pub(super) struct Between {
    pub address: SocketAddr,
    pub over_udp: Arc<AtomicU64>,
    in_mixed_case: Arc<AtomicU64>,
    over_tcp: Arc<AtomicU64>,
}

/// The letters of the question's name, which starts after the header.
fn letters(message: &mut [u8]) -> impl Iterator<Item = &mut u8> {
    message.iter_mut().skip(12).take_while(|octet| **octet != 0)
}

pub(super) async fn between(server: SocketAddr, keeps_case: bool) -> Between {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let counters: [Arc<AtomicU64>; 3] = Default::default();
    let [over_udp, in_mixed_case, over_tcp] = counters.clone();
    tokio::spawn(async move {
        let mut message = [0; 4096];
        loop {
            let (length, client) = udp.recv_from(&mut message).await.unwrap();
            let message = &mut message[..length];
            over_udp.fetch_add(1, Ordering::Relaxed);
            in_mixed_case.fetch_add(letters(message).any(|octet| octet.is_ascii_uppercase()).into(), Ordering::Relaxed);
            if !keeps_case {
                letters(message).for_each(|octet| octet.make_ascii_lowercase());
            }
            let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            upstream.send_to(message, server).await.unwrap();
            let mut answer = [0; 4096];
            let (length, _) = upstream.recv_from(&mut answer).await.unwrap();
            udp.send_to(&answer[..length], client).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut client, _)) = tcp.accept().await {
            over_tcp.fetch_add(1, Ordering::Relaxed);
            let mut upstream = TcpStream::connect(server).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut upstream).await });
        }
    });
    let [over_udp, in_mixed_case, over_tcp] = counters;
    Between { address, over_udp, in_mixed_case, over_tcp }
}

/// Asks 20 names; whether all came over UDP, in mixed case, and whether TCP was needed.
async fn case_of(mixed_case: Option<bool>, keeps_case: bool) -> (bool, bool, bool) {
    let server = serve(Zone::new().txt("*.letters-enough-for-chance.example", "text")).await;
    let between = between(server.addr(), keeps_case).await;
    let authenticator = Authenticator::new(&Dns { mixed_case, ..asking(between.address) }).unwrap();
    for n in 0..20 {
        let asked = name(&format!("n{n}.letters-enough-for-chance.example"));
        assert_eq!(authenticator.resolver().txt(&asked).await, found("text"));
        assert_eq!(authenticator.resolver().txt(&asked).await, found("text"), "the cache knows no case");
    }
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (udp, mixed) = (read(&between.over_udp), read(&between.in_mixed_case));
    assert!(mixed == 0 || mixed == udp, "{mixed} of {udp}");
    (udp >= 20, mixed > 0, read(&between.over_tcp) > 0)
}

#[tokio::test]
async fn a_server_on_loopback_is_asked_in_lower_case() {
    assert_eq!(case_of(None, true).await, (true, false, false));
}

#[tokio::test]
async fn in_mixed_case_an_altered_question_is_asked_again_over_tcp() {
    assert_eq!(case_of(Some(true), true).await, (true, true, false));
    assert_eq!(case_of(Some(true), false).await, (false, true, true), "what does not repeat the case is not believed");
}
