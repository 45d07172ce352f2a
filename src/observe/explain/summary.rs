//! One sentence that tells the whole story, and a second one for what else an administrator should know.

use super::author::author;
use super::fates::{self, past, quoted, refusal_of};
use super::{Telling, fit, listed, reasons, scores};
use crate::facts::record::Record;
use crate::facts::word::{Action, Outcome};
use crate::facts::{DmarcResult, Stage};

/// The story in a sentence or two, one line.
pub fn summary(record: &Record) -> String {
    summary_of(record, Telling::Happened)
}

pub(super) fn summary_of(record: &Record, telling: Telling) -> String {
    let read = what_the_rule_read(record);
    let by_rule = read.is_empty();
    let mut text = verdict(record, telling, by_rule);
    let reasons = if by_rule { reasons(record, telling) } else { read };
    if !reasons.is_empty() {
        text.push_str(": ");
        text.push_str(&joined(reasons));
    }
    text.push('.');
    for others in fates::of_others(record, telling) {
        text.push_str(&format!(" {others}."));
    }
    for (names, did) in remarks(record) {
        match names.len() {
            1 => text.push_str(&format!(" Rule {} {did}.", listed(names))),
            _ => text.push_str(&format!(" Rules {} {}.", listed(names), did.replace("observes", "observe"))),
        }
    }
    text
}

/// Rules that did not do what they are there for: those that only observe, by what they would have done, and those that failed.
fn remarks(record: &Record) -> Vec<(Vec<String>, String)> {
    let mut remarks: Vec<(Vec<String>, String)> = Vec::new();
    for outcome in [Outcome::Observed, Outcome::Error] {
        for rule in record.rules.iter().filter(|rule| rule.outcome == outcome) {
            let did = match outcome {
                Outcome::Observed => format!("{}, but only observes", would_have(rule.action)),
                _ => "could not be run".to_owned(),
            };
            match remarks.iter_mut().find(|(_, known)| *known == did) {
                Some((names, _)) => names.push(fit(&rule.name)),
                None => remarks.push((vec![fit(&rule.name)], did)),
            }
        }
    }
    remarks
}

/// What a rule that only observes would have done.
pub(super) fn would_have(action: Option<Action>) -> String {
    format!("would have {}", action.map_or("acted", past))
}

fn refuses(record: &Record) -> bool {
    matches!(record.decision.action, Action::Defer | Action::Reject)
}

/// Whether several recipients were named and none was taken: the record's decision is then the last one's only.
pub(super) fn took_no_recipient(record: &Record) -> bool {
    refuses(record)
        && record.stage != Stage::Data
        && (record.recipients.len() > 1 || record.recipients_more > 0)
        && record.recipients.iter().all(|recipient| refusal_of(recipient).is_some())
}

/// Why the rule that decided did, by what it read. Nothing where the decision is not one rule's, or is of an older version.
fn what_the_rule_read(record: &Record) -> Vec<String> {
    let decision = &record.decision;
    let of_one = !took_no_recipient(record)
        || record.recipients_more == 0
            && record.recipients.iter().all(|recipient| {
                let own = recipient.decision.as_ref();
                own.is_some_and(|own| own.rule == decision.rule && own.action == decision.action)
            });
    if decision.rule.is_empty() || !of_one || record.decision.is_unfinished() {
        return Vec::new();
    }
    reasons::of_rule(record)
}

fn verdict(record: &Record, telling: Telling, by_rule: bool) -> String {
    if took_no_recipient(record) {
        let none = match telling {
            Telling::Happened => "No recipient was taken",
            Telling::Rehearsed => "No recipient would be taken",
        };
        // else the answers are told one by one
        let is_softened = !by_rule && record.decision.is_softened();
        return if is_softened { format!("{none}, {NONE_REFUSED}") } else { none.to_owned() };
    }
    if record.decision.is_unfinished() {
        return match (telling, record.stage) {
            (Telling::Rehearsed, _) => "Would be accepted up to the recipients".to_owned(),
            (_, Stage::Data) => "Ended by the client before its message was whole".to_owned(),
            _ => "Ended by the client before a message came".to_owned(),
        };
    }
    let done = past(record.decision.action);
    let mut text = match telling {
        Telling::Happened if record.decision.is_softened() => format!("Would have been {done}"),
        Telling::Happened => done.get(..1).unwrap_or_default().to_uppercase() + done.get(1..).unwrap_or_default(),
        Telling::Rehearsed => format!("Would be {done}"),
    };
    let whom = fates::decided_for(record);
    // whoever was addressed by the name of the mailbox is told with the copies
    if !whom.is_empty() && whom != copies(record) {
        text.push_str(&format!(" for {}", listed(whom)));
    }
    match (record.decision.rule.as_str(), refuses(record)) {
        ("", true) if !record.trouble.is_empty() => text.push_str(" because it could not be stored"),
        ("", true) => text.push_str(&format!(" at stage {}, by no rule", record.stage)),
        (rule, _) if by_rule && !rule.is_empty() => text.push_str(&format!(" by rule {}", fit(rule))),
        _ => {}
    }
    if record.decision.is_softened() {
        text.push_str(match telling {
            Telling::Happened => ", but was only deferred because smtp.soft_reject is on",
            Telling::Rehearsed => ", but only deferred because smtp.soft_reject is on",
        });
    }
    text + &stored(record)
}

/// Of recipients that one rule refused.
const NONE_REFUSED: &str = "all were only deferred instead of refused because smtp.soft_reject is on";

/// The mailboxes that have a copy.
fn copies(record: &Record) -> Vec<String> {
    let mut copies: Vec<String> = record.delivery.iter().map(|copy| fit(&copy.mailbox)).collect();
    copies.dedup();
    copies
}

fn stored(record: &Record) -> String {
    match copies(record) {
        copies if copies.is_empty() => String::new(),
        copies => format!(" and stored for {}", listed(copies)),
    }
}

/// Why, where no rule decided or the record does not have what it read: then only its reply and the scores are sure, and a rule of
/// DMARC is known by its name.
fn reasons(record: &Record, telling: Telling) -> Vec<String> {
    let decision = &record.decision;
    if took_no_recipient(record) || record.decision.is_unfinished() {
        return fates::refused(record, telling);
    }
    if refuses(record) && !record.trouble.is_empty() {
        return vec![fit(&record.trouble)];
    }
    let of_dmarc = decision.rule.to_ascii_lowercase().contains("dmarc")
        && !matches!(record.facts.dmarc.result, DmarcResult::None | DmarcResult::Pass);
    let answer = || {
        let was = if telling == Telling::Rehearsed { "would be" } else { "was" };
        format!("the answer {was} {}", quoted(&decision.reply))
    };
    let mut reasons = match decision.rule.as_str() {
        "" if refuses(record) => vec![answer()],
        "" => author(&record.facts),
        _ if of_dmarc => author(&record.facts),
        _ if refuses(record) => vec![answer()],
        _ => Vec::new(),
    };
    if !refuses(record) {
        reasons.extend(scores::told(record));
    }
    reasons
}

/// Clauses of one sentence: a comma stands before the last `and`, because clauses may hold an `and` of their own.
fn joined(mut clauses: Vec<String>) -> String {
    let last = clauses.pop().unwrap_or_default();
    match clauses.len() {
        0 => last,
        _ => format!("{}, and {last}", clauses.join(", ")),
    }
}
