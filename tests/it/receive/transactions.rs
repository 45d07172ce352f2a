//! Several transactions of one session: nothing of one is seen by the next.

use std::time::Duration;

use gatepost::facts::record::Record;
use gatepost::facts::word::{Action, Stage};
use gatepost::facts::{IprevResult, MethodResult, Mx, ReverseMx, ReverseMxResult, Spf};

use crate::support::dns::{Fault, RecordType, Zone};
use crate::support::site::{Setup, Site, message};

const SCORING: &str = r#"
description = "scores a reverse-path"
[[rule]]
name = "noted"
at = "mail"
when = "mail_from.domain == 'first.example'"
score = 7.0
[[rule]]
name = "too-much"
at = "data"
when = "score > 5.0 || size(dkim) > 0 || rcpt.role == 'postmaster'"
action = "quarantine"
"#;

/// Every fact that a transaction has of its own.
#[track_caller]
fn is_of_second_only(record: &Record) {
    let facts = &record.facts;
    assert_eq!(facts.mail_from.address, "b@second.example");
    assert_eq!(facts.from.addresses, ["b@second.example"]);
    assert_eq!(facts.from.defects, [""; 0]);
    assert_eq!(facts.reply_to.domain, "");
    assert_eq!(facts.dkim, []);
    assert_eq!(facts.message.message_id, "");
    assert_eq!(facts.score, 0.0);
    assert_eq!(facts.spf.mail_from.domain, "second.example");
    assert_eq!(facts.reverse_mx.mail_from.domain, "second.example");
    assert_eq!(facts.reverse_mx.from.domain, "second.example");
    assert_eq!(facts.reverse_mx.reply_to, ReverseMx::default());
    assert_eq!(facts.message.bytes, message("b@second.example").len() as u64);
    assert_eq!(record.recipients.len(), 1);
    assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Accept, ""));
}

const FIRST: &str = "From: <a@first.example>\r\nFrom: <x@first.example>\r\nReply-To: <r@reply.example>\r\n\
    Message-ID: <1@first.example>\r\nDKIM-Signature: v=1; a=rsa-sha256; d=first.example; s=s; h=from; bh=YQ==; b=YQ==\r\n\
    Authentication-Results: mx.local.example; spf=pass\r\n\r\nfirst\r\n";

#[test]
fn a_second_transaction_begins_clean_however_the_first_ended() {
    for between in ["the dot", "RSET", "EHLO client.example", "HELO client.example"] {
        let site = Site::judging(SCORING, Zone::new());
        let mut client = site.dial();
        client.begin("a@first.example", &["postmaster"]);
        client.expect("RCPT TO:<nobody@local.example>", "550");
        if between == "the dot" {
            let reply = client.data(FIRST);
            assert_eq!(site.record(reply.is("250")).decision.rule, "too-much");
        } else {
            client.expect(between, "250");
            client.expect("DATA", "503 5.5.1");
        }
        client.mail("b@second.example", &["bob@local.example"]);
        is_of_second_only(&site.record(client.data(message("b@second.example")).is("250")));
    }
}

const BY_ROLE: &str = r#"
description = "another folder for the postmaster"
[[rule]]
name = "to-postmaster"
at = "data"
when = "rcpt.role == 'postmaster' && rcpt.count == 2"
action = "quarantine"
"#;

/// The postmaster's mail is Alice's.
#[test]
fn recipients_of_different_roles_are_judged_by_their_own_in_any_order() {
    for paths in [["postmaster", "bob@local.example"], ["bob@local.example", "postmaster"]] {
        let site = Site::judging(BY_ROLE, Zone::new());
        let mut client = site.dial();
        client.begin("a@sender.example", &paths);
        let record = site.record(client.data(message("a@sender.example")).is("250"));
        let at = |folder: &str| site.delivered(&format!("local.example/{folder}")).len();
        assert_eq!([at("alice/.Junk"), at("alice"), at("bob/.Junk"), at("bob")], [1, 0, 0, 1], "{paths:?}");
        for (recipient, path) in record.recipients.iter().zip(paths) {
            let decision = recipient.decision.as_ref().unwrap();
            let expected =
                if path == "postmaster" { (Action::Quarantine, "to-postmaster") } else { (Action::Accept, "") };
            assert_eq!((decision.action, decision.rule.as_str()), expected, "{paths:?}");
        }
    }
}

