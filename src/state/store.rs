//! Where values are kept between messages: one small trait, behind which stands this host's memory today and may stand a store that
//! several hosts share.
//!
//! Values are small and keys are digests: what they were made of does not stand in the store. Times are milliseconds since 1970.

use std::future::Future;
use std::pin::Pin;

use crate::facts::rate::Rate;

/// The name of a value: a digest of what it is about.
pub type Key = [u8; 16];

/// An answer of a store, which may be on another host.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Which values are meant. Each shelf has a bound of its own, so that one that fills up pushes nothing out of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shelf {
    /// Who was asked to come again: anybody can fill it.
    Strangers,
    /// Whose mail was accepted.
    Known,
}

impl Shelf {
    /// Both.
    pub const ALL: [Shelf; 2] = [Shelf::Strangers, Shelf::Known];
}

/// Since when something is known, and until when it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The first time.
    pub since: u64,
    /// Forgotten from then on.
    pub until: u64,
    /// Of a stranger, a number for the wide network (/16, /32) that it came from; 0 for the known.
    pub origin: u32,
}

/// Why a store gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room, and what is there may not be pushed out.
    #[error("there is no room for another stranger")]
    Full,
    /// It can't be reached.
    #[error("what is remembered can't be reached: {0}")]
    Unreachable(String),
}

/// Keeps values. An implementation bounds how much it keeps, and how long an answer takes.
pub trait Store: Send + Sync {
    /// What is remembered under a key and not yet forgotten.
    fn get(&self, shelf: Shelf, key: Key, now: u64) -> Answer<'_, Option<Entry>>;

    /// Remembers something; the oldest goes where there is no room.
    ///
    /// The answer is [`StoreError::Full`] where there is no room, in all or for the strangers of one network, and the oldest of those is
    /// too young to go: nothing is remembered then.
    fn put(&self, shelf: Shelf, key: Key, entry: Entry, now: u64) -> Answer<'_, ()>;

    /// Whether a stranger from a network would be remembered.
    fn has_room(&self, origin: u32, now: u64) -> Answer<'_, bool>;

    /// How often a rate's key was counted within the rate's time.
    fn count(&self, rate: Rate, key: Key, now: u64) -> Answer<'_, u64>;

    /// Counts once more.
    fn increment(&self, rate: Rate, key: Key, now: u64) -> Answer<'_, ()>;

    /// Lets go what is past its time.
    fn expire(&self, now: u64) -> Answer<'_, ()>;
}
