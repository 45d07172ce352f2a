//! The first sentence tells what the rule that decided read, in words.

use gatepost::facts::header::HeaderField;
use gatepost::facts::record::{RecipientDecision, Record, RuleRecord};
use gatepost::facts::word::{
    Action, DmarcResult, FROM_DEFECTS, GreylistKey, GreylistResult, HeloKind, IprevResult, MIME_DEFECTS, MethodResult,
    Mx, Outcome, Stage,
};
use gatepost::facts::{Attachment, BlockList, Mime, table};
use gatepost::observe::explain::{story, story_of_rehearsal, summary};
use gatepost::policy::Judgement;

use super::{answered, check_says, forged, honest, rule, spf};
use crate::policy::good;
use crate::support::dns::Zone;
use crate::support::site::Site;

/// A record whose rule read these facts.
fn read(mut record: Record, action: Action, facts: &[&str]) -> Record {
    record.decision.action = action;
    record.decision.rule = "some-rule".into();
    record.decision.read = facts.iter().map(|fact| (*fact).to_owned()).collect();
    record
}

#[track_caller]
fn check(action: Action, facts: &[&str], change: impl FnOnce(&mut Record), expected: &str) {
    let mut record = read(forged(), action, facts);
    change(&mut record);
    assert_eq!(summary(&record), expected);
    shown(&record);
}

/// The sentences that the documentation shows are said: each is found by a test that says it.
fn shown(record: &Record) {
    let told = story(record);
    let first = told.lines().next().unwrap_or_default();
    if DOCUMENTED.iter().any(|start| first.starts_with(start)) {
        assert!(DOCS.contains(&format!("    {first}\n")), "docs/explain.md does not show {first}");
    }
}

const DOCS: &str = include_str!("../../../docs/explain.md");
/// How the sentences there begin.
const DOCUMENTED: &[&str] = &[
    "Refused: the author domain bank.example",
    "Refused: the client 192.0.2.1 has no",
    "Refused: mailer.example (the domain",
    "Refused: the list a.example",
    "Deferred: this sender",
    "Deferred: 31 transactions",
    "Quarantined: the score",
];

const POLICY: &str = r#"
description = "as the author's domain asks"
[[rule]]
name   = "asked-to"
at     = "data"
when   = "dmarc.result == 'fail' && dmarc.policy == 'reject'"
action = "reject"
reply  = "550 5.7.1 {from.domain} asks for it"
why    = "{from.domain} signs all of its mail"
"#;

#[test]
fn a_forgery_is_told_in_one_sentence_as_it_happened() {
    let zone =
        Zone::new().txt("_dmarc.bank.example", "v=DMARC1; p=reject").txt("mailer.example", "v=spf1 ip4:127.0.0.1 -all");
    let site = Site::judging(POLICY, zone);
    let mut client = site.dial();
    client.begin("x@mailer.example", &["alice@local.example"]);
    let reply = client.data(
        "DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=s1; c=relaxed/relaxed; h=from;\r\n \
         bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\nFrom: <ann@bank.example>\r\nMessage-ID: <1@bank.example>\r\n\r\nhello\r\n",
    );
    reply.is("550 5.7.1 bank.example asks for it");
    let record = site.record(&reply);
    let told = story(&record);
    let lines: Vec<&str> = told.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "Refused: the author domain bank.example publishes p=reject, SPF passed only for mailer.example, and no DKIM signature of \
             bank.example verified.",
            "Rule asked-to says why: bank.example signs all of its mail",
            &format!("ref {}, {}, settled at stage data by rule asked-to", record.reference, record.time),
        ]
    );
    shown(&record);
    assert!(
        story_of_rehearsal(&record).starts_with(
            "Would be refused: the author domain bank.example publishes p=reject, SPF passed only for mailer.example, and no DKIM \
             signature of bank.example verified.\n"
        ),
        "a rehearsal reads the same"
    );
}

