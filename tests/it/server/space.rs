//! Too little room on the disk: no mail is taken, and everyone is told.

use gatepost::facts::Stage;
use gatepost::facts::word::Action;
use nix::sys::signal::Signal;

use super::spool::begun;
use crate::support::server::{self, Server, wait_for};
use crate::support::site::{Client, Setup, Site};

#[test]
fn under_the_floor_mail_is_deferred_and_the_server_is_not_ready() {
    let site = Site::start(Setup { more: "[limits]\nfree_disk = 1000000000000000\n", ..Setup::default() });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    let reply = client.expect("MAIL FROM:<a@sender.example>", "452 4.3.1");
    let record = site.record(&reply);
    assert_eq!((record.stage, record.decision.action), (Stage::Mail, Action::Defer));
    assert_eq!(record.facts.mail_from.address, "a@sender.example");
    client.expect("NOOP", "250");
    assert_eq!(site.metric("gatepost_disk_low", &[]), 1.0);
    let page = site.page("/readyz");
    assert!(page.contains(" 503 ") && page.contains("limits.free_disk"), "{page}");
}

#[test]
fn inodes_count_where_the_file_system_counts_them() {
    let site = Site::start(Setup::default());
    assert_eq!(site.metric("gatepost_disk_low", &[]), 0.0);
    assert!(site.metric("gatepost_disk_free_bytes", &[]) > 100_000_000.0);
    let free = site.metric("gatepost_disk_free_inodes", &[]);
    let site = Site::start(Setup { more: "[limits]\nfree_inodes = 1000000000\n", ..Setup::default() });
    let is_low = free > 0.0 && free < 1_000_000_000.0;
    assert_eq!(site.metric("gatepost_disk_low", &[]), f64::from(u8::from(is_low)));
}

#[test]
fn a_reload_moves_the_floor_and_the_bounds() {
    let server = Server::start(server::Setup { policy: Some("description = \"all\"\n"), ..Default::default() });
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    server.write_config("\n[limits]\nfree_disk = 1000000000000000\nconnections_per_address = 1\n");
    server.signal(Signal::SIGHUP);
    wait_for("the floor", || (server.metric("gatepost_disk_low", &[]) > 0.5).then_some(()));
    client.expect("MAIL FROM:<a@sender.example>", 452);
    let mut late = server.connect();
    assert!(late.reply().starts_with("421 4.7.0"));
    server.write_config("");
    server.signal(Signal::SIGHUP);
    wait_for("no floor", || (server.metric("gatepost_disk_low", &[]) < 0.5).then_some(()));
    client.expect("MAIL FROM:<a@sender.example>", 250);
    server.dial();
    wait_for("a line of the log", || server.log().contains("has less free than limits.free_disk").then_some(()));
}

/// Octets of a message's body, in lines.
fn lines(octets: usize) -> String {
    format!("{}\r\n", "x".repeat(98)).repeat(octets / 100)
}

/// A message of which 700,000 octets have come.
fn unfinished(site: &Site, from: [u8; 4]) -> Client {
    let mut client = site.dial_from(from);
    client.begin("a@sender.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    client.send("From: <a@sender.example>\r\n\r\n");
    client.send(lines(700_000));
    client
}

#[test]
fn one_network_can_not_fill_the_disk_with_messages_that_do_not_end() {
    let more = "[limits]\nmessage = \"1 MB\"\nspool = \"4 MB\"\nspool_per_network = \"1 MB\"\n";
    let site = Site::start(Setup { more, ..Setup::default() });
    let spooled = |least: f64| {
        crate::support::site::wait_for("octets on disk", || {
            (site.metric("gatepost_spool_held_bytes", &[]) >= least).then_some(())
        });
    };
    let mut first = unfinished(&site, [127, 0, 0, 1]);
    spooled(600_000.0);
    let mut second = unfinished(&site, [127, 0, 0, 2]);
    let mut other = unfinished(&site, [127, 0, 1, 1]);
    // what would not fit is told before it is sent; what stays in memory needs no room
    let mut third = site.dial_from([127, 0, 0, 3]);
    third.expect("EHLO client.example", "250");
    let record = site.record(&third.expect("MAIL FROM:<a@sender.example> SIZE=900000", "452 4.3.1"));
    assert_eq!((record.stage, record.decision.action), (Stage::Mail, Action::Defer));
    third.expect("MAIL FROM:<a@sender.example> SIZE=90000", "250");
    let refused = second.expect(".", "452 4.3.1");
    let record = site.record(&refused);
    assert!(record.trouble.contains("limits.spool_per_network"), "{}", record.trouble);
    assert!(record.facts.message.bytes > 700_000, "the rest was read");
    spooled(1_200_000.0);
    assert!(site.metric("gatepost_spool_held_bytes", &[]) < 1_500_000.0, "its file is gone");
    first.expect(".", "250 2.0.0");
    other.expect(".", "250 2.0.0");
    second.mail("a@sender.example", &["alice@local.example"]);
    second.expect("DATA", "354");
    second.send(format!("From: <a@sender.example>\r\n\r\n{}", lines(700_000)));
    second.expect(".", "250 2.0.0");
    assert_eq!(site.delivered("local.example/alice").len(), 3);
    site.wait_for_metric("gatepost_spool_held_bytes", &[], 0.0);
}

#[test]
fn a_large_message_is_given_up_when_the_disk_falls_under_the_floor() {
    let server = Server::start(server::Setup { policy: Some("description = \"all\"\n"), ..Default::default() });
    let mut client = begun(&server);
    client.send(&format!("From: <a@sender.example>\r\n\r\n{}", lines(1_000_000)));
    let held = || server.metric("gatepost_spool_held_bytes", &[]);
    wait_for("a body on disk", || (held() > 900_000.0).then_some(()));
    server.write_config("\n[limits]\nfree_disk = 1000000000000000\n");
    server.signal(Signal::SIGHUP);
    wait_for("the floor", || (server.metric("gatepost_disk_low", &[]) > 0.5).then_some(()));
    client.send(&lines(200_000));
    wait_for("its file is gone before its end", || (held() < 0.5).then_some(()));
    let reply = client.expect(".", 452);
    let record = server.record(&server::reference(&reply).unwrap());
    assert!(record["trouble"].as_str().unwrap().contains("limits.free_disk"), "{record}");
    client.expect("NOOP", 250);
    assert_eq!(server.delivered("alice").len(), 0);
}

/// Who has more than its share is told each time; the log is not filled with it.
#[test]
fn want_of_a_share_is_said_once_a_minute() {
    let limits = "[limits]\nmessage = \"1 MB\"\nspool = \"4 MB\"\nspool_per_network = \"1 MB\"\n";
    let more = server::More { journal: limits, ..server::More::default() };
    let server =
        Server::start_with(server::Setup { policy: Some("description = \"all\"\n"), ..Default::default() }, &more);
    let sending = || {
        let mut client = begun(&server);
        client.send(&format!("From: <a@sender.example>\r\n\r\n{}", lines(700_000)));
        client
    };
    let mut first = sending();
    // all but the last part, which the end hands over
    wait_for("octets on disk", || (server.metric("gatepost_spool_held_bytes", &[]) > 650_000.0).then_some(()));
    for _ in 0..4 {
        sending().expect(".", 452);
    }
    first.expect(".", 250);
    let log = server.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("limits.spool_per_network")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("WARN") && told[0].contains("messages=1"), "{}", told[0]);
    assert!(!log.contains("ERROR"), "{log}");
}
