//! Walks the tables of gatepost.toml: takes the values that the sections ask for and notes everything that is wrong on the way.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Absent, Kind};
use super::value::{self, Fault};
use crate::problem::{Problem, Problems, Source, nearest};

/// The file that is being read and what was found wrong so far.
pub(super) struct Reader {
    pub(super) source: Arc<Source>,
    /// What relative paths are relative to.
    pub(super) base: PathBuf,
    pub(super) problems: Problems,
    /// What can be served, and makes little sense.
    pub(super) warnings: Problems,
    /// The quotas that were read, to be held against `limits.message`: the key, and what it bounds.
    pub(super) quotas: Vec<(String, Placed<u64>)>,
    /// The files that it names and that a reload reads.
    pub(super) files: Vec<PathBuf>,
}

/// A value that was taken, with its place.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    /// `None` for a default.
    pub(super) span: Option<Range<usize>>,
}

impl Reader {
    /// Notes a problem with `span`, or with the file as a whole.
    pub(super) fn problem(&mut self, span: Option<Range<usize>>, key: &str, fault: Fault) {
        let problem = self.at(span, key, fault);
        self.problems.push(problem);
    }

    /// Notes a warning, as [`Reader::problem`].
    pub(super) fn warning(&mut self, span: Option<Range<usize>>, key: &str, fault: Fault) {
        let warning = self.at(span, key, fault);
        self.warnings.push(warning);
    }

    fn at(&self, span: Option<Range<usize>>, key: &str, fault: Fault) -> Problem {
        let Fault { cause, mend } = fault;
        match span {
            Some(span) => Problem::at(&self.source, span, key, cause, mend),
            None => Problem::with_file(&self.source.name, key, cause, mend),
        }
    }

    /// As [`Reader::path`], of a file that is read, now or when the server starts.
    pub(super) fn file(&mut self, written: &str) -> PathBuf {
        let path = self.path(written);
        self.files.push(path.clone());
        path
    }

    /// A path of the file as one that can be opened from here.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.base.join(Path::new(written))
    }
}

/// One table of the file; an absent one holds nothing, so that its defaults and required keys are treated all the same.
#[derive(Clone)]
pub(super) struct Section<'t> {
    /// As people write it: `domains."example.com"`.
    pub(super) path: String,
    /// As [`keys::TABLE`] has it: `domains.*`.
    pattern: String,
    table: Option<&'t DeTable<'t>>,
    /// Where its name stands.
    pub(super) span: Option<Range<usize>>,
}

impl<'t> Section<'t> {
    /// The whole file. Notes keys that are not known.
    pub(super) fn top(table: &'t DeTable<'t>, reader: &mut Reader) -> Self {
        let section = Section { path: String::new(), pattern: String::new(), table: Some(table), span: None };
        section.note_unknown(reader);
        section
    }

    /// Whether the file has this table.
    pub(super) fn present(&self) -> bool {
        self.table.is_some()
    }

    /// The path of one of its keys, as people write it.
    pub(super) fn key(&self, name: &str) -> String {
        join(&self.path, &written(name))
    }

    fn pattern_of(&self, name: &str) -> String {
        join(&self.pattern, name)
    }

