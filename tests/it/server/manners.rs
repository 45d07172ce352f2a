//! What honest clients don't do: refused, counted by kind, closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use gatepost::server::harvest::Harvest;
use tokio::time::Instant;

use crate::support::dns::Zone;
use crate::support::site::{Client, Setup, Site, message, wait_for};

const POSTMASTER: &str = "postmaster = \"alice@local.example\"\n";

fn abuses(site: &Site, kind: &str) -> f64 {
    site.metric("gatepost_protocol_abuses_total", &[&format!("kind=\"{kind}\"")])
}

#[test]
fn who_speaks_before_the_greeting_is_noticed_and_rules_may_refuse_it() {
    let policy = "description = \"no early talkers\"\n\
        [[rule]]\nname = \"early\"\nat = \"connect\"\nwhen = \"client.early_talker\"\naction = \"reject\"\nreply = \"554 5.5.0 early\"\n\
        [[test]]\nname = \"early\"\nat = \"connect\"\ngiven = { \"client.early_talker\" = true }\nexpect = { action = \"reject\" }\n";
    let smtp = format!("{POSTMASTER}greet_pause = \"1s\"");
    let site = Site::start(Setup { policy, smtp: &smtp, ..Setup::default() });
    let mut early = Client::connect(site.smtp, Ipv4Addr::LOCALHOST);
    early.send("EHLO early.example\r\n");
    early.reply().is("220 ");
    early.reply().is("250");
    early.expect("MAIL FROM:<a@sender.example>", "250");
    let reply = early.expect("RCPT TO:<alice@local.example>", "554 5.5.0 early");
    early.expect("QUIT", "221");
    let record = site.record(&reply);
    assert!(record.facts.client.early_talker);
    let mut patient = site.dial();
    patient.begin("a@sender.example", &["alice@local.example"]);
    let reply = patient.data(message("a@sender.example"));
    assert!(!site.record(reply.is("250")).facts.client.early_talker);
    // who leaves meanwhile is no trouble
    Client::connect(site.smtp, Ipv4Addr::LOCALHOST).hang_up();
    site.wait_for_metric("gatepost_connections", &[], 1.0);
    assert_eq!(abuses(&site, "early-talk"), 1.0);
}

#[test]
fn what_is_sent_behind_ehlo_helo_or_data_ends_the_session() {
    let site = Site::open(Zone::new());
    for ahead in ["EHLO c.example\r\nMAIL FROM:<a@sender.example>\r\n", "HELO c.example\r\nNOOP\r\n"] {
        let mut client = site.dial();
        client.send(ahead);
        client.reply().is("554 5.5.0");
        client.expect_end();
    }
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.send(format!("NOOP\r\nDATA\r\n{}.\r\n", message("a@sender.example")));
    client.reply().is("250 2.0.0 ok");
    client.reply().is("554 5.5.0");
    client.expect_end();
    assert_eq!(abuses(&site, "pipelining"), 3.0);
    assert_eq!(site.all_files().len(), 0);
    assert_eq!(site.records(1).len(), 1, "the transaction is told");
}

