//! What a test gives: values of facts, held to the facts' types and to the block lists of the configuration.

use crate::facts::table::{self, Given, Mistake, Value};
use crate::facts::word::Stage;
use crate::problem::nearest;

use super::keys::{Reader, Spot};
use super::rate;
use super::zones::Zones;

/// The facts of a test, and its score.
pub(super) fn given(
    reader: &mut Reader<'_>,
    key: &str,
    at: Stage,
    values: Vec<(Spot<String>, Value<'static>)>,
    zones: &Zones,
) -> (Given, f64) {
    let key = format!("{key}.given");
    let mut given = Given::new();
    let mut score = 0.0;
    for (name, value) in values {
        if reader.has_many() {
            break;
        }
        match (name.value.as_str(), &value) {
            ("score", Value::Double(n)) if n.is_finite() => score = *n,
            ("score", Value::Int(n)) => score = *n as f64,
            _ => {}
        }
        if rate::is_rate(&name.value) {
            rate::given(reader, &key, at, &mut given, (&name, value));
            continue;
        }
        if let Some(entries) = entries(&name, &value) {
            for (zone, fields) in entries {
                list(reader, &key, at, zones, &mut given, (&name, zone, fields));
            }
            continue;
        }
        if let Err(mistake) = given.set(&name.value, value) {
            tell(reader, &key, &name, mistake);
        } else if table::find(&name.value).is_some_and(|fact| !fact.known_at(at)) {
            let cause = format!("{} is not known at stage {at}", name.value);
            reader.problem(name.span, key.clone(), cause, "leave it out, or test another stage with at");
        }
    }
    (given, score)
}

fn tell(reader: &mut Reader<'_>, key: &str, name: &Spot<String>, mistake: Mistake) {
    let mend = mend_for(&mistake);
    let cause = match mistake {
        Mistake::UnknownFact(_) => mistake.to_string(),
        _ => format!("{}: {mistake}", name.value),
    };
    reader.problem(name.span.clone(), key, cause, mend);
}

type Fields = Vec<(String, Value<'static>)>;

/// What is given of block lists, by zone: `"block_lists['zen.example'].listed" = true`, or TOML's own
/// `block_lists."zen.example".listed = true`. `None` for other facts.
fn entries(name: &Spot<String>, value: &Value<'static>) -> Option<Vec<(String, Fields)>> {
    let rest = name.value.strip_prefix("block_lists")?;
    if let Some((zone, field)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("].")) {
        let quoted = |quote: char| zone.strip_prefix(quote).and_then(|zone| zone.strip_suffix(quote));
        let zone = quoted('\'').or_else(|| quoted('"'))?;
        return Some(vec![(zone.to_owned(), vec![(field.to_owned(), value.clone())])]);
    }
    let Value::Map(zones) = value else { return None };
    let fields = |value: &Value<'static>| match value {
        Value::Map(fields) => Some(fields.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()),
        _ => None,
    };
    rest.is_empty().then(|| zones.iter().map(|(zone, value)| Some((zone.to_string(), fields(value)?))).collect())?
}

/// What a test gives of one block list.
fn list(
    reader: &mut Reader<'_>,
    key: &str,
    at: Stage,
    zones: &Zones,
    given: &mut Given,
    (name, zone, fields): (&Spot<String>, String, Fields),
) {
    match zones.find(&zone) {
        Err((cause, mend)) => return reader.problem(name.span.clone(), key, cause, mend),
        Ok(list) if !list.known_at(at) => {
            let cause = format!("{zone} lists domains, of which none is known at stage {at}");
            let mend = "leave it out, or test another stage with at";
            return reader.problem(name.span.clone(), key, cause, mend);
        }
        Ok(list) => {
            let codes = fields.iter().filter(|(field, _)| field == "codes").flat_map(|(_, value)| match value {
                Value::List(codes) => codes.as_slice(),
                _ => &[],
            });
            for code in codes {
                let Value::String(code) = code else { continue };
                if let Some((cause, mend)) = list.never(code) {
                    reader.problem(name.span.clone(), key, cause, mend);
                }
            }
        }
    }
    for (field, value) in fields {
        if let Err(mistake) = given.set_field("block_lists", &zone, &field, value) {
            tell(reader, key, name, mistake);
        }
    }
}

fn mend_for(mistake: &Mistake) -> String {
    let (got, known): (&str, Vec<&str>) = match mistake {
        Mistake::UnknownFact(got) => (got, table::names().collect()),
        Mistake::NotAWord { got, words } => (got, words.to_vec()),
        Mistake::UnknownField { got, fields } => (got, fields.clone()),
        Mistake::WrongType { wanted, .. } => return format!("give it a value of type {wanted}"),
        Mistake::NotAnAddress { .. } => return "write one such as 192.0.2.1 or 2001:db8::1".to_owned(),
    };
    match nearest(got, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if matches!(mistake, Mistake::UnknownFact(_)) => "`gatepost facts` lists them all".to_owned(),
        None => {
            format!("it is one of {}", known.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "))
        }
    }
}
