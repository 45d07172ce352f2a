//! The policy file as it is written: its keys and values with their places, before anything is asked of what they mean.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::facts::table::{self, Value};
use crate::facts::word::{Action, RuleAction, Stage};

use super::keys::{Reader, Spot, Table, article, fact_value};

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub description: Option<Spot<String>>,
    pub rules: Vec<DraftRule>,
    pub lists: Vec<DraftList>,
    pub tests: Vec<DraftTest>,
}

/// A `[[rule]]`.
#[derive(Debug)]
pub(super) struct DraftRule {
    /// How problems name it: `rule "dmarc-reject"`.
    pub key: String,
    pub span: Range<usize>,
    pub name: Option<Spot<String>>,
    pub at: Option<Spot<Stage>>,
    pub when: Option<Spot<String>>,
    pub except: Option<Spot<String>>,
    pub action: Option<Spot<RuleAction>>,
    pub reply: Option<Spot<String>>,
    pub why: Option<Spot<String>>,
    pub score: Option<Spot<f64>>,
    pub changes: DraftChanges,
    pub observe: Option<Spot<bool>>,
    pub share: Option<Spot<f64>>,
    /// The keys that stand in it, also those whose value is of no use.
    pub has: Vec<String>,
}

/// What a rule changes of the stored message.
#[derive(Debug, Default)]
pub(super) struct DraftChanges {
    pub folder: Option<Spot<String>>,
    /// Names and texts.
    pub add: Vec<(Spot<String>, Spot<String>)>,
    pub remove: Vec<Spot<String>>,
    pub tag: Option<Spot<String>>,
    pub redirect: Option<Spot<String>>,
}

impl DraftChanges {
    /// The keys that stand in it but `folder`, each with a place.
    pub fn places(&self) -> Vec<(&'static str, Range<usize>)> {
        let add = self.add.first().map(|(name, _)| name.span.clone());
        let remove = self.remove.first().map(|name| name.span.clone());
        let span = |text: &Option<Spot<String>>| text.as_ref().map(|text| text.span.clone());
        [
            ("add_headers", add),
            ("remove_headers", remove),
            ("tag_subject", span(&self.tag)),
            ("redirect", span(&self.redirect)),
        ]
        .into_iter()
        .filter_map(|(name, span)| Some((name, span?)))
        .collect()
    }
}

/// An entry of `[lists]`.
#[derive(Debug)]
pub(super) struct DraftList {
    pub name: Spot<String>,
    pub entries: DraftEntries,
}

/// Where the entries of a list stand.
#[derive(Debug)]
pub(super) enum DraftEntries {
    Inline(Vec<Spot<String>>),
    File(Spot<String>),
    /// Nowhere that can be read; told already.
    Nowhere,
}

