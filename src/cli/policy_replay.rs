//! `gatepost policy replay`

mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;

use super::lines::{Lines, configuration_for, parse_since};
use super::policy_check::source;
use super::{Exit, colour, complain, print, tell};
use crate::config::{Config, list_reader, zones_of};
use crate::policy::replay::{Filter, Replay, Report};
use crate::policy::{Policy, Zones};

/// Tell what a policy would have done to the mail of the journal
///
/// Judges every recorded transaction again, by the facts that were recorded, and tells which decisions would change,
/// from what to what, by which rule. Nothing is looked up and nothing is sent. NEW stands for the policy that it is to replace:
/// records that other policies judged are counted and left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost policy replay new.toml --since 30d --config /etc/gatepost/gatepost.toml
  gatepost policy replay new.toml --against old.toml /var/lib/gatepost/journal/2026-11-2*.jsonl
  gatepost policy replay new.toml --json | jq '.changes[] | {from, to, count}'")]
pub struct Args {
    /// The policy to try out
    #[arg(value_name = "NEW")]
    pub file: PathBuf,
    /// Files of the journal [default: the whole journal of the configuration]
    #[arg(value_name = "FILES", conflicts_with = "since")]
    pub files: Vec<PathBuf>,
    /// Compare with what this policy would have decided, not with what was decided
    #[arg(long, value_name = "OLD")]
    pub against: Option<PathBuf>,
    /// Only what is not older: 30d, 12h, or a day such as 2026-11-25 (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<Timestamp>,
    /// The policy that NEW is to replace, as records name it
    /// [default: the configuration's file of that name, else its default]
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub replaces: Option<String>,
    /// Take the records of all policies, not only of the one that NEW is to replace
    #[arg(long)]
    pub all: bool,
    /// The configuration that names the journal, the policies and the block lists [default: gatepost.toml here]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    match replay(args) {
        Ok(()) => Exit::Fine.into(),
        Err(exit) => exit.into(),
    }
}

/// What a report is about.
struct About {
    /// What is compared with; empty: what was decided.
    against: String,
    /// The policies whose records count; empty: all.
    policies: Vec<String>,
    /// Tests of the new policy that fail: it could not be loaded like this.
    failing_tests: usize,
    /// How many files were read.
    files: usize,
}

fn replay(args: &Args) -> Result<(), Exit> {
    let config = configuration_for(args.config.as_deref(), &args.files)?;
    let zones = zones(args.config.as_deref(), config.as_ref());
    let new = load(&args.file, &zones)?;
    let against = args.against.as_ref().map(|file| load(file, &zones)).transpose()?;
    let lines = Lines::find(&args.files, args.since, config.as_ref())?;
    let policies = replaced(args, config.as_ref());
    let filter = Filter { policies: policies.clone(), since: lines.since_text() };
    let replay = Replay::new(&new, against.as_ref(), filter);
    let (parts, skipped) = lines.each(|| replay.report(), |line, report| replay.take(line, report))?;
    let mut report = replay.report();
    parts.into_iter().for_each(|part| report.merge(part));
    report.skipped += skipped;
    let about = About {
        against: args.against.as_ref().map(|file| file.display().to_string()).unwrap_or_default(),
        policies,
        failing_tests: new.run_tests().tests.iter().filter(|test| !test.passed).count(),
        files: lines.files.len(),
    };
    show(args, &about, &report)
}

fn show(args: &Args, about: &About, report: &Report) -> Result<(), Exit> {
    if !args.json {
        print(&story::tell(about, report, colour()));
        return Ok(());
    }
    let json = serde_json::to_string_pretty(&story::json(about, report)).map_err(|error| {
        complain(&format!("the report cannot be printed: {error}"));
        Exit::Failed
    })?;
    print(&(json + "\n"));
    Ok(())
}

/// A policy whose tests may fail: it is still being worked on.
fn load(file: &Path, zones: &Zones) -> Result<Policy, Exit> {
    let source = source(file)?;
    Policy::parse_with(zones, Arc::clone(&source), &mut list_reader(file)).map_err(|problems| tell(&problems))
}

/// The block lists that the policies may name.
fn zones(given: Option<&Path>, config: Option<&Config>) -> Zones {
    match (given, config) {
        (Some(file), _) => zones_of(file),
        (None, Some(config)) => zones_of(Path::new(&config.source.name)),
        (None, None) => Zones::default(),
    }
}

/// Which policies' records count, by their names in records: the one that the new policy, or the one that it is compared with, is the
/// next version of; else the default one. Empty where it can't be known, or all are to count.
fn replaced(args: &Args, config: Option<&Config>) -> Vec<String> {
    if let (false, Some(name)) = (args.all, &args.replaces) {
        return vec![name.clone()];
    }
    let Some(config) = config.filter(|_| !args.all) else { return Vec::new() };
    let names: Vec<String> = config.policies.all().into_iter().map(|policy| policy.record().file).collect();
    let versions = [Some(&args.file), args.against.as_ref()].into_iter().flatten();
    let same = versions.flat_map(|file| names.iter().find(|name| is_same(file, Path::new(name)))).next();
    same.or(names.first()).cloned().into_iter().collect()
}

/// Whether two paths may name the same file: the server may have been started elsewhere.
fn is_same(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    a.ends_with(b) || b.ends_with(a) || whole(a).is_some_and(|a| whole(b) == Some(a))
}
