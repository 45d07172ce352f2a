//! What is known of one mailbox: what deliveries under way will add, and what was counted last.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::recount::{self, Counted};
use super::size_file::{self, Found, Usage};

/// A mailbox is not counted again for so many times as long as it took,
const PAUSES: u32 = 20;
/// and for so long at the least,
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// and at the most.
const MOST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Deliveries under way share it, who counts has it alone: what they store is either counted or noted, never both.
pub(super) type Shared = OwnedRwLockReadGuard<()>;
/// Has it alone.
pub(super) type Alone = OwnedRwLockWriteGuard<()>;

/// A mailbox with a quota.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Who waits first is first: who wants it alone is not kept waiting by those who share it.
    pub gate: Arc<RwLock<()>>,
    /// Octets of deliveries under way.
    reserved: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    counted: Option<Lately>,
    /// The file lacks something: a line could not be written.
    is_distrusted: bool,
}

/// What was counted, and what we have stored since.
#[derive(Debug, Clone, Copy)]
struct Lately {
    used: Usage,
    /// Until then it is not counted again.
    until: Instant,
}

/// What a mailbox is to have room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Octets that it may hold.
    pub quota: u64,
    /// Octets that are to be added.
    pub octets: u64,
    /// Whether they are reserved where they fit.
    pub reserves: bool,
}

/// What is asked of an account.
pub(super) struct Question<'a> {
    /// The Maildir root.
    pub root: &'a Path,
    /// The mailbox's directory.
    pub mailbox: &'a Path,
    pub wanted: Wanted,
}

/// What an account says.
pub(super) enum Answer {
    /// It fits, and so much more would.
    Fits(Reservation, u64),
    /// It does not: what is used, with what deliveries under way will add.
    Over(u64),
    /// That can't be told without counting.
    Unknown,
}

impl Account {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody uses it but whoever asks and the list of accounts, and nothing is remembered that will be asked for again soon.
    pub fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && !self.was_counted()
    }

    /// Whether it was counted a moment ago.
    pub fn was_counted(&self) -> bool {
        self.known().lately().is_some()
    }

    /// Looks into the file and reserves what is to be added. Blocks.
    ///
    /// # Errors
    /// Trouble of the file system.
    pub fn look(self: &Arc<Self>, asked: &Question<'_>, gate: Shared) -> io::Result<Answer> {
        let Wanted { quota, octets, reserves } = asked.wanted;
        // held until it is reserved: what is read and what is reserved belong together
        let mut known = self.known();
        let mut was_absent = false;
        let (used, is_doubtful) = match size_file::read(asked.root, asked.mailbox)? {
            Found::NoMailbox => {
                was_absent = true;
                known.counted = Some(Lately { used: Usage::default(), until: Instant::now() });
                (0, false)
            }
            Found::Sizes { sizes, is_old }
                if sizes.quota_bytes == quota && sizes.quota_messages == 0 && !known.is_distrusted =>
            {
                (sizes.used.bytes, is_old || sizes.lines > 1)
            }
            Found::Sizes { .. } | Found::Nothing => match known.lately() {
                Some(lately) => (lately.used.bytes, false),
                None => return Ok(Answer::Unknown),
            },
        };
        let reserved = self.reserved.load(Relaxed);
        if used.saturating_add(octets) > quota && is_doubtful && known.lately().is_none() {
            return Ok(Answer::Unknown);
        }
        let with_others = used.saturating_add(reserved);
        let with_this = with_others.saturating_add(octets);
        if with_this > quota {
            return Ok(Answer::Over(with_others));
        }
        let octets = if reserves { octets } else { 0 };
        self.reserved.fetch_add(octets, Relaxed);
        let (account, mailbox) = (Arc::clone(self), asked.mailbox.to_owned());
        let reservation = Reservation { account, mailbox, quota, octets, was_absent, _gate: gate };
        Ok(Answer::Fits(reservation, quota - with_this))
    }

    /// Counts, and writes the file anew. Blocks, for as long as a large mailbox takes.
    ///
    /// # Errors
    /// The mailbox can't be counted.
    pub fn recount(&self, mailbox: &Path, quota: u64, _alone: Alone) -> io::Result<Recounted> {
        let began = Instant::now();
        let Counted { used, is_exact } = recount::count(mailbox)?;
        let written = if is_exact { size_file::replace(mailbox, quota, used) } else { Ok(()) };
        let pause = began.elapsed().saturating_mul(PAUSES).clamp(LEAST_PAUSE, MOST_PAUSE);
        let mut known = self.known();
        known.counted = Some(Lately { used, until: Instant::now() + pause });
        known.is_distrusted = !is_exact || written.is_err();
        Ok(Recounted { unwritten: written.err() })
    }
}

/// What became of a count.
pub(super) struct Recounted {
    /// Why there is no file of it.
    pub unwritten: Option<io::Error>,
}

impl Known {
    /// What was counted a moment ago.
    fn lately(&self) -> Option<&Lately> {
        self.counted.as_ref().filter(|lately| Instant::now() < lately.until)
    }

    /// Notes what was stored, or taken back.
    fn note(&mut self, mailbox: &Path, bytes: i64, messages: i64) -> io::Result<bool> {
        if let Some(lately) = &mut self.counted {
            lately.used.bytes = lately.used.bytes.saturating_add_signed(bytes);
            lately.used.messages = lately.used.messages.saturating_add_signed(messages);
        }
        let noted = size_file::append(mailbox, bytes, messages);
        self.is_distrusted |= noted.is_err();
        noted
    }
}

/// Octets of a mailbox that a delivery under way will add; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    account: Arc<Account>,
    mailbox: PathBuf,
    quota: u64,
    octets: u64,
    /// There was no such directory.
    was_absent: bool,
    _gate: Shared,
}

impl Reservation {
    /// Notes what was stored instead of what was reserved. Blocks.
    ///
    /// # Errors
    /// It could not be noted: the mailbox will be counted anew.
    pub fn settle(&mut self, stored: Usage) -> io::Result<()> {
        let mut known = self.account.known();
        let (bytes, messages) = (signed(stored.bytes), signed(stored.messages));
        let noted = known.note(&self.mailbox, bytes, messages);
        // given back under the same lock: nobody sees it twice, or not at all
        self.account.reserved.fetch_sub(std::mem::take(&mut self.octets), Relaxed);
        match (noted?, known.counted) {
            (false, Some(lately)) if self.was_absent => size_file::replace(&self.mailbox, self.quota, lately.used),
            _ => Ok(()),
        }
    }

    /// Notes that what was stored was taken back. Blocks.
    ///
    /// # Errors
    /// As [`Reservation::settle`].
    pub fn take_back(&mut self, stored: Usage) -> io::Result<()> {
        self.account.known().note(&self.mailbox, -signed(stored.bytes), -signed(stored.messages)).map(drop)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.reserved.fetch_sub(self.octets, Relaxed);
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
