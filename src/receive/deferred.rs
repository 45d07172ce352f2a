//! Messages that are deferred because all hold, or their network holds, what they may: told in the log, but not each, since whoever
//! sends them says how many there are.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the log is silent about them after it has told of one.
const PAUSE: Duration = Duration::from_secs(60);

/// When the log was last told, and how many there were since.
static TOLD: Mutex<(Option<Instant>, u64)> = Mutex::new((None, 0));

/// Tells of one, once a minute at most, and how many there were since the last line. Each has its record, and its reply is counted.
pub(super) fn tell(cause: &str, reference: &str) {
    if let Some(messages) = due(Instant::now()) {
        tracing::warn!(
            error = %cause,
            %reference,
            messages,
            "messages for which there is no room are deferred (452); so many since the last such line, of which there is one a minute at most"
        );
    }
}

fn due(now: Instant) -> Option<u64> {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, count) = &mut *told;
    *count = count.saturating_add(1);
    if at.is_some_and(|at| now.duration_since(at) < PAUSE) {
        return None;
    }
    *at = Some(now);
    Some(std::mem::take(count))
}
