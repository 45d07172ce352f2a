//! The message as it comes in: its header is found, its body hashed and kept, in memory or on disk, its octets counted against what
//! memory may hold.

use std::mem;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use crate::authenticate::body::{BodyHasher, DkimKeys};
use crate::deliver::{DeliverError, Spooling};
use crate::message::content::{Body, Content};
use crate::message::header::{Header, HeaderSplitter};
use crate::message::ledger::Share;
use crate::message::pieces::Pieces;

use super::Inquiry;
use super::carry_out::{Carrier, Trouble};

/// Octets of a spooled body that are worth a way to a writer.
const PART: usize = 64 * 1024;

/// A message that is coming in.
pub(super) struct Incoming {
    share: Share,
    /// Whose share of the disk its body takes.
    network: IpAddr,
    part: Part,
    /// Octets of a body that is kept in memory.
    most: usize,
    bytes: u64,
    lines: Lines,
}

enum Part {
    Header(HeaderSplitter),
    Body {
        header: Arc<Header>,
        had_blank_line: bool,
        hasher: Box<BodyHasher>,
        kept: Kept,
    },
    /// There was no room for it: the rest is read and forgotten.
    Forgotten(Trouble),
}

/// What is kept of a body.
#[derive(Default)]
struct Kept {
    /// All of it, or what is not handed over yet.
    octets: Pieces,
    spooling: Option<Spooling>,
    /// Octets that were handed over last, and are in memory until they are written.
    under_way: usize,
}

/// A message that has come in whole.
pub(super) struct Arrived {
    pub content: Content,
    pub hasher: BodyHasher,
    /// Keeps its octets counted until it is delivered or refused.
    pub held: Held,
}

/// Counts a message's octets as long as it lives.
pub(super) struct Held {
    _share: Share,
}

impl Inquiry {
    /// Awaited before more is read: what came of a large body goes to disk, and look-ups go on meanwhile. Not to be dropped before it
    /// is ready.
    pub async fn keep(&mut self) {
        let incoming =
            self.transaction.as_mut().and_then(|transaction| transaction.incoming.take_if(|one| one.is_to_keep()));
        let Some(mut incoming) = incoming else { return };
        let receiver = Arc::clone(&self.receiver);
        {
            let mut keeping = pin!(incoming.keep(&receiver.carrier));
            loop {
                tokio::select! {
                    () = &mut keeping => break,
                    () = self.progress(), if self.is_looking() => {}
                }
            }
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.incoming = Some(incoming);
        }
    }

    /// Whether [`Inquiry::keep`] has anything to do.
    pub fn is_to_keep(&self) -> bool {
        let incoming = self.transaction.as_ref().and_then(|transaction| transaction.incoming.as_ref());
        incoming.is_some_and(Incoming::is_to_keep)
    }
}

impl Incoming {
    /// Expects the first octet.
    pub(super) fn new(share: Share, network: IpAddr, most: usize) -> Self {
        let part = Part::Header(HeaderSplitter::new());
        Incoming { share, network, part, most, bytes: 0, lines: Lines::default() }
    }

    /// Takes the next octets; gives the header at the moment when it is complete.
    pub(super) fn push(&mut self, octets: &[u8]) -> Option<Arc<Header>> {
        self.bytes = self.bytes.saturating_add(octets.len() as u64);
        self.lines.push(octets);
        if !matches!(self.part, Part::Forgotten(_)) && !self.share.grow(octets.len() as u64) {
            self.forget(Trouble::of_memory());
        }
        match &mut self.part {
            Part::Forgotten(_) => None,
            Part::Body { hasher, kept, .. } => {
                hasher.write(octets);
                kept.octets.extend(octets);
                None
            }
            Part::Header(splitter) => {
                let rest = splitter.push(octets)?;
                let (header, had_blank_line) = mem::take(splitter).finish();
                let header = Arc::new(header);
                let mut hasher = BodyHasher::for_header(&header);
                hasher.write(rest);
                let kept = Kept { octets: rest.to_vec().into(), ..Kept::default() };
                self.part = Part::Body { header: Arc::clone(&header), had_blank_line, hasher: Box::new(hasher), kept };
                Some(header)
            }
        }
    }

