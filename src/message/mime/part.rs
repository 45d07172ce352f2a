//! What the header of one part says of it.

use mail_parser::HeaderValue;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;

use super::budget::Budget;
use super::defect::{Defect, Defects};
use super::encoded_word;
use super::extended::{self, Text};
use super::names::{Field, Name, Names};
use super::parameters;
use crate::message::header::{FieldRef, Header, HeaderDefect};

/// Octets of one field that are read: a name of 255 characters has room in it however it is encoded.
const MAX_FIELD: usize = 4 * 1024;
/// Fields of one name that are read.
const MAX_FIELDS: usize = 8;
/// Boundaries by which one multipart is taken apart.
const MAX_BOUNDARIES: usize = 4;
/// How often the header of a part is looked at: for its lines, for what is wrong with them, for each field that counts.
const LOOKS: u64 = 8;
/// What a part costs beside its octets, in octets.
const PART: usize = 16;
/// How often a field is looked at by mail-parser, and to be handed to it.
const LOOKS_AT_FIELD: u64 = 16;
/// Characters of a media type that are kept.
const MAX_TYPE: usize = 128;

/// What kind of part it is, as far as that decides what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// A text that a reader shows.
    Text,
    /// A multipart whose parts are messages where they do not say otherwise (RFC 2046 §5.1.5).
    Digest,
    /// A message within the message (RFC 2046 §5.2.1, RFC 6532 §3.7).
    Message,
    /// Anything else.
    File,
}

/// How the octets of a part are written (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
}

/// What a part says of itself.
#[derive(Debug)]
pub(super) struct Part {
    pub form: Form,
    pub media_type: String,
    /// Whether it says to be a multipart.
    pub is_multipart: bool,
    /// By which it may be taken apart, where it is a multipart: one, unless readers disagree.
    pub boundaries: Vec<Vec<u8>>,
    pub names: Vec<Name>,
    pub is_attachment: bool,
    pub encoding: Encoding,
    pub defects: Defects,
    /// A field was too long to be read whole, or there are more than are read.
    pub is_cut: bool,
}

impl Part {
    /// Reads the header of a part; without a Content-Type it is `untyped`. `None` where the budget has no room for it.
    pub(super) fn read(header: &Header, untyped: Form, budget: &Budget<'_>) -> Option<Part> {
        if !budget.take(header.raw().len() + PART, LOOKS) {
            return None;
        }
        let mut is_cut = header.defects().contains(&HeaderDefect::TooLarge);
        let mut defects = of_header(header);
        let types = fields(header, "content-type", &mut is_cut, &mut defects, budget);
        let dispositions = fields(header, "content-disposition", &mut is_cut, &mut defects, budget);
        let encoding = Encoding::read(header, &mut defects);
        let heads = heads(&types, &mut defects);
        let is_multipart = heads.iter().any(|head| head.starts_with("multipart"));
        let boundaries = if is_multipart { boundaries(&types, &mut is_cut, &mut defects, budget) } else { Vec::new() };
        // readers differ in which of several fields they take: the one that may hide the most is taken
        let multipart = heads.iter().find(|head| is_multipart && head.starts_with("multipart"));
        let message = || heads.iter().find(|head| of_typed(head).0 == Form::Message);
        let head = multipart.or_else(message).or(heads.last());
        let (form, media_type) = head.map_or_else(|| of_untyped(untyped), |head| of_typed(head));
        let names = Names::of(header, &types, &dispositions, budget);
        defects.join(names.defects);
        // what is neither shown in its place nor known is a file (RFC 2183 §2.8)
        let is_inline = |field: &Field| field.readings.first().is_none_or(|reading| reading.head == "inline");
        let is_file = dispositions.last().is_some_and(|disposition| !is_inline(disposition));
        let is_attachment = match form {
            Form::Message | Form::File if !is_multipart => true,
            _ => !names.list.is_empty() || (is_file && boundaries.is_empty()),
        };
        defects.add_if(is_partial(&media_type), Defect::Partial);
        defects.add_if(is_tnef(&media_type, &names.list), Defect::Tnef);
        let is_cut = is_cut || names.is_cut;
        let names = names.list;
        Some(Part { form, media_type, is_multipart, boundaries, names, is_attachment, encoding, defects, is_cut })
    }
}