#[test]
fn what_is_no_smtp_is_refused_counted_and_closed() {
    let site = Site::open(Zone::new());
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x10\0\0\x19";
    for (octets, codes, kind) in [
        (&b"GET / HTTP/1.1\r\nHost: mx\r\n\r\n"[..], &["421 4.7.0"][..], "http"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", &["421 4.7.0"], "tls"),
        (b"EHLO c.example\n", &["500 5.5.2"], "bare-lf"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 25\r\n", &["421 4.7.0"], "proxy-header"),
        (v2, &["500 5.5.1", "500 5.5.1", "500 5.5.1", "500 5.5.2"], "bare-lf"),
    ] {
        let before = abuses(&site, kind);
        let mut client = site.dial();
        client.send(octets);
        for codes in codes {
            client.reply().is(codes);
        }
        client.expect_end();
        assert_eq!(abuses(&site, kind), before + 1.0, "{kind}");
    }
    assert_eq!(abuses(&site, "early-talk"), 0.0);
    site.dial().expect("NOOP", "250");
}

#[test]
fn a_session_that_asks_for_nobody_too_often_is_closed_and_a_message_that_is_taken_forgives() {
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"");
    let more = "[limits]\nunknown_recipients = 4\nerrors = 3\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for _ in 0..2 {
        client.expect("MAIL FROM:<a@sender.example>", "250");
        for n in 0..3 {
            client.expect(&format!("RCPT TO:<nobody{n}@local.example>"), "550 5.1.1");
        }
        client.expect("RCPT TO:<a@elsewhere.example>", "550 5.7.1");
        client.expect("RCPT TO:<alice@local.example>", "250");
        client.data(message("a@sender.example")).is("250");
    }
    client.expect("MAIL FROM:<a@sender.example>", "250");
    for n in 0..4 {
        client.expect(&format!("RCPT TO:<nobody{n}@local.example>"), "550 5.1.1");
    }
    client.expect("RCPT TO:<alice@elsewhere.example>", "421 4.7.0 too many unknown recipients");
    client.expect_end();
    assert_eq!(abuses(&site, "harvest"), 1.0);
}

#[test]
fn the_tarpit_holds_back_the_reply_and_nothing_else() {
    let smtp = format!("{POSTMASTER}tarpit = \"60s\"");
    let mut site = Site::start(Setup { smtp: &smtp, more: "[limits]\nunknown_recipients = 3\n", ..Setup::default() });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<nobody1@local.example>", "550 5.1.1");
    client.send("RCPT TO:<nobody2@local.example>\r\n");
    // others are served meanwhile, and the second reply is not among those that were sent
    for _ in 0..20 {
        site.dial().expect("NOOP", "250");
    }
    assert_eq!(site.metric("gatepost_replies_total", &["verb=\"rcpt\"", "code=\"550\""]), 1.0);
    // the end of the server does not wait for it
    let talking = std::thread::spawn(move || {
        client.reply().is("550 5.1.1");
        client.expect("QUIT", "221");
    });
    site.stop();
    talking.join().unwrap();
}

#[test]
fn a_network_that_asks_for_nobody_too_often_is_turned_away_and_others_are_not() {
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"\ntrusted = [\"127.0.0.77\"]");
    let more = "[limits]\nunknown_recipients_per_address = 3\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let ask = |ip: [u8; 4], times: usize| {
        let mut client = site.dial_from(ip);
        client.expect("EHLO client.example", "250");
        client.expect("MAIL FROM:<a@sender.example>", "250");
        (0..times).map(|n| client.say(&format!("RCPT TO:<nobody{n}@local.example>")).code).collect::<Vec<_>>()
    };
    assert_eq!(ask([127, 0, 0, 5], 2), [550, 550]);
    assert_eq!(ask([127, 0, 0, 5], 2), [550, 421]);
    let mut late = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 5));
    late.reply().is("421 4.7.0 too many unknown recipients");
    late.expect_end();
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"harvest\""]), 1.0);
    assert_eq!(ask([127, 0, 0, 6], 2), [550, 550]);
    assert_eq!(ask([127, 0, 0, 77], 5), [550; 5], "our own hosts have no budget");
}

