//! Whether DNSSEC vouches for an answer: by the word of a server that is believed, or by our own validation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost::authenticate::resolver::{Answer, Server as Asked, Transport, Trouble};
use gatepost::authenticate::{AuthenticateError, Authenticator, Dns};
use gatepost::facts::{DmarcResult, Mx, ReverseMxResult, SpfBoth};
use gatepost::message::author::read_author;
use gatepost::message::header::HeaderSplitter;
use gatepost::smtp::address::ReversePath;
use hickory_server::Server;
use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_server::proto::dnssec::rdata::DNSKEY;
use hickory_server::proto::dnssec::{DnssecSigner, SigningKey};
use hickory_server::proto::rr::rdata::{MX, SOA, TXT};
use hickory_server::proto::rr::{LowerName, Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

use super::name;
use super::transport::between;
use crate::support::dns::*;

const IP: [u8; 4] = [192, 0, 2, 1];

fn zone() -> Zone {
    Zone::new()
        .txt("signed.example", "v=spf1 a:mx.signed.example -all")
        .a("mx.signed.example", IP)
        .mx("signed.example", 10, "mx.signed.example")
        .txt("_dmarc.signed.example", "v=DMARC1; p=reject")
        .txt("mixed.signed.example", "v=spf1 include:plain.example -all")
        .cname("alias.signed.example", "plain.example")
        .txt("plain.example", "v=spf1 ip4:192.0.2.1 -all")
        .mx("plain.example", 10, "mx.signed.example")
        .txt("_dmarc.plain.example", "v=DMARC1; p=reject")
        .authentic("signed.example")
}

async fn spf(authenticator: &Authenticator, domain: &str) -> (String, bool) {
    let spf = authenticator.check_host(IP.into(), domain, "", "helo.example").await;
    (spf.result.to_string(), spf.secure)
}

async fn dmarc(authenticator: &Authenticator, domain: &str) -> (DmarcResult, bool) {
    let mut splitter = HeaderSplitter::new();
    splitter.push(format!("From: ceo@{domain}\r\n\r\n").as_bytes());
    let author = read_author(&splitter.finish().0);
    let dmarc = authenticator.dmarc(&author, &SpfBoth::default(), &ReversePath::Null, &[]).await;
    (dmarc.result, dmarc.secure)
}

#[tokio::test]
async fn the_word_of_a_server_on_loopback_is_taken() {
    let (_server, authenticator) = authenticator(zone()).await;
    for round in ["asked", "from the cache"] {
        for (domain, result, secure) in [
            ("signed.example", "pass", true),
            ("plain.example", "pass", false),
            ("mixed.signed.example", "pass", false),
            ("alias.signed.example", "pass", false),
            ("none.signed.example", "none", true),
            ("none.example", "none", false),
            ("192.0.2.1", "none", false),
        ] {
            assert_eq!(spf(&authenticator, domain).await, (result.to_owned(), secure), "{domain}, {round}");
        }
        for (domain, result, secure) in [
            ("signed.example", DmarcResult::Fail, true),
            ("sub.signed.example", DmarcResult::Fail, false),
            ("plain.example", DmarcResult::Fail, false),
        ] {
            assert_eq!(dmarc(&authenticator, domain).await, (result, secure), "{domain}, {round}");
        }
        for (domain, secure) in [("signed.example", true), ("plain.example", false)] {
            let mx = authenticator.reverse_mx(domain, IP.into()).await;
            assert_eq!((mx.result, mx.mx, mx.secure), (ReverseMxResult::Pass, Mx::Explicit, secure), "{domain}");
        }
    }
    assert!(!authenticator.reverse_mx("", IP.into()).await.secure, "nothing was asked");
}

#[tokio::test]
async fn where_we_validate_what_no_chain_proves_is_trouble() {
    let server = serve(zone()).await;
    let authenticator = Authenticator::new(&Dns { validate: true, ..asking(server.addr()) }).unwrap();
    // The root is signed; this server's is not, and its AD bit is nobody's business.
    assert_eq!(authenticator.resolver().txt(&name("signed.example")).await, Answer::Trouble(Trouble::Refusal));
    assert_eq!(spf(&authenticator, "signed.example").await, ("temperror".to_owned(), false));
}

/// A server whose root zone, with everything in it, is signed by a key of its own.
struct Signed {
    _listening: Server<Catalog>,
    address: std::net::SocketAddr,
    anchors: tempfile::NamedTempFile,
}

async fn signed() -> Signed {
    let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
    let dnskey = DNSKEY::from_key(&key.to_public_key().unwrap());
    let anchors = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(anchors.path(), format!(". 3600 IN DNSKEY {dnskey}\n")).unwrap();
    let nsec = Some(NxProofKind::Nsec);
    let mut zone =
        InMemoryZoneHandler::<TokioRuntimeProvider>::empty(Name::root(), ZoneType::Primary, AxfrPolicy::Deny, nsec);
    let mut add = |name: &str, data: RData| {
        assert!(zone.upsert_mut(Record::from_rdata(Name::from_ascii(name).unwrap(), 300, data), 1), "{name}");
    };
    let exchanger = || Name::from_ascii("mx.signed.example.").unwrap();
    add(".", RData::SOA(SOA::new(Name::root(), Name::root(), 1, 300, 300, 300, 300)));
    add("signed.example.", RData::TXT(TXT::new(vec!["v=spf1 a:mx.signed.example -all".to_owned()])));
    add("signed.example.", RData::MX(MX::new(10, exchanger())));
    add("mx.signed.example.", RData::A(std::net::Ipv4Addr::from(IP).into()));
    add("_dmarc.signed.example.", RData::TXT(TXT::new(vec!["v=DMARC1; p=reject".to_owned()])));
    zone.add_zone_signing_key_mut(DnssecSigner::new(dnskey, Box::new(key), Name::root(), Duration::from_secs(3600)))
        .unwrap();
    zone.secure_zone_mut().unwrap();
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::new(&Name::root()), vec![Arc::new(zone)]);
    let mut listening = Server::new(catalog);
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    listening.register_socket(udp);
    listening.register_listener(tcp, Duration::from_secs(5), 8);
    Signed { _listening: listening, address, anchors }
}

