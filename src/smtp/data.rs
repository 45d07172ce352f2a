//! The framing of message data: where it ends, and what of it is content (RFC 5321 §4.5.2, §4.1.1.4).
//!
//! Data ends at CRLF.CRLF and at nothing else. Servers that took less for the end (a bare LF, a bare CR, a NUL within)
//! let one message be read as two by the next ("SMTP smuggling"); so each of these makes the message a defective one,
//! which is read to its true end and then refused.

use memchr::memchr3;

const CR: u8 = b'\r';
const LF: u8 = b'\n';
const NUL: u8 = 0;

/// Why a message must not be taken; the first that was found, but [`DataDefect::TooBig`] over all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataDefect {
    /// A CR that no LF follows (RFC 5321 §2.3.8).
    BareCr,
    /// An LF without a CR before it (RFC 5321 §2.3.8).
    BareLf,
    /// A NUL octet (RFC 5321 §4.5.2 with RFC 5322 §2.2).
    Nul,
    /// More octets than the limit (RFC 1870 §6.3).
    TooBig,
}

/// What [`Framer::next`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// All input was consumed.
    NeedInput,
    /// Octets of the message, never none: CRLF line ends kept, dots unstuffed. Never after a defect.
    Content(&'a [u8]),
    /// The end of data was consumed; what follows in the input are commands.
    End,
}

/// Where in a line the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// After a CRLF, or at the start of data.
    LineStart,
    /// Within a line.
    Text,
    /// After a CR within a line, which was passed on already.
    Cr,
    /// After a dot at the start of a line, which is never passed on.
    Dot,
    /// After that dot and a CR, which was not passed on yet.
    DotCr,
}

/// Splits data into content and its end, whatever pieces it comes in.
#[derive(Debug)]
pub struct Framer {
    place: Place,
    size: u64,
    limit: u64,
    defect: Option<DataDefect>,
}

impl Framer {
    /// A framer for the octets after DATA's 354; `limit` is the greatest message in octets, dots unstuffed.
    pub fn new(limit: u64) -> Framer {
        Framer { place: Place::LineStart, size: 0, limit, defect: None }
    }

    /// What is wrong with the data so far.
    pub fn defect(&self) -> Option<DataDefect> {
        self.defect
    }

    /// Octets of the message so far, dots unstuffed, those that were not passed on included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many octets were consumed, and what they are.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Frame<'a>) {
        let mut position = 0;
        loop {
            let rest = input.get(position..).unwrap_or_default();
            let Some(&first) = rest.first() else { return (position, Frame::NeedInput) };
            match (self.place, first) {
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    position += 1;
                }
                (Place::Dot, CR) => {
                    self.place = Place::DotCr;
                    position += 1;
                }
                (Place::DotCr, LF) => {
                    self.place = Place::LineStart;
                    return (position + 1, Frame::End);
                }
                (Place::DotCr, _) => {
                    self.find(DataDefect::BareCr);
                    self.count(1);
                    self.place = Place::Text;
                }
                (Place::Cr, LF) => {
                    position += 1;
                    self.place = Place::LineStart;
                    if let Some(content) = rest.get(..1).and_then(|lf| self.pass_on(lf)) {
                        return (position, Frame::Content(content));
                    }
                }
                (Place::Cr, _) => {
                    self.find(DataDefect::BareCr);
                    self.place = Place::Text;
                }
                (Place::LineStart | Place::Dot | Place::Text, LF | NUL) => {
                    self.find(if first == LF { DataDefect::BareLf } else { DataDefect::Nul });
                    self.count(1);
                    self.place = Place::Text;
                    position += 1;
                }
                (Place::LineStart | Place::Dot | Place::Text, _) => {
                    let (length, place) = run(rest);
                    self.place = place;
                    position += length;
                    if let Some(content) = rest.get(..length).and_then(|octets| self.pass_on(octets)) {
                        return (position, Frame::Content(content));
                    }
                }
            }
        }
    }

    fn find(&mut self, defect: DataDefect) {
        self.defect.get_or_insert(defect);
    }

    fn count(&mut self, octets: usize) {
        self.size = self.size.saturating_add(octets as u64);
        if self.size > self.limit {
            self.defect = Some(DataDefect::TooBig);
        }
    }

    /// What of `octets` is content still: all, up to the limit, or nothing after a defect.
    fn pass_on<'a>(&mut self, octets: &'a [u8]) -> Option<&'a [u8]> {
        let room = self.limit.saturating_sub(self.size);
        let sound = self.defect.is_none();
        self.count(octets.len());
        let within = usize::try_from(room).unwrap_or(usize::MAX).min(octets.len());
        octets.get(..within).filter(|content| sound && !content.is_empty())
    }
}

/// The longest piece from the front of `input` that is content as it stands, over as many lines as possible, and where
/// the octet after it stands. `input` is not empty, and its first octet is neither LF nor NUL, nor a dot to be removed.
fn run(input: &[u8]) -> (usize, Place) {
    let mut position = 0;
    while let Some(found) = input.get(position..).and_then(|rest| memchr3(CR, LF, NUL, rest)) {
        let stop = position + found;
        let here = input.get(stop).copied();
        match (here, input.get(stop + 1).copied()) {
            (Some(CR), Some(LF)) => {
                position = stop + 2;
                match input.get(position).copied() {
                    None | Some(b'.' | LF | NUL) => return (position, Place::LineStart),
                    Some(_) => {}
                }
            }
            (Some(CR), _) => return (stop + 1, Place::Cr),
            _ => return (stop, Place::Text),
        }
    }
    (input.len(), Place::Text)
}
