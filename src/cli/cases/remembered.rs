//! What a case gives of earlier mail: greylisting and rates, as a `[[test]]` gives them.

use std::collections::BTreeMap;

use crate::facts::table::{self, FactSource, Given, Value};
use crate::facts::{Greylist, GreylistKey, GreylistResult};
use crate::policy::draft::flatten;
use crate::policy::given;
use crate::policy::keys::{Reader, Table};
use crate::policy::rate;

/// What is remembered when a case comes.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {
    pub greylist: Greylist,
    pub rates: BTreeMap<String, u64>,
}

impl Remembered {
    /// Reads it; what is wrong with it is among the reader's problems.
    pub(super) fn read(reader: &mut Reader<'_>, table: &Table<'_>) -> Remembered {
        let mut values = Vec::new();
        flatten(reader, &table.key, "", table.entries, &mut values);
        let (mut facts, mut rates) = (Given::new(), BTreeMap::new());
        for (name, value) in values {
            let told = if rate::is_rate(&name.value) {
                one_rate(&name.value, &value, &mut rates).err()
            } else if name.value.starts_with("greylist.") {
                let negative = matches!(value, Value::Int(n) if n < 0);
                if let Err(mistake) = facts.set(&name.value, value) {
                    given::tell(reader, &table.key, &name, mistake);
                }
                negative.then(|| (format!("{} is never below 0", name.value), "give it a greater number".to_owned()))
            } else {
                let mend = "message.eml and zone.toml say all else; of earlier mail give greylist.result or rate('client', '10m')";
                Some((format!("a case gives no {}: it is found out", name.value), mend.to_owned()))
            };
            if let Some((cause, mend)) = told {
                reader.problem(name.span, table.key.clone(), cause, mend);
            }
        }
        Remembered { greylist: greylist(&facts), rates }
    }
}

fn one_rate(name: &str, value: &Value<'_>, rates: &mut BTreeMap<String, u64>) -> Result<(), (String, String)> {
    if let Value::Map(entries) = value {
        return entries.iter().try_for_each(|(name, count)| one_rate(name, count, rates));
    }
    let rate = rate::named(name)?;
    let count = match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        _ => None,
    };
    let count = count.ok_or_else(|| (format!("the rate {rate} is a count"), "give it a whole number".to_owned()))?;
    rates.insert(rate.to_string(), count);
    Ok(())
}

fn greylist(facts: &Given) -> Greylist {
    let value = |name: &str| table::find(name).map(|fact| facts.value(fact));
    let word = |name: &str| match value(name) {
        Some(Value::String(text)) => text.into_owned(),
        _ => String::new(),
    };
    let wait = match value("greylist.wait") {
        Some(Value::Int(seconds)) => u64::try_from(seconds).unwrap_or_default(),
        _ => 0,
    };
    Greylist {
        result: GreylistResult::from_word(&word("greylist.result")).unwrap_or_default(),
        key: GreylistKey::from_word(&word("greylist.key")).unwrap_or_default(),
        wait,
    }
}
