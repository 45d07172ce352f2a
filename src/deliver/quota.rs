//! What mailboxes may hold, and how much of it they do: Maildir++, in the file `maildirsize` that Dovecot and others keep too.
//!
//! The file is read whenever it is asked whether a message fits. Only where it can't be believed is the mailbox counted: it is missing or
//! broken, was counted for another quota, is over 5,120 octets, or says that the message does not fit and has more than one line or is
//! older than 15 minutes. Counting is done by few threads, for each mailbox by one, which then lets twenty times as long go by. Nothing
//! here blocks a thread of the runtime.
//!
//! What deliveries under way will add is reserved in memory, so that those of one process never overshoot together.

mod account;
mod recount;
mod size_file;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::counters::{Counters, count};
use super::lines::LfWriter;
use super::{Copy, DeliverError, Delivery, Stored, StoredFile};
use crate::message::content::Body;
use crate::recipients::{MAILBOX_NAME_OCTETS, MailboxName, Quotas, is_safe_component};
use account::{Account, Answer, Question, Reservation, Shared, Wanted};
pub use recount::size_in_name;
pub use size_file::{Sizes, Usage};

/// Threads that look into files at the same time.
const LOOKERS: usize = 8;
/// Threads that count mailboxes.
const COUNTERS: usize = 2;
/// How long RCPT waits for an answer: after that the mailbox is asked again when the message is there.
const PATIENCE: Duration = Duration::from_secs(2);
/// Accounts that are remembered before the idle ones are forgotten.
const MOST_ACCOUNTS: usize = 16_384;
/// Octets that our fields add to a message at the most, or nearly.
const FIELDS: u64 = 64 * 1024;
/// Whoever asks counts at the most so often before it gives up.
const TRIES: u32 = 3;

/// The quotas of all mailboxes.
pub struct Quota {
    root: PathBuf,
    in_force: ArcSwap<InForce>,
    accounts: Mutex<HashMap<MailboxName, Arc<Account>>>,
    lookers: Arc<Semaphore>,
    recounters: Arc<Semaphore>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct InForce {
    quotas: Quotas,
    /// Octets of the largest message.
    largest: u64,
}

/// Whether mailboxes have room for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// All have.
    Enough,
    /// It may not suffice in this one: what is said after DATA may be this recipient's alone.
    Scarce(Short),
    /// This one has none.
    Full(Short),
    /// That can't be told now.
    Unknown,
}

/// A mailbox that has, or may have, no room for a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{mailbox} holds {used} of {quota} bytes{}", octets.map_or_else(String::new, needs))]
pub struct Short {
    /// Whose quota it is.
    pub mailbox: MailboxName,
    /// Octets that it holds.
    pub used: u64,
    /// Octets that it may hold.
    pub quota: u64,
    /// Octets that the message may need; `None`: it does not matter how many.
    pub octets: Option<u64>,
}

fn needs(octets: u64) -> String {
    format!(", and the message may need {octets}")
}

/// What a delivery will add to mailboxes with a quota; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    reservations: Vec<(MailboxName, Reservation)>,
}

