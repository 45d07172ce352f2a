//! Nearly all connections in use: waits are short, and who has behaved is preferred.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use gatepost::facts::Stage;
use gatepost::server::{Behaved, Denied, Heaviest, Patience, Permit, Permits, Places, Pressure, Stress, Waits};
use tokio::sync::watch;

use crate::support::site::{Client, Setup, Site, message};

/// With four connections there is stress.
const STRESSED: &str = "[limits]\nconnections = 5\nstress_idle = \"1s\"\n";

fn limited(limits: &str) -> Site {
    Site::start(Setup { more: limits, ..Setup::default() })
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn the_last_places_are_for_those_who_have_behaved() {
    let permits = Permits::new(Places::new(20, 20, 20, 80));
    let mut held: Vec<Permit> = (0..15).map(|_| permits.take(ip(1), false).unwrap()).collect();
    assert!(!permits.is_under_stress());
    held.push(permits.take(ip(1), false).unwrap());
    assert!(permits.is_under_stress(), "16 of 20");
    held.extend((16..18).map(|_| permits.take(ip(1), false).unwrap()));
    assert_eq!(permits.take(ip(1), false).unwrap_err(), Denied::Busy, "18 are open");
    held.extend((18..20).map(|_| permits.take(ip(1), true).unwrap()));
    assert_eq!(permits.take(ip(1), true).unwrap_err(), Denied::Busy, "all are open");
    held.truncate(14);
    assert!(permits.is_under_stress(), "it does not flicker");
    held.truncate(13);
    assert!(!permits.is_under_stress());
    permits.bound(Places::new(14, 20, 20, 80));
    assert!(permits.is_under_stress(), "a reload leaves fewer places");
    drop(held);
    assert!(!permits.is_under_stress());
    assert!(permits.take(ip(1), false).is_ok());
}

#[test]
fn shares_are_by_address_and_by_network() {
    let permits = Permits::new(Places::new(100, 2, 3, 100));
    let take = |text: &str| permits.take(text.parse().unwrap(), false);
    let mut held = vec![take("192.0.2.1").unwrap(), take("192.0.2.1").unwrap()];
    assert_eq!(take("192.0.2.1").unwrap_err(), Denied::Share);
    held.push(take("::ffff:192.0.2.9").unwrap());
    assert_eq!(take("192.0.2.200").unwrap_err(), Denied::Network);
    held.push(take("192.0.3.1").unwrap());
    for host in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
        held.push(take(host).unwrap());
    }
    assert_eq!(take("2001:db8::4").unwrap_err(), Denied::Network);
    held.push(take("2001:db8:0:1::4").unwrap());
    drop(held);
    assert!(take("192.0.2.1").is_ok(), "all is given back");
}

#[test]
fn the_table_of_those_who_have_behaved_is_bounded_and_forgets_the_oldest() {
    let behaved = Behaved::default();
    let network = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
    for number in 0..40_000 {
        behaved.note(network(number), true);
        assert!(behaved.len() <= 16_384);
    }
    assert!(behaved.knows(network(39_999)) && behaved.knows(network(32_000)) && !behaved.knows(network(1)));
    behaved.note(network(39_999), false);
    assert!(!behaved.knows(network(39_999)), "it has misbehaved since");
    behaved.note("2001:db8::1".parse().unwrap(), true);
    assert!(behaved.knows("2001:db8::ffff".parse().unwrap()) && !behaved.knows("2001:db8:0:1::1".parse().unwrap()));
}

