//! More clients than there are descriptors.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{AUTHOR, Client, Fate, address, deliver};
use super::host::{Host, Options, honest_zone};
use super::measure::{Row, cpu, descriptors, milliseconds};
use super::message::{Message, all_there};
use super::sizes::Sizes;
use crate::support::server::wait_for;

/// Files that the server may open: far fewer than its connections.
const FILES: u64 = 128;
/// How long the crowd stays.
const STAYS: Duration = Duration::from_secs(3);
/// What the server may do meanwhile: a loop that spins takes all of it.
const BUSY: Duration = Duration::from_millis(600);
const LIMITS: &str = "connections = 5000\nconnections_per_network = 5000";

pub fn run(sizes: &Sizes) -> Vec<Row> {
    let files = Some(FILES);
    let mut host = Host::start(Options { limits: LIMITS, files, zone: honest_zone(), ..Options::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut connecting = JoinSet::new();
        for number in 0..sizes.crowd {
            let smtp = host.smtp;
            connecting.spawn(async move {
                let mut client = Client::connect(smtp, address(number)).await.unwrap();
                let reply =
                    client.reply().await.unwrap_or_else(|error| panic!("client {number} heard nothing: {error}"));
                (client, reply)
            });
        }
        let (mut served, mut turned_away) = (Vec::new(), 0);
        for (client, reply) in connecting.join_all().await {
            match reply.code {
                220 => served.push(client),
                421 => turned_away += 1,
                _ => panic!("{}", reply.text),
            }
        }
        assert!(served.len() >= 30 && turned_away > 0, "{} served, {turned_away} turned away", served.len());
        let before = cpu(host.process());
        sleep(STAYS).await;
        let busy = cpu(host.process()) - before;
        assert!(busy <= BUSY, "it was busy for {busy:?} while nobody did anything");
        // who is served can still do what it came for
        let message = Message::new(10);
        let client = &mut served[0];
        assert_eq!(client.say("EHLO mx.sender.example").await.unwrap().code, 250);
        let fate = client.transact(AUTHOR, "alice@receiver.example", &message).await;
        assert!(matches!(fate, Fate::Acknowledged), "{fate:?}");
        let most = descriptors(host.process());
        let (stayed, mut acknowledged) = (served.len(), vec![message.id]);
        drop(served);
        wait_for("the crowd to go", || (descriptors(host.process()) < 60).then_some(()));
        // by itself
        assert!(host.is_unharmed());
        for number in 0..10 {
            let message = Message::new(10);
            let fate = deliver(host.smtp, address(number), "alice@receiver.example", &message).await;
            assert!(matches!(fate, Fate::Acknowledged), "{fate:?}");
            acknowledged.push(message.id);
        }
        assert_eq!(all_there(&host.mail(), &acknowledged), 0);
        let log = host.log();
        let said = log.lines().filter(|line| line.contains("hardly any more files can be opened")).count();
        assert!((1..=5).contains(&said), "it was said {said} times");
        let refused = host.metric("gatepost_connections_total", &["outcome=\"files\""]);
        assert_eq!(refused, f64::from(turned_away), "each is counted");
        let measured = format!(
            "{stayed} served, {turned_away} heard 421, none nothing; {most} files; {} of CPU in {STAYS:?}; recovered",
            milliseconds(busy)
        );
        let asked = format!("{} clients, {FILES} descriptors: 421, no busy loop, recovery", sizes.crowd);
        vec![Row::new("crowd", asked, measured)]
    })
}
