//! What the score is, and which rules made it.

use super::{fit, listed, number};
use crate::facts::record::Record;
use crate::facts::word::Outcome;

/// The score and who added what; `None` where no rule scored.
pub fn told(record: &Record) -> Option<String> {
    let scored = |outcome: Outcome| matches!(outcome, Outcome::Scored | Outcome::Changed | Outcome::Acted);
    let added = record.rules.iter().filter(|rule| rule.score.is_some() && scored(rule.outcome));
    let added: Vec<String> =
        added.map(|rule| format!("{} by rule {}", number(rule.score.unwrap_or_default()), fit(&rule.name))).collect();
    if !added.is_empty() {
        return Some(format!("the score is {} ({})", number(record.facts.score), listed(added)));
    }
    // a record of an older version does not have what each of them added
    let names: Vec<String> =
        record.rules.iter().filter(|rule| rule.outcome == Outcome::Scored).map(|rule| fit(&rule.name)).collect();
    (!names.is_empty()).then(|| format!("the score is {} by {}", number(record.facts.score), listed(names)))
}
