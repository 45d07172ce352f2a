//! Replaying a policy over records: what would change, what can't be told, and that a replay says what the server did.

mod command;
mod copies;
mod cut;
mod journal;
mod progress;
mod recipients;

use std::sync::Arc;

use gatepost::facts::record::{Recipient, RecipientDecision, Record};
use gatepost::facts::word::{Action, DmarcPolicy, HeloKind, Stage};
use gatepost::facts::{Attachment, BlockList, HeloCheck, Mime, Spf};
use gatepost::policy::replay::{Filter, MOST_REFS, MOST_ROWS, Most, Replay, Report};
use gatepost::policy::{Policy, Zone, Zones};
use gatepost::problem::Source;

use crate::support::journal_lines::{POLICY, decided, record, reference, refused_at, unaligned};

/// A policy of these rules; block lists of `zen.example` may be named.
pub fn policy(rules: &str) -> Policy {
    let zones = Zones::of([("zen.example".to_owned(), Zone::default())]);
    let text = format!("description = \"for a test\"\n{rules}");
    let source = Arc::new(Source { name: "new.toml".into(), text });
    Policy::parse_with(&zones, source, &mut |_| Err("no files".into())).unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn rule(name: &str, at: &str, when: &str, rest: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nat = \"{at}\"\nwhen = \"\"\"{when}\"\"\"\n{rest}\n")
}

const REJECT: &str = "action = \"reject\"";
const QUARANTINE: &str = "action = \"quarantine\"";

fn json(record: &Record) -> String {
    serde_json::to_string(record).unwrap()
}

fn replayed(replay: &Replay<'_>, lines: &[String]) -> Report {
    let mut report = replay.report();
    lines.iter().for_each(|line| replay.take(line.as_bytes(), &mut report));
    report
}

/// What a report says, a line a change.
fn said(report: &Report) -> Vec<String> {
    let kinds = [("change", &report.changed), ("rule", &report.by_another_rule), ("untold", &report.untold)];
    let line = |kind: &str, from: &str, by: &str, to: &str, new: &str, count: u64| {
        format!("{kind} {count}: {from} ({by}) -> {to} ({new})")
    };
    kinds
        .iter()
        .flat_map(|(kind, rows)| {
            rows.iter().map(move |(change, row)| {
                let (from, to) = (change.from.to_string(), change.to.to_string());
                line(kind, &from, change.from.rule(), &to, change.to.rule(), row.count)
            })
        })
        .collect()
}

/// Replays rules over lines, compared with what was decided.
#[track_caller]
fn check_lines(rules: &str, lines: &[String], expected: &[&str]) -> Report {
    let policy = policy(rules);
    let report = replayed(&Replay::new(&policy, None, Filter::default()), lines);
    assert_eq!(said(&report), expected, "{rules}");
    report
}

#[track_caller]
fn check(rules: &str, records: &[Record], expected: &[&str]) -> Report {
    check_lines(rules, &records.iter().map(json).collect::<Vec<_>>(), expected)
}

/// An honest message, and one that a rule quarantined.
fn honest() -> Record {
    record(1, "mx1.sender.example", "sender.example")
}

fn forged() -> Record {
    let mut forged = record(2, "mx9.evil.example", "bank.example");
    unaligned(&mut forged, DmarcPolicy::Reject, None);
    decided(&mut forged, Action::Quarantine, "dmarc");
    forged
}

#[test]
fn a_decision_that_would_change_says_from_what_to_what_and_by_which_rule() {
    let dmarc = rule("dmarc", "data", "dmarc.result == 'fail'", REJECT);
    let report = check(&dmarc, &[honest(), forged()], &["change 1: quarantine (dmarc) -> reject (dmarc)"]);
    assert_eq!((report.records, report.same, report.changes()), (2, 1, 1));
    let row = report.changed.values().next().unwrap();
    assert_eq!(row.refs, [reference(2)]);
    assert_eq!(row.domains.top(9)[0].name, "bank.example");
    assert_eq!(row.clients.top(9)[0].name, "mx9.evil.example");
    assert_eq!((report.domains.top(9).len(), report.clients.top(9).len()), (1, 1));
    check("", &[honest(), forged()], &["change 1: quarantine (dmarc) -> accept ()"]);
    let everything = rule("all", "connect", "true", REJECT);
    let (a, b) = ("change 1: accept () -> reject (all)", "change 1: quarantine (dmarc) -> reject (all)");
    check(&everything, &[honest(), forged()], &[a, b]);
}

