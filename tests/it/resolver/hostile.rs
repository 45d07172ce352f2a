//! Servers that are out of order or lie: what they say is not believed, every look-up ends, and a server beside them is heard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use gatepost::authenticate::resolver::{Answer, Server, Transport, Trouble};
use gatepost::authenticate::{Authenticator, Dns};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc::unbounded_channel;
use tokio_rustls::TlsAcceptor;

use super::transport::{Certified, Identity, https, tls};
use super::{found, name};
use crate::support::dns::*;

/// A response that claims `here.example TXT "lie"`, made from a query by changing its octets.
fn lie(query: &[u8], change: Change) -> Vec<u8> {
    let question = query.iter().skip(12).position(|octet| *octet == 0).unwrap() + 12 + 5;
    let mut message = query[..question].to_vec();
    message[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 1, 44, 0, 4, 3, b'l', b'i', b'e']);
    change(&mut message);
    message
}

type Change = fn(&mut Vec<u8>);

const CHANGES: [(&str, Change); 7] = [
    ("another id", |message| message[1] ^= 1),
    ("another question", |message| message[13] ^= 1),
    ("another type", |message| {
        let question = message.iter().skip(12).position(|octet| *octet == 0).unwrap() + 12;
        message[question + 2] = 15;
    }),
    ("a query in place of a response", |message| message[2] &= 0x7f),
    ("another owner", |message| {
        // the answer's name points into the question: example
        let length = message.len();
        message[length - 15] = 12 + 5;
    }),
    ("half a message", |message| message.truncate(message.len() - 8)),
    ("a loop in a name", |message| {
        let length = message.len();
        message[length - 15] = (length - 16) as u8;
    }),
];

