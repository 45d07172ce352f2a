//! Tests of the story of a transaction: what is said of a dozen of them, word by word.

mod read;

use std::path::Path;
use std::process::{Command, Output};

use gatepost::facts::record::{DecisionRecord, DeliveryRecord, PolicyRecord, Recipient, Record, RuleRecord, Timings};
use gatepost::facts::word::{
    Action, ArcResult, DmarcPolicy, DmarcResult, IprevResult, MethodResult, Mx, Outcome, ReverseMxResult, Stage,
};
use gatepost::facts::{Address, BlockList, Dkim, Dmarc, Facts, HeloCheck, HeloKind, HeloResult, ReverseMx, Spf, Tls};
use gatepost::observe::escape::{cut, shown};
use gatepost::observe::explain::{story, story_of_rehearsal, summary};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::journal::reference;

const TIME: &str = "2026-11-22T10:11:12.345Z";

fn spf(result: MethodResult, domain: &str) -> Spf {
    Spf { result, domain: domain.into(), secure: false }
}

fn dkim(result: MethodResult, domain: &str, reason: &str) -> Dkim {
    let (selector, algorithm) = ("s1".into(), "rsa-sha256".into());
    Dkim { result, domain: domain.into(), selector, algorithm, reason: reason.into(), secure: false }
}

fn rule(name: &str, at: Stage, outcome: Outcome) -> RuleRecord {
    RuleRecord { name: name.into(), at, outcome, action: None, score: None }
}

/// An honest message of bank.example, stored.
fn honest() -> Record {
    let mut facts = Facts::new("192.0.2.1".parse().unwrap(), 4711, false);
    facts.client.name = "mail.bank.example".into();
    facts.helo = "mail.bank.example".into();
    facts.tls = Some(Box::new(Tls {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        group: "X25519MLKEM768".into(),
        sni: "mx.example.com".into(),
    }));
    facts.mail_from =
        Address { address: "ann@bank.example".into(), domain: "bank.example".into(), ..Address::default() };
    facts.message.bytes = 1234;
    facts.message.message_id = "<1@bank.example>".into();
    facts.from.addresses = vec!["ann@bank.example".into()];
    facts.from.domain = "bank.example".into();
    facts.reply_to.domain = "bank.example".into();
    facts.iprev.result = IprevResult::Pass;
    facts.iprev.name = "mail.bank.example".into();
    facts.spf.helo = spf(MethodResult::None, "mail.bank.example");
    facts.spf.mail_from = spf(MethodResult::Pass, "bank.example");
    facts.dkim = vec![dkim(MethodResult::Pass, "bank.example", "")];
    facts.dmarc = Dmarc {
        result: DmarcResult::Pass,
        domain: "bank.example".into(),
        policy: DmarcPolicy::Reject,
        published: DmarcPolicy::Reject,
        aligned: true,
        secure: false,
    };
    facts.reverse_mx.mail_from =
        ReverseMx { domain: "bank.example".into(), result: ReverseMxResult::Pass, mx: Mx::Explicit, secure: false };
    facts.reverse_mx.ptr = ReverseMx {
        domain: "mail.bank.example".into(),
        result: ReverseMxResult::Pass,
        mx: Mx::Implicit,
        secure: false,
    };
    Record {
        v: 1,
        reference: reference(TIME, 1),
        time: TIME.into(),
        stage: Stage::Data,
        facts,
        greylist_of_message: false,
        recipients: vec![Recipient {
            address: "alice@example.com".into(),
            mailboxes: vec!["alice@example.com".into()],
            reply: "250 2.1.5 ok".into(),
            ..Recipient::default()
        }],
        recipients_more: 0,
        rules: vec![
            rule("no-reverse-name", Stage::Mail, Outcome::NotMatched),
            rule("dmarc-reject", Stage::Data, Outcome::NotMatched),
        ],
        policy: PolicyRecord { file: "default.toml (built in)".into(), sha256: "0123456789abcdef".repeat(4) },
        decision: DecisionRecord {
            action: Action::Accept,
            rule: String::new(),
            reply: format!("250 2.0.0 accepted, ref={}", reference(TIME, 1)),
            ..DecisionRecord::default()
        },
        delivery: vec![DeliveryRecord {
            mailbox: "alice@example.com".into(),
            folder: "INBOX".into(),
            file: "example.com/alice/new/1.M2P3.mx,S=1500".into(),
        }],
        trouble: String::new(),
        timings_us: Timings { total: 12_345, evidence: 9_876, decide: 42, deliver: 1_200_000 },
    }
}