#[test]
fn the_same_done_by_another_rule_is_no_change() {
    let renamed = rule("dmarc-fail", "data", "dmarc.result == 'fail'", QUARANTINE);
    let report = check(&renamed, &[honest(), forged()], &["rule 1: quarantine (dmarc) -> quarantine (dmarc-fail)"]);
    assert_eq!((report.changes(), report.domains.is_empty()), (0, true));
}

#[test]
fn with_an_old_policy_both_are_replayed() {
    let old = policy(&rule("dmarc", "data", "dmarc.result == 'fail'", REJECT));
    let new = policy(&rule("dmarc", "data", "dmarc.result == 'fail'", QUARANTINE));
    let lines = [json(&honest()), json(&forged())];
    let report = replayed(&Replay::new(&new, Some(&old), Filter::default()), &lines);
    assert_eq!(said(&report), ["change 1: reject (dmarc) -> quarantine (dmarc)"]);
    let report = replayed(&Replay::new(&old, Some(&old), Filter::default()), &lines);
    assert_eq!((said(&report).len(), report.same), (0, 2));
}

/// The line without what stands at this path.
fn without(record: &Record, path: &[&str]) -> String {
    let mut value = serde_json::to_value(record).unwrap();
    let (last, above) = path.split_last().unwrap();
    let place = above.iter().fold(&mut value, |value, key| value.get_mut(*key).unwrap());
    place.as_object_mut().unwrap().remove(*last).unwrap();
    value.to_string()
}

#[test]
fn a_fact_that_a_line_lacks_is_unknown_and_what_is_known_decides_where_it_can() {
    let line = without(&honest(), &["helo_check"]);
    let lacks = "helo_check.kind == 'invalid'";
    // (a condition, what becomes of a message that was accepted)
    for (when, expected) in [
        (format!("{lacks} && iprev.result == 'fail'"), None),
        (format!("iprev.result == 'fail' && {lacks}"), None),
        (format!("{lacks} || iprev.result == 'pass'"), Some("change 1: accept () -> reject (r)")),
        (format!("iprev.result == 'pass' || {lacks}"), Some("change 1: accept () -> reject (r)")),
        (format!("{lacks} && iprev.result == 'pass'"), Some("untold 1: accept () -> unknown (r)")),
        (format!("!({lacks})"), Some("untold 1: accept () -> unknown (r)")),
        (lacks.to_owned(), Some("untold 1: accept () -> unknown (r)")),
    ] {
        let report = check_lines(&rule("r", "data", &when, REJECT), std::slice::from_ref(&line), expected.as_slice());
        let unknown = expected.is_some_and(|line| line.starts_with("untold"));
        assert_eq!(report.rules[0].unknown, u64::from(unknown), "{when}");
    }
}

#[test]
fn a_rule_about_the_name_of_a_forwarded_message_is_unknown_and_one_about_its_extension_is_not() {
    let mut record = honest();
    let (name, extension, media_type) = ("Re: a secret.eml".into(), "eml".into(), "message/rfc822".into());
    let attachments = vec![Attachment { name, extension, media_type, ..Attachment::default() }];
    record.facts.mime = Some(Mime { attachments, ..Mime::default() });
    let named = rule("r", "data", "mime.attachments.exists(a, a.name.contains('secret'))", REJECT);
    check(&named, std::slice::from_ref(&record), &["untold 1: accept () -> unknown (r)"]);
    let by_extension = rule("r", "data", "mime.attachments.exists(a, a.extension == 'eml')", REJECT);
    check(&by_extension, std::slice::from_ref(&record), &["change 1: accept () -> reject (r)"]);
    // a line of a version that knew no defects
    let defects = rule("r", "data", "'uuencoded' in mime.defects", REJECT);
    check_lines(&defects, &[without(&record, &["mime", "defects"])], &["untold 1: accept () -> unknown (r)"]);
    check(&defects, &[record], &[]);
}

