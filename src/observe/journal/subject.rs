//! Whom an erasure or an export is about: an address, found in a line however it stands there.
//!
//! That is: in any case, with any `+detail`, quoted, as VERP and SRS write it into other addresses (`alice=example.com`), as a path
//! (`example.com/alice/new/...`), with its domain as A-labels or U-labels, and under the pseudonym of every key that is kept.

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::keys::Spellings;
pub use crate::facts::hidden::ERASED;
use crate::facts::record::Record;
use crate::observe::pseudonym::{codes_and_text, is_pseudonym};

/// Fields that hold free text, or that a client fills as it likes: the local-part alone is taken out of them too.
const FREE: &[&str] = &["reply", "why", "trouble", "local", "helo"];
/// Fields in which all texts are such.
const ALL_FREE: &[&str] = &["headers", "mime"];
/// But those within them that hold words of ours.
const WORDS: &[&str] = &["defects"];

/// An address that is looked for in lines.
pub struct Subject {
    /// In one of these forms a line of JSON has it, if it has it.
    quick: Regex,
    /// All the forms.
    whole: Regex,
    /// The local-part alone.
    alone: Regex,
    domains: Vec<String>,
}

/// What a line is.
pub enum Looked {
    /// Nothing stands in it.
    Empty,
    /// A record of somebody else.
    Other,
    /// A record in which the address stands.
    About(Box<Record>),
    /// No record; `bool`: the address stands in it.
    Foreign(bool),
}

