//! Reloads, as SIGHUP asks for them, of the real program.

use nix::sys::signal::Signal;

use crate::support::server::{Dialogue, Server, Setup, wait_for};

const TAKES: &str = "description = \"takes\"\n";
const REFUSES: &str =
    "description = \"refuses\"\n[[rule]]\nname = \"all\"\nat = \"data\"\nwhen = \"true\"\naction = \"reject\"\n";

/// Sends SIGHUP and waits until the log says so once more.
fn reload(server: &Server, says: &str) {
    let count = || server.log().matches(says).count();
    let before = count();
    server.signal(Signal::SIGHUP);
    wait_for(says, || (count() > before).then_some(()));
}

fn begin(client: &mut Dialogue) {
    client.expect("MAIL FROM:<a@sender.example>", 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
}

fn finish(client: &mut Dialogue, code: u16) {
    client.expect("DATA", 354);
    client.expect("From: <a@sender.example>\r\n\r\nhello\r\n.", code);
}

const APPLIED: &str = "the configuration was reloaded";
const REFUSED: &str = "the configuration was NOT reloaded";

#[test]
fn a_transaction_keeps_its_policy_and_the_next_has_the_new_one() {
    let server = Server::start(Setup { policy: Some(TAKES), ..Setup::default() });
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    begin(&mut client);
    server.write("policy.toml", REFUSES);
    reload(&server, APPLIED);
    finish(&mut client, 250);
    begin(&mut client);
    finish(&mut client, 550);
    assert_eq!(server.delivered("alice").len(), 1);
    assert!((server.metric("gatepost_reloads_total", &["applied"]) - 1.0).abs() < 0.5);
}

#[test]
fn a_bad_policy_or_configuration_leaves_the_old_ones_in_force() {
    let server = Server::start(Setup { policy: Some(TAKES), ..Setup::default() });
    server.write("policy.toml", &REFUSES.replace("true", "no_such_fact == 1"));
    reload(&server, REFUSED);
    assert!(server.log().contains("policy.toml:5:9"), "with its place: {}", server.log());
    // the failing test of a policy that can be read
    let test = "[[test]]\nname = \"x\"\nexpect = { action = \"accept\" }\n";
    server.write("policy.toml", &format!("{REFUSES}{test}"));
    reload(&server, REFUSED);
    server.write("policy.toml", REFUSES);
    server.write_config("mailboxs = [\"alice\"]");
    reload(&server, REFUSED);
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    begin(&mut client);
    finish(&mut client, 250);
    assert!((server.metric("gatepost_reloads_total", &["refused"]) - 3.0).abs() < 0.5);
}

const KNOWN: &str = r#"
[lists]
forwarders = ["127.0.0.0/8"]
[[rule]]
name = "all"
at = "data"
when = "true"
except = "forwarded_by(lists.forwarders)"
action = "reject"
"#;

/// A known forwarder is let through, over the wire, and the journal says which rule that held back; once it is out of the list, it is not.
#[test]
fn the_journal_has_the_override_for_a_known_forwarder_until_a_reload_takes_it_out() {
    let empty = KNOWN.replace("[\"127.0.0.0/8\"]", "[]");
    let server = Server::start(Setup { policy: Some(KNOWN), ..Setup::default() });
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    begin(&mut client);
    finish(&mut client, 250);
    // a test that the list as it stands would fail, with a list of its own: it holds, and the reload is taken
    let test = "[[test]]\nname = \"x\"\ngiven = { \"lists.forwarders\" = [\"mx.uni.example\"], \"client.name\" = \"mx.uni.example\" }\n\
                expect = { action = \"accept\", excepted = [\"all\"] }\n";
    server.write("policy.toml", &format!("{empty}{test}"));
    reload(&server, APPLIED);
    begin(&mut client);
    finish(&mut client, 550);
    let records = wait_for("two records", || Some(server.journal()).filter(|records| records.len() == 2));
    let outcomes: Vec<_> =
        records.iter().map(|record| (&record["rules"][0]["outcome"], &record["rules"][0]["action"])).collect();
    assert_eq!(outcomes[0], (&"excepted".into(), &"reject".into()), "{outcomes:?}");
    assert_eq!(outcomes[1].0, &serde_json::Value::from("acted"), "{outcomes:?}");
    assert_eq!(records[0]["decision"]["action"], "accept");
    let counted = server.metric("gatepost_rules_total", &["all", "excepted"]);
    assert!((counted - 1.0).abs() < 0.5, "{counted}");
}

#[test]
fn new_sessions_have_the_new_recipients_and_a_session_keeps_its_own() {
    let server = Server::start(Setup { policy: Some(TAKES), ..Setup::default() });
    let mut old = server.dial();
    old.expect("EHLO client.example", 250);
    server.write_config("mailboxes = [\"alice\", \"bob\", \"dora\"]");
    reload(&server, APPLIED);
    let mut new = server.dial();
    new.expect("EHLO client.example", 250);
    for (client, code) in [(&mut old, 550), (&mut new, 250)] {
        client.expect("MAIL FROM:<a@sender.example>", 250);
        client.expect("RCPT TO:<dora@receiver.example>", code);
    }
}

#[test]
fn a_reload_that_loses_most_mailboxes_is_refused() {
    let server = Server::start(Setup { policy: Some(TAKES), ..Setup::default() });
    server.write_config("mailboxes = [\"alice\", \"bob\", \"c\", \"d\", \"e\"]");
    reload(&server, APPLIED);
    server.write_config("mailboxes = [\"alice\", \"c\"]");
    reload(&server, REFUSED);
    assert!(server.log().contains("3 of 5 mailboxes would be gone"), "{}", server.log());
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    client.expect("MAIL FROM:<a@sender.example>", 250);
    client.expect("RCPT TO:<bob@receiver.example>", 250);
    // fewer than half may go
    server.write_config("mailboxes = [\"alice\", \"c\", \"d\"]");
    reload(&server, APPLIED);
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let server = Server::start(Setup { policy: Some(TAKES), ..Setup::default() });
    server.write_config("[limits]\nconnections_per_address = 7\nconnections = 8\n[journal]\nkeep = \"15d\"");
    let text = std::fs::read_to_string(server.path("gatepost.toml")).unwrap();
    // the writer of configurations has a [journal] of its own
    let text =
        text.replacen("[journal]\nkeep = \"15d\"", "", 1).replace("\"journal\"\n", "\"journal\"\nkeep = \"15d\"\n");
    server.write("gatepost.toml", &text.replace("root = \"mail\"", "root = \"mail2\""));
    reload(&server, "need a restart");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("need a restart")).unwrap();
    for key in ["maildir.root", "journal.keep"] {
        let named = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_') == key;
        assert!(line.split([' ', '=', ',', '"']).any(named), "{key}: {line}");
    }
    // the old values are in force still: it is said again, and no more once the file is as it was
    reload(&server, "need a restart");
    server.write_config("");
    reload(&server, APPLIED);
    assert_eq!(server.log().matches("need a restart").count(), 2, "{}", server.log());
}

#[test]
fn a_new_certificate_is_shown_after_a_reload_and_a_bad_one_never() {
    let server = Server::start(Setup { policy: Some(TAKES), tls: true, ..Setup::default() });
    server.write("key.pem", "no key");
    reload(&server, REFUSED);
    assert!(server.log().contains("key.pem: there is no private key in PEM format"), "{}", server.log());
    let mut client = server.dial();
    assert!(client.say("EHLO client.example").contains("STARTTLS"));
    client.expect("STARTTLS", 220);
}
