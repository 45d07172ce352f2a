//! Over the end of the process: `gatepost serve` remembers whom it asked to come again.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::server::{Server, Setup, wait_for};

const GREYLISTS: &str = r#"
description = "greylists strangers"
[[rule]]
name = "stranger"
at = "rcpt"
when = "true"
action = "greylist"
"#;
const TAKES: &str = "description = \"takes\"\n";

/// Longer than the delay of these servers.
const DELAY: Duration = Duration::from_millis(2100);

/// What RCPT is answered.
fn rcpt(server: &Server, reverse_path: &str) -> String {
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<{reverse_path}>"), 250);
    client.say("RCPT TO:<alice@receiver.example>")
}

fn deliver(server: &Server, reverse_path: &str) {
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<{reverse_path}>"), 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    client.expect("From: <a@sender.example>\r\n\r\nhello\r\n.", 250);
}

#[track_caller]
fn wait_for_strangers(server: &Server, count: usize) {
    let strangers = || server.metric("gatepost_state_entries", &["strangers"]);
    wait_for("strangers", || ((strangers() - count as f64).abs() < 0.5).then_some(()));
}

#[test]
fn mail_that_comes_again_after_a_restart_comes_in() {
    let mut server = Server::start(Setup { policy: Some(GREYLISTS), ..Setup::default() });
    assert!(rcpt(&server, "a@sender.example").starts_with("451 4.7.1"));
    let seen = Instant::now();
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.start_again();
    wait_for_strangers(&server, 1);
    std::thread::sleep(DELAY.saturating_sub(seen.elapsed()));
    // had it been forgotten, this would be its first time
    deliver(&server, "a@sender.example");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.start_again();
    deliver(&server, "other@elsewhere.example");
    assert_eq!(server.delivered("alice").len(), 2);
}

#[test]
fn a_crash_leaves_a_file_that_can_be_used() {
    let mut server = Server::start(Setup { policy: Some(GREYLISTS), ..Setup::default() });
    for round in 0..4 {
        // each round of strangers is cut off in the midst of being written
        for n in 0..50 {
            assert!(
                rcpt(&server, &format!("s{}@r{round}x{}.example", "x".repeat(n % 9), "y".repeat(n / 9)))
                    .starts_with("451")
            );
        }
        std::thread::sleep(Duration::from_millis(400 * round));
        server.crash_and_start();
        let log = server.log();
        assert!(!log.contains("broken") && !log.contains("can't be kept"), "{log}");
    }
    let before = server.metric("gatepost_state_entries", &["strangers"]);
    assert!(before >= 50.0, "what was older than a second or two is there: {before}");
    assert!(rcpt(&server, "new@stranger.example").starts_with("451"));
    assert!((server.metric("gatepost_state_up", &[]) - 1.0).abs() < 0.5);
}

#[test]
fn a_broken_file_is_told_once_and_mail_goes_on() {
    let mut server = Server::start(Setup { policy: Some(GREYLISTS), ..Setup::default() });
    rcpt(&server, "a@sender.example");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.write("state/state.redb", &"no such file\n".repeat(1000));
    server.start_again();
    assert_eq!(server.log().matches("the file of greylisting and rates is broken").count(), 1, "{}", server.log());
    assert!((server.metric("gatepost_state_errors_total", &[]) - 1.0).abs() < 0.5);
    assert!(rcpt(&server, "a@sender.example").starts_with("451"));
    std::thread::sleep(DELAY);
    deliver(&server, "a@sender.example");
}

#[test]
fn a_full_disk_is_told_once_and_mail_goes_on_from_memory() {
    let server = Server::start(Setup { policy: Some(GREYLISTS), file_blocks: Some(160), ..Setup::default() });
    assert!((server.metric("gatepost_state_up", &[]) - 1.0).abs() < 0.5, "there is room for an empty file");
    let mut strangers = (0..).map(|n| format!("{}@{}.example", "x".repeat(n % 60 + 1), "y".repeat(n / 60 + 1)));
    wait_for("the trouble", || {
        for stranger in strangers.by_ref().take(60) {
            assert!(rcpt(&server, &stranger).starts_with("451 4.7.1"));
        }
        (server.metric("gatepost_state_up", &[]) < 0.5).then_some(())
    });
    assert!(rcpt(&server, "a@sender.example").starts_with("451 4.7.1"));
    std::thread::sleep(DELAY);
    deliver(&server, "a@sender.example");
    deliver(&server, "b@sender.example");
    let said = server.log().matches("can't be kept on disk: mail goes on").count();
    assert_eq!(said, 1, "{}", server.log());
    assert!(server.metric("gatepost_state_errors_total", &[]) > 0.5);
}

#[test]
fn a_reload_may_bring_greylisting_and_only_then_there_is_a_file() {
    let server = Server::start(Setup { policy: Some(TAKES), ..Setup::default() });
    deliver(&server, "a@sender.example");
    assert!(!server.path("state/state.redb").exists());
    server.write("policy.toml", GREYLISTS);
    server.signal(Signal::SIGHUP);
    wait_for("the reload", || server.log().contains("the configuration was reloaded").then_some(()));
    assert!(rcpt(&server, "a@sender.example").starts_with("451 4.7.1"));
    assert!(server.path("state/state.redb").exists());
}
