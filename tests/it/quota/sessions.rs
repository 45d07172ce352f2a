//! From MAIL to the record: what a client hears of a full mailbox, and what its people are told.

use std::fs;

use gatepost::facts::Stage;
use gatepost::facts::word::Action;
use gatepost::observe::explain::story;
use nix::sys::signal::Signal;

use super::{ALICE, really_used, sizes};
use crate::support::server::{self, Server, wait_for};
use crate::support::site::{Reply, Setup, Site, files, message};

/// alice has 300,000 octets, bob's domain 150,000, carol no bound, and team are alice and bob.
const DOMAINS: &str = r#"
[domains."local.example"]
mailboxes = ["alice", "bob", "carol"]
aliases = { team = ["alice", "bob"] }
quota = "150 kB"
[domains."local.example".mailbox."alice"]
quota = "300 kB"
[domains."local.example".mailbox."carol"]
quota = 0
"#;

fn site_with(more: &str, policy: &str) -> Site {
    Site::start(Setup { domains: DOMAINS, more, policy, ..Setup::default() })
}

fn site() -> Site {
    site_with("[limits]\nmessage = \"100 kB\"\n", crate::support::site::OPEN)
}

/// A message of about so many octets.
fn sized(octets: usize) -> String {
    format!("From: <a@sender.example>\r\n\r\n{}", format!("{}\r\n", "x".repeat(98)).repeat(octets / 100))
}

/// Lays what has already come.
fn lay(site: &Site, mailbox: &str, octets: u64) {
    let new = site.maildir(&format!("local.example/{mailbox}")).join("new");
    fs::create_dir_all(&new).unwrap();
    fs::File::create(new.join(format!("1.laid.host,S={octets}"))).unwrap().set_len(octets).unwrap();
}

fn send(site: &Site, recipients: &[&str], text: &str) -> Reply {
    site.dial().begin("a@sender.example", recipients).data(text)
}

