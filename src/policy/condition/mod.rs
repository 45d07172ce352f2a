//! Conditions: CEL expressions over facts. [`Condition::compile`] bounds, checks and compiles one; [`Runner`] runs it.
//!
//! CEL has no type checker here, so that a misspelt fact would fail only when a message comes in. Ours ([`check`]) walks the
//! expression before its macros are expanded, and lets through what can run without surprise.

mod block_list;
mod check;
mod forwarded;
mod function;
mod header;
mod kind;
mod literals;
mod operators;
mod outline;
mod plan;
mod predicate;
mod range;
mod rate;
mod run;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use cel::Env;
use cel::parser::ParseErrors;

use crate::facts::rate::Rate;
use crate::facts::table::FactSet;
use crate::facts::word::Stage;

use super::lists::List;
use super::place::Fault;
use super::zones::Zones;
use plan::Plan;

pub(super) use header::{MAX_HEADERS, wrong_name as wrong_header};
pub(super) use literals::Literals;
pub(super) use outline::Outline;
pub(super) use rate::mend as rate_mend;
pub(super) use run::{Named, Runner};
pub use shape::{MAX_BYTES, MAX_DEPTH};

/// The lists of a policy by name.
pub(super) type Lists = BTreeMap<String, Arc<List>>;

/// What a condition may name besides facts.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub lists: &'a Lists,
    pub zones: &'a Zones,
}

/// What a condition reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads {
    pub facts: FactSet,
    /// The header fields, by their names in lower case.
    pub headers: BTreeSet<String>,
    pub rates: BTreeSet<Rate>,
}

/// A condition that was checked and is ready to run.
#[derive(Debug)]
pub(super) struct Condition {
    plan: Plan,
    reads: Reads,
    outline: Outline,
}

impl Condition {
    /// Bounds, parses, checks and compiles a condition; what it writes out for its functions is added to `literals`.
    ///
    /// # Errors
    /// Every fault in it.
    pub fn compile(text: &str, at: Stage, known: Known<'_>, literals: &mut Literals) -> Result<Condition, Vec<Fault>> {
        if text.trim().is_empty() {
            return Err(vec![Fault::new(
                0..text.len(),
                "the condition is empty",
                "a rule for everything has when = \"true\"",
            )]);
        }
        shape::measure(text).map_err(|fault| vec![fault])?;
        // As written, for the checker; then with macros expanded, for running.
        let plain = Env::default().with_optional_support(false).with_stdlib();
        let (mut written, info) =
            plain.parser().parse_with_source_info(text).map_err(|errors| syntax_faults(text, &errors))?;
        let reads = check::check(&written, text, &info, at, known, literals)?;
        let running = Env::stdlib().with_optional_support(false);
        let mut expression = running.parser().parse(text).map_err(|errors| syntax_faults(text, &errors))?;
        let outline = Outline::of(&written, reads.facts.contains("score"));
        forwarded::expand(&mut written, &plain, at);
        forwarded::expand(&mut expression, &running, at);
        Ok(Condition { plan: Plan::of(&written, &expression, literals), reads, outline })
    }

    /// What of it can be told without facts.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// The facts that it reads.
    pub fn reads(&self) -> FactSet {
        self.reads.facts
    }

    /// The header fields that it reads.
    pub fn headers(&self) -> &BTreeSet<String> {
        &self.reads.headers
    }

    /// The rates that it asks for.
    pub fn rates(&self) -> &BTreeSet<Rate> {
        &self.reads.rates
    }
}

/// The first of the parser's complaints: what it says after that is mostly about the same mistake.
fn syntax_faults(text: &str, errors: &ParseErrors) -> Vec<Fault> {
    let Some(first) = errors.errors.first() else {
        return vec![Fault::new(0..text.len(), "this is not CEL", "")];
    };
    let span = place_of(text, first.pos);
    let message: String = first.msg.chars().take(200).collect();
    let hint = if text.get(span.clone()).is_some_and(|found| found == "=") || message.contains("'='") {
        "equality is written =="
    } else if text.contains(" and ") || text.contains(" or ") || text.contains(" not ") {
        "CEL writes && for and, || for or, ! for not"
    } else {
        "`gatepost facts` lists the facts; a condition looks like dmarc.result == 'fail'"
    };
    vec![Fault::new(span, format!("this is not CEL: {}", plain_message(&message)), hint)]
}

/// The parser's message in words, without its list of all the tokens that could have stood there.
fn plain_message(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    let message = message.split(" expecting ").next().unwrap_or(message);
    if message.starts_with("Incomplete") {
        return "something is missing".to_owned();
    }
    if let Some(missing) = message.strip_prefix("missing '") {
        return format!("{} is missing", missing.split('\'').next().unwrap_or_default());
    }
    let quoted = message.split_once('\'').map(|(_, rest)| rest.trim_end_matches('\'').trim());
    match quoted {
        Some("<EOF>") => "it ends too early".to_owned(),
        Some(token) => format!("{token} can't stand here"),
        None => message.to_owned(),
    }
}

/// The byte at the parser's line (from 1) and column (from 1).
fn place_of(text: &str, (line, column): (isize, isize)) -> Range<usize> {
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let mut chars = rest.char_indices().skip(column - 1);
    let at = chars.next().map_or(text.len(), |(at, _)| start + at);
    let end = chars.next().map_or(text.len(), |(next, _)| start + next);
    at..end
}
