//! Rules at their stages, over a session: what is answered when, what is stored where, what the record tells.

use gatepost::facts::record::{RecipientDecision, Record};
use gatepost::facts::word::{Action, Outcome, Role, Stage};

use crate::support::dns::Zone;
use crate::support::site::{OPEN, Reply, Setup, Site, message};

/// What became of a rule, by the record.
fn outcome(record: &Record, rule: &str) -> Option<Outcome> {
    record.rules.iter().find(|one| one.name == rule).map(|one| one.outcome)
}

/// Sends a message by `from` to alice, whose path must be taken; the answer to the message.
fn send(site: &Site, from: &str) -> Reply {
    let mut client = site.dial();
    client.begin(from, &["alice@local.example"]);
    client.data(message(from))
}

const EARLY: &str = r#"
description = "refuses a client and a reverse-path, but not for postmaster"
[[rule]]
name = "client-unwanted"
at = "connect"
when = "client.ip == '127.0.0.66'"
action = "reject"
reply = "550 5.7.1 nothing from {client.ip}"
[[rule]]
name = "reverse-path-unwanted"
at = "mail"
when = "mail_from.domain == 'bad.example'"
action = "defer"
reply = "451 4.7.1 not now, {mail_from.address}"
[[rule]]
name = "postmaster-hears-all"
at = "rcpt"
when = "rcpt.role == 'postmaster'"
action = "accept"
[[rule]]
name = "bob-is-away"
at = "rcpt"
when = "rcpt.address == 'bob@local.example'"
action = "reject"
reply = "550 5.7.1 bob takes nothing"
[[rule]]
name = "nothing-at-all"
at = "data"
when = "true"
action = "reject"
"#;

