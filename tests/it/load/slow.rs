//! Senders of one octet a second, while a good client sends ten messages a second.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use super::client::{AUTHOR, Client, Fate, address, deliver};
use super::host::{Host, Options, honest_zone};
use super::measure::{Row, megabytes, milliseconds, percentile};
use super::message::{Message, all_there};
use super::sizes::Sizes;
use crate::support::server::wait_for;

const LIMITS: &str = "connections = 8000";
/// What a disk that others use, and a machine of two cores that the clients need too, add to any wait now and then.
const NOISE: Duration = Duration::from_millis(50);
const BETWEEN: Duration = Duration::from_millis(100);

pub fn run(sizes: &Sizes) -> Vec<Row> {
    let host = Host::start(Options { limits: LIMITS, zone: honest_zone(), ..Options::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (mut acknowledged, mut alone) = good(&host, sizes.slow_for).await;
        let before = host.pss();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut slow = JoinSet::new();
        let mut connecting = JoinSet::new();
        for number in 0..sizes.slow {
            connecting.spawn(begun(host.smtp, number));
            if connecting.len() >= 200 {
                slow.spawn(drip(connecting.join_next().await.unwrap().unwrap(), stopped.clone()));
            }
        }
        while let Some(client) = connecting.join_next().await {
            slow.spawn(drip(client.unwrap(), stopped.clone()));
        }
        let (accepted, under_fire) = good(&host, sizes.slow_for).await;
        acknowledged.extend(accepted);
        let more = host.pss().saturating_sub(before);
        let connections = || host.metric("gatepost_connections", &[]);
        // the good client's last session may be ending still
        wait_for("the good client gone", || (connections() <= sizes.slow as f64).then_some(()));
        assert_eq!(connections(), sizes.slow as f64, "none was given up");
        stop.send_replace(true);
        while let Some(id) = slow.join_next().await {
            acknowledged.push(id.unwrap());
        }
        host.wait_until_alone();
        // before and after: whatever else the machine does is in both
        let (accepted, again) = good(&host, sizes.slow_for).await;
        acknowledged.extend(accepted);
        alone.extend(again);
        assert_eq!(all_there(&host.mail(), &acknowledged), 0);
        let (p99_alone, p99) = (percentile(&alone, 99), percentile(&under_fire, 99));
        let measured = format!(
            "all {} accepted; p50/p99 {}/{} alone, {}/{} under fire; {} more memory; all slow ones accepted in the end",
            alone.len() + under_fire.len(),
            milliseconds(percentile(&alone, 50)),
            milliseconds(p99_alone),
            milliseconds(percentile(&under_fire, 50)),
            milliseconds(p99),
            megabytes(more)
        );
        println!("slow: {measured}");
        assert!(!sizes.is_timed || p99 <= 2 * p99_alone + NOISE, "{measured}");
        let asked = format!("{} senders of 1 octet/s, 10 messages/s: p99 at most twice + {NOISE:?}", sizes.slow);
        vec![Row::new("slow", asked, measured)]
    })
}

/// Ten messages a second, each in a session of its own: their ids, and how long each took. All must be accepted.
async fn good(host: &Host, time: Duration) -> (Vec<String>, Vec<Duration>) {
    let mut ticks = interval(BETWEEN);
    let mut sending = JoinSet::new();
    let count = time.as_millis() / BETWEEN.as_millis();
    for _ in 0..count {
        ticks.tick().await;
        let smtp = host.smtp;
        sending.spawn(async move {
            let message = Message::new(100);
            let began = Instant::now();
            let fate = deliver(smtp, [127, 200, 0, 1].into(), "alice@receiver.example", &message).await;
            assert!(matches!(fate, Fate::Acknowledged), "{fate:?}");
            (message.id, began.elapsed())
        });
    }
    sending.join_all().await.into_iter().unzip()
}

async fn begun(smtp: std::net::SocketAddr, number: usize) -> (Client, Message) {
    let message = Message::new(0);
    let mut client = Client::greeted(smtp, address(number)).await.unwrap();
    client.begin(AUTHOR, "bob@receiver.example").await.unwrap();
    (client, message)
}

/// One octet a second until it is told to stop; then the rest at once. It must be accepted: nobody needs its place.
async fn drip((mut client, message): (Client, Message), stopped: tokio::sync::watch::Receiver<bool>) -> String {
    let text = message.beginning(AUTHOR) + &message.end();
    let mut octets = text.bytes();
    while !*stopped.borrow() {
        let Some(octet) = octets.next() else { break };
        client.send(&[octet]).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    client.send(&octets.collect::<Vec<_>>()).await.unwrap();
    let reply = client.say(".").await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    client.quit().await;
    message.id
}