/// A message in bank.example's name from a sender whose own SPF passes.
fn forged() -> Record {
    let mut record = honest();
    let facts = &mut record.facts;
    facts.client.name = "mail.mailer.example".into();
    facts.helo = "mail.mailer.example".into();
    facts.tls = None;
    facts.iprev.name = "mail.mailer.example".into();
    facts.mail_from =
        Address { address: "x@mailer.example".into(), domain: "mailer.example".into(), ..Address::default() };
    facts.reply_to.domain = String::new();
    facts.spf.helo = Spf::default();
    facts.spf.mail_from = spf(MethodResult::Pass, "mailer.example");
    facts.dkim = vec![dkim(MethodResult::Fail, "bank.example", "body hash does not match")];
    facts.dmarc.result = DmarcResult::Fail;
    facts.dmarc.aligned = false;
    facts.reverse_mx = Default::default();
    facts.reverse_mx.mail_from =
        ReverseMx { domain: "mailer.example".into(), result: ReverseMxResult::Fail, mx: Mx::Explicit, secure: false };
    record.rules[1].outcome = Outcome::Acted;
    record.decision = DecisionRecord {
        action: Action::Reject,
        rule: "dmarc-reject".into(),
        reply: format!(
            "550 5.7.1 bank.example asks receivers to refuse mail that fails DMARC ref={}",
            reference(TIME, 1)
        ),
        ..DecisionRecord::default()
    };
    record.delivery = vec![];
    record
}

/// Refused at an earlier stage, by a rule or by none.
fn refused_at(stage: Stage, action: Action, rule: &str, reply: &str) -> Record {
    let mut record = forged();
    record.stage = stage;
    record.facts.message = Default::default();
    record.facts.from = Default::default();
    record.facts.dkim = vec![];
    record.facts.dmarc = Default::default();
    record.rules = vec![];
    record.recipients = vec![];
    record.decision = DecisionRecord { action, rule: rule.into(), reply: reply.into(), ..DecisionRecord::default() };
    record
}

fn check_summary(record: &Record, expected: &str) {
    assert_eq!(summary(record), expected);
    assert_eq!(story(record).lines().next(), Some(expected));
}

fn check_says(record: &Record, lines: &[&str]) {
    let story = story(record);
    for line in lines {
        assert!(story.lines().any(|said| said == *line), "no line {line:?} in\n{story}");
    }
}

#[test]
fn honest_mail_is_told_whole() {
    let expected = "\
Accepted and stored for alice@example.com: the author domain bank.example vouches for it by a DKIM signature of bank.example and SPF of bank.example.
ref 06H05F87B4000001, 2026-11-22T10:11:12.345Z, settled at stage data

Claimed
  client          192.0.2.1 port 4711, mail.bank.example
  session         TLSv1.3 with TLS13_AES_256_GCM_SHA384 and X25519MLKEM768
  HELO            mail.bank.example
  reverse-path    <ann@bank.example>
  author          <ann@bank.example>
  Reply-To        an address of bank.example
  message         1234 octets, Message-ID <1@bank.example>

Found
  reverse name    passed: mail.bank.example has the client's address
  SPF             HELO: mail.bank.example has no SPF record
                  MAIL FROM: passed for bank.example
  DKIM            bank.example, selector s1 (rsa-sha256): verified
  DMARC           passed for bank.example; bank.example publishes p=reject
  ARC             no chain
  reverse MX      reverse-path: the client is a mail exchanger of bank.example
                  reverse name: the client is mail.bank.example itself, which has no MX

Rules
  no-reverse-name  at mail: did not match
  dmarc-reject     at data: did not match
  score            0
  policy           default.toml (built in), sha256 0123456789ab

Recipients
  <alice@example.com>  for alice@example.com; answered 250 2.1.5 ok

Outcome
  answered        250 2.0.0 accepted, ref=06H05F87B4000001
  stored          alice@example.com (INBOX): example.com/alice/new/1.M2P3.mx,S=1500
  took            12.3 ms: 9.8 ms for evidence, 42 µs to decide, 1.2 s to write
";
    assert_eq!(story(&honest()), expected);
}

