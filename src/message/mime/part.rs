//! What the header of one part says of it.

use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use crate::message::header::Header;

/// Octets of one field that are read: a name of 255 characters has room in it however it is encoded.
const MAX_FIELD: usize = 4 * 1024;
/// Characters of a media type that are kept.
const MAX_TYPE: usize = 128;

/// What kind of part it is, as far as that decides what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Where it is a multipart that can be taken apart.
    pub boundary: Option<String>,
    /// Empty where it has none.
    pub name: String,
    pub is_attachment: bool,
    pub encoding: Encoding,
    /// A field was too long to be read whole.
    pub is_cut: bool,
}

impl Part {
    /// Reads the header of a part; without a Content-Type it is `untyped`.
    pub(super) fn read(header: &Header, untyped: Form) -> Part {
        let mut is_cut = false;
        let mut types = fields(header, "content-type", &mut is_cut);
        let mut dispositions = fields(header, "content-disposition", &mut is_cut);
        let encoding = Encoding::read(header);
        // readers differ in which of several fields they take: the one that may hide the most is taken
        let multipart = types.iter().position(|one| one.ctype() == "multipart" && boundary(one).is_some());
        let content_type = multipart.map(|at| types.swap_remove(at)).or_else(|| types.pop());
        let disposition = dispositions.pop();
        let named = |of: &Option<ContentType<'_>>, parameter: &str| {
            of.as_ref().and_then(|of| of.attribute(parameter)).filter(|name| !name.trim().is_empty()).map(str::to_owned)
        };
        let name = named(&disposition, "filename").or_else(|| named(&content_type, "name"));
        let (form, media_type) = content_type.as_ref().map_or_else(|| of_untyped(untyped), of_typed);
        let boundary = content_type.as_ref().filter(|one| one.ctype() == "multipart").and_then(boundary);
        // what is neither shown in its place nor known is a file (RFC 2183 §2.8)
        let is_file = disposition.as_ref().is_some_and(|disposition| !disposition.is_inline());
        let is_multipart = media_type.starts_with("multipart/");
        let is_attachment = match form {
            Form::Message | Form::File if !is_multipart => true,
            _ => name.is_some() || (is_file && boundary.is_none()),
        };
        let name = name.unwrap_or_default();
        Part { form, media_type, boundary, name, is_attachment, encoding, is_cut }
    }
}

fn of_untyped(form: Form) -> (Form, String) {
    let media_type = if form == Form::Message { "message/rfc822" } else { "text/plain" };
    (form, media_type.to_owned())
}

fn of_typed(one: &ContentType<'_>) -> (Form, String) {
    let (main, sub) = (one.ctype(), one.subtype().unwrap_or_default());
    let form = match (main, sub) {
        ("text", "plain" | "html" | "") => Form::Text,
        ("multipart", "digest") => Form::Digest,
        ("message", "rfc822" | "global" | "news") => Form::Message,
        _ => Form::File,
    };
    let separator = if sub.is_empty() { "" } else { "/" };
    let whole = format!("{main}{separator}{sub}");
    (form, whole.chars().filter(|character| !character.is_control()).take(MAX_TYPE).collect())
}

fn boundary(one: &ContentType<'_>) -> Option<String> {
    let boundary = one.attribute("boundary")?.trim_end();
    (!boundary.is_empty()).then(|| boundary.to_owned())
}

/// The fields of a name, as far as they can be read: a type and its parameters (RFC 2045 §5.1, RFC 2183).
fn fields(header: &Header, name: &str, is_cut: &mut bool) -> Vec<ContentType<'static>> {
    let read = header.named(name).filter_map(|field| {
        let value = field.value.get(..MAX_FIELD).unwrap_or(field.value);
        *is_cut |= value.len() < field.value.len();
        let ended = [&joined(value), b"\r\n".as_slice()].concat();
        match MessageStream::new(&ended).parse_content_type().into_owned() {
            HeaderValue::ContentType(found) => Some(found),
            _ => None,
        }
    });
    read.collect()
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
    fn read(header: &Header) -> Encoding {
        let Some(field) = header.named("content-transfer-encoding").last() else { return Encoding::Identity };
        let word = field.unfolded();
        let word = word.split(|octet| b";( \t".contains(octet)).find(|word| !word.is_empty()).unwrap_or_default();
        if word.eq_ignore_ascii_case(b"base64") {
            Encoding::Base64
        } else if word.eq_ignore_ascii_case(b"quoted-printable") {
            Encoding::QuotedPrintable
        } else {
            Encoding::Identity
        }
    }

    /// The octets themselves; `None` where they are not so encoded.
    pub(super) fn decode(self, octets: &[u8]) -> Option<Vec<u8>> {
        match self {
            Encoding::Identity => Some(octets.to_vec()),
            Encoding::Base64 => base64_decode(octets),
            Encoding::QuotedPrintable => quoted_printable_decode(octets),
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