#[test]
fn what_is_known_of_the_client_is_told() {
    let refused = Action::Reject;
    check(
        refused,
        &["client.trusted", "iprev.result"],
        |record| record.facts.iprev.result = IprevResult::PermError,
        "Refused: the client 192.0.2.1 has no reverse name.",
    );
    check(
        refused,
        &["client.name"],
        |record| record.facts.iprev.result = IprevResult::Fail,
        "Refused: the reverse name of the client 192.0.2.1 is mail.mailer.example, but mail.mailer.example does not have this address.",
    );
    check(
        refused,
        &["rcpt.role", "reverse_mx.mail_from.mx"],
        |record| record.facts.reverse_mx.mail_from.mx = Mx::Null,
        "Refused: mailer.example (the domain of the reverse-path) says that it takes no mail (null MX).",
    );
    check(
        refused,
        &["helo_check.kind"],
        |record| {
            record.facts.helo = "pc".into();
            record.facts.helo_check.kind = HeloKind::Invalid;
        },
        "Refused: the HELO name pc is neither a full domain name nor an address literal.",
    );
    let list = |names: &[&str], codes: &[&str]| BlockList {
        listed: true,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        temperror: false,
    };
    check(
        refused,
        &["iprev.result", "block_lists"],
        |record| {
            record.facts.block_lists.insert("a.example".into(), list(&[], &["spam source"]));
            record.facts.block_lists.insert("b.example".into(), list(&["mailer.example"], &[]));
            record.facts.block_lists.insert("c.example".into(), BlockList::default());
        },
        "Refused: the list a.example has the client 192.0.2.1 as spam source, and the list b.example has mailer.example.",
    );
    check(refused, &["client.ip"], |_| {}, "Refused: the client is 192.0.2.1.");
}

#[test]
fn what_vouches_is_told_of_what_is_taken_and_what_does_not_of_what_is_refused() {
    let facts = ["spf.mail_from.result", "iprev.result"];
    let mut record = read(honest(), Action::Accept, &facts);
    record.facts.iprev.result = IprevResult::PermError;
    let expected =
        "Accepted and stored for alice@example.com: SPF passed for bank.example, the domain of the reverse-path.";
    assert_eq!(summary(&record), expected);
    record.decision.action = Action::Quarantine;
    assert_eq!(
        summary(&record),
        "Quarantined and stored for alice@example.com: the client 192.0.2.1 has no reverse name."
    );
    check(
        Action::Reject,
        &["spf.mail_from.result"],
        |record| record.facts.spf.mail_from = spf(MethodResult::Fail, "mailer.example"),
        "Refused: SPF failed: mailer.example, the domain of the reverse-path, says that 192.0.2.1 may not send its mail.",
    );
    check(
        Action::Defer,
        &["rcpt.role", "dmarc.result", "spf.mail_from.result", "spf.helo.result", "dkim"],
        |record| {
            record.facts.dmarc.result = DmarcResult::TempError;
            record.facts.spf.mail_from.result = MethodResult::None;
        },
        "Deferred: DNS trouble kept the author domain bank.example from being checked, mailer.example, the domain of the reverse-path, has \
         no SPF record, and no DKIM signature verified.",
    );
}

#[test]
fn what_was_remembered_is_told() {
    check(
        Action::Defer,
        &["spf.mail_from.result", "greylist.result"],
        |record| {
            record.facts.greylist.result = GreylistResult::New;
            record.facts.greylist.key = GreylistKey::Network;
            record.facts.greylist.wait = 300;
        },
        "Deferred: this sender (its network) has not written to this recipient before and is to come again in 5 minutes.",
    );
    let rates = |record: &mut Record| {
        record.facts.rates = [("client.network/10m".to_owned(), 31), ("helo/1d".to_owned(), 1)].into();
    };
    check(
        Action::Defer,
        &["rates['client.network/10m']"],
        rates,
        "Deferred: 31 transactions came before it within 10 minutes by the network 192.0.2.0/24.",
    );
    let mut record = forged();
    rates(&mut record);
    check_says(
        &record,
        &[
            "  rates           31 transactions came before it within 10 minutes by the network 192.0.2.0/24",
            "                  1 transaction came before it within 1 day by the HELO name mail.mailer.example",
        ],
    );
}

