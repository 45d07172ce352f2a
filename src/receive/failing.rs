//! Rules whose conditions could not be run: told in the log, but not with every message.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::facts::record::Record;
use crate::facts::word::Outcome;

/// How long the log is silent about them after it has told of some.
const PAUSE: Duration = Duration::from_secs(60);

/// When the log was last told of such a rule.
static TOLD: Mutex<Option<Instant>> = Mutex::new(None);

/// Tells of the rules of this record that failed, once a minute at most. Each is counted in `gatepost_rules_total`.
pub(super) fn tell(record: &Record) {
    let failed = || record.rules.iter().filter(|rule| rule.outcome == Outcome::Error);
    if failed().next().is_none() || !is_due(Instant::now()) {
        return;
    }
    let rules = failed().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", ");
    tracing::warn!(
        %rules,
        policy = %record.policy.file,
        reference = %record.reference,
        "conditions of rules could not be run (a division by zero, a sum too large); the rules did nothing, the message went on"
    );
}

fn is_due(now: Instant) -> bool {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let due = told.is_none_or(|told| now.duration_since(told) >= PAUSE);
    if due {
        *told = Some(now);
    }
    due
}
