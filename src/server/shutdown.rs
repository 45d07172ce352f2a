//! The end: transactions in flight are finished, the rest hear 421, and after 30 seconds nobody waits any longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long transactions in flight may take to finish.
pub const DRAIN: Duration = Duration::from_secs(30);

/// Tells every connection that the server is going, and knows when the last has gone.
#[derive(Clone)]
pub struct Shutdown {
    going: watch::Sender<bool>,
    open: Arc<Open>,
}

struct Open {
    connections: AtomicUsize,
    gone: Notify,
}

/// Held by a connection as long as it is open.
pub struct Presence {
    going: watch::Receiver<bool>,
    open: Arc<Open>,
}

impl Default for Shutdown {
    fn default() -> Self {
        let open = Open { connections: AtomicUsize::new(0), gone: Notify::new() };
        Shutdown { going: watch::Sender::new(false), open: Arc::new(open) }
    }
}

impl Shutdown {
    /// A connection that must be waited for.
    pub fn enter(&self) -> Presence {
        self.open.connections.fetch_add(1, Ordering::SeqCst);
        Presence { going: self.going.subscribe(), open: Arc::clone(&self.open) }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.connections.load(Ordering::SeqCst)
    }

    /// Whether the server is going.
    pub fn is_going(&self) -> bool {
        *self.going.borrow()
    }

    /// Tells everyone, and waits for the last, at most [`DRAIN`]; gives how many had to be cut off.
    pub async fn drain(&self) -> usize {
        self.going.send_replace(true);
        self.wait(DRAIN).await
    }

    /// Waits for the last, telling nobody; gives how many are there after that time.
    pub async fn wait(&self, most: Duration) -> usize {
        let all_gone = async {
            loop {
                let gone = self.open.gone.notified();
                if self.open() == 0 {
                    return;
                }
                gone.await;
            }
        };
        match timeout(most, all_gone).await {
            Ok(()) => 0,
            Err(_) => self.open(),
        }
    }
}

impl Presence {
    /// Whether the server is going.
    pub fn is_going(&self) -> bool {
        *self.going.borrow()
    }

    /// Waits until the server is going.
    pub async fn going(&mut self) {
        // the sender lives as long as the server: an error would mean that it is gone already
        let _ = self.going.wait_for(|going| *going).await;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if self.open.connections.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.open.gone.notify_waiters();
        }
    }
}
