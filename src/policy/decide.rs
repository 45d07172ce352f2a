//! Letting the rules of a stage decide.

use crate::facts::record::RuleRecord;
use crate::facts::table::FactSource;
use crate::facts::word::{Action, Outcome, Stage};

use super::{Judgement, Policy, Rule, Verdict};

/// What a condition is taken for that hangs on a fact which is not known.
pub(super) type Assume<'a> = &'a mut dyn FnMut(&Rule) -> bool;

/// Goes through the rules of a stage until one with an action matches.
pub(super) fn judge(
    policy: &Policy,
    stage: Stage,
    facts: &dyn FactSource,
    so_far: &mut Judgement,
    assume: Assume<'_>,
) -> Verdict {
    if so_far.accepted {
        return Verdict::Continue;
    }
    for rule in policy.rules.iter().filter(|rule| rule.at == stage) {
        let held = policy.runner.holds(&rule.condition, facts, so_far.score);
        let outcome = match held.map(|known| known.unwrap_or_else(|| assume(rule))) {
            Err(_) => Outcome::Error,
            Ok(false) => Outcome::NotMatched,
            Ok(true) if rule.observe => Outcome::Observed,
            Ok(true) if rule.action.is_some() => Outcome::Acted,
            Ok(true) => Outcome::Scored,
        };
        let action = rule.action.filter(|_| outcome == Outcome::Observed);
        so_far.rules.push(RuleRecord { name: rule.name.clone(), at: rule.at, outcome, action });
        if matches!(outcome, Outcome::Acted | Outcome::Scored) {
            so_far.score += rule.score.unwrap_or_default();
        }
        if outcome == Outcome::Acted
            && let Some(action) = rule.action
        {
            so_far.accepted = action == Action::Accept;
            return verdict(rule, action, facts, so_far.score);
        }
    }
    Verdict::Continue
}

fn verdict(rule: &Rule, action: Action, facts: &dyn FactSource, score: f64) -> Verdict {
    let name = rule.name.clone();
    match action {
        Action::Accept => Verdict::Accept { rule: name },
        Action::Quarantine => Verdict::Quarantine { rule: name },
        Action::Discard => Verdict::Discard { rule: name },
        Action::Defer => Verdict::Defer { rule: name, reply: rule.reply.render(facts, score) },
        Action::Reject => Verdict::Reject { rule: name, reply: rule.reply.render(facts, score) },
    }
}

/// Lets the rules of connect, mail and rcpt decide about one recipient: the stage and the verdict that refuse it, `None` where it is
/// taken. What an early stage refuses is told at RCPT, where an rcpt rule that accepts (the postmaster, say) may still spare it.
pub(super) fn recipient(
    policy: &Policy,
    facts: &dyn FactSource,
    so_far: &mut Judgement,
    assume: Assume<'_>,
) -> Option<(Stage, Verdict)> {
    let mut refused = None;
    for stage in [Stage::Connect, Stage::Mail] {
        let verdict = judge(policy, stage, facts, so_far, assume);
        if verdict.reply().is_some() {
            refused = Some((stage, verdict));
            break;
        }
    }
    match judge(policy, Stage::Rcpt, facts, so_far, assume) {
        Verdict::Accept { .. } => None,
        verdict if refused.is_none() && verdict.reply().is_some() => Some((Stage::Rcpt, verdict)),
        _ => refused,
    }
}
