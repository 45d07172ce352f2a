//! Hands what the stages count to the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;

use crate::deliver::{Counters as Delivered, Writers};
use crate::observe::journal::Journal;
use crate::observe::log::Log;
use crate::observe::metrics::label::{
    DeliverErrorKind, DirectorySync, DnsOutcome, GreylistKey, GreylistResult, ListOutcome,
};
use crate::observe::metrics::{ListCount, Metrics, MetricsError, StateCount};
use crate::receive::{Receiver, State};

use super::connection::Generation;
use super::permits::Permits;

/// Registers the counters of the resolver, the writers, the journal and the log.
///
/// # Errors
/// A metric is not declared, which a test would show.
pub(super) fn register(
    metrics: &Metrics,
    receiver: &Receiver,
    writers: &Writers,
    journal: &Journal,
    log: Option<&Log>,
) -> Result<(), MetricsError> {
    let dns = || receiver.authenticator.clone();
    let (found, absent, timeouts, errors) = (dns(), dns(), dns(), dns());
    metrics.register_dns(DnsOutcome::Found, move || found.counters().found.load(Relaxed))?;
    metrics.register_dns(DnsOutcome::Absent, move || absent.counters().absent.load(Relaxed))?;
    metrics.register_dns(DnsOutcome::Timeout, move || timeouts.counters().timeouts.load(Relaxed))?;
    metrics.register_dns(DnsOutcome::Error, move || errors.counters().errors.load(Relaxed))?;
    let delivered = |read: fn(&Delivered) -> &AtomicU64| {
        let counters = writers.shared_counters();
        move || read(&counters).load(Relaxed)
    };
    metrics.register_counter("gatepost_deliver_messages_total", &[], delivered(|all| &all.stored))?;
    metrics.register_counter("gatepost_deliver_files_total", &[], delivered(|all| &all.files))?;
    metrics.register_counter("gatepost_deliver_bytes_total", &[], delivered(|all| &all.bytes))?;
    metrics.register_counter("gatepost_deliver_taken_back_total", &[], delivered(|all| &all.taken_back))?;
    metrics.register_counter("gatepost_deliver_left_behind_total", &[], delivered(|all| &all.left_behind))?;
    metrics.register_counter("gatepost_deliver_panics_total", &[], delivered(|all| &all.panics))?;
    metrics.register_counter("gatepost_spool_messages_total", &[], delivered(|all| &all.spooled))?;
    metrics.register_counter("gatepost_spool_bytes_total", &[], delivered(|all| &all.spooled_bytes))?;
    metrics.register_counter("gatepost_spool_leftovers_total", &[], delivered(|all| &all.leftovers))?;
    let over = "gatepost_over_quota_total";
    metrics.register_counter(over, &[("stage", "rcpt")], delivered(|all| &all.over_quota_at_rcpt))?;
    metrics.register_counter(over, &[("stage", "data")], delivered(|all| &all.over_quota_at_data))?;
    metrics.register_counter("gatepost_quota_recounts_total", &[], delivered(|all| &all.quota_recounts))?;
    metrics.register_counter("gatepost_quota_errors_total", &[], delivered(|all| &all.quota_errors))?;
    metrics.register_deliver_errors(DeliverErrorKind::Full, delivered(|all| &all.full))?;
    metrics.register_deliver_errors(DeliverErrorKind::Io, delivered(|all| &all.io))?;
    metrics.register_deliver_errors(DeliverErrorKind::Busy, delivered(|all| &all.busy))?;
    metrics.register_directory_syncs(DirectorySync::Made, delivered(|all| &all.directory_syncs))?;
    metrics.register_directory_syncs(DirectorySync::Shared, delivered(|all| &all.directory_syncs_shared))?;
    metrics.register_journal(journal)?;
    log.map_or(Ok(()), |log| metrics.register_log(log))
}

/// Registers what the bounds of the server are at.
///
/// # Errors
/// It is registered already.
pub(super) fn register_bounds(
    metrics: &Metrics,
    permits: &Arc<Permits>,
    writers: &Writers,
    receiver: &Receiver,
) -> Result<(), MetricsError> {
    let (permits, memory) = (Arc::clone(permits), Arc::clone(&receiver.memory));
    metrics.register_gauge("gatepost_stress", move || u64::from(permits.is_under_stress()))?;
    metrics.register_gauge("gatepost_message_memory_bytes", move || memory.used())?;
    let spooled = Arc::clone(writers.spooled());
    metrics.register_gauge("gatepost_spool_held_bytes", move || spooled.ledger().used())?;
    let suspect = Arc::clone(writers.suspect());
    metrics.register_gauge("gatepost_disk_suspect", move || u64::from(suspect.is_suspect()))?;
    let space = || Arc::clone(writers.space());
    let (low, bytes, inodes) = (space(), space(), space());
    metrics.register_gauge("gatepost_disk_low", move || u64::from(low.is_low()))?;
    metrics.register_gauge("gatepost_disk_free_bytes", move || bytes.bytes())?;
    metrics.register_gauge("gatepost_disk_free_inodes", move || inodes.inodes())
}

/// Registers what is remembered between messages.
///
/// # Errors
/// It is registered already.
pub(super) fn register_state(metrics: &Metrics, state: &State) -> Result<(), MetricsError> {
    for result in GreylistResult::ALL.iter().skip(1) {
        for key in GreylistKey::ALL.iter().skip(1) {
            let counters = Arc::clone(state.counters());
            metrics.register_greylist(*result, *key, move || counters.results(*result, *key))?;
        }
    }
    let (no_room, unanswered) = (Arc::clone(state.counters()), Arc::clone(state.counters()));
    metrics.register_counter("gatepost_greylist_no_room_total", &[], move || no_room.no_room())?;
    let (errors, pushed_out, all) = (state.clone(), state.clone(), state.clone());
    let failures = move || errors.errors().saturating_add(unanswered.unanswered());
    metrics.register_counter("gatepost_state_errors_total", &[], failures)?;
    metrics.register_counter("gatepost_state_pushed_out_total", &[], move || pushed_out.pushed_out())?;
    metrics.register_state(move || StateCount { up: !all.is_failing(), entries: all.entries() })
}

/// Registers the block lists that are in force, whichever those are when somebody asks.
///
/// # Errors
/// They are registered already.
pub(super) fn register_block_lists(
    metrics: &Metrics,
    generation: &Arc<ArcSwap<Generation>>,
) -> Result<(), MetricsError> {
    let generation = Arc::clone(generation);
    metrics.register_block_lists(move || {
        let generation = generation.load();
        let lists = generation.receiver.authenticator.block_lists().iter();
        let count = lists.map(|list| {
            let counters = list.counters();
            let queries = ListOutcome::ALL.iter().map(|outcome| {
                let counter = match outcome {
                    ListOutcome::Listed => &counters.listed,
                    ListOutcome::Unlisted => &counters.unlisted,
                    ListOutcome::Unmapped => &counters.unmapped,
                    ListOutcome::Refused => &counters.refused,
                    ListOutcome::Error => &counters.errors,
                };
                (*outcome, counter.load(Relaxed))
            });
            ListCount { zone: list.zone().to_owned(), up: list.is_up(), queries: queries.collect() }
        });
        count.collect()
    })
}