impl Quota {
    pub(super) fn new(root: PathBuf, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Quota {
            root,
            in_force: ArcSwap::default(),
            accounts: Mutex::default(),
            lookers: Arc::new(Semaphore::new(LOOKERS)),
            recounters: Arc::new(Semaphore::new(COUNTERS)),
            counters,
        })
    }

    /// From now on these are in force, for messages of `largest` octets at the most.
    pub fn bound(&self, quotas: Quotas, largest: u64) {
        self.in_force.store(Arc::new(InForce { quotas, largest }));
    }

    /// Whether mailboxes have room for a message of so many octets (RFC 1870), or of any size that it may have. It waits two seconds at
    /// the most.
    pub async fn room(self: &Arc<Self>, mailboxes: &[MailboxName], size: Option<u64>) -> Room {
        let in_force = self.in_force.load_full();
        let asked = self.room_by(&in_force, mailboxes, size);
        let room = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(room)) => room,
            // what is wrong is told when something is to be stored
            Ok(Err(_)) | Err(_) => Room::Unknown,
        };
        if matches!(room, Room::Full(_)) {
            count(&self.counters.over_quota_at_rcpt);
        }
        room
    }

    async fn room_by(
        self: &Arc<Self>,
        in_force: &InForce,
        mailboxes: &[MailboxName],
        size: Option<u64>,
    ) -> Result<Room, DeliverError> {
        let mut room = Room::Enough;
        for mailbox in mailboxes {
            let Some(quota) = in_force.quotas.of(mailbox) else { continue };
            let wanted = size.unwrap_or(in_force.largest).saturating_add(FIELDS);
            // of a message that does not say how large it is it is only known that it is no nothing
            let octets = size.unwrap_or(1).max(1);
            let short = |used, octets| Short { mailbox: mailbox.clone(), used, quota, octets };
            match self.ask(mailbox, Wanted { quota, octets, reserves: false }).await? {
                Ok((_, left)) if left.saturating_add(octets) < wanted => {
                    let used = quota.saturating_sub(left).saturating_sub(octets);
                    room = Room::Scarce(short(used, Some(wanted)));
                }
                Ok(_) => {}
                Err(used) => return Ok(Room::Full(short(used, size))),
            }
        }
        Ok(room)
    }

    /// Reserves what a delivery will add, for all its mailboxes or for none.
    ///
    /// # Errors
    /// [`DeliverError::OverQuota`]; trouble of the file system.
    pub(super) async fn reserve(self: &Arc<Self>, delivery: &Delivery) -> Result<Reserved, DeliverError> {
        let wanted = wanted(&self.in_force.load(), delivery);
        let mut reserved = Reserved::default();
        // in the order of their names: two deliveries that share some never wait for each other in a circle
        for (mailbox, (quota, octets)) in wanted {
            match self.ask(mailbox, Wanted { quota, octets, reserves: true }).await? {
                Ok((reservation, _)) => reserved.reservations.push((mailbox.clone(), reservation)),
                Err(used) => {
                    count(&self.counters.over_quota_at_data);
                    return Err(DeliverError::OverQuota { mailbox: mailbox.clone(), used, quota, octets });
                }
            }
        }
        Ok(reserved)
    }

    /// Says how much is left of a mailbox's quota with what is wanted; or how much is used, where it does not fit.
    async fn ask(
        self: &Arc<Self>,
        mailbox: &MailboxName,
        wanted: Wanted,
    ) -> Result<Result<(Reservation, u64), u64>, DeliverError> {
        let directory = directory(&self.root, mailbox)?;
        let account = self.account(mailbox);
        for _ in 0..TRIES {
            let gate = Arc::clone(&account.gate).read_owned().await;
            match self.look(&account, &directory, wanted, gate).await? {
                Answer::Fits(reservation, left) => return Ok(Ok((reservation, left))),
                Answer::Over(used) => return Ok(Err(used)),
                Answer::Unknown => self.recount(&account, mailbox, wanted.quota).await?,
            }
        }
        Err(io::Error::other("what the mailbox holds can't be told: it changes faster than it can be counted").into())
    }

    async fn look(
        self: &Arc<Self>,
        account: &Arc<Account>,
        mailbox: &Path,
        wanted: Wanted,
        gate: Shared,
    ) -> Result<Answer, DeliverError> {
        let permit = Arc::clone(&self.lookers).acquire_owned().await.map_err(|_closed| DeliverError::Busy)?;
        let (this, account, mailbox) = (Arc::clone(self), Arc::clone(account), mailbox.to_owned());
        let look = move || {
            let _permit = permit;
            account.look(&Question { root: &this.root, mailbox: &mailbox, wanted }, gate)
        };
        // what it reserves is given back where nobody waits for it any more
        Ok(tokio::task::spawn_blocking(look).await.map_err(io::Error::other)??)
    }

    /// Counts a mailbox, unless another has done so meanwhile. It goes on where nobody waits for it any more.
    async fn recount(
        self: &Arc<Self>,
        account: &Arc<Account>,
        mailbox: &MailboxName,
        quota: u64,
    ) -> Result<(), DeliverError> {
        let directory = directory(&self.root, mailbox)?;
        let alone = Arc::clone(&account.gate).write_owned().await;
        let permit = Arc::clone(&self.recounters).acquire_owned().await.map_err(|_closed| DeliverError::Busy)?;
        let (this, account, mailbox) = (Arc::clone(self), Arc::clone(account), mailbox.clone());
        let recount = move || {
            let _permit = permit;
            if account.was_counted() {
                return Ok(());
            }
            count(&this.counters.quota_recounts);
            let recounted = account.recount(&directory, quota, alone)?;
            if let Some(error) = recounted.unwritten {
                count(&this.counters.quota_errors);
                tracing::warn!(%error, %mailbox, "maildirsize can't be written, the mailbox is counted again and again");
            }
            Ok::<(), io::Error>(())
        };
        Ok(tokio::task::spawn_blocking(recount).await.map_err(io::Error::other)??)
    }

    /// Notes what a delivery has stored. Blocks: for a writer.
    pub(super) fn settle(&self, reserved: &mut Reserved, stored: &Stored) {
        self.note(reserved, stored, Reservation::settle);
    }

    /// Notes that it was taken back.
    pub(super) fn take_back(&self, reserved: &mut Reserved, stored: &Stored) {
        self.note(reserved, stored, Reservation::take_back);
    }

    fn note(&self, reserved: &mut Reserved, stored: &Stored, note: impl Fn(&mut Reservation, Usage) -> io::Result<()>) {
        if reserved.reservations.is_empty() {
            return;
        }
        let mut stored_of: HashMap<&MailboxName, Usage> = HashMap::new();
        for StoredFile { mailbox, bytes, .. } in &stored.files {
            let usage = stored_of.entry(mailbox).or_default();
            *usage = usage.plus(Usage { bytes: *bytes, messages: 1 });
        }
        for (mailbox, reservation) in &mut reserved.reservations {
            let usage = stored_of.get(mailbox).copied().unwrap_or_default();
            // the message is stored: what can't be noted is counted later
            if let Err(error) = note(reservation, usage) {
                count(&self.counters.quota_errors);
                tracing::warn!(%error, "a line of maildirsize can't be written, the mailbox will be counted");
            }
        }
    }

    fn account(&self, mailbox: &MailboxName) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(mailbox) {
            return Arc::clone(account);
        }
        if accounts.len() >= MOST_ACCOUNTS {
            accounts.retain(|_, account| !account.is_idle());
        }
        Arc::clone(accounts.entry(mailbox.clone()).or_default())
    }
}

