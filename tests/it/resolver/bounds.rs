//! What one message may ask.

use futures_util::future::join_all;
use gatepost::authenticate::resolver::{Answer, KEPT_FOR_DMARC, LOOK_UPS, Trouble};
use gatepost::facts::{DmarcResult, IprevResult, MethodResult, SpfBoth};
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

async fn ask(authenticator: &gatepost::authenticate::Authenticator, names: std::ops::Range<usize>) -> Vec<bool> {
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
    let most = LOOK_UPS - KEPT_FOR_DMARC;
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
    assert_eq!(found(&ask(&session, 0..30).await), 30);
    let message = session.for_message();
    assert_eq!(found(&ask(&message, 30..150).await), LOOK_UPS - KEPT_FOR_DMARC - 30);
    assert_eq!(
        found(&ask(&session.for_message(), 30..150).await),
        LOOK_UPS - KEPT_FOR_DMARC - 30,
        "one message is not another's"
    );
}

#[tokio::test]
async fn nothing_takes_from_dmarc_what_is_kept_for_it() {
    let (_server, authenticator) = authenticator(zone()).await;
    let message = authenticator.for_session().for_message();
    ask(&message, 0..150).await;
    let ip = [192, 0, 2, 1].into();
    assert_eq!(message.iprev(ip).await.result, IprevResult::TempError, "the budget is spent");
    let spf = message.spf_helo(ip, "client.example").await;
    assert_eq!(spf.result, MethodResult::TempError);
    let mut splitter = HeaderSplitter::new();
    splitter.push(b"From: ceo@victim.example\r\n\r\n");
    let (header, _) = splitter.finish();
    let dmarc = message.dmarc(&read_author(&header), &SpfBoth::default(), &ReversePath::Null, &[]).await;
    assert_eq!(dmarc.result, DmarcResult::Fail, "a spent budget must not turn a fail into a temperror");
}
