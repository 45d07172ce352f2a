//! A message in chunks: how many octets there are is told before them (RFC 3030 §2), so that nothing in them can be their end.
//!
//! The rules for its lines are those of [`super::data`]: a CR without LF, an LF without CR or a NUL makes it a defective one.
//! Dots are not stuffed here, and a line may go on in the next chunk.

use memchr::memchr3;

use super::data::DataDefect;

/// Looks through the chunks of one message.
#[derive(Debug)]
pub struct Chunks {
    size: u64,
    limit: u64,
    defect: Option<DataDefect>,
    last: Option<u8>,
}

impl Chunks {
    /// For a message of at most `limit` octets.
    pub fn new(limit: u64) -> Chunks {
        Chunks { size: 0, limit, defect: None, last: None }
    }

    /// Whether a chunk of so many octets is within the limit still.
    pub fn has_room_for(&self, octets: u64) -> bool {
        octets <= self.limit.saturating_sub(self.size)
    }

    /// What is wrong with the message so far; the first that was found.
    pub fn defect(&self) -> Option<DataDefect> {
        self.defect
    }

    /// Octets of the message so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next octets, which must be within a chunk that there is room for; gives what of them is content, nothing after a
    /// defect.
    pub fn push<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        self.size = self.size.saturating_add(octets.len() as u64);
        if self.defect.is_some() {
            return &[];
        }
        let (sound, defect) = look_through(octets, self.last == Some(b'\r'));
        self.defect = defect;
        self.last = octets.last().copied().or(self.last);
        octets.get(..sound).unwrap_or_default()
    }

    /// After the last chunk: what the message lacks at its end. Every line of a message ends in CRLF (RFC 5321 §2.3.8), and a chunk
    /// need not; what is added changes no DKIM signature (RFC 6376 §3.4.3 adds it too).
    pub fn finish(&mut self) -> &'static [u8] {
        match (self.defect, self.last) {
            (Some(_), _) | (None, None | Some(b'\n')) => &[],
            (None, Some(b'\r')) => {
                self.defect = Some(DataDefect::BareCr);
                &[]
            }
            (None, Some(_)) if !self.has_room_for(2) => {
                self.defect = Some(DataDefect::TooBig);
                &[]
            }
            (None, Some(_)) => {
                self.size = self.size.saturating_add(2);
                b"\r\n"
            }
        }
    }
}

/// How many octets are sound, and what ends them before the end.
fn look_through(octets: &[u8], mut after_cr: bool) -> (usize, Option<DataDefect>) {
    let mut position = 0;
    loop {
        let rest = octets.get(position..).unwrap_or_default();
        let Some(&first) = rest.first() else { return (position, None) };
        if after_cr {
            if first != b'\n' {
                return (position, Some(DataDefect::BareCr));
            }
            position += 1;
            after_cr = false;
            continue;
        }
        let Some(found) = memchr3(b'\r', b'\n', 0, rest) else { return (octets.len(), None) };
        position += found;
        match octets.get(position) {
            Some(b'\r') => {
                position += 1;
                after_cr = true;
            }
            Some(b'\n') => return (position, Some(DataDefect::BareLf)),
            _ => return (position, Some(DataDefect::Nul)),
        }
    }
}
