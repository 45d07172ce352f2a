//! A journal of made-up mail, as many lines as are wanted: honest senders, mailing lists that break DMARC, forgeries, refusals at every
//! stage. The same number always gives the same lines.

use gatepost::facts::record::{DecisionRecord, DeliveryRecord, PolicyRecord, Recipient, RecipientDecision, Record};
use gatepost::facts::record::{RuleRecord, Timings};
use gatepost::facts::word::{Action, DmarcPolicy, DmarcResult, HeloKind, HeloResult, IprevResult, MethodResult, Mx};
use gatepost::facts::word::{Outcome, ReverseMxResult, Role, Stage};
use gatepost::facts::{Dkim, Dmarc, Facts, HeloCheck, Iprev, ReverseMx, Spf};

/// The policy file that the records name.
pub const POLICY: &str = "/etc/gatepost/policies/default.toml";

/// The ref of the record of this number: 16 characters that sort by it.
pub fn reference(number: u64) -> String {
    let digits = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = (1_764_000_000_000 + u128::from(number)) << 32 | u128::from(number as u32);
    (0..16).rev().map(|at| char::from(digits[(bits >> (at * 5)) as usize & 31])).collect()
}

/// A client with a confirmed name that has said all it has to before DATA, and one recipient.
pub fn record(number: u64, client: &str, author: &str) -> Record {
    let ip = [192, 0, 2, (number % 250) as u8 + 1];
    let mut facts = Facts::new(ip.into(), 40_000, false);
    facts.client.name = client.into();
    facts.iprev = Iprev { result: IprevResult::Pass, name: client.into() };
    facts.helo = client.into();
    facts.helo_check = HeloCheck { kind: HeloKind::Domain, result: HeloResult::Pass, matches_ptr: true };
    facts.mail_from.address = format!("bounce-{number}@{author}");
    facts.mail_from.domain = author.into();
    facts.spf.helo = Spf { result: MethodResult::None, domain: client.into(), secure: false };
    facts.spf.mail_from = Spf { result: MethodResult::Pass, domain: author.into(), secure: false };
    let mx = |domain: &str| ReverseMx {
        domain: domain.into(),
        result: ReverseMxResult::Fail,
        mx: Mx::Explicit,
        secure: false,
    };
    facts.reverse_mx.ptr = mx(client);
    facts.reverse_mx.mail_from = mx(author);
    facts.reverse_mx.from = mx(author);
    facts.message.bytes = 10_000 + number % 5_000;
    facts.message.message_id = format!("<{number}.msg@{author}>");
    facts.from.addresses = vec![format!("someone@{author}")];
    facts.from.domain = author.into();
    facts.dkim = vec![Dkim {
        result: MethodResult::Pass,
        domain: author.into(),
        selector: "s2026".into(),
        algorithm: "rsa-sha256".into(),
        ..Dkim::default()
    }];
    facts.dmarc = Dmarc {
        result: DmarcResult::Pass,
        domain: author.into(),
        policy: DmarcPolicy::Reject,
        published: DmarcPolicy::Reject,
        aligned: true,
        secure: false,
    };
    let rules = ["trusted-client", "reverse-path-null-mx", "author-malformed", "dmarc-reject", "dmarc-quarantine"];
    Record {
        v: 1,
        reference: reference(number),
        time: format!(
            "2026-11-{:02}T{:02}:{:02}:{:02}.000Z",
            number / 86_400 % 28 + 1,
            number / 3_600 % 24,
            number / 60 % 60,
            number % 60
        ),
        stage: Stage::Data,
        facts,
        greylist_of_message: false,
        recipients: vec![Recipient {
            address: "alice@local.example".into(),
            mailboxes: vec!["alice@local.example".into()],
            reply: "250 2.1.5 ok".into(),
            domain: "local.example".into(),
            role: Some(Role::Ordinary),
            decision: None,
            changes: None,
            trouble: String::new(),
            recalled: None,
        }],
        recipients_more: 0,
        rules: rules.map(|name| RuleRecord { name: name.into(), ..RuleRecord::default() }).into(),
        policy: PolicyRecord { file: POLICY.into(), sha256: "0123456789abcdef".repeat(4) },
        decision: DecisionRecord {
            action: Action::Accept,
            reply: format!("250 2.0.0 accepted ref={}", reference(number)),
            ..DecisionRecord::default()
        },
        delivery: vec![DeliveryRecord {
            mailbox: "alice@local.example".into(),
            folder: "INBOX".into(),
            file: format!("local.example/alice/new/1764000000.M{number}P1Q1.mx,S=10000"),
        }],
        trouble: String::new(),
        timings_us: Timings { total: 90_000, evidence: 20_000, decide: 30, deliver: 900 },
        cut: Vec::new(),
    }
}

