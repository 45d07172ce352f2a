//! The resolver and the in-process DNS: what the zone says is what is found, over real UDP and TCP.

mod bounds;
mod hostile;
mod outage;
mod secure;
mod transport;

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use gatepost::authenticate::resolver::{Answer, DnsName, Trouble};
use gatepost::authenticate::{AuthenticateError, Authenticator, Dns};

use crate::support::dns::*;

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap_or_else(|| panic!("{text} is a name"))
}

fn found(text: &str) -> Answer<Vec<u8>> {
    Answer::Found(vec![text.as_bytes().to_vec()])
}

#[tokio::test]
async fn finds_what_the_zone_holds() {
    let zone = Zone::new()
        .a("host.example", [192, 0, 2, 1])
        .cname("alias.example", "host.example")
        .cname("loop1.example", "loop2.example")
        .cname("loop2.example", "loop1.example")
        .txt("*.wild.example", "any")
        .txt("kept.wild.example", "own")
        .txt_strings("two.example", ["one ", "two"])
        .ptr([192, 0, 2, 1], "host.example");
    let (_server, authenticator) = authenticator(zone).await;
    let resolver = authenticator.resolver();
    assert_eq!(resolver.a(&name("alias.example")).await, Answer::Found(vec![[192, 0, 2, 1].into()]));
    assert_eq!(resolver.txt(&name("host.example")).await, Answer::NoData);
    assert_eq!(resolver.txt(&name("example")).await, Answer::NoData, "an empty non-terminal exists (RFC 4592)");
    assert_eq!(resolver.txt(&name("absent.example")).await, Answer::NxDomain);
    assert_eq!(resolver.txt(&name("a.b.wild.example")).await, found("any"));
    assert_eq!(resolver.txt(&name("kept.wild.example")).await, found("own"));
    assert_eq!(resolver.txt(&name("below.kept.wild.example")).await, Answer::NxDomain, "the closest encloser counts");
    assert_eq!(resolver.txt(&name("two.example.")).await, found("one two"));
    assert_eq!(resolver.a(&name("loop1.example")).await, Answer::NoData);
    assert_eq!(resolver.ptr([192, 0, 2, 1].into()).await, Answer::Found(vec![name("host.example")]));
}

#[tokio::test]
async fn trouble_is_told_apart() {
    let zone = Zone::new()
        .failing("fail.example", RecordType::TXT, Fault::ServFail)
        .failing("no.example", RecordType::TXT, Fault::Refused)
        .failing("mute.example", RecordType::TXT, Fault::NoAnswer)
        .txt("late.example", "late")
        .failing("late.example", RecordType::TXT, Fault::Delay(Duration::from_millis(20)));
    let (_server, authenticator) = authenticator(zone).await;
    let resolver = authenticator.resolver();
    assert_eq!(resolver.txt(&name("fail.example")).await, Answer::Trouble(Trouble::Refusal));
    assert_eq!(resolver.txt(&name("no.example")).await, Answer::Trouble(Trouble::Refusal));
    assert_eq!(resolver.txt(&name("mute.example")).await, Answer::Trouble(Trouble::Timeout));
    assert_eq!(resolver.txt(&name("late.example")).await, found("late"));
    let counters = authenticator.counters();
    let counts = [&counters.queries, &counters.found, &counters.absent, &counters.timeouts, &counters.errors];
    assert_eq!(counts.map(|counter| counter.load(Ordering::Relaxed)), [4, 1, 0, 1, 2]);
}

