//! What messages hold in memory is counted: more than the bound is answered 452, and all is given back.

use std::sync::Arc;

use gatepost::receive::{Inquiry, Memory, Receiver};
use gatepost::smtp::data::DataDefect;
use gatepost::smtp::reply::Reply;

use super::panics::receiver;
use crate::support::dns::{Zone, serve};
use crate::support::site::{OPEN, message};

/// Octets that may be held.
const BOUND: u64 = 10_000;
/// Of which one network may hold these.
const SHARE: u64 = 8_000;

/// Sessions that share so little memory.
fn check(sessions: impl AsyncFnOnce(&mut Inquiry, &mut Inquiry, &Memory)) {
    check_under(OPEN, sessions);
}

fn check_under(policy: &str, sessions: impl AsyncFnOnce(&mut Inquiry, &mut Inquiry, &Memory)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dns = serve(Zone::new()).await;
        let receiver = receiver(policy, dns.addr());
        let mut receiver = Arc::into_inner(receiver).unwrap();
        receiver.memory = Memory::new(BOUND, SHARE);
        let memory = Arc::clone(&receiver.memory);
        let receiver: Arc<Receiver> = Arc::new(receiver);
        let connect = |last| Inquiry::connect(Arc::clone(&receiver), ([127, 0, 0, last], 4000).into());
        sessions(&mut connect(1), &mut connect(2), &memory).await;
    });
}

async fn begin(inquiry: &mut Inquiry) {
    use gatepost::smtp::address::{ForwardPath, ReversePath};
    inquiry.helo("client.example", true);
    inquiry.mail(ReversePath::parse(b"<a@sender.example>", false).unwrap(), false);
    let reply = inquiry.recipient(ForwardPath::parse(b"<postmaster@localhost>", false).unwrap()).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(inquiry.data().code(), 354);
}

#[track_caller]
fn is(reply: &Reply, codes: &str) {
    assert!(reply.one_line().starts_with(codes), "{codes} expected: {reply}");
}

#[test]
fn a_message_that_memory_has_no_room_for_is_deferred_and_another_is_not_hurt() {
    check(async |one, other, memory| {
        begin(one).await;
        begin(other).await;
        let small = message("a@sender.example");
        one.content(small.as_bytes());
        other.content(small.as_bytes());
        other.content(&vec![b'x'; SHARE as usize]);
        assert_eq!(memory.used(), small.len() as u64, "what did not fit is not kept, nor what came before it");
        is(&other.message(None).await, "452 4.3.1");
        is(&one.message(None).await, "250 2.0.0");
        assert_eq!(memory.used(), 0);
    });
}

#[test]
fn memory_is_given_back_however_a_message_ends() {
    check(async |one, other, memory| {
        for end in ["defect", "abandoned", "stored"] {
            begin(one).await;
            one.content(message("a@sender.example").as_bytes());
            assert!(memory.used() > 0);
            match end {
                "defect" => is(&one.message(Some(DataDefect::BareLf)).await, "550 5.6.0"),
                "abandoned" => one.end_transaction(),
                _ => is(&one.message(None).await, "250 2.0.0"),
            }
            assert_eq!(memory.used(), 0, "{end}");
        }
        begin(other).await;
        other.content(&vec![b'x'; SHARE as usize]);
        is(&other.message(None).await, "250 2.0.0");
    });
}

#[test]
fn a_network_that_holds_its_share_leaves_room_for_the_others() {
    check(async |greedy, other, memory| {
        begin(greedy).await;
        begin(other).await;
        greedy.content(&vec![b'x'; SHARE as usize]);
        assert_eq!(memory.used(), SHARE);
        other.content(message("a@sender.example").as_bytes());
        greedy.content(b"y");
        is(&greedy.message(None).await, "452 4.3.1");
        is(&other.message(None).await, "250 2.0.0");
        assert_eq!(memory.used(), 0);
    });
}

/// A header that rules change is there twice: as it came, and as it is stored.
#[test]
fn headers_that_rules_change_count_until_they_are_stored() {
    let policy = "[[rule]]\nname = 'tag'\nat = 'data'\nwhen = 'true'\nadd_headers = { X-Tag = 'yes' }\n";
    check_under(policy, async |one, other, memory| {
        for (octets, codes) in [(SHARE / 2 - 400, "250 2.0.0"), (SHARE / 2 + 400, "452 4.3.1")] {
            begin(one).await;
            one.content(
                format!("From: <a@sender.example>\r\nX-Long: {}\r\n\r\n", "x".repeat(octets as usize)).as_bytes(),
            );
            is(&one.message(None).await, codes);
            assert_eq!(memory.used(), 0, "{octets}");
        }
        begin(other).await;
        other.content(message("a@sender.example").as_bytes());
        is(&other.message(None).await, "250 2.0.0");
    });
    // without a change it is there once
    check(async |one, _, _| {
        begin(one).await;
        one.content(
            format!("From: <a@sender.example>\r\nX-Long: {}\r\n\r\n", "x".repeat(SHARE as usize / 2 + 400)).as_bytes(),
        );
        is(&one.message(None).await, "250 2.0.0");
    });
}

#[test]
fn a_host_of_our_own_has_a_share_for_itself_and_its_neighbours_one_together() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dns = serve(Zone::new()).await;
        let mut receiver = Arc::into_inner(receiver(OPEN, dns.addr())).unwrap();
        receiver.trusted = vec!["192.0.2.25/32".parse().unwrap(), "2001:db8::25/128".parse().unwrap()];
        let shares = |text: &str| {
            let ip = text.parse().unwrap();
            [receiver.sharer_of_memory(ip), receiver.sharer_of_disk(ip)].map(|share| share.to_string())
        };
        assert_eq!(shares("192.0.2.25"), ["192.0.2.25", "192.0.2.25"]);
        assert_eq!(shares("::ffff:192.0.2.25"), ["192.0.2.25", "192.0.2.25"]);
        assert_eq!(shares("192.0.2.26"), ["192.0.2.26", "192.0.2.0"]);
        assert_eq!(shares("2001:db8::25"), ["2001:db8::25", "2001:db8::25"]);
        assert_eq!(shares("2001:db8::26"), ["2001:db8::", "2001:db8::"]);
    });
}