/// DMARC fails under this policy, and no signature of the author's domain passed.
pub fn unaligned(record: &mut Record, policy: DmarcPolicy, signed_by: Option<&str>) {
    let facts = &mut record.facts;
    (facts.dmarc.result, facts.dmarc.aligned) = (DmarcResult::Fail, false);
    (facts.dmarc.policy, facts.dmarc.published) = (policy, policy);
    facts.spf.mail_from.result = MethodResult::Fail;
    facts.dkim = signed_by
        .map(|domain| Dkim { result: MethodResult::Pass, domain: domain.into(), ..Dkim::default() })
        .into_iter()
        .collect();
}

/// What a rule decided of the message.
pub fn decided(record: &mut Record, action: Action, rule: &str) {
    let reply = match action {
        Action::Reject => "550 5.7.1 refused",
        Action::Defer => "451 4.7.1 not now",
        _ => "250 2.0.0 accepted",
    };
    record.decision = DecisionRecord { action, rule: rule.into(), reply: reply.into(), ..DecisionRecord::default() };
    record.rules.push(RuleRecord {
        name: rule.into(),
        at: Stage::Data,
        outcome: Outcome::Acted,
        action: None,
        score: None,
    });
}

/// RCPT was refused, by a rule of this stage or, without a rule, by the protocol: there was no message.
pub fn refused_at(record: &mut Record, stage: Stage, rule: &str) {
    decided(record, Action::Reject, rule);
    record.stage = stage;
    let before = Facts {
        client: record.facts.client.clone(),
        helo: record.facts.helo.clone(),
        helo_check: record.facts.helo_check.clone(),
        mail_from: record.facts.mail_from.clone(),
        iprev: record.facts.iprev.clone(),
        spf: record.facts.spf.clone(),
        ..Facts::default()
    };
    let reverse_mx = std::mem::take(&mut record.facts.reverse_mx);
    record.facts = before;
    record.facts.reverse_mx.ptr = reverse_mx.ptr;
    record.facts.reverse_mx.mail_from = reverse_mx.mail_from;
    record.delivery.clear();
    let recipient = &mut record.recipients[0];
    recipient.reply = "550 5.7.1 refused".into();
    if rule.is_empty() {
        recipient.mailboxes.clear();
        (recipient.domain, recipient.role) = (String::new(), None);
    } else {
        recipient.decision = Some(RecipientDecision { action: Action::Reject, rule: rule.into(), instead_of: None });
    }
}

/// The line of this number, without its line end.
pub fn line(number: u64) -> String {
    let author = format!("sender{}.example", number % 5_003);
    let client = format!("mx{}.provider{}.example", number % 7, number % 997);
    let mut record = record(number, &client, &author);
    match number % 20 {
        0 => {
            let list = format!("out{}.lists.example", number % 3);
            record.facts.client.name.clone_from(&list);
            record.facts.iprev.name = list;
            unaligned(&mut record, DmarcPolicy::Quarantine, Some("lists.example"));
            decided(&mut record, Action::Quarantine, "dmarc-quarantine");
        }
        1 | 2 => {
            unaligned(&mut record, DmarcPolicy::Reject, None);
            decided(&mut record, Action::Reject, "dmarc-reject");
        }
        3 => unaligned(&mut record, DmarcPolicy::None, None),
        4 | 5 => refused_at(&mut record, Stage::Rcpt, ""),
        6 => refused_at(&mut record, Stage::Rcpt, "reverse-path-null-mx"),
        7 => {
            record.facts.iprev = Iprev { result: IprevResult::PermError, name: String::new() };
            record.facts.client.name.clear();
        }
        _ => {}
    }
    serde_json::to_string(&record).unwrap_or_default()
}
