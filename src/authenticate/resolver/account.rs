//! What one message may ask of the DNS, what it was told, and what came in its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_resolver::proto::rr::{Name, RecordType};

use super::told::Told;

/// Names and types that are asked for a message at most, those for its client and its HELO included.
pub const LOOK_UPS: usize = 100;
/// How many of them are kept for DMARC, so that no SPF record, signature or list of exchangers can use them up and turn the
/// author domain's fail into a temperror.
pub const KEPT_FOR_DMARC: usize = 20;

/// The look-ups of one message, or of what a session asks about its client. Asking again for the same is no new look-up: the checks of
/// a message ask for the same names, and are told the same.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Never longer than [`LOOK_UPS`].
    asked: Mutex<Vec<Asked>>,
    /// What the session asked counts for each of its messages.
    session: Option<Arc<Account>>,
    outage: AtomicBool,
}

#[derive(Debug)]
struct Asked {
    /// A hash of name and type.
    what: u64,
    /// What was told, where that is worth keeping.
    told: Option<Arc<Told>>,
}

/// What comes of the wish to ask.
pub(super) enum Admission {
    /// There were too many look-ups.
    Refused,
    /// The DNS may be asked.
    Granted,
    /// It was asked before, and this is what it said.
    Told(Arc<Told>),
}

impl Account {
    /// The account of a message within a session.
    pub fn within(session: Option<Arc<Account>>) -> Arc<Account> {
        Arc::new(Account { session, ..Account::default() })
    }

    /// Whether this may be asked; it is counted then. `what` is a hash of the two; `kept` look-ups stay for others.
    pub fn admits(&self, what: u64, name: &Name, record_type: RecordType, kept: usize) -> Admission {
        let told = |asked: &Asked| asked.told.as_ref().filter(|told| told.holds_for(name, record_type)).map(Arc::clone);
        let mut of_session = 0;
        if let Some(session) = &self.session {
            let asked = session.locked();
            if let Some(told) = asked.iter().find(|asked| asked.what == what).and_then(told) {
                return Admission::Told(told);
            }
            of_session = asked.len();
        }
        let mut asked = self.locked();
        if let Some(asked) = asked.iter().find(|asked| asked.what == what) {
            return told(asked).map_or(Admission::Granted, Admission::Told);
        }
        if asked.len() + of_session + kept >= LOOK_UPS {
            return Admission::Refused;
        }
        asked.push(Asked { what, told: None });
        Admission::Granted
    }

    /// Keeps what was told.
    pub fn keep(&self, what: u64, told: Told) {
        if let Some(asked) = self.locked().iter_mut().find(|asked| asked.what == what) {
            asked.told = Some(Arc::new(told));
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
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