#[test]
fn a_refused_message_leaves_nothing_to_the_next() {
    let site = Site::judging(SCORING, Zone::new());
    let mut client = site.dial();
    client.begin("a@first.example", &["postmaster"]);
    client.expect("DATA", "354");
    client.send([FIRST.as_bytes(), b"bare\nLF\r\n.\r\n"].concat());
    client.reply().is("550 5.6.0");
    client.mail("b@second.example", &["bob@local.example"]);
    is_of_second_only(&site.record(client.data(message("b@second.example")).is("250")));
}

#[test]
fn there_is_one_record_a_transaction_and_none_for_a_session_without() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("NOOP", "250");
    client.expect("MAIL FROM:<a@one.example>", "250");
    client.expect("RSET", "250");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<a@two.example>", "250");
    client.expect("EHLO client.example", "250");
    client.mail("a@three.example", &["alice@local.example"]);
    client.data(message("a@three.example")).is("250");
    client.mail("a@four.example", &["alice@local.example"]);
    client.expect("QUIT", "221");
    let mut client = site.dial();
    client.begin("a@five.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    client.send("From: <a@five.example>\r\n\r\nnever ended\r\n");
    client.hang_up();
    // as the journal has them: refs of one millisecond have no order
    let records = site.records(5);
    let domains: Vec<&str> = records.iter().map(|record| record.facts.mail_from.domain.as_str()).collect();
    assert_eq!(domains, ["one.example", "two.example", "three.example", "four.example", "five.example"]);
    let stages: Vec<Stage> = records.iter().map(|record| record.stage).collect();
    assert_eq!(stages, [Stage::Mail, Stage::Mail, Stage::Data, Stage::Rcpt, Stage::Data]);
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn a_transaction_that_was_given_up_is_no_decision() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.expect("QUIT", "221");
    assert_eq!(site.records(1)[0].decision.reply, "");
    assert_eq!(site.metric("gatepost_decisions_total", &[]), 0.0, "nothing was accepted");
    assert_eq!(site.metric("gatepost_messages_total", &[]), 0.0);
}

#[test]
fn a_refused_recipient_decides_only_where_none_was_taken() {
    let site = Site::open(Zone::new());
    let nobody = "nobody@local.example";
    for (taken, action) in [(true, Action::Accept), (false, Action::Reject)] {
        let mut client = site.dial();
        let known: &[&str] = if taken { &["alice@local.example"] } else { &[] };
        client.begin("a@sender.example", known);
        client.expect(&format!("RCPT TO:<{nobody}>"), "550");
        client.expect("QUIT", "221");
        let record = site.records(if taken { 1 } else { 2 }).pop().unwrap();
        assert_eq!((record.stage, record.decision.action), (Stage::Rcpt, action));
        assert_eq!(record.decision.reply.is_empty(), taken, "{:?}", record.decision);
        assert!(record.recipients.last().is_some_and(|last| last.address == nobody && last.reply.starts_with("550")));
    }
}

/// MX and SPF of slow.example come late, those of fast.example at once.
fn late(delay: Duration) -> Zone {
    Zone::new()
        .txt("slow.example", "v=spf1 +all")
        .mx("slow.example", 10, "mail.slow.example")
        .a("mail.slow.example", [127, 0, 0, 1])
        .failing("slow.example", RecordType::TXT, Fault::Delay(delay))
        .failing("slow.example", RecordType::MX, Fault::Delay(delay))
        .txt("fast.example", "v=spf1 -all")
        .mx("fast.example", 10, "mail.fast.example")
        .a("mail.fast.example", [127, 0, 0, 2])
}