#[test]
fn what_connect_and_mail_refuse_is_answered_at_rcpt_and_postmaster_is_spared() {
    let site = Site::judging(EARLY, Zone::new());
    let mut client = site.dial_from([127, 0, 0, 66]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "550 5.7.1 nothing from 127.0.0.66 ref=");
    // who is refused does not hear who is here and who is not
    client.expect("RCPT TO:<nobody@local.example>", "550 5.7.1 nothing from 127.0.0.66 ref=");
    client.expect("RCPT TO:<postmaster>", "250");
    let reply = client.data(message("a@sender.example"));
    reply.is("250 2.0.0");
    let record = site.record(&reply);
    assert_eq!(
        (record.stage, record.decision.action, record.decision.rule.as_str()),
        (Stage::Data, Action::Accept, "")
    );
    assert_eq!(outcome(&record, "postmaster-hears-all"), Some(Outcome::Acted));
    assert_eq!(outcome(&record, "nothing-at-all"), None, "an accept ends the later stages");
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn a_refusal_names_its_rule_and_stage_in_the_record() {
    let site = Site::judging(EARLY, Zone::new());
    let mut client = site.dial_from([127, 0, 0, 66]);
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    let refused = client.say("RCPT TO:<alice@local.example>");
    client.expect("QUIT", "221");
    let record = site.record(&refused);
    assert_eq!((record.stage, record.decision.action), (Stage::Connect, Action::Reject));
    assert_eq!(record.decision.rule, "client-unwanted");
    assert_eq!(record.decision.reply, refused.text, "as it was sent");
    assert_eq!(record.recipients[0].reply, refused.text);
    assert_eq!(record.recipients[0].mailboxes, ["alice@local.example"]);
    assert_eq!(record.delivery, []);
}

#[test]
fn a_deferral_is_a_deferral_and_names_the_client_s_words_safely() {
    let site = Site::judging(EARLY, Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<\"a\\\\ {x}\"@bad.example>", "250");
    let refused = client.expect("RCPT TO:<alice@local.example>", "451 4.7.1 not now, ");
    assert!(refused.text.is_ascii() && refused.text.contains("{x}"), "a client's braces are no template: {refused:?}");
    client.expect("RSET", "250");
    let record = site.record(&refused);
    assert_eq!((record.stage, record.decision.action), (Stage::Mail, Action::Defer));
    assert_eq!(record.decision.rule, "reverse-path-unwanted");
}

#[test]
fn a_rule_of_rcpt_refuses_one_recipient_and_not_the_others() {
    let site = Site::judging(&EARLY.replace("when = \"true\"", "when = \"client.port == 1\""), Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "250");
    client.expect("RCPT TO:<bob@local.example>", "550 5.7.1 bob takes nothing ref=");
    client.expect("RCPT TO:<nobody@local.example>", "550 5.1.1");
    let reply = client.data(message("a@sender.example"));
    reply.is("250");
    let record = site.record(&reply);
    let told =
        |n: usize| (record.recipients[n].domain.as_str(), record.recipients[n].role, &record.recipients[n].decision);
    let refused = RecipientDecision { action: Action::Reject, rule: "bob-is-away".into(), instead_of: None };
    assert_eq!(told(0), ("local.example", Some(Role::Ordinary), &None));
    assert_eq!(told(1), ("local.example", Some(Role::Ordinary), &Some(refused)));
    assert_eq!(told(2), ("", None, &None), "no rule refused it");
    // the record tells of alice's rules; bob's count all the same
    assert_eq!(site.metric("gatepost_rules_total", &["bob-is-away", "acted"]), 1.0);
    assert_eq!(site.metric("gatepost_rules_total", &["bob-is-away", "not matched"]), 1.0);
    assert_eq!(site.delivered("local.example/alice").len(), 1);
    assert_eq!(site.all_files().len(), 1);
}

const AT_DATA: &str = r#"
description = "one domain, one action"
[[rule]]
name = "welcome"
at = "data"
when = "from.domain == 'welcome.example'"
action = "accept"
[[rule]]
name = "would-refuse"
at = "data"
when = "from.domain == 'observed.example'"
action = "reject"
score = 100.0
observe = true
[[rule]]
name = "one"
at = "rcpt"
when = "mail_from.domain == 'scored.example'"
score = 1.5
[[rule]]
name = "two"
at = "data"
when = "from.domain == 'scored.example'"
score = 2.25
[[rule]]
name = "junk"
at = "data"
when = "score >= 3.75 && score < 100.0"
action = "quarantine"
[[rule]]
name = "hole"
at = "data"
when = "from.domain == 'hole.example'"
action = "discard"
[[rule]]
name = "later"
at = "data"
when = "from.domain == 'later.example'"
action = "defer"
reply = "451 4.7.1 {from.domain} is asked to come again"
[[rule]]
name = "never"
at = "data"
when = "from.domain != 'observed.example' && from.domain != 'scored.example'"
action = "reject"
"#;

#[test]
fn accept_ends_the_rules_of_its_stage() {
    let site = Site::judging(AT_DATA, Zone::new());
    let reply = send(&site, "a@welcome.example");
    let record = site.record(reply.is("250 2.0.0"));
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Accept, "welcome"));
    assert_eq!(outcome(&record, "never"), None);
    assert_eq!(record.policy.file, site.path("policy.toml").display().to_string());
}

#[test]
fn observe_says_what_would_have_been_and_does_nothing() {
    let site = Site::judging(AT_DATA, Zone::new());
    let record = site.record(send(&site, "a@observed.example").is("250 2.0.0"));
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Accept, ""));
    assert_eq!(outcome(&record, "would-refuse"), Some(Outcome::Observed));
    assert_eq!(record.facts.score, 0.0, "an observed rule's score is not added");
    assert_eq!(site.metric("gatepost_rules_total", &["rule=\"would-refuse\"", "observed"]), 1.0);
}

#[test]
fn scores_of_stages_add_up_and_quarantine_goes_to_junk() {
    let site = Site::judging(AT_DATA, Zone::new());
    let reply = send(&site, "a@scored.example");
    let record = site.record(reply.is("250 2.0.0"));
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Quarantine, "junk"));
    assert_eq!(record.facts.score, 3.75);
    assert_eq!(record.delivery[0].folder, "Junk");
    assert_eq!(site.delivered("local.example/alice").len(), 0);
    assert!(site.maildir("local.example/alice/.Junk/maildirfolder").is_file());
    let file = site.only("local.example/alice/.Junk");
    let names: Vec<&str> = file
        .lines()
        .take(8)
        .filter(|line| !line.starts_with('\t'))
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(names[..4], ["Return-Path", "Delivered-To", "X-Gatepost-Decision", "Received"]);
    let decision = format!("X-Gatepost-Decision: quarantine; rule=junk; score=3.75;\n\tref={}\n", reply.reference());
    assert!(file.contains(&decision), "{file}");
}

