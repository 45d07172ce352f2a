//! Recipients of one transaction whose policies differ: who goes together, who is asked to come again, and what `policy.mixed` does.

use gatepost::facts::record::{ChangesRecord, Recipient, RecipientDecision, Record};
use gatepost::facts::word::Action;
use gatepost::observe::explain::story;

use crate::support::dns::Zone;
use crate::support::site::{OPEN, Reply, Setup, Site, message};

/// alice takes all, bob refuses, carol defers, dora discards, erik files and tags, fred refuses like bob and tags.
const DOMAINS: &str = r#"
[domains."local.example"]
mailboxes = ["alice", "bob", "carol", "dora", "erik", "fred"]
[domains."local.example".mailbox."bob"]
policy = "refusing.toml"
[domains."local.example".mailbox."carol"]
policy = "deferring.toml"
[domains."local.example".mailbox."dora"]
policy = "discarding.toml"
[domains."local.example".mailbox."erik"]
policy = "filing.toml"
[domains."local.example".mailbox."fred"]
policy = "tagging.toml"
"#;

fn rule(name: &str, action: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nat = \"data\"\nwhen = \"from.domain == 'bad.example'\"\n{action}\n")
}

fn site_with(mixed: &str, zone: Zone) -> Site {
    let refusing = rule("bob-refuses", "action = \"reject\"\nreply = \"550 5.7.1 bob does not take {from.domain}\"");
    let tagging = format!(
        "{}{}",
        rule("fred-refuses", "action = \"reject\""),
        "[[rule]]\nname = 'fred-tags'\nat = 'data'\nwhen = 'true'\ntag_subject = '[F] '\n"
    );
    Site::start(Setup {
        zone,
        policy: OPEN,
        judging: mixed,
        domains: DOMAINS,
        files: &[
            ("refusing.toml", &refusing),
            ("deferring.toml", &rule("carol-defers", "action = \"defer\"")),
            ("discarding.toml", &rule("dora-discards", "action = \"discard\"")),
            (
                "filing.toml",
                &format!(
                    "{}{}",
                    rule("erik-marks", "add_headers = { \"X-Erik\" = \"{from.domain}\" }"),
                    rule("erik-files", "action = \"quarantine\"\nfolder = \"Odd\"")
                ),
            ),
            ("tagging.toml", &tagging),
        ],
        ..Setup::default()
    })
}

pub fn site(mixed: &str) -> Site {
    site_with(mixed, Zone::new())
}

pub const QUARANTINE: &str = "mixed = \"quarantine\"";

/// Sends a message of a bad author to these mailboxes at once.
fn send(site: &Site, to: &[&str]) -> Reply {
    let mut client = site.dial();
    let to: Vec<String> = to.iter().map(|name| format!("{name}@local.example")).collect();
    client.begin("a@bad.example", &to.iter().map(String::as_str).collect::<Vec<_>>());
    client.data(message("a@bad.example"))
}

fn decisions(record: &Record) -> Vec<Option<RecipientDecision>> {
    record.recipients.iter().map(|Recipient { decision, .. }| decision.clone()).collect()
}

fn decided(action: Action, rule: &str, instead_of: Option<Action>) -> Option<RecipientDecision> {
    Some(RecipientDecision { action, rule: rule.into(), instead_of })
}

#[test]
fn recipients_whose_policies_refuse_alike_go_together_and_each_copy_is_its_own() {
    let site = site("");
    let mut client = site.dial();
    client.begin("a@sender.example", &["bob@local.example", "fred@local.example"]);
    let reply = client.data(message("a@sender.example"));
    reply.is("250");
    assert!(site.only("local.example/bob").contains("\nSubject: hello\n"));
    assert!(site.only("local.example/fred").contains("\nSubject: [F] hello\n"));
    let record = site.record(&reply);
    assert_eq!(decisions(&record), [None, None], "the same was decided for both");
    assert_eq!(record.decision.changes, Some(ChangesRecord::default()));
    let tagged = ChangesRecord { tag_subject: vec!["[F] ".into()], ..ChangesRecord::default() };
    let changes: Vec<_> = record.recipients.iter().map(|recipient| recipient.changes.clone()).collect();
    assert_eq!(changes, [None, Some(tagged)]);
    let reply = send(&site, &["fred", "bob"]);
    reply.is("550 5.7.1 refused by local policy ref=");
    let record = site.record(&reply);
    assert_eq!(record.decision.rule, "fred-refuses");
    assert_eq!(
        decisions(&record),
        [decided(Action::Reject, "fred-refuses", None), decided(Action::Reject, "bob-refuses", None)]
    );
}

#[test]
fn the_record_says_of_each_recipient_what_became_of_its_copy() {
    let site = site("");
    let reply = send(&site, &["alice", "erik"]);
    reply.is("250");
    let file = site.only("local.example/erik/.Odd");
    assert!(file.contains("\nX-Erik: bad.example\n"), "{file}");
    assert!(!site.only("local.example/alice").contains("X-Erik"), "a change is one mailbox's");
    let record = site.record(&reply);
    assert_eq!(
        decisions(&record),
        [decided(Action::Accept, "", None), decided(Action::Quarantine, "erik-files", None)]
    );
    let told = story(&record);
    assert!(told.contains("answered 250 2.1.5 recipient ok; quarantined by rule erik-files"), "{told}");
    assert!(told.contains("answered 250 2.1.5 recipient ok; accepted by no rule"), "{told}");
}

