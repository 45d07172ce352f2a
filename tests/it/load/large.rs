//! Large messages from many clients at once, where the server has little memory.

use tokio::task::JoinSet;

use super::client::{Fate, address, deliver};
use super::host::{Host, Options, honest_zone};
use super::measure::{Row, descriptors, megabytes, spooled};
use super::message::{LINE, Message, all_there};
use super::sizes::Sizes;
use crate::support::server::wait_for;

/// What a site with so little memory would set: a quarter of it for messages.
const LIMITS: &str = "connections = 1000\nmemory = \"64 MB\"";

pub fn run(sizes: &Sizes) -> Vec<Row> {
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
        vec![Row::new("large", asked, measured)]
    })
}