impl std::fmt::Debug for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quota").field("root", &self.root).field("in_force", &self.in_force).finish_non_exhaustive()
    }
}

/// The directory of a mailbox.
///
/// # Errors
/// A name that is no safe name of a directory: the configuration refuses it, this is the second lock.
fn directory(root: &Path, mailbox: &MailboxName) -> io::Result<PathBuf> {
    let (domain, name) = (mailbox.domain.as_str(), mailbox.name.as_str());
    if !is_safe_component(domain, 253) || !is_safe_component(name, MAILBOX_NAME_OCTETS) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the mailbox's name is no safe name of a directory"));
    }
    Ok(root.join(domain).join(name))
}

/// What a delivery adds to each mailbox that has a quota: the quota, and octets.
fn wanted<'d>(in_force: &InForce, delivery: &'d Delivery) -> BTreeMap<&'d MailboxName, (u64, u64)> {
    let mut measure = Measure::of(delivery);
    let mut wanted = BTreeMap::new();
    for copy in &delivery.copies {
        if let Some(quota) = in_force.quotas.of(&copy.mailbox) {
            let (_, octets) = wanted.entry(&copy.mailbox).or_insert((quota, 0_u64));
            *octets = octets.saturating_add(measure.octets(copy));
        }
    }
    wanted
}

/// Octets that the copies of a delivery will have on disk, with LF line ends. What copies share is measured once.
struct Measure<'a> {
    delivery: &'a Delivery,
    /// The body, after the payload's own header.
    shared: Option<(u64, u64)>,
    /// The header that was measured last.
    header: Option<(&'a Arc<Vec<u8>>, u64)>,
}

impl<'a> Measure<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        Measure { delivery, shared: None, header: None }
    }

    /// Of one copy. Our fields and headers end their lines, so that no CRLF is torn between the parts.
    fn octets(&mut self, copy: &'a Copy) -> u64 {
        let payload = &self.delivery.payload;
        let (header, body) = *self.shared.get_or_insert_with(|| {
            let body = match &payload.body {
                Body::Memory(body) => stored_octets(body.iter()),
                Body::Spooled(spool) => spool.stored_bytes(),
            };
            (stored_octets([&*payload.header]), body)
        });
        let header = match &copy.header {
            None => header,
            Some(own) => self.own_header(own),
        };
        stored_octets([&*copy.prefix]).saturating_add(header).saturating_add(body)
    }

    /// Copies that share a header stand next to each other.
    fn own_header(&mut self, header: &'a Arc<Vec<u8>>) -> u64 {
        match self.header {
            Some((known, octets)) if Arc::ptr_eq(known, header) => octets,
            _ => {
                let octets = stored_octets([header.as_slice()]);
                self.header = Some((header, octets));
                octets
            }
        }
    }
}

/// Octets of a text with LF line ends.
fn stored_octets<'a>(text: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut lines = LfWriter::new(Tally(0));
    for octets in text {
        // a tally takes everything
        let _ = lines.write(octets);
    }
    let (Tally(octets), held_cr) = lines.into_parts();
    octets.saturating_add(u64::from(held_cr))
}

/// Counts octets.
struct Tally(u64);

impl io::Write for Tally {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(octets.len() as u64);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
