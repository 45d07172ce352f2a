//! Large messages from many clients at once, where the server has little memory.

use std::net::SocketAddr;

use tokio::task::JoinSet;

use super::client::{AUTHOR, Client, Fate, address, deliver};
use super::host::{Host, Options, honest_zone};
use super::measure::{Row, descriptors, megabytes, spooled};
use super::message::{LINE, Message, all_there};
use super::sizes::Sizes;
use crate::support::server::wait_for;

/// What a site with so little memory would set: a quarter of it for messages.
const LIMITS: &str = "connections = 1000\nmemory = \"64 MB\"";

/// All of these messages are held in memory, where there is room for four of them.
const NARROW: &str = "connections = 1000\nmemory = \"4 MB\"\nmemory_body = \"1 MB\"";
const NARROW_LINES: usize = 900_000 / LINE;
const ROOM: usize = 4;

pub fn run(sizes: &Sizes) -> Vec<Row> {
    vec![spooled_all(sizes), surplus(sizes)]
}

fn spooled_all(sizes: &Sizes) -> Row {
    let memory = Some(sizes.large_memory);
    let mut host = Host::start(Options { limits: LIMITS, memory, zone: honest_zone(), ..Options::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let files_at_rest = descriptors(host.process());
        let mut sending = JoinSet::new();
        for number in 0..sizes.large {
            // no two are of the same length
            let (smtp, lines) = (host.smtp, sizes.large_lines - number);
            sending.spawn(async move {
                let message = Message::new(lines);
                (deliver(smtp, address(number), "alice@receiver.example", &message).await, message.id)
            });
        }
        let (mut acknowledged, mut deferred) = (Vec::new(), Vec::new());
        let mut most = host.pss();
        while !sending.is_empty() {
            tokio::select! {
                Some(sent) = sending.join_next() => match sent.unwrap() {
                    (Fate::Acknowledged, id) => acknowledged.push(id),
                    (Fate::Deferred(reply), _) => deferred.push(reply),
                    (fate, id) => panic!("{id}: {fate:?}"),
                },
                () = tokio::time::sleep(std::time::Duration::from_millis(50)) => most = most.max(host.pss()),
            }
        }
        assert!(host.is_unharmed(), "it was killed:\n{}", host.log());
        assert!(!acknowledged.is_empty(), "none was taken: {deferred:?}");
        host.wait_until_alone();
        wait_for("the spool to be empty", || (spooled(host.process()) == 0).then_some(()));
        // one more than at rest may be the journal's day
        wait_for("the files of the spool", || (descriptors(host.process()) <= files_at_rest + 2).then_some(()));
        assert_eq!(host.metric("gatepost_message_memory_bytes", &[]), 0.0);
        let cached = host.most_memory();
        assert_eq!(all_there(&host.mail(), &acknowledged), 0, "what was deferred is not there");
        let measured = format!(
            "{} whole, {} deferred, no kill; PSS {} at most ({cached}); spool empty",
            acknowledged.len(),
            deferred.len(),
            megabytes(most)
        );
        let size = megabytes((sizes.large_lines * LINE) as u64);
        let asked = format!("{} clients with {size} each in {}", sizes.large, megabytes(sizes.large_memory));
        Row::new("large", asked, measured)
    })
}

/// What there is no room for is deferred, whole and at once, and what was taken is there.
fn surplus(sizes: &Sizes) -> Row {
    let memory = Some(sizes.large_memory);
    let mut host = Host::start(Options { limits: NARROW, memory, zone: honest_zone(), ..Options::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut holding = Vec::new();
        for number in 0..ROOM {
            holding.push(written(host.smtp, number).await);
        }
        let held = || host.metric("gatepost_message_memory_bytes", &[]) >= (ROOM * NARROW_LINES * LINE) as f64;
        wait_for("all of their octets", || held().then_some(()));
        let mut sending = JoinSet::new();
        for number in ROOM..sizes.large {
            let smtp = host.smtp;
            sending.spawn(async move { ended(written(smtp, number).await).await });
        }
        let mut deferred = 0;
        for (fate, id) in sending.join_all().await {
            match fate {
                Fate::Deferred(reply) if reply.text.starts_with("452 4.3.1") => deferred += 1,
                fate => panic!("{id}: {fate:?}"),
            }
        }
        let mut acknowledged = Vec::new();
        for one in holding {
            let (fate, id) = ended(one).await;
            assert!(matches!(fate, Fate::Acknowledged), "{id}: {fate:?}");
            acknowledged.push(id);
        }
        assert!(host.is_unharmed(), "it was killed:\n{}", host.log());
        assert_eq!(all_there(&host.mail(), &acknowledged), 0, "what was deferred is not there");
        host.wait_until_alone();
        assert_eq!(host.metric("gatepost_message_memory_bytes", &[]), 0.0);
        let again = Message::new(NARROW_LINES);
        let fate = deliver(host.smtp, address(0), "alice@receiver.example", &again).await;
        assert!(matches!(fate, Fate::Acknowledged), "there is room again: {fate:?}");
        let measured = format!("{} whole, {deferred} heard 452 4.3.1; then there is room again", acknowledged.len());
        Row::new("surplus", format!("{} messages of 0.9 MB at once in limits.memory 4 MB", sizes.large), measured)
    })
}

/// A message that has been sent but for its dot.
async fn written(smtp: SocketAddr, number: usize) -> (Client, Message, std::io::Result<()>) {
    let message = Message::new(NARROW_LINES);
    let mut client = Client::greeted(smtp, address(number)).await.unwrap();
    client.begin(AUTHOR, "alice@receiver.example").await.unwrap();
    let written = client.write(AUTHOR, &message).await;
    (client, message, written)
}

/// What became of it.
async fn ended((mut client, message, written): (Client, Message, std::io::Result<()>)) -> (Fate, String) {
    let fate = client.end(&written).await;
    client.quit().await;
    (fate, message.id)
}