#[test]
fn a_field_that_older_records_of_a_list_lack_is_unknown() {
    let line = json(&honest()).replace(",\"secure\":false}],\"dmarc\"", "}],\"dmarc\"");
    assert!(line.len() < json(&honest()).len());
    let secure = rule("r", "data", "dkim.exists(d, d.secure)", REJECT);
    check_lines(&secure, std::slice::from_ref(&line), &["untold 1: accept () -> unknown (r)"]);
    check_lines(&rule("r", "data", "dkim.exists(d, d.result == 'fail' && d.secure)", REJECT), &[line], &[]);
    check(&secure, &[honest()], &[]);
}

#[test]
fn an_unknown_rule_matters_only_where_the_decision_hangs_on_it() {
    let line = [without(&honest(), &["helo_check"])];
    let lacks = "helo_check.kind == 'invalid'";
    let both = rule("r", "data", lacks, REJECT) + &rule("s", "data", "true", REJECT);
    let report = check_lines(&both, &line, &["change 1: accept () -> reject (s)"]);
    assert_eq!((report.rules[0].unknown, report.rules[1].matched), (1, 1));
    let observed = rule("r", "data", lacks, &format!("{REJECT}\nobserve = true"));
    assert_eq!(check_lines(&observed, &line, &[]).rules[0].unknown, 1);
    // a score that would not reach the threshold either way, and one that would
    for (score, expected) in [("2.0", None), ("3.0", Some("untold 1: accept () -> unknown (r)"))] {
        let scored = rule("r", "mail", lacks, &format!("score = {score}"))
            + &rule("t", "mail", "true", "score = 2.0")
            + &rule("high", "data", "score >= 5.0", QUARANTINE);
        check_lines(&scored, &line, expected.as_slice());
    }
    // many that are not known end somewhere
    let many: String = (0..60).map(|n| rule(&format!("r{n}"), "mail", lacks, "score = 0.1")).collect();
    let many = many + &rule("high", "data", "score >= 100.0", QUARANTINE);
    assert!(said(&check_lines_any(&many, &line))[0].starts_with("untold 1: accept () -> unknown (r"));
}

fn check_lines_any(rules: &str, lines: &[String]) -> Report {
    let policy = policy(rules);
    replayed(&Replay::new(&policy, None, Filter::default()), lines)
}

#[test]
fn an_exception_spares_and_one_that_is_not_known_is_no_answer() {
    let spared =
        |when: &str| rule("dmarc", "data", "dmarc.result == 'fail'", &format!("{REJECT}\nexcept = \"{when}\""));
    let report = check(
        &spared("client.name == 'mx9.evil.example'"),
        &[forged()],
        &["change 1: quarantine (dmarc) -> accept ()"],
    );
    assert_eq!((report.rules[0].excepted, report.rules[0].matched), (1, 0));
    let line = without(&forged(), &["helo_check"]);
    let report = check_lines(
        &spared("helo_check.kind == 'domain'"),
        &[line],
        &["untold 1: quarantine (dmarc) -> unknown (dmarc)"],
    );
    assert_eq!(report.rules[0].unknown, 1);
}

