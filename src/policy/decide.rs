//! Letting the rules of a stage decide.

use crate::facts::record::RuleRecord;
use crate::facts::table::{self, FactSource, Value};
use crate::facts::word::{Action, GreylistResult, Outcome, RuleAction, Stage};

use super::condition::Runner;
use super::{GREYLIST, Grounds, Judgement, Policy, Rule, Verdict, share};

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
    judge_by((policy, &policy.runner), stage, facts, so_far, assume)
}

/// The same, its conditions run by another runner than the policy's own: a test may have lists of its own.
pub(super) fn judge_by(
    (policy, runner): (&Policy, &Runner),
    stage: Stage,
    facts: &dyn FactSource,
    so_far: &mut Judgement,
    assume: Assume<'_>,
) -> Verdict {
    so_far.grounds = Grounds::default();
    if so_far.accepted {
        return Verdict::Continue;
    }
    for rule in policy.rules.iter().filter(|rule| rule.at == stage) {
        let outcome = outcome(runner, rule, facts, so_far.score, assume);
        let held_back = matches!(outcome, Outcome::Observed | Outcome::Excepted);
        let action = rule.action().filter(|_| held_back);
        let adds = matches!(outcome, Outcome::Acted | Outcome::Changed | Outcome::Scored);
        let score = rule.score.filter(|score| adds && *score != 0.0);
        so_far.rules.push(RuleRecord { name: rule.name.clone(), at: rule.at, outcome, action, score });
        if adds {
            so_far.score += rule.score.unwrap_or_default();
            if !rule.changes.is_empty() {
                rule.changes.apply(facts, so_far.score, &mut so_far.edits);
            }
        }
        if outcome == Outcome::Acted
            && let Some(action) = rule.action()
        {
            so_far.accepted = action == Action::Accept;
            so_far.grounds = grounds(rule, facts, so_far.score);
            return verdict(rule, action, facts, so_far.score);
        }
    }
    Verdict::Continue
}

/// What comes of one rule.
fn outcome(runner: &Runner, rule: &Rule, facts: &dyn FactSource, score: f64, assume: Assume<'_>) -> Outcome {
    match runner.holds(&rule.condition, facts, score).map(|held| held.unwrap_or_else(|| assume(rule))) {
        Err(_) => return Outcome::Error,
        Ok(false) => return Outcome::NotMatched,
        Ok(true) => {}
    }
    if rule.action == Some(RuleAction::Greylist) && !is_to_wait(facts).unwrap_or_else(|| assume(rule)) {
        return Outcome::NotMatched;
    }
    if let Some(except) = &rule.except {
        match runner.holds(except, facts, score).map(|held| held.unwrap_or_else(|| assume(rule))) {
            Err(_) => return Outcome::Error,
            Ok(true) => return Outcome::Excepted,
            Ok(false) => {}
        }
    }
    match rule.action {
        _ if rule.observe => Outcome::Observed,
        _ if rule.share.is_some_and(|percent| !share::covers(percent, &rule.name, facts)) => Outcome::Observed,
        Some(_) => Outcome::Acted,
        None if !rule.changes.is_empty() => Outcome::Changed,
        None => Outcome::Scored,
    }
}

/// Whether greylisting has the client come back later; `None` where that is not known.
fn is_to_wait(facts: &dyn FactSource) -> Option<bool> {
    match table::find(GREYLIST).and_then(|fact| facts.find(fact))? {
        Value::String(word) => {
            Some(matches!(GreylistResult::from_word(&word), Some(GreylistResult::New | GreylistResult::Early)))
        }
        _ => Some(false),
    }
}

fn grounds(rule: &Rule, facts: &dyn FactSource, score: f64) -> Grounds {
    Grounds {
        why: rule.why.as_ref().map(|why| why.render(facts, score)).unwrap_or_default(),
        read: rule.looks_at().iter().flat_map(|fact| named(rule, fact.name)).collect(),
    }
}

/// A fact by its name; of one whose entries have names, those that the rule looks at.
fn named(rule: &Rule, fact: &str) -> Vec<String> {
    let mut keys: Vec<String> = match fact {
        "headers" => rule.headers().cloned().collect(),
        "rates" => rule.rates().map(|rate| rate.to_string()).collect(),
        _ => return vec![fact.to_owned()],
    };
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(|key| format!("{fact}['{key}']")).collect()
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

/// Lets the rules of connect, mail and rcpt decide about one recipient: the stage and the verdict that refuse it (the judgement has its
/// grounds), `None` where it is taken. What an early stage refuses is told at RCPT, where an rcpt rule that accepts (the postmaster,
/// say) may still spare it.
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
            refused = Some((stage, verdict, std::mem::take(&mut so_far.grounds)));
            break;
        }
    }
    match judge(policy, Stage::Rcpt, facts, so_far, assume) {
        Verdict::Accept { .. } => None,
        verdict if refused.is_none() && verdict.reply().is_some() => Some((Stage::Rcpt, verdict)),
        _ => {
            let (stage, verdict, grounds) = refused?;
            so_far.grounds = grounds;
            Some((stage, verdict))
        }
    }
}