#[test]
fn waits_are_short_under_stress_and_count_from_its_beginning() {
    let seconds = Duration::from_secs;
    let waits = Waits { idle: seconds(300), stress_idle: seconds(10), stress_rate: 500 };
    let now = tokio::time::Instant::now();
    let stress = watch::Sender::new(None);
    let mut stranger = Patience::new(waits, stress.subscribe(), false);
    let mut known = Patience::new(waits, stress.subscribe(), true);
    for in_data in [false, true] {
        assert_eq!(stranger.deadline(now, in_data).at, now + seconds(300));
    }
    stress.send_replace(Some(Stress::from(now + seconds(5))));
    assert_eq!(stranger.deadline(now, false).at, now + seconds(15));
    assert_eq!(stranger.deadline(now + seconds(7), false).at, now + seconds(15), "what it said led nowhere");
    stranger.went_on();
    assert_eq!(stranger.deadline(now + seconds(7), false).at, now + seconds(17));
    stranger.heard_name();
    assert_eq!(stranger.deadline(now + seconds(8), false).at, now + seconds(18));
    stranger.heard_name();
    assert_eq!(stranger.deadline(now + seconds(9), false).at, now + seconds(18), "it said so before");
    stranger.secured();
    stranger.heard_name();
    assert_eq!(stranger.deadline(now + seconds(10), false).at, now + seconds(20));
    assert_eq!(known.deadline(now, true).at, now + seconds(300), "who has behaved has time");
    // a message: 5,000 octets buy ten seconds more
    stranger.went_on();
    let begun = stranger.deadline(now + seconds(60), true);
    assert!(begun.is_slow && begun.at < now + seconds(60));
    stranger.came(5_000);
    assert_eq!(stranger.deadline(now + seconds(60), true).at, begun.at + seconds(10));
    stranger.came(usize::MAX);
    let fast = stranger.deadline(now + seconds(60), true);
    assert_eq!((fast.at, fast.is_slow), (now + seconds(70), false), "silence counts all the same");
    stress.send_replace(None);
    assert_eq!(stranger.deadline(now, true).at, now + seconds(300));
}

#[test]
fn a_handshake_or_a_reply_is_waited_for_less_under_stress() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let second = Duration::from_secs(1);
    let waits = Waits { idle: 300 * second, stress_idle: second, stress_rate: 500 };
    let stress = watch::Sender::new(Some(Stress::from(tokio::time::Instant::now())));
    let (stranger, known) =
        (Patience::new(waits, stress.subscribe(), false), Patience::new(waits, stress.subscribe(), true));
    let never = std::future::pending::<std::io::Result<()>>;
    runtime.block_on(async {
        let error = stranger.hurried(never()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(tokio::time::timeout(2 * second, known.hurried(never())).await.is_err(), "who has behaved has time");
        stress.send_replace(None);
        assert!(tokio::time::timeout(2 * second, stranger.hurried(never())).await.is_err(), "no stress, no hurry");
        stranger.hurried(async { Ok(()) }).await.unwrap();
    });
}

#[test]
fn silent_clients_go_when_stress_begins_and_those_who_have_behaved_stay() {
    let site = limited(STRESSED);
    let mut good = site.dial_from([127, 0, 0, 9]);
    good.begin("a@sender.example", &["alice@local.example"]);
    good.data(message("a@sender.example")).is("250 2.0.0");
    good.expect("QUIT", "221");
    good.expect_end();
    site.wait_for_metric("gatepost_connections", &[], 0.0);
    stays_under_stress(&site);
}

#[test]
fn networks_of_our_own_are_preferred_too() {
    let smtp = "postmaster = \"alice@local.example\"\ntrusted = [\"127.0.0.9\"]";
    stays_under_stress(&Site::start(Setup { more: STRESSED, smtp, ..Setup::default() }));
}

/// 127.0.0.9 stays where silent clients of other addresses make stress, and have to go.
fn stays_under_stress(site: &Site) {
    let mut good = site.dial_from([127, 0, 0, 9]);
    assert_eq!(site.metric("gatepost_stress", &[]), 0.0);
    silent_ones_go(site, 1..=3);
    site.wait_for_metric("gatepost_stress", &[], 0.0);
    good.expect("NOOP", "250");
}

/// Silent clients make stress, and go.
fn silent_ones_go(site: &Site, last: std::ops::RangeInclusive<u8>) {
    let mut silent: Vec<Client> = last.map(|last| site.dial_from([127, 0, 0, last])).collect();
    for client in &mut silent {
        client.reply().is("421 4.4.2");
        client.expect_end();
    }
}

#[test]
fn who_delivers_to_an_inbox_is_preferred_at_once_and_after_a_mistake_no_more() {
    let site = limited(STRESSED);
    let mut good = welcome(&site, 9..=9).remove(0);
    silent_ones_go(&site, 1..=3);
    site.wait_for_metric("gatepost_stress", &[], 0.0);
    good.expect("MAIL FROM:<a@sender.example", "501");
    silent_ones_go(&site, 1..=3);
    good.reply().is("421 4.4.2");
    // nor is its network
    site.wait_for_metric("gatepost_connections", &[], 0.0);
    let mut again = site.dial_from([127, 0, 0, 9]);
    silent_ones_go(&site, 1..=3);
    again.reply().is("421 4.4.2");
}

