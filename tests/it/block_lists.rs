//! DNS block and allow lists (RFC 5782): what is asked, what counts, when a list is switched off, and over a whole session.

mod sessions;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost::authenticate::block_lists::{Code, ListSetup};
use gatepost::authenticate::{Authenticator, Dns};
use gatepost::config::parse_code;
use gatepost::facts::{BlockList, ListKind};

use crate::support::dns::*;

fn list(zone: &str, kind: ListKind) -> ListSetup {
    ListSetup { zone: zone.to_owned(), kind, codes: None, listed_probe: None, unlisted_probe: None }
}

fn with_codes(setup: ListSetup, codes: &[(&str, &str)]) -> ListSetup {
    let code = |(pattern, name): &(&str, &str)| {
        let (address, mask) = parse_code(pattern).unwrap();
        Code { address, mask, name: (*name).to_owned() }
    };
    ListSetup { codes: Some(codes.iter().map(code).collect()), ..setup }
}

const V6_LISTED: &str = "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";
const V6_UNLISTED: &str = "1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";

/// Lists in order: zen.example of addresses of both families, dbl.example of domains.
fn zone() -> Zone {
    Zone::new()
        .a("2.0.0.127.zen.example", [127, 0, 0, 2])
        .a(&format!("{V6_LISTED}.zen.example"), [127, 0, 0, 2])
        .a("test.dbl.example", [127, 0, 1, 2])
}

async fn asking(zone: Zone, lists: Vec<ListSetup>) -> (DnsServer, Authenticator) {
    let (server, authenticator) = authenticator(zone).await;
    let authenticator = authenticator.with_block_lists(lists);
    authenticator.probe_block_lists().await;
    (server, authenticator)
}

fn both() -> Vec<ListSetup> {
    vec![list("zen.example", ListKind::Address), list("dbl.example", ListKind::Domain)]
}

fn listed(codes: &[&str], names: &[&str]) -> BlockList {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    BlockList { listed: true, codes: owned(codes), names: owned(names), temperror: false }
}

fn ups(authenticator: &Authenticator) -> Vec<bool> {
    authenticator.block_lists().iter().map(|list| list.is_up()).collect()
}

#[tokio::test]
async fn clients_are_asked_for_by_their_octets_and_nibbles() {
    let v6 = "b.a.9.8.7.6.5.4.3.2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    let zone = zone().a("99.2.0.192.zen.example", [127, 0, 0, 3]).a(&format!("{v6}.zen.example"), [127, 0, 0, 4]);
    let (server, authenticator) = asking(zone, both()).await;
    for (ip, expected) in [
        ("192.0.2.99", listed(&["127.0.0.3"], &["192.0.2.99"])),
        ("::ffff:192.0.2.99", listed(&["127.0.0.3"], &["192.0.2.99"])),
        ("192.0.2.98", BlockList::default()),
        ("2001:db8::123:4567:89ab", listed(&["127.0.0.4"], &["2001:db8::123:4567:89ab"])),
        ("2001:db8::1", BlockList::default()),
    ] {
        let got = authenticator.address_lists(ip.parse().unwrap()).await;
        assert_eq!(got.into_iter().collect::<Vec<_>>(), [("zen.example".to_owned(), expected)], "{ip}");
    }
    assert!(server.asked().keys().all(|(name, kind)| *kind == RecordType::A && !name.contains("192.dbl")));
}

