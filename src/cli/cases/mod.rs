//! `gatepost policy test --cases`: messages with their envelope and DNS, brought through the stages that serve.
//!
//! ```text
//! DIR/NAME/{case.toml, message.eml, zone.toml} -> DNS on loopback -> Inquiry -> record -> what was expected?
//! ```

mod case;
mod expect;
mod play;
mod remembered;
mod zone;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::progress::Progress;
use crate::config::Config;
use crate::facts::record::RuleRecord;
use crate::policy::Policy;
use crate::problem::{Problem, Problems};

use case::Case;
pub use expect::Difference;

/// The most cases of one folder.
const MOST_CASES: usize = 10_000;
/// Cases that run side by side, each with a DNS server of its own.
const SIDE_BY_SIDE: usize = 16;
/// How long one case may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// What came of one case.
pub struct Outcome {
    /// The name of its folder.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// What was expected and is otherwise; empty where the case passes.
    pub differences: Vec<Difference>,
    /// What each rule did, for the coverage.
    pub rules: Vec<RuleRecord>,
}

/// What judges all cases.
pub struct Bench {
    /// The policy that is tested: it judges every recipient.
    pub policy: Arc<Policy>,
    /// Whose mailboxes, name, block lists and limits; without one every recipient's domain is local and takes all mail.
    pub config: Option<Config>,
}

/// Reads all cases of a folder, in the order of their names.
///
/// # Errors
/// Everything that is wrong with any of them, or that there are none.
pub fn read(directory: &Path, bench: &Bench) -> Result<Vec<Case>, Problems> {
    let mut problems = Problems::new();
    let mut cases = Vec::new();
    for folder in folders(directory)? {
        match Case::read(&folder, bench) {
            Ok(case) => cases.push(case),
            Err(found) => problems.extend(found),
        }
    }
    problems.into_result()?;
    Ok(cases)
}

fn folders(directory: &Path) -> Result<Vec<PathBuf>, Problems> {
    let told = |cause: String| {
        let mend = "name a folder with a folder for each case: DIR/NAME/case.toml";
        Problems::from(Problem::with_file(&directory.display().to_string(), "", cause, mend))
    };
    let entries = std::fs::read_dir(directory).map_err(|error| told(format!("the cases cannot be read: {error}")))?;
    let mut folders = Vec::new();
    for entry in entries.take(MOST_CASES.saturating_mul(2)) {
        let path = entry.map_err(|error| told(format!("the cases cannot be read: {error}")))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    match folders.len() {
        0 => Err(told("there are no cases in this folder".to_owned())),
        n if n > MOST_CASES => Err(told(format!("a folder has at most {MOST_CASES} cases"))),
        _ => Ok(folders),
    }
}

/// Runs the cases side by side; what comes of them is in their order.
///
/// # Errors
/// Why none can be run, in words.
pub fn run(cases: Vec<Case>, bench: &Bench) -> Result<Vec<Outcome>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut progress = Progress::of_things(cases.len() as u64, "cases");
    runtime.block_on(async {
        let playing = cases.into_iter().enumerate().map(|(place, case)| async move {
            let outcome = tokio::time::timeout(DEADLINE, play::play(&case, bench)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(format!("it took longer than {} s", DEADLINE.as_secs())));
            (place, finished(case, outcome))
        });
        let mut playing = futures_util::stream::iter(playing).buffer_unordered(SIDE_BY_SIDE);
        let mut outcomes = Vec::new();
        while let Some(outcome) = playing.next().await {
            progress.advance(1);
            outcomes.push(outcome);
        }
        outcomes.sort_by_key(|(place, _)| *place);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    })
}

fn finished(case: Case, played: Result<crate::facts::record::Record, String>) -> Outcome {
    let Case { name, description, expect, .. } = case;
    match played {
        Ok(record) => Outcome { differences: expect.differences(&record), rules: record.rules, name, description },
        Err(cause) => {
            let differences = vec![Difference { what: "the case".into(), expected: "an end".into(), got: cause }];
            Outcome { name, description, differences, rules: Vec::new() }
        }
    }
}
