//! `gatepost policy check`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::{Exit, MOST_WARNINGS, complain, counted, print, tell};
use crate::config::{Config, list_reader, policy_source, redirect_problems, zones_of};
use crate::observe::escape::shown;
use crate::policy::{Policy, Zones};
use crate::problem::{Problem, Problems, Source};

/// Characters of a policy's description that are shown.
const DESCRIPTION: usize = 1_000;

/// Check a policy: its rules, lists and tests
///
/// Every rule's condition, reply and names, every list and its file, and that its tests pass. Tells all problems at once,
/// each with its place and how to mend it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost policy check policies/strict.toml
  gatepost policy check policies/strict.toml --config gatepost.toml")]
pub struct Args {
    /// The policy
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A configuration: it is checked too, has the block lists that the policy names, and tells whom it decides for
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    let source = match source(&args.file) {
        Ok(source) => source,
        Err(exit) => return exit.into(),
    };
    let Around { config, own: mut problems, others } = configuration(args.config.as_deref(), &source);
    if let Some(config) = &config {
        problems.extend(redirect_problems(&source, &config.directory));
    }
    let loaded = Policy::load_with(&zones(args.config.as_deref()), source, &mut list_reader(&args.file));
    let policy = match loaded {
        Ok(policy) if problems.is_empty() && others.is_empty() => policy,
        loaded => {
            problems.merge(loaded.err().unwrap_or_default());
            let exit = if others.is_empty() { Exit::Failed } else { Exit::Usage };
            problems.merge(others);
            tell(&problems);
            return exit.into();
        }
    };
    for warning in policy.warnings().headlines(MOST_WARNINGS) {
        complain(&format!("warning: {warning}"));
    }
    let (rules, tests) = (policy.rules().len(), policy.run_tests().tests.len());
    let (rules, tests) = (counted(rules, "rule", "rules"), counted(tests, "test passes", "tests pass"));
    print(&format!("{}: fine ({rules}, {tests})\n", args.file.display()));
    if !policy.description().is_empty() {
        print(&format!("{}\n", shown(policy.description(), DESCRIPTION)));
    }
    if let (Some(config), Some(path)) = (config, &args.config) {
        print(&decides_for(&config, &policy, path));
    }
    Exit::Fine.into()
}

/// The policy's text; that it cannot be read is told.
pub(super) fn source(file: &Path) -> Result<Arc<Source>, Exit> {
    policy_source(file).map_err(|problem| {
        complain(&format!("{}: {}", file.display(), problem.cause));
        Exit::Usage
    })
}

/// The configuration that a policy is to serve in.
#[derive(Default)]
pub(super) struct Around {
    /// `None` where there is none, or anything is wrong with it.
    pub config: Option<Config>,
    /// What it finds wrong with this policy.
    pub own: Problems,
    /// What is wrong with its other files.
    pub others: Problems,
}

/// Reads the configuration of `--config`, if there is one.
pub(super) fn configuration(file: Option<&Path>, policy: &Arc<Source>) -> Around {
    let Some(file) = file else { return Around::default() };
    let problems = match Config::load(file) {
        Ok(config) => return Around { config: Some(config), ..Around::default() },
        Err(problems) => problems,
    };
    let (mut own, mut others) = (Problems::new(), Problems::new());
    for problem in problems.iter() {
        // the same file may be named in two ways, so that its text tells
        if problem.source.as_ref().is_some_and(|source| source.text == policy.text) {
            own.push(Problem { source: Some(Arc::clone(policy)), ..problem.clone() });
        } else {
            others.push(problem.clone());
        }
    }
    Around { config: None, own, others }
}

/// The block lists that the policy may name: those of the configuration, also where this very policy is what is wrong with it.
pub(super) fn zones(config: Option<&Path>) -> Zones {
    config.map(zones_of).unwrap_or_default()
}

fn decides_for(config: &Config, policy: &Policy, path: &Path) -> String {
    let digest = policy.record().sha256;
    let users: Vec<String> = config
        .policies
        .users()
        .into_iter()
        .filter(|(_, used)| used.record().sha256 == digest)
        .map(|(user, _)| user)
        .collect();
    match users.as_slice() {
        [] => format!("nobody uses it in {}\n", path.display()),
        users => format!("it decides for {}\n", users.join(", ")),
    }
}