#[test]
fn rates_greylist_and_block_lists_that_were_not_recorded_are_unknown() {
    let untold = ["untold 1: accept () -> unknown (r)"];
    check(&rule("r", "data", "rate('client', '10m') > 5", REJECT), &[honest()], &untold);
    check(&rule("r", "rcpt", "true", "action = \"greylist\""), &[honest()], &untold);
    let listed = rule("r", "connect", "block_lists['zen.example'].listed", REJECT);
    check(&listed, &[honest()], &untold);
    let mut counted = honest();
    counted.facts.rates.insert("client/10m".into(), 6);
    check(&rule("r", "data", "rate('client', '10m') > 5", REJECT), &[counted], &["change 1: accept () -> reject (r)"]);
    let mut asked = honest();
    asked.facts.block_lists.insert("zen.example".into(), BlockList::default());
    check(&listed, &[asked.clone()], &[]);
    asked.facts.block_lists.get_mut("zen.example").unwrap().listed = true;
    check(&listed, &[asked], &["change 1: accept () -> reject (r)"]);
    let mut trusted = honest();
    trusted.facts.client.trusted = true;
    check(&listed, &[trusted], &[]);
}

#[test]
fn what_a_transaction_that_ended_early_had_not_looked_up_is_unknown() {
    let early = |change: &dyn Fn(&mut Record)| {
        let mut early = honest();
        refused_at(&mut early, Stage::Rcpt, "old");
        change(&mut early);
        early
    };
    let spf = rule("r", "mail", "spf.mail_from.result == 'fail'", REJECT);
    check(&spf, &[early(&|_| ())], &["change 1: reject (old) -> goes on ()"]);
    let forgotten = early(&|record| record.facts.spf.mail_from = Spf::default());
    check(&spf, &[forgotten], &["untold 1: reject (old) -> unknown (r)"]);
    let null = early(&|record| {
        record.facts.spf.mail_from = Spf::default();
        record.facts.mail_from = Default::default();
    });
    check(&spf, &[null], &["change 1: reject (old) -> goes on ()"]);
    let unnamed = early(&|record| {
        record.facts.iprev = Default::default();
        record.facts.client.name.clear();
    });
    check(
        &rule("r", "connect", "client.name == ''", REJECT),
        std::slice::from_ref(&unnamed),
        &["untold 1: reject (old) -> unknown (r)"],
    );
    let helo = early(&|record| record.facts.helo_check = HeloCheck::default());
    let invalid = rule("r", "mail", "helo_check.kind == 'invalid'", REJECT);
    check(&invalid, &[helo], &["untold 1: reject (old) -> unknown (r)"]);
    let known = early(&|record| record.facts.helo_check.kind = HeloKind::Invalid);
    check(&invalid, &[known], &["rule 1: reject (old) -> reject (r)"]);
    let mut trusted = unnamed;
    trusted.facts.client.trusted = true;
    check(&rule("r", "connect", "client.name == ''", REJECT), &[trusted], &["rule 1: reject (old) -> reject (r)"]);
}

#[test]
fn refusals_without_a_rule_stay_as_they_are() {
    let mut unknown_mailbox = honest();
    refused_at(&mut unknown_mailbox, Stage::Rcpt, "");
    let mut too_big = honest();
    decided(&mut too_big, Action::Reject, "");
    let mut trouble = honest();
    decided(&mut trouble, Action::Defer, "");
    trouble.trouble = "No space left on device".into();
    let mut given_up = honest();
    given_up.recipients.clear();
    (given_up.stage, given_up.decision.reply) = (Stage::Mail, String::new());
    let all = [unknown_mailbox, too_big, trouble, given_up];
    let report = check(&rule("r", "connect", "true", REJECT), &all, &[]);
    assert_eq!((report.records, report.without_rule, report.unjudged), (4, 3, 1));
}

#[test]
fn a_transaction_that_the_client_ended_is_judged_up_to_its_stage() {
    let mut gone = honest();
    (gone.stage, gone.decision.reply) = (Stage::Rcpt, String::new());
    check(&rule("r", "data", "true", REJECT), &[gone.clone()], &[]);
    check(&rule("r", "rcpt", "true", REJECT), &[gone], &["change 1: goes on () -> reject (r)"]);
}

