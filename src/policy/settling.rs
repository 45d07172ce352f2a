//! What in a policy's data stage decides whether a message is stored: recipients of one transaction get one answer (RFC 5321
//! §4.1.1.4), so that those for whom it could differ are not taken together. All else (folder, header, subject, mailbox, a score that
//! no refusing rule reads) is a matter of each mailbox.

use crate::facts::record::PolicyRecord;
use crate::facts::table::{self, FactSet};
use crate::facts::word::{Action, RuleAction, Stage};

use super::{Rule, share};

/// The rules of the data stage that settle a transaction, boiled down to what can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    /// The same for policies that refuse, defer and discard the same messages; empty where a policy does none of that.
    rules: String,
    reads: FactSet,
}

impl Settling {
    /// Whether the data stage may refuse the message, or keep nothing of it.
    pub fn refuses(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether that hangs on a fact.
    pub fn reads(&self, fact: &str) -> bool {
        self.reads.contains(fact)
    }

    /// Whether the other policy refuses the same messages, given the same facts.
    pub fn is_like(&self, other: &Settling) -> bool {
        self.rules == other.rules
    }

    pub(super) fn of(rules: &[Rule], record: &PolicyRecord) -> Settling {
        let mut rules: Vec<&Rule> = rules.iter().filter(|rule| rule.at == Stage::Data && !rule.observe).collect();
        let refuses = |rule: &&Rule| matches!(rule.action(), Some(Action::Reject | Action::Defer | Action::Discard));
        // what comes after the last rule that refuses keeps the message in any case
        rules.truncate(rules.iter().rposition(refuses).map_or(0, |last| last + 1));
        let by_score = rules.iter().any(|rule| rule.action().is_some() && rule.looks_at().contains("score"));
        rules.retain(|rule| rule.action().is_some() || (by_score && rule.score.is_some()));
        let mut settling = Settling { rules: String::new(), reads: FactSet::default() };
        for rule in rules {
            settling.reads.extend(rule.looks_at());
            if let Some(fact) = table::find(share::BY).filter(|_| rule.share.is_some()) {
                settling.reads.insert(fact);
            }
            settling.rules.push_str(&told(rule, by_score));
            // two policies may have different lists of one name
            if rule.written.contains("lists.") {
                settling.rules.push_str(&format!("{} {}\n", record.file, record.sha256));
            }
        }
        settling
    }
}

/// A rule as far as it says whether a message is stored.
fn told(rule: &Rule, by_score: bool) -> String {
    let does = match rule.action() {
        Some(Action::Accept | Action::Quarantine) => "take",
        Some(action) => action.as_str(),
        None => "",
    };
    let greylists = rule.action == Some(RuleAction::Greylist);
    let score = rule.score.filter(|_| by_score).unwrap_or_default();
    let share = rule.share.map(|percent| format!("{percent} {}", rule.name)).unwrap_or_default();
    format!("{does} {greylists} {score} {share}\n{}\n", rule.written)
}