#[test]
fn who_blunders_and_connects_again_is_turned_away_in_the_end() {
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"\ntrusted = [\"127.0.0.77\"]");
    let more = "[limits]\nerrors = 2\nunknown_recipients_per_address = 20\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let blunder = |ip: [u8; 4]| {
        let mut client = site.dial_from(ip);
        for reply in ["500 5.5.1", "500 5.5.1", "421 4.7.0 too many errors"] {
            client.expect("NONSENSE", reply);
        }
        client.expect_end();
    };
    for _ in 0..2 {
        blunder([127, 0, 0, 5]);
        blunder([127, 0, 0, 77]);
    }
    let mut late = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 5));
    late.reply().is("421 4.7.0 too many unknown recipients or errors");
    late.expect_end();
    assert_eq!(abuses(&site, "errors"), 4.0);
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"harvest\""]), 1.0);
    // others, and our own hosts, are let in; who made few mistakes has lost nothing by them
    blunder([127, 0, 0, 77]);
    let mut few = site.dial_from([127, 0, 0, 6]);
    few.expect("NONSENSE", "500 5.5.1");
    few.expect("QUIT", "221");
    blunder([127, 0, 0, 6]);
    site.dial_from([127, 0, 0, 6]).expect("NOOP", "250");
}

#[test]
fn mistakes_count_as_unknown_recipients_of_their_network() {
    let (harvest, now) = (Harvest::new(25), Instant::now());
    let client = IpAddr::from([192, 0, 2, 1]);
    harvest.blundered(client, now);
    harvest.blundered(client, now);
    assert!(!harvest.turns_away(client, now));
    assert!(!harvest.turns_away(IpAddr::from([192, 0, 2, 2]), now));
    harvest.blundered(client, now);
    assert!(harvest.turns_away(client, now));
    // as with unknown recipients: it is forgiven within the hour, and by what is delivered
    assert!(!harvest.turns_away(client, now + Duration::from_secs(3600 / 20)));
    harvest.delivered(client, now);
    assert!(!harvest.is_spent(client, now));
}

#[test]
fn messages_of_a_form_that_is_refused_are_counted_by_kind() {
    let more = "[limits]\nmessage = \"64 KiB\"\nheader = \"16 KiB\"\n";
    let site = Site::start(Setup { more, ..Setup::default() });
    let from = message("a@sender.example");
    let header = |field: &str, times: usize| format!("{}{from}", field.repeat(times));
    for (octets, codes, kind) in [
        (format!("{from}a\rb\r\n"), "550 5.6.0", "message-bare-cr"),
        (format!("{from}a\nb\r\n"), "550 5.6.0", "message-bare-lf"),
        (format!("{from}a\0b\r\n"), "550 5.6.0", "message-nul"),
        (format!("{from}{}", "0123456789abcdef\r\n".repeat(4_000)), "552 5.3.4", "message-too-big"),
        (header("X-Long: 0123456789abcdef\r\n", 700), "552 5.3.4", "header-too-big"),
        (header("Received: by mx.example; Mon, 2 Nov 2026 10:00:00 +0000\r\n", 101), "554 5.4.6", "loop"),
    ] {
        for in_chunks in [false, true] {
            let mut client = site.dial();
            client.begin("a@sender.example", &["alice@local.example"]);
            if in_chunks {
                client.send(format!("BDAT {} LAST\r\n{octets}", octets.len()));
                client.reply().is(codes);
            } else {
                client.data(&octets).is(codes);
            }
            assert_eq!(abuses(&site, kind), if in_chunks { 2.0 } else { 1.0 }, "{kind}");
            client.expect("QUIT", "221");
        }
    }
    assert_eq!(site.metric("gatepost_protocol_abuses_total", &[]), 12.0, "each under its own kind only");
    assert_eq!(site.all_files().len(), 0);
}

/// Asks for so many who are nobody, in one transaction of a new session; the codes of the answers.
fn harvests(site: &Site, ip: [u8; 4], times: usize) -> Vec<u16> {
    let mut client = site.dial_from(ip);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    (0..times).map(|n| client.say(&format!("RCPT TO:<nobody{n}@local.example>")).code).collect()
}

fn delivers(site: &Site, ip: [u8; 4], from: &str) {
    let mut client = site.dial_from(ip);
    client.begin(from, &["alice@local.example"]);
    client.data(message(from)).is("250 2.0.0");
    client.expect("QUIT", "221");
}