/// Two recipients, of whom the second was refused by a rule.
fn one_of_two() -> Record {
    let mut record = honest();
    record.recipients.push(Recipient {
        address: "postmaster@local.example".into(),
        mailboxes: vec!["bob@local.example".into()],
        reply: "550 5.7.1 no".into(),
        domain: "local.example".into(),
        role: Some(gatepost::facts::word::Role::Postmaster),
        decision: Some(RecipientDecision { action: Action::Reject, rule: "away".into(), instead_of: None }),
        ..Recipient::default()
    });
    record
}

#[test]
fn each_recipient_is_judged_by_its_own_facts() {
    let away = |who: &str| rule("away", "rcpt", &format!("rcpt.role == '{who}'"), REJECT);
    check(&away("postmaster"), &[one_of_two()], &[]);
    check(&away("abuse"), &[one_of_two()], &["change 1: reject (away) -> accept ()"]);
    check(&away(""), &[one_of_two()], &["change 1: accept () -> reject (away)"]);
    let both =
        rule("address", "rcpt", "rcpt.address == 'alice@local.example' && rcpt.domain == 'local.example'", REJECT);
    check(&(away("postmaster") + &both), &[one_of_two()], &["change 1: accept () -> reject (address)"]);
    // whom a rule of rcpt spares is taken whatever an earlier stage says, and the later ones
    let spared = rule("no", "connect", "true", REJECT)
        + &rule("spare", "rcpt", "rcpt.address == 'alice@local.example'", "action = \"accept\"")
        + &rule("late", "data", "true", REJECT);
    check(&spared, &[honest()], &[]);
    // lines of older versions tell of the address only
    let mut old = serde_json::to_value(one_of_two()).unwrap();
    for recipient in old["recipients"].as_array_mut().unwrap() {
        ["domain", "role", "decision"].iter().for_each(|key| drop(recipient.as_object_mut().unwrap().remove(*key)));
    }
    check_lines(&both, &[old.to_string()], &["change 1: accept () -> reject (address)"]);
    check_lines(&away("postmaster"), &[old.to_string()], &[]);
}

#[test]
fn a_refusal_that_became_quarantine_because_of_others_is_what_its_rule_said() {
    let mut mixed = honest();
    let own = RecipientDecision { action: Action::Quarantine, rule: "r".into(), instead_of: Some(Action::Reject) };
    mixed.recipients[0].decision = Some(own);
    check(&rule("r", "data", "true", REJECT), std::slice::from_ref(&mixed), &[]);
    check("", &[mixed], &["change 1: reject (r) -> accept ()"]);
}

#[test]
fn rules_that_observe_are_counted_as_what_would_have_been() {
    let observing = rule("watch", "data", "dmarc.result == 'fail'", &format!("{REJECT}\nobserve = true"))
        + &rule("dmarc", "data", "dmarc.result == 'fail'", QUARANTINE);
    let report = check(&observing, &[honest(), forged(), forged()], &[]);
    let counts = |n: usize| (report.rules[n].observed, report.rules[n].matched, report.rules[n].unknown);
    assert_eq!((counts(0), counts(1)), ((2, 0, 0), (0, 2, 0)));
    assert_eq!(report.rules[0].action, Some(Action::Reject));
}

#[test]
fn records_of_other_policies_and_older_ones_are_left_out() {
    let all = policy(&rule("r", "data", "true", REJECT));
    let mut other = honest();
    other.policy.file = "/etc/gatepost/policies/strict.toml".into();
    let mut old = honest();
    old.time = "2026-10-01T00:00:00.000Z".into();
    let lines: Vec<String> = [honest(), other, old].iter().map(json).collect();
    for (name, records, others) in
        [(POLICY, 1, 1), ("policies/default.toml", 1, 1), ("t.toml", 0, 2), ("strict.toml", 1, 1)]
    {
        let filter = Filter { policies: vec![name.into()], since: "2026-10-02T00:00:00.000Z".into() };
        let report = replayed(&Replay::new(&all, None, filter), &lines);
        assert_eq!((report.records, report.others), (records, others), "{name}");
    }
    let report = replayed(&Replay::new(&all, None, Filter::default()), &lines);
    assert_eq!((report.records, report.others, report.changes()), (3, 0, 3));
    assert_eq!((report.from.as_str(), report.until.get(..10)), ("2026-10-01T00:00:00.000Z", Some("2026-11-01")));
}

