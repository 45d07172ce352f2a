//! The names that a part may be shown under: every one that a mail program may find in its header.

use std::borrow::Cow;
use std::collections::HashSet;

use mail_parser::ContentType;

use super::budget::Budget;
use super::defect::{Defect, Defects};
use super::encoded_word;
use super::extended::{self, Found, Text};
use super::file_name;
use super::parameters::Reading;
use crate::message::header::Header;

/// Octets of a name that is told.
const MAX_TOLD: usize = 4 * file_name::MAX_NAME;
/// Names of one part that are told.
const MAX_NAMES: usize = 16;
/// Fields of one name that are read.
const MAX_FIELDS: usize = 4;
/// How often a name is looked at: to be told, for its extension, for what is wrong with it, for what may be made of it, and character by
/// character where it is not ASCII (NFKC).
const LOOKS: u64 = 16;
const LOOKS_AT_CHARACTERS: u64 = 32;
/// What a name costs beside its octets, in octets.
const NAME: usize = 64;
/// Fields that some programs take a name from where no other has one.
const OTHER_FIELDS: &[&str] = &["content-name", "x-sun-data-name"];
/// Fields that say something else, and that some programs take a name from all the same (RFC 2045 §8, RFC 2557 §4).
const TEXTS: &[&str] = &["content-description", "content-location"];

/// A name, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Name {
    pub text: String,
    pub extension: String,
}

/// The names of one part; the first is that of the RFCs.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub list: Vec<Name>,
    pub defects: Defects,
    /// There are more.
    pub is_cut: bool,
    /// Texts that were looked at.
    tried: HashSet<String>,
}

/// A field, as we read it and as mail-parser does.
pub(super) struct Field {
    /// There is at least one.
    pub readings: Vec<Reading>,
    pub other: Option<ContentType<'static>>,
}

impl Names {
    /// Of the fields Content-Type and Content-Disposition of a header.
    pub(super) fn of(header: &Header, types: &[Field], dispositions: &[Field], budget: &Budget<'_>) -> Names {
        let mut names = Names::default();
        // RFC 2183 §2.3 has `filename`, RFC 2045 had `name`, and programs take either from both
        for (fields, parameter) in
            [(dispositions, "filename"), (types, "name"), (dispositions, "name"), (types, "filename")]
        {
            fields.iter().for_each(|field| names.take(field, parameter, budget));
        }
        let has_more = |name: &&str| header.named(name).nth(MAX_FIELDS).is_some();
        names.is_cut |= OTHER_FIELDS.iter().chain(TEXTS).any(has_more);
        for field in OTHER_FIELDS.iter().flat_map(|name| header.named(name).take(MAX_FIELDS)) {
            names.add(&super::part::text_of(field), budget);
        }
        if names.list.is_empty() {
            for field in TEXTS.iter().flat_map(|name| header.named(name).take(MAX_FIELDS)) {
                names.hint(&super::part::text_of(field), budget);
            }
        }
        let differ = names.list.iter().any(|name| Some(&name.extension) != names.list.first().map(|n| &n.extension));
        names.defects.add_if(differ, Defect::ExtensionsDiffer);
        names
    }

    fn take(&mut self, field: &Field, parameter: &str, budget: &Budget<'_>) {
        let mut readings = field.readings.iter().map(|reading| extended::find(reading, parameter, budget));
        let Found { values, others, defects } = readings.next().unwrap_or_default();
        self.defects.join(defects);
        values.iter().for_each(|value| self.add(&value.text, budget));
        let mut differs = false;
        for Text { text, .. } in &others {
            self.hint(text, budget);
        }
        for found in readings {
            let all = found.values.iter().chain(&found.others);
            differs = all.fold(differs, |differs, value| self.hint(&value.text, budget) || differs);
        }
        self.defects.add_if(differs, Defect::BrokenParameter);
        if let Some(other) = field.other.as_ref().and_then(|other| other.attribute(parameter)) {
            self.hint(other, budget);
        }
    }

    /// Adds a name, and what may be made of it.
    fn add(&mut self, text: &str, budget: &Budget<'_>) {
        let Some((name, is_good)) = decoded(text, budget) else { return };
        self.tried.insert(text.to_owned());
        self.defects.add_if(!is_good, Defect::UndecodableName);
        if !name.trim().is_empty() {
            self.defects.join(file_name::defects(&name));
            self.push(&name, false, budget);
            self.variants(text, &name, budget);
        }
    }

    /// Adds a name where its extension is not among those that are there; says whether it was.
    fn hint(&mut self, text: &str, budget: &Budget<'_>) -> bool {
        if !budget.take(text.len(), 1) || self.tried.contains(text) {
            return false;
        }
        let Some((name, _)) = decoded(text, budget) else { return false };
        self.tried.insert(text.to_owned());
        let is_new = self.push(&name, true, budget);
        self.variants(text, &name, budget) || is_new
    }

    fn variants(&mut self, text: &str, name: &str, budget: &Budget<'_>) -> bool {
        let mut is_new = false;
        for variant in file_name::variants(name) {
            is_new |= self.push(&variant, true, budget);
        }
        // as a program shows it that decodes no encoded-words
        if name != text && !text.trim_end().ends_with("?=") {
            is_new |= self.push(text, true, budget);
        }
        is_new
    }

    fn push(&mut self, name: &str, only_for_extension: bool, budget: &Budget<'_>) -> bool {
        // it is compared with each of the others as far as it is told
        if !budget.take(name.len(), 4) || !budget.take(name.len().min(MAX_TOLD), self.list.len() as u64) {
            return false;
        }
        let (text, extension) = (file_name::shown(name), file_name::extension(name));
        if text.trim().is_empty() || only_for_extension && extension.is_empty() {
            return false;
        }
        let mut others = self.list.iter().filter(|name| name.extension == extension);
        // folding leaves more or less white space
        let is_known = if only_for_extension {
            others.next().is_some()
        } else {
            others.any(|name| bare(&name.text).eq(bare(&text)))
        };
        if is_known {
            return false;
        }
        if self.list.len() >= MAX_NAMES {
            self.is_cut = true;
            return false;
        }
        self.list.push(Name { text, extension });
        true
    }
}

/// A text with its encoded-words decoded, and whether all could be; `None` where the budget has no room for what is done with a name.
fn decoded<'a>(text: &'a str, budget: &Budget<'_>) -> Option<(Cow<'a, str>, bool)> {
    let (name, is_good) = encoded_word::decoded(text, budget);
    let looks = if name.is_ascii() { LOOKS } else { LOOKS_AT_CHARACTERS };
    budget.take(name.len() + NAME, looks).then_some((name, is_good))
}

fn bare(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|character| !character.is_whitespace())
}
