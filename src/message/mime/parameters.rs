//! Fields with parameters, Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183 §2), in every way that readers take them.
//!
//! A name that one program shows and we do not know is a hole. So what the grammar leaves no doubt about is read once, and where a
//! field is against it, or has what some programs don't know (comments, quoted pairs, folding in a value), it is read in each way.

use std::borrow::Cow;

use super::budget::Budget;
use super::encoded_word;

/// Parameters of one field that are read.
const MAX_PARAMETERS: usize = 64;
/// How often one reading looks at each octet of a field: for semicolons, comments, quotes, and for its values.
const LOOKS: u64 = 16;
/// What a parameter costs beside its octets, in octets.
const PARAMETER: u64 = 64;
/// Parameters that are looked for where a semicolon is missing.
const SOUGHT: &[&[u8]] = &[b"filename", b"name", b"boundary"];

/// One way to read a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// What stands before the first semicolon, in lower case, without white space and comments.
    pub head: String,
    pub parameters: Vec<Parameter>,
    /// Octets of the parameters, with all that their values may be taken for.
    pub octets: usize,
    /// It is against the grammar.
    pub is_broken: bool,
    /// There are more parameters than are read.
    pub is_cut: bool,
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

/// The ways to read a field; the first is that of the RFCs. There is at least one; those that the budget has no room for are missing.
pub(super) fn readings(value: &[u8], budget: &Budget<'_>) -> Vec<Reading> {
    let unread = || vec![Reading { is_cut: true, ..Reading::default() }];
    if !budget.take(value.len(), LOOKS) {
        return unread();
    }
    let mut texts = vec![without_line_ends(value, false)];
    if folds_within(value) {
        texts.push(without_line_ends(value, true));
    }
    if memchr::memmem::find(value, b"=?").is_some() {
        let text = String::from_utf8_lossy(value);
        texts.push(encoded_word::decoded(&text, budget).0.into_owned().into_bytes());
    }
    let mut readings: Vec<Reading> = Vec::new();
    for text in &texts {
        let both = |differ: bool| if differ { &[true, false][..] } else { &[true] };
        for &comments in both(has_comments(text)) {
            for &escapes in both(text.contains(&b'\\')) {
                if !budget.take(text.len(), LOOKS) {
                    return if readings.is_empty() { unread() } else { readings };
                }
                let reading = Reading::of(text, Style { comments, escapes });
                if !budget.take(reading.parameters.len(), PARAMETER) || !readings.contains(&reading) {
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
        let Segments { list, is_closed, is_cut } = Segments::of(text, style);
        let mut reading = Reading { is_broken: !is_closed || is_cut, is_cut, ..Reading::default() };
        let mut segments = list.into_iter();
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
        let segment = without_comments(segment, style);
        let (mut segment, mut is_chained) = (segment.as_ref(), false);
        while self.parameters.len() < MAX_PARAMETERS {
            let Some(equals) = memchr::memchr(b'=', segment) else {
                // a semicolon at the end is everywhere and means nothing
                self.is_broken |= !segment.trim_ascii().is_empty();
                return;
            };
            let (name, value) = segment.split_at_checked(equals).unwrap_or((segment, &[]));
            let name: String = name.iter().map(|octet| char::from(octet.to_ascii_lowercase())).collect();
            let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '*').to_owned();
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let Value { values, next, is_broken } = Value::of(value, style, is_chained);
            self.is_broken |= is_broken;
            self.octets += name.len() + values.iter().map(Vec::len).sum::<usize>();
            self.parameters.push(Parameter { name, values });
            match next {
                Some(next) => (segment, is_chained) = (next, true),
                None => return,
            }
            self.is_broken = true;
        }
        let is_more = !segment.trim_ascii().is_empty();
        self.is_broken |= is_more;
        self.is_cut |= is_more;
    }
}

/// What a parameter is set to.
struct Value<'a> {
    values: Vec<Vec<u8>>,
    /// Where the next parameter begins that no semicolon is in front of.
    next: Option<&'a [u8]>,
    is_broken: bool,
}

impl<'a> Value<'a> {
    /// What stands behind the equals sign. Where it is not within quotes it goes to the end for some readers, and to the next parameter
    /// for others; but if it `is_chained`, behind another one without a semicolon, it ends there: its end is that of the first in any case,
    /// and each of many would have all that follows.
    fn of(value: &'a [u8], style: Style, is_chained: bool) -> Value<'a> {
        let (inner, is_quoted) = value.strip_prefix(b"\"").map_or((value, false), |inner| (inner, true));
        let (text, behind) = if is_quoted { quoted(inner, style) } else { (Vec::new(), None) };
        let open = behind.unwrap_or(inner);
        let (own, next) = match sought(open) {
            Some(at) => (open.get(..at).unwrap_or(open).trim_ascii(), open.get(at..)),
            None => (open, None),
        };
        let is_special =
            |octet: &u8| !octet.is_ascii_graphic() && octet.is_ascii() || b"()<>@,;:\\\"/[]?=".contains(octet);
        let is_broken = match behind {
            Some(behind) => !behind.trim_ascii().is_empty(),
            None => is_quoted || open.iter().any(is_special),
        };
        let mut values = if behind.is_some() { vec![text] } else { Vec::new() };
        let whole = (!is_chained || next.is_none()).then_some(open);
        let part = next.is_some().then_some(own);
        for open in [whole, part].into_iter().flatten() {
            if behind.is_some() {
                let first = values.first().map(Vec::as_slice).unwrap_or_default();
                let glued = [first, &without_quotes(open)].concat();
                let rest = without_quotes(open);
                values.extend(is_broken.then_some([glued, rest]).into_iter().flatten());
            } else if is_quoted {
                let (text, _) = quoted(open, style);
                let first = text.split(|octet| *octet == b';').next().unwrap_or(&text).to_vec();
                values.extend([text, first]);
            } else {
                values.push(open.to_vec());
                let token = open.split(|octet| octet.is_ascii_whitespace() || b",;\"".contains(octet)).next();
                let others = [token.unwrap_or_default().to_vec(), without_quotes(open)];
                values.extend(is_broken.then_some(others).into_iter().flatten());
            }
        }
        Value { values, next, is_broken }
    }
}

fn without_quotes(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|octet| *octet != b'"').collect()
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

/// The pieces between semicolons.
struct Segments<'a> {
    list: Vec<&'a [u8]>,
    /// All quotes and comments are closed. What is left open is cut at every semicolon too.
    is_closed: bool,
    /// There are more; the last one has them all.
    is_cut: bool,
}

impl<'a> Segments<'a> {
    fn of(text: &'a [u8], style: Style) -> Self {
        let (mut list, mut start, mut is_cut) = (Vec::new(), 0, false);
        let mut places = Places::of(text, style);
        for (at, (octet, place)) in places.by_ref().enumerate() {
            if octet != b';' || place != In::Plain {
                continue;
            }
            if list.len() >= MAX_PARAMETERS {
                is_cut |= text.get(at..).is_some_and(|rest| !rest.iter().all(|octet| b"; \t".contains(octet)));
                break;
            }
            list.push(text.get(start..at).unwrap_or_default());
            start = at + 1;
        }
        let rest = text.get(start..).unwrap_or_default();
        list.push(rest);
        let is_closed = places.place == In::Plain;
        if !is_closed {
            let mut pieces = rest.split(|octet| *octet == b';').skip(1);
            list.extend(pieces.by_ref().take(MAX_PARAMETERS));
            is_cut |= pieces.next().is_some();
        }
        Segments { list, is_closed, is_cut }
    }
}

fn without_comments(text: &[u8], style: Style) -> Cow<'_, [u8]> {
    if !style.comments || !text.contains(&b'(') {
        return Cow::Borrowed(text);
    }
    Places::of(text, style).filter(|(_, place)| !matches!(place, In::Comment(_))).map(|(octet, _)| octet).collect()
}
