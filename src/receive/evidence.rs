//! Gathering evidence: look-ups make progress while the client talks, and what a stage needs is waited for.

use std::future::pending;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::future::{FutureExt, join};
use jiff::Timestamp;

use crate::authenticate::Authenticator;
use crate::authenticate::body::Signed;
use crate::facts::table::FactSet;
use crate::facts::{ListKind, ReverseMx};
use crate::message::content::Content;
use crate::smtp::reply::{self, Reply};

use super::lookups::{About, Found, Lookups, Panicked};
use super::transaction::Transaction;
use super::{Carrier, Inquiry, reading};

/// Starts asking lists about a client: about its address, and about its reverse name where there are lists of domains.
pub(super) fn start_client_lists(lookups: &mut Lookups, authenticator: &Authenticator, ip: IpAddr) {
    if authenticator.has_block_lists(ListKind::Address) {
        let authenticator = authenticator.clone();
        let asked = async move { vec![Found::ClientListed(authenticator.address_lists(ip).await)] };
        lookups.start(About::Lists(ListKind::Address), asked);
    }
    if authenticator.has_block_lists(ListKind::Domain) {
        let authenticator = authenticator.clone();
        lookups.start(About::Lists(ListKind::Domain), async move {
            // the other look-up for the client asks the same: the resolver asks once
            let name = authenticator.iprev(ip).await.name;
            vec![Found::ClientListed(authenticator.domain_lists(&[&name]).await)]
        });
    }
}

impl Inquiry {
    /// Whether look-ups are under way that [`Inquiry::progress`] would bring further.
    pub fn is_looking(&self) -> bool {
        let in_transaction = self.transaction.as_ref().is_some_and(|transaction| !transaction.lookups.is_idle());
        in_transaction || !self.client_lookups.is_idle() || !self.helo_lookups.is_idle()
    }

    /// Waits for the next finding and notes it; for ever where nothing is under way. Dropping the future loses nothing.
    pub async fn progress(&mut self) {
        let Inquiry { client_lookups, helo_lookups, transaction, .. } = self;
        let in_transaction = async {
            match transaction {
                Some(transaction) => transaction.lookups.next().await,
                None => pending().await,
            }
        };
        let (found, of_session) = tokio::select! {
            found = client_lookups.next() => (found, true),
            found = helo_lookups.next() => (found, true),
            found = in_transaction => (found, false),
        };
        self.panicked |= of_session && found.is_err();
        self.note(found);
    }

    /// Waits for the look-ups that these facts come from.
    pub(super) async fn until(&mut self, needs: FactSet) {
        let began = Instant::now();
        while self.awaits(needs) {
            self.progress().await;
        }
        self.waited(began);
    }

    fn awaits(&self, needs: FactSet) -> bool {
        let in_transaction = self.transaction.as_ref().is_some_and(|transaction| transaction.lookups.awaits(needs));
        in_transaction || self.client_lookups.awaits(needs) || self.helo_lookups.awaits(needs)
    }

    fn waited(&mut self, since: Instant) {
        if let Some(transaction) = &mut self.transaction {
            transaction.waited += since.elapsed();
        }
    }

    /// Writes findings into the session's facts and the transaction's.
    pub(super) fn note(&mut self, found: Result<Vec<Found>, Panicked>) {
        let Ok(found) = found else {
            tracing::error!("a check panicked: this message is answered with 451");
            self.receiver.metrics.panic();
            if let Some(transaction) = &mut self.transaction {
                transaction.panicked = true;
            }
            return;
        };
        for found in &found {
            if found.is_of_session() {
                found.note(&mut self.session);
            }
            if let Found::Iprev(iprev) = found {
                let (ip, lookups) = (self.session.client.ip, &mut self.client_lookups);
                start_reverse_mx(&self.authenticator, ip, lookups, About::Ptr, &iprev.name, Found::Ptr);
            }
            if let Some(transaction) = &mut self.transaction {
                found.note(&mut transaction.facts);
            }
        }
    }

