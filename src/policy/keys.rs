//! Reading tables of TOML key by key: a key that is not known and a value of a wrong type are problems with their place.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::facts::table::Value;
use crate::problem::{Problem, Problems, Source, nearest};

/// A value and where it stands in the file.
#[derive(Debug, Clone)]
pub(crate) struct Spot<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// A table of the file, and how problems name it.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    pub entries: &'t DeTable<'t>,
    pub span: Range<usize>,
    pub key: String,
}

impl Table<'_> {
    fn key_of(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }
}

/// When so many problems are known, the rest of the file's names are not looked at: each costs a search for what was meant.
const MANY: usize = 1000;

/// Reads tables and gathers what is wrong with them.
pub(crate) struct Reader<'r> {
    pub source: &'r Arc<Source>,
    pub problems: &'r mut Problems,
}

impl Reader<'_> {
    /// Adds a problem.
    pub fn problem(
        &mut self,
        span: Range<usize>,
        key: impl Into<String>,
        cause: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.problems.push(Problem::at(self.source, span, key, cause, mend));
    }

    /// Whether there are so many problems that more would tell nobody anything.
    pub fn has_many(&self) -> bool {
        self.problems.len() >= MANY
    }

    /// Tells of the keys that are not known.
    pub fn hold_to(&mut self, table: &Table<'_>, known: &[&str]) {
        for name in table.entries.keys() {
            if known.contains(&name.get_ref().as_ref()) {
                continue;
            }
            if self.has_many() {
                return;
            }
            let mend = match nearest(name.get_ref(), known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("there are {}", known.join(", ")),
            };
            self.problem(name.span(), table.key_of(name.get_ref()), "this key is not known", mend);
        }
    }

    fn wrong<T>(&mut self, table: &Table<'_>, name: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        let cause = format!("this is {}, not {wanted}", article(value.get_ref().type_str()));
        self.problem(value.span(), table.key_of(name), cause, format!("write {wanted}"));
        None
    }

    /// A string.
    pub fn string(&mut self, table: &Table<'_>, name: &str) -> Option<Spot<String>> {
        let value = table.entries.get(name)?;
        match value.get_ref().as_str() {
            Some(text) => Some(Spot { value: text.to_owned(), span: value.span() }),
            None => self.wrong(table, name, value, "a string"),
        }
    }

    /// A string that is one of some words.
    pub fn word<T>(
        &mut self,
        table: &Table<'_>,
        name: &str,
        words: &[&str],
        read: fn(&str) -> Option<T>,
    ) -> Option<Spot<T>> {
        let text = self.string(table, name)?;
        if let Some(value) = read(&text.value) {
            return Some(Spot { value, span: text.span });
        }
        let mend = match nearest(&text.value, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it is one of {}", words.join(", ")),
        };
        self.problem(text.span, table.key_of(name), format!("\"{}\" is not one of its words", text.value), mend);
        None
    }

    /// A finite number, whole or not.
    pub fn number(&mut self, table: &Table<'_>, name: &str) -> Option<Spot<f64>> {
        let value = table.entries.get(name)?;
        let number = match value.get_ref() {
            // Scores are small: exact up to 2^53.
            DeValue::Integer(_) => integer(value.get_ref()).map(|n| n as f64),
            DeValue::Float(n) => n.as_str().parse().ok(),
            _ => None,
        };
        match number.filter(|n: &f64| n.is_finite()) {
            Some(number) => Some(Spot { value: number, span: value.span() }),
            None => self.wrong(table, name, value, "a finite number"),
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, table: &Table<'_>, name: &str) -> Option<Spot<bool>> {
        let value = table.entries.get(name)?;
        match value.get_ref().as_bool() {
            Some(b) => Some(Spot { value: b, span: value.span() }),
            None => self.wrong(table, name, value, "true or false"),
        }
    }

    /// A list of strings; entries that are none are left out.
    pub fn strings(&mut self, table: &Table<'_>, name: &str) -> Option<Vec<Spot<String>>> {
        let value = table.entries.get(name)?;
        let Some(items) = value.get_ref().as_array() else {
            return self.wrong(table, name, value, "an array of strings");
        };
        let mut strings = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str() {
                Some(text) => strings.push(Spot { value: text.to_owned(), span: item.span() }),
                None => self.wrong(table, name, item, "a string").unwrap_or_default(),
            }
        }
        Some(strings)
    }

    /// A table.
    pub fn table<'t>(&mut self, table: &Table<'t>, name: &str) -> Option<Table<'t>> {
        let value = table.entries.get(name)?;
        match value.get_ref().as_table() {
            Some(entries) => Some(Table { entries, span: value.span(), key: table.key_of(name) }),
            None => self.wrong(table, name, value, "a table"),
        }
    }

    /// An array of tables, as `[[name]]` writes it. Problems name each by its own `name`, else by its number.
    pub fn tables<'t>(&mut self, table: &Table<'t>, name: &str) -> Vec<Table<'t>> {
        let Some(value) = table.entries.get(name) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            let wanted = format!("tables that start with [[{name}]]");
            return self.wrong(table, name, value, &wanted).unwrap_or_default();
        };
        let mut tables = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item.get_ref().as_table() {
                Some(entries) => tables.push(Table { entries, span: item.span(), key: numbered(name, index, entries) }),
                None => self.wrong(table, name, item, "a table").unwrap_or_default(),
            }
        }
        tables
    }
}

/// How problems name a rule or a test: by its name, else by its number.
fn numbered(what: &str, index: usize, table: &DeTable<'_>) -> String {
    match table.get("name").and_then(|name| name.get_ref().as_str()) {
        Some(name) => format!("{what} \"{}\"", name.chars().take(80).collect::<String>()),
        None => format!("{what} {}", index + 1),
    }
}

/// A noun with its article.
pub(crate) fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// A TOML value as the value of a fact; `None` for dates and for numbers that are too large.
pub(crate) fn fact_value(value: &DeValue<'_>) -> Option<Value<'static>> {
    Some(match value {
        DeValue::String(text) => Value::String(Cow::Owned(text.to_string())),
        DeValue::Integer(_) => Value::Int(integer(value)?),
        DeValue::Float(n) => Value::Double(n.as_str().parse().ok()?),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| fact_value(item.get_ref())).collect::<Option<Vec<_>>>()?)
        }
        DeValue::Table(table) => {
            let fields = table
                .iter()
                .map(|(name, value)| Some((Cow::Owned(name.get_ref().to_string()), fact_value(value.get_ref())?)));
            Value::Map(fields.collect::<Option<Vec<_>>>()?)
        }
        DeValue::Datetime(_) => return None,
    })
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let n = value.as_integer()?;
    i64::from_str_radix(n.as_str(), n.radix()).ok()
}
