//! What stands between the delimiter lines of a multipart (RFC 2046 §5.1.1).

use memchr::memmem;

/// Characters of a boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;

/// The sections of a multipart. Delimiter lines in a row are one; and where one comes behind the last one, what follows it is a section
/// too: some readers show it, so that files could hide there.
pub(super) struct Sections<'a> {
    octets: &'a [u8],
    delimiter: memmem::Finder<'static>,
    /// Lines that only begin like the delimiter are taken for it.
    is_loose: bool,
    /// Where the next section begins; `None` when there is none.
    next: Option<usize>,
    /// What was seen so far.
    pub seen: Seen,
}

/// What a reader of sections came by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// A line that begins like the delimiter and goes on.
    pub tail: bool,
    /// A section behind the closing delimiter.
    pub after_end: bool,
}

/// A delimiter line: where the line end before it begins, and where the line after it does.
struct Delimiter {
    begins: usize,
    ends: usize,
    closes: bool,
}

impl<'a> Sections<'a> {
    pub(super) fn new(octets: &'a [u8], boundary: &[u8]) -> Self {
        Self::begun(octets, boundary, false)
    }

    /// With every line that begins like the delimiter, as readers have it that look no further.
    pub(super) fn loose(octets: &'a [u8], boundary: &[u8]) -> Self {
        Self::begun(octets, boundary, true)
    }

    fn begun(octets: &'a [u8], boundary: &[u8], is_loose: bool) -> Self {
        let delimiter = memmem::Finder::new(&[b"--", boundary].concat()).into_owned();
        let mut sections = Sections { octets, delimiter, is_loose, next: None, seen: Seen::default() };
        let first = sections.delimiter(0);
        sections.next = sections.opening(first);
        sections
    }

    /// Where a section begins: behind this delimiter line, or behind the next one that does not close.
    fn opening(&mut self, found: Option<Delimiter>) -> Option<usize> {
        let mut found = found?;
        let mut has_ended = false;
        while found.closes {
            has_ended = true;
            found = self.delimiter(found.ends)?;
        }
        self.seen.after_end |= has_ended;
        Some(found.ends)
    }

    /// The first delimiter line at or behind `from`, which is the beginning of a line.
    fn delimiter(&mut self, from: usize) -> Option<Delimiter> {
        let mut from = from;
        loop {
            let begins = from + self.delimiter.find(self.octets.get(from..)?)?;
            from = begins + self.delimiter.needle().len();
            let before = self.octets.get(..begins)?;
            if !matches!(before.last(), None | Some(b'\n')) {
                continue;
            }
            let rest = self.octets.get(from..)?;
            let closes = rest.starts_with(b"--");
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let is_bare = rest.get(..end).is_some_and(|tail| tail.trim_ascii().is_empty());
            self.seen.tail |= !is_bare && !rest.get(2..end).is_some_and(|tail| closes && tail.trim_ascii().is_empty());
            // a longer boundary that begins like this one is another's
            if closes || self.is_loose || matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n')) {
                let line_end = before.strip_suffix(b"\n").unwrap_or(before);
                let begins = line_end.strip_suffix(b"\r").unwrap_or(line_end).len();
                let ends = if end < rest.len() { from + end + 1 } else { self.octets.len() };
                return Some(Delimiter { begins, ends, closes });
            }
        }
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.next.take()?;
            let Some(found) = self.delimiter(start) else {
                // a multipart that does not end, ends with what holds it
                return self.octets.get(start..);
            };
            let ends = found.begins;
            self.next = self.opening(Some(found));
            // between two in a row there is not even a line end
            if ends >= start {
                return self.octets.get(start..ends);
            }
        }
    }
}

/// The boundary that readers guess which know none: that of the first line that looks like a delimiter.
pub(super) fn guessed(octets: &[u8], known: &[Vec<u8>]) -> Option<Vec<u8>> {
    for at in memmem::find_iter(octets, b"--") {
        let from = at + 2;
        if at > 0 && octets.get(at - 1) != Some(&b'\n') {
            continue;
        }
        let line = octets.get(from..)?.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let text = line.get(..MAX_BOUNDARY + 4).unwrap_or(line).trim_ascii_end();
        let text = text.strip_suffix(b"--").unwrap_or(text);
        let is_drawn = text.iter().all(|octet| *octet == b'-');
        if (1..=MAX_BOUNDARY).contains(&text.len()) && !text.starts_with(b" ") && !is_drawn {
            return (!known.iter().any(|known| known == text)).then(|| text.to_owned());
        }
    }
    None
}

/// The header of a part and what follows the blank line; without a blank line all of it is header.
pub(super) fn split(octets: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    while let Some(end) = octets.get(start..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let next = start + end + 1;
        if matches!(octets.get(start..next), Some(b"\r\n" | b"\n")) {
            return (octets.get(..start).unwrap_or_default(), octets.get(next..).unwrap_or_default());
        }
        start = next;
    }
    (octets, &[])
}