#[test]
fn what_comes_into_an_inbox_forgives_ten_unknown_recipients_and_what_is_quarantined_none() {
    let policy = "description = \"knows junk\"\n\
        [[rule]]\nname = \"junk\"\nat = \"data\"\nwhen = \"mail_from.address == 'junk@sender.example'\"\naction = \"quarantine\"\n\
        [[test]]\nname = \"junk\"\ngiven = { \"mail_from.address\" = \"junk@sender.example\" }\nexpect = { action = \"quarantine\" }\n";
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"");
    let more = "[limits]\nunknown_recipients_per_address = 12\n";
    let site = Site::start(Setup { policy, smtp: &smtp, more, ..Setup::default() });
    let honest = [127, 0, 0, 5];
    assert_eq!(harvests(&site, honest, 10), [550; 10]);
    for _ in 0..3 {
        delivers(&site, honest, "a@sender.example");
        assert_eq!(harvests(&site, honest, 10), [550; 10]);
    }
    let spammer = [127, 0, 0, 6];
    assert_eq!(harvests(&site, spammer, 10), [550; 10]);
    delivers(&site, spammer, "junk@sender.example");
    assert_eq!(harvests(&site, spammer, 3), [550, 550, 421]);
    assert_eq!(site.delivered("local.example/alice/.Junk").len(), 1);
}

#[test]
fn who_delivers_is_let_in_beside_a_harvester_of_the_same_address() {
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"");
    let more = "[limits]\nunknown_recipients_per_address = 3\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let shared = [127, 0, 0, 5];
    delivers(&site, shared, "honest@sender.example");
    assert_eq!(harvests(&site, shared, 4), [550, 550, 550, 421]);
    assert_eq!(harvests(&site, shared, 1), [421], "what was spent stays spent");
    delivers(&site, shared, "honest@sender.example");
    assert_eq!(harvests(&site, shared, 3), [550; 3], "what it delivers forgives the address");
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"harvest\""]), 0.0);
}

#[test]
fn the_end_of_a_harvest_has_a_ref_and_the_record_says_what_the_reply_did() {
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"");
    let more = "[limits]\nunknown_recipients = 2\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    for taken in [&[][..], &["alice@local.example"]] {
        let mut client = site.dial();
        client.begin("a@sender.example", taken);
        client.expect("RCPT TO:<nobody1@local.example>", "550 5.1.1");
        client.expect("RCPT TO:<nobody2@local.example>", "550 5.1.1");
        let reply = client.expect("RCPT TO:<nobody3@local.example>", "421 4.7.0 too many unknown recipients");
        client.expect_end();
        let record = site.record(&reply);
        assert_eq!(record.decision.reply, reply.text);
        assert_eq!(record.decision.action, gatepost::facts::word::Action::Defer);
        let last = record.recipients.last().unwrap();
        assert_eq!((last.address.as_str(), last.reply.as_str()), ("nobody3@local.example", reply.text.as_str()));
        assert_eq!(record.recipients.len(), taken.len() + 3);
    }
    assert_eq!(site.records(2).len(), 2, "one record a transaction");
}

#[test]
fn a_network_is_forgiven_evenly_within_an_hour() {
    let harvest = Harvest::new(60);
    let (client, start) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), Instant::now());
    let over = (0..200).filter(|_| harvest.note(client, start)).count();
    assert_eq!(over, 140);
    let after = |minutes: u64| start + Duration::from_secs(minutes * 60);
    assert!(harvest.is_spent(client, after(0)) && !harvest.is_spent(client, after(1)));
    assert!(!harvest.note(client, after(1)) && harvest.note(client, after(1)), "one a minute");
    assert_eq!((0..100).filter(|_| harvest.note(client, after(1000))).count(), 40, "all of it after an hour");
    assert!(!harvest.is_spent(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), after(1000)));
}

