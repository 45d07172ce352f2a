//! The names that a part may be shown under: every one that a mail program may find in its header.

use mail_parser::ContentType;

use super::defect::{Defect, Defects};
use super::encoded_word;
use super::extended::{self, Found};
use super::file_name;
use super::parameters::Reading;
use crate::message::header::Header;

/// Names of one part that are told.
const MAX_NAMES: usize = 16;
/// Fields of one name that are read.
const MAX_FIELDS: usize = 4;
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
}

/// A field, as we read it and as mail-parser does.
pub(super) struct Field {
    /// There is at least one.
    pub readings: Vec<Reading>,
    pub other: Option<ContentType<'static>>,
}

impl Names {
    /// Of the fields Content-Type and Content-Disposition of a header.
    pub(super) fn of(header: &Header, types: &[Field], dispositions: &[Field]) -> Names {
        let mut names = Names::default();
        // RFC 2183 §2.3 has `filename`, RFC 2045 had `name`, and programs take either from both
        for (fields, parameter) in
            [(dispositions, "filename"), (types, "name"), (dispositions, "name"), (types, "filename")]
        {
            fields.iter().for_each(|field| names.take(field, parameter));
        }
        let has_more = |name: &&str| header.named(name).nth(MAX_FIELDS).is_some();
        names.is_cut |= OTHER_FIELDS.iter().chain(TEXTS).any(has_more);
        for field in OTHER_FIELDS.iter().flat_map(|name| header.named(name).take(MAX_FIELDS)) {
            names.add(&super::part::text_of(field));
        }
        if names.list.is_empty() {
            for field in TEXTS.iter().flat_map(|name| header.named(name).take(MAX_FIELDS)) {
                names.hint(&super::part::text_of(field));
            }
        }
        let differ = names.list.iter().any(|name| Some(&name.extension) != names.list.first().map(|n| &n.extension));
        names.defects.add_if(differ, Defect::ExtensionsDiffer);
        names
    }

    fn take(&mut self, field: &Field, parameter: &str) {
        let mut readings = field.readings.iter().map(|reading| extended::find(reading, parameter));
        let Found { values, others, defects } = readings.next().unwrap_or_default();
        self.defects.join(defects);
        values.iter().for_each(|value| self.add(value));
        let mut differs = false;
        for value in &others {
            self.hint(value);
        }
        for found in readings {
            let all = found.values.iter().chain(&found.others);
            differs = all.fold(differs, |differs, value| self.hint(value) || differs);
        }
        self.defects.add_if(differs, Defect::BrokenParameter);
        if let Some(other) = field.other.as_ref().and_then(|other| other.attribute(parameter)) {
            self.hint(other);
        }
    }

    /// Adds a name, and what may be made of it.
    fn add(&mut self, text: &str) {
        let (name, is_good) = encoded_word::decoded(text);
        self.defects.add_if(!is_good, Defect::UndecodableName);
        if !name.trim().is_empty() {
            self.defects.join(file_name::defects(&name));
            self.push(&name, false);
            self.variants(text, &name);
        }
    }

    /// Adds a name where its extension is not among those that are there; says whether it was.
    fn hint(&mut self, text: &str) -> bool {
        let (name, _) = encoded_word::decoded(text);
        let is_new = self.push(&name, true);
        self.variants(text, &name) || is_new
    }

    fn variants(&mut self, text: &str, name: &str) -> bool {
        let mut is_new = false;
        for variant in file_name::variants(name) {
            is_new |= self.push(&variant, true);
        }
        // as a program shows it that decodes no encoded-words
        if name != text && !text.trim_end().ends_with("?=") {
            is_new |= self.push(text, true);
        }
        is_new
    }

    fn push(&mut self, name: &str, only_for_extension: bool) -> bool {
        let (text, extension) = (file_name::shown(name), file_name::extension(name));
        if text.trim().is_empty() || only_for_extension && extension.is_empty() {
            return false;
        }
        let mut others = self.list.iter().filter(|name| name.extension == extension);
        // folding leaves more or less white space
        let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let is_known = if only_for_extension {
            others.next().is_some()
        } else {
            others.any(|name| name.text == text || bare(&name.text) == bare(&text))
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
