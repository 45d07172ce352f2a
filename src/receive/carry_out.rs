//! Carrying a decision out: the copies are written, or nothing is kept. Only this makes what a 250 may be built from.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::deliver::{Copy, DeliverError, Delivery, Folder, Payload, Stored, Writers};
use crate::facts::record::DeliveryRecord;
use crate::facts::word::Action;
use crate::message::content::Content;
use crate::message::edit::{Edit, Edited, Put};
use crate::message::header::{Header, HeaderDefect};
use crate::message::ledger::Share;
use crate::message::trace;
use crate::policy::Edits;
use crate::recipients::MailboxName;
use crate::smtp::reply::{self, Reply};

use super::deferred;
use super::judge::Judged;

/// Octets of headers, changed for some recipients each, that one transaction may hold.
const MOST_CHANGED: usize = 16 * 1024 * 1024;
/// Octets of header to change, over all groups of recipients, beyond which other sessions would wait for it.
const HEAVY: usize = 64 * 1024;

/// Where copies go.
#[derive(Clone)]
pub enum Carrier {
    /// Into Maildirs.
    Maildirs(Arc<Writers>),
    /// Nowhere: a rehearsal.
    Nowhere,
}

/// Why a message may be answered 250. Nothing else makes that reply.
#[derive(Debug)]
pub(super) enum Acknowledged {
    /// Every copy is durable.
    Stored(Stored),
    /// An explicit rule keeps nothing of it, and the journal has that on disk.
    Discarded,
    /// A rehearsal, which answers nobody.
    Rehearsed(Vec<DeliveryRecord>),
}

impl Acknowledged {
    /// The 250 after the dot.
    pub(super) fn reply(&self, reference: &str) -> Reply {
        reply::accepted(reference)
    }

    /// Whether nothing was kept.
    pub(super) fn is_discarded(&self) -> bool {
        matches!(self, Acknowledged::Discarded)
    }

    /// Where the copies are.
    pub(super) fn records(&self) -> Vec<DeliveryRecord> {
        match self {
            Acknowledged::Stored(stored) => stored.records(),
            Acknowledged::Discarded => Vec::new(),
            Acknowledged::Rehearsed(records) => records.clone(),
        }
    }
}

/// Why a message is deferred that was to be stored or discarded.
pub(super) struct Trouble {
    /// A 4yz.
    pub reply: Reply,
    /// Why it could not be stored; a path in it is below the Maildir root.
    pub cause: String,
    /// All hold what they may, or its network does: whoever sends more decides how often that is.
    pub is_of_room: bool,
}

impl From<Reply> for Trouble {
    /// Where the reply says it all.
    fn from(reply: Reply) -> Self {
        Trouble { reply, cause: String::new(), is_of_room: false }
    }
}

impl Trouble {
    fn of_changing(cause: &str, reply: Reply) -> Self {
        Trouble { reply, cause: cause.to_owned(), is_of_room: false }
    }

    pub(super) fn of_memory() -> Self {
        let cause = "messages hold as much memory as they may (limits.memory)";
        Trouble { is_of_room: true, ..Trouble::of_changing(cause, reply::disk_full()) }
    }

    /// Says it in the log, unless the reply says it all; `cause` may be veiled.
    pub(super) fn tell(&self, cause: &str, reference: &str) {
        if self.is_of_room {
            deferred::tell(cause, reference);
        } else if !cause.is_empty() {
            tracing::error!(error = %cause, %reference, "a message could not be stored, it is deferred");
        }
    }

    pub(super) fn of_storing(error: &DeliverError) -> Self {
        let (reply, cause) = match error {
            DeliverError::Full(_) | DeliverError::NoRoom(_) => (reply::disk_full(), error.to_string()),
            DeliverError::OverQuota { .. } => (reply::mailbox_full(), error.to_string()),
            DeliverError::Io(cause) => (reply::io_error(), cause.to_string()),
            DeliverError::Busy => (reply::io_error(), error.to_string()),
        };
        Trouble { reply, cause, is_of_room: matches!(error, DeliverError::NoRoom(_)) }
    }
}

/// What stands on top of every copy of a message.
pub(super) struct Trace<'a> {
    pub reference: &'a str,
    /// Whole fields, each with its line end.
    pub return_path: String,
    pub received: String,
    pub results: String,
}