    /// A table below. Notes keys in it that are not known.
    pub(super) fn section(&self, reader: &mut Reader, name: &str) -> Section<'t> {
        self.below(reader, name, self.pattern_of(name))
    }

    /// All tables below in the file's order, whatever their names: what a `*` stands for.
    pub(super) fn sections(&self, reader: &mut Reader) -> Vec<(&'t str, Section<'t>)> {
        let mut names: Vec<_> = self.table.into_iter().flat_map(|table| table.keys()).collect();
        names.sort_by_key(|name| name.span().start);
        let names = names.into_iter().map(|name| name.get_ref().as_ref());
        names.map(|name| (name, self.below(reader, name, self.pattern_of("*")))).collect()
    }

    /// The tables of a list of tables; what is not a table is noted.
    pub(super) fn items(&self, reader: &mut Reader, name: &str) -> Vec<Section<'t>> {
        let Some(value) = self.raw(name) else { return Vec::new() };
        let (path, pattern) = (self.key(name), join(&self.pattern_of(name), "*"));
        let Some(items) = value.get_ref().as_array() else {
            reader.problem(Some(value.span()), &path, Fault::wrong_type("a list of tables", value.get_ref()));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            let Some(table) = item.get_ref().as_table() else {
                reader.problem(Some(item.span()), &path, Fault::wrong_type("a table", item.get_ref()));
                continue;
            };
            let section =
                Section { path: path.clone(), pattern: pattern.clone(), table: Some(table), span: Some(item.span()) };
            section.note_unknown(reader);
            sections.push(section);
        }
        sections
    }

    fn below(&self, reader: &mut Reader, name: &str, pattern: String) -> Section<'t> {
        let found = self.entry(name);
        let span = found.map(|(key, _)| key.span());
        let table = found.and_then(|(_, value)| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                reader.problem(Some(value.span()), &self.key(name), Fault::wrong_type("a table", value.get_ref()));
            }
            table
        });
        let section = Section { path: self.key(name), pattern, table, span };
        section.note_unknown(reader);
        section
    }

    fn entry(&self, name: &str) -> Option<(&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>)> {
        self.table?.get_key_value(name)
    }

    fn note_unknown(&self, reader: &mut Reader) {
        let known = keys::within(&self.pattern);
        if known.contains(&"*") {
            return;
        }
        for name in self.table.into_iter().flat_map(|table| table.keys()) {
            let text = name.get_ref().as_ref();
            let pattern = self.pattern_of(text);
            let fault = match keys::LATER.iter().find(|(later, _)| *later == pattern) {
                Some((_, mend)) => Fault::new("this key is not there yet", *mend),
                None if known.contains(&text) => continue,
                None => Fault::new("unknown key", self.meant(text, &known)),
            };
            reader.problem(Some(name.span()), &self.key(text), fault);
        }
    }

    /// Whether an absent key stands here under a name that is nearly its own: then that was noted, and its absence need not be.
    pub(super) fn misspelt(&self, name: &str) -> bool {
        let known = keys::within(&self.pattern);
        let names = self.table.into_iter().flat_map(|table| table.keys()).map(|name| name.get_ref().as_ref());
        let mut unknown = names.filter(|found| !known.contains(found));
        unknown.any(|found| nearest(found, known.iter().copied()) == Some(name))
    }

    /// What was meant by an unknown key: the nearest one of its table, or where a key of that name does stand.
    fn meant(&self, name: &str, known: &[&'static str]) -> String {
        if let Some(near) = nearest(name, known.iter().copied()) {
            return format!("did you mean {near:?}?");
        }
        if self.pattern == "domains.*"
            && let Some(domain) = self.unquoted_domain(name)
        {
            return format!("a domain's name needs quotes: [domains.{domain:?}]");
        }
        let elsewhere = keys::TABLE.iter().find(|key| key.name() == name && !key.path.contains('*'));
        match elsewhere {
            Some(key) if key.section().is_empty() => {
                "it stands at the top of the file, before the first [table]".to_owned()
            }
            Some(key) => format!("it stands in [{}]", key.section()),
            None if self.path.is_empty() => format!("known here: {}", known.join(", ")),
            None => format!("known in [{}]: {}", self.path, known.join(", ")),
        }
    }

    /// Whether it stands under the first label of a domain's name that should have been quoted; that was noted.
    pub(super) fn is_unquoted_domain(&self) -> bool {
        let known = keys::within(&self.pattern);
        let names = self.table.into_iter().flat_map(|table| table.keys()).map(|name| name.get_ref().as_ref());
        let mut unknown = names.filter(|name| !known.contains(name));
        unknown.any(|name| self.unquoted_domain(name).is_some())
    }

    /// `[domains.example.com]` is a table `com` in a table `example`: the name that was meant.
    fn unquoted_domain(&self, name: &str) -> Option<String> {
        let known = keys::within(&self.pattern);
        let mut domain = format!("{}.{name}", self.path.strip_prefix("domains.")?);
        let mut table = self.raw(name)?.get_ref().as_table()?;
        while let Some((label, below)) = table.iter().find(|(label, _)| !known.contains(&label.get_ref().as_ref())) {
            table = below.get_ref().as_table()?;
            domain = join(&domain, label.get_ref());
        }
        Some(domain)
    }

    /// A value of the table as it stands there, with its place.
    pub(super) fn raw(&self, name: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The value of a key, or its default. `None` where it is absent without a default, or wrong: then the problem was noted.
    pub(super) fn read<T>(
        &self,
        reader: &mut Reader,
        name: &str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<Placed<T>> {
        let key = keys::find(&self.pattern_of(name));
        let Some(value) = self.raw(name) else {
            return self.absent(reader, name, key?, convert);
        };
        match convert(value.get_ref()) {
            Ok(converted) => Some(Placed { value: converted, span: Some(value.span()) }),
            Err(fault) => {
                reader.problem(Some(value.span()), &self.key(name), fault);
                None
            }
        }
    }

    fn absent<T>(
        &self,
        reader: &mut Reader,
        name: &str,
        key: &keys::Key,
        convert: impl Fn(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<Placed<T>> {
        match key.absent {
            Absent::Required if self.misspelt(name) => None,
            Absent::Required => {
                let mend = format!("it must be {}", key.kind.as_str());
                reader.problem(self.span.clone(), &self.key(name), Fault::new("this key is missing", mend));
                None
            }
            Absent::Default(text) => {
                let value = DeValue::parse(text).ok()?;
                convert(value.get_ref()).ok().map(|value| Placed { value, span: None })
            }
            Absent::Means(_) => None,
        }
    }

    /// The values of a key that holds a list, or its default's; those that are wrong are noted and left out.
    pub(super) fn list<T>(
        &self,
        reader: &mut Reader,
        name: &str,
        convert: impl Fn(&str) -> Result<T, Fault>,
    ) -> Vec<Placed<T>> {
        let Some(value) = self.raw(name) else {
            let default = |value: &DeValue<'_>| {
                let items = value.as_array().into_iter().flat_map(|items| items.iter());
                items
                    .map(|item| convert(item.get_ref().as_str().unwrap_or_default()))
                    .collect::<Result<Vec<T>, Fault>>()
            };
            let items = self.read(reader, name, default).map(|placed| placed.value).unwrap_or_default();
            return items.into_iter().map(|value| Placed { value, span: None }).collect();
        };
        list_of(reader, &self.key(name), value, &convert)
    }

    /// A number within the bounds of its key: bytes, seconds or a count. 0 only where a problem was noted.
    pub(super) fn number(&self, reader: &mut Reader, name: &str) -> u64 {
        let Some(key) = keys::find(&self.pattern_of(name)) else { return 0 };
        self.read(reader, name, |value| within(key, value)).map_or(0, |placed| placed.value)
    }

    /// A quota in bytes, 0 for no bound; `None` where there is none, or where a problem was noted.
    pub(super) fn quota(&self, reader: &mut Reader, name: &str) -> Option<u64> {
        let key = keys::find(&self.pattern_of(name))?;
        let quota = self.read(reader, name, |value| within(key, value))?;
        reader.quotas.push((self.key(name), quota.clone()));
        Some(quota.value)
    }
}

/// A number within the bounds of its key.
fn within(key: &keys::Key, value: &DeValue<'_>) -> Result<u64, Fault> {
    let number = match key.kind {
        Kind::Size | Kind::Quota => value::size(value)?,
        Kind::Duration => value::duration(value)?,
        _ => value::count(value)?,
    };
    let written = |number: u64| match key.kind {
        Kind::Size | Kind::Quota => value::written_size(number),
        Kind::Duration => value::written_duration(number),
        _ => number.to_string(),
    };
    if key.kind == Kind::Quota && number == 0 {
        return Ok(0);
    }
    let (least, most) = key.bounds.unwrap_or((0, u64::MAX));
    if number < least {
        let because = if key.rfc.is_empty() { String::new() } else { format!(" ({})", key.rfc) };
        let or = if key.kind == Kind::Quota { ", or 0 for no bound" } else { "" };
        return Err(Fault::new("is too small", format!("at least {}{because}{or}", written(least))));
    }
    if number > most {
        return Err(Fault::new("is too large", format!("at most {}", written(most))));
    }
    Ok(number)
}

/// The strings of a list, converted; those that are wrong, and those that are there twice, are noted.
pub(super) fn list_of<T>(
    reader: &mut Reader,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    convert: &impl Fn(&str) -> Result<T, Fault>,
) -> Vec<Placed<T>> {
    let Some(items) = value.get_ref().as_array() else {
        let mut fault = Fault::wrong_type("a list of strings", value.get_ref());
        if let Some(text) = value.get_ref().as_str() {
            fault.mend = format!("write [{text:?}]");
        }
        reader.problem(Some(value.span()), key, fault);
        return Vec::new();
    };
    let mut seen = std::collections::HashSet::new();
    let mut taken = Vec::new();
    for item in items.iter() {
        let converted = value::string(item.get_ref()).and_then(|text| match seen.insert(text.clone()) {
            true => convert(&text),
            false => Err(Fault::new(format!("{text:?} stands here twice"), "leave one out")),
        });
        match converted {
            Ok(value) => taken.push(Placed { value, span: Some(item.span()) }),
            Err(fault) => reader.problem(Some(item.span()), key, fault),
        }
    }
    taken
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A name as it stands in a dotted key: quoted where TOML wants it.
fn written(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { name.to_owned() } else { format!("{name:?}") }
}

/// Where the value of a key without chosen names stands in a text.
pub(super) fn find_span(text: &str, key: &str) -> Option<Range<usize>> {
    let (root, _) = DeTable::parse_recoverable(text);
    let mut names = key.split('.');
    let mut found = root.get_ref().get(names.next()?)?;
    for name in names {
        found = found.get_ref().as_table()?.get(name)?;
    }
    Some(found.span())
}
