//! Block lists: from the configuration to what gathers the evidence, probed at start, every ten minutes and after a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::config::{BlockList, Config, ListCode};
use crate::receive::{Code, ListSetup};

use super::generation::Lasting;

/// How often lists are probed.
const PROBING: Duration = Duration::from_secs(600);
/// How often those are probed that gave reason to doubt.
const DOUBTING: Duration = Duration::from_secs(15);

/// The lists of a configuration.
pub fn block_lists(config: &Config) -> Vec<ListSetup> {
    let code =
        |ListCode { address, mask, name }: &ListCode| Code { address: *address, mask: *mask, name: name.clone() };
    let setup = |list: &BlockList| ListSetup {
        zone: list.zone.clone(),
        kind: list.kind,
        codes: list.codes.as_ref().map(|codes| codes.iter().map(code).collect()),
        listed_probe: list.listed_probe.clone(),
        unlisted_probe: list.unlisted_probe.clone(),
    };
    config.block_lists.iter().map(setup).collect()
}

/// Probes the lists that are in force.
pub(super) async fn watch(lasting: Arc<Lasting>) {
    let mut due = tokio::time::interval(PROBING);
    let mut doubts = tokio::time::interval_at(Instant::now() + DOUBTING, DOUBTING);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    doubts.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let probes_all = tokio::select! {
            biased;
            () = lasting.lists_due.notified() => true,
            _ = due.tick() => true,
            _ = doubts.tick() => false,
        };
        let authenticator = lasting.generation.load().receiver.authenticator.clone();
        if probes_all {
            authenticator.probe_block_lists().await;
        } else {
            authenticator.probe_doubtful_block_lists().await;
        }
    }
}
