//! The lines of a part of a file, however long they are: of one that is too long to be ours only the place is told.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::LINE_OCTETS;

/// Octets of a line that is read whole; none of ours has more than half of that.
const MOST: usize = 2 * LINE_OCTETS;
/// Octets of a longer line that are in memory at once.
const WINDOW: usize = 256 * 1024;
/// Octets that two windows share, so that what is looked for is whole in one of them.
const SHARED: usize = 8 * 1024;
/// Octets at a window's edge where what is found may be the middle of something.
const EDGE: usize = 16;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line, which was read.
    Line,
    /// A line that is none of ours, for it is too long: its octets in the file, without its end.
    Long(Range<u64>),
}

/// Reads lines of a file between two places.
pub struct Lines<'f> {
    reader: BufReader<Part<'f>>,
    at: u64,
}

impl<'f> Lines<'f> {
    /// The lines of these octets.
    pub fn of(file: &'f File, octets: Range<u64>) -> Self {
        let at = octets.start;
        Lines { reader: BufReader::with_capacity(WINDOW, Part { file, octets }), at }
    }

    /// Reads the next line without its end; `None` where there is none.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Next>> {
        line.clear();
        let start = self.at;
        let mut end = None;
        while end.is_none() {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            end = memchr::memchr(b'\n', available);
            let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            let room = MOST.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            self.at += consumed as u64;
        }
        let length = (self.at - start).saturating_sub(u64::from(end.is_some()));
        Ok(match length {
            0 if end.is_none() => None,
            length if length > MOST as u64 => Some(Next::Long(start..start + length)),
            _ => Some(Next::Line),
        })
    }
}

/// Some octets of a file; where others read or write does not move it.
pub struct Part<'f> {
    file: &'f File,
    octets: Range<u64>,
}

impl Read for Part<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.octets.end.saturating_sub(self.octets.start)).unwrap_or(usize::MAX);
        let room = left.min(into.len());
        let read = self.file.read_at(into.get_mut(..room).unwrap_or_default(), self.octets.start)?;
        self.octets.start += read as u64;
        Ok(read)
    }
}

/// Copies octets as they are.
///
/// # Errors
/// The file can't be read, or `out` not be written.
pub fn copy(file: &File, octets: Range<u64>, out: &mut dyn Write) -> io::Result<()> {
    let wanted = octets.end.saturating_sub(octets.start);
    let copied = io::copy(&mut BufReader::with_capacity(WINDOW, Part { file, octets }), out)?;
    if copied == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Whether something stands in a long line, which is looked at a window at a time. `is_in` is asked with a window's text and where in it
/// what it finds has to be.
///
/// # Errors
/// The file can't be read.
pub fn holds(file: &File, octets: Range<u64>, is_in: impl Fn(&str, Range<usize>) -> bool) -> io::Result<bool> {
    let mut from = octets.start;
    let mut window = Vec::with_capacity(WINDOW);
    loop {
        let to = octets.end.min(from.saturating_add(WINDOW as u64));
        window.clear();
        Part { file, octets: from..to }.read_to_end(&mut window)?;
        let (is_first, is_last) = (from == octets.start, to == octets.end || window.len() < WINDOW);
        let text = String::from_utf8_lossy(&window);
        let within =
            if is_first { 0 } else { EDGE }..if is_last { text.len() } else { text.len().saturating_sub(EDGE) };
        if is_in(&text, within) {
            return Ok(true);
        }
        if is_last {
            return Ok(false);
        }
        from = to - SHARED as u64;
    }
}
