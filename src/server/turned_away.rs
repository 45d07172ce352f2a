//! Connections that there is no place for: 421 at once, not silence, and never more work than that.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::permits::Denied;
use crate::observe::metrics::label::ConnectionOutcome;
use crate::receive::{Inquiry, Receiver};
use crate::smtp::reply::{self, Reply};

/// Of those that come within a second, so many have a record: a flood must not drown the journal. The metric counts all.
const RECORDS: u32 = 10;

/// Turns connections away.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    /// When this second began, and how many records it has.
    recorded: Mutex<Option<(Instant, u32)>>,
}

impl TurnedAway {
    /// Nothing is waited for: the socket's buffer takes one line, or the client gets none.
    pub(super) fn refuse(&self, stream: TcpStream, client: SocketAddr, denied: Denied, receiver: &Arc<Receiver>) {
        let mut line = Vec::new();
        self.refusal(client, denied, receiver).write_to(&mut line);
        let _ = stream.into_std().and_then(|mut stream| stream.write(&line));
    }

    /// What the client is told, counted and recorded.
    pub(super) fn refusal(&self, client: SocketAddr, denied: Denied, receiver: &Arc<Receiver>) -> Reply {
        let (reply, outcome) = match denied {
            Denied::Busy => (reply::busy(), ConnectionOutcome::Busy),
            Denied::Files => (reply::busy(), ConnectionOutcome::Files),
            Denied::Share => (reply::too_many_from_address(), ConnectionOutcome::Share),
            Denied::Network => (reply::too_many_from_network(), ConnectionOutcome::Network),
            Denied::Harvest => (reply::too_many_unknown(), ConnectionOutcome::Harvest),
        };
        receiver.metrics.connection(outcome);
        if self.may_record() { Inquiry::connect(Arc::clone(receiver), client).refused_connection(reply) } else { reply }
    }

    fn may_record(&self) -> bool {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) =
            recorded.filter(|(began, _)| began.elapsed() < Duration::from_secs(1)).unwrap_or((Instant::now(), 0));
        *recorded = Some((began, count.saturating_add(1)));
        count < RECORDS
    }
}
