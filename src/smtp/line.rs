//! Command lines out of a stream of octets: a line ends in CRLF and nothing else (RFC 5321 §2.3.8).

use memchr::memchr;

/// How many octets of a line that is too long are skipped before the client is given up.
const SKIP_MAX: usize = 1 << 20;

/// What the reader found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// Not a whole line yet.
    Partial,
    /// A line without its CRLF; it may hold a bare CR.
    Complete(&'a [u8]),
    /// No CRLF within the limit, how the line begins; told once, the rest of it is skipped.
    TooLong(&'a [u8]),
    /// A line of which even the rest that was skipped would not end.
    Endless,
    /// An LF without a CR before it.
    BareLf,
    /// The first octet of a TLS record where a command should be.
    TlsRecord,
}

/// Cuts input into lines of at most `limit` octets, CRLF included. It buffers nothing: what it does not consume
/// has to be offered again, with more behind it, and is never more than `limit` octets.
#[derive(Debug)]
pub struct LineReader {
    limit: usize,
    skipping: Option<Skip>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Skip {
    octets: usize,
    after_cr: bool,
}

impl LineReader {
    /// A reader of lines of at most `limit` octets (RFC 5321 §4.5.3.1.4 asks for 512 at least, and extensions for more).
    pub fn new(limit: usize) -> LineReader {
        LineReader { limit: limit.max(512), skipping: None }
    }

    /// How many octets were consumed, and what they are.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Line<'a>) {
        let skipped = match self.skipping {
            None => 0,
            Some(skip) => match self.skip(skip, input) {
                (all, false) => return (all, if self.gave_up() { Line::Endless } else { Line::Partial }),
                (some, true) => some,
            },
        };
        let (taken, line) = self.line(input.get(skipped..).unwrap_or_default());
        (skipped + taken, line)
    }

    fn line<'a>(&mut self, input: &'a [u8]) -> (usize, Line<'a>) {
        // RFC 8446 §5.1: a handshake record. SMTP has no command that begins so.
        if input.first() == Some(&0x16) {
            return (1, Line::TlsRecord);
        }
        let window = input.get(..self.limit).unwrap_or(input);
        match memchr(b'\n', window) {
            Some(end) => match window.get(..end).and_then(|text| text.strip_suffix(b"\r")) {
                Some(text) => (end + 1, Line::Complete(text)),
                None => (end + 1, Line::BareLf),
            },
            None if window.len() < self.limit => (0, Line::Partial),
            None => {
                self.skipping = Some(Skip { octets: 0, after_cr: window.last() == Some(&b'\r') });
                (window.len(), Line::TooLong(window))
            }
        }
    }

    /// Consumes up to the CRLF; says whether it was there.
    fn skip(&mut self, mut skip: Skip, input: &[u8]) -> (usize, bool) {
        let mut position = 0;
        while let Some(rest) = input.get(position..).filter(|rest| !rest.is_empty()) {
            let Some(end) = memchr(b'\n', rest) else { break };
            let after_cr = match end.checked_sub(1) {
                Some(before) => rest.get(before) == Some(&b'\r'),
                None => position == 0 && skip.after_cr,
            };
            position += end + 1;
            if after_cr {
                self.skipping = None;
                return (position, true);
            }
        }
        skip.octets = skip.octets.saturating_add(input.len());
        if let Some(last) = input.last() {
            skip.after_cr = *last == b'\r';
        }
        self.skipping = Some(skip);
        (input.len(), false)
    }

    fn gave_up(&self) -> bool {
        self.skipping.is_some_and(|skip| skip.octets > SKIP_MAX)
    }
}
