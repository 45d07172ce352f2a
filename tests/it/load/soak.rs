//! Honest and hostile traffic together, for a long time: memory and descriptors stay where they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, Fate, address, deliver};
use super::host::{Host, Options, honest_zone};
use super::measure::{Row, anonymous, descriptors, megabytes, slope};
use super::message::{Message, all_there};
use super::sizes::Sizes;
use crate::support::server::wait_for;

const LIMITS: &str = "connections = 1000";
const HONEST: usize = 4;
const HOSTILE: usize = 16;
/// What an honest sender waits between two messages.
const PAUSE: Duration = Duration::from_millis(100);
/// Addresses that the hostile have: what is remembered of each has come to its bound early.
const HOSTS: usize = 400;
/// The share of the time that belongs to the beginning: tables and caches fill.
const WARM: f64 = 0.25;
/// What may be more at the end than after the beginning: octets of memory, and files.
const GROWTH: f64 = 4_000_000.0;
const MORE_FILES: f64 = 10.0;

pub fn run(sizes: &Sizes) -> Vec<Row> {
    let host = Host::start(Options { limits: LIMITS, zone: honest_zone(), ..Options::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let at_rest = descriptors(host.process());
    let going = Arc::new(AtomicBool::new(true));
    let (mut honest, mut hostile) = (JoinSet::new(), JoinSet::new());
    for number in 0..HONEST {
        honest.spawn_on(send(host.smtp, number, Arc::clone(&going)), runtime.handle());
    }
    for number in 0..HOSTILE {
        hostile.spawn_on(attack(host.smtp, number, Arc::clone(&going)), runtime.handle());
    }
    let samples = runtime.block_on(sampled(&host, sizes.soak));
    going.store(false, Ordering::SeqCst);
    let acknowledged: Vec<String> = runtime.block_on(honest.join_all()).into_iter().flatten().collect();
    let attacks: usize = runtime.block_on(hostile.join_all()).into_iter().sum();
    host.wait_until_alone();
    wait_for("the files to be closed", || (descriptors(host.process()) <= at_rest + 3).then_some(()));
    assert!(acknowledged.len() >= HONEST && attacks >= 3 * KINDS.len(), "{} and {attacks}", acknowledged.len());
    assert_eq!(all_there(&host.mail(), &acknowledged), 0, "hostile mail was taken");
    assert_eq!(host.metric("gatepost_panics_total", &[]), 0.0);

    let after_warming: Vec<&Sample> =
        samples.iter().filter(|sample| sample.at >= WARM * sizes.soak.as_secs_f64()).collect();
    let time = (1.0 - WARM) * sizes.soak.as_secs_f64();
    let grown = |of: fn(&Sample) -> f64| {
        time * slope(&after_warming.iter().map(|sample| (sample.at, of(sample))).collect::<Vec<_>>())
    };
    let (memory, files) = (grown(|sample| sample.anonymous as f64), grown(|sample| sample.files as f64));
    let most = after_warming.iter().map(|sample| sample.pss).max().unwrap_or_default();
    let measured = format!(
        "{} honest messages, each there once; {attacks} attacks; PSS {} at most; by slope {:+.2} MB of its own, {files:+.1} files",
        acknowledged.len(),
        megabytes(most),
        memory / 1e6
    );
    println!("soak: {measured}");
    if sizes.is_timed {
        assert!(memory <= GROWTH && files <= MORE_FILES, "{measured}");
    }
    vec![Row::new("soak", format!("{:?} of honest and hostile traffic, flat", sizes.soak), measured)]
}

struct Sample {
    at: f64,
    pss: u64,
    anonymous: u64,
    files: usize,
}

async fn sampled(host: &Host, time: Duration) -> Vec<Sample> {
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed() < time {
        sleep(time / 100).await;
        let at = began.elapsed().as_secs_f64();
        let process = host.process();
        samples.push(Sample { at, pss: host.pss(), anonymous: anonymous(process), files: descriptors(process) });
    }
    samples
}

async fn send(smtp: SocketAddr, number: usize, going: Arc<AtomicBool>) -> Vec<String> {
    let from = Ipv4Addr::new(127, 200, 0, u8::try_from(number + 1).unwrap());
    let mut acknowledged = Vec::new();
    while going.load(Ordering::SeqCst) {
        // every eighth is spooled
        let message = Message::new(if acknowledged.len() % 8 == 7 { 4_000 } else { 150 });
        let fate = deliver(smtp, from, "alice@receiver.example", &message).await;
        assert!(matches!(fate, Fate::Acknowledged), "an honest sender: {fate:?}");
        acknowledged.push(message.id);
        sleep(PAUSE).await;
    }
    acknowledged
}

/// What a hostile client sends, and how often; then it hangs up without a word.
const KINDS: &[(&str, usize)] = &[
    ("", 1),
    ("\u{0}\u{1}\u{2}binary\r\n", 30),
    ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1),
    ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}", 1),
    ("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", 1),
    ("EHLO x\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@receiver.example>\r\nDATA\r\nFrom: half\r\n", 1),
    ("EHLO x\nMAIL FROM:<a@sender.example>\n", 2),
    ("EHLO x\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@receiver.example>\r\nBDAT 99999999\r\nabc", 1),
    ("EHLO x\r\nMAIL FROM:<a@sender.example> SIZE=999999999999\r\n", 5),
    ("MAIL FROM:<a@sender.example>\r\nRCPT TO:<nobody@receiver.example>\r\n", 25),
    ("EHLO x\r\nSTARTTLS\r\nEHLO injected\r\n", 1),
    ("AUTH LOGIN\r\nVRFY root\r\nEXPN root\r\nWIZ\r\n", 10),
    ("NOOP xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 2_000),
    ("EHLO x\r\nRSET\r\nNOOP\r\n", 300),
    ("EHLO x\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<postmaster@elsewhere.example>\r\n", 6),
];

/// Does all of it in turn; gives how often.
async fn attack(smtp: SocketAddr, number: usize, going: Arc<AtomicBool>) -> usize {
    let mut attacks = 0;
    while going.load(Ordering::SeqCst) {
        let turn = number + attacks * HOSTILE;
        let (text, times) = KINDS[turn % KINDS.len()];
        attacks += 1;
        if let Ok(mut client) = Client::connect(smtp, address(turn % HOSTS)).await {
            // whatever it is told: some of it waits for replies, some does not, some hangs up first
            if !turn.is_multiple_of(3) {
                let _ = client.reply().await;
            }
            for _ in 0..times {
                if client.send(text.as_bytes()).await.is_err() {
                    break;
                }
            }
            let _ = timeout(Duration::from_millis(20 * (turn as u64 % 7)), client.reply()).await;
        }
        sleep(Duration::from_millis(20)).await;
    }
    attacks
}