#[tokio::test]
async fn large_answers_come_over_tcp() {
    let mut zone = Zone::new().txt("large.example", &"x".repeat(3000)).txt("cut.example", "over tcp").failing(
        "cut.example",
        RecordType::TXT,
        Fault::Truncated,
    );
    for n in 0..2000_u16 {
        zone = zone.a("many.example", [10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
    }
    let (_server, authenticator) = authenticator(zone).await;
    let resolver = authenticator.resolver();
    assert_eq!(resolver.txt(&name("large.example")).await, found(&"x".repeat(3000)));
    assert_eq!(resolver.txt(&name("cut.example")).await, found("over tcp"));
    assert_eq!(resolver.a(&name("many.example")).await.records().map(|records| records.len()), Ok(2000));
}

#[tokio::test]
async fn an_answer_that_overflows_tcp_is_trouble_and_no_panic() {
    let mut zone = Zone::new();
    for n in 0..400 {
        zone = zone.txt("huge.example", &format!("{n}{}", "y".repeat(250)));
    }
    let (_server, authenticator) = authenticator(zone).await;
    let answer = authenticator.resolver().txt(&name("huge.example")).await;
    assert!(matches!(answer, Answer::Trouble(_)), "{answer:?}");
}

#[tokio::test]
async fn asks_once_what_is_asked_often() {
    let (server, authenticator) = authenticator(Zone::new().txt("here.example", "text")).await;
    let (here, gone) = (name("here.example"), name("gone.example"));
    let resolver = authenticator.resolver();
    for answer in join_all((0..20).map(|_| resolver.txt(&here))).await {
        assert_eq!(answer, found("text"));
    }
    assert_eq!(resolver.txt(&name("HERE.example")).await, found("text"));
    assert_eq!(resolver.txt(&gone).await, Answer::NxDomain);
    assert_eq!(resolver.txt(&gone).await, Answer::NxDomain);
    assert_eq!(server.count("here.example", RecordType::TXT), 1);
    assert_eq!(server.count("gone.example", RecordType::TXT), 1);
}

#[tokio::test]
async fn trouble_is_not_remembered() {
    let (server, authenticator) =
        authenticator(Zone::new().failing("a.example", RecordType::TXT, Fault::ServFail)).await;
    assert_eq!(authenticator.resolver().txt(&name("a.example")).await, Answer::Trouble(Trouble::Refusal));
    server.replace(Zone::new().txt("a.example", "mended"));
    assert_eq!(authenticator.resolver().txt(&name("a.example")).await, found("mended"));
}

#[test]
fn only_names_can_be_asked_for() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(longest.len(), 253);
    for good in ["example", "a.example.", "_dmarc.example", "a b.example", "\u{7f}.example", longest.as_str()] {
        assert!(DnsName::parse(good).is_some(), "{good:?}");
    }
    let long_label = format!("{label}a.example");
    let too_long = format!("{longest}b");
    for bad in ["", ".", "..", "a..example", ".example", "example..", long_label.as_str(), too_long.as_str()] {
        assert!(DnsName::parse(bad).is_none(), "{bad:?}");
    }
    assert_eq!(name("A\\.B.Example.").to_string(), "a\\\\.b.example", "a backslash is an octet, not an escape");
    assert_eq!(name("Mail.Example"), name("mail.example."));
    assert!(name("a.b.example").is_within(&name("B.example")) && !name("ab.example").is_within(&name("b.example")));
    assert_eq!(name("[192.0.2.1]").as_address(), Some([192, 0, 2, 1].into()));
    assert_eq!(name("192.0.2.1.example").as_address(), None);
}

#[tokio::test]
async fn servers_work_where_the_canary_is_answered() {
    let canary = |name| Some(self::name(name));
    let zone = || Zone::new().a("here.example", [192, 0, 2, 1]);
    for (zone, canary, works) in [
        (zone(), None, true),
        (zone().ns(".", "a.root.example"), None, true),
        (zone().failing(".", RecordType::NS, Fault::ServFail), None, false),
        (zone().failing(".", RecordType::NS, Fault::Refused), None, false),
        (zone().failing(".", RecordType::NS, Fault::ServFail), canary("here.example"), true),
        (zone(), canary("absent.example"), true),
        (zone().failing("here.example", RecordType::A, Fault::ServFail), canary("here.example"), false),
    ] {
        let server = serve(zone).await;
        let authenticator = Authenticator::new(&Dns { canary, ..asking(server.addr()) }).expect("no I/O");
        let refusing = AuthenticateError::Refusing(server.addr().to_string());
        assert_eq!(authenticator.reachable().await, if works { Ok(()) } else { Err(refusing) });
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_named() {
    let mute = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = mute.local_addr().expect("bound");
    let authenticator = Authenticator::new(&asking(address)).expect("no I/O");
    assert_eq!(authenticator.reachable().await, Err(AuthenticateError::Unreachable(address.to_string())));
    drop(mute);
    assert_eq!(authenticator.reachable().await, Err(AuthenticateError::Unreachable(address.to_string())));
}

#[tokio::test]
async fn the_second_server_is_asked_when_the_first_is_gone() {
    let gone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let server = serve(Zone::new().txt("here.example", "text")).await;
    let servers = vec![gone.local_addr().expect("bound").into(), server.addr().into()];
    drop(gone);
    let dns = Dns { servers, attempts: 2, ..asking(server.addr()) };
    let authenticator = Authenticator::new(&dns).expect("no I/O");
    assert_eq!(authenticator.resolver().txt(&name("here.example")).await, found("text"));
    assert_eq!(authenticator.reachable().await, Ok(()));
}

#[tokio::test]
async fn a_server_that_only_says_that_it_can_not_does_not_hide_one_that_can() {
    for fault in [Fault::ServFail, Fault::Refused] {
        let broken = serve(Zone::new().failing_all(fault)).await;
        let zone = || Zone::new().txt("*.here.example", "text").failing("gone.example", RecordType::TXT, fault);
        let server = serve(zone().txt("slow.example", "text").failing(
            "slow.example",
            RecordType::TXT,
            Fault::Delay(Duration::from_millis(50)),
        ))
        .await;
        let dns = Dns { servers: vec![broken.addr().into(), server.addr().into()], ..asking(server.addr()) };
        let authenticator = Authenticator::new(&dns).expect("no I/O");
        for n in 0..20 {
            let answer = authenticator.resolver().txt(&name(&format!("n{n}.here.example"))).await;
            assert_eq!(answer, found("text"), "{fault:?} {n}");
        }
        assert_eq!(authenticator.resolver().txt(&name("slow.example")).await, found("text"), "{fault:?}");
        assert!(matches!(authenticator.resolver().txt(&name("gone.example")).await, Answer::Trouble(_)), "{fault:?}");
        assert_eq!(authenticator.reachable().await, Ok(()), "{fault:?}");
        server.replace(zone().failing_all(fault));
        assert!(matches!(authenticator.reachable().await, Err(AuthenticateError::Refusing(_))), "{fault:?}");
    }
}

/// The cache is bounded by the number of answers; strangers publish as many of 64 kB as they like.
#[tokio::test]
async fn large_answers_are_not_kept() {
    let many = (0..100).fold(Zone::new(), |zone, n| zone.a("many.example", [10, 0, 0, n]));
    let zone = many.txt("large.example", &"x".repeat(9000)).txt("usual.example", &"x".repeat(3000));
    let (server, authenticator) = authenticator(zone).await;
    let resolver = authenticator.resolver();
    let ask = async || {
        assert_eq!(resolver.txt(&name("large.example")).await, found(&"x".repeat(9000)));
        assert_eq!(resolver.txt(&name("usual.example")).await, found(&"x".repeat(3000)));
        assert_eq!(resolver.a(&name("many.example")).await.records().map(|records| records.len()), Ok(100));
        [("large.example", RecordType::TXT), ("usual.example", RecordType::TXT), ("many.example", RecordType::A)]
            .map(|(name, kind)| server.count(name, kind))
    };
    let first = ask().await;
    assert_eq!(ask().await, [2 * first[0], first[1], 2 * first[2]]);
}

#[tokio::test]
async fn a_dropped_server_answers_no_more() {
    let (server, authenticator) = authenticator(Zone::new()).await;
    assert_eq!(authenticator.reachable().await, Ok(()));
    drop(server);
    assert!(authenticator.reachable().await.is_err());
}

#[tokio::test]
async fn checks_run_in_any_task_and_outlive_what_asked_for_them() {
    let zone = Zone::new().txt("example.com", "v=spf1 mx -all").mx("example.com", 1, "mx.example.com");
    let (_server, authenticator) = authenticator(zone.a("mx.example.com", [192, 0, 2, 1])).await;
    let task = tokio::spawn(async move {
        let ip = [192, 0, 2, 1].into();
        let spf = authenticator.spf_helo(ip, "example.com").await.result.to_string();
        let reverse_mx = authenticator.reverse_mx("example.com", ip).await.result.to_string();
        (spf, reverse_mx, authenticator.iprev(ip).await.result.to_string())
    });
    assert_eq!(task.await.expect("no panic"), ("pass".into(), "pass".into(), "permerror".into()));
}
