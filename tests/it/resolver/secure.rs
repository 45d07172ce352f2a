//! Whether DNSSEC vouches for an answer: by the word of a server that is believed, or by our own validation.

use gatepost::authenticate::resolver::{Answer, Trouble};
use gatepost::authenticate::{Authenticator, Dns};
use gatepost::facts::{DmarcResult, Mx, ReverseMxResult, SpfBoth};
use gatepost::message::author::read_author;
use gatepost::message::header::HeaderSplitter;
use gatepost::smtp::address::ReversePath;

use super::name;
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
