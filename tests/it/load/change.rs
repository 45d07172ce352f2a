//! Reloads and restarts while clients send without pause: nothing that was acknowledged is lost, and nobody is hung up on without a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::client::{AUTHOR, Client, Fate, Reply, address};
use super::host::{Host, Options, honest_zone};
use super::measure::Row;
use super::message::{Message, all_there};
use super::sizes::Sizes;
use crate::support::server::wait_for;

const SENDERS: usize = 8;
/// Transactions of a session.
const MESSAGES: usize = 3;
/// Lines of every fourth message, which is spooled, and of the others.
const LARGE: usize = 3_000;
const SMALL: usize = 100;
/// Messages that are acknowledged between two changes.
const BETWEEN: usize = 5;

const LIMITS: [&str; 2] = ["connections = 1000", "connections = 900\nrecipients = 500"];
/// No configuration at all: the one in force stays.
const BAD: &str = "connections = \"many\"";

/// What clients were told.
#[derive(Default)]
struct Tally {
    acknowledged: Vec<String>,
    deferred: usize,
    /// Recipients that are nobody here, and heard so.
    earned: usize,
    /// What no client should see.
    wrong: Vec<String>,
}

struct Traffic {
    runtime: Runtime,
    going: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    senders: JoinSet<Tally>,
}

impl Traffic {
    fn to(smtp: SocketAddr) -> Traffic {
        let runtime = Runtime::new().unwrap();
        let (going, acknowledged) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let mut senders = JoinSet::new();
        for number in 0..SENDERS {
            let sender = Sender { smtp, number, going: Arc::clone(&going), acknowledged: Arc::clone(&acknowledged) };
            senders.spawn_on(sender.run(), runtime.handle());
        }
        Traffic { runtime, going, acknowledged, senders }
    }

    /// Waits until more has been acknowledged.
    fn goes_on(&self) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        let grown = || self.acknowledged.load(Ordering::SeqCst) >= before + BETWEEN;
        wait_for("mail that is acknowledged", || grown().then_some(()));
    }

    fn end(self) -> Tally {
        self.going.store(false, Ordering::SeqCst);
        let mut all = Tally::default();
        for one in self.runtime.block_on(self.senders.join_all()) {
            all.acknowledged.extend(one.acknowledged);
            all.deferred += one.deferred;
            all.earned += one.earned;
            all.wrong.extend(one.wrong);
        }
        all
    }
}

struct Sender {
    smtp: SocketAddr,
    number: usize,
    going: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

impl Sender {
    async fn run(self) -> Tally {
        let mut tally = Tally::default();
        let mut sessions = 0;
        while self.going.load(Ordering::SeqCst) {
            // each from an address of its own: recipients that are nobody have a budget
            let from = address(self.number * 10_000 + sessions % 10_000);
            sessions += 1;
            match Client::greeted(self.smtp, from).await {
                Ok(client) => self.session(client, &mut tally).await,
                Err(fate) => note(fate, &mut tally),
            }
        }
        tally
    }

    async fn session(&self, mut client: Client, tally: &mut Tally) {
        for count in 0..MESSAGES {
            let message = Message::new(if count == 2 { LARGE } else { SMALL });
            match client.transact(AUTHOR, "alice@receiver.example", &message).await {
                Fate::Acknowledged => {
                    tally.acknowledged.push(message.id);
                    self.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                fate @ Fate::Deferred(_) => {
                    note(fate, tally);
                    return client.quit().await;
                }
                fate => return note(fate, tally),
            }
        }
        match client.begin(AUTHOR, "nobody@receiver.example").await {
            Err(Fate::Refused(Reply { code: 550, text })) if text.contains("5.1.1") => tally.earned += 1,
            Err(fate) => note(fate, tally),
            Ok(()) => tally.wrong.push("nobody was taken for somebody".to_owned()),
        }
        client.quit().await;
    }
}

fn note(fate: Fate, tally: &mut Tally) {
    match fate {
        Fate::Deferred(_) => tally.deferred += 1,
        Fate::Lost(why) => tally.wrong.push(format!("the connection ended without a word: {why}")),
        other => tally.wrong.push(format!("{other:?}")),
    }
}

/// What must hold whatever was changed; gives what to tell of it.
fn judged(host: &Host, tally: &Tally) -> String {
    let some: Vec<&String> = tally.wrong.iter().take(10).collect();
    assert!(tally.wrong.is_empty(), "{} clients saw what they should not: {some:#?}", tally.wrong.len());
    assert!(tally.earned > 0, "nobody asked for nobody");
    let unacknowledged = all_there(&host.mail(), &tally.acknowledged);
    assert_eq!(unacknowledged, 0, "there, and not acknowledged");
    format!(
        "{} acknowledged, each there once; {} heard 4yz, {} an earned 550; no connection lost",
        tally.acknowledged.len(),
        tally.deferred,
        tally.earned
    )
}

/// SIGHUP, each with another configuration, every tenth with a bad one.
pub fn reloads(sizes: &Sizes) -> Vec<Row> {
    let host = Host::start(Options { limits: LIMITS[0], zone: honest_zone(), ..Options::default() });
    let traffic = Traffic::to(host.smtp);
    let bad = (1..=sizes.reloads).filter(|number| number % 10 == 0).count();
    for number in 1..=sizes.reloads {
        let is_bad = number % 10 == 0;
        host.configure(if is_bad { BAD } else { LIMITS[number % 2] });
        host.signal(Signal::SIGHUP);
        let all = || host.metric("gatepost_reloads_total", &[]);
        wait_for("the reload", || (all() == number as f64).then_some(()));
        if number % 50 == 0 {
            traffic.goes_on();
        }
    }
    assert_eq!(host.metric("gatepost_reloads_total", &["outcome=\"refused\""]), bad as f64);
    traffic.goes_on();
    let tally = traffic.end();
    // nothing but a restart may cost a client its session
    assert_eq!(tally.deferred, 0, "a reload deferred something");
    let told = judged(&host, &tally);
    let asked = format!("{} reloads under load, {bad} of them bad", sizes.reloads);
    vec![Row::new("reloads", asked, told)]
}

/// In turn the end and a new start on inherited sockets, and the handover.
pub fn restarts(sizes: &Sizes) -> Vec<Row> {
    let mut host = Host::start(Options { limits: LIMITS[0], zone: honest_zone(), ..Options::default() });
    let traffic = Traffic::to(host.smtp);
    for number in 0..sizes.restarts {
        traffic.goes_on();
        if number % 2 == 0 {
            host.restart();
            host.wait_until_ready();
        } else {
            host.take_over();
        }
    }
    traffic.goes_on();
    let tally = traffic.end();
    let told = judged(&host, &tally);
    let asked = format!("{} restarts under load, half by systemd's sockets, half by handover", sizes.restarts);
    vec![Row::new("restarts", asked, told)]
}