    fn forget(&mut self, trouble: Trouble) {
        self.share.give_back();
        self.part = Part::Forgotten(trouble);
    }

    /// Whether there is more of the body in memory than should be: then [`Incoming::keep`] is to be awaited.
    pub(super) fn is_to_keep(&self) -> bool {
        let Part::Body { kept, .. } = &self.part else { return false };
        let enough = if kept.spooling.is_some() { PART } else { self.most.saturating_add(1) };
        kept.octets.len() >= enough
    }

    /// Moves what has come of the body to disk. Where that fails, the rest of the message is read and forgotten.
    pub(super) async fn keep(&mut self, carrier: &Carrier) {
        let Part::Body { kept, .. } = &mut self.part else { return };
        if let Err(error) = kept.hand_over(carrier, self.network, &mut self.share).await {
            self.forget(Trouble::of_storing(&error));
        }
    }

    /// Whose keys the signatures want, once the header is known.
    pub(super) fn dkim_keys(&self) -> Option<DkimKeys> {
        match &self.part {
            Part::Body { hasher, .. } => Some(hasher.keys()),
            Part::Header(_) | Part::Forgotten(_) => None,
        }
    }

    /// Octets so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Octets of the longest line so far, its CRLF included.
    pub(super) fn longest_line(&self) -> u64 {
        self.lines.longest.max(self.lines.current)
    }

    /// The end was seen.
    ///
    /// # Errors
    /// There was no room for it.
    pub(super) async fn finish(mut self) -> Result<Arrived, Trouble> {
        match self.part {
            Part::Forgotten(trouble) => Err(trouble),
            Part::Body { header, had_blank_line, hasher, kept } => match kept.finish(&mut self.share).await {
                Ok(body) => {
                    let content = Content { header, body, had_blank_line };
                    Ok(Arrived { content, hasher: *hasher, held: Held { _share: self.share } })
                }
                Err(error) => Err(Trouble::of_storing(&error)),
            },
            Part::Header(splitter) => {
                let (header, had_blank_line) = splitter.finish();
                let header = Arc::new(header);
                let hasher = BodyHasher::for_header(&header);
                let content = Content { header, body: Body::default(), had_blank_line };
                Ok(Arrived { content, hasher, held: Held { _share: self.share } })
            }
        }
    }
}

impl Kept {
    async fn hand_over(&mut self, carrier: &Carrier, network: IpAddr, share: &mut Share) -> Result<(), DeliverError> {
        let begins = self.spooling.is_none();
        let spooling = match (&mut self.spooling, carrier) {
            (Some(spooling), _) => spooling,
            (none, Carrier::Maildirs(writers)) => none.insert(writers.spooling(network)),
            // a rehearsal has the message in memory anyway
            (None, Carrier::Nowhere) => return Ok(()),
        };
        let octets = mem::take(&mut self.octets);
        let handed = octets.len();
        spooling.write(octets).await?;
        share.shrink(mem::replace(&mut self.under_way, handed) as u64);
        if begins {
            // the first part is the largest, and no other may stand beside it
            spooling.settle().await?;
            share.shrink(mem::take(&mut self.under_way) as u64);
        }
        Ok(())
    }

    async fn finish(self, share: &mut Share) -> Result<Body, DeliverError> {
        let Some(spooling) = self.spooling else { return Ok(Body::Memory(self.octets)) };
        let handed = self.octets.len().saturating_add(self.under_way);
        let spool = spooling.finish(self.octets).await?;
        share.shrink(handed as u64);
        Ok(Body::Spooled(spool))
    }
}

/// How long lines are.
#[derive(Debug, Default)]
struct Lines {
    longest: u64,
    current: u64,
}

impl Lines {
    fn push(&mut self, octets: &[u8]) {
        let mut begun = 0;
        for line_feed in memchr::memchr_iter(b'\n', octets) {
            let line = self.current.saturating_add((line_feed + 1 - begun) as u64);
            self.longest = self.longest.max(line);
            self.current = 0;
            begun = line_feed + 1;
        }
        self.current = self.current.saturating_add((octets.len() - begun) as u64);
    }
}
