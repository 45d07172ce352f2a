//! Whom mail is taken for, over a session: DESIGN §6.

use gatepost::facts::word::Action;

use crate::support::site::{Setup, Site, message};

const DOMAINS: &str = r#"
[domains."local.example"]
mailboxes = ["alice", "bob", "carol"]
aliases = { sales = ["alice", "team"], team = ["bob", "alice"], abuse = "bob" }
[domains."catch.example"]
mailboxes = ["all"]
catch_all = "all"
[domains."xn--bcher-kva.example"]
mailboxes = ["Käthe"]
"#;

fn site() -> Site {
    Site::start(Setup { domains: DOMAINS, ..Setup::default() })
}

/// Sends one message to these forward-paths (as they stand in RCPT, brackets included) and gives who has copies.
#[track_caller]
fn check(recipients: &[&str], copies: &[&str]) {
    let site = site();
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example> SMTPUTF8", "250");
    for recipient in recipients {
        client.expect(&format!("RCPT TO:{recipient}"), "250 2.1.5");
    }
    let reply = client.data(message("a@sender.example"));
    reply.is("250 2.0.0");
    let mut went: Vec<String> = site.record(&reply).delivery.into_iter().map(|copy| copy.mailbox).collect();
    went.sort();
    assert_eq!(went, copies, "{recipients:?}");
    assert_eq!(site.all_files().len(), copies.len(), "one file a copy");
}

#[test]
fn a_mailbox_gets_one_copy_however_many_paths_lead_there() {
    check(
        &[
            "<alice@local.example>",
            "<ALICE@LOCAL.EXAMPLE>",
            "<alice+news@local.example>",
            "<sales@local.example>",
            "<Postmaster>",
            "<alice@local.example>",
        ],
        &["alice@local.example", "bob@local.example"],
    );
}

#[test]
fn aliases_nest_and_take_detail() {
    check(&["<team+x@local.example>"], &["alice@local.example", "bob@local.example"]);
}

#[test]
fn a_catch_all_takes_what_nobody_else_has() {
    check(&["<who.ever@catch.example>", "<all@catch.example>"], &["all@catch.example"]);
}

#[test]
fn names_beyond_ascii_are_folded() {
    check(&["<KÄTHE@bücher.example>", "<käthe@BÜCHER.example>"], &["käthe@xn--bcher-kva.example"]);
}

#[test]
fn delivered_to_names_the_path_as_accepted() {
    let site = site();
    let mut client = site.dial();
    client.begin("a@sender.example", &["Alice+News@Local.Example"]);
    client.data(message("a@sender.example")).is("250");
    let file = site.only("local.example/alice");
    let second = file.lines().nth(1).unwrap();
    assert!(second.eq_ignore_ascii_case("Delivered-To: Alice+News@local.example"), "{second}");
    assert!(second.starts_with("Delivered-To: Alice+News@"), "the local-part keeps its case: {second}");
}

#[test]
fn received_names_a_recipient_only_where_there_is_one() {
    let site = site();
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example", "bob@local.example"]);
    client.data(message("a@sender.example")).is("250");
    assert!(!site.only("local.example/alice").contains("\tfor <"), "blind copies stay blind");
    client.mail("a@sender.example", &["carol@local.example"]);
    client.data(message("a@sender.example")).is("250");
    assert!(site.only("local.example/carol").contains("\tfor <carol@local.example>;\n"));
}

#[test]
fn everybody_else_is_refused_and_the_record_says_who() {
    let site = site();
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    let refused = [
        ("<x@elsewhere.example>", "550 5.7.1"),
        ("<x@sub.local.example>", "550 5.7.1"),
        ("<alice@[127.0.0.1]>", "550 5.7.1"),
        ("<alice%elsewhere.example@local.example>", "550 5.1.1"),
        ("<elsewhere.example!alice@local.example>", "550 5.1.1"),
        ("<\"alice@elsewhere.example\"@local.example>", "550 5.1.1"),
        ("<nobody@local.example>", "550 5.1.1"),
        ("<alic@local.example>", "550 5.1.1"),
    ];
    for (path, codes) in refused {
        client.expect(&format!("RCPT TO:{path}"), codes).reference();
    }
    client.expect("DATA", "554 5.5.1");
    client.expect("RCPT TO:<alice@local.example>", "250");
    let reply = client.data(message("a@sender.example"));
    let record = site.record(&reply);
    assert_eq!(record.decision.action, Action::Accept);
    assert_eq!(record.recipients.len(), refused.len() + 1);
    for (recipient, (_, codes)) in record.recipients.iter().zip(refused) {
        assert!(recipient.reply.starts_with(codes) && recipient.reply.contains("ref="), "{recipient:?}");
        assert_eq!(recipient.mailboxes, Vec::<String>::new());
    }
    assert_eq!(record.recipients.last().unwrap().mailboxes, ["alice@local.example"]);
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn a_source_route_is_read_past() {
    // RFC 5321 §4.1.1.3, appendix C: the route is ignored, the mailbox counts
    let site = site();
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<@elsewhere.example:alice@local.example>", "250");
    client.expect("RCPT TO:<@local.example:alice@elsewhere.example>", "550 5.7.1");
}

#[test]
fn a_hundred_recipients_are_listed_and_the_rest_counted() {
    let more = "[limits]\nunknown_recipients = 1000\n";
    let site = Site::start(Setup { domains: DOMAINS, more, ..Setup::default() });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    let commands: String = (0..130).map(|n| format!("RCPT TO:<x{n}@local.example>\r\n")).collect();
    client.send(commands);
    for _ in 0..130 {
        client.reply().is("550 5.1.1");
    }
    client.expect("RSET", "250");
    let record = site.records(1).remove(0);
    assert_eq!((record.recipients.len(), record.recipients_more), (100, 30));
    assert_eq!(record.decision.action, Action::Reject, "nobody was taken: that was the outcome");
}

#[test]
fn more_recipients_than_the_limit_are_for_the_next_transaction() {
    let site = Site::start(Setup { domains: DOMAINS, more: "[limits]\nrecipients = 100\n", ..Setup::default() });
    let mut client = site.dial();
    let ehlo = client.say("EHLO client.example");
    assert!(ehlo.text.contains("LIMITS RCPTMAX=100"), "{ehlo:?}");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.send((0..101).map(|n| format!("RCPT TO:<x{n}@catch.example>\r\n")).collect::<String>());
    for _ in 0..100 {
        client.reply().is("250 2.1.5");
    }
    client.reply().is("452 4.5.3");
    client.data(message("a@sender.example")).is("250");
}

/// An alias of so many mailboxes named several times would make one transaction hold and write a multiple of them.
#[test]
fn recipients_that_lead_to_too_many_copies_are_asked_to_come_again() {
    let names: Vec<String> = (0..600).map(|number| format!("\"m{number}\"")).collect();
    let domains = format!(
        "[domains.\"local.example\"]\nmailboxes = [\"alice\", {0}]\naliases = {{ all = [{0}] }}\n",
        names.join(", ")
    );
    let site = Site::start(Setup { domains: &domains, ..Setup::default() });
    let mut client = site.dial();
    client.begin("a@sender.example", &["all@local.example"]);
    client.expect("RCPT TO:<all+again@local.example>", "452 4.5.3");
    client.expect("RCPT TO:<alice@local.example>", "250 2.1.5");
    client.expect("RSET", "250");
}
