//! Connections that were greeted, said EHLO, and say nothing more.

use tokio::task::JoinSet;

use super::client::{Client, address, deliver};
use super::host::{Host, Options, honest_zone};
use super::measure::{Row, megabytes};
use super::message::{Message, all_there};
use super::sizes::Sizes;
use crate::support::dns::RecordType;

/// What ten thousand of them may cost.
const MOST: u64 = 150_000_000;
const OF: u64 = 10_000;
/// Connections that begin at a time.
const AT_ONCE: usize = 20;
/// Connections before the short form measures: a server that was never used has not even read its own program.
const FIRST: usize = 50;
/// What the allocator may round up to, which is much for few connections.
const ROUNDED: u64 = 4_000_000;
/// Places for all of them without stress.
const LIMITS: &str = "connections = 15000";

pub fn run(sizes: &Sizes) -> Vec<Row> {
    let host = Host::start(Options { limits: LIMITS, zone: honest_zone(), ..Options::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if !sizes.is_timed {
            for number in 0..FIRST {
                Client::greeted(host.smtp, address(number)).await.unwrap().quit().await;
            }
            host.wait_until_alone();
        }
        let at_rest = host.pss();
        let mut connecting = JoinSet::new();
        let mut held = Vec::new();
        for number in 0..sizes.idle {
            connecting.spawn(Client::greeted(host.smtp, address(number)));
            // what many take at once while they begin is not what they cost when they are idle
            if connecting.len() >= AT_ONCE {
                held.push(connecting.join_next().await.unwrap().unwrap().unwrap());
            }
        }
        while let Some(connected) = connecting.join_next().await {
            held.push(connected.unwrap().unwrap());
        }
        assert_eq!(host.metric("gatepost_connections", &[]), sizes.idle as f64);
        let with_all = host.pss();
        let more = with_all.saturating_sub(at_rest);
        let most = MOST * sizes.idle as u64 / OF + if sizes.is_timed { 0 } else { ROUNDED };
        assert!(more <= most, "{} idle connections cost {}", sizes.idle, megabytes(more));
        // somebody else is served all the same
        let message = Message::new(10);
        let fate = deliver(host.smtp, [127, 200, 0, 1].into(), "alice@receiver.example", &message).await;
        assert!(matches!(fate, super::client::Fate::Acknowledged), "{fate:?}");
        assert_eq!(all_there(&host.mail(), &[message.id]), 0);
        assert!(host.dns.count("sender.example", RecordType::TXT) >= 1, "SPF was looked up");
        // all of them are still there
        for client in held.iter_mut().step_by(97) {
            assert_eq!(client.say("NOOP").await.unwrap().code, 250);
        }
        drop(held);
        host.wait_until_alone();
        let each = more / sizes.idle as u64;
        let measured = format!(
            "{} more than the {} at rest: {each} octets each; {} when they had gone",
            megabytes(more),
            megabytes(at_rest),
            megabytes(host.pss())
        );
        let asked = format!("{} connections in at most {} more", sizes.idle, megabytes(most));
        vec![Row::new("idle", asked, measured)]
    })
}
