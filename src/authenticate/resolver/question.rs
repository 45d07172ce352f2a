//! What is asked for, in a form that is quick to hash and to compare: a message asks some twenty times, and most often again for what
//! it was told before.

use std::hash::BuildHasher;

use hickory_resolver::proto::rr::{Name, RecordType};

use super::name::Octets;

/// A name and a type.
pub(super) struct Question<'n> {
    pub name: &'n Name,
    pub record_type: RecordType,
    octets: Octets,
    /// A hash of both, keyed: nobody can choose names that share it.
    pub digest: u64,
}

impl<'n> Question<'n> {
    /// Of a name, whatever the case of its letters.
    pub fn new(name: &'n Name, record_type: RecordType, hasher: &impl BuildHasher) -> Question<'n> {
        let octets = Octets::of(name);
        let digest = hasher.hash_one((octets.as_slice(), u16::from(record_type)));
        Question { name, record_type, octets, digest }
    }

    /// The name's labels in lower case, each behind its length.
    pub fn octets(&self) -> &[u8] {
        self.octets.as_slice()
    }
}