/// What becomes of the question; no lie.
async fn refused(dns: &Dns, what: &str) {
    let authenticator = Authenticator::new(dns).unwrap();
    match authenticator.resolver().txt(&name("here.example")).await {
        Answer::Trouble(Trouble::Timeout | Trouble::Network | Trouble::Refusal) | Answer::NoData => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn what_was_not_asked_is_not_believed_over_udp() {
    for (what, change) in CHANGES {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        let lying = tokio::spawn(async move {
            let mut query = [0; 1024];
            loop {
                let (length, client) = udp.recv_from(&mut query).await.unwrap();
                udp.send_to(&lie(&query[..length], change), client).await.unwrap();
            }
        });
        refused(&Dns { timeout: Duration::from_millis(200), ..asking(address) }, what).await;
        lying.abort();
    }
}

/// What a server does with a connection once its handshake is done.
#[derive(Clone, Copy)]
enum Act {
    /// Says these octets whatever it hears, and closes.
    Say(&'static [u8]),
    /// Answers with a changed message.
    Lie(Change),
    /// Announces an answer of so many octets, sends fewer, and hangs or closes.
    Half { hangs: bool },
}

/// A server over TLS that acts so.
async fn acting(identity: &Identity, act: Act) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(identity.config(false)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let Ok(length) = tls.read_u16().await else { return };
                let mut query = vec![0; length.into()];
                if tls.read_exact(&mut query).await.is_err() {
                    return;
                }
                let said = match act {
                    Act::Say(octets) => octets.to_vec(),
                    Act::Lie(change) => {
                        let message = lie(&query, change);
                        [&u16::try_from(message.len()).unwrap().to_be_bytes(), message.as_slice()].concat()
                    }
                    Act::Half { .. } => [&[0xff, 0xff], &query[..]].concat(),
                };
                let _ = tls.write_all(&said).await;
                let _ = tls.flush().await;
                if matches!(act, Act::Half { hangs: true } | Act::Lie(_)) {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

fn server(address: SocketAddr, transport: Transport) -> Server {
    Server { address, transport }
}

/// Alone it is trouble, and the canary says so; beside a server in order nobody notices.
async fn check(identity: &Identity, bad: Server, what: &str) {
    let quick = |dns: Dns| Dns { timeout: Duration::from_millis(400), probe: Duration::from_millis(800), ..dns };
    let alone = quick(identity.dns(vec![bad.clone()]));
    refused(&alone, what).await;
    assert!(Authenticator::new(&alone).unwrap().reachable().await.is_err(), "{what}");
    let good = Certified::start(identity, None).await;
    let both = identity.dns(vec![bad, server(good.address, tls("dns.example"))]);
    let authenticator = Authenticator::new(&Dns { timeout: Duration::from_secs(5), ..both }).unwrap();
    assert_eq!(authenticator.resolver().txt(&name("here.example")).await, found("text"), "{what}");
    assert_eq!(authenticator.reachable().await, Ok(()), "{what}");
}

#[tokio::test]
async fn a_server_over_tls_that_is_out_of_order_is_trouble_and_no_more() {
    let identity = Identity::new();
    for (what, act) in [
        ("it closes", Act::Say(b"")),
        ("no message", Act::Say(b"\0\x0cHTTP/1.1 400")),
        ("an empty message", Act::Say(b"\0\0")),
        ("another protocol", Act::Say(b"220 mx.example ESMTP\r\n")),
        ("half an answer, and it closes", Act::Half { hangs: false }),
        ("half an answer, and it hangs", Act::Half { hangs: true }),
        ("another id", Act::Lie(CHANGES[0].1)),
        ("another question", Act::Lie(CHANGES[1].1)),
    ] {
        let address = acting(&identity, act).await;
        check(&identity, server(address, tls("dns.example")), what).await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_trouble_and_no_more() {
    let identity = Identity::new();
    let plain = serve(Zone::new().txt("here.example", "plain")).await;
    check(&identity, server(plain.addr(), tls("dns.example")), "DNS in clear").await;
    check(&identity, server(plain.addr(), https("dns.example", "/dns-query")), "DNS in clear for HTTPS").await;
    // it takes connections (the kernel does), and never says a word
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap();
    check(&identity, server(address, tls("dns.example")), "a handshake that hangs").await;
    check(&identity, server(address, https("dns.example", "/dns-query")), "a handshake that hangs, HTTPS").await;
}

/// A server over HTTPS whose every response is this.
async fn responding(identity: &Identity, status: u16, kind: &'static str, body: Vec<u8>) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(identity.config(true)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = Bytes::from(body);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, body) = (acceptor.clone(), body.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let respond = service_fn(move |_: Request<Incoming>| {
                    let response = Response::builder().status(status).header("content-type", kind);
                    let response = response.body(Full::new(body.clone()));
                    async move { response }
                });
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), respond).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_server_over_https_that_is_out_of_order_is_trouble_and_no_more() {
    let identity = Identity::new();
    let message = "application/dns-message";
    for (what, status, kind, body) in [
        ("HTTP 500", 500, message, Vec::new()),
        ("HTTP 403 with a page", 403, "text/html", b"<html>".to_vec()),
        ("a page", 200, "text/html", b"<html>log in first</html>".to_vec()),
        ("nothing", 200, message, Vec::new()),
        ("no message", 200, message, b"hello".to_vec()),
        ("more than a message can be", 200, message, vec![b'x'; 4 << 20]),
    ] {
        let address = responding(&identity, status, kind, body).await;
        check(&identity, server(address, https("dns.example", "/dns-query")), what).await;
    }
}

/// Over TLS all queries share a connection: strangers whose zones never answer must not fill it up.
#[tokio::test]
async fn thousands_of_look_ups_that_nobody_answers_leave_room_for_others_over_tls() {
    let identity = Identity::new();
    let certified = Certified::start(&identity, None).await;
    let dns = identity.dns(vec![server(certified.address, tls("dns.example"))]);
    let authenticator = Authenticator::new(&Dns { timeout: Duration::from_secs(10), attempts: 1, ..dns }).unwrap();
    let resolver = authenticator.resolver();
    assert_eq!(resolver.txt(&name("large.example")).await, found(&"x".repeat(60_000)), "the connection stands");
    let mute: Vec<_> = (0..3000).map(|n| name(&format!("mute.n{n}.example"))).collect();
    let look_ups = join_all(mute.iter().map(|name| resolver.txt(name)));
    let honest = async {
        // the others are asked first
        tokio::time::sleep(Duration::from_secs(1)).await;
        resolver.txt(&name("here.example")).await
    };
    match select(Box::pin(look_ups), Box::pin(honest)).await {
        Either::Right((answer, _)) => assert_eq!(answer, found("text")),
        Either::Left((answers, _)) => panic!("{:?}", answers.first()),
    }
}

/// A server that comes back is heard without a restart of ours, whatever became of the old connections.
#[tokio::test]
async fn a_server_over_tls_or_https_that_was_restarted_is_heard_again() {
    for (path, transport) in [(None, tls("dns.example")), (Some("/dns-query"), https("dns.example", "/dns-query"))] {
        let identity = Identity::new();
        let certified = Certified::start(&identity, path).await;
        let address = certified.address;
        let dns = Dns { pause: Duration::from_millis(50), ..identity.dns(vec![server(address, transport)]) };
        let authenticator = Authenticator::new(&dns).unwrap();
        let (tell, mut changes) = unbounded_channel();
        let watched = authenticator.clone();
        let watching = tokio::spawn(async move { watched.watch(move |found| tell.send(found.is_ok()).unwrap()).await });
        assert_eq!(changes.recv().await, Some(true), "{path:?}");
        assert_eq!(authenticator.resolver().txt(&name("here.example")).await, found("text"), "{path:?}");
        drop(certified);
        let answer = authenticator.resolver().txt(&name("other.example")).await;
        assert!(matches!(answer, Answer::Trouble(_)), "{path:?}: {answer:?}");
        assert_eq!(changes.recv().await, Some(false), "{path:?}");
        let _again = Certified::start_at(&identity, path, address).await;
        assert_eq!(changes.recv().await, Some(true), "{path:?}");
        assert_eq!(authenticator.resolver().txt(&name("other.example")).await, Answer::NxDomain, "{path:?}");
        watching.abort();
    }
}
