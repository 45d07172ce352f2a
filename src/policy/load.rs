//! From the file as written to a policy that can judge: every rule, list and test is checked, every problem told.

mod lists;
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::facts::rate::Rate;
use crate::facts::record::PolicyRecord;
use crate::facts::table::FactSet;
use crate::facts::word::{RuleAction, Stage};
use crate::problem::{Problem, Problems, Source};

use super::changes::{self, MOST_FIELDS};
use super::condition::{Condition, Known, Literals, MAX_HEADERS, Named, Runner};
use super::draft::{self, DraftRule};
use super::keys::{Reader, Spot};
use super::reach;
use super::settling::Settling;
use super::template::{Template, Use};
use super::zones::Zones;
use super::{Policy, Rule, Test};

pub(super) use lists::ENTRIES;

/// The largest policy file, in bytes.
const MAX_FILE: usize = 1 << 20;
/// The most rules of one policy: each costs time on every message.
const MAX_RULES: usize = 2_000;

/// The most rates of one policy: each is looked up, and counted, on every message.
const MAX_RATES: usize = 32;

/// The greatest score of one rule, either way: sums stay far from where numbers lose precision.
const MAX_SCORE: f64 = 1000.0;

/// Reads and checks a policy.
pub(super) fn parse(
    source: Arc<Source>,
    zones: &Zones,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Policy, Problems> {
    let mut problems = Problems::new();
    if source.text.len() > MAX_FILE {
        let cause = format!("the policy is {} bytes long; {MAX_FILE} are the most", source.text.len());
        return Err(Problem::at(&source, 0..0, "", cause, "put names into lists of their own files").into());
    }
    let mut reader = Reader { source: &source, problems: &mut problems };
    let draft = draft::read(&mut reader);
    let mut literals = Literals::default();
    let lists = lists::read(&mut reader, draft.lists, read);
    let rules = rules(&mut reader, draft.rules, Known { lists: &lists, zones }, &mut literals);
    let tests = draft
        .tests
        .into_iter()
        .filter_map(|test| tests::read(&mut reader, test, &rules, Known { lists: &lists, zones }));
    let tests: Vec<Test> = tests.collect();
    check_fields(&mut reader, &rules);
    let mut reads = FactSet::default();
    rules.iter().flat_map(|(_, rule)| rule).for_each(|rule| reads.extend(rule.reads()));
    let headers = headers(&mut reader, &rules);
    let named = Named { zones: zones.asked(reads), headers: headers.clone() };
    let Some(runner) = Runner::new(&lists, named, Arc::new(literals)) else {
        reader.problem(0..0, "", "this build cannot run conditions", "report it as a bug");
        return Err(problems);
    };
    let rules = rules.into_iter().map(|(_, rule)| rule).collect::<Option<Vec<Rule>>>();
    problems.into_result()?;
    let rules = rules.unwrap_or_default();
    let rates: BTreeSet<Rate> = rules.iter().flat_map(Rule::rates).collect();
    let needs = Stage::ALL.iter().map(|stage| needs(&rules, *stage));
    let mut by_stage = [FactSet::default(); 4];
    by_stage.iter_mut().zip(needs).for_each(|(slot, set)| *slot = set);
    let record = PolicyRecord { file: source.name.clone(), sha256: sha256(&source.text) };
    Ok(Policy {
        settling: Settling::of(&rules, &record),
        description: draft.description.map(|text| text.value).unwrap_or_default(),
        rules,
        tests,
        runner,
        needs: by_stage,
        headers,
        rates: rates.into_iter().collect(),
        record,
        source,
    })
}

/// The addresses that the rules of a file redirect to, as far as it can be read, each with its key.
pub(super) fn redirects(source: &Arc<Source>) -> Vec<(String, Spot<String>)> {
    if source.text.len() > MAX_FILE {
        return Vec::new();
    }
    let mut problems = Problems::new();
    let draft = draft::read(&mut Reader { source, problems: &mut problems });
    let redirects = draft.rules.into_iter().filter_map(|rule| Some((rule.key, rule.changes.redirect?)));
    let redirects = redirects.filter(|(_, redirect)| changes::is_address(&redirect.value));
    redirects.map(|(key, redirect)| (format!("{key}.redirect"), redirect)).collect()
}

/// All rules together add no more fields than a reader of mail likes to see.
fn check_fields(reader: &mut Reader<'_>, rules: &Rules) {
    let fields: usize = rules.iter().flat_map(|(_, rule)| rule).map(|rule| rule.changes.fields()).sum();
    if fields > MOST_FIELDS {
        let cause = format!("the rules add {fields} fields together; {MOST_FIELDS} are the most");
        reader.problem(0..0, "", cause, "add fewer");
    }
}

fn needs(rules: &[Rule], stage: Stage) -> FactSet {
    let mut set = FactSet::default();
    rules.iter().filter(|rule| rule.at == stage).for_each(|rule| set.extend(rule.reads()));
    set
}

/// The header fields that the rules name, each once.
fn headers(reader: &mut Reader<'_>, rules: &Rules) -> Vec<String> {
    let named = rules.iter().flat_map(|(_, rule)| rule).flat_map(|rule| rule.headers());
    let all: BTreeSet<&String> = named.collect();
    if all.len() > MAX_HEADERS {
        let cause = format!("the rules name {} header fields; {MAX_HEADERS} are the most", all.len());
        reader.problem(0..0, "", cause, "each is kept of every message: name fewer");
    }
    all.into_iter().cloned().collect()
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rules by name; `None` stands for one that has problems.
type Rules = Vec<(String, Option<Rule>)>;

fn rules(reader: &mut Reader<'_>, drafts: Vec<DraftRule>, known: Known<'_>, literals: &mut Literals) -> Rules {
    if let Some(draft) = drafts.get(MAX_RULES) {
        let cause = format!("a policy has at most {MAX_RULES} rules");
        reader.problem(draft.span.clone(), draft.key.clone(), cause, "put names into lists");
        return Rules::new();
    }
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut rules = Rules::new();
    let mut conditions = Vec::new();
    let mut rates = BTreeSet::new();
    for draft in drafts {
        let (span, key) = (draft.span.clone(), draft.key.clone());
        let before = reader.problems.len();
        if let Some(name) = &draft.name {
            check_name(reader, &draft.key, name);
            if names.insert(name.value.clone(), name.span.start).is_some() {
                let mend = "take another name: metrics and explanations tell rules apart by it";
                reader.problem(name.span.clone(), format!("{}.name", draft.key), "another rule has this name", mend);
            }
        }
        let name = draft.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        conditions.push(draft.when.as_ref().map(|when| when.span.clone()).unwrap_or_default());
        let rule = rule(reader, draft, known, literals).filter(|_| reader.problems.len() == before);
        let asked = rates.len();
        rule.iter().for_each(|rule| rates.extend(rule.rates()));
        if asked <= MAX_RATES && rates.len() > MAX_RATES {
            let cause = format!("a policy asks for at most {MAX_RATES} rates");
            reader.problem(span, key, cause, "count by the same key and time in several rules");
        }
        rules.push((name, rule));
    }
    let placed = rules.iter().zip(conditions).filter_map(|((_, rule), span)| Some((rule.as_ref()?, span)));
    reach::check(reader, &placed.collect::<Vec<_>>());
    rules
}

fn check_name(reader: &mut Reader<'_>, key: &str, name: &Spot<String>) {
    let fits = (1..=64).contains(&name.value.len())
        && name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        let mend = "name it with small letters, digits and -, at most 64 of them";
        reader.problem(name.span.clone(), format!("{key}.name"), "this is not a rule's name", mend);
    }
}

fn rule(reader: &mut Reader<'_>, draft: DraftRule, known: Known<'_>, literals: &mut Literals) -> Option<Rule> {
    let missing = [
        ("name", "name = \"no-reverse-name\""),
        ("at", "at = \"data\", or connect, mail, rcpt"),
        ("when", "when = \"dmarc.result == 'fail'\""),
    ];
    require(reader, &draft.key, &draft.span, &draft.has, &missing);
    let does = ["action", "score", "folder", "add_headers", "remove_headers", "tag_subject", "redirect"];
    if !draft.has.iter().any(|key| does.contains(&key.as_str())) {
        let cause = "the rule does nothing: it has neither action nor score, and changes nothing";
        reader.problem(draft.span.clone(), draft.key.clone(), cause, "add action = \"quarantine\" or score = 1.0");
    }
    check_action(reader, &draft);
    if let Some(score) = draft.score.as_ref().filter(|score| score.value.abs() > MAX_SCORE) {
        let cause = format!("a score is at most {MAX_SCORE}, and at least -{MAX_SCORE}");
        reader.problem(score.span.clone(), format!("{}.score", draft.key), cause, "write a smaller number");
    }
    let reply = reply(reader, &draft);
    let changes = changes::read(reader, &draft);
    let share = share(reader, &draft);
    let at = draft.at.as_ref()?.value;
    let mut condition = |reader: &mut Reader<'_>, text: &Spot<String>, key: &str| {
        let compiled = Condition::compile(&text.value, at, known, literals);
        take(reader, text, &format!("{}.{key}", draft.key), compiled)
    };
    let when = draft.when.as_ref().and_then(|when| condition(reader, when, "when"));
    // `None` within: it has faults
    let except = draft.except.as_ref().map(|except| condition(reader, except, "except"));
    reach::check_exception(reader, &draft, except.as_ref().and_then(Option::as_ref));
    let why = draft.why.as_ref().map(|why| {
        let parsed = Template::parse(&why.value, Use::Why, at);
        take(reader, why, &format!("{}.why", draft.key), parsed)
    });
    Some(Rule {
        name: draft.name?.value,
        at,
        written: [&draft.when, &draft.except]
            .map(|text| text.as_ref().map_or("", |text| text.value.as_str()))
            .join("\n"),
        condition: when?,
        except: except.map_or(Some(None), |except| except.map(Some))?,
        action: draft.action.map(|action| action.value),
        reply: reply?,
        why: why.map_or(Some(None), |why| why.map(Some))?,
        score: draft.score.map(|score| score.value),
        changes,
        observe: draft.observe.is_some_and(|observe| observe.value),
        share,
    })
}

