//! Where a byte of a string's value stands in the TOML text that wrote it: a fault within a condition or a reply is shown at
//! its own line and column, whatever quotes and escapes stand around it.

use std::ops::Range;
use std::sync::Arc;

use crate::problem::{Problem, Source};

/// What is wrong within a text, by the bytes of that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub cause: String,
    /// How to mend it.
    pub mend: String,
}

impl Fault {
    /// A fault.
    pub fn new(span: Range<usize>, cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Fault { span, cause: cause.into(), mend: mend.into() }
    }

    /// The fault of the string that stands at `span` of the file and has the value `value`, as a problem of the file.
    pub fn into_problem(self, source: &Arc<Source>, span: &Range<usize>, value: &str, key: &str) -> Problem {
        let place = locate(source, span, value, &self.span).unwrap_or_else(|| span.clone());
        Problem::at(source, place, key, self.cause, self.mend)
    }
}

fn locate(source: &Source, span: &Range<usize>, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let offsets = offsets(source.text.get(span.clone())?, value)?;
    let start = offsets.get(part.start)?;
    let end = offsets.get(part.end)?;
    Some(span.start + start..span.start + *end.max(start))
}

/// For each byte of `value`, and for its end, where it stands in `raw`, the quoted string that gave it. `None` where the two do
/// not agree.
fn offsets(raw: &str, value: &str) -> Option<Vec<usize>> {
    let quote = raw.chars().next()?;
    let basic = quote == '"';
    if !basic && quote != '\'' {
        return None;
    }
    let multi_line = raw.len() >= 6 && raw.get(..3)?.chars().all(|c| c == quote);
    let width = if multi_line { 3 } else { 1 };
    let end = raw.len().checked_sub(width)?;
    let mut at = width;
    if multi_line {
        // TOML drops a line end right after the opening quotes.
        let rest = raw.get(at..)?;
        at += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let mut offsets = Vec::with_capacity(value.len() + 1);
    let mut wanted = value.chars().peekable();
    while at < end {
        let rest = raw.get(at..end)?;
        let c = rest.chars().next()?;
        if basic && c == '\\' {
            if let Some(skipped) = line_continuation(rest) {
                at += skipped;
                continue;
            }
            let (escaped, width) = unescape(rest)?;
            if wanted.next()? != escaped {
                return None;
            }
            offsets.extend(std::iter::repeat_n(at, escaped.len_utf8()));
            at += width;
        } else if c == '\r' && wanted.peek() == Some(&'\n') {
            at += 1;
        } else {
            if wanted.next()? != c {
                return None;
            }
            offsets.extend((0..c.len_utf8()).map(|i| at + i));
            at += c.len_utf8();
        }
    }
    offsets.push(end);
    if wanted.next().is_none() { Some(offsets) } else { None }
}

/// How many bytes a backslash at a line's end takes away: itself and all white space after it.
fn line_continuation(rest: &str) -> Option<usize> {
    let after = rest.get(1..)?;
    let trimmed = after.trim_start_matches([' ', '\t', '\r', '\n']);
    let skipped = after.get(..after.len() - trimmed.len())?;
    skipped.contains('\n').then(|| 1 + skipped.len())
}

/// The character of the escape that `rest` starts with, and the escape's length.
fn unescape(rest: &str) -> Option<(char, usize)> {
    let hex = |digits: usize| {
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        Some((char::from_u32(code)?, 2 + digits))
    };
    match rest.chars().nth(1)? {
        'b' => Some(('\u{8}', 2)),
        't' => Some(('\t', 2)),
        'n' => Some(('\n', 2)),
        'f' => Some(('\u{c}', 2)),
        'r' => Some(('\r', 2)),
        'e' => Some(('\u{1b}', 2)),
        '"' => Some(('"', 2)),
        '\\' => Some(('\\', 2)),
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        _ => None,
    }
}