/// What is wrong with the lines of a header.
fn of_header(header: &Header) -> Defects {
    let mut defects = Defects::default();
    let raw = header.raw();
    let is_wrong = |defect: &HeaderDefect| *defect != HeaderDefect::TooLarge;
    // a line of white space ends the header for some, and a carriage return a line
    let is_blank = |line: &[u8]| matches!(line.first(), Some(b' ' | b'\t')) && line.trim_ascii().is_empty();
    let has_return = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).iter().any(|octet| b"\r\0".contains(octet));
    let is_broken = !raw.is_empty() && header.defects().iter().any(is_wrong)
        || raw.split(|octet| *octet == b'\n').any(|line| is_blank(line) || has_return(line));
    defects.add_if(is_broken, Defect::BrokenHeader);
    defects
}

fn is_partial(media_type: &str) -> bool {
    matches!(media_type, "message/partial" | "message/external-body")
}

fn is_tnef(media_type: &str, names: &[Name]) -> bool {
    matches!(media_type, "application/ms-tnef" | "application/vnd.ms-tnef")
        || names.iter().any(|name| name.text.eq_ignore_ascii_case("winmail.dat"))
}

fn of_untyped(form: Form) -> (Form, String) {
    let media_type = if form == Form::Message { "message/rfc822" } else { "text/plain" };
    (form, media_type.to_owned())
}

fn of_typed(head: &str) -> (Form, String) {
    let form = match head.split_once('/').unwrap_or((head, "")) {
        ("text", "plain" | "html" | "") => Form::Text,
        ("multipart", "digest") => Form::Digest,
        ("message", "rfc822" | "global" | "news") => Form::Message,
        _ => Form::File,
    };
    (form, head.chars().filter(|character| !character.is_control()).take(MAX_TYPE).collect())
}