#[test]
fn a_forged_author_is_told_whole() {
    let expected = "\
Refused by rule dmarc-reject: the author domain bank.example publishes p=reject, SPF passed only for mailer.example, and no DKIM signature of bank.example verified.
ref 06H05F87B4000001, 2026-11-22T10:11:12.345Z, settled at stage data by rule dmarc-reject

Claimed
  client          192.0.2.1 port 4711, mail.mailer.example
  session         in clear
  HELO            mail.mailer.example
  reverse-path    <x@mailer.example>
  author          <ann@bank.example>
  message         1234 octets, Message-ID <1@bank.example>

Found
  reverse name    passed: mail.mailer.example has the client's address
  SPF             HELO: not checked
                  MAIL FROM: passed for mailer.example, which is not the author's domain bank.example
  DKIM            no signature of bank.example verified
                  bank.example, selector s1 (rsa-sha256): did not verify: body hash does not match
  DMARC           failed: nothing that passed belongs to bank.example; bank.example publishes p=reject
  ARC             no chain
  reverse MX      reverse-path: the client is no mail exchanger of mailer.example

Rules
  no-reverse-name  at mail: did not match
  dmarc-reject     at data: matched and decided: reject
  score            0
  policy           default.toml (built in), sha256 0123456789ab

Recipients
  <alice@example.com>  for alice@example.com; answered 250 2.1.5 ok

Outcome
  answered        550 5.7.1 bank.example asks receivers to refuse mail that fails DMARC ref=06H05F87B4000001
  stored          nothing
  took            12.3 ms: 9.8 ms for evidence, 42 µs to decide, 1.2 s to write
";
    assert_eq!(story(&forged()), expected);
}

#[test]
fn a_message_that_was_put_into_junk() {
    let mut record = forged();
    record.facts.dmarc.published = DmarcPolicy::None;
    record.facts.dmarc.policy = DmarcPolicy::None;
    record.facts.spf.mail_from = spf(MethodResult::SoftFail, "mailer.example");
    record.facts.dkim = vec![];
    record.facts.score = 5.5;
    record.rules = vec![
        rule("no-reverse-name", Stage::Mail, Outcome::Scored),
        rule("unvouched", Stage::Data, Outcome::Scored),
        rule("score", Stage::Data, Outcome::Acted),
    ];
    record.decision = DecisionRecord {
        action: Action::Quarantine,
        rule: "score".into(),
        reply: "250 2.0.0 accepted".into(),
        ..DecisionRecord::default()
    };
    record.delivery = vec![
        DeliveryRecord {
            mailbox: "alice@example.com".into(),
            folder: "Junk".into(),
            file: "example.com/alice/.Junk/new/1".into(),
        },
        DeliveryRecord {
            mailbox: "bob@example.com".into(),
            folder: "Junk".into(),
            file: "example.com/bob/.Junk/new/2".into(),
        },
    ];
    check_summary(
        &record,
        "Quarantined by rule score and stored for alice@example.com and bob@example.com: the score is 5.5 by no-reverse-name and \
         unvouched.",
    );
    check_says(
        &record,
        &[
            "                  MAIL FROM: softfail: mailer.example says that 192.0.2.1 should probably not send its mail",
            "  DKIM            the message has no signature",
            "  unvouched        at data: matched, its score was added",
            "  score            5.5",
            "  stored          alice@example.com (Junk): example.com/alice/.Junk/new/1",
            "                  bob@example.com (Junk): example.com/bob/.Junk/new/2",
        ],
    );
}

#[test]
fn a_subdomain_under_its_organization_s_policy() {
    let mut record = forged();
    record.facts.from.domain = "news.bank.example".into();
    record.facts.dmarc.policy = DmarcPolicy::Quarantine;
    record.facts.dkim = vec![];
    check_summary(
        &record,
        "Refused by rule dmarc-reject: the author domain news.bank.example is under p=reject of bank.example (quarantine applies), \
         SPF passed only for mailer.example, and there is no DKIM signature.",
    );
    check_says(
        &record,
        &[
            "  DMARC           failed: nothing that passed belongs to news.bank.example; bank.example publishes p=reject, of which quarantine applies here",
        ],
    );
}

