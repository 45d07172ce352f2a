//! A message as it came: its header, and everything after it.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use super::header::{Header, HeaderSplitter};
use super::pieces::Pieces;
use super::spool::Spool;

/// A message as it came; [`Content::octets`] gives back every octet of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The header, shared with the checks that read it.
    pub header: Arc<Header>,
    /// Everything after the blank line; CRLF line ends.
    pub body: Body,
    /// Whether a blank line stands between the two; a message without body may lack it (RFC 5322 §3.5).
    pub had_blank_line: bool,
}

/// Everything after a message's blank line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// In memory, as it came.
    Memory(Pieces),
    /// On disk: it was too large.
    Spooled(Spool),
}

impl Default for Body {
    fn default() -> Body {
        Body::Memory(Pieces::default())
    }
}

impl From<Vec<u8>> for Body {
    fn from(octets: Vec<u8>) -> Body {
        Body::Memory(octets.into())
    }
}

impl Body {
    /// Its octets as received.
    pub fn bytes(&self) -> u64 {
        match self {
            Body::Memory(octets) => octets.len() as u64,
            Body::Spooled(spool) => spool.bytes(),
        }
    }

    /// What of it is in memory, piece by piece: all, or nothing.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        match self {
            Body::Memory(octets) => Some(octets),
            Body::Spooled(_) => None,
        }
        .into_iter()
        .flat_map(Pieces::iter)
    }

    /// The same in one: a copy where it is in several pieces.
    pub fn memory(&self) -> Cow<'_, [u8]> {
        match self {
            Body::Memory(octets) => octets.first(usize::MAX),
            Body::Spooled(_) => Cow::Borrowed(&[]),
        }
    }

    /// Octets that it holds of memory.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Body::Memory(octets) => octets.len(),
            Body::Spooled(_) => 0,
        }
    }

    /// As it came, its first `most` octets. Blocks where it is on disk: not for an async task.
    ///
    /// # Errors
    /// The disk can't be read.
    pub fn read(&self, most: usize) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Body::Memory(octets) => Ok(octets.first(most)),
            Body::Spooled(spool) => spool.read(most).map(Cow::Owned),
        }
    }
}

impl Content {
    /// Splits a whole message.
    pub fn parse(message: &[u8]) -> Content {
        let mut splitter = HeaderSplitter::new();
        let body = splitter.push(message).unwrap_or_default().to_vec().into();
        let (header, had_blank_line) = splitter.finish();
        Content { header: Arc::new(header), body, had_blank_line }
    }

    /// What stands between header and body.
    pub fn separator(&self) -> &'static [u8] {
        if self.had_blank_line { b"\r\n" } else { b"" }
    }

    /// Octets of the message as received.
    pub fn bytes(&self) -> u64 {
        ((self.header.raw().len() + self.separator().len()) as u64).saturating_add(self.body.bytes())
    }

    /// The message as received, octet for octet. Blocks where its body is on disk.
    ///
    /// # Errors
    /// The disk can't be read.
    pub fn octets(&self) -> io::Result<Vec<u8>> {
        Ok([self.header.raw(), self.separator(), &self.body.read(usize::MAX)?].concat())
    }
}