#[test]
fn a_refusal_after_the_dot_ends_in_the_ref_and_stores_nothing() {
    let site = Site::judging(AT_DATA, Zone::new());
    for (from, codes, action, rule) in [
        ("a@later.example", "451 4.7.1 later.example is asked to come again ref=", Action::Defer, "later"),
        ("a@other.example", "550 5.7.1 refused by local policy ref=", Action::Reject, "never"),
    ] {
        let reply = send(&site, from);
        let record = site.record(reply.is(codes));
        assert_eq!((record.stage, record.decision.action, record.decision.rule.as_str()), (Stage::Data, action, rule));
        assert_eq!(record.decision.reply, reply.text);
        assert_eq!(record.delivery, []);
    }
    assert_eq!(site.all_files(), [""; 0].map(std::path::PathBuf::from));
    assert_eq!(site.metric("gatepost_decisions_total", &["action=\"reject\"", "rule=\"never\""]), 1.0);
    assert_eq!(site.metric("gatepost_replies_total", &["code=\"550\""]), 1.0);
}

#[test]
fn a_discarded_message_is_journalled_before_it_is_acknowledged() {
    let site = Site::judging(AT_DATA, Zone::new());
    for _ in 0..5 {
        let reply = send(&site, "a@hole.example");
        reply.is("250 2.0.0");
        // no waiting: nothing but this line tells of the message
        let journal = site.journal();
        let record = journal.iter().find(|record| record.reference == reply.reference()).expect("it is on disk");
        assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Discard, "hole"));
        assert_eq!(record.decision.reply, reply.text);
    }
    assert_eq!(site.all_files().len(), 0);
    assert_eq!(site.journal().len(), 5, "one line each");
    assert_eq!(site.metric("gatepost_decisions_total", &["action=\"discard\""]), 5.0);
}

#[test]
fn a_message_to_discard_is_deferred_where_the_journal_can_not_be_written() {
    let mut site = Site::judging(AT_DATA, Zone::new());
    std::fs::remove_dir_all(site.path("journal")).unwrap();
    std::fs::write(site.path("journal"), "no directory").unwrap();
    send(&site, "a@hole.example").is("451 4.3.0");
    assert_eq!(site.all_files().len(), 0);
    // what is stored needs no journal
    send(&site, "a@welcome.example").is("250 2.0.0");
    std::fs::remove_file(site.path("journal")).unwrap();
    std::fs::create_dir(site.path("journal")).unwrap();
    site.stop();
}

#[test]
fn soft_reject_makes_every_refusal_temporary() {
    let site = Site::start(Setup {
        policy: EARLY,
        smtp: "postmaster = \"carol@local.example\"\nsoft_reject = true",
        ..Setup::default()
    });
    let mut client = site.dial_from([127, 0, 0, 66]);
    client.expect("NONSENSE", "451 4.5.1");
    client.expect("MAIL FROM:<a@sender.example>", "451 4.5.1");
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<>> SIZE=99999999999", "451 4.1.7");
    client.expect("MAIL FROM:<a@sender.example> SIZE=99999999999", "452 4.3.4");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<x@elsewhere.example>", "451 4.7.1");
    client.expect("RCPT TO:<nobody@local.example>", "451 4.7.1");
    let refused = client.expect("RCPT TO:<alice@local.example>", "451 4.7.1 nothing from 127.0.0.66 ref=");
    client.expect("DATA", "451 4.5.1");
    client.expect("QUIT", "221");
    let record = site.record(&refused);
    assert_eq!(record.decision.reply, refused.text, "the record tells what was sent");
    assert_eq!(record.decision.action, Action::Reject, "and what the rule decided");
    let mut client = site.dial();
    client.begin("a@sender.example", &["carol@local.example"]);
    client.data(message("a@sender.example")).is("451 4.7.1 refused by local policy ref=");
    // what the protocol refuses is no deferral in the record either
    client.mail("a@sender.example", &["carol@local.example"]);
    let malformed = client.data(message("a@sender.example") + "a\nb\r\n");
    let too_big = client.expect("MAIL FROM:<a@sender.example> SIZE=99999999999", "452 4.3.4");
    for refused in [malformed.is("451 4.6.0"), &too_big] {
        let decision = site.record(refused).decision;
        assert_eq!((decision.action, decision.reply), (Action::Reject, refused.text.clone()));
    }
    assert_eq!(site.metric("gatepost_soft_reject", &[]), 1.0);
}

