//! What a message is made of: its parts, and the files in it (MIME, RFC 2045 and 2046).
//!
//! Fields are read by mail-parser; the walk from part to part is our own. mail-parser's walk looks through the rest of the message
//! for each boundary that is missing, and holds what it has decoded of every part: a message of ten thousand parts would cost it hours, or
//! gigabytes. Here every octet is looked at a bounded number of times, and nothing is kept but what is told.

mod file_name;
mod part;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::header::Header;
use part::{Encoding, Form, Part};

/// Parts that are looked at; what comes after them is not.
pub const MAX_PARTS: u64 = 1_000;
/// How deep is looked.
pub const MAX_DEPTH: u64 = 20;
/// Files that are told one by one.
pub const MAX_ATTACHMENTS: usize = 100;
/// Octets of a message that are looked at.
pub const MAX_OCTETS: usize = 64 * 1024 * 1024;
/// Octets of the header of one part that are read.
const MAX_PART_HEADER: usize = 32 * 1024;

/// The parts of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mime {
    /// How many there are: the message itself, its multiparts, what is in them, and the same of messages within it.
    pub parts: u64,
    /// How deep the deepest lies: 0 for a message that is one text.
    pub depth: u64,
    /// A bound was hit: there is more than what is told here.
    pub truncated: bool,
    /// The parts that are files, and messages within the message, in their order.
    pub attachments: Vec<Attachment>,
}

/// A part that is a file, or a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// Its file name, decoded (RFC 2047, RFC 2231), without control characters, at most 255 characters; empty where it has none.
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
        let seen = body.get(..MAX_OCTETS).unwrap_or(body);
        let mime = Mime { truncated: seen.len() < body.len(), ..Mime::default() };
        let mut walk = Walk { mime, to_decode: seen.len() };
        walk.part(header, seen, 0, Form::Text);
        walk.mime
    }
}

struct Walk {
    mime: Mime,
    /// Octets of encoded messages that may still be decoded: as many as the message has, however they nest.
    to_decode: usize,
}

impl Walk {
    /// A part, and what is in it. `untyped` is its form where it does not say (RFC 2046 §5.1.5).
    fn part(&mut self, header: &Header, body: &[u8], depth: u64, untyped: Form) {
        if self.mime.parts >= MAX_PARTS {
            self.mime.truncated = true;
            return;
        }
        self.mime.parts += 1;
        self.mime.depth = self.mime.depth.max(depth);
        let part = Part::read(header, untyped);
        self.mime.truncated |= part.is_cut;
        if part.is_attachment {
            self.attachment(&part, body, depth);
        }
        let holds_others = part.form == Form::Message || part.boundary.is_some();
        if depth >= MAX_DEPTH {
            self.mime.truncated |= holds_others;
            return;
        }
        match (&part.boundary, part.form) {
            (Some(boundary), form) => {
                let untyped = if form == Form::Digest { Form::Message } else { Form::Text };
                for section in Sections::new(body, boundary) {
                    self.section(section, depth + 1, untyped);
                    if self.mime.parts >= MAX_PARTS && self.mime.truncated {
                        return;
                    }
                }
            }
            (None, Form::Message) => self.message(&part, body, depth + 1),
            (None, Form::Text | Form::Digest | Form::File) => {}
        }
    }

    /// A part with its header on top.
    fn section(&mut self, octets: &[u8], depth: u64, untyped: Form) {
        let (header, body) = split(octets);
        let read = header.get(..MAX_PART_HEADER).unwrap_or(header);
        self.mime.truncated |= read.len() < header.len();
        self.part(&Header::parse(read.to_vec()), body, depth, untyped);
    }

    /// A message within the message. RFC 2046 §5.2.1 wants it unencoded; readers open it all the same.
    fn message(&mut self, part: &Part, body: &[u8], depth: u64) {
        if part.encoding == Encoding::Identity {
            return self.section(body, depth, Form::Text);
        }
        let left = self.to_decode.checked_sub(body.len());
        let decoded = left.and_then(|left| {
            self.to_decode = left;
            part.encoding.decode(body)
        });
        match decoded {
            Some(decoded) => self.section(&decoded, depth, Form::Text),
            None => self.mime.truncated = true,
        }
    }

    fn attachment(&mut self, part: &Part, body: &[u8], depth: u64) {
        if self.mime.attachments.len() >= MAX_ATTACHMENTS {
            self.mime.truncated = true;
            return;
        }
        self.mime.attachments.push(Attachment {
            name: file_name::shown(&part.name),
            extension: file_name::extension(&part.name),
            media_type: part.media_type.clone(),
            bytes: part.encoding.decoded_bytes(body),
            depth,
        });
    }
}

/// The header of a part and what follows the blank line; without a blank line all of it is header.
fn split(octets: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    while let Some(end) = octets.get(start..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let next = start + end + 1;
        if matches!(octets.get(start..next), Some(b"\r\n" | b"\n")) {
            return (octets.get(..start).unwrap_or_default(), octets.get(next..).unwrap_or_default());
        }
        start = next;
    }
    (octets, &[])
}

/// What stands between the delimiter lines of a multipart (RFC 2046 §5.1.1). Delimiter lines in a row are one; and where one comes
/// behind the last one, what follows it is a part too: some readers show it, so that files could hide there.
struct Sections<'a> {
    octets: &'a [u8],
    delimiter: memmem::Finder<'static>,
    /// Where the next section begins; `None` when there is none.
    next: Option<usize>,
}

/// A delimiter line: where the line end before it begins, and where the line after it does.
struct Delimiter {
    begins: usize,
    ends: usize,
    closes: bool,
}

impl<'a> Sections<'a> {
    fn new(octets: &'a [u8], boundary: &str) -> Self {
        let delimiter = memmem::Finder::new(format!("--{boundary}").as_bytes()).into_owned();
        let mut sections = Sections { octets, delimiter, next: None };
        sections.next = sections.opening(sections.delimiter(0));
        sections
    }

    /// Where a section begins: behind this delimiter line, or behind the next one that does not close.
    fn opening(&self, found: Option<Delimiter>) -> Option<usize> {
        let mut found = found?;
        while found.closes {
            found = self.delimiter(found.ends)?;
        }
        Some(found.ends)
    }

    /// The first delimiter line at or behind `from`, which is the beginning of a line.
    fn delimiter(&self, from: usize) -> Option<Delimiter> {
        let mut from = from;
        loop {
            let begins = from + self.delimiter.find(self.octets.get(from..)?)?;
            from = begins + self.delimiter.needle().len();
            let before = self.octets.get(..begins)?;
            let rest = self.octets.get(from..)?;
            let closes = rest.starts_with(b"--");
            // a longer boundary that begins like this one is another's
            let is_whole = closes || matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
            if is_whole && matches!(before.last(), None | Some(b'\n')) {
                let line_end = before.strip_suffix(b"\n").unwrap_or(before);
                let begins = line_end.strip_suffix(b"\r").unwrap_or(line_end).len();
                let ends = memchr::memchr(b'\n', rest).map_or(self.octets.len(), |end| from + end + 1);
                return Some(Delimiter { begins, ends, closes });
            }
        }
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.next.take()?;
            let Some(found) = self.delimiter(start) else {
                // a multipart that does not end, ends with what holds it
                return self.octets.get(start..);
            };
            let ends = found.begins;
            self.next = self.opening(Some(found));
            // between two in a row there is not even a line end
            if ends >= start {
                return self.octets.get(start..ends);
            }
        }
    }
}
