//! The message as it comes in: its header is found, its body hashed and kept, its octets counted against what memory may hold.

use std::mem;
use std::sync::Arc;

use crate::authenticate::body::{BodyHasher, DkimKeys};
use crate::message::content::Content;
use crate::message::header::{Header, HeaderSplitter};

use super::memory::Share;

/// A message that is coming in.
pub(super) struct Incoming {
    share: Share,
    part: Part,
    bytes: u64,
}

enum Part {
    Header(HeaderSplitter),
    Body {
        header: Arc<Header>,
        had_blank_line: bool,
        hasher: Box<BodyHasher>,
        body: Vec<u8>,
    },
    /// Memory ran out; the rest is read and forgotten.
    Starved,
}

/// A message that has come in whole.
pub(super) struct Arrived {
    pub content: Content,
    pub hasher: BodyHasher,
    /// Keeps its octets counted until it is delivered or refused.
    pub held: Held,
}

/// Counts a message's octets as long as it lives.
pub(super) struct Held {
    _share: Share,
}

impl Incoming {
    /// Expects the first octet.
    pub(super) fn new(share: Share) -> Self {
        Incoming { share, part: Part::Header(HeaderSplitter::new()), bytes: 0 }
    }

    /// Takes the next octets; gives the header at the moment when it is complete.
    pub(super) fn push(&mut self, octets: &[u8]) -> Option<Arc<Header>> {
        self.bytes = self.bytes.saturating_add(octets.len() as u64);
        if !matches!(self.part, Part::Starved) && !self.share.grow(octets.len() as u64) {
            self.share.give_back();
            self.part = Part::Starved;
        }
        match &mut self.part {
            Part::Starved => None,
            Part::Body { hasher, body, .. } => {
                hasher.write(octets);
                body.extend_from_slice(octets);
                None
            }
            Part::Header(splitter) => {
                let rest = splitter.push(octets)?;
                let (header, had_blank_line) = mem::take(splitter).finish();
                let header = Arc::new(header);
                let mut hasher = BodyHasher::for_header(&header);
                hasher.write(rest);
                let body = rest.to_vec();
                self.part = Part::Body { header: Arc::clone(&header), had_blank_line, hasher: Box::new(hasher), body };
                Some(header)
            }
        }
    }

    /// Whose keys the signatures want, once the header is known.
    pub(super) fn dkim_keys(&self) -> Option<DkimKeys> {
        match &self.part {
            Part::Body { hasher, .. } => Some(hasher.keys()),
            Part::Header(_) | Part::Starved => None,
        }
    }

    /// Octets so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The end was seen. `None` where memory ran out.
    pub(super) fn finish(self) -> Option<Arrived> {
        let held = Held { _share: self.share };
        match self.part {
            Part::Starved => None,
            Part::Body { header, had_blank_line, hasher, body } => {
                Some(Arrived { content: Content { header, body, had_blank_line }, hasher: *hasher, held })
            }
            Part::Header(splitter) => {
                let (header, had_blank_line) = splitter.finish();
                let header = Arc::new(header);
                let hasher = BodyHasher::for_header(&header);
                Some(Arrived { content: Content { header, body: Vec::new(), had_blank_line }, hasher, held })
            }
        }
    }
}
