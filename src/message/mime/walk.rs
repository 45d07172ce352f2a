//! The walk from part to part, and from what one reader sees to what another does.

use super::defect::{Defect, Defects};
use super::inline_file;
use super::names::Name;
use super::part::{Encoding, Form, Part};
use super::sections::{Sections, guessed, split};
use super::{Attachment, MAX_ATTACHMENTS, MAX_DEPTH, MAX_PARTS, Mime, file_name};
use crate::message::header::Header;

/// Octets of the header of one part that are read.
const MAX_PART_HEADER: usize = 32 * 1024;
/// How often each octet of a message is looked at for delimiters: once at each depth, and twice as often where readers disagree.
const LOOKS: usize = 2 * MAX_DEPTH as usize + 2;

pub(super) struct Walk {
    pub mime: Mime,
    defects: Defects,
    /// Octets of encoded messages that may still be decoded: as many as the message has, however they nest.
    to_decode: usize,
    /// The same of encoded texts, which are searched for files.
    to_search: usize,
    /// Octets that may still be looked at for delimiters.
    to_scan: usize,
    /// Where the parts begin that were seen, as addresses in the octets that are walked through.
    begun: Vec<usize>,
}

impl Walk {
    pub(super) fn new(octets: usize) -> Walk {
        Walk {
            mime: Mime::default(),
            defects: Defects::default(),
            to_decode: octets,
            to_search: octets,
            to_scan: octets.saturating_mul(LOOKS),
            begun: Vec::new(),
        }
    }

    /// What was found.
    pub(super) fn told(mut self) -> Mime {
        self.mime.defects = self.defects.words();
        self.mime
    }

    fn is_over(&self) -> bool {
        self.mime.parts >= MAX_PARTS && self.mime.truncated
    }

    /// A part, and what is in it. `untyped` is its form where it does not say (RFC 2046 §5.1.5).
    pub(super) fn part(&mut self, header: &Header, body: &[u8], depth: u64, untyped: Form) {
        if self.mime.parts >= MAX_PARTS {
            self.mime.truncated = true;
            return;
        }
        self.mime.parts += 1;
        self.mime.depth = self.mime.depth.max(depth);
        let part = Part::read(header, untyped);
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
            let begun = std::mem::take(&mut self.begun);
            let found_more = self.by_boundaries(&part.boundaries, &decoded, depth, untyped);
            self.begun = begun;
            self.defects.add_if(!found && !found_more, Defect::AbsentBoundary);
        } else {
            self.defects.add_if(!found && !part.boundaries.is_empty(), Defect::AbsentBoundary);
        }
    }

    fn by_boundaries(&mut self, boundaries: &[String], body: &[u8], depth: u64, untyped: Form) -> bool {
        let mut found = false;
        for boundary in boundaries {
            found |= self.sections(body, boundary, depth, untyped);
        }
        if !found && let Some(boundary) = guessed(body, boundaries) {
            self.sections(body, &boundary, depth, untyped);
        }
        found
    }

    /// What stands between delimiter lines; says whether there is any.
    fn sections(&mut self, body: &[u8], boundary: &str, depth: u64, untyped: Form) -> bool {
        if !self.may_scan(body) {
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
        if sections.seen.tail && self.may_scan(body) {
            self.behind_tails(body, boundary, depth, untyped);
        }
        found
    }

    /// What readers see that take a line for a delimiter which only begins like it. Where those are the delimiters of a multipart
    /// within, what follows them was seen.
    fn behind_tails(&mut self, body: &[u8], boundary: &str, depth: u64, untyped: Form) {
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

    fn may_scan(&mut self, octets: &[u8]) -> bool {
        let left = self.to_scan.checked_sub(octets.len());
        self.mime.truncated |= left.is_none();
        self.to_scan = left.unwrap_or(0);
        left.is_some()
    }

    /// A part with its header on top.
    fn section(&mut self, octets: &[u8], depth: u64, untyped: Form) {
        self.begun.push(octets.as_ptr().addr());
        let (header, body) = split(octets);
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
            let begun = std::mem::take(&mut self.begun);
            self.section(decoded.get(start(&decoded)..).unwrap_or_default(), depth, Form::Text);
            self.begun = begun;
        }
    }

    /// What a part holds, its encoding undone; `None` where there is nothing, or too much.
    fn decoded(&mut self, part: &Part, body: &[u8]) -> Option<Vec<u8>> {
        let Some(left) = self.to_decode.checked_sub(body.len()) else {
            self.mime.truncated = true;
            return None;
        };
        self.to_decode = left;
        let (decoded, is_good) = part.encoding.decode(body);
        self.defects.add_if(!is_good, Defect::BrokenEncoding);
        self.mime.truncated |= decoded.is_empty() && !body.trim_ascii().is_empty();
        (!decoded.is_empty()).then_some(decoded)
    }

    /// Files within a text.
    fn text(&mut self, part: &Part, body: &[u8], depth: u64) {
        let (files, are_more) = if part.encoding == Encoding::Identity {
            inline_file::find(body)
        } else if let Some(left) = self.to_search.checked_sub(body.len()) {
            self.to_search = left;
            let (decoded, is_good) = part.encoding.decode(body);
            self.defects.add_if(!is_good, Defect::BrokenEncoding);
            inline_file::find(&decoded)
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