/// alice by the default policy, bob by one that refuses, carol by one that only sorts, dora by one that discards.
fn several_policies() -> Site {
    Site::start(Setup {
        policy: OPEN,
        domains: r#"
[domains."local.example"]
mailboxes = ["alice", "bob", "carol", "dora"]
aliases = { all = ["alice", "bob"] }
[domains."local.example".mailbox."bob"]
policy = "refusing.toml"
[domains."local.example".mailbox."carol"]
policy = "sorting.toml"
[domains."local.example".mailbox."dora"]
policy = "discarding.toml"
[domains."strict.example"]
mailboxes = ["bob"]
policy = "refusing.toml"
"#,
        files: &[
            ("refusing.toml", &rule("reject")),
            ("sorting.toml", &rule("quarantine")),
            ("discarding.toml", &rule("discard")),
        ],
        ..Setup::default()
    })
}

fn rule(action: &str) -> String {
    format!(
        "description = \"x\"\n[[rule]]\nname = \"its-own\"\nat = \"data\"\nwhen = \"from.domain == 'bad.example'\"\n\
         action = \"{action}\"\n"
    )
}

#[test]
fn recipients_whose_refusals_could_differ_do_not_share_a_transaction() {
    let site = several_policies();
    let mut client = site.dial();
    client.begin("a@bad.example", &["alice@local.example"]);
    client.expect("RCPT TO:<bob@local.example>", "452 4.5.3");
    client.data(message("a@bad.example")).is("250");
    client.mail("a@bad.example", &["bob@local.example"]);
    client.expect("RCPT TO:<alice@local.example>", "452 4.5.3");
    // of the same policy, though of another domain
    client.expect("RCPT TO:<bob@strict.example>", "250");
    client.data(message("a@bad.example")).is("550 5.7.1");
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn recipients_whose_policies_differ_in_the_folder_go_together() {
    let site = several_policies();
    let mut client = site.dial();
    client.begin("a@bad.example", &["alice@local.example", "carol@local.example"]);
    let reply = client.data(message("a@bad.example"));
    let record = site.record(reply.is("250"));
    assert_eq!(site.delivered("local.example/alice").len(), 1);
    assert_eq!(site.delivered("local.example/carol").len(), 0);
    assert_eq!(site.delivered("local.example/carol/.Junk").len(), 1);
    let folders: Vec<_> = record.delivery.iter().map(|copy| (copy.mailbox.as_str(), copy.folder.as_str())).collect();
    assert_eq!(folders, [("alice@local.example", "INBOX"), ("carol@local.example", "Junk")]);
    assert!(!site.only("local.example/alice").contains("X-Gatepost-Decision"));
}

#[test]
fn a_recipient_whose_mail_may_be_discarded_goes_alone() {
    // else the record of the transaction, which is one, could not tell both what was discarded and what was kept
    let site = several_policies();
    let mut client = site.dial();
    client.begin("a@bad.example", &["alice@local.example"]);
    client.expect("RCPT TO:<dora@local.example>", "452 4.5.3");
    client.data(message("a@bad.example")).is("250");
    client.mail("a@bad.example", &["dora@local.example"]);
    client.expect("RCPT TO:<alice@local.example>", "452 4.5.3");
    let reply = client.data(message("a@bad.example"));
    let record = site.record(reply.is("250"));
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Discard, "its-own"));
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn an_alias_to_mailboxes_of_several_policies_is_judged_by_the_default() {
    let site = several_policies();
    let mut client = site.dial();
    client.begin("a@bad.example", &["all@local.example"]);
    client.data(message("a@bad.example")).is("250");
    assert_eq!(site.all_files().len(), 2);
}
