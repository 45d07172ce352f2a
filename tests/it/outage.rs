//! Our own DNS out of order, over real sessions and in `gatepost try`: everybody is asked to come again, nobody waits once it is known,
//! and nothing has to be restarted.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::dns::{DnsServer, Fault, RecordType, Zone, serve};
use super::support::site::{Client, Reply, Site, message};

const DEFAULT: &str = include_str!("../../policies/default.toml");

/// Senders of names of their own, so that no cache helps.
fn zone() -> Zone {
    Zone::new()
        .mx("*.sender.example", 10, "mx.sender.example")
        .a("mx.sender.example", [192, 0, 2, 1])
        .txt("*.sender.example", "v=spf1 ip4:127.0.0.0/8 -all")
        .a("*.helo.example", [192, 0, 2, 1])
}

/// How DNS is out of order.
#[derive(Debug, Clone, Copy)]
enum Outage {
    Says(Fault),
    /// Nobody listens at its port.
    Gone,
}

const OUTAGES: [Outage; 4] =
    [Outage::Says(Fault::NoAnswer), Outage::Says(Fault::ServFail), Outage::Says(Fault::Refused), Outage::Gone];

/// One session: the answer that it ends with, and how long it took from the connection on.
fn session(site: &Site, number: u32) -> (Duration, Reply) {
    let began = Instant::now();
    let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + number % 60_000);
    let mut client = Client::connect(site.smtp, from);
    assert_eq!(client.reply().code, 220);
    client.expect(&format!("EHLO h{number}.helo.example"), "250");
    let author = format!("a@s{number}.sender.example");
    client.expect(&format!("MAIL FROM:<{author}>"), "250");
    let reply = client.say("RCPT TO:<alice@local.example>");
    let reply = if reply.code == 250 { client.data(message(&author)) } else { reply };
    (began.elapsed(), reply)
}

