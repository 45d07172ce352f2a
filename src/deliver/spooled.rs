//! How much of the disk bodies may hold that are spooled: so that nobody fills it with messages that never end.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::DeliverError;
use super::space::Space;
use crate::message::ledger::{Bounds, Ledger, NoRoom, Share};

/// Bodies that are spooled may hold a half of what is free above the floors: the other is for their copies.
const PART_OF_FREE: u64 = 2;
/// And those of one network this part of it.
const PART_OF_NETWORK: u64 = 8;

/// The octets of all bodies that are spooled, until their files are gone.
#[derive(Debug)]
pub struct Spooled {
    ledger: Arc<Ledger>,
    space: Arc<Space>,
    /// Octets of the largest message: one must always fit into the share of a network.
    largest: AtomicU64,
    bodies: AtomicUsize,
}

impl Spooled {
    pub(super) fn new(space: Arc<Space>) -> Arc<Self> {
        Arc::new(Spooled {
            ledger: Ledger::new(u64::MAX, u64::MAX),
            space,
            largest: AtomicU64::new(0),
            bodies: AtomicUsize::new(0),
        })
    }

    /// From now on so many octets in all, and of one network, of messages of `largest` octets at the most.
    pub fn bound(&self, all: u64, of_network: u64, largest: u64) {
        self.largest.store(largest, Relaxed);
        self.ledger.bound(all, of_network.max(largest));
    }

    /// What is held, and by whom.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Bodies that are spooled now: each has a descriptor.
    pub fn bodies(&self) -> usize {
        self.bodies.load(Relaxed)
    }

    /// Octets that may be held as things are.
    pub fn most(&self) -> u64 {
        self.bounds().within(self.ledger.bounds()).all
    }

    /// Whether a message of so many octets could be spooled now.
    ///
    /// # Errors
    /// [`DeliverError::NoRoom`]
    pub fn check(&self, network: IpAddr, octets: u64) -> Result<(), DeliverError> {
        self.check_floor()?;
        self.ledger.would_hold(network, octets, self.bounds()).map_err(told)
    }

    pub(super) fn of(self: &Arc<Self>, network: IpAddr) -> Reserved {
        self.bodies.fetch_add(1, Relaxed);
        Reserved { spooled: Arc::clone(self), share: self.ledger.of(network), taken: 0 }
    }

    fn check_floor(&self) -> Result<(), DeliverError> {
        let low = "less is free on the Maildir's file system than limits.free_disk or limits.free_inodes";
        if self.space.is_low() { Err(DeliverError::NoRoom(low)) } else { Ok(()) }
    }

    /// What the room on the disk allows.
    fn bounds(&self) -> Bounds {
        let Some(free) = self.space.above_floor() else { return Bounds { all: u64::MAX, of_network: u64::MAX } };
        // what is held is not free any more
        let all = free.saturating_add(self.ledger.used()) / PART_OF_FREE;
        Bounds { all, of_network: (all / PART_OF_NETWORK).max(self.largest.load(Relaxed)) }
    }
}

fn told(why: NoRoom) -> DeliverError {
    DeliverError::NoRoom(match why {
        NoRoom::Spent => {
            "messages that come in hold as much of the disk as they may (limits.spool, or half of what is free above limits.free_disk)"
        }
        NoRoom::OfNetwork => {
            "messages of this network that come in hold as much of the disk as they may (limits.spool_per_network, or a share of what is free)"
        }
    })
}

/// What one body holds; given back when it is dropped, which is to be after its file is.
#[derive(Debug)]
pub(super) struct Reserved {
    spooled: Arc<Spooled>,
    share: Share,
    taken: u64,
}

impl Reserved {
    /// Takes more, ahead of writing it.
    ///
    /// # Errors
    /// [`DeliverError::NoRoom`]: nothing is taken, and nothing to be written.
    pub fn take(&mut self, octets: u64) -> Result<(), DeliverError> {
        self.spooled.check_floor()?;
        self.share.grow_within(octets, self.spooled.bounds()).map_err(told)?;
        self.spooled.space.note_taken(octets);
        self.taken = self.taken.saturating_add(octets);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.spooled.bodies.fetch_sub(1, Relaxed);
        self.spooled.space.note_freed(self.taken);
    }
}
