//! `headers['list-id'].present`: the header fields that a policy names are the ones that are kept of a message.

use cel::parser::Expression;

use crate::facts::table::{Fact, HEADER_FIELDS};

use super::super::template::{known_when, unknown_at};
use super::check::{Checker, string_literal};
use super::kind::Kind;

/// The most header fields that one policy names: each is kept of every message.
pub(in super::super) const MAX_HEADERS: usize = 64;
/// The longest name, in octets.
const MAX_NAME: usize = 76;
/// How a field is named.
const EXAMPLE: &str = "write headers['list-id'].present";

/// Why a text is not the name of a header field as rules write it, and the mend.
pub(in super::super) fn wrong_name(name: &str) -> Option<(String, String)> {
    let is_name = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
    if !is_name {
        let cause = "a header field's name is printable ASCII without spaces and colons (RFC 5322 §2.2)";
        return Some((cause.to_owned(), EXAMPLE.to_owned()));
    }
    if name.len() > MAX_NAME {
        return Some((format!("no header field has a name of more than {MAX_NAME} octets"), EXAMPLE.to_owned()));
    }
    let lower = name.to_ascii_lowercase();
    (lower != name).then(|| {
        let cause = "names of header fields are written in lower case, and match in any";
        (cause.to_owned(), format!("write headers['{lower}']"))
    })
}

impl<'a> Checker<'a> {
    /// `headers[name]`.
    pub(super) fn header(&mut self, whole: &'a Expression, fact: &'static Fact, name: &'a Expression) -> Kind {
        let Some(text) = string_literal(name) else {
            return self.fault(name, "the name of a header field is written out", EXAMPLE);
        };
        if let Some((cause, mend)) = wrong_name(text) {
            return self.fault(name, cause, mend);
        }
        if !fact.known_at(self.stage) {
            return self.fault(whole, unknown_at(fact, self.stage), known_when(fact));
        }
        self.reads.facts.insert(fact);
        self.reads.headers.insert(text.to_owned());
        Kind::Record(HEADER_FIELDS)
    }
}