#[test]
fn who_delivers_to_junk_or_to_nobody_is_not_preferred() {
    for action in ["quarantine", "discard"] {
        let policy = format!("[[rule]]\nname = 'no'\nat = 'data'\nwhen = 'true'\naction = '{action}'\n");
        let site = Site::start(Setup { more: STRESSED, policy: &policy, ..Setup::default() });
        for _ in 0..2 {
            let mut client = welcome(&site, 9..=9).remove(0);
            silent_ones_go(&site, 1..=3);
            client.reply().is("421 4.4.2");
            site.wait_for_metric("gatepost_connections", &[], 0.0);
        }
    }
}

#[test]
fn what_messages_hold_makes_stress_as_connections_do() {
    let permits = Permits::new(Places::new(100, 20, 20, 80));
    let held = permits.take(ip(1), false).unwrap();
    let press = |memory, disk, descriptors| {
        let heaviest = Heaviest { memory: (memory >= 80).then(|| ip(1)), disk: None };
        permits.press(Pressure { memory, disk, descriptors }, heaviest);
        permits.stress().borrow().map(|stress| stress.heaviest.memory)
    };
    assert_eq!(press(79, 79, 79), None);
    assert_eq!(press(80, 0, 0), Some(Some(ip(1))));
    let since = permits.stress().borrow().unwrap().since;
    assert_eq!(press(70, 0, 0), Some(None), "it does not flicker");
    assert_eq!(press(90, 0, 0), Some(Some(ip(1))));
    assert_eq!(permits.stress().borrow().unwrap().since, since, "it is the same stress");
    assert_eq!(press(69, 0, 0), None);
    assert_eq!(press(0, 80, 0), Some(None));
    assert_eq!(press(0, 69, 69), None);
    assert_eq!(press(0, 0, 80), Some(None));
    drop(held);
    assert!(permits.is_under_stress(), "no connection is left, and no descriptor");
    assert_eq!(press(0, 0, 0), None);
}

#[test]
fn who_holds_most_has_a_quarter_of_the_time_and_four_times_the_pace() {
    let seconds = Duration::from_secs;
    let waits = Waits { idle: seconds(300), stress_idle: seconds(8), stress_rate: 500 };
    let now = tokio::time::Instant::now();
    let stress = watch::Sender::new(Some(Stress::from(now)));
    let client = |last: u8| Patience::new(waits, stress.subscribe(), false).with(ip(last));
    let (mut heavy, mut near, mut far) =
        (client(1), client(2), Patience::new(waits, stress.subscribe(), false).with([198, 51, 100, 1].into()));
    for client in [&mut heavy, &mut near, &mut far] {
        client.deadline(now, true);
        client.came(1_000_000);
        assert_eq!(client.deadline(now, true).at, now + seconds(8));
    }
    let memory = Heaviest { memory: Some(ip(1)), disk: None };
    stress.send_replace(Some(Stress { since: now, heaviest: memory }));
    assert_eq!(heavy.deadline(now, false).at, now + seconds(2));
    assert_eq!((near.deadline(now, true).at, far.deadline(now, true).at), (now + seconds(8), now + seconds(8)));
    // what it sent before buys nothing
    heavy.went_on();
    let begun = heavy.deadline(now + seconds(60), true);
    assert!(begun.is_slow && begun.at < now + seconds(60), "{begun:?}");
    heavy.came(4_000);
    assert_eq!(heavy.deadline(now + seconds(60), true).at, begun.at + seconds(2));
    // of the disk the whole /24 has one share
    stress.send_replace(Some(Stress {
        since: now,
        heaviest: Heaviest { memory: None, disk: Some([192, 0, 2, 0].into()) },
    }));
    assert_eq!(near.deadline(now, false).at, now + seconds(2));
    assert_eq!(far.deadline(now, false).at, now + seconds(8));
    near.prefer(true);
    assert_eq!(near.deadline(now, false).at, now + seconds(2), "that it has behaved makes what it holds no less");
    far.prefer(true);
    assert_eq!(far.deadline(now, false).at, now + seconds(300));
    let mut ours = client(3).of_our_own(true);
    assert_eq!(ours.deadline(now, false).at, now + seconds(300));
}

