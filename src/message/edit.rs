//! Changing a message's own header on its way into a mailbox: fields taken out, put in or replaced, and a tag in front of the subject.
//! All other octets stay as they came.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::decoded::decoded;
use super::header::{FieldRef, Header, Rewrite};
use super::unstructured::{self, encoded, needs_encoding};

/// The longest line of a message, without its line end (RFC 5322 §2.1.1).
const MOST_OCTETS: usize = 998;
/// Where lines are folded if they can be.
const LINE: usize = 78;

/// What is to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Names in lower case of fields to take out; one that ends in `*` stands for all that begin so.
    pub remove: Vec<&'a str>,
    /// Fields to put in.
    pub put: Vec<Put<'a>>,
    /// Tags for the subject; each is put in front of it unless it has it already.
    pub tags: Vec<&'a str>,
}

/// A field to put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its text, without folding.
    pub text: &'a str,
    /// In place of the first field of its name, where there is one; else above the message.
    pub replaces: bool,
}

/// A header after its edit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    /// Whole fields to stand above the header.
    pub above: Vec<u8>,
    /// The header, without the blank line that ends it.
    pub header: Vec<u8>,
}

impl Edit<'_> {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.put.is_empty() && self.tags.is_empty()
    }

    /// Makes the edit.
    pub fn apply(&self, header: &Header) -> Edited {
        let has = |name: &str| header.fields().any(|field| field.is(name));
        let (in_place, above): (Vec<&Put<'_>>, Vec<&Put<'_>>) =
            self.put.iter().partition(|put| put.replaces && has(put.name));
        let mut tags = self.tags.clone();
        let mut replaced: Vec<&str> = Vec::new();
        let edited = header.rewritten(|field| {
            let here: Vec<&&Put<'_>> = in_place.iter().filter(|put| field.is(put.name)).collect();
            if let Some(first) = here.first() {
                if replaced.iter().any(|name| first.name.eq_ignore_ascii_case(name)) {
                    return Rewrite::Drop;
                }
                replaced.push(first.name);
                return Rewrite::Put(here.iter().flat_map(|put| written(put, &mut tags)).collect());
            }
            if self.removes(field) {
                return Rewrite::Drop;
            }
            if field.is("subject") && !tags.is_empty() {
                return tagged(&std::mem::take(&mut tags), field).map_or(Rewrite::Keep, Rewrite::Put);
            }
            Rewrite::Keep
        });
        let mut fields: Vec<u8> = above.into_iter().flat_map(|put| written(put, &mut tags)).collect();
        if !tags.is_empty() {
            fields.extend(unstructured::field("Subject", tags.concat().trim_end()));
        }
        Edited { above: fields, header: edited }
    }

    fn removes(&self, field: FieldRef<'_>) -> bool {
        self.remove.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => {
                let begins = field.name.get(..start.len());
                begins.is_some_and(|begins| begins.eq_ignore_ascii_case(start.as_bytes()))
            }
            None => field.is(name),
        })
    }
}

/// A field as it is put in; the tags of the subject go with a subject.
fn written(put: &Put<'_>, tags: &mut Vec<&str>) -> Vec<u8> {
    if put.name.eq_ignore_ascii_case("subject") {
        let missing: Vec<&str> = std::mem::take(tags).into_iter().filter(|tag| !has_tag(put.text, tag)).collect();
        return unstructured::field(put.name, &format!("{}{}", missing.concat(), put.text));
    }
    unstructured::field(put.name, put.text)
}

/// Whether a subject has a tag, wherever it stands: an answer has `Re:` in front of it.
fn has_tag(subject: &str, tag: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    plain(subject).contains(&plain(tag))
}

/// The subject with the tags that it lacks in front; `None` where it lacks none.
fn tagged(tags: &[&str], field: FieldRef<'_>) -> Option<Vec<u8>> {
    // the parser has panicked in past releases: a subject that it can't read has no tag
    let subject = catch_unwind(AssertUnwindSafe(|| decoded(field))).unwrap_or_default();
    let missing: Vec<&str> = tags.iter().filter(|tag| !has_tag(&subject, tag)).copied().collect();
    if missing.is_empty() {
        return None;
    }
    let tag = missing.concat();
    let start = field.value.iter().position(|octet| !b" \t\r\n".contains(octet)).unwrap_or(field.value.len());
    let rest = field.value.get(start..).unwrap_or_default();
    let first_line = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')).unwrap_or(rest.len());
    let mut out = b"Subject: ".to_vec();
    let encodes = needs_encoding(&tag);
    if encodes {
        // white space between two encoded words is not shown (RFC 2047 §6.2), so that the tag's own stands within it
        let word = if rest.starts_with(b"=?") { tag.as_str() } else { tag.trim_end() };
        out.extend_from_slice(encoded(word).as_bytes());
    } else {
        out.extend_from_slice(tag.as_bytes());
    }
    let ends_in_space = out.ends_with(b" ");
    let length = out.iter().rev().take_while(|octet| **octet != b'\n').count() + first_line + 1;
    // folding shows as a space: only where there is one anyway, unless the line would be too long
    if length > MOST_OCTETS || (length > LINE && (ends_in_space || encodes)) {
        out.truncate(out.trim_ascii_end().len());
        out.extend_from_slice(b"\r\n ");
    } else if encodes && !ends_in_space {
        out.push(b' ');
    }
    out.extend_from_slice(rest);
    if rest.is_empty() {
        out.truncate(out.trim_ascii_end().len());
    }
    out.extend_from_slice(b"\r\n");
    Some(out)
}
