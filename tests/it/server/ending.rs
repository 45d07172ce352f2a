//! The end, as SIGTERM asks for it: what is in flight is finished, the rest hears 421.

use std::thread;

use crate::support::dns::Zone;
use crate::support::site::{Setup, Site, get, message, wait_for};

/// Ends the server on a thread of its own, so that the test can go on talking; gives the site back when it has ended.
fn stopping(mut site: Site) -> thread::JoinHandle<Site> {
    thread::spawn(move || {
        site.stop();
        site
    })
}

/// Waits until nobody is let in any more.
fn wait_until_going(site: std::net::SocketAddr) {
    wait_for("the listener to close", || std::net::TcpStream::connect(site).is_err().then_some(()));
}

#[test]
fn a_transaction_in_flight_is_finished_and_stored_and_an_idle_session_hears_421() {
    let site = Site::open(Zone::new());
    let (address, http) = (site.smtp, site.http);
    assert!(get(http, "/readyz").starts_with("HTTP/1.1 200 "));
    let mut idle = site.dial();
    idle.expect("EHLO client.example", "250");
    let mut in_data = site.dial();
    in_data.begin("a@sender.example", &["alice@local.example"]);
    in_data.expect("DATA", "354");
    in_data.send("From: <a@sender.example>\r\n");
    let mut in_envelope = site.dial();
    in_envelope.expect("EHLO client.example", "250");
    in_envelope.expect("MAIL FROM:<b@sender.example>", "250");
    let ended = stopping(site);
    idle.reply().is("421 4.3.2");
    idle.expect_end();
    wait_until_going(address);
    let ready = get(http, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("shutting down"), "{ready}");
    in_envelope.expect("RCPT TO:<bob@local.example>", "250");
    in_envelope.data(message("b@sender.example")).is("250 2.0.0");
    in_envelope.reply().is("421 4.3.2");
    in_data.send("\r\nfinished\r\n.\r\n");
    in_data.reply().is("250 2.0.0");
    in_data.reply().is("421 4.3.2");
    let site = ended.join().unwrap();
    assert_eq!(site.all_files().len(), 2);
    assert_eq!(site.journal().len(), 2, "the journal is on disk when the server has ended");
}

#[test]
fn a_client_that_never_stops_talking_does_not_keep_the_server() {
    let site = Site::start(Setup { more: "[limits]\ncommands = 10000000\n", ..Setup::default() });
    let address = site.smtp;
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    let writer = client.flood(&"NOOP\r\n".repeat(1000));
    let ended = stopping(site);
    wait_until_going(address);
    let mut last = client.reply();
    while last.code == 250 {
        last = client.reply();
    }
    last.is("421 4.3.2");
    client.hang_up();
    writer.join().unwrap();
    ended.join().unwrap();
}