#[test]
fn a_report_with_the_null_reverse_path() {
    let mut record = honest();
    record.facts.mail_from = Address::default();
    record.facts.spf.helo = spf(MethodResult::Pass, "mail.bank.example");
    record.facts.spf.mail_from = Spf::default();
    record.facts.dkim = vec![];
    record.facts.reverse_mx.mail_from = ReverseMx::default();
    check_summary(
        &record,
        "Accepted and stored for alice@example.com: the author domain bank.example vouches for it by SPF of mail.bank.example.",
    );
    check_says(
        &record,
        &[
            "  reverse-path    <> (the null reverse-path: a report, not to be answered)",
            "  SPF             HELO: passed for mail.bank.example",
            "                  MAIL FROM: nothing to check, the reverse-path is null",
        ],
    );
}

#[test]
fn an_attempt_to_relay() {
    let mut record = refused_at(Stage::Rcpt, Action::Reject, "", "550 5.7.1 relaying denied ref=06H05F87B4000001");
    record.recipients = vec![Recipient {
        address: "bob@elsewhere.example".into(),
        mailboxes: vec![],
        reply: "550 5.7.1 relaying denied".into(),
        ..Recipient::default()
    }];
    check_summary(&record, "Refused at stage rcpt, by no rule: the answer was \"550 5.7.1 relaying denied\".");
    check_says(
        &record,
        &["  <bob@elsewhere.example>  answered 550 5.7.1 relaying denied", "  none            no rule was looked at"],
    );
    assert!(!story(&record).contains("DKIM"), "nothing is said of a message that never came");
}

#[test]
fn an_unknown_recipient_beside_a_known_one() {
    let mut record = honest();
    record.recipients.push(Recipient {
        address: "nobody@example.com".into(),
        mailboxes: vec![],
        reply: "550 5.1.1 no such mailbox".into(),
        ..Recipient::default()
    });
    record.recipients_more = 3;
    check_says(
        &record,
        &[
            "  <alice@example.com>   for alice@example.com; answered 250 2.1.5 ok",
            "  <nobody@example.com>  answered 550 5.1.1 no such mailbox",
            "                        and 3 more",
        ],
    );
}

#[test]
fn trouble_with_dns() {
    let mut record = forged();
    let facts = &mut record.facts;
    facts.dmarc = Dmarc { result: DmarcResult::TempError, ..Dmarc::default() };
    facts.iprev.result = IprevResult::TempError;
    facts.spf.mail_from = spf(MethodResult::TempError, "mailer.example");
    facts.dkim = vec![dkim(MethodResult::TempError, "bank.example", "")];
    facts.arc.result = ArcResult::TempError;
    facts.reverse_mx.mail_from = ReverseMx {
        domain: "mailer.example".into(),
        result: ReverseMxResult::TempError,
        mx: Mx::Unknown,
        secure: false,
    };
    record.decision = DecisionRecord {
        action: Action::Defer,
        rule: "dmarc-trouble".into(),
        reply: "451 4.7.1 later".into(),
        ..DecisionRecord::default()
    };
    check_summary(
        &record,
        "Deferred by rule dmarc-trouble: DNS trouble kept the author domain bank.example from being checked.",
    );
    check_says(
        &record,
        &[
            "  reverse name    could not be looked up: DNS trouble",
            "                  MAIL FROM: could not be checked for mailer.example: DNS trouble",
            "                  bank.example, selector s1 (rsa-sha256): could not be checked, DNS trouble",
            "  DMARC           could not be checked for bank.example: DNS trouble",
            "  ARC             the chain could not be checked: DNS trouble",
            "  reverse MX      reverse-path: the exchangers of mailer.example could not be looked up: DNS trouble",
        ],
    );
}

#[test]
fn a_reverse_path_that_can_receive_nothing() {
    let mut record = refused_at(Stage::Mail, Action::Reject, "unreachable", "550 5.1.8 no");
    record.facts.iprev = Default::default();
    record.facts.iprev.result = IprevResult::PermError;
    record.facts.reverse_mx.mail_from =
        ReverseMx { domain: "mailer.example".into(), result: ReverseMxResult::None, mx: Mx::Missing, secure: false };
    check_summary(&record, "Refused by rule unreachable: the answer was \"550 5.1.8 no\".");
    record.facts.reverse_mx.mail_from.mx = Mx::Null;
    check_says(&record, &["  reverse MX      reverse-path: mailer.example says that it takes no mail (null MX)"]);
}