/// The percentage of messages that the rule acts on; `None`: on all.
fn share(reader: &mut Reader<'_>, draft: &DraftRule) -> Option<u8> {
    let share = draft.share.as_ref()?;
    let key = format!("{}.share", draft.key);
    if draft.observe.as_ref().is_some_and(|observe| observe.value) {
        let mend = "leave out observe once it is to act on a share, or share while it acts on nobody";
        reader.problem(share.span.clone(), key, "a rule that only observes has no share", mend);
        return None;
    }
    let percent = (1..=100).find(|percent| f64::from(*percent) == share.value);
    if percent.is_none() {
        let mend = "write 10 for ten percent of messages; none is observe = true";
        reader.problem(share.span.clone(), key, "a share is a whole number of percent, 1 to 100", mend);
    }
    percent
}

fn require(reader: &mut Reader<'_>, key: &str, span: &Range<usize>, has: &[String], wanted: &[(&str, &str)]) {
    for (name, example) in wanted {
        if !has.iter().any(|key| key == name) {
            reader.problem(span.clone(), key, format!("{name} is missing"), format!("add {example}"));
        }
    }
}

fn check_action(reader: &mut Reader<'_>, draft: &DraftRule) {
    let (Some(action), Some(at)) = (&draft.action, &draft.at) else {
        return;
    };
    let key = format!("{}.action", draft.key);
    if matches!(action.value, RuleAction::Quarantine | RuleAction::Discard) && at.value != Stage::Data {
        let cause = format!("there is no message to {} at stage {}", action.value, at.value);
        reader.problem(action.span.clone(), key, cause, "write at = \"data\"");
    } else if action.value == RuleAction::Greylist && at.value < Stage::Rcpt {
        let cause = format!("whom the mail is for is not known at stage {}", at.value);
        reader.problem(action.span.clone(), key, cause, "write at = \"rcpt\"");
    }
}

