//! Connections: how many there may be, how long they may be silent, how they are closed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::support::dns::Zone;
use crate::support::site::{Client, PATIENCE, Setup, Site, message};

fn limited(limits: &str) -> Site {
    Site::start(Setup { more: limits, ..Setup::default() })
}

#[test]
fn more_connections_than_there_are_places_hear_421_at_once() {
    let site = limited("[limits]\nconnections = 3\n");
    let held: Vec<Client> = (1..=3).map(|n| site.dial_from([127, 0, 0, n])).collect();
    let mut late = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 9));
    late.reply().is("421 4.3.2");
    late.expect_end();
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"busy\""]), 1.0);
    drop(held);
    site.wait_for_metric("gatepost_connections", &[], 0.0);
    site.dial();
}

#[test]
fn one_address_has_its_share_and_others_do_not_suffer() {
    let site = limited("[limits]\nconnections_per_address = 2\n");
    let (_a, _b) = (site.dial_from([127, 0, 0, 5]), site.dial_from([127, 0, 0, 5]));
    let mut late = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 5));
    late.reply().is("421 4.7.0");
    late.expect_end();
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"share\""]), 1.0);
    site.dial_from([127, 0, 0, 6]).expect("NOOP", "250");
}

#[test]
fn a_silent_client_hears_421_wherever_it_stopped() {
    let site = limited("[limits]\nidle = \"1s\"\n");
    let mut silent = site.dial();
    let mut within_a_line = site.dial();
    within_a_line.send("EHLO cli");
    let mut within_data = site.dial();
    within_data.begin("a@sender.example", &["alice@local.example"]);
    within_data.expect("DATA", "354");
    within_data.send("From: <a@sender.example>\r\n");
    for client in [&mut silent, &mut within_a_line, &mut within_data] {
        client.reply().is("421 4.4.2");
        client.expect_end();
    }
    assert_eq!(site.records(1).len(), 1);
    assert_eq!(site.all_files().len(), 0);
}

const OVER: &str = "421 4.4.2 the session has lasted long enough";

#[test]
fn a_session_that_has_lasted_long_enough_is_closed_and_says_so() {
    let session = Some(Duration::from_secs(1));
    let site = Site::start(Setup { session, more: "[limits]\ncommands = 10000000\n", ..Setup::default() });
    // it is never found silent, and always has something ready
    let mut talking = site.dial();
    let writer = talking.flood(&"NOOP\r\n".repeat(1000));
    let mut last = talking.reply();
    while last.code == 250 {
        last = talking.reply();
    }
    last.is(OVER);
    talking.hang_up();
    writer.join().unwrap();
    // nor is it said to have been idle who says nothing to the end of the session, long before `limits.idle`
    let mut silent = site.dial();
    silent.reply().is(OVER);
    silent.expect_end();
}

#[test]
fn a_transaction_in_flight_has_as_long_again_and_no_longer() {
    let site = Site::start(Setup { session: Some(Duration::from_secs(4)), ..Setup::default() });
    let in_data = || {
        let mut client = site.dial();
        client.begin("a@sender.example", &["alice@local.example"]);
        client.expect("DATA", "354");
        client.send("From: <a@sender.example>\r\n\r\n");
        client
    };
    let (mut finished, mut endless) = (in_data(), in_data());
    let dripping = endless.drip(b'x', Duration::from_millis(50), Instant::now() + PATIENCE);
    // began after both of them: when it is over, their sessions are
    let mut idle = site.dial();
    idle.reply().is(OVER);
    finished.send("finished\r\n.\r\n");
    finished.reply().is("250 2.0.0");
    finished.reply().is(OVER);
    finished.expect_end();
    endless.reply().is(OVER);
    endless.hang_up();
    dripping.join().unwrap();
    assert_eq!(site.all_files().len(), 1);
    assert_eq!(site.records(2).len(), 2);
}

#[test]
fn too_many_mistakes_end_the_session() {
    let site = limited("[limits]\nerrors = 3\n");
    let mut client = site.dial();
    for _ in 0..3 {
        client.expect("NONSENSE", "500 5.5.1");
    }
    client.expect("NONSENSE", "421 4.7.0");
    client.expect_end();
}

#[test]
fn octets_that_nobody_reads_do_not_reset_the_connection_under_the_last_reply() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    let message = message("a@sender.example");
    // the 250 is on its way when the server decides to close: a reset could overtake it, and the message would come twice
    client.send(format!("{message}.\r\nQUIT\r\n{}", "x".repeat(200_000)));
    client.reply().is("250 2.0.0");
    client.reply().is("221 2.0.0");
    for _ in 0..10 {
        client.send("x".repeat(10_000));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    client.half_close();
    assert!(client.ends_in_order());
}
