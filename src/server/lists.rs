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
/// How often it is asked whether those are to be probed again that did not answer.
const LISTENING: Duration = Duration::from_secs(1);

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
    let mut silences = tokio::time::interval_at(Instant::now() + LISTENING, LISTENING);
    for interval in [&mut due, &mut doubts, &mut silences] {
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let which = tokio::select! {
            biased;
            () = lasting.lists_due.notified() => Which::All,
            _ = due.tick() => Which::All,
            _ = doubts.tick() => Which::Doubtful,
            _ = silences.tick() => Which::Unheard,
        };
        let authenticator = lasting.generation.load().receiver.authenticator.clone();
        match which {
            Which::All => authenticator.probe_block_lists().await,
            Which::Doubtful => authenticator.probe_doubtful_block_lists().await,
            Which::Unheard => authenticator.probe_unheard_block_lists().await,
        }
    }
}

/// Which lists are probed.
enum Which {
    All,
    Doubtful,
    Unheard,
}
