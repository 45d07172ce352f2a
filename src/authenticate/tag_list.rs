//! Tag lists: `v=1; a=rsa-sha256; ...`, of signatures, seals and key records (RFC 6376 §3.2).

use std::ops::Range;

/// More tags than this in one list are not read; RFCs define about twenty.
const MAX_TAGS: usize = 64;
/// Octets of a value in base64, white space included, beyond which it is not read: RSA of 8192 bits has 1,416 characters for a key and
/// fewer for a signature, and people fold them as they like.
const MAX_BASE64: usize = 8 * 1024;

/// Why a text is no tag list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagListError {
    /// It does not follow the grammar.
    Syntax,
    /// A tag stands there twice, which makes the whole list invalid.
    Duplicate,
}

#[derive(Debug, Clone)]
struct Tag<'a> {
    name: &'a [u8],
    /// Differs where names of up to eight octets do: quicker to compare.
    mark: u64,
    value: &'a [u8],
    /// Where the value stands with the white space around it: from behind `=` to before `;`.
    span: Range<usize>,
}

/// A tag list. Names are compared with regard to case, as §3.2 wants.
#[derive(Debug, Clone)]
pub(super) struct TagList<'a>(Vec<Tag<'a>>);

impl<'a> TagList<'a> {
    /// Reads the value of a field, with its folding.
    pub(super) fn parse(text: &'a [u8]) -> Result<TagList<'a>, TagListError> {
        Self::read(text, false)
    }

    /// Reads a record of the DNS. People write them by hand: `;;` is let pass.
    pub(super) fn parse_record(text: &'a [u8]) -> Result<TagList<'a>, TagListError> {
        Self::read(text, true)
    }

    fn read(text: &'a [u8], may_be_empty: bool) -> Result<TagList<'a>, TagListError> {
        let mut tags: Vec<Tag<'a>> = Vec::new();
        let mut next = Some(0);
        while let Some(start) = next {
            let rest = text.get(start..).unwrap_or_default();
            let semicolon = memchr::memchr(b';', rest);
            let spec = rest.get(..semicolon.unwrap_or(rest.len())).unwrap_or_default();
            next = semicolon.map(|length| start + length + 1);
            // A list of nothing lacks whatever is required of it.
            if spec.iter().all(|octet| is_white(*octet)) && (next.is_none() || (may_be_empty && start > 0)) {
                continue;
            }
            let equals = memchr::memchr(b'=', spec).ok_or(TagListError::Syntax)?;
            let (name, value) = spec.split_at_checked(equals).ok_or(TagListError::Syntax)?;
            let (name, value) = (trim(name), value.get(1..).unwrap_or_default());
            // Without an early end, so that the compiler makes vector instructions of it.
            let is_value = value.iter().fold(true, |is_value, octet| is_value & is_value_octet(*octet));
            if !is_name(name) || tags.len() >= MAX_TAGS || !is_value {
                return Err(TagListError::Syntax);
            }
            let mark = mark(name);
            if tags.iter().any(|tag| tag.mark == mark && tag.name == name) {
                return Err(TagListError::Duplicate);
            }
            tags.push(Tag { name, mark, value: trim(value), span: start + equals + 1..start + spec.len() });
        }
        Ok(TagList(tags))
    }

    /// A tag's value without the white space around it.
    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.find(name).map(|tag| tag.value)
    }

    /// Whether this tag is the first.
    pub(super) fn is_first(&self, name: &str) -> bool {
        self.0.first().is_some_and(|tag| tag.name == name.as_bytes())
    }

    /// A tag's value as text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// A tag's value without any white space, as base64 and lists of names allow it in between.
    pub(super) fn compact(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name).map(|value| value.iter().copied().filter(|octet| !is_white(*octet)).collect())
    }

    /// What a value in base64 decodes to; `None` where it is missing, too long to be read, or no base64.
    pub(super) fn base64(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name).filter(|value| value.len() <= MAX_BASE64)?;
        base64(&self.compact(name)?)
    }

    /// The elements of a colon-separated value, lower-case, without the white space around them.
    pub(super) fn elements(&self, name: &str) -> Option<Vec<String>> {
        let value = self.get(name)?;
        let element = |text: &[u8]| String::from_utf8_lossy(trim(text)).to_ascii_lowercase();
        Some(value.split(|octet| *octet == b':').map(element).collect())
    }

    /// A value of 1 to 12 digits (RFC 6376 §3.5: t=, x=); `Err` where it is there and is none.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<u64>, TagListError> {
        self.number(name, 12)
    }

    /// A value of 1 to `digits` digits, as large as fits; `Err` where it is there and is none.
    pub(super) fn number(&self, name: &str, digits: usize) -> Result<Option<u64>, TagListError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        if value.is_empty() || value.len() > digits || !value.iter().all(u8::is_ascii_digit) {
            return Err(TagListError::Syntax);
        }
        let add = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        Ok(Some(value.iter().fold(0, add)))
    }

    /// Where a tag's value stands in the text, with the white space around it.
    pub(super) fn span(&self, name: &str) -> Option<Range<usize>> {
        self.find(name).map(|tag| tag.span.clone())
    }

    fn find(&self, name: &str) -> Option<&Tag<'a>> {
        self.0.iter().find(|tag| tag.name == name.as_bytes())
    }
}

/// d= of a list that isn't read as a whole, lower-case; empty where there is none. Finds it among as many tags as are read.
pub(super) fn domain_of(text: &[u8]) -> String {
    let mut specs = text.split(|octet| *octet == b';').take(MAX_TAGS);
    let value = specs.find_map(|spec| trim(trim(spec).strip_prefix(b"d")?).strip_prefix(b"="));
    String::from_utf8_lossy(trim(value.unwrap_or_default())).to_lowercase()
}

/// Octets that base64 decodes to; `None` where it is empty or no base64 (RFC 4648 §4).
fn base64(compact: &[u8]) -> Option<Vec<u8>> {
    let unpadded = compact.strip_suffix(b"==").or_else(|| compact.strip_suffix(b"=")).unwrap_or(compact);
    let digits = unpadded.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/'));
    if unpadded.is_empty() || !digits || unpadded.len() % 4 == 1 {
        return None;
    }
    mail_parser::decoders::base64::base64_decode(unpadded)
}

pub(super) fn is_white(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|octet| !is_white(*octet)).unwrap_or(text.len());
    let end = text.iter().rposition(|octet| !is_white(*octet)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

fn mark(name: &[u8]) -> u64 {
    name.iter().fold(0, |mark: u64, octet| mark.rotate_left(8) ^ u64::from(*octet))
}

fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'_')
}

/// VALCHAR and FWS; octets beyond ASCII may be UTF-8 (RFC 8616 §5).
fn is_value_octet(octet: u8) -> bool {
    matches!(octet, 0x21..=0x7e | 0x80..) || is_white(octet)
}