/// A `[[test]]`.
#[derive(Debug)]
pub(super) struct DraftTest {
    /// How problems name it: `test "a forged bank is refused"`.
    pub key: String,
    pub span: Range<usize>,
    pub name: Option<Spot<String>>,
    pub at: Option<Spot<Stage>>,
    /// By names of facts, with the place of the name.
    pub given: Vec<(Spot<String>, Value<'static>)>,
    pub expect: Option<DraftExpect>,
    /// The keys that stand in it.
    pub has: Vec<String>,
}

/// A test's `expect`.
#[derive(Debug)]
pub(super) struct DraftExpect {
    pub span: Range<usize>,
    /// Nothing at all stands in it.
    pub is_empty: bool,
    pub action: Option<Spot<Action>>,
    pub rule: Option<Spot<String>>,
    pub score: Option<Spot<f64>>,
    pub observed: Option<Vec<Spot<String>>>,
    pub changed: Option<Vec<Spot<String>>>,
    pub excepted: Option<Vec<Spot<String>>>,
    pub reply: Option<Spot<String>>,
}

/// Reads the file as far as it can be read; what can't is among the reader's problems.
pub(super) fn read(reader: &mut Reader<'_>) -> Draft {
    let source = reader.source;
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let end = source.text.len();
    let first = errors.iter().min_by_key(|error| error.span().map_or(end, |span| span.start));
    if let Some(error) = first {
        // What stands behind the first error is mostly misread because of it.
        let span = error.span().unwrap_or(end..end);
        reader.problem(span, "", format!("this is not TOML: {}", error.message()), "see https://toml.io");
        return Draft::default();
    }
    let top = Table { entries: table.get_ref(), span: table.span(), key: String::new() };
    reader.hold_to(&top, &["description", "rule", "lists", "test"]);
    let description = reader.string(&top, "description");
    let rules = reader.tables(&top, "rule").iter().map(|table| rule(reader, table)).collect();
    let lists = reader.table(&top, "lists").map(|table| lists(reader, &table)).unwrap_or_default();
    let tests = reader.tables(&top, "test").iter().map(|table| test(reader, table)).collect();
    Draft { description, rules, lists, tests }
}

/// The keys of a `[[rule]]`.
const RULE_KEYS: &[&str] = &[
    "name",
    "at",
    "when",
    "except",
    "action",
    "reply",
    "why",
    "score",
    "folder",
    "add_headers",
    "remove_headers",
    "tag_subject",
    "redirect",
    "observe",
    "share",
];

fn rule(reader: &mut Reader<'_>, table: &Table<'_>) -> DraftRule {
    reader.hold_to(table, RULE_KEYS);
    DraftRule {
        key: table.key.clone(),
        span: table.span.clone(),
        name: reader.string(table, "name"),
        at: reader.word(table, "at", Stage::WORDS, Stage::from_word),
        when: reader.string(table, "when"),
        except: reader.string(table, "except"),
        action: reader.word(table, "action", RuleAction::WORDS, RuleAction::from_word),
        reply: reader.string(table, "reply"),
        why: reader.string(table, "why"),
        score: reader.number(table, "score"),
        changes: changes(reader, table),
        observe: reader.bool(table, "observe"),
        share: reader.number(table, "share"),
        has: keys(table),
    }
}

fn changes(reader: &mut Reader<'_>, table: &Table<'_>) -> DraftChanges {
    let mut add = Vec::new();
    if let Some(fields) = reader.table(table, "add_headers") {
        for name in fields.entries.keys() {
            if let Some(text) = reader.string(&fields, name.get_ref()) {
                add.push((Spot { value: name.get_ref().to_string(), span: name.span() }, text));
            }
        }
    }
    DraftChanges {
        folder: reader.string(table, "folder"),
        add,
        remove: reader.strings(table, "remove_headers").unwrap_or_default(),
        tag: reader.string(table, "tag_subject"),
        redirect: reader.string(table, "redirect"),
    }
}

fn test(reader: &mut Reader<'_>, table: &Table<'_>) -> DraftTest {
    reader.hold_to(table, &["name", "at", "given", "expect"]);
    let mut given = Vec::new();
    if let Some(values) = reader.table(table, "given") {
        flatten(reader, &values.key, "", values.entries, &mut given);
    }
    DraftTest {
        key: table.key.clone(),
        span: table.span.clone(),
        name: reader.string(table, "name"),
        at: reader.word(table, "at", Stage::WORDS, Stage::from_word),
        given,
        expect: reader.table(table, "expect").map(|table| expect(reader, &table)),
        has: keys(table),
    }
}

fn expect(reader: &mut Reader<'_>, table: &Table<'_>) -> DraftExpect {
    reader.hold_to(table, &["action", "rule", "score", "observed", "changed", "excepted", "reply"]);
    DraftExpect {
        span: table.span.clone(),
        is_empty: table.entries.is_empty(),
        action: reader.word(table, "action", Action::WORDS, Action::from_word),
        rule: reader.string(table, "rule"),
        score: reader.number(table, "score"),
        observed: reader.strings(table, "observed"),
        changed: reader.strings(table, "changed"),
        excepted: reader.strings(table, "excepted"),
        reply: reader.string(table, "reply"),
    }
}

/// `given` by the names of facts: `"spf.helo.result" = "pass"` and `spf.helo.result = "pass"` are the same.
pub(crate) fn flatten(
    reader: &mut Reader<'_>,
    key: &str,
    prefix: &str,
    entries: &DeTable<'_>,
    given: &mut Vec<(Spot<String>, Value<'static>)>,
) {
    for (name, value) in entries {
        let path = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        match value.get_ref() {
            DeValue::Table(below) if table::find(&path).is_none() => flatten(reader, key, &path, below, given),
            other => match fact_value(other) {
                Some(found) => given.push((Spot { value: path, span: name.span() }, found)),
                None => reader.problem(
                    value.span(),
                    key,
                    format!("no fact has {} like this", article(other.type_str())),
                    "give a string, a number, true, false or a list",
                ),
            },
        }
    }
}

fn lists(reader: &mut Reader<'_>, table: &Table<'_>) -> Vec<DraftList> {
    let mut lists = Vec::new();
    for (name, value) in table.entries {
        let name = Spot { value: name.get_ref().to_string(), span: name.span() };
        let key = format!("lists.{}", name.value);
        let entries = match value.get_ref() {
            DeValue::Table(_) => {
                let file = reader.table(table, &name.value).and_then(|table| {
                    reader.hold_to(&table, &["file"]);
                    if table.entries.get("file").is_none() {
                        reader.problem(
                            table.span.clone(),
                            key,
                            "the list has no file",
                            "write { file = \"names.txt\" }",
                        );
                    }
                    reader.string(&table, "file")
                });
                file.map_or(DraftEntries::Nowhere, DraftEntries::File)
            }
            DeValue::Array(_) => DraftEntries::Inline(reader.strings(table, &name.value).unwrap_or_default()),
            other => {
                let cause = format!("a list is an array or a file, not {}", article(other.type_str()));
                reader.problem(value.span(), key, cause, "write [\"a.example\"] or { file = \"names.txt\" }");
                DraftEntries::Nowhere
            }
        };
        lists.push(DraftList { name, entries });
    }
    lists
}

fn keys(table: &Table<'_>) -> Vec<String> {
    table.entries.keys().map(|key| key.get_ref().to_string()).collect()
}
