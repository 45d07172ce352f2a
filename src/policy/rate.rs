//! Rates that a test gives: `"rate('client', '10m')" = 30` as conditions ask, `"rates['client/10m']" = 30` as the record has it, or
//! TOML's own `rates."client/10m" = 30`.

use crate::facts::rate::{Rate, RateMistake};
use crate::facts::table::{Given, Value};
use crate::facts::word::Stage;

use super::condition::rate_mend;
use super::keys::{Reader, Spot};

/// Whether what a test gives is a rate.
pub(crate) fn is_rate(name: &str) -> bool {
    name == "rates" || name.starts_with("rates[") || name.starts_with("rate(")
}

/// Takes what a test gives of rates.
pub(super) fn given(
    reader: &mut Reader<'_>,
    key: &str,
    at: Stage,
    given: &mut Given,
    (name, value): (&Spot<String>, Value<'static>),
) {
    let named = match value {
        Value::Map(entries) if name.value == "rates" => {
            entries.into_iter().map(|(name, count)| (Rate::from_name(&name), count)).collect()
        }
        value => vec![(read(&name.value), value)],
    };
    for (rate, count) in named {
        let rate = match rate {
            Ok(rate) if rate.known_at(at) => rate,
            Ok(rate) => {
                let cause = format!("the rate {rate} is not known at stage {at}");
                reader.problem(name.span.clone(), key, cause, rate.known_when());
                continue;
            }
            Err(mistake) => {
                reader.problem(name.span.clone(), key, mistake.to_string(), rate_mend(&mistake));
                continue;
            }
        };
        if let Value::Int(count @ i64::MIN..0) = &count {
            let cause = format!("the rate {rate} is never below 0, this is {count}");
            reader.problem(name.span.clone(), key, cause, "give it a greater number");
        } else if let Err(mistake) = given.set_count("rates", &rate.to_string(), count) {
            reader.problem(name.span.clone(), key, format!("the rate {rate}: {mistake}"), "give it a whole number");
        }
    }
}

/// The rate that a name asks for, at whatever stage it is known.
///
/// # Errors
/// What is wrong with it, and the mend.
pub(crate) fn named(name: &str) -> Result<Rate, (String, String)> {
    read(name).map_err(|mistake| (mistake.to_string(), rate_mend(&mistake)))
}

/// The rate that a name asks for.
fn read(name: &str) -> Result<Rate, RateMistake> {
    if let Some(arguments) = name.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')')) {
        let (key, window) = arguments.split_once(',').unwrap_or((arguments, ""));
        return Rate::parse(unquoted(key), unquoted(window));
    }
    let inner = name.strip_prefix("rates[").and_then(|rest| rest.strip_suffix(']'));
    Rate::from_name(unquoted(inner.unwrap_or(name)))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let within = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    within('\'').or_else(|| within('"')).unwrap_or(text)
}