#[test]
fn what_a_network_delivers_forgives_it_and_is_not_saved_up() {
    let harvest = Harvest::new(20);
    let (client, start) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), Instant::now());
    (0..5).for_each(|_| harvest.delivered(client, start));
    assert_eq!((0..25).filter(|_| harvest.note(client, start)).count(), 5);
    assert!(harvest.is_spent(client, start) && !harvest.turns_away(client, start), "it has delivered");
    harvest.delivered(client, start);
    assert_eq!((0..15).filter(|_| harvest.note(client, start)).count(), 5, "ten were forgiven");
    let later = start + Duration::from_secs(3600);
    assert_eq!((0..25).filter(|_| harvest.note(client, later)).count(), 5);
    assert!(harvest.turns_away(client, later), "that was an hour ago");
}

#[test]
fn many_networks_do_not_push_out_the_worst_and_are_bounded() {
    let (harvest, now) = (Harvest::new(10), Instant::now());
    let of = |n: u32| IpAddr::V6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n) << 64 | 1));
    for n in std::iter::repeat_n(7, 20).chain(0..200_000) {
        harvest.note(of(n), now);
    }
    assert!(harvest.len() <= 65_536 && !harvest.is_empty(), "{}", harvest.len());
    assert!(harvest.is_spent(of(7), now));
    (200_000..400_000).for_each(|n| harvest.delivered(of(n), now));
    assert!(harvest.len() <= 65_536 && harvest.turns_away(of(7), now), "{}", harvest.len());
    // a /64 is one network
    let IpAddr::V6(ip) = of(7) else { unreachable!() };
    assert!(harvest.is_spent(IpAddr::V6(Ipv6Addr::from(u128::from(ip) | 0xffff)), now));
}

#[test]
fn nobody_is_looked_at_like_somebody() {
    // the client is refused by a rule for which DNS is asked: who is there and who is not has the same answer, and the same questions
    let policy = "description = \"refuses clients without a name\"\n\
        [[rule]]\nname = \"nameless\"\nat = \"connect\"\nwhen = \"iprev.result != 'pass'\"\naction = \"reject\"\n\
        reply = \"550 5.7.25 no reverse name\"\n\
        [[test]]\nname = \"nameless\"\nat = \"connect\"\ngiven = {}\nexpect = { action = \"reject\" }\n";
    let asked = |rcpt: &str| {
        let site = Site::judging(policy, Zone::new());
        let mut client = site.dial();
        client.expect("EHLO client.example", "250");
        client.expect("MAIL FROM:<a@sender.example>", "250");
        let reply = client.say(&format!("RCPT TO:<{rcpt}@local.example>"));
        client.expect("RSET", "250");
        let record = site.record(&reply);
        let text = reply.text.split(" ref=").next().unwrap().to_owned();
        let page = site.page("/metrics");
        let stage = page.lines().find(|line| line.starts_with("gatepost_stage_seconds_count{stage=\"rcpt\"}"));
        (text, record.decision.rule.clone(), record.facts.iprev.result, stage.unwrap().to_owned())
    };
    let (somebody, nobody) = (asked("alice"), asked("nobody"));
    assert_eq!(somebody, nobody);
    assert_eq!((somebody.0.as_str(), somebody.1.as_str()), ("550 5.7.25 no reverse name", "nameless"));
    assert!(somebody.3.ends_with(" 1"), "the stage was gone through: {}", somebody.3);
}

/// Files are looked at, read or written below a directory: how often, while something is done.
fn file_accesses(directory: &std::path::Path, work: impl FnOnce()) -> usize {
    use rustix::fs::inotify;
    let eye = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let mut below = vec![directory.to_owned()];
    while let Some(directory) = below.pop() {
        inotify::add_watch(&eye, &directory, inotify::WatchFlags::ALL_EVENTS).unwrap();
        below.extend(
            std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()),
        );
    }
    // what looking for directories did
    let mut space = [std::mem::MaybeUninit::uninit(); 4096];
    let mut count = || {
        let mut reader = inotify::Reader::new(&eye, &mut space);
        std::iter::from_fn(|| reader.next().ok().map(drop)).count()
    };
    count();
    work();
    count()
}

