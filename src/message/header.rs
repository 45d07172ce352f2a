//! The header of a message, read once over octets that it owns (RFC 5322 §2.2).
//!
//! Reading is total: whatever comes in, every octet stays where it was, what is a field can be found, and what is not is named
//! as a [`HeaderDefect`]. Nothing is unfolded or decoded here, so that signatures can be verified over the octets as they came.

use std::ops::Range;

/// The longest header that is read as one, in octets.
pub const MAX_HEADER: usize = 256 * 1024;
/// How many fields a header may have.
pub const MAX_FIELDS: usize = 1000;
const CRLF: &[u8] = b"\r\n";

/// What is wrong with a header as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeaderDefect {
    /// There is no field at all, or the first line is none (it begins with white space, or has no field name).
    NoHeader,
    /// A line that is neither a field nor the continuation of one (RFC 5322 §2.2).
    NotAField,
    /// White space before the colon (RFC 5322 §4.5 has it only as obsolete syntax); readers disagree about it.
    SpaceBeforeColon,
    /// More than [`MAX_HEADER`] octets or [`MAX_FIELDS`] fields; what is beyond was not read as header.
    TooLarge,
}

/// Where one field, or a run of lines that is none, lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    whole: Range<usize>,
    /// The offset of the colon and the end of the name before it; `None` for lines that are no field.
    colon: Option<(usize, usize)>,
}

/// The header of a message: its octets and where its fields are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    raw: Vec<u8>,
    entries: Vec<Entry>,
    defects: Vec<HeaderDefect>,
}

/// One field of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// The field name, without white space before the colon.
    pub name: &'a [u8],
    /// What follows the colon, folding included, without the line end that ends the field.
    pub value: &'a [u8],
    /// The whole field with its line ends.
    pub raw: &'a [u8],
}

/// What becomes of a field in [`Header::rewritten`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// It stays, octet for octet.
    Keep,
    /// It is taken out whole, with its folded lines.
    Drop,
    /// These whole fields stand in its place.
    Put(Vec<u8>),
}

impl<'a> FieldRef<'a> {
    /// Whether the field has this name; names know no case (RFC 5322 §1.2.2).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether there is white space between the name and the colon.
    pub fn has_space_before_colon(&self) -> bool {
        self.raw.get(self.name.len()).is_some_and(|octet| *octet != b':')
    }

    /// The octets before the colon and those after it, line end included: what DKIM's simple canonicalization takes.
    pub fn halves(&self) -> (&'a [u8], &'a [u8]) {
        let colon = self.raw.iter().position(|octet| *octet == b':').unwrap_or(self.raw.len());
        let (before, after) = self.raw.split_at_checked(colon).unwrap_or((self.raw, &[]));
        (before, after.get(1..).unwrap_or_default())
    }

    /// The value with its folding undone (RFC 5322 §2.2.3): line ends are taken out, the white space after them stays.
    pub fn unfolded(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.value.len());
        let mut rest = self.value;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, tail) = rest.split_at_checked(end + 1).unwrap_or((rest, &[]));
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            rest = tail;
        }
        text.extend_from_slice(rest);
        text
    }
}

impl Header {
    /// Reads the lines before the blank line. Never fails: see [`Header::defects`].
    pub fn parse(raw: Vec<u8>) -> Header {
        let (mut entries, mut defects) = (Vec::<Entry>::new(), Vec::new());
        let (mut start, mut fields) = (0, 0);
        for end in line_ends(&raw) {
            let line = raw.get(start..end).unwrap_or_default();
            let continues = matches!(line.first(), Some(b' ' | b'\t'));
            if continues && let Some(last) = entries.last_mut() {
                last.whole.end = end;
                start = end;
                continue;
            }
            let colon = if continues { None } else { field_colon(line).map(|(c, n)| (start + c, start + n)) };
            if start == 0 && colon.is_none() {
                defects.push(HeaderDefect::NoHeader);
            }
            match colon {
                Some((colon, name_end)) if colon != name_end => defects.push(HeaderDefect::SpaceBeforeColon),
                Some(_) => {}
                None => defects.push(HeaderDefect::NotAField),
            }
            fields += usize::from(colon.is_some());
            if fields > MAX_FIELDS || entries.len() > 2 * MAX_FIELDS {
                defects.push(HeaderDefect::TooLarge);
                break;
            }
            entries.push(Entry { whole: start..end, colon });
            start = end;
        }
        if raw.len() > MAX_HEADER {
            defects.push(HeaderDefect::TooLarge);
        }
        if fields == 0 {
            defects.push(HeaderDefect::NoHeader);
        }
        defects.sort_unstable();
        defects.dedup();
        Header { raw, entries, defects }
    }

    /// The octets as they came, with the line end of the last field, without the blank line.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What is wrong with it, each once.
    pub fn defects(&self) -> &[HeaderDefect] {
        &self.defects
    }

