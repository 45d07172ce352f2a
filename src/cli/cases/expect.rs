//! What must come of a case, and what came instead.

use crate::facts::record::Record;
use crate::facts::table::{self, FactSource, Given, Value};
use crate::facts::word::{Action, Outcome, Stage};
use crate::policy::Policy;
use crate::policy::draft::flatten;
use crate::policy::given::tell;
use crate::policy::keys::{Reader, Spot, Table};
use crate::problem::nearest;

/// Something that is otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// What it is: a key of `[expect]`, or a fact.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What was got.
    pub got: String,
}

/// What is expected; what is `None` isn't looked at.
#[derive(Debug, Default)]
pub struct Expect {
    action: Option<Action>,
    rule: Option<String>,
    folder: Option<String>,
    /// How the reply begins.
    reply: Option<String>,
    score: Option<f64>,
    /// The rules that did this, in their order.
    rules: Vec<(&'static str, Outcome, Vec<String>)>,
    facts: Vec<(String, Value<'static>)>,
}

const KEYS: &[&str] = &["action", "rule", "folder", "reply", "score", "observed", "changed", "excepted", "facts"];
const OUTCOMES: &[(&str, Outcome)] =
    &[("observed", Outcome::Observed), ("changed", Outcome::Changed), ("excepted", Outcome::Excepted)];

impl Expect {
    /// Reads `[expect]`; what is wrong with it is among the reader's problems.
    pub(super) fn read(reader: &mut Reader<'_>, table: &Table<'_>, policy: &Policy) -> Expect {
        reader.hold_to(table, KEYS);
        if table.entries.is_empty() {
            reader.problem(table.span.clone(), "expect", "the case expects nothing", "add action = \"accept\"");
        }
        let rule = reader.string(table, "rule");
        known_rules(reader, policy, rule.iter().filter(|rule| !rule.value.is_empty()));
        let mut rules = Vec::new();
        for (key, outcome) in OUTCOMES {
            let Some(names) = reader.strings(table, key) else { continue };
            known_rules(reader, policy, names.iter());
            rules.push((*key, *outcome, names.into_iter().map(|name| name.value).collect()));
        }
        Expect {
            action: reader.word(table, "action", Action::WORDS, Action::from_word).map(|action| action.value),
            rule: rule.map(|rule| rule.value),
            folder: reader.string(table, "folder").map(|folder| folder.value),
            reply: reader.string(table, "reply").map(|reply| reply.value),
            score: reader.number(table, "score").map(|score| score.value),
            rules,
            facts: facts(reader, table),
        }
    }

    /// What is otherwise in a record.
    pub(super) fn differences(&self, record: &Record) -> Vec<Difference> {
        let mut found = Differences(Vec::new());
        let decision = &record.decision;
        if let Some(action) = self.action {
            found.unless(action == decision.action, "action", action, decision.action);
        }
        if let Some(rule) = &self.rule {
            found.unless(*rule == decision.rule, "rule", quoted(rule), quoted(&decision.rule));
        }
        if let Some(folder) = &self.folder {
            let mut folders: Vec<&str> = record.delivery.iter().map(|copy| copy.folder.as_str()).collect();
            folders.dedup();
            found.unless(folders == [folder.as_str()], "folder", quoted(folder), quoted(&folders.join(", ")));
        }
        if let Some(reply) = &self.reply {
            found.unless(decision.reply.starts_with(reply), "reply", quoted(reply), quoted(&decision.reply));
        }
        if let Some(score) = self.score {
            let got = record.facts.score;
            found.unless((got - score).abs() < 1e-9, "score", score, got);
        }
        for (key, outcome, names) in &self.rules {
            let mut got: Vec<&String> = Vec::new();
            for rule in record.rules.iter().filter(|rule| rule.outcome == *outcome) {
                // an rcpt rule is judged once for each recipient
                if !got.contains(&&rule.name) {
                    got.push(&rule.name);
                }
            }
            let same = got.iter().copied().eq(names);
            let got: Vec<&str> = got.into_iter().map(String::as_str).collect();
            found.unless(same, key, quoted(&names.join(", ")), quoted(&got.join(", ")));
        }
        for (name, expected) in &self.facts {
            let Some(fact) = table::find(name) else { continue };
            let got = record.facts.value(fact);
            found.unless(agrees(expected, &got), name, words(expected), words(&got));
        }
        found.0
    }
}

struct Differences(Vec<Difference>);

impl Differences {
    fn unless(&mut self, same: bool, what: &str, expected: impl ToString, got: impl ToString) {
        if !same {
            let (expected, got) = (expected.to_string(), got.to_string());
            self.0.push(Difference { what: what.to_owned(), expected, got });
        }
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { format!("\"{text}\"") }
}

fn known_rules<'s>(reader: &mut Reader<'_>, policy: &Policy, names: impl Iterator<Item = &'s Spot<String>>) {
    for name in names {
        if policy.rules().iter().any(|rule| rule.name() == name.value) {
            continue;
        }
        let mend = match nearest(&name.value, policy.rules().iter().map(|rule| rule.name())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "name one of the policy's rules".to_owned(),
        };
        let cause = format!("the policy has no rule \"{}\"", name.value);
        reader.problem(name.span.clone(), "expect", cause, mend);
    }
}

/// The facts that are expected, held to their types and words.
fn facts(reader: &mut Reader<'_>, table: &Table<'_>) -> Vec<(String, Value<'static>)> {
    let mut facts = Vec::new();
    if let Some(values) = reader.table(table, "facts") {
        flatten(reader, "expect.facts", "", values.entries, &mut facts);
    }
    let mut checked = Vec::new();
    for (name, value) in facts {
        if let Err(mistake) = Given::new().set(&name.value, value.clone()) {
            tell(reader, "expect.facts", &name, mistake);
        } else if table::find(&name.value).is_some_and(|fact| !fact.known_at(Stage::Data)) {
            let cause = format!("{} is of one recipient, and not of the message", name.value);
            reader.problem(name.span, "expect.facts", cause, "expect the rule that reads it");
        } else {
            checked.push((name.value, value));
        }
    }
    checked
}

/// Whether a value is as expected: of records, the fields that are given.
fn agrees(expected: &Value<'_>, got: &Value<'_>) -> bool {
    match (expected, got) {
        (Value::Map(expected), Value::Map(got)) => {
            expected.iter().all(|(name, value)| got.iter().any(|(known, got)| known == name && agrees(value, got)))
        }
        (Value::List(expected), Value::List(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| agrees(expected, got))
        }
        (Value::Int(expected), Value::Double(got)) => (*expected as f64 - got).abs() < 1e-9,
        _ => expected == got,
    }
}

fn words(value: &Value<'_>) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        Value::String(text) => format!("'{text}'"),
        Value::List(items) => format!("[{}]", items.iter().map(words).collect::<Vec<_>>().join(", ")),
        Value::Map(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {}", words(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}
