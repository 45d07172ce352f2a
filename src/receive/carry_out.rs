//! Carrying a decision out: the copies are written, or nothing is kept. Only this makes what a 250 may be built from.

use std::collections::HashSet;
use std::sync::Arc;

use crate::authenticate::header::without_ours;
use crate::deliver::{Copy, DeliverError, Delivery, Folder, Payload, Stored, Writers};
use crate::facts::record::DeliveryRecord;
use crate::facts::word::Action;
use crate::message::content::Content;
use crate::message::header::HeaderDefect;
use crate::message::trace;
use crate::smtp::reply::{self, Reply};

use super::judge::Judged;

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
}

impl Trouble {
    pub(super) fn of_storing(error: &DeliverError) -> Self {
        match error {
            DeliverError::Full(_) => Trouble { reply: reply::disk_full(), cause: error.to_string() },
            DeliverError::Io(cause) => Trouble { reply: reply::io_error(), cause: cause.to_string() },
            DeliverError::Busy => Trouble { reply: reply::io_error(), cause: error.to_string() },
        }
    }
}

/// What stands on top of every copy of a message.
pub(super) struct Trace<'a> {
    pub reference: &'a str,
    pub authserv_id: &'a str,
    /// Whole fields, each with its line end.
    pub return_path: String,
    pub received: String,
    pub results: String,
}

/// Whether nothing of the message is to be kept.
pub(super) fn keeps_nothing(judged: &[Judged<'_>]) -> bool {
    judged.iter().all(|one| one.verdict.action() == Action::Discard)
}

/// Stores the copies that the verdicts ask for.
///
/// # Errors
/// Nothing is stored then.
pub(super) async fn store(
    carrier: &Carrier,
    content: Content,
    trace: &Trace<'_>,
    judged: &[Judged<'_>],
) -> Result<Acknowledged, DeliverError> {
    let copies = copies(trace, judged);
    match carrier {
        Carrier::Maildirs(writers) => {
            let payload = Arc::new(payload(content, trace.authserv_id).await);
            writers.store(Delivery { payload, copies }).await.map(Acknowledged::Stored)
        }
        Carrier::Nowhere => Ok(Acknowledged::Rehearsed(copies.iter().map(would_be).collect())),
    }
}

fn would_be(copy: &Copy) -> DeliveryRecord {
    let (mailbox, folder) = (copy.mailbox.to_string(), copy.folder.name().to_owned());
    DeliveryRecord { mailbox, folder, file: String::new() }
}

/// One copy a mailbox, however many forward-paths lead there.
fn copies(trace: &Trace<'_>, judged: &[Judged<'_>]) -> Vec<Copy> {
    let mut copies = Vec::new();
    let mut served = HashSet::new();
    for one in judged {
        let (folder, decision) = match one.verdict.action() {
            Action::Discard => continue,
            Action::Quarantine => {
                let field = trace::decision(one.verdict.rule(), one.judgement.score, trace.reference);
                (Folder::Junk, field)
            }
            _ => (Folder::Inbox, String::new()),
        };
        for member in &one.members {
            for mailbox in &member.mailboxes {
                if !served.insert(mailbox) {
                    continue;
                }
                let delivered_to = trace::delivered_to(&member.path);
                let fields = [&trace.return_path, &delivered_to, &decision, &trace.received, &trace.results];
                let prefix = fields.map(String::as_bytes).concat();
                copies.push(Copy { mailbox: mailbox.clone(), folder, prefix });
            }
        }
    }
    copies
}

/// The message as it came, without the fields that only we may write (RFC 8601 §5).
async fn payload(content: Content, authserv_id: &str) -> Payload {
    let mut header = without_ours(&content.header, authserv_id).await;
    let ends_ours = header.is_empty() && content.had_blank_line;
    if content.header.defects().contains(&HeaderDefect::NoHeader) && !ends_ours {
        // its first line would continue, or end, the fields that we put in front of it
        header.splice(0..0, *b"\r\n");
    }
    header.extend_from_slice(content.separator());
    Payload { header, body: content.body }
}
