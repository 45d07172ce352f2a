//! A panic in a check costs that message a 451, whatever the rules would say (DESIGN §3, invariant 5).
//!
//! The panics here are tokio's own: a look-up that is polled outside a runtime finds no timer. No check is made to panic for the test.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use gatepost::config::Config;
use gatepost::observe::metrics::Metrics;
use gatepost::policy::Policy;
use gatepost::problem::Source;
use gatepost::receive::{Carrier, Inquiry, Memory, Policies, Receiver, authenticator};
use gatepost::smtp::address::{ForwardPath, ReversePath};
use gatepost::smtp::reply::Reply;

use crate::support::dns::{Zone, asking, serve};
use crate::support::site::message;

/// Refuses everything that the evidence does not speak for.
const STRICT: &str = r#"
description = "no evidence, no mail"
[[rule]]
name = "unconfirmed"
at = "STAGE"
when = "iprev.result != 'pass'"
action = "reject"
"#;

pub(super) fn receiver(policy: &str, dns: std::net::SocketAddr) -> Arc<Receiver> {
    let source = |name: &str, text: &str| Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
    let policy = Policy::load(source("policy.toml", policy), &mut |_| Err("no lists".to_owned())).unwrap();
    Arc::new(Receiver {
        hostname: "mx.local.example".to_owned(),
        authserv_id: "mx.local.example".to_owned(),
        trusted: Vec::new(),
        soft_reject: false,
        most_received: 100,
        directory: Config::built_in().unwrap().directory,
        policies: Arc::new(ArcSwap::from_pointee(Policies::uniform(Arc::new(policy)))),
        authenticator: authenticator(&asking(dns)).unwrap(),
        carrier: Carrier::Nowhere,
        state: None,
        journal: None,
        metrics: Arc::new(Metrics::new("test").unwrap()),
        memory: Memory::new(1 << 20, 1 << 20),
        limits: gatepost::receive::Limits::default(),
    })
}

/// EHLO, MAIL and RCPT; the answer to RCPT, which needs no more than one poll where the checks panic.
pub(super) fn recipient(inquiry: &mut Inquiry) -> Reply {
    inquiry.helo("client.example", true);
    inquiry.mail(ReversePath::parse(b"<a@sender.example>", false).unwrap(), false);
    inquiry.recipient(ForwardPath::parse(b"<postmaster@localhost>", false).unwrap()).now_or_never().expect("one poll")
}

fn transfer(inquiry: &mut Inquiry) {
    assert_eq!(inquiry.data().code(), 354);
    inquiry.content(message("a@sender.example").as_bytes());
}

fn check(stage: &str, more: impl FnOnce(&tokio::runtime::Runtime, &Arc<Receiver>, Inquiry)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let zone = Zone::new().ptr([127, 0, 0, 1], "client.example").a("client.example", [127, 0, 0, 1]);
    let dns = runtime.block_on(serve(zone));
    let receiver = receiver(&STRICT.replace("STAGE", stage), dns.addr());
    let inquiry = Inquiry::connect(Arc::clone(&receiver), ([127, 0, 0, 1], 4000).into());
    more(&runtime, &receiver, inquiry);
}

#[test]
fn a_panic_behind_a_message_is_a_451_and_counted() {
    check("data", |_, receiver, mut inquiry| {
        assert_eq!(recipient(&mut inquiry).code(), 250, "the rules of RCPT need nothing");
        transfer(&mut inquiry);
        let reply = inquiry.message(None).now_or_never().expect("one poll");
        assert!(reply.one_line().starts_with("451 4.3.0 internal error"), "{reply}");
        assert!(!receiver.metrics.text().contains("\ngatepost_panics_total 0\n"), "{}", receiver.metrics.text());
    });
}

#[test]
fn a_panic_behind_a_rule_of_rcpt_is_no_refusal() {
    check("rcpt", |_, _, mut inquiry| {
        let reply = recipient(&mut inquiry);
        assert!(reply.one_line().starts_with("451 4.3.0 internal error"), "{reply}");
        assert!(reply.one_line().contains(" ref="), "{reply}");
    });
}

#[test]
fn what_a_panic_hid_of_the_client_stays_unknown_for_the_session_and_no_other() {
    check("data", |runtime, receiver, mut inquiry| {
        recipient(&mut inquiry);
        transfer(&mut inquiry);
        assert_eq!(inquiry.message(None).now_or_never().expect("one poll").code(), 451);
        // all is well again, but what iprev would have found is lost
        let again = |inquiry: &mut Inquiry| {
            let _in_runtime = runtime.enter();
            let answer = recipient(inquiry).code();
            if answer != 250 {
                return answer;
            }
            transfer(inquiry);
            runtime.block_on(inquiry.message(None)).code()
        };
        assert_eq!(again(&mut inquiry), 451, "a rule must not refuse for what a fault of ours hid");
        let mut other = Inquiry::connect(Arc::clone(receiver), ([127, 0, 0, 1], 4001).into());
        assert_eq!(again(&mut other), 250);
    });
}
