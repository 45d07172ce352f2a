//! Whether our own DNS servers work: what tells an outage of ours from a stranger's broken zone.
//!
//! Look-ups that fail or drag on raise a suspicion, and nothing more: any sender can point us at name servers that never
//! answer. A suspicion has the canary asked (see [`super::Resolver::watch`]), and only its failing makes an outage. During one
//! every look-up that the cache can't answer, those under way too, ends at once.

use std::time::Duration;

use tokio::sync::{Notify, watch};

/// An answer that takes longer makes us look whether the servers are there at all.
pub(super) const SLOW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Health {
    broken: watch::Sender<bool>,
    suspicion: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Health { broken: watch::Sender::new(false), suspicion: Notify::new() }
    }
}

impl Health {
    /// Whether the servers are known to be out of order.
    pub fn is_broken(&self) -> bool {
        *self.broken.borrow()
    }

    /// Says how it is; true where that is news.
    pub fn set_broken(&self, broken: bool) -> bool {
        self.broken.send_if_modified(|was| std::mem::replace(was, broken) != broken)
    }

    /// Waits until the servers are known to be out of order.
    pub async fn breaks(&self) {
        let mut broken = self.broken.subscribe();
        if broken.wait_for(|broken| *broken).await.is_err() {
            // the sender is `self`: it can't be gone
            std::future::pending().await
        }
    }

    /// Something went wrong that may be the servers' fault.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Waits for a suspicion; one that was raised meanwhile counts.
    pub async fn suspicion(&self) {
        self.suspicion.notified().await;
    }
}
