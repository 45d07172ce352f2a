//! Our own DNS out of order: what would be decided by what it can't say is deferred, whichever way it would go; nothing else is.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gatepost::authenticate::Dns;
use gatepost::config::Config;
use gatepost::observe::metrics::Metrics;
use gatepost::policy::{Policy, shipped};
use gatepost::problem::Source;
use gatepost::receive::{Carrier, Inquiry, Memory, Policies, Receiver, authenticator};
use gatepost::smtp::address::{ForwardPath, ReversePath};

use crate::support::dns::{Fault, RecordType, Zone, asking, serve};
use crate::support::site::message;

fn policy(rules: &str) -> String {
    format!("description = \"a test's\"\n{rules}")
}

fn rule(at: &str, when: &str, action: &str) -> String {
    format!("[[rule]]\nname = \"r-{at}-{action}\"\nat = \"{at}\"\nwhen = \"{when}\"\naction = \"{action}\"\n")
}

fn receiver(policy: &str, dns: &Dns) -> Arc<Receiver> {
    let source = |name: &str, text: &str| Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
    let policy = Policy::load(source("policy.toml", policy), &mut |_| Err("no lists".to_owned())).unwrap();
    Arc::new(Receiver {
        hostname: "mx.local.example".to_owned(),
        authserv_id: "mx.local.example".to_owned(),
        trusted: vec!["192.0.2.7/32".parse().unwrap()],
        soft_reject: false,
        most_received: 100,
        directory: Config::built_in().unwrap().directory,
        policies: Arc::new(ArcSwap::from_pointee(Policies::uniform(Arc::new(policy)))),
        authenticator: authenticator(dns).unwrap(),
        carrier: Carrier::Nowhere,
        state: None,
        journal: None,
        metrics: Arc::new(Metrics::new("test").unwrap()),
        memory: Memory::new(1 << 20, 1 << 20),
        limits: gatepost::receive::Limits::default(),
    })
}

/// What the zone says while all is well.
fn zone() -> Zone {
    Zone::new()
        .ptr([192, 0, 2, 1], "client.example")
        .a("client.example", [192, 0, 2, 1])
        .txt("sender.example", "v=spf1 ip4:192.0.2.1 -all")
        .mx("sender.example", 1, "client.example")
        .txt("_dmarc.sender.example", "v=DMARC1; p=reject")
}

/// The last reply of a transaction from this address: the refusal of RCPT, or the answer to the message.
async fn outcome(receiver: &Arc<Receiver>, client: [u8; 4]) -> String {
    let mut inquiry = Inquiry::connect(Arc::clone(receiver), (client, 4000).into());
    inquiry.helo("client.example", true);
    inquiry.mail(ReversePath::parse(b"<a@sender.example>", false).unwrap(), false);
    let reply = inquiry.recipient(ForwardPath::parse(b"<someone@localhost>", false).unwrap()).await;
    if reply.code() != 250 {
        return reply.one_line();
    }
    inquiry.data();
    inquiry.content(message("a@sender.example").as_bytes());
    inquiry.message(None).await.one_line()
}

/// Judges in good times and in an outage.
async fn check(policy: &str, client: [u8; 4], well: &str, in_outage: &str) {
    let server = serve(zone()).await;
    let probe = Duration::from_millis(100);
    let dns = Dns { timeout: Duration::from_secs(60), probe, pause: Duration::from_millis(5), ..asking(server.addr()) };
    let before = outcome(&receiver(policy, &dns), client).await;
    assert!(before.starts_with(well), "{policy}\n{before}");
    // a cache that knows nothing, and servers that say nothing
    let receiver = receiver(policy, &dns);
    server.replace(zone().failing_all(Fault::NoAnswer));
    let (tell, mut known) = tokio::sync::mpsc::unbounded_channel();
    let authenticator = receiver.authenticator.clone();
    let watching =
        tokio::spawn(async move { authenticator.watch(move |found| tell.send(found.is_ok()).unwrap()).await });
    assert_eq!(known.recv().await, Some(false));
    let during = outcome(&receiver, client).await;
    assert!(during.starts_with(in_outage), "{policy}\n{during}");
    watching.abort();
}

const OURS: &str = "451 4.4.3 our DNS does not work";

#[tokio::test]
async fn a_refusal_for_what_could_not_be_looked_up_is_a_deferral() {
    let refused = policy(&rule("data", "spf.mail_from.result != 'pass'", "reject"));
    check(&refused, [192, 0, 2, 1], "250", OURS).await;
    let refused = policy(&rule("rcpt", "iprev.result != 'pass'", "reject"));
    check(&refused, [192, 0, 2, 1], "250", OURS).await;
    let refused = policy(&rule("connect", "client.name == ''", "reject"));
    check(&refused, [192, 0, 2, 1], "250", OURS).await;
}

#[tokio::test]
async fn to_accept_what_could_not_be_looked_up_is_a_deferral_too() {
    let accepted = policy(&rule("data", "dmarc.result == 'fail'", "reject"));
    check(&accepted, [192, 0, 2, 1], "250", OURS).await;
    let quarantined = policy(&rule("data", "dmarc.result != 'pass'", "quarantine"));
    check(&quarantined, [192, 0, 2, 1], "250", OURS).await;
    check(shipped::DEFAULT, [192, 0, 2, 1], "250", "451 ").await;
}

#[tokio::test]
async fn what_needs_no_dns_is_decided_as_ever() {
    check(&policy(&rule("data", "message.bytes > 1", "reject")), [192, 0, 2, 1], "550", "550").await;
    check(&policy(&rule("data", "message.bytes < 1", "reject")), [192, 0, 2, 1], "250", "250").await;
    let first = rule("data", "from.domain == 'sender.example'", "reject")
        + &rule("data", "dmarc.result == 'fail'", "quarantine");
    check(&policy(&first), [192, 0, 2, 1], "550", "550").await;
    let observed = policy(&(rule("data", "dmarc.result == 'fail'", "reject") + "observe = true\n"));
    check(&observed, [192, 0, 2, 1], "250", "250").await;
    check(shipped::DEFAULT, [192, 0, 2, 7], "250", "250").await;
}

#[tokio::test]
async fn a_rule_that_defers_keeps_its_own_words() {
    let defers = policy(&(rule("data", "dmarc.result == 'temperror'", "defer") + "reply = \"451 4.7.1 come again\"\n"));
    check(&defers, [192, 0, 2, 1], "250", "451 4.7.1 come again").await;
}

#[tokio::test]
async fn a_strangers_broken_zone_is_for_the_rules() {
    let broken = zone().failing("sender.example", RecordType::TXT, Fault::ServFail);
    let server = serve(broken).await;
    let temporary = policy(&rule("data", "spf.mail_from.result == 'temperror'", "reject"));
    let receiver = receiver(&temporary, &asking(server.addr()));
    let reply = outcome(&receiver, [192, 0, 2, 1]).await;
    assert!(reply.starts_with("550"), "{reply}");
}