impl Subject {
    /// An address, and what it may stand as.
    ///
    /// # Errors
    /// It is no address; one line.
    pub fn new(address: &str, spellings: &Spellings) -> Result<Subject, String> {
        let wrong = || format!("{address:?} is no address: it is written local-part@domain");
        // as people paste it; what is looked for with a space too many would be found nowhere
        let address = address.trim();
        let address = address.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(address);
        if address.rsplit_once('@').is_some_and(|(local, _)| local == ERASED) {
            return Err(format!("{address:?} stands where an address was taken out, and is nobody's"));
        }
        let is_quoted = address.starts_with('"');
        if !is_quoted && address.contains([' ', '\t', '<', '>', ',', ';']) || address.starts_with("*@") {
            return Err(wrong());
        }
        let (local, domain) = address.rsplit_once('@').ok_or_else(wrong)?;
        if local.is_empty() || domain.is_empty() || address.len() > 1_000 || address.contains(['\n', '\r']) {
            return Err(wrong());
        }
        let locals = forms_of_local(local);
        let domains = forms_of_domain(domain);
        let hidden = spellings.address(address).into_iter().skip(1);
        let hidden: Vec<String> =
            hidden.filter_map(|spelling| spelling.rsplit_once('@').map(|(local, _)| local.to_owned())).collect();
        let any = |forms: &[String]| forms.iter().map(|form| regex::escape(form)).collect::<Vec<_>>().join("|");
        let in_json = |form: &String| serde_json::to_string(form).unwrap_or_default().trim_matches('"').to_owned();
        let quick: Vec<String> = locals.iter().map(in_json).chain(hidden.iter().cloned()).collect();
        let (l, d) = (any(&locals), any(&domains));
        // who asks for alice+news@ means just that
        let detail = if local.contains('+') { "" } else { r#"(?:\+[^\s@<>",;]*)?"# };
        let mut all = vec![
            format!(r#""?(?:{l}){detail}"?@(?:{d})"#),
            format!("(?:{l}){}=(?:{d})", if detail.is_empty() { "" } else { r#"(?:\+[^\s@<>",;=]*)?"# }),
            format!("(?:{d})=(?:{l})"),
            format!("(?:{d})/(?:{l})"),
        ];
        if !hidden.is_empty() {
            let detail = if detail.is_empty() { "" } else { r"(?:\+~k[0-9a-z]{16})?" };
            all.push(format!("(?:{}){detail}", any(&hidden)));
        }
        let built = |pattern: &str| RegexBuilder::new(pattern).case_insensitive(true).build().map_err(|_| wrong());
        Ok(Subject { quick: built(&any(&quick))?, whole: built(&all.join("|"))?, alone: built(&l)?, domains })
    }

    /// What a line is, and whether the address stands in it.
    pub fn look(&self, raw: &[u8]) -> Looked {
        if raw.is_empty() {
            return Looked::Empty;
        }
        let text = String::from_utf8_lossy(raw);
        let maybe = self.quick.is_match(&text);
        if !maybe && text.starts_with("{\"v\":1,\"ref\":\"") && text.ends_with('}') {
            return Looked::Other;
        }
        let Ok(record) = serde_json::from_slice::<Record>(raw) else {
            return Looked::Foreign(maybe && self.is_in(&text));
        };
        let value = if maybe { serde_json::to_value(&record).unwrap_or_default() } else { Value::Null };
        if self.is_in_value(&value) { Looked::About(Box::new(record)) } else { Looked::Other }
    }

    /// The record without the address, as a line with its end; `None` where that can't be made.
    pub fn taken_out_of(&self, record: &Record) -> Option<String> {
        let mut value = serde_json::to_value(record).ok()?;
        self.take_out(&mut value, false);
        let record: Record = serde_json::from_value(value).ok()?;
        let line = serde_json::to_string(&record).ok()?;
        (!self.is_in_value(&serde_json::to_value(&record).ok()?)).then(|| line + "\n")
    }

    fn is_in_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_in(text),
            Value::Array(items) => items.iter().any(|item| self.is_in_value(item)),
            Value::Object(fields) => fields.values().any(|item| self.is_in_value(item)),
            _ => false,
        }
    }

    fn is_in(&self, text: &str) -> bool {
        self.is_within(text, 0..text.len())
    }

    /// Whether the address stands in these octets of a text; what is beyond them is only there to tell what it is a part of.
    pub fn is_within(&self, text: &str, octets: std::ops::Range<usize>) -> bool {
        let inside = |found: &std::ops::Range<usize>| found.start >= octets.start && found.end <= octets.end;
        self.whole.find_iter(text).map(|found| found.range()).any(|found| inside(&found) && stands_alone(text, found))
    }

    fn take_out(&self, value: &mut Value, free: bool) {
        match value {
            Value::String(text) => {
                *text = self.without(text);
                if free {
                    *text = self.without_local(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.take_out(item, free)),
            Value::Object(fields) => {
                for (name, item) in fields.iter_mut() {
                    // a local-part may look like a code
                    if let ("reply", Value::String(reply)) = (name.as_str(), &mut *item) {
                        let (codes, text) = codes_and_text(reply);
                        *reply = format!("{codes}{}", self.without_local(&self.without(text)));
                        continue;
                    }
                    let name = name.as_str();
                    // an object of the same name has words of closed sets in it: `spf.helo`
                    let is_free = item.is_string() && FREE.contains(&name) || ALL_FREE.contains(&name);
                    self.take_out(item, (free || is_free) && !WORDS.contains(&name));
                }
            }
            _ => {}
        }
    }

    /// The text with the address taken out; its domain stays.
    fn without(&self, text: &str) -> String {
        let once = self.without_once(text);
        // where a name stands on both sides of its domain, one find hides the other
        if self.is_in(&once) { self.without_once(&once) } else { once }
    }

    fn without_once(&self, text: &str) -> String {
        replaced(
            &self.whole,
            text,
            |found| stands_alone(text, found.clone()),
            |word| {
                if is_pseudonym(&word.to_lowercase()) {
                    return ERASED.to_owned();
                }
                let at = |sign: char| word.rsplit_once(sign);
                match (at('@'), at('/'), at('=')) {
                    (Some((_, domain)), _, _) => format!("{ERASED}@{domain}"),
                    (None, Some((domain, _)), _) => format!("{domain}/{ERASED}"),
                    (None, None, Some((left, right))) => {
                        let right_is_domain = self.domains.contains(&right.to_lowercase());
                        if right_is_domain { format!("{ERASED}={right}") } else { format!("{left}={ERASED}") }
                    }
                    _ => ERASED.to_owned(),
                }
            },
        )
    }

    /// The text with the local-part taken out where it is a word of its own and no label of the domain.
    fn without_local(&self, text: &str) -> String {
        let is_word = |found: &std::ops::Range<usize>| {
            let before = text.get(..found.start).and_then(|before| before.chars().next_back());
            let behind = text.get(found.end..).unwrap_or_default();
            let labels = behind.to_lowercase();
            let in_domain = self.domains.iter().any(|domain| {
                let word = text.get(found.clone()).unwrap_or_default().to_lowercase();
                domain.strip_prefix(&word).is_some_and(|rest| !rest.is_empty() && labels.starts_with(rest))
            });
            !before.is_some_and(|c| c.is_alphanumeric() || c == '.' || c == '~')
                && !behind.starts_with(char::is_alphanumeric)
                && !in_domain
        };
        replaced(&self.alone, text, is_word, |_| ERASED.to_owned())
    }
}

fn replaced(
    pattern: &Regex,
    text: &str,
    counts: impl Fn(&std::ops::Range<usize>) -> bool,
    by: impl Fn(&str) -> String,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for found in pattern.find_iter(text).filter(|found| counts(&found.range())) {
        out.push_str(text.get(end..found.start()).unwrap_or_default());
        out.push_str(&by(found.as_str()));
        end = found.end();
    }
    out.push_str(text.get(end..).unwrap_or_default());
    out
}

/// Whether what was found is not the middle of a longer address, domain or path.
fn stands_alone(text: &str, found: std::ops::Range<usize>) -> bool {
    let word = text.get(found.clone()).unwrap_or_default();
    let before = text.get(..found.start).and_then(|before| before.chars().next_back());
    let behind = text.get(found.end..).unwrap_or_default();
    let mut next = behind.chars();
    let (first, second) = (next.next(), next.next());
    // within another address a VERP or SRS part follows a hyphen or an equals sign
    let own = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '+' | '~') || (c == '-' && word.contains('@'));
    let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let longer = first.is_some_and(goes_on) && !(word.contains('=') && first == Some('-'));
    let longer = longer || (first == Some('.') && second.is_some_and(char::is_alphanumeric));
    !before.is_some_and(own) && !longer
}

/// The ways in which a local-part is written.
fn forms_of_local(local: &str) -> Vec<String> {
    let bare = match local.strip_prefix('"').and_then(|local| local.strip_suffix('"')) {
        Some(quoted) if !quoted.is_empty() => quoted,
        _ => local,
    };
    // as replies have what is not ASCII
    let escaped: String = bare
        .chars()
        .map(|c| if (' '..='~').contains(&c) { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) })
        .collect();
    let marked: String = bare.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
    let mut forms = vec![bare.to_owned()];
    let decomposed = bare.nfd().collect();
    // the escape of another case is another number
    let lower: String = bare.to_lowercase();
    for form in [bare.nfc().collect(), decomposed, escaped, marked, lower] {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    // the longest first: of two that fit the whole one counts
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms
}

/// The ways in which a domain is written, in lower case.
pub(super) fn forms_of_domain(domain: &str) -> Vec<String> {
    let mut forms = vec![domain.to_lowercase()];
    let (unicode, readable) = idna::domain_to_unicode(domain);
    let others = [idna::domain_to_ascii(domain).ok(), readable.is_ok().then_some(unicode)];
    for form in others.into_iter().flatten() {
        if !form.is_empty() && !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}