    /// All evidence about the message: signatures and chain beside the look-ups that are still under way, then DMARC, which
    /// weighs them.
    ///
    /// # Errors
    /// A check panicked.
    pub(super) async fn evidence(&mut self, signed: &Signed) -> Result<(), Panicked> {
        let began = Instant::now();
        let of_message = self.transaction.as_ref().map(|transaction| transaction.authenticator.clone());
        let Some(authenticator) = of_message else { return Err(Panicked) };
        let moment = self.moment.as_ref().map_or_else(Timestamp::now, |moment| moment.timestamp());
        let now = u64::try_from(moment.as_second()).unwrap_or_default();
        let checks = async { join(authenticator.dkim(signed, now), authenticator.arc(signed, now)).await };
        let (checked, ()) = join(AssertUnwindSafe(checks).catch_unwind(), self.settle()).await;
        match (checked, &mut self.transaction) {
            (Ok((dkim, arc)), Some(transaction)) => {
                transaction.facts.dkim = dkim;
                transaction.facts.arc = arc;
                let Transaction { author, reverse_path, facts, .. } = &**transaction;
                let weighing = authenticator.dmarc(author, &facts.spf, reverse_path, &facts.dkim);
                match AssertUnwindSafe(weighing).catch_unwind().await {
                    Ok(dmarc) => transaction.facts.dmarc = dmarc,
                    Err(_) => self.note(Err(Panicked)),
                }
            }
            _ => self.note(Err(Panicked)),
        }
        self.waited(began);
        match &self.transaction {
            Some(transaction) if !transaction.panicked => Ok(()),
            _ => Err(Panicked),
        }
    }

    /// Looks at what the message is made of, where a rule that is to be judged reads it; a rehearsal tells it in any case.
    ///
    /// # Errors
    /// The deferral: looking panicked, or its turn did not come.
    pub(super) async fn looked_through(&mut self, content: Content) -> Result<Content, Reply> {
        let is_read = self.transaction.as_ref().is_some_and(|transaction| transaction.reads_at_data("mime"));
        if !is_read && !matches!(self.receiver.carrier, Carrier::Nowhere) {
            return Ok(content);
        }
        let began = Instant::now();
        let looked = reading::mime(content).await;
        self.waited(began);
        match (looked, &mut self.transaction) {
            (Ok(Some((content, mime))), Some(transaction)) => {
                transaction.facts.mime = Some(mime);
                Ok(content)
            }
            (Err(panicked), _) => {
                self.note(Err(panicked));
                Err(reply::internal_error())
            }
            (Ok(_), _) => {
                tracing::error!(
                    "the parts of a message could not be looked at, or not in time: it is answered with 451"
                );
                Err(reply::internal_error())
            }
        }
    }

    /// Waits for all look-ups that are under way.
    pub async fn settle(&mut self) {
        while self.is_looking() {
            self.progress().await;
        }
    }
}

/// Starts reverse MX for a domain; an empty one has nothing to look up.
pub(super) fn start_reverse_mx(
    authenticator: &Authenticator,
    ip: IpAddr,
    lookups: &mut Lookups,
    about: About,
    domain: &str,
    found: fn(ReverseMx) -> Found,
) {
    if domain.is_empty() {
        return;
    }
    let (authenticator, domain) = (authenticator.clone(), domain.to_owned());
    lookups.start(about, async move { vec![found(authenticator.reverse_mx(&domain, ip).await)] });
}

/// Starts asking lists of domains about some names.
pub(super) fn start_domain_lists(authenticator: &Authenticator, lookups: &mut Lookups, names: Vec<String>) {
    if !authenticator.has_block_lists(ListKind::Domain) {
        return;
    }
    let authenticator = authenticator.clone();
    lookups.start(About::Lists(ListKind::Domain), async move {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        vec![Found::Listed(authenticator.domain_lists(&names).await)]
    });
}