    /// All fields, top down.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = FieldRef<'_>> {
        self.entries.iter().filter_map(|entry| self.field(entry))
    }

    /// The fields of one name, top down, whatever their case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = FieldRef<'a>> {
        self.fields().filter(move |field| field.is(name))
    }

    /// Lines that are neither a field nor a continuation, with the number of fields above them.
    pub fn stray_lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut above = 0;
        self.entries.iter().filter_map(move |entry| {
            if entry.colon.is_some() {
                above += 1;
                return None;
            }
            self.raw.get(entry.whole.clone()).map(|line| (above, line))
        })
    }

    /// The header without the fields that `drop` names; all other octets stay as they are.
    pub fn without(&self, drop: impl Fn(FieldRef<'_>) -> bool) -> Vec<u8> {
        self.rewritten(|field| if drop(field) { Rewrite::Drop } else { Rewrite::Keep })
    }

    /// The header with what `rewrite` says of each field, top down; all other octets stay as they are.
    pub fn rewritten(&self, mut rewrite: impl FnMut(FieldRef<'_>) -> Rewrite) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.raw.len());
        let mut copied = 0;
        for entry in &self.entries {
            let instead = match self.field(entry).map_or(Rewrite::Keep, &mut rewrite) {
                Rewrite::Keep => continue,
                Rewrite::Drop => Vec::new(),
                Rewrite::Put(fields) => fields,
            };
            kept.extend_from_slice(self.raw.get(copied..entry.whole.start).unwrap_or_default());
            kept.extend_from_slice(&instead);
            copied = entry.whole.end;
        }
        kept.extend_from_slice(self.raw.get(copied..).unwrap_or_default());
        kept
    }

    fn field(&self, entry: &Entry) -> Option<FieldRef<'_>> {
        let (colon, name_end) = entry.colon?;
        let value = self.raw.get(colon + 1..entry.whole.end)?;
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        Some(FieldRef {
            name: self.raw.get(entry.whole.start..name_end)?,
            value: value.strip_suffix(b"\r").unwrap_or(value),
            raw: self.raw.get(entry.whole.clone())?,
        })
    }
}

/// The offsets after each line.
fn line_ends(raw: &[u8]) -> impl Iterator<Item = usize> {
    let rest = (raw.last().is_some_and(|last| *last != b'\n')).then_some(raw.len());
    memchr::memchr_iter(b'\n', raw).map(|line_feed| line_feed + 1).chain(rest)
}

/// The offset of a line's colon and the end of the field name before it: `name *WSP ":"` (RFC 5322 §2.2, §4.5).
fn field_colon(line: &[u8]) -> Option<(usize, usize)> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let before = line.get(..colon)?;
    let name = before.iter().position(|octet| !matches!(octet, 33..=126)).unwrap_or(colon);
    let only_space = before.get(name..)?.iter().all(|octet| matches!(octet, b' ' | b'\t'));
    (name > 0 && only_space).then_some((colon, name))
}

/// Finds the end of the header in a stream of chunks, and keeps the header's octets.
#[derive(Debug, Default)]
pub struct HeaderSplitter {
    raw: Vec<u8>,
    line_start: usize,
    state: Split,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Split {
    #[default]
    Reading,
    Ended {
        blank_line: bool,
    },
}

impl HeaderSplitter {
    /// Expects the first octet of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next chunk of the message. `None`: all of it belongs to the header, more is needed. `Some(rest)`: the header is
    /// complete (or larger than [`MAX_HEADER`]) and `rest` is the beginning of the body; later chunks are body as a whole.
    pub fn push<'a>(&mut self, chunk: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = chunk;
        while self.state == Split::Reading && !rest.is_empty() {
            let room = MAX_HEADER.saturating_sub(self.raw.len());
            if room == 0 {
                self.state = Split::Ended { blank_line: false };
                break;
            }
            let within = rest.get(..room).unwrap_or(rest);
            let blank_line = self.end_of_blank_line(within);
            let (now, later) = rest.split_at_checked(blank_line.unwrap_or(within.len())).unwrap_or((rest, &[]));
            if let Some(line_feed) = memchr::memrchr(b'\n', now) {
                self.line_start = self.raw.len() + line_feed + 1;
            }
            self.raw.extend_from_slice(now);
            rest = later;
            if blank_line.is_some() {
                self.raw.truncate(self.raw.len().saturating_sub(CRLF.len()));
                self.state = Split::Ended { blank_line: true };
            }
        }
        (self.state != Split::Reading).then_some(rest)
    }

    /// The offset behind the first blank line in what comes next, which may have begun in what has come before.
    fn end_of_blank_line(&self, next: &[u8]) -> Option<usize> {
        let begun = self.raw.get(self.line_start..).unwrap_or_default();
        match CRLF.strip_prefix(begun) {
            Some(missing) if next.starts_with(missing) => Some(missing.len()),
            _ => memchr::memmem::find(next, b"\n\r\n").map(|line_feed| line_feed + 1 + CRLF.len()),
        }
    }

    /// The header, and whether a blank line ended it; the end of the message ends it too. A header that was cut at its bound has
    /// the defect [`HeaderDefect::TooLarge`].
    pub fn finish(self) -> (Header, bool) {
        let cut = self.state == Split::Ended { blank_line: false };
        let mut header = Header::parse(self.raw);
        if cut && !header.defects.contains(&HeaderDefect::TooLarge) {
            header.defects.push(HeaderDefect::TooLarge);
        }
        (header, self.state == Split::Ended { blank_line: true })
    }
}
