//! `rate('client', '10m')`: how often something was so before. What is asked stands in the condition and is read when the policy is
//! loaded, so that it can be recalled before anything is decided.

use std::sync::Arc;

use cel::ExecutionError;
use cel::FunctionContext;
use cel::common::types::CelInt;
use cel::parser::Expression;

use crate::facts::rate::{Rate, RateMistake};
use crate::facts::table::{self, FactSource, Value};
use crate::facts::word::RatePart;
use crate::problem::nearest;

use super::check::{Checker, string_literal};
use super::kind::Kind;

/// How it is called.
pub(super) const EXAMPLE: &str = "write rate('client', '10m')";
/// How a variable is called that stands for a rate while a condition runs: no fact begins like this.
const PREFIX: &str = "rates/";

impl<'a> Checker<'a> {
    /// The call of `rate`.
    pub(super) fn rate(&mut self, expression: &'a Expression, key: &'a Expression, window: &'a Expression) -> Kind {
        let mut literal = |argument: &'a Expression| {
            let text = string_literal(argument);
            if text.is_none() {
                self.fault(argument, "what a rate is of is written out, it can't come from a fact", EXAMPLE);
            }
            text
        };
        let (Some(key_text), Some(window_text)) = (literal(key), literal(window)) else { return Kind::Int };
        match Rate::parse(key_text, window_text) {
            Err(mistake) => {
                let at = if matches!(mistake, RateMistake::Window(_)) { window } else { key };
                self.fault(at, mistake.to_string(), mend(&mistake));
            }
            Ok(rate) if !rate.known_at(self.stage) => {
                let cause = format!("the rate of {key_text} is not known at stage {}", self.stage);
                self.fault(expression, cause, rate.known_when());
            }
            Ok(rate) => {
                table::find("rates").into_iter().for_each(|fact| self.reads.facts.insert(fact));
                self.reads.rates.insert(rate);
            }
        }
        Kind::Int
    }
}

/// How a mistake in a rate is mended.
pub(in super::super) fn mend(mistake: &RateMistake) -> String {
    match mistake {
        RateMistake::Part(word) => match nearest(word, RatePart::WORDS.iter().copied()) {
            Some(known) => format!("did you mean '{known}'?"),
            None => format!("they count by {}; several are joined by +", RatePart::WORDS.join(", ")),
        },
        RateMistake::Parts => "leave some out".to_owned(),
        RateMistake::Window(_) => "write a number and s, m, h or d, as in '10m'".to_owned(),
        RateMistake::Never => "count by one of them".to_owned(),
    }
}

/// What `rate` gives when it runs.
pub(super) fn run(context: &FunctionContext<'_, '_>, key: &str, window: &str) -> Result<i64, ExecutionError> {
    let rate = Rate::parse(key, window).map_err(|mistake| context.error(mistake))?;
    let value = context.ptx.get_variable(format!("{PREFIX}{rate}"));
    let count = value.and_then(|value| value.as_ref().downcast_ref::<CelInt>().map(|n| *n.inner()));
    count.ok_or_else(|| ExecutionError::UndeclaredReference(Arc::new(rate.to_string())))
}

/// The variable that [`run`] asks for; `None` where it is another, or where the rate is not known.
pub(super) fn variable(name: &str, facts: &dyn FactSource) -> Option<CelInt> {
    count(name.strip_prefix(PREFIX)?, facts).map(CelInt::from)
}

/// The name in the record of what a call of `rate` asks for.
pub(super) fn name(key: &str, window: &str) -> Option<String> {
    Rate::parse(key, window).ok().map(|rate| rate.to_string())
}

/// A rate by its name in the record; `None` where it is not known.
pub(super) fn count(name: &str, facts: &dyn FactSource) -> Option<i64> {
    let Value::Map(counts) = facts.find(table::find("rates")?)? else { return None };
    let count = counts.iter().find_map(|(known, count)| match count {
        Value::Int(n) if known == name => Some(*n),
        _ => None,
    });
    count.or_else(|| facts.is_whole().then_some(0))
}
