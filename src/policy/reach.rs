//! Rules that no message can ever come to, because rules before them settle all that they match.

use std::ops::Range;

use crate::facts::word::{RuleAction, Stage};

use super::Rule;
use super::condition::Condition;
use super::draft::DraftRule;
use super::keys::Reader;

/// A rule, and where its condition stands in the file.
pub(super) type Placed<'a> = (&'a Rule, Range<usize>);

/// Tells of each rule that never matches, or that is never come to.
pub(super) fn check(reader: &mut Reader<'_>, rules: &[Placed<'_>]) {
    for (index, (rule, span)) in rules.iter().enumerate() {
        let key = format!("rule \"{}\".when", rule.name);
        if rule.condition.outline().is_never() {
            reader.problem(span.clone(), key, "this is never true", "take the rule out, or put # before its lines");
            continue;
        }
        let before = rules.iter().take(index).map(|(rule, _)| *rule);
        if let Some(settling) = before.filter(|other| settles(other)).find(|other| hides(other, rule)) {
            let cause = format!("the rule is never come to: \"{}\" settles all that it matches", settling.name);
            let mend = format!("put it before \"{}\", or take it out", settling.name);
            reader.problem(span.clone(), key, cause, mend);
        } else if let Some(settling) = accepts_all_earlier(rules, rule) {
            let cause =
                format!("the rule is never come to: \"{}\" accepts everything at {}", settling.name, settling.at);
            let mend = format!("narrow \"{}\", or take this rule out", settling.name);
            reader.problem(span.clone(), key, cause, mend);
        }
    }
}

/// Tells of an exception that holds for every message, or for none.
pub(super) fn check_exception(reader: &mut Reader<'_>, draft: &DraftRule, except: Option<&Condition>) {
    let (Some(text), Some(outline)) = (&draft.except, except.map(Condition::outline)) else { return };
    let cause = match (outline.is_always(), outline.is_never()) {
        (true, _) => "this is always true, so that the rule never acts",
        (_, true) => "this is never true, so that it excepts nothing",
        _ => return,
    };
    reader.problem(text.span.clone(), format!("{}.except", draft.key), cause, "name what is to be spared");
}

/// Whether a match always ends the rules of its stage.
fn settles(rule: &Rule) -> bool {
    let waits = rule.action == Some(RuleAction::Greylist);
    rule.action.is_some() && !waits && !rule.observe && rule.except.is_none() && rule.share.is_none()
}

fn hides(earlier: &Rule, rule: &Rule) -> bool {
    earlier.at == rule.at && earlier.condition.outline().covers(rule.condition.outline())
}

/// The rule of an earlier stage that leaves nothing to the later ones, wherever it stands in the file.
fn accepts_all_earlier<'a>(rules: &[Placed<'a>], rule: &Rule) -> Option<&'a Rule> {
    let earlier = |other: &&Rule| other.at < rule.at && other.at != Stage::Data;
    let all = |other: &&Rule| other.action == Some(RuleAction::Accept) && other.condition.outline().is_always();
    rules.iter().map(|(other, _)| *other).filter(earlier).filter(|other| settles(other)).find(all)
}
