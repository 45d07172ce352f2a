//! The walk from part to part, and from what one reader sees to what another does.

use std::collections::HashSet;

use super::budget::Budget;
use super::defect::{Defect, Defects};
use super::inline_file;
use super::names::Name;
use super::part::{Encoding, Form, Part};
use super::sections::{Sections, guessed, split};
use super::{Attachment, MAX_ATTACHMENTS, MAX_DEPTH, MAX_PARTS, Mime, file_name};
use crate::message::header::Header;

/// Octets of the header of one part that are read.
const MAX_PART_HEADER: usize = 32 * 1024;
/// How often a body is looked at for delimiters: for the delimiter, and lines that begin with it to their end.
const LOOKS_FOR_DELIMITERS: u64 = 1;
/// How often the header of a part is looked at to be found and taken apart into fields.
const LOOKS_AT_HEADER: u64 = 4;
/// How often what is encoded is looked at to be decoded.
const LOOKS_TO_DECODE: u64 = 2;

/// Where a section lies: addresses in the octets that are walked through, and what it is where it does not say.
type Place = (usize, usize, Form);

pub(super) struct Walk<'a> {
    pub mime: Mime,
    defects: Defects,
    budget: Budget<'a>,
    /// Octets of encoded messages that may still be decoded: as many as the message has, however they nest, since they are held.
    to_decode: usize,
    /// The sections that were seen, and where they begin.
    seen: HashSet<Place>,
    begun: HashSet<usize>,
}

