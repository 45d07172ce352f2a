//! The bounds of a condition, held before it is parsed: the parser and everything after it recurses as deep as the text does.

use super::super::place::Fault;

/// The longest condition, in bytes.
pub const MAX_BYTES: usize = 4096;
/// How deep a condition may nest: open brackets, and operators that stand one within the other.
pub const MAX_DEPTH: usize = 48;

/// Holds a condition to its bounds.
///
/// `&&` and `||` are left out of the depth: the parser balances them. Each `? :` counts once wherever it stands.
///
/// # Errors
/// The first place that breaks a bound, or a string literal that does not end.
pub fn measure(text: &str) -> Result<(), Fault> {
    if text.len() > MAX_BYTES {
        let cause = format!("the condition is {} bytes long; {MAX_BYTES} are the most", text.len());
        return Err(Fault::new(0..text.len(), cause, "make several rules of it, or put names into a list"));
    }
    let bytes = text.as_bytes();
    // For each open bracket, how many operators stand within one another.
    let mut levels = vec![0usize];
    let mut conditionals = 0usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match byte {
            b'\'' | b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'/' if next == Some(b'/') => {
                at += bytes.iter().skip(at).take_while(|b| **b != b'\n').count();
                continue;
            }
            b'{' => {
                let cause = "conditions have no maps or messages";
                return Err(Fault::new(at..at + 1, cause, "compare single facts"));
            }
            b'(' | b'[' => levels.push(1),
            // One too many closes nothing; the parser says so.
            b')' | b']' if levels.len() > 1 => {
                levels.pop();
            }
            b'&' | b'|' if next == Some(byte) => {
                set_last(&mut levels, |_| 1);
                at += 1;
            }
            b',' => set_last(&mut levels, |_| 1),
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' => {
                set_last(&mut levels, |n| n + 1);
            }
            b'?' => conditionals += 1,
            // `in`, the one operator that is a word.
            b'i' if next == Some(b'n') => set_last(&mut levels, |n| n + 1),
            _ => {}
        }
        if levels.iter().sum::<usize>() + conditionals > MAX_DEPTH {
            let cause = format!("the condition nests deeper than {MAX_DEPTH} brackets and operators");
            return Err(Fault::new(at..at + 1, cause, "make several rules of it"));
        }
        at += 1;
    }
    Ok(())
}

fn set_last(levels: &mut [usize], new: impl Fn(usize) -> usize) {
    if let Some(last) = levels.last_mut() {
        *last = new(*last);
    }
}

/// The byte after the string literal that starts at `start`.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let quote = bytes.get(start).copied().unwrap_or_default();
    let triple = bytes.get(start..start + 3).is_some_and(|three| three.iter().all(|b| *b == quote));
    let raw = is_raw(bytes, start);
    let mut at = start + if triple { 3 } else { 1 };
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\' && !raw {
            at += escape_width(bytes.get(at + 1..).unwrap_or_default()).ok_or_else(|| {
                Fault::new(
                    at..at + 1,
                    "this escape is not known",
                    "a backslash itself is \\\\, or write the text as r'...'",
                )
            })?;
            continue;
        }
        if triple && bytes.get(at..at + 3).is_some_and(|three| three.iter().all(|b| *b == quote)) {
            return Ok(at + 3);
        }
        if !triple && byte == quote {
            return Ok(at + 1);
        }
        if !triple && (byte == b'\n' || byte == b'\r') {
            break;
        }
        at += 1;
    }
    Err(Fault::new(
        start..start + 1,
        "the text that starts here does not end",
        format!("close it with {}", char::from(quote)),
    ))
}

/// Whether the quote at `start` has the prefix of a raw literal.
fn is_raw(bytes: &[u8], start: usize) -> bool {
    let before = bytes.get(..start).unwrap_or_default();
    let word = before.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let prefix = before.get(before.len() - word..).unwrap_or_default();
    matches!(prefix, b"r" | b"R" | b"br" | b"bR" | b"Br" | b"BR")
}

/// The width of an escape, backslash included, of which `after` is what follows the backslash.
fn escape_width(after: &[u8]) -> Option<usize> {
    let digits = |from: usize, n: usize| after.get(from..from + n).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
    match after.first()? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'?' | b'"' | b'\'' | b'`' => Some(2),
        b'x' | b'X' if digits(1, 2) => Some(4),
        b'u' if digits(1, 4) => Some(6),
        b'U' if digits(1, 8) => Some(10),
        b'0'..=b'3' if after.get(1..3).is_some_and(|d| d.iter().all(|b| (b'0'..=b'7').contains(b))) => Some(4),
        _ => None,
    }
}
