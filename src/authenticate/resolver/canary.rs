//! The canary: a name that is asked to see whether our own servers work, at every suspicion and every so often.

use futures_util::StreamExt;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::timeout;

use super::answer::Read;
use super::{Answer, AuthenticateError, Resolver, Shared, Trouble, options};

/// A canary that fails is asked once more before it is believed.
const CANARY_ATTEMPTS: usize = 2;
/// How many pauses pass before the canary is asked although nothing is suspected.
const QUIET: u32 = 30;

impl Resolver {
    /// Whether the servers work: the canary is answered, if only by there being no such record.
    ///
    /// # Errors
    /// Names the servers.
    pub async fn reachable(&self) -> Result<(), AuthenticateError> {
        let shared = &*self.shared;
        let query = match &shared.canary_name {
            Some(name) => Query::query(name.0.clone(), RecordType::A),
            None => Query::query(Name::root(), RecordType::NS),
        };
        shared.canary_upstream.heard_no();
        let mut responses = shared.canary.lookup(query, options::of_request());
        let read: Read<()> = match timeout(shared.probe, responses.next()).await {
            Ok(response) => Read::responded(response, |_| Some(())),
            Err(_) => Read::timed_out(),
        };
        match read.answer {
            Answer::Trouble(Trouble::Refusal) => Err(AuthenticateError::Refusing(shared.named.clone())),
            Answer::Trouble(_) if shared.canary_upstream.heard_no() => {
                Err(AuthenticateError::Refusing(shared.named.clone()))
            }
            Answer::Trouble(_) => Err(AuthenticateError::Unreachable(shared.named.clone())),
            Answer::Found(_) | Answer::NoData | Answer::NxDomain => Ok(()),
        }
    }

    /// Asks the canary now, at every suspicion and every so often, for ever; says what changes, the first finding included.
    pub async fn watch(&self, mut changed: impl FnMut(Result<(), AuthenticateError>)) {
        let Shared { health, pause, .. } = &*self.shared;
        let mut known = None;
        loop {
            let mut found = self.reachable().await;
            for _ in 1..CANARY_ATTEMPTS {
                if found.is_err() {
                    found = self.reachable().await;
                }
            }
            health.set_broken(found.is_err());
            if known != Some(found.is_ok()) {
                known = Some(found.is_ok());
                changed(found);
            }
            tokio::time::sleep(*pause).await;
            if known == Some(true) {
                let _ = timeout(*pause * QUIET, health.suspicion()).await;
            }
        }
    }
}
