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
/// How many of them are kept for block lists at most, and no more than the lists need: one list of addresses and five of domains.
pub const KEPT_FOR_LISTS: usize = 36;
/// How many of them are kept for reverse MX: what tells how mail goes to each of the four domains (MX, A, AAAA), or MX and the two
/// exchangers that senders prefer.
pub const KEPT_FOR_EXCHANGERS: usize = 12;
/// How many of them are kept for the client: its reverse name with its address, and both families of addresses of its HELO.
pub const KEPT_FOR_CLIENT: usize = 4;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::authenticate) enum Share {
    /// SPF, ARC.
    Common,
    /// The reverse name, HELO.
    Client,
    /// Reverse MX: the domains, and the exchangers that senders prefer.
    Exchangers,
    /// Reverse MX: all other exchangers.
    MoreExchangers,
    /// Block lists.
    Lists,
    /// Keys of DKIM signatures.
    Keys,
    /// DMARC.
    Dmarc,
}

impl Share {
    const ALL: [Share; 7] = [
        Share::Common,
        Share::Client,
        Share::Exchangers,
        Share::MoreExchangers,
        Share::Lists,
        Share::Keys,
        Share::Dmarc,
    ];
}

/// How much was asked on each share.
#[derive(Default)]
struct Counts([usize; Share::ALL.len()]);

impl Counts {
    fn of_all(asked: &[Asked]) -> Counts {
        let count = |share| asked.iter().filter(|asked| asked.share == share).count();
        Counts(Share::ALL.map(count))
    }

    fn of(&self, share: Share) -> usize {
        self.0.get(share as usize).copied().unwrap_or_default()
    }

    fn sum(&self) -> usize {
        self.0.iter().sum()
    }
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
        // held until this one is counted; always the session's before the message's
        let of_session = self.session.as_ref().map(|session| session.locked());
        if let Some(known) = of_session.as_ref().and_then(|asked| known(asked, question)) {
            return known;
        }
        let mut asked = self.locked();
        if let Some(known) = known(&asked, question) {
            return known;
        }
        let own = Counts::of_all(&asked);
        let has_room = match of_session {
            Some(of_session) => self.has_room(share, &Counts::of_all(&of_session), &own),
            None => {
                let newest = self.newest_message().map(|message| Counts::of_all(&message.locked()));
                !self.is_greedy(share, &own) && self.has_room(share, &own, &newest.unwrap_or_default())
            }
        };
        if !has_room {
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

    /// Whether there is room for one more, beyond what others have not used of their shares. A message's own half of what all have in
    /// common is not used up by its session.
    fn has_room(&self, share: Share, session: &Counts, message: &Counts) -> bool {
        let others = Share::ALL.into_iter().filter(|other| *other != share);
        let kept = others.map(|other| match other {
            Share::Common => self.kept(other).saturating_sub(message.of(other)),
            other => self.kept(other).saturating_sub(session.of(other) + message.of(other)),
        });
        session.sum() + message.sum() + kept.sum::<usize>() < LOOK_UPS
    }

    /// Whether a session would use up more than its half of what all have in common, be it by asking beyond other shares.
    fn is_greedy(&self, share: Share, session: &Counts) -> bool {
        let beyond = |share: Share| match share {
            Share::Common => session.of(share),
            share => session.of(share).saturating_sub(self.kept(share)),
        };
        let is_beyond = share == Share::Common || session.of(share) >= self.kept(share);
        is_beyond && Share::ALL.into_iter().map(beyond).sum::<usize>() >= self.kept(Share::Common)
    }

    /// What the others leave to a share.
    fn kept(&self, share: Share) -> usize {
        const ALWAYS: usize = KEPT_FOR_DMARC + KEPT_FOR_KEYS + KEPT_FOR_EXCHANGERS + KEPT_FOR_CLIENT;
        match share {
            Share::Common => (LOOK_UPS - ALWAYS - self.lists) / 2,
            Share::Client => KEPT_FOR_CLIENT,
            Share::Exchangers => KEPT_FOR_EXCHANGERS,
            Share::MoreExchangers => 0,
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
