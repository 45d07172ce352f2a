//! What one message may ask.

use futures_util::future::join_all;
use gatepost::authenticate::Authenticator;
use gatepost::authenticate::block_lists::ListSetup;
use gatepost::authenticate::resolver::{
    Answer, KEPT_FOR_CLIENT, KEPT_FOR_DMARC, KEPT_FOR_EXCHANGERS, KEPT_FOR_KEYS, KEPT_FOR_LISTS, LOOK_UPS, Trouble,
};
use gatepost::facts::{DmarcResult, HeloResult, IprevResult, ListKind, MethodResult, Mx, ReverseMxResult, SpfBoth};
use gatepost::message::author::read_author;
use gatepost::message::header::HeaderSplitter;
use gatepost::smtp::address::ReversePath;

use super::name;
use crate::support::dns::*;

fn zone() -> Zone {
    Zone::new()
        .txt("*.many.example", "text")
        .txt("_dmarc.victim.example", "v=DMARC1; p=reject")
        .ptr([192, 0, 2, 1], "client.example")
        .a("client.example", [192, 0, 2, 1])
}

/// What is left to SPF and ARC, where there are no lists.
const COMMON: usize = LOOK_UPS - KEPT_FOR_DMARC - KEPT_FOR_KEYS - KEPT_FOR_EXCHANGERS - KEPT_FOR_CLIENT;

