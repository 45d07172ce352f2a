//! The look-ups that are under way for a session or a transaction: futures that the connection's own task polls.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::authenticate::block_lists::Listings;
use crate::facts::table::FactSet;
use crate::facts::{Facts, HeloCheck, Iprev, IprevResult, ListKind, ReverseMx, Spf};

/// What one look-up found.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Iprev(Iprev),
    Ptr(ReverseMx),
    SpfHelo(Spf),
    SpfMailFrom(Spf),
    MxMailFrom(ReverseMx),
    MxFrom(ReverseMx),
    MxReplyTo(ReverseMx),
    Helo(HeloCheck),
    /// What lists say of the client's address and reverse name.
    ClientListed(Listings),
    /// What lists say of a transaction's domains.
    Listed(Listings),
    /// An answer now lies in the resolver's cache; nothing is learned yet.
    Warmed,
}

/// What a look-up is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The client's reverse name; reverse MX of that name follows from it.
    Client,
    Ptr,
    SpfHelo,
    SpfMailFrom,
    MxMailFrom,
    MxFrom,
    MxReplyTo,
    Helo,
    Lists(ListKind),
    Cache,
}

impl About {
    /// The groups of facts that it finds.
    const fn facts(self) -> &'static [&'static str] {
        match self {
            About::Client => &["iprev", "client.name", "reverse_mx.ptr"],
            About::Ptr => &["reverse_mx.ptr"],
            About::SpfHelo => &["spf.helo"],
            About::SpfMailFrom => &["spf.mail_from"],
            About::MxMailFrom => &["reverse_mx.mail_from"],
            About::MxFrom => &["reverse_mx.from"],
            About::MxReplyTo => &["reverse_mx.reply_to"],
            About::Helo => &["helo_check"],
            // told apart by their kind, see below
            About::Lists(_) => &[],
            About::Cache => &[],
        }
    }

    /// Whether any of its facts is in the set.
    fn is_in(self, needs: FactSet) -> bool {
        match self {
            About::Lists(kind) => needs.asks_lists(kind),
            _ => self.facts().iter().any(|group| needs.touches(group)),
        }
    }
}

type Finding = Pin<Box<dyn Future<Output = (About, Option<Vec<Found>>)> + Send>>;

/// Look-ups that run side by side; each is bounded by its own deadline.
#[derive(Default)]
pub(super) struct Lookups {
    /// Only ever reached through `&mut`, so never locked: the mutex lets what holds look-ups be shared while they rest.
    running: Mutex<FuturesUnordered<Finding>>,
    outstanding: Vec<About>,
}

/// A check panicked; what it would have found stays unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

impl Lookups {
    /// Starts a look-up; it makes progress when [`Lookups::next`] is polled.
    pub(super) fn start(&mut self, about: About, lookup: impl Future<Output = Vec<Found>> + Send + 'static) {
        self.outstanding.push(about);
        let lookup = AssertUnwindSafe(lookup).catch_unwind().map(move |found| (about, found.ok()));
        self.running.get_mut().unwrap_or_else(PoisonError::into_inner).push(Box::pin(lookup));
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Whether a look-up that the set asks for is under way.
    pub(super) fn awaits(&self, needs: FactSet) -> bool {
        self.outstanding.iter().any(|about| about.is_in(needs))
    }

    /// The next finding; waits for ever where nothing is under way. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Vec<Found>, Panicked> {
        match self.running.get_mut().unwrap_or_else(PoisonError::into_inner).next().await {
            Some((about, found)) => {
                if let Some(place) = self.outstanding.iter().position(|other| *other == about) {
                    self.outstanding.swap_remove(place);
                }
                found.ok_or(Panicked)
            }
            None => std::future::pending().await,
        }
    }
}

impl Found {
    /// Writes the finding into its place.
    pub(super) fn note(&self, facts: &mut Facts) {
        match self {
            Found::Iprev(iprev) => {
                if iprev.result == IprevResult::Pass {
                    facts.client.name.clone_from(&iprev.name);
                }
                facts.iprev.clone_from(iprev);
            }
            Found::Ptr(found) => facts.reverse_mx.ptr.clone_from(found),
            Found::SpfHelo(found) => facts.spf.helo.clone_from(found),
            Found::SpfMailFrom(found) => facts.spf.mail_from.clone_from(found),
            Found::MxMailFrom(found) => facts.reverse_mx.mail_from.clone_from(found),
            Found::MxFrom(found) => facts.reverse_mx.from.clone_from(found),
            Found::MxReplyTo(found) => facts.reverse_mx.reply_to.clone_from(found),
            Found::Helo(found) => facts.helo_check.clone_from(found),
            Found::ClientListed(found) | Found::Listed(found) => {
                for (zone, list) in found {
                    facts.block_lists.entry(zone.clone()).or_default().add(list);
                }
            }
            Found::Warmed => {}
        }
    }

    /// Whether it is about the client or its HELO, and so holds for the later transactions of the session.
    pub(super) fn is_of_session(&self) -> bool {
        matches!(self, Found::Iprev(_) | Found::Ptr(_) | Found::SpfHelo(_) | Found::Helo(_) | Found::ClientListed(_))
    }
}
