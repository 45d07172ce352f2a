//! How each recipient fared, where not all fared as the message did.

use super::{Line, Telling, fit, line, listed};
use crate::facts::record::{Recipient, RecipientDecision, Record, RuleRecord};
use crate::facts::word::{Action, Stage};

/// Different answers to recipients that one sentence tells.
const MOST_ANSWERS: usize = 5;
/// What is said of a refusal that `smtp.soft_reject` made a deferral.
const SOFTENED: &str = "instead of refused because smtp.soft_reject is on";

pub(super) fn past(action: Action) -> &'static str {
    match action {
        Action::Accept => "accepted",
        Action::Quarantine => "quarantined",
        Action::Discard => "discarded",
        Action::Defer => "deferred",
        Action::Reject => "refused",
    }
}

/// How a recipient was refused at RCPT.
pub(super) fn refusal_of(recipient: &Recipient) -> Option<Action> {
    match recipient.reply.as_bytes().first() {
        Some(b'4') => Some(Action::Defer),
        Some(b'5') => Some(Action::Reject),
        _ => None,
    }
}

/// What was decided for a recipient, where that is not what the record says of the message.
fn own_decision<'a>(record: &Record, recipient: &'a Recipient) -> Option<&'a RecipientDecision> {
    let message = &record.decision;
    recipient.decision.as_ref().filter(|own| own.rule != message.rule || own.action != message.action)
}

/// The recipients that the record's decision and rules are about, where others fared otherwise; empty where all fared alike. The rules
/// are told as they judged the first of them.
pub(super) fn meant(record: &Record) -> Vec<&Recipient> {
    let is_meant =
        |recipient: &&Recipient| refusal_of(recipient).is_none() && own_decision(record, recipient).is_none();
    let meant: Vec<&Recipient> = record.recipients.iter().filter(is_meant).collect();
    if meant.len() == record.recipients.len() { Vec::new() } else { meant }
}

/// The recipients for whom the message was decided, as they were addressed, where others fared otherwise.
pub(super) fn decided_for(record: &Record) -> Vec<String> {
    match record.stage {
        Stage::Data => meant(record).into_iter().map(|recipient| fit(&recipient.address)).collect(),
        _ => Vec::new(),
    }
}

/// Sentences about those for whom the message was not decided.
pub(super) fn of_others(record: &Record, telling: Telling) -> Vec<String> {
    if decided_for(record).is_empty() {
        return Vec::new();
    }
    let mut sentences = Vec::new();
    let refused = refused(record, telling);
    if !refused.is_empty() {
        sentences.push(refused.join(", "));
    }
    let mut others: Vec<(String, Vec<String>)> = Vec::new();
    for recipient in record.recipients.iter().filter(|recipient| refusal_of(recipient).is_none()) {
        if let Some(own) = own_decision(record, recipient) {
            gather(&mut others, became(own), fit(&recipient.address));
        }
    }
    let be = if telling == Telling::Rehearsed { "would be" } else { "was" };
    let told = others.into_iter().take(MOST_ANSWERS);
    sentences.extend(told.map(|(fate, addresses)| format!("For {} it {be} {fate}", listed(addresses))));
    sentences
}

fn gather(groups: &mut Vec<(String, Vec<String>)>, key: String, address: String) {
    match groups.iter_mut().find(|(known, _)| *known == key) {
        Some((_, addresses)) => addresses.push(address),
        None => groups.push((key, vec![address])),
    }
}

/// Recipients that were refused at RCPT, those of one answer together.
pub(super) fn refused(record: &Record, telling: Telling) -> Vec<String> {
    let mut answers: Vec<(String, Vec<String>)> = Vec::new();
    for recipient in &record.recipients {
        let Some(action) = refusal_of(recipient) else { continue };
        let mut answer = format!("{} with {}", past(action), quoted(&recipient.reply));
        if let Some(own) = recipient.decision.as_ref().filter(|own| !own.rule.is_empty()) {
            answer.push_str(&format!(" by rule {}", fit(&own.rule)));
        }
        if is_softened(record, recipient) {
            answer.push_str(&format!(" {SOFTENED}"));
        }
        gather(&mut answers, answer, fit(&recipient.address));
    }
    let clause = |(answer, addresses): (String, Vec<String>)| {
        let be = match (telling, addresses.len()) {
            (Telling::Rehearsed, _) => "would be",
            (Telling::Happened, 1) => "was",
            (Telling::Happened, _) => "were",
        };
        format!("{} {be} {answer}", listed(addresses))
    };
    let mut clauses: Vec<String> = answers.into_iter().map(clause).collect();
    if clauses.len() > MOST_ANSWERS {
        clauses.truncate(MOST_ANSWERS);
        clauses.push("others are told below".to_owned());
    }
    clauses
}

/// Whether a recipient was to be refused, and `smtp.soft_reject` made it a deferral. What the protocol refuses has no decision of its own:
/// of it only the last one is known, whose answer is the record's.
fn is_softened(record: &Record, recipient: &Recipient) -> bool {
    let is_refused = match &recipient.decision {
        Some(own) => own.action == Action::Reject,
        None => record.decision.is_softened() && quoted(&record.decision.reply) == quoted(&recipient.reply),
    };
    is_refused && refusal_of(recipient) == Some(Action::Defer)
}

/// A reply without its ref.
pub(super) fn quoted(reply: &str) -> String {
    let text = reply.split_once(" ref=").map_or(reply, |(text, _)| text);
    format!("\"{}\"", fit(text))
}

/// What became of one recipient's copy.
fn became(decision: &RecipientDecision) -> String {
    let by = match decision.rule.as_str() {
        "" => "no rule".to_owned(),
        rule => format!("rule {}", fit(rule)),
    };
    let done = past(decision.action);
    match decision.instead_of {
        Some(action) => {
            format!("{done} by {by}, which would have {} it, because others take the message", past(action))
        }
        None => format!("{done} by {by}"),
    }
}

/// What a rule did for recipients who fared otherwise than the one that the rules are told of.
pub(super) fn of_rule(record: &Record, rule: &RuleRecord) -> String {
    let mut others: Vec<(String, Vec<String>)> = Vec::new();
    for recipient in &record.recipients {
        if let Some(own) = own_decision(record, recipient).filter(|own| own.rule == rule.name) {
            gather(&mut others, own.instead_of.unwrap_or(own.action).to_string(), fit(&recipient.address));
        }
    }
    let told = others.into_iter();
    told.map(|(action, addresses)| format!("; for {} it matched and decided: {action}", listed(addresses))).collect()
}

/// A line a recipient: what it leads to, what was answered, and what was decided for it alone.
pub(super) fn lines(record: &Record) -> Vec<Line> {
    let mut lines = Vec::new();
    for recipient in &record.recipients {
        let mut text = match recipient.mailboxes.as_slice() {
            [] => String::new(),
            mailboxes => format!("for {}; ", listed(mailboxes.iter().map(|mailbox| fit(mailbox)).collect())),
        };
        text.push_str(&format!("answered {}", fit(&recipient.reply)));
        if let Some(decision) = &recipient.decision {
            text.push_str(&format!("; {}", became(decision)));
        }
        if is_softened(record, recipient) {
            text.push_str(&format!("{} deferred {SOFTENED}", if recipient.decision.is_some() { "," } else { ";" }));
        }
        if !recipient.trouble.is_empty() {
            text.push_str(&format!("; {}", fit(&recipient.trouble)));
        }
        lines.push(line(format!("<{}>", fit(&recipient.address)), text));
    }
    if record.recipients_more > 0 {
        lines.push(line("", format!("and {} more", record.recipients_more)));
    }
    lines
}
