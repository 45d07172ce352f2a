//! Octets that come bit by bit, kept in pieces of one size: growing moves none of them, and the memory of one message's pieces serves
//! the next, whichever thread gives it back.

use std::borrow::Cow;

/// Octets of a piece; the first may be smaller, and one that came whole has what it has.
const PIECE: usize = 16 * 1024;

/// Octets in order; no piece is empty.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    pieces: Vec<Vec<u8>>,
    octets: usize,
}

impl Pieces {
    /// How many octets there are.
    pub fn len(&self) -> usize {
        self.octets
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.octets == 0
    }

    /// Adds octets at the end.
    pub fn extend(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len());
        let mut rest = octets;
        if let Some(last) = self.pieces.last_mut() {
            let length = last.len();
            let (fits, after) = rest.split_at(rest.len().min(PIECE.saturating_sub(length)));
            if last.capacity().saturating_sub(length) < fits.len() {
                last.reserve_exact(PIECE - length);
            }
            last.extend_from_slice(fits);
            rest = after;
        }
        for piece in rest.chunks(PIECE) {
            // a short message needs no more than it has
            let mut room = Vec::with_capacity(if self.pieces.is_empty() { piece.len() } else { PIECE });
            room.extend_from_slice(piece);
            self.pieces.push(room);
        }
    }

    /// Each piece, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Vec::as_slice)
    }

    /// The first `most` octets in one: a copy where they are in several pieces.
    pub fn first(&self, most: usize) -> Cow<'_, [u8]> {
        let first = self.pieces.first().map(Vec::as_slice).unwrap_or_default();
        if self.pieces.len() <= 1 || first.len() >= most {
            return Cow::Borrowed(first.get(..most).unwrap_or(first));
        }
        let mut whole = Vec::with_capacity(self.octets.min(most));
        for piece in self.iter() {
            let left = most.saturating_sub(whole.len());
            whole.extend_from_slice(piece.get(..left).unwrap_or(piece));
        }
        Cow::Owned(whole)
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(octets: Vec<u8>) -> Pieces {
        let length = octets.len();
        Pieces { pieces: if octets.is_empty() { Vec::new() } else { vec![octets] }, octets: length }
    }
}

impl PartialEq for Pieces {
    fn eq(&self, other: &Pieces) -> bool {
        self.octets == other.octets && self.iter().flatten().eq(other.iter().flatten())
    }
}

impl Eq for Pieces {}
