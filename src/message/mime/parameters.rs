//! Fields with parameters, Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183 §2), in every way that readers take them.
//!
//! A name that one program shows and we do not know is a hole. So what the grammar leaves no doubt about is read once, and where a
//! field is against it, or has what some programs don't know (comments, quoted pairs, folding in a value), it is read in each way.

use super::encoded_word;

/// Parameters of one field that are read.
const MAX_PARAMETERS: usize = 64;
/// Parameters that are looked for where a semicolon is missing.
const SOUGHT: &[&[u8]] = &[b"filename", b"name", b"boundary"];

/// One way to read a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// What stands before the first semicolon, in lower case, without white space and comments.
    pub head: String,
    pub parameters: Vec<Parameter>,
    /// It is against the grammar.
    pub is_broken: bool,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// Its name in lower case, as in `filename*0*`.
    pub name: String,
    /// Its value, and what else it may be taken for.
    pub values: Vec<Vec<u8>>,
}

/// What a reader knows of the grammar.
#[derive(Debug, Clone, Copy)]
struct Style {
    comments: bool,
    escapes: bool,
}

/// The ways to read a field; the first is that of the RFCs. There is at least one.
pub(super) fn readings(value: &[u8]) -> Vec<Reading> {
    let mut texts = vec![without_line_ends(value, false)];
    if folds_within(value) {
        texts.push(without_line_ends(value, true));
    }
    if memchr::memmem::find(value, b"=?").is_some() {
        let text = String::from_utf8_lossy(value);
        texts.push(encoded_word::decoded(&text).0.into_owned().into_bytes());
    }
    let mut readings: Vec<Reading> = Vec::new();
    for text in &texts {
        let both = |differ: bool| if differ { &[true, false][..] } else { &[true] };
        for &comments in both(has_comments(text)) {
            for &escapes in both(text.contains(&b'\\')) {
                let reading = Reading::of(text, Style { comments, escapes });
                if !readings.contains(&reading) {
                    readings.push(reading);
                }
            }
        }
    }
    readings
}

/// Whether there may be comments: an honest name has its parentheses within quotes.
fn has_comments(text: &[u8]) -> bool {
    if !text.contains(&b'(') {
        return false;
    }
    let mut places = Places::of(text, Style { comments: true, escapes: true });
    places.any(|(_, place)| matches!(place, In::Comment(_))) || places.place != In::Plain || text.contains(&b'\\')
}

/// Whether a line is folded elsewhere than between parameters.
fn folds_within(value: &[u8]) -> bool {
    let mut lines = value.split(|octet| *octet == b'\n');
    // the last line is not folded
    lines.next_back();
    lines.any(|line| !line.trim_ascii_end().ends_with(b";"))
}

/// Folding undone: the white space behind a line end stays, or goes too as some programs have it.
fn without_line_ends(value: &[u8], and_space: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    for (at, line) in value.split(|octet| *octet == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        text.extend_from_slice(if and_space && at > 0 { line.trim_ascii_start() } else { line });
    }
    text
}

impl Reading {
    fn of(text: &[u8], style: Style) -> Reading {
        let (segments, is_closed) = segments(text, style);
        let mut reading = Reading { is_broken: !is_closed, ..Reading::default() };
        let mut segments = segments.into_iter();
        let head = without_comments(segments.next().unwrap_or_default(), style);
        let end = sought(&head).unwrap_or(head.len());
        let (head, rest) = head.split_at_checked(end).unwrap_or((&head, &[]));
        reading.head = head.iter().filter(|octet| !octet.is_ascii_whitespace()).map(|o| char::from(*o)).collect();
        reading.head.make_ascii_lowercase();
        if !rest.is_empty() {
            reading.is_broken = true;
            reading.parameter(rest, style);
        }
        for segment in segments {
            reading.parameter(segment, style);
        }
        reading
    }

    /// Takes `name=value`, and what follows it where a semicolon is missing.
    fn parameter(&mut self, segment: &[u8], style: Style) {
        let mut segment = without_comments(segment, style);
        while self.parameters.len() < MAX_PARAMETERS {
            let Some(equals) = memchr::memchr(b'=', &segment) else {
                // a semicolon at the end is everywhere and means nothing
                self.is_broken |= !segment.trim_ascii().is_empty();
                return;
            };
            let (name, value) = segment.split_at_checked(equals).unwrap_or((&segment, &[]));
            let name: String = name.iter().map(|octet| char::from(octet.to_ascii_lowercase())).collect();
            let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '*').to_owned();
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let Value { values, open, is_broken } = Value::of(value, style);
            self.is_broken |= is_broken;
            let next = sought(open).and_then(|at| open.get(at..)).map(<[u8]>::to_vec);
            self.parameters.push(Parameter { name, values });
            match next {
                Some(next) => segment = next,
                None => return,
            }
            self.is_broken = true;
        }
        self.is_broken = true;
    }
}

/// What a parameter is set to.
struct Value<'a> {
    values: Vec<Vec<u8>>,
    /// What is not within quotes.
    open: &'a [u8],
    is_broken: bool,
}