#[test]
fn a_message_that_does_not_fit_is_452_after_data_and_comes_in_when_there_is_room() {
    let site = site();
    lay(&site, "bob", 120_000);
    let refused = send(&site, &["bob@local.example"], &sized(40_000));
    refused.is("452 4.2.2");
    assert_eq!(site.delivered("local.example/bob").len(), 1, "nothing of it is there");
    let record = site.record(&refused);
    assert_eq!((record.stage, record.decision.action, record.decision.rule.as_str()), (Stage::Data, Action::Defer, ""));
    assert!(record.delivery.is_empty());
    let why = "bob@local.example is over its quota: it holds 120000 of 150000 bytes, and the message has 4";
    assert!(record.trouble.starts_with(why), "{}", record.trouble);
    let told = story(&record);
    assert!(told.contains("could not be stored: bob@local.example is over its quota"), "{told}");
    assert_eq!(site.metric("gatepost_over_quota_total", &["stage=\"data\""]), 1.0);
    assert_eq!(site.metric("gatepost_deliver_errors_total", &[]), 0.0, "it is no trouble of ours");
    // a smaller one fits, and so does it where there is room again
    send(&site, &["bob@local.example"], &sized(20_000)).is("250 2.0.0");
    fs::remove_file(site.maildir("local.example/bob/new/1.laid.host,S=120000")).unwrap();
    fs::remove_file(site.maildir("local.example/bob/maildirsize")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    wait_for("room for it", || (send(&site, &["bob@local.example"], &sized(40_000)).code == 250).then_some(()));
    let maildir = site.maildir("local.example/bob");
    assert_eq!(really_used(&maildir).messages, 2);
    assert_eq!(sizes(&maildir).used, really_used(&maildir));
    assert_eq!(sizes(&maildir).quota_bytes, 150_000);
}

#[test]
fn at_rcpt_it_is_said_where_it_is_known_and_each_recipient_has_its_own_answer() {
    let site = site();
    lay(&site, "bob", 150_000);
    lay(&site, "alice", 120_000);
    let mut client = site.dial();
    client.begin("a@sender.example", &["carol@local.example"]);
    client.expect("RCPT TO:<bob@local.example>", "452 4.2.2");
    client.expect("RCPT TO:<team@local.example>", "452 4.2.2");
    client.expect("RCPT TO:<alice@local.example>", "250");
    let taken = client.data(message("a@sender.example"));
    taken.is("250 2.0.0");
    let record = site.record(&taken);
    let replies: Vec<(&str, &str)> =
        record.recipients.iter().map(|one| (one.address.as_str(), one.reply.get(..9).unwrap())).collect();
    assert_eq!(replies.len(), 4);
    assert_eq!(replies[1], ("bob@local.example", "452 4.2.2"));
    assert_eq!(replies[2], ("team@local.example", "452 4.2.2"));
    assert_eq!(record.recipients[1].mailboxes, ["bob@local.example"]);
    assert_eq!(record.delivery.len(), 2);
    assert_eq!(site.metric("gatepost_over_quota_total", &["stage=\"rcpt\""]), 2.0);
    // nobody but bob
    let mut client = site.dial();
    client.begin("a@sender.example", &[]);
    let refused = client.expect("RCPT TO:<bob@local.example>", "452 4.2.2");
    client.expect("QUIT", "221");
    let record = site.record(&refused);
    assert_eq!((record.stage, record.decision.action), (Stage::Rcpt, Action::Defer));
    let told = story(&record);
    assert!(told.contains("452 4.2.2 the mailbox is full"), "{told}");
    assert!(told.contains("bob@local.example holds 150000 of 150000 bytes"), "{told}");
}

#[test]
fn the_size_that_mail_declares_counts() {
    let site = site();
    lay(&site, "bob", 100_000);
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example> SIZE=50001", "250");
    client.expect("RCPT TO:<bob@local.example>", "452 4.2.2");
    client.expect("RCPT TO:<carol@local.example>", "250");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<a@sender.example> SIZE=40000", "250");
    client.expect("RCPT TO:<bob@local.example>", "250");
    client.data(sized(40_000)).is("250 2.0.0");
    // what the last transaction declared is not the next one's
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<bob@local.example>", "250");
}

#[test]
fn who_may_be_too_full_for_the_message_has_a_transaction_of_its_own() {
    for mixed in ["", "mixed = \"quarantine\"\n"] {
        let more = "[limits]\nmessage = \"100 kB\"\n";
        let site = Site::start(Setup { domains: DOMAINS, judging: mixed, more, ..Setup::default() });
        lay(&site, "bob", 100_000);
        let mut client = site.dial();
        // nobody says how large it is: bob has no room for the largest
        client.begin("a@sender.example", &["alice@local.example"]);
        let alone = client.expect("RCPT TO:<bob@local.example>", "452 4.5.3");
        client.expect("RCPT TO:<carol@local.example>", "250");
        client.data(sized(60_000)).is("250 2.0.0");
        assert!(alone.text.contains("may lack room for a large message"), "{}", alone.text);
        // and his copy goes wrong alone
        client.mail("a@sender.example", &["bob@local.example"]);
        client.expect("RCPT TO:<carol@local.example>", "452 4.5.3");
        client.data(sized(60_000)).is("452 4.2.2");
        assert_eq!(site.delivered("local.example/carol").len(), 1);
        assert_eq!(site.delivered("local.example/bob").len(), 1);
        // with enough room for what is declared they go together
        fs::remove_dir_all(site.maildir("local.example/bob")).unwrap();
        client.expect("MAIL FROM:<a@sender.example> SIZE=1000", "250");
        for name in ["alice", "bob", "carol"] {
            client.expect(&format!("RCPT TO:<{name}@local.example>"), "250");
        }
        client.data(sized(900)).is("250 2.0.0");
        assert_eq!(site.delivered("local.example/bob").len(), 1);
    }
}

#[test]
fn an_empty_mailbox_that_is_smaller_than_the_largest_message_is_not_called_full() {
    let domains = "[domains.\"local.example\"]\nmailboxes = [\"alice\", \"bob\"]\nquota = \"20 MB\"\n";
    let site = Site::start(Setup { domains, ..Setup::default() });
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    let alone = client.expect("RCPT TO:<bob@local.example>", "452 4.5.3");
    assert!(!alone.text.contains("full") && alone.text.contains("by itself"), "{}", alone.text);
    let record = site.record(&client.data(message("a@sender.example")));
    let why = "bob@local.example holds 0 of 20000000 bytes, and the message may need 50065536";
    assert_eq!(record.recipients[1].trouble, why);
    assert_eq!((record.recipients[0].trouble.as_str(), record.trouble.as_str()), ("", ""));
    assert!(story(&record).contains(why), "{}", story(&record));
    // other names of the same mailbox need room for one copy, and have one answer
    client.mail("a@sender.example", &["alice@local.example"]);
    client.expect("RCPT TO:<postmaster>", "250");
    client.expect("RCPT TO:<Alice+x@LOCAL.example>", "250");
    client.expect("RCPT TO:<bob@local.example>", "452 4.5.3");
    let taken = client.data(message("a@sender.example"));
    let record = site.record(taken.is("250 2.0.0"));
    assert_eq!(record.delivery.len(), 1);
    assert!(record.recipients[3].trouble.starts_with("bob@local.example holds "), "{}", record.recipients[3].trouble);
    // who says how large the message is is believed
    client.expect("MAIL FROM:<a@sender.example> SIZE=1000", "250");
    client.expect("RCPT TO:<alice@local.example>", "250");
    client.expect("RCPT TO:<bob@local.example>", "250");
}

#[test]
fn where_one_of_several_mailboxes_is_too_full_after_data_none_gets_a_copy() {
    let site = site();
    lay(&site, "bob", 120_000);
    let refused = send(&site, &["team@local.example"], &sized(40_000));
    refused.is("452 4.2.2");
    assert!(site.delivered("local.example/alice").is_empty());
    assert_eq!(site.record(&refused).delivery.len(), 0);
    send(&site, &["team@local.example"], &sized(20_000)).is("250 2.0.0");
    assert_eq!(site.delivered("local.example/alice").len(), 1);
    let alice = site.maildir(ALICE);
    assert_eq!(sizes(&alice).used, really_used(&alice), "and what was not stored is not counted");
}

#[test]
fn junk_and_large_bodies_count_and_a_full_mailbox_takes_no_junk_either() {
    let policy = "description = 'junk'\n[[rule]]\nname = 'all'\nat = 'data'\nwhen = 'true'\naction = 'quarantine'\n";
    let site = site_with("[limits]\nmemory_body = \"20 kB\"\n", policy);
    send(&site, &["alice@local.example"], &sized(90_000)).is("250 2.0.0");
    send(&site, &["alice@local.example"], &sized(90_000)).is("250 2.0.0");
    assert_eq!(site.metric("gatepost_spool_messages_total", &[]), 2.0);
    let alice = site.maildir(ALICE);
    assert_eq!(files(&alice.join(".Junk/new")).len(), 2);
    assert_eq!(sizes(&alice).used, really_used(&alice));
    send(&site, &["alice@local.example"], &sized(130_000)).is("452 4.2.2");
    assert_eq!(files(&alice.join(".Junk/new")).len(), 2);
}

#[test]
fn under_pseudonyms_nobody_is_named() {
    let site = site_with("pseudonymise = true\n", crate::support::site::OPEN);
    lay(&site, "bob", 149_000);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.expect("RCPT TO:<bob@local.example>", "452 4.5.3");
    let record = site.record(&client.data(message("a@sender.example")));
    let trouble = &record.recipients[1].trouble;
    assert!(trouble.contains("@local.example holds 149000 of 150000") && !trouble.contains("bob"), "{trouble}");
    let refused = send(&site, &["bob@local.example"], &sized(40_000));
    let record = site.record(refused.is("452 4.2.2"));
    let (_, rest) = record.trouble.split_once(" is over its quota").unwrap_or_else(|| panic!("{}", record.trouble));
    assert!(rest.contains("149000 of 150000 bytes"), "{}", record.trouble);
    assert!(!record.trouble.contains("bob") && record.trouble.contains("@local.example"), "{}", record.trouble);
}

#[test]
fn what_no_one_waits_for_is_taken_back_and_not_counted() {
    let site = site();
    for _ in 0..5 {
        let mut client = site.dial();
        client.begin("a@sender.example", &["alice@local.example"]);
        client.expect("DATA", "354");
        client.send(format!("{}\r\n.\r\n", sized(30_000)));
        client.hang_up();
    }
    site.records(5);
    send(&site, &["alice@local.example"], &sized(1_000)).is("250 2.0.0");
    let alice = site.maildir(ALICE);
    assert_eq!(sizes(&alice).used, really_used(&alice));
}

#[test]
fn a_reload_changes_quotas() {
    let server = Server::start(server::Setup { policy: Some("description = \"all\"\n"), ..Default::default() });
    let text = format!("From: <a@sender.example>\r\n\r\n{}.", format!("{}\r\n", "x".repeat(98)).repeat(800));
    let send = || {
        let mut client = server.dial();
        client.expect("EHLO client.example", 250);
        client.expect("MAIL FROM:<a@sender.example>", 250);
        let at_rcpt = client.say("RCPT TO:<alice@receiver.example>");
        if !at_rcpt.starts_with("250") {
            return at_rcpt;
        }
        client.expect("DATA", 354);
        client.say(&text)
    };
    assert!(send().starts_with("250"));
    assert!(!server.maildir("alice").join("maildirsize").exists());
    server.write_config("quota = \"100 kB\"\n");
    server.signal(Signal::SIGHUP);
    wait_for("the quota", || send().starts_with("452 4.2.2").then_some(()));
    let maildir = server.maildir("alice");
    assert_eq!(sizes(&maildir).quota_bytes, 100_000);
    assert_eq!(sizes(&maildir).used, really_used(&maildir));
    server.write_config("quota = 0\n");
    server.signal(Signal::SIGHUP);
    wait_for("no quota", || send().starts_with("250").then_some(()));
}
