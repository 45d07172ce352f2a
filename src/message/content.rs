//! A message as it came: its header, and everything after it.

use std::sync::Arc;

use super::header::{Header, HeaderSplitter};

/// A message as it came; [`Content::octets`] gives back every octet of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The header, shared with the checks that read it.
    pub header: Arc<Header>,
    /// Everything after the blank line; CRLF line ends.
    pub body: Vec<u8>,
    /// Whether a blank line stands between the two; a message without body may lack it (RFC 5322 §3.5).
    pub had_blank_line: bool,
}

impl Content {
    /// Splits a whole message.
    pub fn parse(message: &[u8]) -> Content {
        let mut splitter = HeaderSplitter::new();
        let body = splitter.push(message).unwrap_or_default().to_vec();
        let (header, had_blank_line) = splitter.finish();
        Content { header: Arc::new(header), body, had_blank_line }
    }

    /// What stands between header and body.
    pub fn separator(&self) -> &'static [u8] {
        if self.had_blank_line { b"\r\n" } else { b"" }
    }

    /// Octets of the message as received.
    pub fn bytes(&self) -> u64 {
        (self.header.raw().len() + self.separator().len() + self.body.len()) as u64
    }

    /// The message as received, octet for octet.
    pub fn octets(&self) -> Vec<u8> {
        [self.header.raw(), self.separator(), &self.body].concat()
    }
}
