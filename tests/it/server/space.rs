//! Too little room on the disk: no mail is taken, and everyone is told.

use gatepost::facts::Stage;
use gatepost::facts::word::Action;
use nix::sys::signal::Signal;

use crate::support::server::{self, Server, wait_for};
use crate::support::site::{Setup, Site};

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