#[test]
fn a_client_on_a_block_list() {
    let mut record = refused_at(Stage::Connect, Action::Reject, "listed", "550 5.7.1 no");
    let codes = vec!["spam source".into(), "proxy".into()];
    record.facts.block_lists.insert("zen.example".into(), BlockList { listed: true, codes, ..BlockList::default() });
    record.facts.block_lists.insert("other.example".into(), BlockList::default());
    record.facts.reverse_mx = Default::default();
    record.facts.spf = Default::default();
    check_summary(&record, "Refused by rule listed: the answer was \"550 5.7.1 no\".");
    check_says(
        &record,
        &[
            "  block lists     other.example: not listed",
            "                  zen.example: listed as spam source and proxy",
        ],
    );
    assert!(!story(&record).contains("reverse-path"), "at connect there is no reverse-path yet");
}

#[test]
fn domains_on_lists_and_lists_in_trouble() {
    let mut record = refused_at(Stage::Mail, Action::Reject, "listed", "550 5.7.1 no");
    let listed = |names: &[&str], codes: &[&str]| BlockList {
        listed: true,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        temperror: false,
    };
    for (zone, list) in [
        ("a.example", listed(&["x.example", "y.example"], &["phish"])),
        ("b.example", listed(&["x.example", "y.example"], &[])),
        ("c.example", BlockList { temperror: true, ..BlockList::default() }),
    ] {
        record.facts.block_lists.insert(zone.into(), list);
    }
    check_says(
        &record,
        &[
            "  block lists     a.example: lists x.example and y.example as phish",
            "                  b.example: lists x.example and y.example",
            "                  c.example: could not be asked: DNS trouble, or it refuses our resolver",
        ],
    );
}

#[test]
fn what_helo_is_worth() {
    use HeloKind::{Domain, Invalid, Literal};
    for (kind, result, matches_ptr, expected) in [
        (Domain, HeloResult::Pass, true, "h.example has the client's address, and is its reverse name"),
        (Domain, HeloResult::Fail, false, "h.example has other addresses than the client's"),
        (Domain, HeloResult::PermError, false, "h.example does not exist, or has no address"),
        (Domain, HeloResult::TempError, false, "h.example could not be looked up: DNS trouble"),
        (Literal, HeloResult::Pass, false, "h.example is the client's address"),
        (Literal, HeloResult::Fail, false, "h.example is not the client's address"),
        (Invalid, HeloResult::None, false, "h.example is neither a full domain name nor an address literal"),
    ] {
        let mut record = forged();
        record.facts.helo = "h.example".into();
        record.facts.helo_check = HeloCheck { kind, result, matches_ptr };
        check_says(&record, &[&format!("  HELO            {expected}")]);
    }
}

#[test]
fn a_malformed_author() {
    let mut record = forged();
    record.facts.from.domain = String::new();
    record.facts.from.addresses = vec!["a@one.example".into(), "b@two.example".into()];
    record.facts.from.defects = vec!["several-fields".into(), "several-domains".into()];
    record.facts.dmarc = Dmarc::default();
    record.facts.reverse_mx = Default::default();
    record.decision.rule = "malformed-author".into();
    record.decision.reply = "550 5.6.0 the From field is malformed: several-fields ref=06H05F87B4000001".into();
    check_summary(
        &record,
        "Refused by rule malformed-author: the answer was \"550 5.6.0 the From field is malformed: several-fields\".",
    );
    check_says(
        &record,
        &[
            "  author          <a@one.example> and <b@two.example>; the From field has defects: several-fields and several-domains",
            "  DMARC           not applicable: there is no single author domain",
        ],
    );
}

#[test]
fn a_discarded_message() {
    let mut record = honest();
    record.decision.action = Action::Discard;
    record.decision.rule = "drop-robots".into();
    record.delivery = vec![];
    record.rules = vec![rule("drop-robots", Stage::Data, Outcome::Acted)];
    check_summary(&record, "Discarded by rule drop-robots.");
    check_says(
        &record,
        &["  drop-robots     at data: matched and decided: discard", "  stored          nothing, as the rule says"],
    );
}