/// Whether nothing of the message is to be kept.
pub(super) fn keeps_nothing(judged: &[Judged<'_>]) -> bool {
    judged.iter().all(|one| one.verdict.action() == Action::Discard)
}

/// Stores copies of a message, whose client is of this network. `cleaned` is its header without the fields that only we may write.
///
/// # Errors
/// Nothing is stored then.
pub(super) async fn store(
    carrier: &Carrier,
    content: Content,
    cleaned: Vec<u8>,
    copies: Vec<Copy>,
    network: IpAddr,
) -> Result<Acknowledged, DeliverError> {
    match carrier {
        Carrier::Maildirs(writers) => {
            let header = ended(cleaned, &content);
            let payload = Arc::new(Payload { header, body: content.body });
            writers.store(Delivery { payload, copies, network }).await.map(Acknowledged::Stored)
        }
        Carrier::Nowhere => Ok(Acknowledged::Rehearsed(copies.iter().map(would_be).collect())),
    }
}

fn would_be(copy: &Copy) -> DeliveryRecord {
    let (mailbox, folder) = (copy.mailbox.to_string(), copy.folder.name().to_owned());
    DeliveryRecord { mailbox, folder, file: String::new() }
}

/// The copies that the verdicts ask for: one a mailbox, however many forward-paths lead there. A mailbox's own comes before one that
/// a rule redirects to it. `redirected` gives the mailboxes of an address that a rule names; `cleaned` is the header without the
/// fields that only we may write. `share` takes what the changed headers hold.
///
/// # Errors
/// What `redirected` says, or the changed headers would be more than a transaction may hold, or than there is memory for.
pub(super) async fn copies(
    content: &Content,
    cleaned: &[u8],
    trace: &Trace<'_>,
    judged: &[Judged<'_>],
    redirected: impl Fn(&str) -> Result<Vec<MailboxName>, Trouble>,
    share: &mut Share,
) -> Result<Vec<Copy>, Trouble> {
    let mut copies = Vec::new();
    let mut served = HashSet::new();
    let mut changing = Changing::of(cleaned, judged, share);
    let kept = judged.iter().filter(|one| one.verdict.action() != Action::Discard);
    let (own, others): (Vec<_>, Vec<_>) = kept.partition(|one| one.judgement.edits.redirect.is_empty());
    for one in own.into_iter().chain(others) {
        let edits = &one.judgement.edits;
        let elsewhere =
            Some(edits.redirect.as_str()).filter(|address| !address.is_empty()).map(&redirected).transpose()?;
        let mut to = Vec::new();
        for member in &one.members {
            let mailboxes = elsewhere.as_ref().unwrap_or(&member.mailboxes);
            to.extend(mailboxes.iter().filter(|name| served.insert((*name).clone())).map(|name| (member, name)));
        }
        if to.is_empty() {
            continue;
        }
        let (folder, decision) = placed(one, trace);
        let (above, header) = match changing.edited(edits, to.len()).await? {
            Some(edited) => (edited.above, Some(Arc::new(ended(edited.header, content)))),
            None => (Vec::new(), None),
        };
        for (member, mailbox) in to {
            let delivered_to = trace::delivered_to(&member.path);
            let fields = [&trace.return_path, &delivered_to, &decision, &trace.received, &trace.results];
            let mut prefix = fields.map(String::as_bytes).concat();
            prefix.extend_from_slice(&above);
            copies.push(Copy { mailbox: mailbox.clone(), folder: folder.clone(), prefix, header: header.clone() });
        }
    }
    Ok(copies)
}

/// The changes of one message's header, for group after group of its recipients.
struct Changing<'s> {
    cleaned: Arc<[u8]>,
    header: Option<Arc<Header>>,
    is_heavy: bool,
    held: usize,
    share: &'s mut Share,
}

impl<'s> Changing<'s> {
    fn of(cleaned: &[u8], judged: &[Judged<'_>], share: &'s mut Share) -> Self {
        let groups = judged.iter().filter(|one| edit_of(&one.judgement.edits).is_some()).count();
        let is_heavy = cleaned.len().saturating_mul(groups) > HEAVY;
        Changing { cleaned: cleaned.into(), header: None, is_heavy, held: 0, share }
    }

    /// The header as these rules change it, on a thread for such work where it is large; `None` where they leave it as it came.
    async fn edited(&mut self, edits: &Edits, copies: usize) -> Result<Option<Edited>, Trouble> {
        if edit_of(edits).is_none() {
            return Ok(None);
        }
        let (cleaned, header, edits) = (Arc::clone(&self.cleaned), self.header.clone(), edits.clone());
        let work = move || {
            let header = header.unwrap_or_else(|| Arc::new(Header::parse(cleaned.to_vec())));
            let edited = edit_of(&edits).map(|edit| edit.apply(&header)).unwrap_or_default();
            (header, edited)
        };
        let done = if self.is_heavy { tokio::task::spawn_blocking(work).await } else { Ok(work()) };
        let Ok((header, edited)) = done else {
            return Err(Trouble::of_changing("the header could not be changed", reply::io_error()));
        };
        self.header = Some(header);
        // the fields above stand in every copy, the header is shared by the group's
        let octets = edited.header.len() + edited.above.len().saturating_mul(copies);
        self.held += octets;
        if self.held > MOST_CHANGED {
            let cause = "the rules change a large header for too many recipients, each in another way";
            return Err(Trouble::of_changing(cause, reply::disk_full()));
        }
        if !self.share.grow(octets as u64) {
            let cause = "there is no memory for the headers that rules change (limits.memory)";
            return Err(Trouble { is_of_room: true, ..Trouble::of_changing(cause, reply::disk_full()) });
        }
        Ok(Some(edited))
    }
}

/// The folder of the copies, and the field that says why they are there.
fn placed(one: &Judged<'_>, trace: &Trace<'_>) -> (Folder, String) {
    if one.verdict.action() != Action::Quarantine {
        return (Folder::Inbox, String::new());
    }
    let folder = match one.judgement.edits.folder.as_str() {
        "" | "Junk" => Folder::Junk,
        name => Folder::Named(name.into()),
    };
    (folder, trace::decision(one.verdict.rule(), one.judgement.score, trace.reference))
}

/// What rules change of the header; `None` where they leave it as it came.
fn edit_of(edits: &Edits) -> Option<Edit<'_>> {
    let edit = Edit {
        remove: edits.remove.iter().map(String::as_str).collect(),
        put: edits
            .add
            .iter()
            .map(|field| Put { name: &field.name, text: &field.text, replaces: field.replaces })
            .collect(),
        tags: edits.tags.iter().map(String::as_str).collect(),
    };
    (!edit.is_empty()).then_some(edit)
}

/// A header with what ends it. One without a first field would continue, or end, the fields that we put in front of it.
fn ended(mut header: Vec<u8>, content: &Content) -> Vec<u8> {
    let ends_ours = header.is_empty() && content.had_blank_line;
    if content.header.defects().contains(&HeaderDefect::NoHeader) && !ends_ours {
        header.splice(0..0, *b"\r\n");
    }
    header.extend_from_slice(content.separator());
    header
}
