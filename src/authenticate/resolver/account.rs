//! What one message may ask of the DNS, and what came in its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Names and types that are asked for a message at most, those for its client and its HELO included.
pub const LOOK_UPS: usize = 100;
/// How many of them are kept for DMARC, so that no SPF record, signature or list of exchangers can use them up and turn the
/// author domain's fail into a temperror.
pub const KEPT_FOR_DMARC: usize = 20;

/// The look-ups of one message, or of what a session asks about its client. Asking again for the same is no new look-up.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Hashes of what was asked; never longer than [`LOOK_UPS`].
    asked: Mutex<Vec<u64>>,
    /// What the session asked counts for each of its messages.
    session: Option<Arc<Account>>,
    outage: AtomicBool,
}

impl Account {
    /// The account of a message within a session.
    pub fn within(session: Option<Arc<Account>>) -> Arc<Account> {
        Arc::new(Account { session, ..Account::default() })
    }

    /// Whether this may be asked; it is counted then. `kept` look-ups stay for others.
    pub fn admits(&self, what: u64, kept: usize) -> bool {
        let of_session = self.session.as_ref().map_or(0, |session| session.count());
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.contains(&what) {
            return true;
        }
        let admitted = asked.len() + of_session + kept < LOOK_UPS;
        if admitted {
            asked.push(what);
        }
        admitted
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Our own DNS was out of order when this message needed it.
    pub fn note_outage(&self) {
        self.outage.store(true, Ordering::Relaxed);
    }

    /// Whether our own DNS was out of order when this message, or its session, needed it.
    pub fn met_outage(&self) -> bool {
        self.outage.load(Ordering::Relaxed) || self.session.as_ref().is_some_and(|session| session.met_outage())
    }
}
