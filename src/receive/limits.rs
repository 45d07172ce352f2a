//! The bounds of one message.

use crate::message::header::{Header, HeaderDefect, MAX_FIELDS, MAX_HEADER};

/// What one message may have, and how much of it is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of its header; no more than [`MAX_HEADER`] are read as one.
    pub header: usize,
    /// Fields of its header; no more than [`MAX_FIELDS`] are read.
    pub header_fields: usize,
    /// Octets of a body that is kept in memory. A larger one goes to disk while it comes in.
    pub memory_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { header: MAX_HEADER, header_fields: MAX_FIELDS, memory_body: 128_000 }
    }
}

impl Limits {
    /// Whether a header is over its bounds.
    pub(super) fn refuse(&self, header: &Header) -> bool {
        header.defects().contains(&HeaderDefect::TooLarge)
            || header.raw().len() > self.header
            || header.fields().nth(self.header_fields).is_some()
    }
}