/// So many sessions, so many at once; their numbers go on from one wave to the next.
fn wave(site: &Site, numbers: &AtomicU32, sessions: u32, at_once: usize) -> Vec<(Duration, Reply)> {
    let end = numbers.load(Ordering::Relaxed) + sessions;
    let next =
        || numbers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| (number < end).then_some(number + 1));
    thread::scope(|scope| {
        let one = || std::iter::from_fn(|| next().ok()).map(|number| session(site, number)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn begin(site: &mut Site, outage: Outage) {
    match outage {
        Outage::Says(fault) => site.dns.replace(zone().failing_all(fault)),
        Outage::Gone => {
            let other = site.runtime.block_on(serve(Zone::new()));
            let gone = std::mem::replace(&mut site.dns, other);
            let _within = site.runtime.enter();
            drop(gone);
        }
    }
}

/// Look-ups beside the canary's.
fn asked(site: &Site) -> u64 {
    site.dns.asked().into_iter().filter(|((_, kind), _)| *kind != RecordType::NS).map(|(_, count)| count).sum()
}

#[track_caller]
fn assert_deferred(answers: &[(Duration, Reply)], outage: Outage) {
    for (_, reply) in answers {
        assert!(reply.text.starts_with("451 4.4.3"), "{outage:?}: {}", reply.text);
    }
}

#[test]
fn in_an_outage_everybody_is_deferred_nobody_waits_and_no_restart_is_needed() {
    let numbers = AtomicU32::new(0);
    for outage in OUTAGES {
        let mut site = Site::judging(DEFAULT, zone());
        session(&site, numbers.fetch_add(1, Ordering::Relaxed)).1.is("250 2.0.0");
        begin(&mut site, outage);
        assert_deferred(&wave(&site, &numbers, 40, 20), outage);
        site.wait_for_metric("gatepost_dns_up", &[], 0.0);
        assert!(site.page("/readyz").starts_with("HTTP/1.1 503"), "{outage:?}");
        let before = asked(&site);
        assert_deferred(&wave(&site, &numbers, 40, 20), outage);
        assert_eq!(asked(&site), before, "{outage:?}: once it is known nobody is asked, and so nobody waits");
        if let Outage::Says(_) = outage {
            site.dns.replace(zone());
            site.wait_for_metric("gatepost_dns_up", &[], 1.0);
            session(&site, numbers.fetch_add(1, Ordering::Relaxed)).1.is("250 2.0.0");
        }
    }
}

/// Zones of strangers that fail or drag on, in many sessions at once, are no outage of ours, and an honest sender is served beside them.
#[test]
fn strangers_with_broken_zones_bring_about_no_outage() {
    let mut broken = zone();
    for (label, fault) in [("mute", Fault::NoAnswer), ("failing", Fault::ServFail), ("refusing", Fault::Refused)] {
        broken = broken.failing_label(label, fault);
    }
    let site = Site::judging(DEFAULT, broken);
    let numbers = AtomicU32::new(0);
    thread::scope(|scope| {
        let hostile = |number: usize| {
            let label = ["mute", "failing", "refusing"][number % 3];
            let mut client = site.dial_from([127, 2, 0, u8::try_from(number).unwrap()]);
            client.expect(&format!("EHLO {label}.h{number}.example"), "250");
            client.expect(&format!("MAIL FROM:<x@{label}.h{number}.example>"), "250");
            client.expect("RCPT TO:<alice@local.example>", "451 4.4.3 looking up");
        };
        let threads: Vec<_> = (0..60).map(|number| scope.spawn(move || hostile(number))).collect();
        let mut served = 0;
        while threads.iter().any(|thread| !thread.is_finished()) || served == 0 {
            session(&site, numbers.fetch_add(1, Ordering::Relaxed)).1.is("250 2.0.0");
            served += 1;
            assert!(site.metric("gatepost_dns_up", &[]) > 0.5, "the canary lives");
        }
    });
    assert!(!site.journal().iter().any(|record| record.decision.reply.contains("our DNS does not work")));
}

#[test]
fn a_rehearsal_in_an_outage_says_so_and_ends_without_waiting_for_each_look_up() {
    let directory = tempfile::tempdir().unwrap();
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let refusing = block_on_server(zone().failing_all(Fault::ServFail));
    let policy = "description = 'x'\n[[rule]]\nname = 'spf'\nat = 'data'\nwhen = \"spf.mail_from.result != 'pass'\"\naction = 'reject'\n";
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    std::fs::write(directory.path().join("mail.eml"), message("a@s1.sender.example")).unwrap();
    for (address, complaint) in [
        (mute.local_addr().unwrap(), "no DNS server answers: 127.0.0.1"),
        (refusing.0.addr(), "the DNS servers answer, but only that they can't: 127.0.0.1"),
    ] {
        let config = format!(
            "hostname = 'mx.local.example'\nsecurity.user = 'nobody'\n[smtp]\nlisten = ['127.0.0.1:2525']\npostmaster = 'alice@local.example'\n\
             [dns]\nservers = ['{address}']\n[policy]\nfile = 'policy.toml'\n[domains.'local.example']\nmailboxes = ['alice']\n"
        );
        std::fs::write(directory.path().join("gatepost.toml"), config).unwrap();
        let rehearse = |more: &[&str]| {
            let words = ["try", "--config", "gatepost.toml", "--ip", "127.0.0.9", "--helo", "h1.helo.example"];
            let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
            command.args(words).args(["--mail-from", "a@s1.sender.example"]).args(more).arg("mail.eml");
            let output = command.current_dir(directory.path()).output().unwrap();
            let texts = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
            assert_eq!(output.status.code(), Some(0), "whatever the decision: {texts:?}");
            texts
        };
        let [story, told] = rehearse(&[]);
        assert!(told.starts_with("gatepost: dns: ") && told.contains(complaint), "{told}");
        assert_eq!(told.lines().count(), 1, "it is said once: {told}");
        assert!(story.contains("451 4.4.3 our DNS does not work"), "{story}");
        let [record, _] = rehearse(&["--json"]);
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["spf"]["mail_from"]["result"], "temperror");
        assert_eq!(record["decision"]["action"], "defer");
        let waited = record["timings_us"]["dns"].as_u64().or(record["timings_us"]["total"].as_u64()).unwrap();
        assert!(waited < 3_000_000, "{waited} µs: one look-up alone would be waited for 6 s");
    }
    // it was asked by the canary and by nobody else
    mute.set_nonblocking(true).unwrap();
    let mut query = [0; 512];
    while let Ok(length) = mute.recv(&mut query) {
        assert_eq!(query.get(12), Some(&0), "{:?}", String::from_utf8_lossy(&query[..length]));
    }
}

fn block_on_server(zone: Zone) -> (DnsServer, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    (runtime.block_on(serve(zone)), runtime)
}

/// The figure of docs/dns.md: `cargo test --release --test it -- --ignored --nocapture measure_refusals`.
#[test]
#[ignore = "measures, for docs/dns.md"]
fn measure_refusals_in_an_outage() {
    for outage in OUTAGES {
        for at_once in [1, 20, 100] {
            let numbers = AtomicU32::new(0);
            let mut site = Site::judging(DEFAULT, zone());
            wave(&site, &numbers, 50, at_once);
            begin(&mut site, outage);
            let answers = wave(&site, &numbers, 400, at_once);
            assert_deferred(&answers, outage);
            let mut times: Vec<Duration> = answers.iter().map(|(time, _)| *time).collect();
            times.sort();
            let at = |share: usize| times[(times.len() * share).div_ceil(100) - 1];
            println!("{outage:?}, {at_once} at once: p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
        }
    }
}
