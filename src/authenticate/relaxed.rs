//! Relaxed canonicalization of a body (RFC 6376 §3.4.4), as it comes in.
//!
//! Done here because mail-auth 0.13 takes a line of nothing but white space for content, although it becomes empty before empty
//! lines at the end are ignored; and because text that is canonical already, as nearly all is, can go to the hash as it stands.

use mail_auth::common::crypto::HashContext;

const CRLF: &[u8] = b"\r\n";

/// Hands the canonical body to a hash.
pub(super) struct Relaxed<H> {
    hash: H,
    /// Lines without content that are withheld: they count only if one with content follows.
    blank_lines: u64,
    /// Whether the current line had content so far.
    has_content: bool,
    /// White space that counts only if content follows on its line.
    has_space: bool,
}

impl<H: HashContext> Relaxed<H> {
    pub(super) fn new(hash: H) -> Relaxed<H> {
        Relaxed { hash, blank_lines: 0, has_content: false, has_space: false }
    }

    /// Takes the next octets, in chunks of any size.
    pub(super) fn write(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some(first) = rest.first() {
            if !self.has_content && !self.has_space {
                let (lines, others) = rest.split_at_checked(canonical_lines(rest)).unwrap_or((&[], rest));
                if !lines.is_empty() {
                    self.release_lines();
                    self.hash.write(lines);
                    rest = others;
                    continue;
                }
            }
            let taken = match first {
                b' ' | b'\t' => {
                    self.has_space = true;
                    1
                }
                // Data is framed with CRLF only; the CR is spoken for by the LF.
                b'\r' => 1,
                b'\n' => {
                    self.end_line();
                    1
                }
                _ => self.write_word(rest),
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// The body is complete: one that has content ends in CRLF.
    pub(super) fn finish(mut self) -> H {
        if self.has_content {
            self.hash.write(CRLF);
        }
        self.hash
    }

    /// Text up to white space or the line's end; tells its length.
    fn write_word(&mut self, rest: &[u8]) -> usize {
        if !self.has_content {
            self.release_lines();
        }
        if std::mem::take(&mut self.has_space) {
            self.hash.write(b" ");
        }
        self.has_content = true;
        let is_end = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        self.hash.write(rest.get(..length).unwrap_or_default());
        length
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.has_content) {
            self.hash.write(CRLF);
        } else {
            self.blank_lines += 1;
        }
        self.has_space = false;
    }

    fn release_lines(&mut self) {
        const BLANK: &[u8] = b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
        while self.blank_lines > 0 {
            let lines = self.blank_lines.min(8);
            self.hash.write(BLANK.get(..2 * lines as usize).unwrap_or(BLANK));
            self.blank_lines -= lines;
        }
    }
}

/// Octets at the beginning of a text that are whole lines with content and canonical as they stand.
fn canonical_lines(text: &[u8]) -> usize {
    let mut end = 0;
    while let Some(rest) = text.get(end..)
        && let Some(line_feed) = memchr::memchr(b'\n', rest)
        && let Some(line) = rest.get(..line_feed).and_then(|line| line.strip_suffix(b"\r"))
        && is_canonical(line)
    {
        end += line_feed + 1;
    }
    end
}

/// Whether a line has content, begins and ends with it, and has nothing but single spaces between words. Written without an early
/// end, so that the compiler makes vector instructions of it.
fn is_canonical(line: &[u8]) -> bool {
    let (Some(first), Some(last)) = (line.first(), line.last()) else { return false };
    let followed = line.get(1..).unwrap_or_default();
    let flaws = line.iter().zip(followed).fold(0_u8, |flaws, (octet, next)| {
        flaws | u8::from(*octet < b' ') | (u8::from(*octet == b' ') & u8::from(*next == b' '))
    });
    *first > b' ' && *last > b' ' && flaws == 0
}
