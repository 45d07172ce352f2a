//! `gatepost policy test`

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::policy_check::{configuration, source, zones};
use super::{Exit, counted, print, tell};
use crate::config::list_reader;
use crate::policy::{Coverage, Policy, TestReport};

/// Run a policy's own tests and show each
///
/// Names the rules that no test holds both ways: once matching, once not.
/// Exits 1 if a test fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gatepost policy test policies/strict.toml")]
pub struct Args {
    /// The policy
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A configuration: it is checked too, and has the block lists that the policy names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    let source = match source(&args.file) {
        Ok(source) => source,
        Err(exit) => return exit.into(),
    };
    if let Err(exit) = configuration(args.config.as_deref(), &source) {
        return exit.into();
    }
    let policy = match Policy::parse_with(&zones(args.config.as_deref()), source, &mut list_reader(&args.file)) {
        Ok(policy) => policy,
        Err(problems) => {
            tell(&problems);
            return Exit::Failed.into();
        }
    };
    let report = policy.run_tests();
    print(&story(&report));
    if report.passed() { Exit::Fine.into() } else { Exit::Failed.into() }
}

fn story(report: &TestReport) -> String {
    let mut out = String::new();
    for test in &report.tests {
        let _ = writeln!(out, "{}  {}", if test.passed { "ok    " } else { "FAILED" }, test.name);
        if !test.passed {
            let _ = writeln!(out, "        expected {}\n        got      {}", test.expected, test.got);
        }
    }
    for Coverage { rule, matched, not_matched } in &report.uncovered {
        let lack = match (matched, not_matched) {
            (false, false) => "no test looks at it",
            (false, true) => "no test makes it match",
            _ => "no test looks at it without its matching",
        };
        let _ = writeln!(out, "note    rule {rule:?}: {lack}");
    }
    let failed = report.tests.iter().filter(|test| !test.passed).count();
    let all = counted(report.tests.len(), "test", "tests");
    let _ = match failed {
        0 => writeln!(out, "{all}, none failed"),
        failed => writeln!(out, "{all}, {failed} failed"),
    };
    out
}