/// The media types that a part may have: what stands in front of the parameters, as we and as mail-parser read it.
fn heads(types: &[Field], defects: &mut Defects) -> Vec<String> {
    let mut heads = Vec::new();
    for field in types {
        let other = field.other.as_ref().map(|other| match other.subtype() {
            Some(sub) => format!("{}/{sub}", other.ctype()),
            None => other.ctype().to_owned(),
        });
        let ours: Vec<&String> = field.readings.iter().map(|reading| &reading.head).collect();
        let first = ours.first().map(|head| head.as_str()).unwrap_or_default();
        let is_token = |text: &str| {
            !text.is_empty() && text.bytes().all(|o| o.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&o))
        };
        let is_type = first.split_once('/').is_some_and(|(main, sub)| is_token(main) && is_token(sub));
        let others = ours.iter().map(|head| head.as_str()).chain(other.as_deref());
        defects.add_if(!is_type || others.clone().any(|head| head != first), Defect::BrokenType);
        // where readers disagree, what was read otherwise counts where it holds other parts
        let holds_parts = |head: &&str| head.starts_with("multipart") || of_typed(head).0 == Form::Message;
        heads.extend(others.filter(holds_parts).filter(|head| *head != first).map(str::to_owned));
        heads.push(first.to_owned());
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// The boundaries that a multipart may have, each once: the octets as they stand, and where they are of a charset their text.
fn boundaries(types: &[Field], is_cut: &mut bool, defects: &mut Defects, budget: &Budget<'_>) -> Vec<Vec<u8>> {
    let mut boundaries: Vec<Vec<u8>> = Vec::new();
    let mut add = |boundary: &[u8]| {
        let boundary = boundary.trim_ascii_end();
        if boundary.is_empty() || boundaries.iter().any(|known| known == boundary) {
            return false;
        }
        if boundaries.len() >= MAX_BOUNDARIES {
            *is_cut = true;
            return false;
        }
        boundaries.push(boundary.to_vec());
        true
    };
    // a text in which an octet could not be read stands in no body
    let is_whole = |text: &&str| !text.contains(char::REPLACEMENT_CHARACTER);
    for field in types {
        for (at, reading) in field.readings.iter().enumerate() {
            let found = extended::find(reading, "boundary", budget);
            let mut is_new = false;
            for Text { octets, text } in found.values.iter().chain(&found.others) {
                is_new |= add(octets);
                is_new |= Some(text.as_str()).filter(is_whole).is_some_and(|text| add(text.as_bytes()));
            }
            defects.join(if at == 0 { found.defects } else { Defects::default() });
            defects.add_if(is_new && at > 0, Defect::BrokenParameter);
        }
        let other = field.other.as_ref().and_then(|other| other.attribute("boundary")).filter(is_whole);
        if other.is_some_and(|other| add(other.as_bytes())) {
            defects.add(Defect::BrokenParameter);
        }
    }
    defects.add_if(boundaries.is_empty(), Defect::NoBoundary);
    boundaries
}

/// The fields of a name, as far as they can be read: a type and its parameters (RFC 2045 §5.1, RFC 2183).
fn fields(header: &Header, name: &str, is_cut: &mut bool, defects: &mut Defects, budget: &Budget<'_>) -> Vec<Field> {
    let mut read = Vec::new();
    for field in header.named(name) {
        if read.len() >= MAX_FIELDS {
            *is_cut = true;
            break;
        }
        let value = field.value.get(..MAX_FIELD).unwrap_or(field.value);
        *is_cut |= value.len() < field.value.len();
        if !budget.take(value.len(), LOOKS_AT_FIELD) {
            break;
        }
        let ended = [&joined(value), b"\r\n".as_slice()].concat();
        let other = match MessageStream::new(&ended).parse_content_type().into_owned() {
            HeaderValue::ContentType(found) => Some(found),
            _ => None,
        };
        let readings = parameters::readings(value, budget);
        *is_cut |= readings.iter().any(|reading| reading.is_cut);
        read.push(Field { readings, other });
    }
    defects.add_if(read.len() > 1, Defect::DoubledField);
    read
}

/// The text of a field that is a name and nothing else.
pub(super) fn text_of(field: FieldRef<'_>) -> String {
    let value = field.value.get(..MAX_FIELD).unwrap_or(field.value);
    let text = String::from_utf8_lossy(value).replace(['\r', '\n'], "");
    text.trim().trim_matches('"').to_owned()
}

/// The value without the white space between encoded-words, which is none of the text's (RFC 2047 §6.2). Within a parameter mail-parser
/// would keep it, and split an extension by it.
fn joined(value: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(end) = memchr::memmem::find(rest, b"?=") {
        let (word, tail) = rest.split_at_checked(end + 2).unwrap_or((rest, &[]));
        joined.extend_from_slice(word);
        let next = tail.trim_ascii_start();
        rest = if next.starts_with(b"=?") { next } else { tail };
    }
    joined.extend_from_slice(rest);
    joined
}

impl Encoding {
    fn read(header: &Header, defects: &mut Defects) -> Encoding {
        let mut fields = header.named("content-transfer-encoding");
        let Some(field) = fields.next_back() else { return Encoding::Identity };
        defects.add_if(fields.next_back().is_some(), Defect::DoubledField);
        let word = field.unfolded();
        let word = word.split(|octet| b";( \t".contains(octet)).find(|word| !word.is_empty()).unwrap_or_default();
        if word.eq_ignore_ascii_case(b"base64") {
            Encoding::Base64
        } else if word.eq_ignore_ascii_case(b"quoted-printable") {
            Encoding::QuotedPrintable
        } else {
            let is_known =
                [b"7bit".as_slice(), b"8bit", b"binary"].iter().any(|known| word.eq_ignore_ascii_case(known));
            defects.add_if(!is_known, Defect::UnknownEncoding);
            Encoding::Identity
        }
    }

    /// The octets themselves as far as they can be had, and whether they are so encoded (RFC 2045 §6.7, §6.8).
    pub(super) fn decode(self, octets: &[u8]) -> (Vec<u8>, bool) {
        match self {
            Encoding::Identity => (octets.to_vec(), true),
            Encoding::Base64 => encoded_word::base64(octets),
            Encoding::QuotedPrintable => match quoted_printable_decode(octets) {
                Some(decoded) => (decoded, true),
                None => (unquoted(octets), false),
            },
        }
    }

    /// How many octets there are, without decoding them.
    pub(super) fn decoded_bytes(self, octets: &[u8]) -> u64 {
        let bytes = match self {
            Encoding::Identity => octets.len(),
            Encoding::Base64 => {
                let is_digit = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
                let digits = octets.iter().filter(is_digit).count();
                digits / 4 * 3 + (digits % 4).saturating_sub(1)
            }
            Encoding::QuotedPrintable => quoted_bytes(octets),
        };
        bytes as u64
    }
}

/// Quoted-printable as lenient programs decode it: what is no escape stays.
fn unquoted(octets: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let bare = line.trim_ascii_end();
        text.extend(encoded_word::escaped(bare.strip_suffix(b"=").unwrap_or(line), b'=').0);
    }
    text
}

/// `=XX` is one octet, `=` at the end of a line is none, nor is the line end after it.
fn quoted_bytes(octets: &[u8]) -> usize {
    let escapes = memchr::memchr_iter(b'=', octets);
    let saved: usize = escapes
        .map(|at| match octets.get(at + 1..) {
            Some([b'\r', b'\n', ..]) => 3,
            Some([b'\n', ..]) => 2,
            Some([a, b, ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 2,
            _ => 0,
        })
        .sum();
    octets.len().saturating_sub(saved)
}
