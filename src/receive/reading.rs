//! What the client says, read into facts: the moment it says it, the envelope, the header, what the message is made of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tokio::sync::Semaphore;

use crate::facts::{Address, Clock, HeaderField, Headers, Message, Mime, Rcpt, Role};
use crate::message::author::message_id;
use crate::message::content::Content;
use crate::message::decoded::decoded;
use crate::message::header::Header;
use crate::message::mime::MAX_OCTETS;
use crate::recipients::Local;
use crate::smtp::address::{ForwardPath, ReversePath};

use super::lookups::Panicked;

/// The host's time zone, as it was when the server started.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// Octets that one permit is for.
const UNIT: usize = 64 * 1024;
/// Messages that are looked through at once, in the whole process: [`MAX_OCTETS`] of them.
static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_OCTETS / UNIT)));
/// How long a message waits for its turn.
const TURN: Duration = Duration::from_secs(60);
/// How long a message is looked through; what was not seen by then is told as such.
const LOOK: Duration = Duration::from_secs(5);

/// Reads the host's time zone, so that no file has to be read for it later.
pub fn read_time_zone() {
    LazyLock::force(&ZONE);
}

/// The time of day: now, or at a moment that a rehearsal names.
pub(super) fn clock(moment: Option<&Zoned>) -> Clock {
    match moment {
        Some(moment) => Clock::at(moment.timestamp(), moment.time_zone()),
        None => Clock::at(Timestamp::now(), &ZONE),
    }
}

/// The reverse-path.
pub(super) fn reverse_path(path: &ReversePath, smtputf8: bool) -> Address {
    Address {
        address: path.to_string(),
        local: path.mailbox().map(|mailbox| mailbox.local.clone()).unwrap_or_default(),
        domain: path.domain_text(),
        smtputf8,
    }
}

/// A forward-path that leads to mailboxes of ours, after `count` others.
pub(super) fn forward_path(path: &ForwardPath, local: &Local, count: usize) -> Rcpt {
    Rcpt {
        address: path.to_string(),
        local: path.mailbox().map_or_else(|| "postmaster".to_owned(), |mailbox| mailbox.local.clone()),
        domain: local.domain.as_str().to_owned(),
        role: Role::from_word(local.role.as_str()).unwrap_or_default(),
        count: count as u64,
    }
}

/// What is said of the message as a whole; its size is not known yet.
pub(super) fn message(header: &Header) -> Message {
    Message {
        bytes: 0,
        header_bytes: header.raw().len() as u64,
        fields: header.fields().count() as u64,
        received: header.named("received").count() as u64,
        longest_line: 0,
        message_id: message_id(header),
    }
}

/// The header fields of these names, which are in lower case; one that is not there is told as such.
pub(super) fn headers<'a>(header: &Header, names: impl Iterator<Item = &'a String>) -> Headers {
    let read = |name: &String| {
        let of_name = || header.named(name);
        let field = HeaderField {
            present: of_name().next().is_some(),
            count: of_name().count() as u64,
            value: Some(of_name().next().map(decoded).unwrap_or_default()),
            last: Some(of_name().next_back().map(decoded).unwrap_or_default()),
        };
        (name.clone(), field)
    };
    names.map(read).collect()
}

/// Ends a look when it is dropped: when its time is over, and when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks at what a message is made of, on a thread for such work when its turn comes, and gives it back. What can't be seen in
/// [`LOOK`] is truncated; a look that is no longer waited for ends.
///
/// # Errors
/// It panicked. `Ok(None)`: its turn did not come in time, or its body can't be read from the disk.
pub(super) async fn mime(content: Content) -> Result<Option<(Content, Mime)>, Panicked> {
    let octets = usize::try_from(content.body.bytes()).unwrap_or(MAX_OCTETS).min(MAX_OCTETS);
    let permits = u32::try_from(octets.div_ceil(UNIT).max(1)).unwrap_or(1);
    let turn = tokio::time::timeout(TURN, Arc::clone(&PERMITS).acquire_many_owned(permits)).await;
    // the semaphore is never closed
    let Ok(Ok(permit)) = turn else { return Ok(None) };
    let stop = Stop(Arc::default());
    let is_stopped = Arc::clone(&stop.0);
    let mut looking = tokio::task::spawn_blocking(move || {
        // one octet more tells that there is more
        let body = content.body.read(MAX_OCTETS + 1);
        let looked = body.map(|body| Mime::until(&|| is_stopped.load(Ordering::Relaxed), &content.header, &body).0);
        drop(permit);
        looked.map(|mime| (content, mime))
    });
    let ended = match tokio::time::timeout(LOOK, &mut looking).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!("the parts of a message could not be looked through in time: it is taken as truncated");
            drop(stop);
            looking.await
        }
    };
    match ended {
        Ok(Ok(looked)) => Ok(Some(looked)),
        Ok(Err(error)) => {
            tracing::error!(%error, "a spooled message can't be read");
            Ok(None)
        }
        Err(_) => Err(Panicked),
    }
}