#[test]
fn a_trickle_does_not_keep_what_is_short_for_ever() {
    let idle = Duration::from_millis(40);
    let waits = Waits { idle: Duration::from_secs(300), stress_idle: idle, stress_rate: 500 };
    let now = tokio::time::Instant::now();
    let heaviest = Heaviest { memory: Some(ip(1)), disk: None };
    let stress = watch::Sender::new(Some(Stress { since: now, heaviest }));
    let mut heavy = Patience::new(waits, stress.subscribe(), false).with(ip(1));
    let far = now + Duration::from_secs(3_600);
    let begun = heavy.deadline(far, true).at;
    heavy.came(1_000_000);
    heavy.went_on();
    assert!(heavy.deadline(far, true).at > begun + Duration::from_secs(100), "at four times the rate");
    // the rate has doubled ten times at least
    std::thread::sleep(idle * 10);
    let later = heavy.deadline(far, true);
    assert!(later.is_slow && later.at <= begun + Duration::from_millis(500), "{later:?}, begun {begun:?}");
    stress.send_replace(Some(Stress::from(now)));
    heavy.deadline(far, true);
    stress.send_replace(Some(Stress { since: now, heaviest }));
    let anew = heavy.deadline(far, true).at;
    heavy.came(1_000_000);
    assert!(heavy.deadline(far, true).at > anew + Duration::from_secs(100), "it begins anew");
}

