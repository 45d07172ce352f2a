//! Room on the disk for the copies of a delivery. It is taken before the first is begun: a message to many mailboxes would else be written
//! until nothing is left for anybody, and then fail.

use std::sync::{Arc, Mutex, PoisonError};

use super::space::Space;
use super::{Copy, DeliverError, Delivery, Payload};
use crate::message::content::Body;
use crate::message::ledger::{Bounds, Ledger, Share};

/// Copies of a body in memory that take no more than this are made as long as the disk itself has room.
const SMALL: u64 = 1_000_000;
/// The copies under way of one network may take a half of what is free above the floor.
const PART_OF_FREE: u64 = 2;

/// What copies that are being made will take of the disk, and whose they are.
pub(super) struct Rooms {
    ledger: Arc<Ledger>,
    space: Arc<Space>,
    /// Held from the look at what is free until it is taken.
    taking: Mutex<()>,
}

/// The room of one delivery's copies. Dropped, what was not written is given back.
pub(super) struct Room {
    _share: Share,
    space: Arc<Space>,
    left: u64,
}

/// Octets of a copy that is on disk. Dropped, they are free again: that is to be after the file is gone.
pub(super) struct Written {
    space: Arc<Space>,
    octets: u64,
}

impl Rooms {
    pub fn new(space: Arc<Space>) -> Self {
        Rooms { ledger: Ledger::new(u64::MAX, u64::MAX), space, taking: Mutex::new(()) }
    }

    /// Takes the room for all copies of a delivery.
    ///
    /// # Errors
    /// [`DeliverError::NoRoom`]: nothing is taken, and nothing to be written.
    pub fn take(&self, delivery: &Delivery) -> Result<Room, DeliverError> {
        let on_disk = |copy| self.space.on_disk(octets_of(copy, &delivery.payload));
        let octets = delivery.copies.iter().map(on_disk).fold(0, u64::saturating_add);
        let files = delivery.copies.len() as u64;
        let mut share = self.ledger.of(delivery.network);
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let is_small = matches!(delivery.payload.body, Body::Memory(_)) && octets <= SMALL;
        let of_network = if is_small {
            u64::MAX
        } else if delivery.copies.len() == 1 {
            if self.space.has_room_for(octets) { u64::MAX } else { 0 }
        } else {
            self.half(&share)
        };
        let bounds = Bounds { all: u64::MAX, of_network };
        let why = "the copies would leave too little free on the Maildir's file system above limits.free_disk";
        share.grow_within(octets, bounds).map_err(|_| DeliverError::NoRoom(why))?;
        if files > 1 && !self.space.has_inodes_for(files) {
            let why = "the copies would leave too few inodes on the Maildir's file system above limits.free_inodes";
            return Err(DeliverError::NoRoom(why));
        }
        self.space.reserve(octets);
        self.space.note_made(files);
        Ok(Room { _share: share, space: Arc::clone(&self.space), left: octets })
    }

    /// What the copies of this network may take, those included that are under way.
    fn half(&self, share: &Share) -> u64 {
        let own = self.ledger.used_by(share.network());
        self.space.above_floor().map_or(u64::MAX, |free| free.saturating_add(own) / PART_OF_FREE)
    }

    /// Octets of a file that was stored before.
    pub fn stored(&self, octets: u64) -> Written {
        Written { space: Arc::clone(&self.space), octets: self.space.on_disk(octets) }
    }
}

impl Room {
    /// This copy is on disk now.
    pub fn wrote(&mut self, copy: &Copy, payload: &Payload) -> Written {
        let octets = self.space.on_disk(octets_of(copy, payload)).min(self.left);
        self.left -= octets;
        self.space.note_taken(octets);
        self.space.give_up(octets);
        Written { space: Arc::clone(&self.space), octets }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.space.give_up(self.left);
    }
}

impl Written {
    /// The file stays.
    pub fn keep(mut self) {
        self.octets = 0;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.space.note_freed(self.octets);
    }
}

/// Octets of a copy on disk; at most, where its line ends are still CRLF.
fn octets_of(copy: &Copy, payload: &Payload) -> u64 {
    let header = copy.header.as_deref().unwrap_or(&payload.header);
    let body = match &payload.body {
        Body::Memory(octets) => octets.len() as u64,
        Body::Spooled(spool) => spool.stored_bytes(),
    };
    (copy.prefix.len() as u64).saturating_add(header.len() as u64).saturating_add(body)
}
