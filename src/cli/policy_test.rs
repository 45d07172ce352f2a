//! `gatepost policy test`

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::cases::{self, Bench, Difference, Outcome};
use super::policy_check::{Around, configuration, source, zones};
use super::{Exit, complain, counted, print, tell};
use crate::config::list_reader;
use crate::observe::escape::shown;
use crate::policy::{Coverage, Policy, TestOutcome, TestReport};

/// Characters of what a case says of itself, and of what came of it.
const SHOWN: usize = 1_000;

/// Run a policy's own tests, and cases by example, and show each
///
/// Names the rules that neither holds both ways: once matching, once not.
/// A case is a folder with case.toml (client, helo, mail_from, rcpt, tls, time, `[expect]`), message.eml and zone.toml (its DNS). It goes
/// through the stages that serve; docs/policy.md has all of it.
/// Exits 1 if a test or a case fails, 2 if a case's files are wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost policy test policies/strict.toml
  gatepost policy test policies/strict.toml --cases cases
  gatepost policy test policies/strict.toml --json | jq '.tests[] | select(.passed | not)'")]
pub struct Args {
    /// The policy
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A folder with a folder for each case
    #[arg(long, value_name = "DIR")]
    pub cases: Option<PathBuf>,
    /// A configuration: it is checked too, has the block lists that the policy names, and the mailboxes of the cases
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what came of them as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    match attempt(args) {
        Ok(true) => Exit::Fine.into(),
        Ok(false) => Exit::Failed.into(),
        Err(exit) => exit.into(),
    }
}

/// Whether all passed.
fn attempt(args: &Args) -> Result<bool, Exit> {
    let source = source(&args.file)?;
    let Around { config, others, .. } = configuration(args.config.as_deref(), &source);
    if !others.is_empty() {
        return Err(tell(&others));
    }
    let policy = Policy::parse_with(&zones(args.config.as_deref()), source, &mut list_reader(&args.file));
    let policy = policy.map_err(|problems| {
        tell(&problems);
        Exit::Failed
    })?;
    let bench = Bench { policy: Arc::new(policy), config };
    let outcomes = match &args.cases {
        Some(directory) => {
            let cases = cases::read(directory, &bench).map_err(|problems| tell(&problems))?;
            cases::run(cases, &bench).map_err(|cause| {
                complain(&cause);
                Exit::Usage
            })?
        }
        None => Vec::new(),
    };
    let seen: Vec<_> = outcomes.iter().flat_map(|outcome| outcome.rules.iter().cloned()).collect();
    let report = bench.policy.run_tests_beside(&seen);
    let passed = report.passed() && outcomes.iter().all(|outcome| outcome.differences.is_empty());
    if args.json {
        let json = serde_json::to_string_pretty(&Json::of(passed, &report, &outcomes)).map_err(|error| {
            complain(&format!("the report cannot be printed: {error}"));
            Exit::Failed
        })?;
        print(&(json + "\n"));
    } else {
        print(&story(&report, &outcomes));
    }
    Ok(passed)
}

/// The report as programs read it.
#[derive(Serialize)]
struct Json<'a> {
    passed: bool,
    tests: &'a [TestOutcome],
    cases: Vec<JsonCase<'a>>,
    /// Rules that neither holds both ways.
    uncovered: &'a [Coverage],
}

#[derive(Serialize)]
struct JsonCase<'a> {
    name: &'a str,
    description: &'a str,
    passed: bool,
    differences: &'a [Difference],
}

impl<'a> Json<'a> {
    fn of(passed: bool, report: &'a TestReport, outcomes: &'a [Outcome]) -> Json<'a> {
        let case = |outcome: &'a Outcome| JsonCase {
            name: &outcome.name,
            description: &outcome.description,
            passed: outcome.differences.is_empty(),
            differences: &outcome.differences,
        };
        Json { passed, tests: &report.tests, cases: outcomes.iter().map(case).collect(), uncovered: &report.uncovered }
    }
}

fn story(report: &TestReport, outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for test in &report.tests {
        let _ = writeln!(out, "{}  {}", word(test.passed), test.name);
        if !test.passed {
            let _ = writeln!(out, "        expected {}\n        got      {}", test.expected, test.got);
        }
    }
    for outcome in outcomes {
        case(&mut out, outcome);
    }
    for Coverage { rule, matched, not_matched } in &report.uncovered {
        let lack = match (matched, not_matched) {
            (false, false) => "no test looks at it",
            (false, true) => "no test makes it match",
            _ => "no test looks at it without its matching",
        };
        let _ = writeln!(out, "note    rule {rule:?}: {lack}");
    }
    let failed = report.tests.iter().filter(|test| !test.passed).count()
        + outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).count();
    let mut all = counted(report.tests.len(), "test", "tests");
    if !outcomes.is_empty() {
        let _ = write!(all, " and {}", counted(outcomes.len(), "case", "cases"));
    }
    let _ = match failed {
        0 => writeln!(out, "{all}, none failed"),
        failed => writeln!(out, "{all}, {failed} failed"),
    };
    out
}

fn word(passed: bool) -> &'static str {
    if passed { "ok    " } else { "FAILED" }
}

fn case(out: &mut String, Outcome { name, description, differences, .. }: &Outcome) {
    let description = if description.is_empty() { String::new() } else { format!(": {description}") };
    let line = shown(&format!("{name}{description}"), SHOWN);
    let _ = writeln!(out, "{}  {line}", word(differences.is_empty()));
    for Difference { what, expected, got } in differences {
        let (expected, got) = (shown(expected, SHOWN), shown(got, SHOWN));
        let _ = writeln!(
            out,
            "        {what}: expected {expected}\n        {:width$}  got      {got}",
            "",
            width = what.len()
        );
    }
}