#[test]
fn somebody_and_nobody_cost_the_same_look_ups_and_no_file() {
    // a greylist, a rate, SPF, a reverse name: everything that can be waited for at RCPT, and all of it is
    let policy = "description = \"asks for all\"\n\
        [[rule]]\nname = \"all\"\nat = \"rcpt\"\naction = \"greylist\"\n\
        when = \"iprev.result != 'temperror' && spf.mail_from.result != 'temperror' && spf.helo.result != 'temperror' \
        && rate('client', '1h') < 5 && reverse_mx.mail_from.result != 'temperror'\"\n";
    let asked = |rcpt: &str| {
        let zone = Zone::new()
            .ptr([127, 0, 0, 1], "client.example")
            .a("client.example", [127, 0, 0, 1])
            .txt("client.example", "v=spf1 -all")
            .txt("sender.example", "v=spf1 a:client.example include:more.example -all")
            .txt("more.example", "v=spf1 -all");
        let more = "[state]\ndirectory = \"state\"\n";
        let site = Site::start(Setup { zone, policy, more, ..Setup::default() });
        // the Maildirs of everybody who has one
        let maildir = site.maildir("local.example/alice/new");
        std::fs::create_dir_all(&maildir).unwrap();
        let looked = file_accesses(&site.path("mail"), || drop(std::fs::read_dir(&maildir).unwrap()));
        assert!(looked > 0, "it would be noticed");
        // the server looks once at its start for what a crash has left
        let is_quiet = || file_accesses(&site.path("mail"), || std::thread::sleep(Duration::from_millis(50))) == 0;
        wait_for("quiet", || is_quiet().then_some(()));
        let mut client = site.dial();
        // the look-ups of the client's name are over before those of its HELO ask for the same: they would race
        let found = || site.metric("gatepost_dns_queries_total", &["outcome=\"found\""]) >= 2.0;
        wait_for("the client's name and address", || found().then_some(()));
        client.expect("EHLO client.example", "250");
        client.expect("MAIL FROM:<a@sender.example>", "250");
        let mut text = String::new();
        let accesses = file_accesses(&site.path("mail"), || {
            text = client.say(&format!("RCPT TO:<{rcpt}@local.example>")).text;
        });
        let text = text.split(" ref=").next().unwrap().to_owned();
        // what is counted of it, but for times and what the machine is like
        let machine = ["_seconds", "_bytes", "_inodes", "process_"];
        let page = site.page("/metrics");
        let lines = page
            .lines()
            .filter(|line| line.starts_with("gatepost_") && !machine.iter().any(|word| line.contains(word)));
        let counted: Vec<String> = lines.map(str::to_owned).collect();
        (text, accesses, site.dns.asked(), counted)
    };
    // two look-ups of the client's name that race each other, or a packet that is sent twice, make one more: what is always so differs always
    for attempt in 1..=5 {
        let (somebody, nobody) = (asked("alice"), asked("nobody"));
        if attempt < 5 && somebody != nobody {
            continue;
        }
        assert!(somebody.0.starts_with("451 4.7.1"), "{}", somebody.0);
        assert_eq!(somebody.1, 0, "no file says who is here");
        assert!(somebody.2.len() >= 5, "{:?}", somebody.2);
        assert!(somebody.3.iter().any(|line| line == "gatepost_state_entries{kind=\"strangers\"} 1"));
        assert_eq!(somebody, nobody);
        return;
    }
}

#[test]
fn vrfy_and_expn_tell_nothing() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    let of_somebody = client.expect("VRFY alice@local.example", "252 2.5.0");
    let of_nobody = client.expect("VRFY nobody@local.example", "252 2.5.0");
    assert_eq!(of_somebody.text, of_nobody.text);
    client.expect("EXPN alice", "502 5.5.1");
    client.expect("EXPN nobody", "502 5.5.1");
}
