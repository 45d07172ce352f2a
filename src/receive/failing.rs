//! Rules whose conditions could not be run: told in the log, but not with every message.

use std::time::Instant;

use crate::facts::record::Record;
use crate::facts::word::Outcome;
use crate::observe::seldom::Seldom;

static TOLD: Seldom = Seldom::once();

/// Tells of the rules of this record that failed, once a minute at most. Each is counted in `gatepost_rules_total`.
pub(super) fn tell(record: &Record) {
    let failed = || record.rules.iter().filter(|rule| rule.outcome == Outcome::Error);
    if failed().next().is_none() {
        return;
    }
    if let Some(messages) = TOLD.due(Instant::now()) {
        let rules = failed().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            %rules,
            policy = %record.policy.file,
            reference = %record.reference,
            messages,
            "conditions of rules could not be run (a division by zero, a sum too large); the rules did nothing, the message went on"
        );
    }
}
