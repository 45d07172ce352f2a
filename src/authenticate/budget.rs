//! What one message may cost the DNS through mail-auth: a per-message "cache" that stores nothing and counts.
//!
//! mail-auth asks its cache before each TXT look-up. A real one is dangerous: its key is the name alone and its value the
//! parsed record *or the parse error*, so `MAIL FROM:<x@_dmarc.victim.example>` would make SPF cache an error there, and the
//! victim's DMARC record would be "none" until the TTL ends. This one remembers nothing and only says stop.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use mail_auth::{DnsError, Error, ResolverCache, Txt};

use super::resolver::Counters;

/// TXT look-ups that mail-auth may still make for a message.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU32,
    spent: AtomicBool,
    counters: Arc<Counters>,
}

impl Budget {
    /// A budget of this many look-ups, which count in `counters`.
    pub fn new(look_ups: u32, counters: Arc<Counters>) -> Budget {
        Budget { left: AtomicU32::new(look_ups), spent: AtomicBool::new(false), counters }
    }

    /// Whether a look-up was denied.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }
}

impl ResolverCache<Box<str>, Txt> for Budget {
    /// Nothing, so that the DNS is asked; an error once the budget is spent.
    fn get<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let took = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if took.is_ok() {
            self.counters.queries.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.spent.store(true, Ordering::Relaxed);
        Some(Txt::Error(Error::Dns(DnsError::Resolver("the message's DNS budget is spent".to_owned()))))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
