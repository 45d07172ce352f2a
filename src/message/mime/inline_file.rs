//! Files that stand in a text: uuencode (POSIX), and yEnc. Some mail programs show them as attachments.

use memchr::memmem;

use super::budget::Budget;

/// Files of one text that are told.
const MAX_FILES: usize = 16;
/// Octets of a line that are read.
const MAX_LINE: usize = 1_024;

/// A file in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InlineFile {
    pub name: String,
    pub media_type: &'static str,
    /// Octets that its lines say to hold.
    pub bytes: u64,
}

/// How often a text is looked at for files: for each kind, and the lines on which one may begin.
const LOOKS: u64 = 3;
/// What a line costs on which one may begin, in octets.
const LINE: usize = 128;

/// The files in a text, and whether there are more, or a line that is too long to be read whole.
pub(super) fn find(text: &[u8], budget: &Budget<'_>) -> (Vec<InlineFile>, bool) {
    let (mut files, mut are_cut) = (Vec::new(), false);
    if !budget.take(text.len(), LOOKS) {
        return (files, true);
    }
    for (word, read) in [(b"begin".as_slice(), uuencoded as Read), (b"=ybegin ", yenc)] {
        for at in memmem::find_iter(text, word) {
            let starts_line = at == 0 || text.get(at - 1) == Some(&b'\n');
            let rest = text.get(at..).unwrap_or_default();
            if !starts_line {
                continue;
            }
            if !budget.take(LINE, 1) {
                return (files, true);
            }
            let Some(file) = read(rest, budget) else { continue };
            if files.len() >= MAX_FILES {
                return (files, true);
            }
            are_cut |= rest.get(..MAX_LINE).is_some_and(|line| !line.contains(&b'\n'));
            files.push(file);
        }
    }
    (files, are_cut)
}

type Read = fn(&[u8], &Budget<'_>) -> Option<InlineFile>;

/// `begin 644 name`, `begin-base64 644 name`; the mode may be missing where what follows looks like it.
fn uuencoded(text: &[u8], budget: &Budget<'_>) -> Option<InlineFile> {
    let mut lines = text.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next()?;
    let first = String::from_utf8_lossy(first.get(..MAX_LINE).unwrap_or(first)).into_owned();
    let rest = first.strip_prefix("begin")?;
    let is_base64 = rest.starts_with("-base64");
    let rest = rest.strip_prefix("-base64").unwrap_or(rest).strip_prefix(' ')?.trim_start();
    let (mode, name) = rest.split_once(' ').unwrap_or(("", rest));
    let is_mode = (3..=4).contains(&mode.len()) && mode.bytes().all(|octet| (b'0'..=b'7').contains(&octet));
    let mut data = lines.take_while(|line| !matches!(*line, b"end" | b"====" | b"`" | b"")).peekable();
    let name = if is_mode {
        name.trim()
    } else if !is_base64 && data.peek().is_some_and(|line| is_line(line)) {
        rest.trim()
    } else {
        return None;
    };
    if name.is_empty() {
        return None;
    }
    // a file may hold lines that begin others: each is read to its end
    let data = data.take_while(|line| budget.take(line.len() + 1, 1));
    let bytes =
        data.map(|line| if is_base64 { line.len() as u64 / 4 * 3 } else { held(line).min(line.len() as u64) }).sum();
    Some(InlineFile { name: name.to_owned(), media_type: "application/x-uuencode", bytes })
}

/// How many octets a line of uuencode holds.
fn held(line: &[u8]) -> u64 {
    line.first().map_or(0, |octet| u64::from(octet.wrapping_sub(b' ') & 63))
}

/// Whether a line is as long as it says.
fn is_line(line: &[u8]) -> bool {
    let digits = held(line).div_ceil(3) * 4;
    let has = line.len().saturating_sub(1) as u64;
    digits > 0 && (digits..=digits + 2).contains(&has) && line.iter().all(|octet| (b' '..=b'`').contains(octet))
}

/// `=ybegin line=128 size=123 name=...`
fn yenc(text: &[u8], _: &Budget<'_>) -> Option<InlineFile> {
    let line = text.split(|octet| matches!(octet, b'\r' | b'\n')).next()?;
    let line = String::from_utf8_lossy(line.get(..MAX_LINE).unwrap_or(line)).into_owned();
    let (fields, name) = line.split_once(" name=")?;
    let size = fields.split(' ').find_map(|field| field.strip_prefix("size=")?.parse::<u64>().ok());
    let bytes = size.unwrap_or(0).min(text.len() as u64);
    let name = name.trim();
    let is_file = fields.contains(" line=") && !name.is_empty();
    is_file.then(|| InlineFile { name: name.to_owned(), media_type: "application/x-yenc", bytes })
}