#[test]
fn who_has_behaved_hears_that_it_holds_most() {
    let seconds = Duration::from_secs;
    let waits = Waits { idle: seconds(300), stress_idle: seconds(8), stress_rate: 500 };
    let now = tokio::time::Instant::now();
    let stress = watch::Sender::new(None);
    let mut known = Patience::new(waits, stress.subscribe(), true).with(ip(1));
    let mut ours = Patience::new(waits, stress.subscribe(), true).with(ip(1)).of_our_own(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(known.deadline(now, true).at, now + seconds(300));
    let heaviest = Heaviest { memory: Some(ip(1)), disk: None };
    stress.send_replace(Some(Stress { since: now, heaviest }));
    let soon = Duration::from_millis(50);
    runtime.block_on(async {
        tokio::time::timeout(seconds(20), known.changed()).await.expect("it is woken");
        assert!(tokio::time::timeout(soon, ours.changed()).await.is_err());
        assert!(known.deadline(now, true).at <= now + seconds(2));
        assert!(tokio::time::timeout(soon, known.changed()).await.is_err(), "once a change");
        stress.send_replace(Some(Stress::from(now)));
        tokio::time::timeout(seconds(20), known.changed()).await.expect("it is woken");
    });
    assert_eq!(known.deadline(now, true).at, now + seconds(300), "another holds most now");
}

#[test]
fn the_time_that_we_take_to_write_does_not_count_for_the_pace() {
    let seconds = Duration::from_secs;
    let waits = Waits { idle: seconds(300), stress_idle: seconds(10), stress_rate: 500 };
    let now = tokio::time::Instant::now();
    let stress = watch::Sender::new(Some(Stress::from(now)));
    let mut client = Patience::new(waits, stress.subscribe(), false).with(ip(1));
    let begun = client.deadline(now + seconds(60), true);
    assert!(begun.is_slow);
    client.waited_for_us(seconds(30));
    let later = client.deadline(now + seconds(60), true);
    assert_eq!((later.at, later.is_slow), (begun.at + seconds(30), true));
}

#[test]
fn stress_ends_however_early_it_begins() {
    let permits = Permits::new(Places::new(100, 100, 100, 10));
    let mut held: Vec<Permit> = (0..10).map(|_| permits.take(ip(1), false).unwrap()).collect();
    assert!(permits.is_under_stress());
    held.truncate(5);
    assert!(permits.is_under_stress(), "it does not flicker");
    held.truncate(4);
    assert!(!permits.is_under_stress(), "half of what makes stress is given back");
    let press = |memory| {
        permits.press(Pressure { memory, disk: 0, descriptors: 0 }, Heaviest::default());
        permits.is_under_stress()
    };
    assert_eq!([9, 10, 5, 4, 9].map(press), [false, true, true, false, false]);
}

/// Two networks hold nine tenths of what there is with two messages each that do not end: the one that holds more is let go, which is
/// enough, and the other stays.
/// That it has delivered to an inbox before changes nothing.
fn heaviest_goes_first(limits: &str, metric: &str) {
    let site = limited(limits);
    let mut earns = site.dial_from([127, 0, 1, 1]);
    earns.begin("a@sender.example", &["carol@local.example"]);
    earns.data(message("a@sender.example")).is("250 2.0.0");
    drop(earns);
    let unfinished = |network: u8, octets: usize| -> Vec<Client> {
        let clients = (1..=2).map(|_| {
            let mut client = site.dial_from([127, 0, network, 1]);
            client.begin("a@sender.example", &["alice@local.example"]);
            client.expect("DATA", "354");
            client.send("From: <a@sender.example>\r\n\r\n");
            client.send(format!("{}\r\n", "x".repeat(998)).repeat(octets / 1_000));
            client
        });
        clients.collect()
    };
    let mut lighter = unfinished(2, 840_000);
    let mut heavier = unfinished(1, 960_000);
    crate::support::site::wait_for("what they hold", || (site.metric(metric, &[]) > 3_300_000.0).then_some(()));
    site.wait_for_metric("gatepost_stress", &[], 1.0);
    for client in &mut heavier {
        client.reply().is("421 4.4.2");
    }
    site.wait_for_metric("gatepost_stress", &[], 0.0);
    for client in &mut lighter {
        client.expect(".", "250 2.0.0");
    }
    site.wait_for_metric(metric, &[], 0.0);
}

#[test]
fn memory_that_messages_hold_makes_stress_and_who_holds_most_goes_first() {
    let limits = "[limits]\nmemory = \"4 MB\"\nmemory_body = \"1 MB\"\nstress_idle = \"16s\"\n";
    heaviest_goes_first(limits, "gatepost_message_memory_bytes");
}

#[test]
fn disk_that_messages_hold_makes_stress_and_who_holds_most_goes_first() {
    let limits =
        "[limits]\nspool = \"4 MB\"\nspool_per_network = \"2 MB\"\nmessage = \"1 MB\"\nstress_idle = \"16s\"\n";
    heaviest_goes_first(limits, "gatepost_spool_held_bytes");
}

#[test]
fn a_message_that_comes_too_slowly_is_given_up_under_stress() {
    let site = limited(STRESSED);
    let mut slow = site.dial_from([127, 0, 0, 1]);
    slow.begin("a@sender.example", &["alice@local.example"]);
    slow.expect("DATA", "354");
    slow.send("From: <a@sender.example>\r\n\r\n");
    let mut fast = site.dial_from([127, 0, 0, 2]);
    fast.begin("a@sender.example", &["bob@local.example"]);
    fast.expect("DATA", "354");
    let _others = welcome(&site, 3..=4);
    let until = Instant::now() + crate::support::site::PATIENCE;
    let dripping = slow.drip(b'x', Duration::from_millis(50), until);
    for _ in 0..30 {
        fast.send(format!("{}\r\n", "y".repeat(998)));
        std::thread::sleep(Duration::from_millis(100));
    }
    let reply = slow.reply();
    reply.is("421 4.4.2 your message comes too slowly");
    assert_eq!(site.metric("gatepost_protocol_abuses_total", &["kind=\"too-slow\""]), 1.0);
    fast.expect(".", "250 2.0.0");
    dripping.join().unwrap();
    assert_eq!(site.delivered("local.example/alice").len(), 0);
}

/// Clients that keep their places, since they have delivered mail.
fn welcome(site: &Site, last: std::ops::RangeInclusive<u8>) -> Vec<Client> {
    let mut clients: Vec<Client> = last.map(|last| site.dial_from([127, 0, 0, last])).collect();
    for client in &mut clients {
        client.begin("a@sender.example", &["carol@local.example"]);
        client.data(message("a@sender.example")).is("250 2.0.0");
    }
    clients
}

/// Under stress that others keep up, says the lines in turn, which are answered so, until it is closed; how it was.
fn closed_for(open: impl Fn(&mut Client), lines: &[(&str, &str)]) -> String {
    let site = limited(STRESSED);
    let _others = welcome(&site, 2..=4);
    let mut client = site.dial_from([127, 0, 0, 1]);
    open(&mut client);
    let until = Instant::now() + Duration::from_secs(20);
    for (line, answer) in lines.iter().cycle() {
        assert!(Instant::now() < until, "{line:?} kept a place");
        client.send(format!("{line}\r\n"));
        let reply = client.reply();
        if reply.text.starts_with("421") {
            return reply.text;
        }
        reply.is(answer);
        std::thread::sleep(Duration::from_millis(100));
    }
    unreachable!("there are lines")
}

#[test]
fn commands_that_lead_nowhere_keep_no_place_under_stress() {
    let (mail, rcpt) = ("MAIL FROM:<a@sender.example>", "RCPT TO:<alice@local.example>");
    let rows: [&[(&str, &str)]; 6] = [
        &[("NOOP", "250")],
        &[("HELO y", "250")],
        &[("VRFY x", "252")],
        &[(mail, "250"), ("RSET", "250")],
        &[(mail, "250"), (rcpt, "250"), ("RSET", "250")],
        &[(mail, "250"), (rcpt, "250"), ("EHLO y", "250")],
    ];
    for lines in rows {
        let closed = closed_for(|client| drop(client.expect("HELO x", "250")), lines);
        assert!(closed.starts_with("421 4.4.2"), "{lines:?}: {closed}");
        assert!(!closed.contains("slowly"), "{lines:?}: {closed}");
    }
}

#[test]
fn recipients_who_are_refused_keep_no_place_under_stress() {
    let begin = |client: &mut Client| {
        client.expect("HELO x", "250");
        client.expect("MAIL FROM:<a@sender.example>", "250");
    };
    let closed = closed_for(begin, &[("RCPT TO:<a@abroad.example>", "550")]);
    assert!(closed.starts_with("421 4.4.2"), "{closed}");
}

#[test]
fn chunks_of_an_octet_are_a_slow_message_under_stress() {
    let begin = |client: &mut Client| {
        client.begin("a@sender.example", &["alice@local.example"]);
    };
    let closed = closed_for(begin, &[("BDAT 3\r\nx", "250")]);
    assert!(closed.starts_with("421 4.4.2 your message comes too slowly"), "{closed}");
}

#[test]
fn parts_of_a_line_keep_no_place_under_stress() {
    let site = limited(STRESSED);
    let _others = welcome(&site, 2..=4);
    let mut slow = site.dial_from([127, 0, 0, 1]);
    let until = Instant::now() + crate::support::site::PATIENCE;
    let dripping = slow.drip(b'x', Duration::from_millis(50), until);
    slow.reply().is("421 4.4.2");
    dripping.join().unwrap();
}

#[test]
fn who_is_turned_away_has_a_record_but_not_each_in_a_flood() {
    let site = limited("[limits]\nconnections = 1\n");
    let _held = site.dial();
    let began = Instant::now();
    let replies: Vec<_> = (0..60).map(|_| Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 8)).reply()).collect();
    let most = 10 * (began.elapsed().as_secs() as usize + 2);
    for reply in &replies {
        reply.is("421 4.3.2");
    }
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"busy\""]), 60.0);
    let record = site.record(&replies[0]);
    assert_eq!((record.stage, record.facts.client.ip), (Stage::Connect, IpAddr::from([127, 0, 0, 8])));
    assert!(record.decision.reply.starts_with("421 4.3.2"), "{}", record.decision.reply);
    let told = replies.iter().filter(|reply| reply.text.contains("ref=")).count();
    assert!((10..=most).contains(&told), "{told} of 60");
    assert_eq!(site.records(told).len(), told);
}

#[test]
fn one_network_has_its_share() {
    let site = limited("[limits]\nconnections_per_network = 2\n");
    let _held = [site.dial_from([127, 0, 0, 1]), site.dial_from([127, 0, 0, 2])];
    let mut late = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 3));
    late.reply().is("421 4.7.0");
    late.expect_end();
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"network\""]), 1.0);
    site.dial_from([127, 0, 1, 1]).expect("NOOP", "250");
}