#[test]
fn by_default_those_whose_refusals_differ_come_again_alone() {
    let site = site("mixed = \"split\"");
    let mut client = site.dial();
    client.begin("a@bad.example", &["alice@local.example", "erik@local.example"]);
    for other in ["bob", "carol", "dora", "fred"] {
        client.expect(&format!("RCPT TO:<{other}@local.example>"), "452 4.5.3").reference();
    }
    client.data(message("a@bad.example")).is("250");
    client.mail("a@bad.example", &["bob@local.example"]);
    client.expect("RCPT TO:<carol@local.example>", "452 4.5.3");
    client.expect("RCPT TO:<fred@local.example>", "250");
}

#[test]
fn with_quarantine_all_go_together_and_those_who_refuse_find_it_in_junk() {
    let site = site(QUARANTINE);
    let reply = send(&site, &["alice", "bob", "carol", "dora", "erik"]);
    reply.is("250 2.0.0");
    assert_eq!(site.delivered("local.example/alice").len(), 1);
    for (name, rule) in [("bob", "bob-refuses"), ("carol", "carol-defers"), ("dora", "dora-discards")] {
        let file = site.only(&format!("local.example/{name}/.Junk"));
        assert!(file.contains(&format!("X-Gatepost-Decision: quarantine; rule={rule};")), "{file}");
        assert_eq!(site.delivered(&format!("local.example/{name}")).len(), 0);
    }
    assert_eq!(site.delivered("local.example/erik/.Odd").len(), 1, "who quarantines by itself does so where it says");
    let record = site.record(&reply);
    assert_eq!(
        decisions(&record),
        [
            decided(Action::Accept, "", None),
            decided(Action::Quarantine, "bob-refuses", Some(Action::Reject)),
            decided(Action::Quarantine, "carol-defers", Some(Action::Defer)),
            decided(Action::Quarantine, "dora-discards", Some(Action::Discard)),
            decided(Action::Quarantine, "erik-files", None),
        ]
    );
    let told = story(&record);
    assert!(
        told.contains("quarantined by rule bob-refuses, which would have refused it, because others take the message"),
        "{told}"
    );
}

#[test]
fn with_quarantine_a_message_that_all_refuse_is_refused() {
    let site = site(QUARANTINE);
    send(&site, &["bob", "fred"]).is("550 5.7.1 bob does not take bad.example ref=");
    // who defers may take it later: the others are asked again
    let reply = send(&site, &["bob", "carol", "dora"]);
    reply.is("451 4.7.1");
    let record = site.record(&reply);
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Defer, "carol-defers"));
    assert_eq!(
        decisions(&record),
        [
            decided(Action::Reject, "bob-refuses", None),
            decided(Action::Defer, "carol-defers", None),
            decided(Action::Discard, "dora-discards", None)
        ]
    );
    send(&site, &["dora"]).is("250");
    assert_eq!(site.all_files().len(), 0);
}

#[test]
fn what_is_wrong_with_the_key_is_told() {
    let told = |value: &str| {
        let text = format!(
            "hostname = \"mx.local.example\"\n[smtp]\npostmaster = \"a@local.example\"\n[domains.\"local.example\"]\nmailboxes = [\"a\"]\n[policy]\nmixed = {value}\n"
        );
        let source = std::sync::Arc::new(gatepost::problem::Source { name: "gatepost.toml".into(), text });
        gatepost::config::Config::parse(source, std::path::Path::new("")).err().map(|problems| problems.to_string())
    };
    assert_eq!(told("\"quarantine\""), None);
    assert!(told("\"quarantin\"").unwrap().contains("gatepost.toml:7:9: policy.mixed: "));
    assert!(told("\"quarantin\"").unwrap().contains("did you mean \"quarantine\"?"));
    assert!(told("true").unwrap().contains("policy.mixed"));
}

/// A policy whose every copy is another, because it names the recipient.
const FOR_EACH: &str =
    "[[rule]]\nname = 'each'\nat = 'rcpt'\nwhen = 'true'\nadd_headers = { 'X-For' = '{rcpt.address}' }\n";

/// The answer to a message with a header of 200 kB for so many recipients, whose copies each have a field of their own.
fn large_for(recipients: usize) -> (Site, Reply) {
    let names: Vec<String> = (0..recipients).map(|at| format!("\"box{at}\"")).collect();
    let domains = format!("[domains.\"local.example\"]\nmailboxes = [\"alice\", {}]\n", names.join(", "));
    let site = Site::start(Setup { policy: FOR_EACH, domains: &domains, ..Setup::default() });
    let mut client = site.dial();
    let to: Vec<String> = (0..recipients).map(|at| format!("box{at}@local.example")).collect();
    client.begin("a@sender.example", &to.iter().map(String::as_str).collect::<Vec<_>>());
    let line = format!("X-Long: {}\r\n", "x".repeat(892));
    let reply = client.data(format!("{}{}", line.repeat(222), message("a@sender.example")));
    (site, reply)
}