impl<'a> Walk<'a> {
    /// Through the body of a message, of so many octets.
    pub(super) fn new(body: usize, budget: Budget<'a>) -> Walk<'a> {
        Walk {
            mime: Mime::default(),
            defects: Defects::default(),
            budget,
            to_decode: body,
            seen: HashSet::new(),
            begun: HashSet::new(),
        }
    }

    /// What was found, and how many octets were looked at for it, each as often as it was.
    pub(super) fn told(mut self) -> (Mime, u64) {
        self.mime.truncated |= self.budget.is_over();
        self.mime.defects = self.defects.words();
        (self.mime, self.budget.spent())
    }

    fn is_over(&self) -> bool {
        self.budget.is_over() || self.mime.parts >= MAX_PARTS && self.mime.truncated
    }

    /// A part, and what is in it. `untyped` is its form where it does not say (RFC 2046 §5.1.5).
    pub(super) fn part(&mut self, header: &Header, body: &[u8], depth: u64, untyped: Form) {
        if self.mime.parts >= MAX_PARTS {
            self.mime.truncated = true;
            return;
        }
        self.mime.parts += 1;
        self.mime.depth = self.mime.depth.max(depth);
        let Some(part) = Part::read(header, untyped, &self.budget) else { return };
        self.mime.truncated |= part.is_cut;
        self.defects.join(part.defects);
        if part.is_attachment {
            self.attachment(&part, body, depth);
        }
        let holds_others = part.form == Form::Message || !part.boundaries.is_empty();
        self.defects.add_if(
            part.encoding != Encoding::Identity && (part.form == Form::Message || part.is_multipart),
            Defect::EncodedMultipart,
        );
        if depth >= MAX_DEPTH {
            self.mime.truncated |= holds_others || part.is_multipart;
        } else if part.is_multipart {
            self.multipart(&part, body, depth + 1);
        } else if part.form == Form::Message {
            self.message(&part, body, depth + 1);
        } else if part.form == Form::Text {
            self.text(&part, body, depth);
        }
    }

    /// A multipart, by each of its boundaries, and decoded too where it is encoded although RFC 2045 §6.4 forbids it.
    fn multipart(&mut self, part: &Part, body: &[u8], depth: u64) {
        let untyped = if part.form == Form::Digest { Form::Message } else { Form::Text };
        let found = self.by_boundaries(&part.boundaries, body, depth, untyped);
        if part.encoding != Encoding::Identity
            && let Some(decoded) = self.decoded(part, body)
        {
            let found_more = self.aside(|walk| walk.by_boundaries(&part.boundaries, &decoded, depth, untyped));
            self.defects.add_if(!found && !found_more, Defect::AbsentBoundary);
        } else {
            // a message that is returned without its body hides nothing
            let is_empty = part.boundaries.is_empty() || body.trim_ascii().is_empty();
            self.defects.add_if(!found && !is_empty, Defect::AbsentBoundary);
        }
    }

    /// Does something with octets of their own, which are no more when it is done: what is seen there is forgotten.
    fn aside<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        let (seen, begun) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.begun));
        let found = look(self);
        (self.seen, self.begun) = (seen, begun);
        found
    }

    fn by_boundaries(&mut self, boundaries: &[Vec<u8>], body: &[u8], depth: u64, untyped: Form) -> bool {
        let mut found = false;
        for boundary in boundaries {
            found |= self.sections(body, boundary, depth, untyped);
        }
        if !found
            && self.budget.take(body.len(), LOOKS_FOR_DELIMITERS)
            && let Some(boundary) = guessed(body, boundaries)
        {
            self.sections(body, &boundary, depth, untyped);
        }
        found
    }

    /// What stands between delimiter lines; says whether there is any.
    fn sections(&mut self, body: &[u8], boundary: &[u8], depth: u64, untyped: Form) -> bool {
        if !self.budget.take(body.len(), LOOKS_FOR_DELIMITERS) {
            return false;
        }
        let mut sections = Sections::new(body, boundary);
        let mut found = false;
        for section in sections.by_ref() {
            found = true;
            self.section(section, depth, untyped);
            if self.is_over() {
                return found;
            }
        }
        self.defects.add_if(sections.seen.after_end, Defect::AfterEnd);
        if sections.seen.tail && self.budget.take(body.len(), LOOKS_FOR_DELIMITERS) {
            self.behind_tails(body, boundary, depth, untyped);
        }
        found
    }

    /// What readers see that take a line for a delimiter which only begins like it. Where those are the delimiters of a multipart
    /// within, what follows them was seen.
    fn behind_tails(&mut self, body: &[u8], boundary: &[u8], depth: u64, untyped: Form) {
        for section in Sections::loose(body, boundary) {
            if section.trim_ascii().is_empty() || self.begun.contains(&section.as_ptr().addr()) {
                continue;
            }
            self.defects.add(Defect::DelimiterTail);
            self.section(section, depth, untyped);
            if self.is_over() {
                return;
            }
        }
    }

    /// A part with its header on top; one that several boundaries have between them is one.
    fn section(&mut self, octets: &[u8], depth: u64, untyped: Form) {
        let begins = octets.as_ptr().addr();
        self.begun.insert(begins);
        if !self.seen.insert((begins, octets.len(), untyped)) {
            return;
        }
        let (header, body) = split(octets);
        if !self.budget.take(octets.len() - body.len(), LOOKS_AT_HEADER) {
            return;
        }
        let read = header.get(..MAX_PART_HEADER).unwrap_or(header);
        self.mime.truncated |= read.len() < header.len();
        self.part(&Header::parse(read.to_vec()), body, depth, untyped);
    }

    /// A message within the message. RFC 2046 §5.2.1 wants it unencoded; readers open it all the same.
    fn message(&mut self, part: &Part, body: &[u8], depth: u64) {
        // empty lines in front of a header are passed over by some
        let start = |octets: &[u8]| octets.iter().take_while(|octet| b"\r\n".contains(octet)).count();
        if part.encoding == Encoding::Identity {
            return self.section(body.get(start(body)..).unwrap_or_default(), depth, Form::Text);
        }
        if let Some(decoded) = self.decoded(part, body) {
            let octets = decoded.get(start(&decoded)..).unwrap_or_default();
            self.aside(|walk| walk.section(octets, depth, Form::Text));
        }
    }

    /// What a part holds, its encoding undone; `None` where there is nothing, or too much.
    fn decoded(&mut self, part: &Part, body: &[u8]) -> Option<Vec<u8>> {
        let Some(left) = self.to_decode.checked_sub(body.len()) else {
            self.mime.truncated = true;
            return None;
        };
        self.to_decode = left;
        if !self.budget.take(body.len(), LOOKS_TO_DECODE) {
            return None;
        }
        let (decoded, is_good) = part.encoding.decode(body);
        self.defects.add_if(!is_good, Defect::BrokenEncoding);
        self.mime.truncated |= decoded.is_empty() && !body.trim_ascii().is_empty();
        (!decoded.is_empty()).then_some(decoded)
    }

    /// Files within a text.
    fn text(&mut self, part: &Part, body: &[u8], depth: u64) {
        let (files, are_more) = if part.encoding == Encoding::Identity {
            inline_file::find(body, &self.budget)
        } else if self.budget.take(body.len(), LOOKS_TO_DECODE) {
            let (decoded, is_good) = part.encoding.decode(body);
            self.defects.add_if(!is_good, Defect::BrokenEncoding);
            inline_file::find(&decoded, &self.budget)
        } else {
            (Vec::new(), true)
        };
        self.mime.truncated |= are_more;
        for file in files {
            self.defects.add(Defect::Uuencoded);
            self.defects.join(file_name::defects(&file.name));
            let name = Name { text: file_name::shown(&file.name), extension: file_name::extension(&file.name) };
            self.tell(name, file.media_type, file.bytes, depth);
        }
    }

    /// A file, once for each name that it may be shown under.
    fn attachment(&mut self, part: &Part, body: &[u8], depth: u64) {
        if part.encoding != Encoding::Identity && !self.budget.take(body.len(), 1) {
            return;
        }
        let bytes = part.encoding.decoded_bytes(body);
        if part.names.is_empty() {
            return self.tell(Name::default(), &part.media_type, bytes, depth);
        }
        for name in &part.names {
            self.tell(name.clone(), &part.media_type, bytes, depth);
        }
    }

    fn tell(&mut self, name: Name, media_type: &str, bytes: u64, depth: u64) {
        if self.mime.attachments.len() >= MAX_ATTACHMENTS {
            self.mime.truncated = true;
            return;
        }
        self.mime.attachments.push(Attachment {
            name: name.text,
            extension: name.extension,
            media_type: media_type.to_owned(),
            bytes,
            depth,
        });
    }
}