/// The rule's reply, or that of its action where it has none.
fn reply(reader: &mut Reader<'_>, draft: &DraftRule) -> Option<Template> {
    let action = draft.action.as_ref().map(|action| action.value);
    let Some(text) = &draft.reply else {
        return Some(Template::default_for(action.unwrap_or_default()));
    };
    let key = format!("{}.reply", draft.key);
    match action {
        Some(action @ (RuleAction::Reject | RuleAction::Defer | RuleAction::Greylist)) => {
            let parsed = Template::parse(&text.value, Use::Reply(action.action()), draft.at.as_ref()?.value);
            take(reader, text, &key, parsed)
        }
        // An action that can't be read is told already.
        None if draft.has.iter().any(|key| key == "action") => None,
        _ => {
            reader.problem(
                text.span.clone(),
                key,
                "only reject, defer and greylist have a reply",
                "leave the reply out",
            );
            None
        }
    }
}

/// What was made of a string, or its faults as problems at their places within it.
pub(super) fn take<T>(
    reader: &mut Reader<'_>,
    text: &Spot<String>,
    key: &str,
    made: Result<T, Vec<super::place::Fault>>,
) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(faults) => {
            for fault in faults {
                reader.problems.push(fault.into_problem(reader.source, &text.span, &text.value, key));
            }
            None
        }
    }
}