#[test]
fn rules_that_only_observe_and_rules_that_fail() {
    let mut record = honest();
    record.rules = vec![
        rule("one", Stage::Data, Outcome::Observed),
        rule("two", Stage::Data, Outcome::Observed),
        rule("three", Stage::Data, Outcome::Error),
    ];
    assert!(
        summary(&record)
            .ends_with(". Rules one and two would have acted, but only observe. Rule three could not be run."),
        "{}",
        summary(&record)
    );
    check_says(
        &record,
        &[
            "  one             at data: matched and would have acted, but only observes",
            "  three           at data: could not be run",
        ],
    );
}

#[test]
fn a_rule_that_observes_is_told_with_what_it_would_have_done() {
    let mut record = honest();
    record.rules = [("one", Action::Reject), ("two", Action::Quarantine), ("three", Action::Reject)]
        .map(|(name, action)| RuleRecord { action: Some(action), ..rule(name, Stage::Data, Outcome::Observed) })
        .to_vec();
    assert!(
        summary(&record).ends_with(
            ". Rules one and three would have refused, but only observe. Rule two would have quarantined, but only observes."
        ),
        "{}",
        summary(&record)
    );
    check_says(&record, &["  two             at data: matched and would have quarantined, but only observes"]);
}

fn answered(address: &str, reply: &str) -> Recipient {
    let (address, reply) = (address.into(), format!("{reply} ref=06H05F87B4000001"));
    Recipient { address, reply, ..Recipient::default() }
}

/// Two recipients that a rule refused, and one that there is not.
fn three_refused() -> Record {
    let mut record = refused_at(Stage::Rcpt, Action::Reject, "", "550 5.1.1 no such mailbox ref=06H05F87B4000001");
    record.recipients = vec![
        answered("alice@example.com", "450 4.7.1 later"),
        answered("nobody@example.com", "550 5.1.1 no such mailbox"),
        answered("bob@example.com", "450 4.7.1 later"),
    ];
    record
}

#[test]
fn the_last_of_several_recipients_does_not_stand_for_all() {
    let record = three_refused();
    check_summary(
        &record,
        "No recipient was taken: alice@example.com and bob@example.com were deferred with \"450 4.7.1 later\", and \
         nobody@example.com was refused with \"550 5.1.1 no such mailbox\".",
    );
    check_says(
        &record,
        &["Rules, as they judged the last recipient that was refused", "  answered        each recipient as above"],
    );
    let rehearsed = story_of_rehearsal(&record);
    assert!(
        rehearsed
            .starts_with("No recipient would be taken: alice@example.com and bob@example.com would be deferred with "),
        "{rehearsed}"
    );
}

#[test]
fn a_recipient_that_was_refused_beside_one_that_was_taken() {
    let mut record = refused_at(Stage::Rcpt, Action::Accept, "", "");
    record.recipients =
        vec![answered("alice@example.com", "250 2.1.5 ok"), answered("bob@example.com", "550 5.7.1 no")];
    check_summary(
        &record,
        "Ended by the client before a message came: bob@example.com was refused with \"550 5.7.1 no\".",
    );
    record.recipients.pop();
    check_summary(&record, "Ended by the client before a message came.");
}

#[test]
fn a_rehearsal_is_told_as_what_would_be() {
    let mut record = honest();
    record.delivery[0].file = String::new();
    let check = |record: &Record, expected: &str| {
        let told = story_of_rehearsal(record);
        assert_eq!(told.lines().next(), Some(expected));
        assert!(!told.contains("the client ended"), "{told}");
    };
    check(
        &record,
        "Would be accepted and stored for alice@example.com: the author domain bank.example vouches for it by a DKIM signature of \
         bank.example and SPF of bank.example.",
    );
    let told = story_of_rehearsal(&record);
    assert!(told.contains("\n  would store     alice@example.com (INBOX)\n"), "{told}");
    check(
        &forged(),
        "Would be refused by rule dmarc-reject: the author domain bank.example publishes p=reject, SPF passed only for \
         mailer.example, and no DKIM signature of bank.example verified.",
    );
    check(
        &refused_at(Stage::Mail, Action::Reject, "unreachable", "550 5.1.8 no ref=06H05F87B4000001"),
        "Would be refused by rule unreachable: the answer would be \"550 5.1.8 no\".",
    );
    let mut without_message = refused_at(Stage::Rcpt, Action::Accept, "", "");
    without_message.recipients =
        vec![answered("alice@example.com", "250 2.1.5 ok"), answered("bob@example.com", "550 5.7.1 no")];
    check(
        &without_message,
        "Would be accepted up to the recipients: bob@example.com would be refused with \"550 5.7.1 no\".",
    );
}

