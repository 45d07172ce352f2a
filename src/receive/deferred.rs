//! Messages that are deferred because all hold, or their network holds, what they may: told in the log, but not each, since whoever
//! sends them says how many there are.

use std::time::Instant;

use crate::observe::seldom::Seldom;

static TOLD: Seldom = Seldom::once();

/// Tells of one, once a minute at most, and how many there were since the last line. Each has its record, and its reply is counted.
pub(super) fn tell(cause: &str, reference: &str) {
    if let Some(messages) = TOLD.due(Instant::now()) {
        tracing::warn!(
            error = %cause,
            %reference,
            messages,
            "messages for which there is no room are deferred (452); so many since the last such line, of which there is one a minute at most"
        );
    }
}
