//! Gathering evidence: look-ups make progress while the client talks, and what a stage needs is waited for.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::future::{FutureExt, join};
use jiff::Timestamp;

use crate::authenticate::body::Signed;
use crate::facts::ReverseMx;
use crate::facts::table::FactSet;

use super::Inquiry;
use super::lookups::{About, Found, Lookups, Panicked};
use super::transaction::Transaction;

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
            if let Some(transaction) = &mut self.transaction {
                found.note(&mut transaction.facts);
            }
        }
    }

    /// Starts reverse MX for a domain; an empty one has nothing to look up.
    pub(super) fn start_reverse_mx(
        &self,
        lookups: &mut Lookups,
        about: About,
        domain: String,
        found: fn(ReverseMx) -> Found,
    ) {
        if domain.is_empty() {
            return;
        }
        let (authenticator, ip) = (self.receiver.authenticator.clone(), self.session.client.ip);
        lookups.start(about, async move { vec![found(authenticator.reverse_mx(&domain, ip).await)] });
    }

    /// All evidence about the message: signatures and chain beside the look-ups that are still under way, then DMARC, which
    /// weighs them.
    ///
    /// # Errors
    /// A check panicked.
    pub(super) async fn evidence(&mut self, signed: &Signed) -> Result<(), Panicked> {
        let began = Instant::now();
        let authenticator = self.receiver.authenticator.clone();
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
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

    /// Waits for all look-ups that are under way.
    pub async fn settle(&mut self) {
        while self.is_looking() {
            self.progress().await;
        }
    }
}