#[test]
fn what_could_not_be_stored_is_told_with_its_place() {
    let mut record = honest();
    record.delivery = vec![];
    record.decision = DecisionRecord {
        action: Action::Defer,
        rule: String::new(),
        reply: "451 4.3.0 later".into(),
        ..DecisionRecord::default()
    };
    record.trouble = "example.com/alice/tmp: Permission denied (os error 13)".into();
    check_summary(
        &record,
        "Deferred because it could not be stored: example.com/alice/tmp: Permission denied (os error 13).",
    );
    check_says(&record, &["  trouble         example.com/alice/tmp: Permission denied (os error 13)"]);
}

#[test]
fn a_client_that_went_away() {
    let mut record = refused_at(Stage::Rcpt, Action::Accept, "", "");
    record.recipients = vec![Recipient { address: "alice@example.com".into(), ..Recipient::default() }];
    check_summary(&record, "Ended by the client before a message came.");
    check_says(&record, &["  answered        nothing: the client ended the transaction"]);
}

#[test]
fn our_own_trouble_is_said_as_it_was_answered() {
    let mut record = honest();
    record.delivery = vec![];
    record.decision = DecisionRecord {
        action: Action::Defer,
        rule: String::new(),
        reply: "452 4.3.1 disk full ref=06H".into(),
        ..DecisionRecord::default()
    };
    check_summary(&record, "Deferred at stage data, by no rule: the answer was \"452 4.3.1 disk full\".");
}

#[test]
fn a_trusted_client_is_not_checked() {
    let mut record = honest();
    record.facts.client.trusted = true;
    record.facts.client.name = String::new();
    record.facts.iprev = Default::default();
    record.facts.spf = Default::default();
    check_says(
        &record,
        &[
            "  client          192.0.2.1 port 4711, in smtp.trusted",
            "  reverse name    not looked up, the client is trusted",
            "  SPF             HELO: not checked, the client is trusted",
        ],
    );
}

#[test]
fn nothing_that_a_client_sent_acts_on_a_terminal_or_makes_a_line() {
    let hostile = "x\n  DMARC           passed\r\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}moc\u{2066}\u{200b}\u{feff}\u{7f}\u{301}\u{e0041}";
    let mut record = forged();
    record.trouble = "x".into();
    let lines = story(&record).lines().count();
    let facts = &mut record.facts;
    let (signature, recipient) = (&mut facts.dkim[0], &mut record.recipients[0]);
    for text in [
        &mut facts.client.name,
        &mut facts.helo,
        &mut facts.mail_from.address,
        &mut facts.mail_from.domain,
        &mut facts.message.message_id,
        &mut facts.from.addresses[0],
        &mut facts.from.domain,
        &mut facts.iprev.name,
        &mut facts.spf.mail_from.domain,
        &mut signature.domain,
        &mut signature.selector,
        &mut signature.algorithm,
        &mut signature.reason,
        &mut facts.dmarc.domain,
        &mut facts.reverse_mx.mail_from.domain,
        &mut record.reference,
        &mut record.time,
        &mut record.rules[0].name,
        &mut record.policy.file,
        &mut record.policy.sha256,
        &mut recipient.address,
        &mut recipient.mailboxes[0],
        &mut recipient.reply,
        &mut record.decision.rule,
        &mut record.decision.reply,
        &mut record.trouble,
    ] {
        *text = hostile.into();
    }
    let story = story(&record);
    assert_eq!(story.lines().count(), lines, "{story}");
    for character in story.chars().filter(|character| *character != '\n') {
        let bad = character.is_control() || "\u{202e}\u{2066}\u{200b}\u{feff}\u{301}\u{e0041}".contains(character);
        assert!(!bad, "{character:?} in {story:?}");
    }
    assert!(
        story.contains("\\n  DMARC           passed\\r\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{9b}31m\\u{202e}moc\\u{2066}"),
        "{story}"
    );
}

