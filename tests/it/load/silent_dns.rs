//! DNS servers that do not answer.

use tokio::task::JoinSet;

use super::client::{Fate, address, deliver_as};
use super::host::{Host, Options, honest};
use super::measure::{Row, megabytes};
use super::message::{Message, all_there};
use super::sizes::Sizes;
use crate::support::dns::{Fault, Zone};
use crate::support::server::wait_for;

const LIMITS: &str = "connections = 2000";
/// What a session may cost, whatever it waits for.
const EACH: u64 = 256_000;
/// As in the scenario of idle connections.
const FIRST_USE: u64 = 8_000_000;

pub fn run(sizes: &Sizes) -> Vec<Row> {
    // a domain a client: what was asked before is known
    let authors: Vec<String> = (0..=sizes.silent_dns).map(|number| format!("a@s{number}.example")).collect();
    let zone = authors.iter().fold(Zone::new(), |zone, author| honest(zone, author));
    let host = Host::start(Options { limits: LIMITS, zone: zone.clone(), ..Options::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (first, authors) = authors.split_first().unwrap();
        let mut acknowledged = sent(&host, std::slice::from_ref(first)).await.0;
        assert_eq!(acknowledged.len(), 1);
        let at_rest = host.pss();
        host.dns.replace(zone.clone().failing_all(Fault::NoAnswer));
        let (taken, deferred, most) = sent(&host, authors).await;
        assert!(taken.is_empty(), "the default policy takes nothing from domains that it can't look up");
        for reply in &deferred {
            assert!(reply.starts_with("451 4.4.3") || reply.starts_with("451 4.7.1"), "{reply}");
        }
        let more = most.saturating_sub(at_rest);
        let bound = EACH * authors.len() as u64 + FIRST_USE;
        assert!(more <= bound, "{} sessions that wait for DNS cost {}", authors.len(), megabytes(more));
        host.wait_until_alone();
        wait_for("the outage in /readyz", || (!host.is_ready()).then_some(()));
        host.dns.replace(zone);
        wait_for("the end of the outage", || host.is_ready().then_some(()));
        let (taken, deferred_later, _) = sent(&host, authors).await;
        assert_eq!((taken.len(), deferred_later.len()), (authors.len(), 0), "{deferred_later:?}");
        acknowledged.extend(taken);
        assert_eq!(all_there(&host.mail(), &acknowledged), 0);
        let measured = format!(
            "{} deferred with 451, {} more memory at most; all {} taken when it answers again",
            deferred.len(),
            megabytes(more),
            authors.len()
        );
        let asked = format!("{} clients, DNS silent: what the policy says, recovery", authors.len());
        vec![Row::new("silent-dns", asked, measured)]
    })
}

/// A message of each author at once: the ids that were acknowledged, the replies that deferred, and the most memory.
async fn sent(host: &Host, authors: &[String]) -> (Vec<String>, Vec<String>, u64) {
    let mut sending = JoinSet::new();
    for (number, author) in authors.iter().cloned().enumerate() {
        let smtp = host.smtp;
        sending.spawn(async move {
            let message = Message::new(20);
            let fate = deliver_as(smtp, address(number), &author, "alice@receiver.example", &message).await;
            (fate, message.id)
        });
    }
    let (mut acknowledged, mut deferred, mut most) = (Vec::new(), Vec::new(), host.pss());
    while !sending.is_empty() {
        tokio::select! {
            Some(sent) = sending.join_next() => match sent.unwrap() {
                (Fate::Acknowledged, id) => acknowledged.push(id),
                (Fate::Deferred(reply), _) => deferred.push(reply.text),
                (fate, id) => panic!("{id}: {fate:?}"),
            },
            () = tokio::time::sleep(std::time::Duration::from_millis(250)) => most = most.max(host.pss()),
        }
    }
    (acknowledged, deferred, most)
}