#[test]
fn what_is_in_the_message_is_told() {
    let field = |text: &str| HeaderField { present: true, count: 1, value: Some(text.into()), last: None };
    check(
        Action::Quarantine,
        &["headers['list-id']"],
        |record| {
            record.facts.headers.insert("list-id".into(), field("<l.example>"));
            record.facts.headers.insert("x-other".into(), field("no"));
        },
        "Quarantined: its field list-id says \"<l.example>\".",
    );
    check(
        Action::Reject,
        &["headers['subject']"],
        |record| drop(record.facts.headers.insert("subject".into(), field("a secret"))),
        "Refused: it has a field subject, the text of which is not kept.",
    );
    check(
        Action::Reject,
        &["mime.attachments", "message.bytes"],
        |record| {
            let (name, extension, media_type) = ("a.exe".into(), "exe".into(), "application/x".into());
            let attachments = vec![Attachment { name, extension, media_type, bytes: 2, depth: 1 }];
            record.facts.mime = Some(Mime { parts: 3, depth: 1, attachments, ..Mime::default() });
        },
        "Refused: it carries the file a.exe (application/x, 2 octets), and it has 1234 octets.",
    );
    check(
        Action::Reject,
        &["mime.attachments"],
        |record| {
            let (name, media_type) = ("Re: a secret".into(), "message/rfc822".into());
            let attachments = vec![Attachment { name, media_type, bytes: 2, depth: 1, ..Attachment::default() }];
            record.facts.mime = Some(Mime { parts: 3, depth: 1, attachments, ..Mime::default() });
        },
        "Refused: it carries the file a message, the name of which is not kept (message/rfc822, 2 octets).",
    );
    for defect in MIME_DEFECTS {
        let mut record = read(forged(), Action::Reject, &["mime.defects"]);
        record.facts.mime = Some(Mime { parts: 2, defects: vec![(*defect).to_owned()], ..Mime::default() });
        let told = summary(&record);
        let start = "Refused: it has 2 parts, and no files, and mail programs may read it in different ways: ";
        let words = told.strip_prefix(start).unwrap_or_else(|| panic!("{told}"));
        assert!(words.ends_with(&format!(" ({defect}).")), "{defect} has no words: {told}");
    }
    for defect in FROM_DEFECTS {
        let mut record = read(forged(), Action::Reject, &["from.defects", "mail_from.address"]);
        record.facts.from.defects = vec![(*defect).to_owned()];
        let told = summary(&record);
        let words = told.strip_prefix("Refused: the From field is malformed: ").unwrap_or_else(|| panic!("{told}"));
        assert!(words.ends_with(&format!(" ({defect}).")), "{defect} has no words: {told}");
    }
}

#[test]
fn a_score_is_told_with_what_each_rule_added() {
    let scored = |name: &str, score| RuleRecord { score: Some(score), ..rule(name, Stage::Data, Outcome::Scored) };
    let record = |record: &mut Record| {
        record.rules = vec![scored("no-reverse-name", 3.0), scored("spf-fail", 2.5), scored("friend", -0.25)];
        record.facts.score = 5.25;
    };
    check(
        Action::Quarantine,
        &["score"],
        record,
        "Quarantined: the score is 5.25 (3 by rule no-reverse-name, 2.5 by rule spf-fail and -0.25 by rule friend).",
    );
    let mut told = forged();
    record(&mut told);
    check_says(&told, &["  spf-fail         at data: matched, its score of 2.5 was added"]);
}

#[test]
fn recipients_that_one_rule_refused_have_one_reason() {
    let mut record = read(forged(), Action::Reject, &["iprev.result"]);
    record.stage = Stage::Connect;
    record.facts.iprev.result = IprevResult::PermError;
    record.recipients =
        vec![answered("alice@example.com", "550 5.7.25 no"), answered("bob@example.com", "550 5.7.25 no")];
    for recipient in &mut record.recipients {
        recipient.decision =
            Some(RecipientDecision { action: Action::Reject, rule: "some-rule".into(), instead_of: None });
    }
    assert_eq!(summary(&record), "No recipient was taken: the client 192.0.2.1 has no reverse name.");
    record.recipients[0].decision.as_mut().unwrap().rule = "another".into();
    assert_eq!(
        summary(&record),
        "No recipient was taken: alice@example.com was refused with \"550 5.7.25 no\" by rule another, and bob@example.com was refused \
         with \"550 5.7.25 no\" by rule some-rule."
    );
}

#[test]
fn whatever_a_rule_read_makes_a_sentence() {
    for fact in table::names() {
        for (record, action) in [(honest(), Action::Accept), (forged(), Action::Reject), (forged(), Action::Defer)] {
            let told = summary(&read(record, action, &[fact]));
            let whole = told.ends_with('.') && !told.contains(": .") && !told.contains(", ,") && !told.contains("  ");
            assert!(whole, "{fact}: {told}");
        }
    }
}

#[test]
fn the_record_has_which_fields_and_rates_a_rule_read() {
    let policy = good(
        "[[rule]]\nname = \"r\"\nat = \"data\"\naction = \"quarantine\"\n\
         when = \"headers['list-id'].present || rate('client', '60m') > 5 || dmarc.result == 'pass'\"\n\
         except = \"headers['x-ours'].count > 3\"\n",
    );
    let mut judgement = Judgement::default();
    policy.judge(Stage::Data, &honest().facts, &mut judgement);
    let mut read = judgement.grounds.read;
    read.sort_unstable();
    assert_eq!(read, ["dmarc.result", "headers['list-id']", "headers['x-ours']", "rates['client/1h']"]);
}