#[test]
fn long_texts_and_long_lists_are_cut() {
    let mut record = honest();
    record.facts.helo = "h".repeat(100_000);
    record.facts.from.addresses = (0..50).map(|n| format!("a{n}@bank.example")).collect();
    let story = story(&record);
    assert!(story.len() < 6_000, "{}", story.len());
    assert!(story.contains("<a9@bank.example> and 40 more\n"), "{story}");
}

#[test]
fn letters_of_all_languages_stay_readable() {
    let mut record = honest();
    record.facts.mail_from.address = "Jürgen.名前@bänk.example".into();
    check_says(&record, &["  reverse-path    <Jürgen.名前@bänk.example>"]);
}

proptest! {
    #[test]
    fn what_is_shown_is_printable_and_of_bounded_length(text in any::<String>(), limit in 0usize..50) {
        let said = shown(&text, limit);
        prop_assert!(!said.chars().any(char::is_control), "{said:?}");
        // An escape is ten characters at most, and a mark says that something is missing.
        prop_assert!(said.chars().count() <= 10 * limit + 1);
        prop_assert_eq!(said.ends_with('…'), text.chars().count() > limit || text.chars().nth(limit.wrapping_sub(1)) == Some('…') && limit > 0);
    }

    #[test]
    fn a_cut_text_is_the_start_of_the_whole(text in any::<String>(), limit in 1usize..50) {
        let mut short = text.clone();
        cut(&mut short, limit);
        prop_assert!(short.chars().count() <= limit);
        if text.chars().count() <= limit {
            prop_assert_eq!(short, text);
        } else {
            prop_assert!(short.ends_with('…') && text.starts_with(short.trim_end_matches('…')));
            prop_assert_eq!(short.chars().count(), limit);
        }
    }
}

fn gatepost(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).current_dir(directory).output().unwrap()
}

fn check_exit(output: &Output, code: i32, complaint: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(code), complaint));
}

#[test]
fn the_command_finds_the_journal_of_the_configuration() {
    let directory = TempDir::new().unwrap();
    let record = honest();
    let line = serde_json::to_string(&record).unwrap() + "\n";
    for journal in ["journal", "elsewhere/records"] {
        std::fs::create_dir_all(directory.path().join(journal)).unwrap();
    }
    let configuration = "hostname = \"mx.example.com\"\n[smtp]\nlisten = [\"127.0.0.1:2525\"]\n[maildir]\nroot = \"mail\"\n\
        [domains.\"example.com\"]\nmailboxes = [\"postmaster\"]\n[journal]\ndirectory = \"records\"\n";
    std::fs::write(directory.path().join("elsewhere/gatepost.toml"), configuration).unwrap();
    let file = "2026-11-22.jsonl";
    let typed = record.reference.to_lowercase();
    let with_config = ["explain", &typed, "--config", "elsewhere/gatepost.toml"];

    std::fs::write(directory.path().join("elsewhere/records").join(file), &line).unwrap();
    let output = gatepost(directory.path(), &with_config);
    check_exit(&output, 0, "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), story(&record));
    check_exit(
        &gatepost(directory.path(), &["explain", &typed]),
        1,
        &format!("gatepost: {} is not in the journal in journal\n", record.reference),
    );

    std::fs::write(directory.path().join("journal").join(file), line.clone() + "{torn").unwrap();
    let output = gatepost(directory.path(), &["explain", &typed, "--json"]);
    check_exit(&output, 0, "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), line);
    check_exit(
        &gatepost(directory.path(), &["explain", "06H05F87B4000002"]),
        1,
        "gatepost: 06H05F87B4000002 is not in the journal in journal, of which one line can't be read\n",
    );
}

#[test]
fn the_command_says_in_one_line_what_it_can_not_do() {
    let directory = TempDir::new().unwrap();
    check_exit(
        &gatepost(directory.path(), &["explain", "06H05F87B4000001"]),
        2,
        "gatepost: the journal in journal cannot be read: No such file or directory (os error 2); name the configuration that \
         says where the journal is: --config FILE\n",
    );
    check_exit(
        &gatepost(directory.path(), &["explain", "no\u{1b}[2Jref"]),
        1,
        "gatepost: \"no\\u{1b}[2Jref\" is neither a ref, which is 16 characters as in ref=01HV8K3M5QZ7W2XC, nor a Message-ID, \
         which has an @\n",
    );
}
