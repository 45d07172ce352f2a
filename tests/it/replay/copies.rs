//! What rules change of the copies (folder, header, subject, mailbox) is compared as the action is.

use gatepost::facts::record::{ChangesRecord, Record};
use gatepost::facts::word::Action;
use gatepost::policy::replay::{Filter, Replay, Report};

use super::{QUARANTINE, check, decided, forged, honest, json, policy, replayed, rule, said};

/// A message of which it was recorded that nothing of it was changed.
fn unchanged() -> Record {
    let mut record = honest();
    record.decision.changes = Some(ChangesRecord::default());
    record
}

fn changing(rest: &str) -> String {
    rule("r", "data", "true", rest)
}

#[track_caller]
fn check_copies(rules: &str, record: Record, expected: &[&str], of_copies: u64) -> Report {
    let report = check(rules, &[record], expected);
    assert_eq!((report.changes(), report.changes_of_copies()), (expected.len() as u64, of_copies), "{rules}");
    report
}

#[test]
fn a_copy_that_changes_is_a_change_though_it_is_accepted_as_before() {
    for (rest, becomes) in [
        ("tag_subject = \"[EXTERNAL] \"", "accept with tag \"[EXTERNAL] \" ()"),
        ("add_headers = { X-Author = \"{from.domain}\" }", "accept with X-Author: {from.domain} ()"),
        ("remove_headers = [\"X-Spam-*\"]", "accept without x-spam-* ()"),
        ("redirect = \"abuse@local.example\"", "accept for abuse@local.example ()"),
        ("action = \"accept\"\nredirect = \"abuse@local.example\"", "accept for abuse@local.example (r)"),
    ] {
        let line = format!("change 1: accept () -> {becomes}");
        check_copies(&changing(rest), unchanged(), &[&line], 1);
        let report = check(
            &changing(rest),
            &[honest()],
            if rest.starts_with("action") { &["rule 1: accept () -> accept (r)"] } else { &[] },
        );
        assert_eq!(report.changes(), 0, "an older line does not say what was changed: {rest}");
    }
}

#[test]
fn what_was_changed_and_would_be_no_more_is_told_too() {
    let mut tagged = honest();
    tagged.decision.changes = Some(ChangesRecord { tag_subject: vec!["[X] ".into()], ..ChangesRecord::default() });
    check_copies("", tagged.clone(), &["change 1: accept with tag \"[X] \" () -> accept ()"], 1);
    check_copies(&changing("tag_subject = \"[X] \""), tagged, &[], 0);
}

#[test]
fn a_folder_counts_and_a_refusal_changes_no_copy() {
    let mut junk = forged();
    junk.decision.changes = Some(ChangesRecord::default());
    let into =
        |folder: &str| rule("dmarc", "data", "dmarc.result == 'fail'", &format!("{QUARANTINE}\nfolder = \"{folder}\""));
    check_copies(&into("Spam"), junk.clone(), &["change 1: quarantine (dmarc) -> quarantine into Spam (dmarc)"], 1);
    check_copies(&into("Junk"), junk.clone(), &[], 0);
    let tagged =
        rule("tag", "rcpt", "true", "tag_subject = \"[X] \"") + &rule("no", "data", "true", "action = \"reject\"");
    check_copies(&tagged, junk.clone(), &["change 1: quarantine (dmarc) -> reject (no)"], 0);
    decided(&mut junk, Action::Reject, "no");
    junk.decision.changes = None;
    check_copies(&tagged, junk, &[], 0);
}

#[test]
fn where_recipients_differ_each_has_its_own_changes() {
    let mut record = unchanged();
    let mut second = record.recipients[0].clone();
    second.address = "bob@local.example".into();
    second.changes =
        Some(ChangesRecord { folder: String::new(), tag_subject: vec!["[B] ".into()], ..ChangesRecord::default() });
    record.recipients.push(second);
    let tags =
        |who: &str| rule("tag", "rcpt", &format!("rcpt.address == '{who}@local.example'"), "tag_subject = \"[B] \"");
    check_copies(&tags("bob"), record.clone(), &[], 0);
    check_copies(&tags("alice"), record, &["change 1: accept () -> accept with tag \"[B] \" ()"], 1);
}

#[test]
fn a_rule_that_cannot_be_told_matters_where_it_changes_copies() {
    let mut value = serde_json::to_value(unchanged()).unwrap();
    value.as_object_mut().unwrap().remove("helo_check").unwrap();
    let tag = rule("tag", "data", "helo_check.kind == 'invalid'", "tag_subject = \"[X] \"");
    let (policy, old) = (policy(&tag), policy(""));
    let lines = [value.to_string()];
    let report = replayed(&Replay::new(&policy, None, Filter::default()), &lines);
    assert_eq!(said(&report), ["untold 1: accept () -> unknown (tag)"]);
    let report = replayed(&Replay::new(&policy, Some(&old), Filter::default()), &lines);
    assert_eq!(said(&report), ["untold 1: accept () -> unknown (tag)"]);
}

#[test]
fn two_policies_are_compared_in_what_they_change() {
    let adds = |text: &str| policy(&changing(&format!("add_headers = {{ X-Why = \"{text}\" }}")));
    let (old, new) = (adds("{from.domain}"), adds("{mail_from.domain}"));
    let report = replayed(&Replay::new(&new, Some(&old), Filter::default()), &[json(&honest())]);
    let line = "change 1: accept with X-Why: {from.domain} () -> accept with X-Why: {mail_from.domain} ()";
    assert_eq!(said(&report), [line]);
    let report = replayed(&Replay::new(&new, Some(&new), Filter::default()), &[json(&honest())]);
    assert_eq!((said(&report).len(), report.same), (0, 1));
}

#[test]
fn a_redirect_that_a_journal_hides_is_taken_for_the_same_within_its_domain() {
    let mut hidden = honest();
    let redirect = "~k0123456789abcdef@local.example".to_owned();
    assert!(gatepost::observe::pseudonym::is_pseudonym("~k0123456789abcdef"), "as the journal writes them");
    hidden.decision.changes = Some(ChangesRecord { redirect, ..ChangesRecord::default() });
    check_copies(&changing("redirect = \"abuse@local.example\""), hidden.clone(), &[], 0);
    let away = check(
        &changing("redirect = \"abuse@other.example\""),
        &[hidden],
        &["change 1: accept for ~k0123456789abcdef@local.example () -> accept for abuse@other.example ()"],
    );
    assert_eq!(away.changes_of_copies(), 1);
}
