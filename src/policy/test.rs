//! The tests that stand in a policy file: run before every load, so that a policy which no longer does what it says is not taken.

use std::fmt::Write;

use serde::Serialize;

use crate::facts::record::RuleRecord;
use crate::facts::word::Outcome;
use crate::problem::{Problem, Problems};

use super::decide::judge_by;
use super::{Expect, Judgement, Policy, Test, TestGiven, Verdict};

/// What came of a policy's tests.
#[derive(Debug, Clone, PartialEq)]
pub struct TestReport {
    /// Each test, in their order.
    pub tests: Vec<TestOutcome>,
    /// The rules that no test holds both ways; empty where every rule is held.
    pub uncovered: Vec<Coverage>,
}

impl TestReport {
    /// Whether every test passed.
    pub fn passed(&self) -> bool {
        self.tests.iter().all(|test| test.passed)
    }
}

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestOutcome {
    /// Its name.
    pub name: String,
    /// Whether what was got is what was expected.
    pub passed: bool,
    /// What was expected, in words.
    pub expected: String,
    /// What was got, in the same words.
    pub got: String,
}

/// A rule that the tests hold one way only, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// The rule.
    pub rule: String,
    /// Whether any test makes it match.
    pub matched: bool,
    /// Whether any test looks at it without its matching.
    pub not_matched: bool,
}

/// Runs all tests. `seen` is what rules did elsewhere.
pub(super) fn run(policy: &Policy, seen: &[RuleRecord]) -> TestReport {
    let mut uncovered: Vec<Coverage> = policy
        .rules
        .iter()
        .map(|rule| Coverage { rule: rule.name.clone(), matched: false, not_matched: false })
        .collect();
    let mut tests = Vec::new();
    note(&mut uncovered, seen);
    for test in &policy.tests {
        let (verdict, after) = judge(policy, test);
        note(&mut uncovered, &after.rules);
        tests.push(outcome(test, &verdict, &after));
    }
    uncovered.retain(|coverage| !(coverage.matched && coverage.not_matched));
    TestReport { tests, uncovered }
}

fn note(coverages: &mut [Coverage], rules: &[RuleRecord]) {
    for record in rules {
        let Some(coverage) = coverages.iter_mut().find(|coverage| coverage.rule == record.name) else {
            continue;
        };
        match record.outcome {
            Outcome::Acted | Outcome::Scored | Outcome::Changed | Outcome::Observed => coverage.matched = true,
            Outcome::NotMatched => coverage.not_matched = true,
            Outcome::Excepted | Outcome::Error => {}
        }
    }
}

/// The failing tests as problems of the file.
pub(super) fn problems(policy: &Policy) -> Problems {
    let mut problems = Problems::new();
    for test in &policy.tests {
        let (verdict, after) = judge(policy, test);
        let outcome = outcome(test, &verdict, &after);
        if !outcome.passed {
            let key = format!("test \"{}\"", test.name);
            let cause = format!("the test fails: expected {}, got {}", outcome.expected, outcome.got);
            problems.push(Problem::at(&policy.source, test.span.clone(), key, cause, "mend the rule or the test"));
        }
    }
    problems
}

fn judge(policy: &Policy, test: &Test) -> (Verdict, Judgement) {
    let TestGiven { facts, score, lists } = &test.given;
    let mut judgement = Judgement { score: *score, ..Judgement::default() };
    // the policy's own could be made, and so can one more of its kind
    let other = (!lists.is_empty()).then(|| policy.runner.with_lists(lists)).flatten();
    let by = (policy, other.as_ref().unwrap_or(&policy.runner));
    let verdict = judge_by(by, test.at, facts, &mut judgement, &mut |_| false);
    (verdict, judgement)
}

fn outcome(test: &Test, verdict: &Verdict, after: &Judgement) -> TestOutcome {
    let got = seen(&test.expect, verdict, after);
    TestOutcome {
        name: test.name.clone(),
        passed: same(&test.expect, &got),
        expected: words(&test.expect),
        got: words(&got),
    }
}

/// What came out, of the things that are expected; action and rule always.
fn seen(expect: &Expect, verdict: &Verdict, after: &Judgement) -> Expect {
    let named = |wanted: &Option<Vec<String>>, outcome: Outcome| {
        let rules = after.rules.iter().filter(|record| record.outcome == outcome);
        wanted.as_ref().map(|_| rules.map(|record| record.name.clone()).collect())
    };
    Expect {
        action: Some(verdict.action()),
        rule: Some(verdict.rule().to_owned()),
        score: expect.score.map(|_| after.score),
        observed: named(&expect.observed, Outcome::Observed),
        changed: named(&expect.changed, Outcome::Changed),
        excepted: named(&expect.excepted, Outcome::Excepted),
        reply: expect.reply.as_ref().map(|_| verdict.reply().unwrap_or_default().to_owned()),
    }
}

fn same(expect: &Expect, got: &Expect) -> bool {
    let score = match (expect.score, got.score) {
        (Some(wanted), Some(got)) => (wanted - got).abs() < 1e-9,
        _ => true,
    };
    score
        && (expect.action.is_none() || expect.action == got.action)
        && (expect.rule.is_none() || expect.rule == got.rule)
        && expect.observed == got.observed
        && expect.changed == got.changed
        && expect.excepted == got.excepted
        && expect.reply == got.reply
}

fn words(expect: &Expect) -> String {
    let mut out = String::new();
    let mut say = |text: String| {
        let comma = if out.is_empty() { "" } else { ", " };
        let _ = write!(out, "{comma}{text}");
    };
    if let Some(action) = expect.action {
        say(action.to_string());
    }
    match expect.rule.as_deref() {
        Some("") => say("by no rule".to_owned()),
        Some(rule) => say(format!("by rule \"{rule}\"")),
        None => {}
    }
    if let Some(score) = expect.score {
        say(format!("score {score}"));
    }
    for (word, rules) in [("observed", &expect.observed), ("changed", &expect.changed), ("excepted", &expect.excepted)]
    {
        match rules.as_deref() {
            Some([]) => say(format!("nothing {word}")),
            Some(rules) => say(format!("{word} {}", rules.join(", "))),
            None => {}
        }
    }
    if let Some(reply) = &expect.reply {
        say(format!("reply \"{reply}\""));
    }
    out
}
