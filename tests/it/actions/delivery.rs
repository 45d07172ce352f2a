//! What rules change, over a session: the files as they are stored, and the record.

use gatepost::facts::word::{Action, Outcome};

use crate::support::dns::Zone;
use crate::support::site::{Setup, Site};

const DOMAINS: &str = r#"
[domains."local.example"]
mailboxes = ["alice", "bob", "carol", "watch"]
aliases = { abuse = ["bob", "carol"], later = "abuse" }
"#;

const CHANGES: &str = r#"
[[rule]]
name = "marks"
at = "data"
when = "true"
add_headers = { "X-Filed" = "{from.domain} by {client.ip}", "Reply-To" = "list@local.example" }
remove_headers = ["X-Spam-*", "reply-to"]
tag_subject = "[EXTERNAL] "
[[rule]]
name = "files"
at = "data"
when = "from.domain == 'list.example'"
action = "quarantine"
folder = "Lists"
"#;

fn site(policy: &str) -> Site {
    Site::start(Setup { policy, domains: DOMAINS, ..Setup::default() })
}

/// A message by that author, with fields that rules look at.
fn message(from: &str, subject: &str) -> String {
    format!(
        "X-Spam-Status: Yes,\r\n\tscore=9\r\nFrom: <{from}>\r\nReply-To: x@y.example\r\nX-SPAM-Flag: YES\r\nSubject: {subject}\r\nX-Last: 1\r\n\r\nX-Spam-Body: stays\r\n"
    )
}

#[test]
fn headers_are_changed_in_the_stored_file_and_nothing_else_is() {
    let site = site(CHANGES);
    let mut client = site.dial();
    client.begin("a@list.example", &["alice@local.example"]);
    let reply = client.data(message("a@sender.example", "=?utf-8?q?gr=C3=BC=C3=9Fe?="));
    reply.is("250");
    let file = site.only("local.example/alice");
    let (_, own) = file.split_once("\nX-Filed: ").unwrap_or_else(|| panic!("{file}"));
    assert_eq!(
        own,
        "sender.example by 127.0.0.1\nFrom: <a@sender.example>\nReply-To: list@local.example\nSubject: [EXTERNAL] =?utf-8?q?gr=C3=BC=C3=9Fe?=\nX-Last: 1\n\nX-Spam-Body: stays\n"
    );
    let results = file.find("Authentication-Results:").unwrap();
    assert!(results < file.find("X-Filed:").unwrap(), "our trace fields are on top");
    let record = site.record(&reply);
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Accept, ""));
    assert_eq!(
        record.rules.iter().map(|rule| rule.outcome).collect::<Vec<_>>(),
        [Outcome::Changed, Outcome::NotMatched]
    );
    site.wait_for_metric("gatepost_rules_total", &["rule=\"marks\"", "outcome=\"changed\""], 1.0);
}

#[test]
fn a_quarantined_message_goes_into_the_folder_that_the_rule_names() {
    let site = site(CHANGES);
    let mut client = site.dial();
    client.begin("a@list.example", &["alice@local.example"]);
    let reply = client.data(message("a@list.example", "hi"));
    reply.is("250");
    let file = site.only("local.example/alice/.Lists");
    assert!(file.contains("\nX-Gatepost-Decision: quarantine; rule=files; score=0.00;"), "{file}");
    assert!(file.contains("\nSubject: [EXTERNAL] hi\n"), "{file}");
    assert!(site.maildir("local.example/alice/.Lists/maildirfolder").exists(), "IMAP servers see it as a folder");
    let record = site.record(&reply);
    assert_eq!(record.delivery[0].folder, "Lists");
    assert!(record.delivery[0].file.starts_with("local.example/alice/.Lists/new/"), "{record:?}");
}

#[test]
fn a_message_without_subject_or_header_is_changed_too() {
    for (message, own) in [
        (
            "From: <a@sender.example>\r\n\r\nhello\r\n",
            "X-Filed: sender.example by 127.0.0.1\nSubject: [EXTERNAL]\nFrom: <a@sender.example>\n\nhello\n",
        ),
        ("no header at all\r\n", "X-Filed:  by 127.0.0.1\nSubject: [EXTERNAL]\n\nno header at all\n"),
        ("\r\nonly a body\r\n", "X-Filed:  by 127.0.0.1\nSubject: [EXTERNAL]\n\nonly a body\n"),
    ] {
        let site = site(CHANGES);
        let mut client = site.dial();
        client.begin("a@list.example", &["alice@local.example"]);
        client.data(message).is("250");
        let file = site.only("local.example/alice");
        let (_, rest) = file.split_once("\nReply-To: list@local.example\n").unwrap_or_else(|| panic!("{file}"));
        assert_eq!(rest, own, "{message:?}");
    }
}

