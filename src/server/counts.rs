//! Hands what the stages count to the metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::deliver::Writers;
use crate::observe::journal::Journal;
use crate::observe::metrics::label::{DeliverErrorKind, DnsOutcome};
use crate::observe::metrics::{Metrics, MetricsError};
use crate::receive::Receiver;

/// Registers the counters of the resolver, the writers and the journal.
///
/// # Errors
/// A metric is not declared, which a test would show.
pub(super) fn register(
    metrics: &Metrics,
    receiver: &Arc<Receiver>,
    writers: &Writers,
    journal: &Journal,
) -> Result<(), MetricsError> {
    let dns = receiver.authenticator.clone();
    metrics.register_dns(DnsOutcome::Answered, move || {
        dns.counters().found.load(Relaxed).saturating_add(dns.counters().absent.load(Relaxed))
    })?;
    let dns = receiver.authenticator.clone();
    metrics.register_dns(DnsOutcome::Timeout, move || dns.counters().timeouts.load(Relaxed))?;
    let dns = receiver.authenticator.clone();
    metrics.register_dns(DnsOutcome::Error, move || dns.counters().errors.load(Relaxed))?;

    let delivered = writers.shared_counters();
    metrics.register_counter("gatepost_deliver_files_total", &[], move || delivered.files.load(Relaxed))?;
    let delivered = writers.shared_counters();
    metrics.register_counter("gatepost_deliver_bytes_total", &[], move || delivered.bytes.load(Relaxed))?;
    let delivered = writers.shared_counters();
    metrics.register_deliver_errors(DeliverErrorKind::Full, move || delivered.full.load(Relaxed))?;
    let delivered = writers.shared_counters();
    metrics.register_deliver_errors(DeliverErrorKind::Io, move || delivered.io.load(Relaxed))?;
    let delivered = writers.shared_counters();
    metrics.register_deliver_errors(DeliverErrorKind::Busy, move || delivered.busy.load(Relaxed))?;
    metrics.register_journal(journal)
}