impl<'a> Value<'a> {
    fn of(value: &'a [u8], style: Style) -> Value<'a> {
        let without_quotes = |text: &[u8]| text.iter().copied().filter(|octet| *octet != b'"').collect::<Vec<u8>>();
        let Some(inner) = value.strip_prefix(b"\"") else {
            let is_special =
                |octet: &u8| !octet.is_ascii_graphic() && octet.is_ascii() || b"()<>@,;:\\\"/[]?=".contains(octet);
            let is_broken = value.iter().any(is_special);
            let mut values = vec![value.to_vec()];
            if is_broken {
                let token = value.split(|octet| octet.is_ascii_whitespace() || b",;\"".contains(octet)).next();
                values.extend(token.map(<[u8]>::to_vec));
                values.push(without_quotes(value));
            }
            return Value { values, open: value, is_broken };
        };
        let (text, rest) = quoted(inner, style);
        let Some(rest) = rest else {
            let first = text.split(|octet| *octet == b';').next().unwrap_or(&text).to_vec();
            return Value { values: vec![text, first], open: value, is_broken: true };
        };
        if rest.trim_ascii().is_empty() {
            return Value { values: vec![text], open: &[], is_broken: false };
        }
        let glued = [text.as_slice(), &without_quotes(rest)].concat();
        Value { values: vec![text, glued, without_quotes(rest)], open: rest, is_broken: true }
    }
}

/// What stands before the closing quote, quoted pairs undone, and what follows it; `None` where none closes.
fn quoted(inner: &[u8], style: Style) -> (Vec<u8>, Option<&[u8]>) {
    let mut text = Vec::with_capacity(inner.len());
    let mut octets = inner.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return (text, inner.get(at + 1..)),
            b'\\' if style.escapes => text.extend(octets.next().map(|(_, octet)| *octet)),
            _ => text.push(*octet),
        }
    }
    (text, None)
}

/// Where a parameter begins that no semicolon is in front of.
fn sought(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'=', text).find_map(|equals| {
        let before = text.get(..equals)?.trim_ascii_end();
        let marks = before.iter().rev().take_while(|octet| octet.is_ascii_digit() || **octet == b'*').count();
        let word = before.get(..before.len() - marks)?;
        let letters = word.iter().rev().take_while(|octet| octet.is_ascii_alphanumeric()).count();
        let start = word.len() - letters;
        SOUGHT.iter().any(|name| word.get(start..).is_some_and(|word| word.eq_ignore_ascii_case(name))).then_some(start)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Plain,
    Quotes,
    Comment(usize),
}

/// Where each octet stands.
struct Places<'a> {
    octets: std::slice::Iter<'a, u8>,
    style: Style,
    place: In,
    escaped: bool,
}

impl<'a> Places<'a> {
    fn of(text: &'a [u8], style: Style) -> Self {
        Places { octets: text.iter(), style, place: In::Plain, escaped: false }
    }
}

impl Iterator for Places<'_> {
    /// An octet and where it stands; a comment's parentheses are within it.
    type Item = (u8, In);

    fn next(&mut self) -> Option<(u8, In)> {
        let octet = *self.octets.next()?;
        let before = self.place;
        if std::mem::take(&mut self.escaped) {
            return Some((octet, before));
        }
        self.place = match (before, octet) {
            (In::Quotes | In::Comment(_), b'\\') if self.style.escapes => {
                self.escaped = true;
                before
            }
            (In::Quotes, b'"') => In::Plain,
            (In::Plain, b'"') => In::Quotes,
            (In::Plain, b'(') if self.style.comments => In::Comment(1),
            (In::Comment(depth), b'(') => In::Comment(depth + 1),
            (In::Comment(1), b')') => In::Plain,
            (In::Comment(depth), b')') => In::Comment(depth - 1),
            _ => before,
        };
        let within = if matches!(self.place, In::Comment(_)) { self.place } else { before };
        Some((octet, within))
    }
}

/// The pieces between semicolons, and whether all quotes and comments are closed. What is left open is cut at every semicolon too.
fn segments(text: &[u8], style: Style) -> (Vec<&[u8]>, bool) {
    let (mut segments, mut start) = (Vec::new(), 0);
    let mut places = Places::of(text, style);
    for (at, (octet, place)) in places.by_ref().enumerate() {
        if octet == b';' && place == In::Plain && segments.len() < MAX_PARAMETERS {
            segments.push(text.get(start..at).unwrap_or_default());
            start = at + 1;
        }
    }
    let rest = text.get(start..).unwrap_or_default();
    segments.push(rest);
    let is_closed = places.place == In::Plain;
    if !is_closed {
        segments.extend(rest.split(|octet| *octet == b';').skip(1).take(MAX_PARAMETERS));
    }
    (segments, is_closed)
}

fn without_comments(text: &[u8], style: Style) -> Vec<u8> {
    if !style.comments || !text.contains(&b'(') {
        return text.to_vec();
    }
    Places::of(text, style).filter(|(_, place)| !matches!(place, In::Comment(_))).map(|(octet, _)| octet).collect()
}
