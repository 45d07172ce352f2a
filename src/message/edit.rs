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
/// What an answer or a passed-on message has in front of its subject.
const REPLIES: [&str; 6] = ["re:", "fwd:", "fw:", "aw:", "wg:", "sv:"];
/// Octets of such, and of others' tags in brackets, that may stand before a tag.
const MOST_BEFORE: usize = 64;

/// What is to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Names in lower case of fields to take out; one that ends in `*` stands for all that begin so.
    pub remove: Vec<&'a str>,
    /// Fields to put in.
    pub put: Vec<Put<'a>>,
    /// Tags for the subject; each is put in front of every one of them unless it begins with it already.
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
        let mut untagged = !self.tags.is_empty();
        let mut replaced: Vec<&str> = Vec::new();
        let edited = header.rewritten(|field| {
            let here: Vec<&&Put<'_>> = in_place.iter().filter(|put| field.is(put.name)).collect();
            if let Some(first) = here.first() {
                if replaced.iter().any(|name| first.name.eq_ignore_ascii_case(name)) {
                    return Rewrite::Drop;
                }
                replaced.push(first.name);
                untagged &= !field.is("subject");
                return Rewrite::Put(here.iter().flat_map(|put| written(put, &self.tags)).collect());
            }
            if self.removes(field) {
                return Rewrite::Drop;
            }
            // who reads it may be shown any of several
            if field.is("subject") && !self.tags.is_empty() {
                untagged = false;
                return tagged(&self.tags, field).map_or(Rewrite::Keep, Rewrite::Put);
            }
            Rewrite::Keep
        });
        untagged &= !above.iter().any(|put| put.name.eq_ignore_ascii_case("subject"));
        let mut fields: Vec<u8> = above.into_iter().flat_map(|put| written(put, &self.tags)).collect();
        if untagged {
            fields.extend(unstructured::field("Subject", self.tags.concat().trim_end()));
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
fn written(put: &Put<'_>, tags: &[&str]) -> Vec<u8> {
    if put.name.eq_ignore_ascii_case("subject") {
        return unstructured::field(put.name, &format!("{}{}", missing(put.text, tags).concat(), put.text));
    }
    unstructured::field(put.name, put.text)
}

/// Those of the tags that a subject does not begin with.
fn missing<'a>(subject: &str, tags: &[&'a str]) -> Vec<&'a str> {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (subject, plain_tags) = (plain(subject), tags.iter().map(|tag| plain(tag)).collect::<Vec<_>>());
    let lacks = |tag: &(&'a str, &String)| !begins_with(&subject, tag.1, &plain_tags);
    tags.iter().copied().zip(&plain_tags).filter(lacks).map(|(tag, _)| tag).collect()
}

/// Whether a subject has a tag where it is seen: in front, or behind nothing but our other tags, marks of an answer, and a few
/// tags in brackets. A sender who writes it anywhere else has not tagged the message.
fn begins_with(subject: &str, tag: &str, ours: &[String]) -> bool {
    let mut rest = subject;
    let mut unseen: Vec<&String> = ours.iter().filter(|other| !other.is_empty() && *other != tag).collect();
    let mut before = 0;
    while before <= MOST_BEFORE {
        if rest.starts_with(tag) {
            return true;
        }
        let own = unseen.iter().position(|other| rest.starts_with(other.as_str()));
        let length = match own {
            Some(at) => unseen.swap_remove(at).len(),
            None => before_subject(rest),
        };
        if length == 0 {
            return false;
        }
        if own.is_none() {
            before += length;
        }
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    false
}

/// Octets of the mark of an answer, or of the tag in brackets, that a subject begins with.
fn before_subject(subject: &str) -> usize {
    let begins = |mark: &&str| subject.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    if let Some(mark) = REPLIES.iter().find(|mark| begins(mark)) {
        return mark.len();
    }
    let in_brackets = subject.strip_prefix('[').and_then(|rest| rest.find([']', '[']).map(|end| rest.split_at(end)));
    in_brackets.filter(|(_, end)| end.starts_with(']')).map_or(0, |(text, _)| text.len() + 2)
}

/// The subject with the tags that it lacks in front; `None` where it lacks none.
fn tagged(tags: &[&str], field: FieldRef<'_>) -> Option<Vec<u8>> {
    // the parser has panicked in past releases: a subject that it can't read has no tag
    let subject = catch_unwind(AssertUnwindSafe(|| decoded(field))).unwrap_or_default();
    let missing = missing(&subject, tags);
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
