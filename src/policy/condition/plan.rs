//! How a condition is run: `&&`, `||`, `!` and the tests that rules are made of ([`Predicate`]) are made ready when the policy is
//! loaded, and cost a comparison each; whatever else a condition says is run by CEL. Both come to the same: a test holds every
//! condition here to what CEL says of it.

use cel::ExecutionError;
use cel::common::ast::{Expr, LiteralValue, operators};
use cel::parser::Expression;

use crate::facts::table::{FactSource, Value};

use super::predicate::{Entry, Predicate};
use super::{Lists, Literals};

/// A condition that is ready to run.
#[derive(Debug)]
pub(super) enum Plan {
    /// What is written out.
    Always(bool),
    /// `a && b`
    Both(Box<[Plan; 2]>),
    /// `a || b`
    Either(Box<[Plan; 2]>),
    /// `!a`
    Not(Box<Plan>),
    /// A test of a fact.
    Test(Box<Predicate>),
    /// What CEL runs.
    Cel(Expression),
}

/// Why a condition comes to nothing.
#[derive(Debug)]
pub(super) enum Stop {
    /// It hangs on a fact that is not known.
    Unknown,
    /// What a checked condition can still run into.
    Error(ExecutionError),
}

/// What conditions are run on.
pub(super) struct Ground<'a> {
    /// The facts.
    pub facts: &'a dyn FactSource,
    /// The score up to here: it grows from rule to rule.
    pub score: f64,
    /// The lists of the policy.
    pub lists: &'a Lists,
    /// Has CEL run an expression.
    pub cel: &'a dyn Fn(&Expression) -> Result<bool, Stop>,
}

impl Plan {
    /// Of a condition that was checked: as it is written, and with its macros expanded, which is what CEL runs.
    pub fn of(written: &Expression, expanded: &Expression, literals: &Literals) -> Plan {
        Plan::natively(written, None, literals).unwrap_or_else(|| match (parts(written), parts(expanded)) {
            (Some((operator, [a, b])), Some((same, [to_run_a, to_run_b]))) if operator == same => {
                let both = Box::new([Plan::of(a, to_run_a, literals), Plan::of(b, to_run_b, literals)]);
                if operator == operators::LOGICAL_AND { Plan::Both(both) } else { Plan::Either(both) }
            }
            _ => match (negated(written), negated(expanded)) {
                (Some(a), Some(to_run)) => Plan::Not(Box::new(Plan::of(a, to_run, literals))),
                _ => Plan::Cel(expanded.clone()),
            },
        })
    }

    /// Of an expression of which nothing is left to CEL; `None` where something would be. `entry` is what `exists` and
    /// `all` go over.
    pub fn natively(written: &Expression, entry: Option<Entry<'_>>, literals: &Literals) -> Option<Plan> {
        if let Expr::Literal(LiteralValue::Boolean(truth)) = &written.expr {
            return Some(Plan::Always(*truth.inner()));
        }
        if let Some((operator, [a, b])) = parts(written) {
            let both = Box::new([Plan::natively(a, entry, literals)?, Plan::natively(b, entry, literals)?]);
            return Some(if operator == operators::LOGICAL_AND { Plan::Both(both) } else { Plan::Either(both) });
        }
        if let Some(a) = negated(written) {
            return Some(Plan::Not(Box::new(Plan::natively(a, entry, literals)?)));
        }
        Predicate::of(written, entry, literals).map(|test| Plan::Test(Box::new(test)))
    }

    /// Whether it holds. What is known decides where it can: `false && x` and `x && false` are false whatever x is, and so is
    /// `true || x` true.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn holds(&self, ground: &Ground<'_>, entry: Option<&Value<'_>>) -> Result<bool, Stop> {
        match self {
            Plan::Always(truth) => Ok(*truth),
            Plan::Both(both) => decided(false, both, ground, entry),
            Plan::Either(both) => decided(true, both, ground, entry),
            Plan::Not(plan) => plan.holds(ground, entry).map(|holds| !holds),
            Plan::Test(test) => test.holds(ground, entry),
            Plan::Cel(expression) => (ground.cel)(expression),
        }
    }
}

/// `a && b` is decided where one of them is false, `a || b` where one is true.
fn decided(by: bool, [a, b]: &[Plan; 2], ground: &Ground<'_>, entry: Option<&Value<'_>>) -> Result<bool, Stop> {
    match a.holds(ground, entry) {
        Ok(holds) if holds == by => Ok(by),
        Ok(_) => b.holds(ground, entry),
        Err(stop) => match b.holds(ground, entry)? {
            holds if holds == by => Ok(by),
            _ => Err(stop),
        },
    }
}

/// Goes over the entries of a list as `exists` does where `by` is true, as `all` does where it is false.
///
/// # Errors
/// The last [`Stop`], where no entry decides.
pub(super) fn any_is(by: bool, body: &Plan, entries: &[Value<'_>], ground: &Ground<'_>) -> Result<bool, Stop> {
    let mut outcome = Ok(!by);
    for entry in entries {
        match body.holds(ground, Some(entry)) {
            Ok(holds) if holds == by => return Ok(by),
            Ok(_) => {}
            Err(stop) => outcome = Err(stop),
        }
    }
    outcome
}

/// The operands of `&&` or `||`.
fn parts(expression: &Expression) -> Option<(&str, &[Expression; 2])> {
    let Expr::Call(call) = &expression.expr else { return None };
    let joins =
        call.target.is_none() && matches!(call.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR);
    let operands = call.args.as_slice().try_into().ok().filter(|_| joins)?;
    Some((call.func_name.as_str(), operands))
}

/// What `!` stands before.
fn negated(expression: &Expression) -> Option<&Expression> {
    match &expression.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_NOT && call.target.is_none() => call.args.first(),
        _ => None,
    }
}