/// 16 MiB of changed headers are what a transaction may hold, half of what one network may: 83 of 200 kB.
#[test]
fn a_large_header_that_is_changed_for_each_of_many_recipients_is_deferred() {
    let (site, reply) = large_for(180);
    reply.is("452 4.3.1");
    assert_eq!(site.all_files().len(), 0, "nothing of it is stored");
    assert!(site.record(&reply).trouble.contains("too many recipients"), "{:?}", site.record(&reply).trouble);
    let (site, reply) = large_for(20);
    reply.is("250");
    assert_eq!(site.all_files().len(), 20);
    for at in [0, 19] {
        let file = site.only(&format!("local.example/box{at}"));
        assert!(file.contains(&format!("\nX-For: box{at}@local.example\n")), "each has its own");
    }
}

#[test]
fn the_own_copy_of_a_mailbox_comes_before_one_that_is_redirected_to_it() {
    let domains = "[domains.\"local.example\"]\nmailboxes = [\"alice\", \"bob\"]\n[domains.\"local.example\".mailbox.\"alice\"]\npolicy = \"alice.toml\"\n[domains.\"local.example\".mailbox.\"bob\"]\npolicy = \"bob.toml\"\n";
    for to in [["bob@local.example", "alice@local.example"], ["alice@local.example", "bob@local.example"]] {
        let site = Site::start(Setup {
            policy: OPEN,
            domains,
            files: &[
                ("alice.toml", &rule("alice-files", "action = \"quarantine\"")),
                ("bob.toml", &rule("bob-redirects", "redirect = \"alice@local.example\"")),
            ],
            ..Setup::default()
        });
        let mut client = site.dial();
        client.begin("a@bad.example", &to);
        client.data(message("a@bad.example")).is("250");
        let file = site.only("local.example/alice/.Junk");
        assert!(file.contains("\nDelivered-To: alice@local.example\n"), "{file}");
        assert_eq!(site.all_files().len(), 1);
    }
}

const ABUSE_IS_ALICE: &str =
    "[domains.\"local.example\"]\nmailboxes = [\"alice\", \"bob\"]\naliases = { abuse = [\"alice\"] }\n";

/// A client without a reverse name sends to alice, bob and abuse at once, under the strict policy: abuse alone is spared.
fn spared_for_abuse(soft_reject: bool) -> (String, Record) {
    let smtp = format!("postmaster = \"alice@local.example\"\nsoft_reject = {soft_reject}");
    let policy = gatepost::policy::shipped::STRICT;
    let site = Site::start(Setup { policy, smtp: &smtp, domains: ABUSE_IS_ALICE, ..Setup::default() });
    let mut client = site.dial_from([127, 0, 0, 66]);
    client.begin("a@example.net", &[]);
    let refused = if soft_reject { "451 4.7.25" } else { "550 5.7.25" };
    client.expect("RCPT TO:<alice@local.example>", refused);
    client.expect("RCPT TO:<bob@local.example>", refused);
    client.expect("RCPT TO:<abuse@local.example>", "250");
    let reply = client.data(message("a@example.net"));
    let record = site.record(reply.is("250"));
    (story(&record), record)
}

#[test]
fn who_was_refused_at_rcpt_is_told_apart_from_who_was_taken() {
    let (told, record) = spared_for_abuse(false);
    let refused = decided(Action::Reject, "no-reverse-name", None);
    assert_eq!(decisions(&record), [refused.clone(), refused, None]);
    let first = told.lines().next().unwrap();
    assert!(first.starts_with("Quarantined for abuse@local.example and stored for alice@local.example: "), "{first}");
    let others = "alice@local.example and bob@local.example were refused with \"550 5.7.25 127.0.0.66 has no reverse name that leads \
                  back to it\" by rule no-reverse-name.";
    assert!(first.contains(others), "{first}");
    assert!(told.contains("\nRules, as they judged abuse@local.example\n"), "{told}");
    let of_rule =
        "at rcpt: did not match; for alice@local.example and bob@local.example it matched and decided: reject\n";
    assert!(told.contains(of_rule), "{told}");
    assert_eq!(told.matches("; refused by rule no-reverse-name\n").count(), 2, "{told}");
}

#[test]
fn soft_reject_is_told_of_each_recipient() {
    let (told, _) = spared_for_abuse(true);
    let first = told.lines().next().unwrap();
    let others = "by rule no-reverse-name instead of refused because smtp.soft_reject is on.";
    assert!(first.contains(" were deferred with \"451 4.7.25 127.0.0.66 has") && first.contains(others), "{first}");
    let each = "; refused by rule no-reverse-name, deferred instead of refused because smtp.soft_reject is on\n";
    assert_eq!(told.matches(each).count(), 2, "{told}");
}