async fn ask(authenticator: &Authenticator, names: std::ops::Range<usize>) -> Vec<bool> {
    let names: Vec<_> = names.map(|n| name(&format!("n{n}.many.example"))).collect();
    let answers = join_all(names.iter().map(|name| authenticator.resolver().txt(name))).await;
    answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Found(_) => true,
            Answer::Trouble(Trouble::Budget) => false,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn found(answers: &[bool]) -> usize {
    answers.iter().filter(|found| **found).count()
}

#[tokio::test]
async fn a_message_asks_a_hundred_times_and_asking_again_is_free() {
    let (server, authenticator) = authenticator(zone()).await;
    let message = authenticator.for_session().for_message();
    let most = COMMON;
    assert_eq!(found(&ask(&message, 0..150).await), most);
    assert_eq!(server.queries(), most as u64);
    let before = server.queries();
    assert_eq!(found(&ask(&message, 0..150).await), most, "what was asked before is answered again");
    assert_eq!(server.queries(), before);
    assert_eq!(
        found(&ask(&authenticator.for_session().for_message(), 0..150).await),
        most,
        "the next message has its own"
    );
    assert_eq!(found(&ask(&authenticator, 0..150).await), 150, "who asks for no message is not bounded");
}

/// Even where the resolver's cache holds nothing: the checks of a message ask for the same names.
#[tokio::test]
async fn what_a_message_was_told_it_is_told_again_while_it_is_valid() {
    let many = (0..20).fold(zone(), |zone, n| zone.a("many.example", [192, 0, 2, n]));
    let server = serve(many).await;
    let dns = gatepost::authenticate::Dns { cache_answers: 0, ..asking(server.addr()) };
    let authenticator = gatepost::authenticate::Authenticator::new(&dns).unwrap();
    let session = authenticator.for_session();
    let message = session.for_message();
    let asked = |name: &str| server.count(name, RecordType::A);
    let address = Answer::Found(vec![[192, 0, 2, 1].into()]);
    for _ in 0..3 {
        assert_eq!(message.resolver().a(&name("Client.Example")).await, address);
        assert_eq!(
            message.resolver().aaaa(&name("client.example")).await,
            Answer::NoData,
            "another type is another question"
        );
    }
    assert_eq!(asked("client.example"), 1);
    assert_eq!(session.for_message().resolver().a(&name("client.example")).await, address);
    assert_eq!(asked("client.example"), 2, "the next message asks anew");
    assert_eq!(session.resolver().a(&name("client.example")).await, address);
    assert_eq!(session.for_message().resolver().a(&name("client.example")).await, address);
    assert_eq!(asked("client.example"), 3, "what the session was told its messages know");
    for _ in 0..2 {
        assert!(matches!(message.resolver().a(&name("many.example")).await, Answer::Found(all) if all.len() == 20));
    }
    assert_eq!(asked("many.example"), 2, "large answers aren't kept");

    server.replace(zone().ttl(0));
    let message = authenticator.for_session().for_message();
    message.resolver().a(&name("client.example")).await;
    server.replace(Zone::new());
    assert_eq!(message.resolver().a(&name("client.example")).await, Answer::NxDomain, "its time is over");
}

#[tokio::test]
async fn what_a_session_asks_counts_for_its_messages() {
    let (_server, authenticator) = authenticator(zone()).await;
    let session = authenticator.for_session();
    assert_eq!(found(&ask(&session, 0..20).await), 20);
    let message = session.for_message();
    assert_eq!(found(&ask(&message, 20..150).await), COMMON - 20);
    assert_eq!(found(&ask(&session.for_message(), 20..150).await), COMMON - 20, "one message is not another's");
}

#[tokio::test]
async fn a_session_leaves_its_messages_half_of_what_all_have_in_common() {
    let (server, authenticator) = authenticator(zone()).await;
    let session = authenticator.for_session();
    assert_eq!(found(&ask(&session, 0..150).await), COMMON / 2);
    let message = session.for_message();
    assert_eq!(found(&ask(&message, 50..150).await), COMMON - COMMON / 2);
    let before = server.queries();
    assert_eq!(found(&ask(&message, 0..COMMON / 2).await), COMMON / 2, "what the session knows is free");
    assert_eq!(server.queries(), before);
}

fn list(zone: &str, kind: ListKind) -> ListSetup {
    ListSetup { zone: zone.to_owned(), kind, codes: None, listed_probe: None, unlisted_probe: None }
}

/// So many lists of domains, each of which lists a name of the test's, and the addresses' list.
async fn with_lists(domain_lists: usize) -> (DnsServer, Authenticator) {
    let mut zone = zone().a("2.0.0.127.zen.example", [127, 0, 0, 2]).a("1.2.0.192.zen.example", [127, 0, 0, 2]);
    let mut lists = vec![list("zen.example", ListKind::Address)];
    for n in 0..domain_lists {
        let domain = format!("d{n}.example");
        zone = zone.a(&format!("test.{domain}"), [127, 0, 0, 2]).a(&format!("spam.example.{domain}"), [127, 0, 0, 2]);
        lists.push(list(&domain, ListKind::Domain));
    }
    let (server, authenticator) = authenticator(zone).await;
    let authenticator = authenticator.with_block_lists(lists);
    authenticator.probe_block_lists().await;
    (server, authenticator)
}

#[tokio::test]
async fn nothing_takes_from_block_lists_what_is_kept_for_them() {
    let (_server, authenticator) = with_lists(4).await;
    let session = authenticator.for_session();
    ask(&session, 0..150).await;
    assert!(session.address_lists([192, 0, 2, 1].into()).await["zen.example"].listed);
    let message = session.for_message();
    ask(&message, 0..300).await;
    // the most names that a message has: seven
    let names: Vec<String> = (0..6).map(|n| format!("n{n}.many.example")).chain(["spam.example".to_owned()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = message.domain_lists(&names).await;
    assert_eq!(found.len(), 4);
    assert!(found.values().all(|list| list.listed && !list.temperror), "{found:?}");
}

#[tokio::test]
async fn twenty_lists_at_once_leave_the_others_their_share() {
    let (server, authenticator) = with_lists(19).await;
    let session = authenticator.for_session();
    assert!(session.address_lists([192, 0, 2, 1].into()).await["zen.example"].listed);
    let message = session.for_message();
    let before = server.queries();
    let names: Vec<String> = (0..6).map(|n| format!("n{n}.many.example")).chain(["spam.example".to_owned()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let listings = message.domain_lists(&names).await;
    let asked = usize::try_from(server.queries() - before).unwrap();
    assert!((KEPT_FOR_LISTS - 1..LOOK_UPS).contains(&asked), "{asked} of {} questions", 7 * 19);
    assert!(listings.values().any(|list| list.temperror), "what was not asked is said");
    assert!(found(&ask(&message, 0..150).await) >= (COMMON - KEPT_FOR_LISTS) / 2, "SPF is still asked");
    assert!(server.queries() - before <= LOOK_UPS as u64);
}

#[tokio::test]
async fn nothing_takes_from_dmarc_what_is_kept_for_it() {
    let (_server, authenticator) = authenticator(zone()).await;
    let message = authenticator.for_session().for_message();
    ask(&message, 0..150).await;
    let spf = message.spf_helo([192, 0, 2, 1].into(), "client.example").await;
    assert_eq!(spf.result, MethodResult::TempError, "the budget is spent");
    let mut splitter = HeaderSplitter::new();
    splitter.push(b"From: ceo@victim.example\r\n\r\n");
    let (header, _) = splitter.finish();
    let dmarc = message.dmarc(&read_author(&header), &SpfBoth::default(), &ReversePath::Null, &[]).await;
    assert_eq!(dmarc.result, DmarcResult::Fail, "a spent budget must not turn a fail into a temperror");
}

#[tokio::test]
async fn nothing_takes_from_the_client_what_is_kept_for_its_reverse_name_and_its_helo() {
    let zone = zone().a("helo.example", [192, 0, 2, 1]);
    let (_server, authenticator) = authenticator(zone).await;
    let session = authenticator.for_session();
    ask(&session, 0..150).await;
    ask(&session.for_message(), 100..300).await;
    let ip = [192, 0, 2, 1].into();
    assert_eq!(session.iprev(ip).await.result, IprevResult::Pass);
    assert_eq!(session.helo(ip, "helo.example").await.result, HeloResult::Pass);
}

/// Four domains, as many as a message has: reverse-path, author, Reply-To, reverse name.
#[tokio::test]
async fn nothing_takes_from_reverse_mx_what_is_kept_for_it() {
    let mut zone = zone().mx("null.example", 0, ".").a("implicit.example", [192, 0, 2, 1]);
    zone = zone.mx("two.example", 10, "mx1.two.example").mx("two.example", 20, "mx2.two.example");
    zone = zone.a("mx1.two.example", [192, 0, 2, 7]).a("mx2.two.example", [192, 0, 2, 1]);
    for n in 0..60 {
        zone = zone.mx("many.example", n, &format!("mx{n}.many.example"));
    }
    let (_server, authenticator) = authenticator(zone).await;
    let session = authenticator.for_session();
    ask(&session, 0..150).await;
    let message = session.for_message();
    ask(&message, 100..300).await;
    for (domain, result, mx) in [
        ("many.example", ReverseMxResult::TempError, Mx::Explicit),
        ("null.example", ReverseMxResult::None, Mx::Null),
        ("two.example", ReverseMxResult::Pass, Mx::Explicit),
        ("implicit.example", ReverseMxResult::Pass, Mx::Implicit),
    ] {
        let found = message.reverse_mx(domain, [192, 0, 2, 1].into()).await;
        assert_eq!((found.result, found.mx), (result, mx), "{domain}");
    }
}

/// A domain of fifty exchangers that the client names, and PTR names without end.
#[tokio::test]
async fn what_exchangers_take_beyond_their_share_leaves_spf_its_half() {
    let mut zone = zone();
    for domain in ["a.example", "b.example", "c.example", "d.example"] {
        for n in 0..50 {
            zone = zone.mx(domain, n, &format!("mx{n}.{domain}"));
        }
    }
    let (server, authenticator) = authenticator(zone).await;
    let session = authenticator.for_session();
    let ip = [192, 0, 2, 1].into();
    session.reverse_mx("a.example", ip).await;
    assert!(server.queries() <= (COMMON / 2 + KEPT_FOR_EXCHANGERS) as u64, "{}", server.queries());
    let message = session.for_message();
    for domain in ["b.example", "c.example", "d.example"] {
        assert_eq!(message.reverse_mx(domain, ip).await.mx, Mx::Explicit, "{domain}");
    }
    assert_eq!(found(&ask(&message, 0..150).await), COMMON / 2, "SPF of the message");
    let asked = server.queries();
    assert!(asked <= (LOOK_UPS - KEPT_FOR_DMARC - KEPT_FOR_KEYS) as u64, "{asked}");
}