#[tokio::test]
async fn an_answer_counts_by_the_names_that_the_configuration_gives() {
    let codes = [("127.0.0.2", "sbl"), ("127.0.0.4/30", "xbl"), ("127.0.*.9", "drop"), ("127.0.0.9", "also")];
    let named = with_codes(list("zen.example", ListKind::Address), &codes);
    let plain = list("plain.example", ListKind::Address);
    let cases: [(&[u32], &[&str], &[&str]); 8] = [
        (&[2], &["sbl"], &["127.0.0.2"]),
        (&[7], &["xbl"], &["127.0.0.7"]),
        (&[4, 2], &["sbl", "xbl"], &["127.0.0.2", "127.0.0.4"]),
        (&[4, 5], &["xbl"], &["127.0.0.4", "127.0.0.5"]),
        (&[0x1109], &["drop"], &["127.0.17.9"]),
        (&[9], &["also", "drop"], &["127.0.0.9"]),
        (&[3], &[], &["127.0.0.3"]),
        // refuses or means nothing (RFC 5782 §5)
        (&[1], &[], &[]),
    ];
    let mut zone = zone().a("2.0.0.127.plain.example", [127, 0, 0, 2]);
    for (n, (answers, ..)) in cases.iter().enumerate() {
        for answer in *answers {
            for list in ["zen.example", "plain.example"] {
                zone = zone.a(&format!("{n}.2.0.192.{list}"), Ipv4Addr::from_bits((127 << 24) + answer));
            }
        }
    }
    let (_server, authenticator) = asking(zone, vec![named, plain]).await;
    for (n, (_, named, plain)) in cases.iter().enumerate() {
        let ip = format!("192.0.2.{n}");
        let got = authenticator.address_lists(ip.parse().unwrap()).await;
        let expected =
            |codes: &[&str]| if codes.is_empty() { BlockList::default() } else { listed(codes, &[ip.as_str()]) };
        assert_eq!(got["zen.example"], expected(named), "{ip} named");
        assert_eq!(got["plain.example"], expected(plain), "{ip} plain");
    }
    let counters = authenticator.block_lists()[0].counters();
    assert_eq!(counters.listed.load(Ordering::Relaxed), 6);
    assert_eq!(counters.unmapped.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn domains_are_asked_for_once_as_a_labels_and_addresses_never() {
    let zone =
        zone().a("xn--bcher-kva.example.dbl.example", [127, 0, 1, 2]).a("spam.example.dbl.example", [127, 0, 1, 4]);
    let (server, authenticator) = asking(zone, both()).await;
    let before = server.queries();
    let names = ["Spam.Example", "spam.example", "SPAM.example.", "bücher.example", "fine.example", "a_b.example"];
    let got = authenticator.domain_lists(&names).await;
    let expected = listed(&["127.0.1.2", "127.0.1.4"], &["spam.example", "xn--bcher-kva.example"]);
    assert_eq!(got.into_iter().collect::<Vec<_>>(), [("dbl.example".to_owned(), expected)]);
    assert_eq!(server.queries() - before, 4, "{:?}", server.asked());

    let before = server.queries();
    let nothing = [
        "",
        ".",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "192.0.2.1",
        "192.0.2.1.",
        "127.1",
        "spam.example.1",
        "2001:db8::1",
        "TEST",
        "localhost",
        "a..b",
        "x.spam example",
        "spam.ex\\.ample",
        "\u{fffd}.example",
    ];
    let got = authenticator.domain_lists(&nothing).await;
    assert!(got.values().all(|list| *list == BlockList::default()), "{got:?}");
    assert_eq!(server.queries(), before, "{:?}", server.asked());
}

/// Whoever has a listed domain can put in front of it what makes the name too long to ask, or no host's name.
#[tokio::test]
async fn what_a_listed_domain_has_in_front_of_it_does_not_hide_it() {
    let zone = zone().a("spam.example.dbl.example", [127, 0, 1, 2]).a("*.spam.example.dbl.example", [127, 0, 1, 2]);
    let (server, authenticator) = asking(zone, both()).await;
    let label = "a".repeat(60);
    let longest = format!("{}.{}.spam.example", [label.as_str(); 3].join("."), "b".repeat(57));
    assert_eq!(longest.len(), 253);
    for hidden in [
        longest.as_str(),
        &longest[1..],
        "x\\.y.spam.example",
        "x!.spam.example",
        "*.spam.example",
        "..spam.example",
        "-a-.spam.example",
        "xn--a.spam.example",
        "sub.Spam.Example.",
    ] {
        let got = authenticator.domain_lists(&[hidden]).await;
        assert!(got["dbl.example"].listed, "{hidden}: {got:?}");
    }
    let beyond = |(name, _): &&(String, RecordType)| !name.ends_with(".zen.example") && !name.ends_with(".dbl.example");
    assert_eq!(server.asked().keys().find(beyond), None, "whatever is said, a list is asked below its zone");
}

#[tokio::test]
async fn trouble_lists_nobody_and_is_said() {
    let zone = zone()
        .failing("9.2.0.192.zen.example", RecordType::A, Fault::ServFail)
        .failing("slow.example.dbl.example", RecordType::A, Fault::NoAnswer)
        .a("spam.example.dbl.example", [127, 0, 1, 2]);
    let (_server, authenticator) = asking(zone, both()).await;
    let trouble = BlockList { temperror: true, ..BlockList::default() };
    assert_eq!(authenticator.address_lists([192, 0, 2, 9].into()).await["zen.example"], trouble);
    let got = authenticator.domain_lists(&["slow.example", "spam.example"]).await;
    assert_eq!(got["dbl.example"], BlockList { temperror: true, ..listed(&["127.0.1.2"], &["spam.example"]) });
    assert_eq!(ups(&authenticator), [true, true], "one name's trouble is not the list's");
}

#[tokio::test]
async fn a_list_is_asked_only_once_a_probe_has_found_it_in_order() {
    let (server, authenticator) = authenticator(zone()).await;
    let authenticator = authenticator.with_block_lists(both());
    assert_eq!(ups(&authenticator), [false, false]);
    assert!(authenticator.address_lists([192, 0, 2, 9].into()).await.is_empty());
    assert_eq!(server.queries(), 0);
    authenticator.probe_block_lists().await;
    assert_eq!(ups(&authenticator), [true, true]);
    for name in ["2.0.0.127.zen.example", "1.0.0.127.zen.example", "test.dbl.example", "invalid.dbl.example"] {
        assert_eq!(server.count(name, RecordType::A), 1, "{name}");
    }
    assert_eq!(server.count(&format!("{V6_LISTED}.zen.example"), RecordType::A), 1);
    assert_eq!(server.count(&format!("{V6_UNLISTED}.zen.example"), RecordType::A), 1);
}

/// What the DNS says in place of a list in order.
fn broken() -> Vec<(&'static str, Zone)> {
    let wildcard = |answer: [u8; 4]| Zone::new().a("*.zen.example", answer).a("*.dbl.example", answer);
    let silent = |fault| {
        let zone = Zone::new().failing("2.0.0.127.zen.example", RecordType::A, fault);
        zone.failing("test.dbl.example", RecordType::A, fault)
    };
    vec![
        ("nothing is listed", Zone::new()),
        ("everything is listed", wildcard([127, 0, 0, 2])),
        ("the operator refuses", wildcard([127, 255, 255, 254])),
        ("the domain was sold", wildcard([203, 0, 113, 7])),
        (
            "the test entry is refused",
            Zone::new().a("2.0.0.127.zen.example", [127, 255, 255, 252]).a("test.dbl.example", [127, 255, 255, 252]),
        ),
        ("it fails", silent(Fault::ServFail)),
        ("it is silent", silent(Fault::NoAnswer)),
    ]
}

#[tokio::test]
async fn a_list_that_fails_its_probe_is_switched_off_and_comes_back_by_itself() {
    let client: IpAddr = [192, 0, 2, 99].into();
    let good = || zone().a("99.2.0.192.zen.example", [127, 0, 0, 2]).a("spam.example.dbl.example", [127, 0, 1, 2]);
    for (what, zone) in broken() {
        let (server, authenticator) = asking(good(), both()).await;
        assert_eq!(ups(&authenticator), [true, true], "{what}");
        server.replace(zone);
        authenticator.probe_block_lists().await;
        assert_eq!(ups(&authenticator), [false, false], "{what}");
        let before = server.queries();
        assert!(authenticator.address_lists(client).await.is_empty(), "{what}");
        assert!(authenticator.domain_lists(&["spam.example"]).await.is_empty(), "{what}");
        assert_eq!(server.queries(), before, "{what}: it is not asked");
        server.replace(good());
        authenticator.probe_block_lists().await;
        assert_eq!(ups(&authenticator), [true, true], "{what}: nothing is cached of its bad days");
        assert!(authenticator.address_lists(client).await["zen.example"].listed, "{what}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_listing_never_lists_and_has_the_list_probed_soon() {
    for answer in [[127, 255, 255, 254], [192, 0, 2, 1], [126, 0, 0, 2], [128, 0, 0, 2]] {
        let good = zone().a("99.2.0.192.zen.example", [127, 0, 0, 2]);
        let (server, authenticator) = asking(good.clone().a("99.2.0.192.zen.example", answer), both()).await;
        let before = server.queries();
        authenticator.probe_doubtful_block_lists().await;
        assert_eq!(server.queries(), before, "nobody doubts");
        let got = authenticator.address_lists([192, 0, 2, 99].into()).await;
        assert_eq!(got["zen.example"], BlockList { temperror: true, ..BlockList::default() }, "{answer:?}");
        assert_eq!(authenticator.block_lists()[0].counters().refused.load(Ordering::Relaxed), 1);
        // the operator refuses us altogether
        server.replace(Zone::new().a("*.zen.example", answer).a("test.dbl.example", [127, 0, 1, 2]));
        authenticator.probe_doubtful_block_lists().await;
        assert_eq!(ups(&authenticator), [false, true], "{answer:?}");
        server.replace(good);
        authenticator.probe_block_lists().await;
        assert_eq!(authenticator.address_lists([192, 0, 2, 98].into()).await.len(), 1, "{answer:?}");
    }
}

/// Below the zone of a list stand hosts of its operator, its name servers for one, and a client may say any name in HELO. The cache
/// would say it again after each probe.
#[tokio::test]
async fn a_stranger_who_names_a_host_of_the_list_does_not_switch_it_off() {
    let zone = zone().a("a.ns.dbl.example", [203, 0, 113, 53]).a("spam.example.dbl.example", [127, 0, 1, 2]);
    let (server, authenticator) = asking(zone, both()).await;
    for _ in 0..3 {
        let got = authenticator.domain_lists(&["a.ns"]).await;
        assert_eq!(got["dbl.example"], BlockList { temperror: true, ..BlockList::default() });
        assert!(authenticator.domain_lists(&["spam.example"]).await["dbl.example"].listed, "it lists on");
        let before = server.count("test.dbl.example", RecordType::A);
        authenticator.probe_doubtful_block_lists().await;
        assert_eq!(server.count("test.dbl.example", RecordType::A), before + 1, "it was looked into");
        assert_eq!(ups(&authenticator), [true, true]);
        authenticator.probe_doubtful_block_lists().await;
        assert_eq!(server.count("test.dbl.example", RecordType::A), before + 1, "once");
    }
}

#[tokio::test]
async fn a_list_that_dies_is_switched_off_before_its_time_and_found_again_before_its_time() {
    let (server, authenticator) = asking(zone(), both()).await;
    server.replace(zone().failing_all(Fault::NoAnswer));
    assert!(authenticator.address_lists([192, 0, 2, 1].into()).await["zen.example"].temperror);
    authenticator.probe_doubtful_block_lists().await;
    assert_eq!(ups(&authenticator), [false, true], "nothing was amiss with the other");
    let before = server.queries();
    assert!(authenticator.address_lists([192, 0, 2, 1].into()).await.is_empty(), "nobody waits for it any more");
    assert_eq!(server.queries(), before);
    server.replace(zone());
    authenticator.probe_doubtful_block_lists().await;
    assert_eq!(ups(&authenticator), [true, true]);
}

/// A trouble of a moment need not be an outage (the canary's second try is answered), so nothing tells when it is over.
#[tokio::test]
async fn a_list_that_was_silent_for_a_moment_is_found_again_at_the_next() {
    let (server, authenticator) = asking(zone(), both()).await;
    for round in 0..20 {
        server.replace(zone().failing_all(Fault::ServFail));
        authenticator.probe_block_lists().await;
        assert_eq!(ups(&authenticator), [false, false], "{round}");
        server.replace(zone());
        authenticator.probe_unheard_block_lists().await;
        assert_eq!(ups(&authenticator), [true, true], "{round}");
        let before = server.queries();
        authenticator.probe_unheard_block_lists().await;
        assert_eq!(server.queries(), before, "{round}: who was heard is left alone");
    }
}

/// Beside the probes of lists that are doubted, which go on.
#[tokio::test]
async fn a_list_that_stays_silent_is_probed_ever_more_seldom() {
    let mute = zone().failing("2.0.0.127.zen.example", RecordType::A, Fault::ServFail);
    let (server, authenticator) = asking(mute.clone(), both()).await;
    let probes = || server.count("2.0.0.127.zen.example", RecordType::A);
    let calls = async || {
        let mut probed = Vec::new();
        for call in 1..=40 {
            let before = probes();
            authenticator.probe_unheard_block_lists().await;
            if probes() > before {
                probed.push(call);
            }
        }
        probed
    };
    assert_eq!(calls().await, [1, 2, 4, 8]);
    let before = probes();
    authenticator.probe_doubtful_block_lists().await;
    assert!(probes() > before);
    authenticator.probe_block_lists().await;
    assert_eq!(calls().await, [1, 2, 4, 8], "after an outage or a reload it counts anew");
    server.replace(zone());
    authenticator.probe_doubtful_block_lists().await;
    server.replace(mute);
    authenticator.probe_unheard_block_lists().await;
    authenticator.probe_block_lists().await;
    assert_eq!(calls().await, [1, 2, 4, 8], "and where it was heard in between");
}

/// Ten minutes without lists after each outage, if the probe fell into it.
#[tokio::test]
async fn an_outage_of_our_own_dns_switches_no_list_off() {
    let server = serve(zone()).await;
    let dns = Dns { pause: Duration::from_millis(5), ..crate::support::dns::asking(server.addr()) };
    let authenticator = Authenticator::new(&dns).unwrap().with_block_lists(both());
    authenticator.probe_block_lists().await;
    server.replace(zone().failing_all(Fault::ServFail));
    let (tell, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let watched = authenticator.clone();
    let watching = tokio::spawn(async move { watched.watch(move |found| tell.send(found.is_ok()).unwrap()).await });
    assert_eq!(changes.recv().await, Some(false));
    authenticator.probe_block_lists().await;
    assert_eq!(ups(&authenticator), [true, true]);
    let got = authenticator.address_lists([192, 0, 2, 1].into()).await;
    assert!(got["zen.example"].temperror && !got["zen.example"].listed, "{got:?}");
    server.replace(zone());
    assert_eq!(changes.recv().await, Some(true));
    let before = server.queries();
    authenticator.probe_doubtful_block_lists().await;
    assert_eq!(server.queries(), before, "our trouble is no reason to doubt a list");
    watching.abort();
}

/// What resolvers in between make of a list: an alias in front of its answer, addresses of the other family.
#[tokio::test]
async fn an_answer_behind_an_alias_counts_and_one_of_the_other_family_does_not() {
    let zone = zone()
        .cname("97.2.0.192.zen.example", "listed.zen.example")
        .a("listed.zen.example", [127, 0, 0, 4])
        .cname("96.2.0.192.zen.example", "elsewhere.example")
        .a("elsewhere.example", [203, 0, 113, 9])
        .aaaa("95.2.0.192.zen.example", "::ffff:127.0.0.2".parse::<std::net::Ipv6Addr>().unwrap());
    let (_server, authenticator) = asking(zone, both()).await;
    let ask = async |last: u8| authenticator.address_lists([192, 0, 2, last].into()).await["zen.example"].clone();
    assert_eq!(ask(97).await, listed(&["127.0.0.4"], &["192.0.2.97"]));
    assert_eq!(ask(96).await, BlockList { temperror: true, ..BlockList::default() });
    assert_eq!(ask(95).await, BlockList::default());
}

#[tokio::test]
async fn a_list_of_one_family_is_in_order_and_not_asked_for_the_other() {
    let v4 = Zone::new().a("2.0.0.127.zen.example", [127, 0, 0, 2]);
    let v6 = Zone::new().a(&format!("{V6_LISTED}.zen.example"), [127, 0, 0, 2]);
    let all_v6 = Zone::new().a("2.0.0.127.zen.example", [127, 0, 0, 2]).a("*.f.zen.example", [127, 0, 0, 2]);
    for (zone, asked) in [(v4, (1, 0)), (v6, (0, 1)), (all_v6, (1, 0))] {
        let (_server, authenticator) = asking(zone, vec![list("zen.example", ListKind::Address)]).await;
        assert_eq!(ups(&authenticator), [true]);
        let got = (
            authenticator.address_lists([192, 0, 2, 1].into()).await.len(),
            authenticator.address_lists("2001:db8::1".parse().unwrap()).await.len(),
        );
        assert_eq!(got, asked);
    }
}

#[tokio::test]
async fn probes_of_the_administrators_own_take_the_place_of_the_default() {
    let own = |zone: &str, kind, listed: &str, unlisted: &str| ListSetup {
        listed_probe: Some(listed.to_owned()),
        unlisted_probe: Some(unlisted.to_owned()),
        ..list(zone, kind)
    };
    let lists = vec![
        own("own.example", ListKind::Address, "192.0.2.66", "192.0.2.1"),
        own("names.example", ListKind::Domain, "bad.example", "good.example"),
    ];
    let zone = Zone::new().a("66.2.0.192.own.example", [127, 0, 0, 2]).a("bad.example.names.example", [127, 0, 0, 2]);
    let (_server, authenticator) = asking(zone, lists).await;
    assert_eq!(ups(&authenticator), [true, true]);
}

#[tokio::test]
async fn a_new_configuration_keeps_what_is_known_of_lists_that_stay() {
    let (_server, authenticator) = asking(zone(), both()).await;
    authenticator.address_lists([192, 0, 2, 1].into()).await;
    let dbl = with_codes(list("dbl.example", ListKind::Domain), &[("127.0.1.2", "spam")]);
    let newer = authenticator.with_block_lists(vec![dbl, list("zen.example", ListKind::Address)]);
    assert_eq!(ups(&newer), [false, true], "a list that changed is probed anew");
    assert_eq!(newer.block_lists()[1].counters().unlisted.load(Ordering::Relaxed), 1);
    newer.probe_block_lists().await;
    assert_eq!(ups(&newer), [true, true]);
    assert!(newer.with_block_lists(Vec::new()).address_lists([192, 0, 2, 1].into()).await.is_empty());
}
