//! Tests of the story of a transaction: what is said of a dozen of them, word by word.

mod command;
mod evidence;
mod hostile;
mod outcome;
mod read;
mod whole;

use std::path::Path;
use std::process::{Command, Output};

use gatepost::facts::record::{
    DecisionRecord, DeliveryRecord, PolicyRecord, Recipient, RecipientDecision, Record, RuleRecord, Timings,
};
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
        cut: Vec::new(),
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

fn answered(address: &str, reply: &str) -> Recipient {
    let (address, reply) = (address.into(), format!("{reply} ref=06H05F87B4000001"));
    Recipient { address, reply, ..Recipient::default() }
}
