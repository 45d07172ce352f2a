//! Relaxed canonicalization of a body (RFC 6376 §3.4.4), as it comes in.
//!
//! Done here because mail-auth 0.13 takes a line of nothing but white space for content, although it becomes empty before empty
//! lines at the end are ignored; and because text that is canonical already, as nearly all is, can go to the hash as it stands.

use mail_auth::common::crypto::HashContext;

const CRLF: &[u8] = b"\r\n";
/// Octets that are gathered for the hash, which takes many at once far faster than few.
const BLOCK: usize = 512;
/// Octets that are looked at in one go.
const LANES: usize = 32;

/// Hands the canonical body to a hash.
pub(super) struct Relaxed<H> {
    hash: Gathered<H>,
    /// Lines without content that are withheld: they count only if one with content follows.
    blank_lines: u64,
    /// Whether the current line had content so far.
    has_content: bool,
    /// White space that counts only if content follows on its line.
    has_space: bool,
}

impl<H: HashContext> Relaxed<H> {
    pub(super) fn new(hash: H) -> Relaxed<H> {
        let hash = Gathered { hash, block: [0; BLOCK], filled: 0 };
        Relaxed { hash, blank_lines: 0, has_content: false, has_space: false }
    }

    /// Takes the next octets, in chunks of any size.
    pub(super) fn write(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some((first, others)) = rest.split_first() {
            rest = others;
            match first {
                b' ' | b'\t' => self.has_space = true,
                // Data is framed with CRLF only; the CR is spoken for by the LF.
                b'\r' => {}
                b'\n' => self.end_line(),
                _ => {
                    self.begin_content();
                    let (canonical, others) = others.split_at_checked(canonical(*first, others)).unwrap_or_default();
                    self.hash.write(std::slice::from_ref(first));
                    self.hash.write(canonical);
                    self.has_content = !canonical.ends_with(b"\n");
                    rest = others;
                }
            }
        }
    }

    /// The body is complete: one that has content ends in CRLF.
    pub(super) fn finish(mut self) -> H {
        if self.has_content {
            self.hash.write(CRLF);
        }
        self.hash.finish()
    }

    /// What was withheld counts.
    fn begin_content(&mut self) {
        if !self.has_content {
            for _ in 0..std::mem::take(&mut self.blank_lines) {
                self.hash.write(CRLF);
            }
        }
        if std::mem::take(&mut self.has_space) {
            self.hash.write(b" ");
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.has_content) {
            self.hash.write(CRLF);
        } else {
            self.blank_lines += 1;
        }
        self.has_space = false;
    }
}

/// How many octets of `text` are canonical as they stand behind the octet of a word: they begin no white space and no line that may
/// be withheld. Whether the last octet does is unknown: it is not among them.
fn canonical(before: u8, text: &[u8]) -> usize {
    let flaw = if text.starts_with(b"\n") { 0 } else { first_flaw(text) };
    let last = flaw.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(before);
    // the LF speaks for both
    if last == b'\r' { flaw.saturating_sub(1) } else { flaw }
}

/// Where the first octet stands that is not canonical with the one after it, or the last octet.
fn first_flaw(text: &[u8]) -> usize {
    let followed = text.get(1..).unwrap_or_default();
    let ((octets, _), (next, _)) = (text.as_chunks(), followed.as_chunks());
    let blocks = octets.iter().zip(next).take_while(|(octets, next)| !any_flaw(octets, next)).count();
    let sound = blocks * LANES;
    if let Some((octets, next)) = octets.get(blocks).zip(next.get(blocks)) {
        return sound + flaw_within(octets, next);
    }
    let mut pairs = text.iter().zip(followed).skip(sound);
    sound + pairs.position(|(octet, next)| is_flaw(*octet, *next)).unwrap_or(followed.len().saturating_sub(sound))
}

/// Without an early end, so that the compiler makes vector instructions of it.
fn any_flaw(octets: &[u8; LANES], next: &[u8; LANES]) -> bool {
    octets.iter().zip(next).fold(false, |any, (octet, next)| any | is_flaw(*octet, *next))
}

/// Where in a block the first is, by eight octets at once.
fn flaw_within(octets: &[u8; LANES], next: &[u8; LANES]) -> usize {
    let mut flaws = [0; LANES];
    for (flaw, (octet, next)) in flaws.iter_mut().zip(octets.iter().zip(next)) {
        *flaw = u8::from(is_flaw(*octet, *next));
    }
    let (eights, _) = flaws.as_chunks();
    let sound = eights.iter().take_while(|eight| u64::from_le_bytes(**eight) == 0).count();
    let zeros = eights.get(sound).map_or(0, |eight| u64::from_le_bytes(*eight).trailing_zeros());
    sound * size_of::<u64>() + (zeros / u8::BITS) as usize
}

/// White space that may change: a tab, a space beside other white space or at either end of a line; an empty line; a CR or an LF that
/// stands alone.
fn is_flaw(octet: u8, next: u8) -> bool {
    let begins = (octet == b' ') | (octet == b'\n');
    let goes_on = (next == b' ') | (next == b'\t') | (next == b'\r');
    (octet == b'\t') | (begins & goes_on) | ((octet == b'\r') != (next == b'\n'))
}

/// Octets on their way to a hash.
struct Gathered<H> {
    hash: H,
    block: [u8; BLOCK],
    filled: usize,
}

impl<H: HashContext> Gathered<H> {
    fn write(&mut self, octets: &[u8]) {
        if let Some(room) = self.block.get_mut(self.filled..).and_then(|free| free.get_mut(..octets.len())) {
            room.copy_from_slice(octets);
            self.filled += octets.len();
            return;
        }
        self.flush();
        match self.block.get_mut(..octets.len()) {
            Some(room) => {
                room.copy_from_slice(octets);
                self.filled = octets.len();
            }
            None => self.hash.write(octets),
        }
    }

    fn flush(&mut self) {
        self.hash.write(self.block.get(..self.filled).unwrap_or_default());
        self.filled = 0;
    }

    fn finish(mut self) -> H {
        self.flush();
        self.hash
    }
}