#[test]
fn what_is_found_late_stays_with_its_transaction() {
    let site = Site::open(late(Duration::from_millis(300)));
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@slow.example>", "250");
    client.expect("RSET", "250");
    client.mail("a@fast.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    // the late answers come while this message does
    client.send("From: <a@fast.example>\r\n\r\n");
    std::thread::sleep(Duration::from_millis(500));
    client.send("late\r\n.\r\n");
    let reply = client.reply();
    let facts = site.record(&reply).facts;
    assert_eq!(
        facts.spf.mail_from,
        Spf { result: MethodResult::Fail, domain: "fast.example".to_owned(), secure: false }
    );
    let expected =
        ReverseMx { domain: "fast.example".to_owned(), result: ReverseMxResult::Fail, mx: Mx::Explicit, secure: false };
    assert_eq!(facts.reverse_mx.mail_from, expected);
    // and where they are waited for they are right
    client.mail("a@slow.example", &["alice@local.example"]);
    let facts = site.record(&client.data(message("a@slow.example"))).facts;
    assert_eq!(facts.spf.mail_from.result, MethodResult::Pass);
    assert_eq!(facts.reverse_mx.mail_from.result, ReverseMxResult::Pass);
}

#[test]
fn a_second_helo_is_judged_by_its_own_name() {
    let zone = late(Duration::from_millis(300));
    let site = Site::open(zone);
    let mut client = site.dial();
    client.expect("EHLO slow.example", "250");
    client.expect("EHLO fast.example", "250");
    client.mail("a@sender.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    client.send("From: <a@sender.example>\r\n\r\n");
    std::thread::sleep(Duration::from_millis(500));
    client.send("late\r\n.\r\n");
    let facts = site.record(&client.reply()).facts;
    assert_eq!(facts.helo, "fast.example");
    assert_eq!(facts.spf.helo, Spf { result: MethodResult::Fail, domain: "fast.example".to_owned(), secure: false });
}

#[test]
fn what_is_found_of_the_client_late_holds_for_later_transactions() {
    let zone = Zone::new()
        .ptr([127, 0, 0, 8], "client.example")
        .a("client.example", [127, 0, 0, 8])
        .ptr_failing([127, 0, 0, 8], Fault::Delay(Duration::from_millis(400)));
    let site = Site::open(zone);
    let mut client = site.dial_from([127, 0, 0, 8]);
    client.begin("a@sender.example", &["alice@local.example"]);
    client.expect("RSET", "250");
    client.mail("b@sender.example", &["alice@local.example"]);
    let facts = site.record(&client.data(message("b@sender.example"))).facts;
    assert_eq!((facts.iprev.result, facts.client.name.as_str()), (IprevResult::Pass, "client.example"));
    let asked = site.dns.count("8.0.0.127.in-addr.arpa", RecordType::PTR);
    client.mail("c@sender.example", &["alice@local.example"]);
    let facts = site.record(&client.data(message("c@sender.example"))).facts;
    assert_eq!(facts.iprev.result, IprevResult::Pass);
    assert_eq!(site.dns.count("8.0.0.127.in-addr.arpa", RecordType::PTR), asked, "once a session is enough");
}

/// What the session's own bounds refuse is told like any other refusal: with a ref that the journal knows.
#[test]
fn a_message_announced_too_large_is_refused_at_mail_and_recorded() {
    let site = Site::start(Setup { more: "[limits]\nmessage = 100000\n", ..Setup::default() });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    let reply = client.say("MAIL FROM:<a@one.example> SIZE=100001");
    reply.is("552 5.3.4");
    let record = site.record(&reply);
    assert_eq!((record.stage, record.decision.action), (Stage::Mail, Action::Reject));
    assert_eq!(record.facts.mail_from.domain, "one.example");
    client.expect("RCPT TO:<alice@local.example>", "503");
}
