//! What a test gives: values of facts, held to the facts' types and to the block lists of the configuration; entries of lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::table::{self, Given, Mistake, Value};
use crate::facts::word::Stage;
use crate::problem::nearest;

use super::TestGiven;
use super::condition::{Known, Lists, wrong_header};
use super::keys::{Reader, Spot};
use super::lists::List;
use super::load::ENTRIES;
use super::rate;
use super::zones::Zones;

/// The facts, the score and the lists of a test.
pub(super) fn given(
    reader: &mut Reader<'_>,
    key: &str,
    at: Stage,
    values: Vec<(Spot<String>, Value<'static>)>,
    known: Known<'_>,
) -> TestGiven {
    let key = format!("{key}.given");
    let zones = known.zones;
    let mut given = Given::new();
    let (mut score, mut lists) = (0.0, Lists::new());
    let mut headers: BTreeMap<String, Fields> = BTreeMap::new();
    for (name, value) in values {
        if reader.has_many() {
            break;
        }
        match (name.value.as_str(), &value) {
            ("score", Value::Double(n)) if n.is_finite() => score = *n,
            ("score", Value::Int(n)) => score = *n as f64,
            _ => {}
        }
        if let Some(list_name) = name.value.strip_prefix("lists.") {
            if let Some(list) = own_list(reader, &key, known.lists, (&name, list_name, &value)) {
                lists.insert(list_name.to_owned(), Arc::new(list));
            }
            continue;
        }
        if rate::is_rate(&name.value) {
            rate::given(reader, &key, at, &mut given, (&name, value));
            continue;
        }
        if let Some(entries) = entries("headers", &name, &value) {
            for (field_name, fields) in entries {
                header(reader, &key, at, &mut given, (&name, &field_name, &fields));
                headers.entry(field_name).or_default().extend(fields);
            }
            continue;
        }
        if let Some(entries) = entries("block_lists", &name, &value) {
            for (zone, fields) in entries {
                list(reader, &key, at, zones, &mut given, (&name, zone, fields));
            }
            continue;
        }
        let never = never(&name.value, &value);
        if let Err(mistake) = given.set(&name.value, value) {
            tell(reader, &key, &name, mistake);
        } else if let Some((cause, mend)) = never {
            reader.problem(name.span, key.clone(), cause, mend);
        } else if table::find(&name.value).is_some_and(|fact| !fact.known_at(at)) {
            let cause = format!("{} is not known at stage {at}", name.value);
            reader.problem(name.span, key.clone(), cause, "leave it out, or test another stage with at");
        }
    }
    for (name, fields) in headers {
        for (field, value) in implied(&fields) {
            // a value that does not fit is told already
            let _ = given.set_field("headers", &name, field, value);
        }
    }
    TestGiven { facts: given, score, lists }
}

/// What is wrong with a number that the fact never is: a test that gives it holds nothing.
fn never(name: &str, value: &Value<'static>) -> Option<(String, String)> {
    let told = |name: &str, number: i64, (least, most): (i64, i64)| match most {
        i64::MAX => (format!("{name} is never below {least}, this is {number}"), "give it a greater number".to_owned()),
        most => (format!("{name} is from {least} to {most}, never {number}"), "give it one of these".to_owned()),
    };
    match value {
        Value::Int(number) => {
            let range = table::find(name)?.range?;
            (!(range.0..=range.1).contains(number)).then(|| told(name, *number, range))
        }
        // what is counted or measured in entries of lists
        Value::List(items) => items.iter().find_map(|item| never(name, item)),
        Value::Map(fields) => fields.iter().find_map(|(field, item)| match item {
            Value::Int(number) if *number < 0 => Some(told(&format!("{name}[].{field}"), *number, (0, i64::MAX))),
            _ => None,
        }),
        _ => None,
    }
}

/// The entries that a list has in this test, whatever stands in the policy: `"lists.forwarders" = ["mx.example.net"]`.
fn own_list(
    reader: &mut Reader<'_>,
    key: &str,
    lists: &Lists,
    (spot, name, value): (&Spot<String>, &str, &Value<'static>),
) -> Option<List> {
    if !lists.contains_key(name) {
        let mend = match nearest(name, lists.keys().map(String::as_str)) {
            Some(near) => format!("did you mean \"lists.{near}\"?"),
            None => format!("add {name} = [] to [lists]"),
        };
        reader.problem(spot.span.clone(), key, format!("there is no list \"{name}\""), mend);
        return None;
    }
    let Value::List(entries) = value else {
        let mend = format!("write \"lists.{name}\" = [\"mx.example.net\"]");
        reader.problem(spot.span.clone(), key, format!("{}: a test gives a list's entries", spot.value), mend);
        return None;
    };
    let mut list = List::default();
    for entry in entries {
        let added = match entry {
            Value::String(entry) => list.add(entry),
            _ => Err("an entry is a string"),
        };
        if let Err(cause) = added {
            reader.problem(spot.span.clone(), key, format!("{}: {cause}", spot.value), ENTRIES);
            return None;
        }
    }
    Some(list)
}

/// Tells what is wrong with a fact that is given.
pub(crate) fn tell(reader: &mut Reader<'_>, key: &str, name: &Spot<String>, mistake: Mistake) {
    let mend = mend_for(&mistake);
    let cause = match mistake {
        Mistake::UnknownFact(_) => mistake.to_string(),
        _ => format!("{}: {mistake}", name.value),
    };
    reader.problem(name.span.clone(), key, cause, mend);
}

type Fields = Vec<(String, Value<'static>)>;

/// What is given of a fact that has records by name: `"block_lists['zen.example'].listed" = true`, or TOML's own
/// `block_lists."zen.example".listed = true`. `None` for other facts.
fn entries(fact: &str, name: &Spot<String>, value: &Value<'static>) -> Option<Vec<(String, Fields)>> {
    let rest = name.value.strip_prefix(fact)?;
    if let Some((entry, field)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("].")) {
        let quoted = |quote: char| entry.strip_prefix(quote).and_then(|entry| entry.strip_suffix(quote));
        let entry = quoted('\'').or_else(|| quoted('"'))?;
        return Some(vec![(entry.to_owned(), vec![(field.to_owned(), value.clone())])]);
    }
    let Value::Map(entries) = value else { return None };
    let fields = |value: &Value<'static>| match value {
        Value::Map(fields) => Some(fields.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()),
        _ => None,
    };
    rest.is_empty().then(|| entries.iter().map(|(name, value)| Some((name.to_string(), fields(value)?))).collect())?
}

/// What a test gives of the header fields of one name.
fn header(reader: &mut Reader<'_>, key: &str, at: Stage, given: &mut Given, of: (&Spot<String>, &str, &Fields)) {
    let (name, field_name, fields) = of;
    if let Some((cause, mend)) = wrong_header(field_name) {
        return reader.problem(name.span.clone(), key, cause, mend);
    }
    if let Some(fact) = table::find("headers").filter(|fact| !fact.known_at(at)) {
        let cause = format!("{} is not known at stage {at}", fact.name);
        return reader.problem(name.span.clone(), key, cause, "leave it out, or test another stage with at");
    }
    for (field, value) in fields {
        if let Err(mistake) = given.set_field("headers", field_name, field, value.clone()) {
            tell(reader, key, name, mistake);
        } else if matches!(value, Value::Int(n) if *n < 0) {
            let cause = format!("headers['{field_name}'].{field} is never below 0");
            reader.problem(name.span.clone(), key, cause, "give it a greater number");
        }
    }
}

/// What a test need not give of a header field because it follows: a field that has a text is there, and is one; the only one is
/// the last one too.
fn implied(fields: &Fields) -> Vec<(&'static str, Value<'static>)> {
    let given = |field: &str| fields.iter().find(|(name, _)| name == field).map(|(_, value)| value);
    let present = match (given("present"), given("count")) {
        (Some(present), _) => *present == Value::Bool(true),
        (None, Some(count)) => *count != Value::Int(0),
        (None, None) => given("value").or(given("last")).is_some(),
    };
    let mut implied = Vec::new();
    if given("present").is_none() {
        implied.push(("present", Value::Bool(present)));
    }
    if given("count").is_none() {
        implied.push(("count", Value::Int(present.into())));
    }
    match (given("value"), given("last")) {
        (Some(only), None) => implied.push(("last", only.clone())),
        (None, Some(only)) => implied.push(("value", only.clone())),
        _ => {}
    }
    implied
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
