//! What one message may ask of the DNS, what it was told, and what came in its way.
//!
//! A sender says much of what is asked about his message: his SPF record alone may lead to 110 names. So each kind of check has a
//! share that the others leave alone, and nobody can have what speaks against him go unasked by being asked for something else first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::question::Question;
use super::told::Told;

/// Names and types that are asked for a message at most, those for its client and its HELO included.
pub const LOOK_UPS: usize = 100;
/// How many of them are kept for DMARC.
pub const KEPT_FOR_DMARC: usize = 20;
/// How many of them are kept for the keys of DKIM signatures: as many as are verified. A signature whose key was not asked for would
/// leave DMARC in doubt where it should fail.
pub const KEPT_FOR_KEYS: usize = 10;
/// How many of them are kept for block lists at most, and no more than the lists need.
pub const KEPT_FOR_LISTS: usize = 40;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::authenticate) enum Share {
    /// SPF, reverse MX, ARC, the reverse name, HELO.
    Common,
    /// Block lists.
    Lists,
    /// Keys of DKIM signatures.
    Keys,
    /// DMARC.
    Dmarc,
}

impl Share {
    const ALL: [Share; 4] = [Share::Common, Share::Lists, Share::Keys, Share::Dmarc];
}

/// The look-ups of one message, or of what a session asks about its client. Asking again for the same is no new look-up: the checks of
/// a message ask for the same names, and are told the same.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Never longer than [`LOOK_UPS`].
    asked: Mutex<Vec<Asked>>,
    /// How many are kept for block lists.
    lists: usize,
    /// What the session asked counts for each of its messages.
    session: Option<Arc<Account>>,
    /// A session's newest message: what the two ask at the same time must not add up to more.
    message: Mutex<Weak<Account>>,
    outage: AtomicBool,
}

#[derive(Debug)]
struct Asked {
    /// A hash of name and type.
    what: u64,
    /// For what.
    share: Share,
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
    /// The account of a session, or of a message within one. `lists`: how often its block lists may have to be asked.
    pub fn within(session: Option<Arc<Account>>, lists: usize) -> Arc<Account> {
        let account = Arc::new(Account { session, lists: lists.min(KEPT_FOR_LISTS), ..Account::default() });
        if let Some(session) = &account.session {
            *session.message.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&account);
        }
        account
    }

    /// Whether this may be asked; it is counted then.
    pub fn admits(&self, question: &Question<'_>, share: Share) -> Admission {
        let mut counts = [0; 4];
        // held until this one is counted; always the session's before the message's
        let of_session = self.session.as_ref().map(|session| session.locked());
        if let Some(asked) = &of_session {
            if let Some(known) = known(asked, question) {
                return known;
            }
            count(asked, &mut counts);
        }
        let mut asked = self.locked();
        if let Some(known) = known(&asked, question) {
            return known;
        }
        count(&asked, &mut counts);
        if let Some(message) = self.newest_message() {
            count(&message.locked(), &mut counts);
        }
        if !self.has_room(share, counts) {
            return Admission::Refused;
        }
        asked.push(Asked { what: question.digest, share, told: None });
        Admission::Granted
    }

    /// Keeps what was told.
    pub fn keep(&self, question: &Question<'_>, told: Told) {
        if let Some(asked) = self.locked().iter_mut().find(|asked| asked.what == question.digest) {
            asked.told = Some(Arc::new(told));
        }
    }

    fn newest_message(&self) -> Option<Arc<Account>> {
        self.message.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for one more, beyond what others have not used of their shares.
    fn has_room(&self, share: Share, counts: [usize; 4]) -> bool {
        let used: usize = counts.iter().sum();
        let mut kept = 0;
        let mut own = 0;
        for (other, count) in Share::ALL.into_iter().zip(counts) {
            if other == share {
                own = count;
            } else {
                kept += self.kept(other).saturating_sub(count);
            }
        }
        // a session that could use up what all have in common would leave its messages nothing
        let is_greedy = self.session.is_none() && share == Share::Common && own >= self.kept(share);
        !is_greedy && used + kept < LOOK_UPS
    }

    /// What the others leave to a share.
    fn kept(&self, share: Share) -> usize {
        match share {
            Share::Common => (LOOK_UPS - KEPT_FOR_DMARC - KEPT_FOR_KEYS - self.lists) / 2,
            Share::Lists => self.lists,
            Share::Keys => KEPT_FOR_KEYS,
            Share::Dmarc => KEPT_FOR_DMARC,
        }
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

/// What comes of asking again; `None` where it is new.
fn known(asked: &[Asked], question: &Question<'_>) -> Option<Admission> {
    let asked = asked.iter().find(|asked| asked.what == question.digest)?;
    let told = asked.told.as_ref().filter(|told| told.holds_for(question));
    Some(told.map_or(Admission::Granted, |told| Admission::Told(Arc::clone(told))))
}

/// Adds up what was asked for each share, in the order of [`Share::ALL`].
fn count(asked: &[Asked], counts: &mut [usize; 4]) {
    for (share, count) in Share::ALL.into_iter().zip(counts) {
        *count += asked.iter().filter(|asked| asked.share == share).count();
    }
}