#[tokio::test]
async fn where_we_validate_a_chain_from_the_anchor_vouches_for_records_and_their_absence() {
    let server = signed().await;
    let anchors = Some(server.anchors.path().to_owned());
    let dns = Dns { validate: true, anchors, ..asking(server.address) };
    let authenticator = Authenticator::new(&dns).unwrap();
    assert_eq!(authenticator.reachable().await, Ok(()));
    for round in ["asked", "from the cache"] {
        assert_eq!(spf(&authenticator, "signed.example").await, ("pass".to_owned(), true), "{round}");
        assert_eq!(spf(&authenticator, "mx.signed.example").await, ("none".to_owned(), true), "{round}");
        assert_eq!(spf(&authenticator, "absent.example").await, ("none".to_owned(), true), "{round}");
        assert_eq!(dmarc(&authenticator, "signed.example").await, (DmarcResult::Fail, true), "{round}");
        let mx = authenticator.reverse_mx("signed.example", IP.into()).await;
        assert_eq!((mx.result, mx.secure), (ReverseMxResult::Pass, true), "{round}");
    }
    let stranger = signed().await;
    let anchors = Some(stranger.anchors.path().to_owned());
    let authenticator = Authenticator::new(&Dns { anchors, ..dns.clone() }).unwrap();
    assert_eq!(spf(&authenticator, "signed.example").await, ("temperror".to_owned(), false), "another's anchor");
    let authenticator = Authenticator::new(&Dns { validate: false, ..dns }).unwrap();
    assert_eq!(spf(&authenticator, "signed.example").await, ("pass".to_owned(), false), "it has no AD to say");
}

#[tokio::test]
async fn where_we_validate_a_proven_absence_is_kept_as_well() {
    let server = signed().await;
    let between = between(server.address, true).await;
    let dns = Dns { validate: true, anchors: Some(server.anchors.path().to_owned()), ..asking(between.address) };
    let authenticator = Authenticator::new(&dns).unwrap();
    let (resolver, asked) = (authenticator.resolver(), || between.over_udp.load(Ordering::Relaxed));
    let absent = async || {
        assert_eq!(resolver.txt(&name("absent.example")).await, Answer::NxDomain);
        assert_eq!(resolver.txt(&name("mx.signed.example")).await, Answer::NoData);
        assert_eq!(dmarc(&authenticator, "mx.signed.example").await, (DmarcResult::Fail, true));
        assert_eq!(spf(&authenticator, "absent.example").await, ("none".to_owned(), true));
    };
    absent().await;
    let before = asked();
    assert!(before > 0);
    for again in ["absent.example", "ABSENT.example"] {
        assert_eq!(resolver.txt(&name(again)).await, Answer::NxDomain);
    }
    absent().await;
    assert_eq!(asked(), before, "nobody was asked again");
    assert_eq!(resolver.mx(&name("absent.example")).await, Answer::NxDomain);
    assert!(asked() > before, "what is known of one type says nothing of another");

    // what can't be proven is trouble, and trouble is asked again
    let stranger = signed().await;
    let authenticator = Authenticator::new(&Dns { anchors: Some(stranger.anchors.path().to_owned()), ..dns }).unwrap();
    for _ in 0..2 {
        let before = asked();
        let answer = authenticator.resolver().txt(&name("absent.example")).await;
        assert_eq!(answer, Answer::Trouble(Trouble::Refusal));
        assert!(asked() > before);
    }
}

#[test]
fn the_word_of_a_server_that_anybody_could_speak_for_is_not_taken() {
    let tls = || Transport::Tls { name: "dns.example".to_owned() };
    let https = || Transport::Https { name: "dns.example".to_owned(), path: "/dns-query".to_owned() };
    for (address, transport, is_believed) in [
        ("127.0.0.1:53", Transport::Plain, true),
        ("127.0.0.53:53", Transport::Plain, true),
        ("[::1]:53", Transport::Plain, true),
        ("[::ffff:127.0.0.1]:53", Transport::Plain, true),
        ("192.0.2.53:53", Transport::Plain, false),
        ("10.0.0.1:53", Transport::Plain, false),
        ("[fe80::1]:53", Transport::Plain, false),
        ("[::ffff:192.0.2.53]:53", Transport::Plain, false),
        ("192.0.2.53:853", tls(), true),
        ("192.0.2.53:443", https(), true),
    ] {
        let server = Asked { address: address.parse().unwrap(), transport };
        assert_eq!(server.is_believed(), is_believed, "{server}");
    }
}

#[test]
fn a_file_without_anchors_is_told() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let anchors = Some(empty.path().to_owned());
    let dns = Dns { validate: true, anchors, ..asking(([127, 0, 0, 1], 53).into()) };
    assert!(matches!(Authenticator::new(&dns).map(|_| ()), Err(AuthenticateError::Anchors(_))));
}
