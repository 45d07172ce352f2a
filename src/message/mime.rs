//! What a message is made of: its parts, and the files in it (MIME, RFC 2045 and 2046).
//!
//! The walk from part to part is our own. mail-parser's walk looks through the rest of the message for each boundary that is missing, and
//! holds what it has decoded of every part: a message of ten thousand parts would cost it hours, or gigabytes. Here every octet is looked
//! at a bounded number of times, and nothing is kept but what is told.
//!
//! So are the names of files: one reader's value of a field is not enough where mail programs differ. Every name that one of them may show
//! is told, and what they may disagree about is told as a defect.

mod budget;
mod defect;
mod encoded_word;
mod extended;
mod file_name;
mod inline_file;
mod names;
mod parameters;
mod part;
mod sections;
mod walk;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::header::Header;
use budget::Budget;
pub use defect::DEFECTS;
use part::Form;
use walk::Walk;

/// Parts that are looked at; what comes after them is not.
pub const MAX_PARTS: u64 = 1_000;
/// How deep is looked.
pub const MAX_DEPTH: u64 = 20;
/// Files that are told one by one.
pub const MAX_ATTACHMENTS: usize = 100;
/// Octets of a message that are looked at.
pub const MAX_OCTETS: usize = 64 * 1024 * 1024;

/// How many octets are looked at, at most, for a message of so many: 16 times as many, and 1 MB.
pub const fn most_looks(octets: u64) -> u64 {
    octets.saturating_mul(budget::LOOKS).saturating_add(budget::LEAST)
}

/// The parts of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mime {
    /// How many there are: the message itself, its multiparts, what is in them, and the same of messages within it.
    pub parts: u64,
    /// How deep the deepest lies: 0 for a message that is one text.
    pub depth: u64,
    /// A bound was hit: there is more than what is told here.
    pub truncated: bool,
    /// What readers may disagree about, in words of [`DEFECTS`], each once.
    #[serde(default)]
    pub defects: Vec<String>,
    /// The parts that are files, and messages within the message, in their order; once for each name that a part may be shown under.
    pub attachments: Vec<Attachment>,
}

/// A part that is a file, or a message, under one of its names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Attachment {
    /// Its file name, decoded (RFC 2047, RFC 2231), without control characters, at most 255 characters; empty where it has none, and where
    /// a record does not tell it.
    #[serde(default)]
    pub name: String,
    /// What stands behind the last dot of that name, in lower case: what Windows goes by. Empty where there is no dot.
    pub extension: String,
    /// Its media type in lower case, as in `application/pdf`.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Octets of what it holds, its transfer encoding undone.
    pub bytes: u64,
    /// How deep it lies: 1 within the message's own multipart.
    pub depth: u64,
}

impl Mime {
    /// Looks through a message. Total: what can't be read as MIME is one part of text.
    pub fn of(header: &Header, body: &[u8]) -> Mime {
        Mime::until(&|| false, header, body).0
    }

    /// Looks through a message until `stop` says so, which is asked before each step: then it is truncated. Says how many octets were
    /// looked at, each as often as it was: at most [`most_looks`].
    pub fn until(stop: &dyn Fn() -> bool, header: &Header, body: &[u8]) -> (Mime, u64) {
        let seen = body.get(..MAX_OCTETS).unwrap_or(body);
        let budget = Budget::of(header.raw().len().saturating_add(seen.len()), stop);
        let mut walk = Walk::new(seen.len(), budget);
        walk.mime.truncated = seen.len() < body.len();
        walk.part(header, seen, 0, Form::Text);
        walk.told()
    }
}

impl Attachment {
    /// Whether its name is never written: programs call a message that is forwarded as a file by its subject.
    pub fn is_unwritten(&self) -> bool {
        self.media_type.starts_with("message/") || matches!(self.extension.as_str(), "eml" | "msg")
    }
}

impl Serialize for Attachment {
    /// Without what must never be written, whatever the caller has forgotten.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_written = !self.is_unwritten();
        let mut fields = serializer.serialize_struct("Attachment", 4 + usize::from(is_written))?;
        if is_written {
            fields.serialize_field("name", &self.name)?;
        }
        fields.serialize_field("extension", &self.extension)?;
        fields.serialize_field("type", &self.media_type)?;
        fields.serialize_field("bytes", &self.bytes)?;
        fields.serialize_field("depth", &self.depth)?;
        fields.end()
    }
}