const REDIRECTS: &str = r#"
[[rule]]
name = "first"
at = "rcpt"
when = "rcpt.address == 'alice@local.example'"
redirect = "watch@local.example"
[[rule]]
name = "refused"
at = "rcpt"
when = "rcpt.address == 'carol@local.example'"
redirect = "watch@local.example"
[[rule]]
name = "last"
at = "data"
when = "from.domain == 'bad.example'"
redirect = "later@local.example"
"#;

/// Sends a message by an author to two recipients; the mailboxes that have it, and each file's Delivered-To.
fn redirected(from: &str, recipients: &[&str]) -> Vec<(String, String)> {
    let site = site(REDIRECTS);
    let mut client = site.dial();
    client.begin("a@sender.example", recipients);
    let reply = client.data(message(from, "hi"));
    reply.is("250");
    let mut went: Vec<(String, String)> = site
        .record(&reply)
        .delivery
        .into_iter()
        .map(|copy| {
            let file = std::fs::read_to_string(site.path("mail").join(&copy.file)).unwrap();
            let delivered_to = file.lines().find_map(|line| line.strip_prefix("Delivered-To: ")).unwrap().to_owned();
            (copy.mailbox, delivered_to)
        })
        .collect();
    went.sort();
    assert_eq!(site.all_files().len(), went.len(), "one file a copy");
    went
}

#[test]
fn a_redirect_goes_to_a_mailbox_here_and_says_for_whom_it_was() {
    let pair = |mailbox: &str, path: &str| (format!("{mailbox}@local.example"), format!("{path}@local.example"));
    assert_eq!(
        redirected("a@sender.example", &["alice@local.example", "bob@local.example"]),
        [pair("bob", "bob"), pair("watch", "alice")]
    );
    // the last rule wins, over an alias of an alias; two paths, one copy each
    assert_eq!(
        redirected("a@bad.example", &["alice@local.example", "watch@local.example"]),
        [pair("bob", "alice"), pair("carol", "alice")]
    );
    // redirected to whom it goes anyway: one copy, and for the one who is watched no way round
    assert_eq!(
        redirected("a@sender.example", &["watch@local.example", "alice@local.example"]),
        [pair("watch", "watch")]
    );
}

#[test]
fn a_redirect_to_nobody_here_is_a_problem_of_the_policy_at_its_place() {
    let wrong = |address: &str| {
        let directory = tempfile::tempdir().unwrap();
        let policy = format!("[[rule]]\nname = \"watch\"\nat = \"data\"\nwhen = \"true\"\nredirect = \"{address}\"\n");
        std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
        let text = format!(
            "hostname = \"mx.local.example\"\n[smtp]\npostmaster = \"alice@local.example\"\n{DOMAINS}\n[policy]\nfile = \"policy.toml\"\n"
        );
        let source = std::sync::Arc::new(gatepost::problem::Source { name: "gatepost.toml".into(), text });
        match gatepost::config::Config::parse(source, directory.path()) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    };
    for (address, cause, mend) in [
        (
            "watch@elsewhere.example",
            "is of no domain here: Gatepost never forwards",
            "the domains here are local.example",
        ),
        ("wach@local.example", "no mailbox or alias has the address", "did you mean \"watch@local.example\"?"),
        ("watch@[127.0.0.1]", "is of no domain here", ""),
        ("wa..tch@local.example", "is no address", "write one like"),
    ] {
        let told = wrong(address);
        assert!(told.contains("policy.toml:5:12: rule \"watch\".redirect: "), "{told}");
        assert!(told.contains(cause) && told.contains(mend), "{address}: {told}");
    }
    assert_eq!(wrong("later+x@local.example"), "", "an alias, with detail");
}

#[test]
fn a_redirect_of_a_discarded_message_or_a_refused_recipient_is_nothing() {
    let policy = "[[rule]]\nname='to-watch'\nat='rcpt'\nwhen='true'\nredirect='watch@local.example'\n[[rule]]\nname='drop'\nat='data'\nwhen=\"from.domain == 'drop.example'\"\naction='discard'\n";
    let site = site(policy);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.data(message("a@drop.example", "hi")).is("250");
    assert!(site.all_files().is_empty());
}

/// Authentication's results, and DKIM's with them, are those of the message as it came.
#[test]
fn results_are_those_of_the_message_as_it_came() {
    let site = Site::start(Setup {
        policy: "[[rule]]\nname='a'\nat='data'\nwhen='true'\nremove_headers=['x-last','subject']\n",
        zone: Zone::new(),
        domains: DOMAINS,
        ..Setup::default()
    });
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    let reply = client.data(message("a@sender.example", "hi"));
    let file = site.only("local.example/alice");
    assert!(!file.contains("Subject:") && !file.contains("X-Last"), "{file}");
    let sent = message("a@sender.example", "hi").len() as u64;
    assert_eq!(site.record(&reply).facts.message.bytes, sent, "the size as it came");
}