#[test]
fn torn_and_foreign_lines_are_counted_and_read_past() {
    let whole = json(&honest());
    let mut lines: Vec<String> = (1..whole.len()).step_by(97).map(|cut| whole[..cut].to_owned()).collect();
    lines.extend(["{}", "null", "[]", "\u{0}", "{\"v\":2}", "hello", "{\"v\":1,\"ref\":\"X\"}"].map(str::to_owned));
    lines.push(whole.replace("\"v\":1", "\"v\":2"));
    lines.push(whole.replace("\"iprev\":{", "\"iprev\":[{"));
    lines.push(format!("{whole}{whole}"));
    let torn = lines.len() as u64;
    lines.extend([String::new(), whole.clone(), whole.replace("\"alice@", "\"\\u0061lice@")]);
    let report = check_lines(&rule("r", "data", "true", REJECT), &lines, &["change 2: accept () -> reject (r)"]);
    assert_eq!((report.skipped, report.records), (torn, 2));
}

#[test]
fn a_report_does_not_grow_with_the_journal_and_parts_add_up() {
    let policy = policy(&rule("r", "data", "true", REJECT));
    let replay = Replay::new(&policy, None, Filter::default());
    let line = |n: u64| {
        let mut record = record(n, &format!("mx.host{n}.example"), &format!("author{n}.example"));
        // a journal may name any number of rules
        decided(&mut record, Action::Quarantine, &format!("old-{}", n % 1_000));
        json(&record)
    };
    let mut whole = replay.report();
    for part in [0..3_000, 3_000..6_000] {
        let lines: Vec<String> = part.map(line).collect();
        whole.merge(replayed(&replay, &lines));
    }
    assert_eq!(whole.records, 6_000);
    assert_eq!(whole.changed.len(), MOST_ROWS);
    assert_eq!(whole.changes() + whole.more, 6_000);
    assert!(whole.domains.len() < 2_000 && whole.clients.len() < 2_000);
    assert!(whole.domains.is_approximate() && whole.domains.error() >= 1);
    let row = whole.changed.values().next().unwrap();
    let newest: Vec<String> = (0..6).rev().map(|n| reference(n * 1_000)).collect();
    assert_eq!((row.count, &row.refs), (6, &newest));
    let lines: Vec<String> = (0..50).map(|_| json(&forged())).chain((100..150).map(line)).collect();
    assert_eq!(replayed(&replay, &lines).changed.values().map(|row| row.refs.len()).max(), Some(MOST_REFS));
}

#[test]
fn the_most_frequent_names_stay_and_their_counts_are_off_by_no_more_than_it_says() {
    let mut halves = [Most::keeping(100), Most::keeping(100)];
    for n in 0..100_000_u32 {
        let half = &mut halves[n as usize % 2];
        half.add(&format!("rare{n}"));
        if n % 3 == 0 {
            half.add("often");
        }
        if n % 10 == 0 {
            half.add("now and then");
        }
        assert!(half.len() < 200);
    }
    let [mut all, other] = halves;
    all.merge(other);
    all.add("");
    let top = all.top(2);
    assert_eq!((top[0].name.as_str(), top[1].name.as_str()), ("often", "now and then"));
    for (named, really) in top.iter().zip([33_334, 10_000]) {
        assert!(
            named.count <= really && named.count + all.error() >= really,
            "{named:?} of {really}, off by {}",
            all.error()
        );
    }
    assert!(all.len() < 200 && !Most::keeping(3).is_approximate());
}
