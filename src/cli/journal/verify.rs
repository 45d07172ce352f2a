//! `gatepost journal verify`

use std::path::PathBuf;
use std::process::ExitCode;

use super::unusable;
use crate::cli::{Exit, complain, counted, journal_of, print};
use crate::observe::escape::shown;
use crate::observe::journal::audit::{self, Verdict};

/// Characters of a time or digest that are shown.
const CELL: usize = 64;

/// Check that nobody has changed the audit of loads
///
/// Every load of configuration and policies has a line in the journal's audit-YYYY-MM.chain, with the digest of
/// the line before it. Exits 0 if the chain is whole, 1 if it is broken, if lines are missing at its end, or if there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost journal verify --config /etc/gatepost/gatepost.toml
  gatepost journal verify --expect 5f70bf18a08660... # a digest that was noted elsewhere, as the log has it")]
pub struct Args {
    /// The configuration that names the journal [default: gatepost.toml here, else ./journal]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The digest of a line that must be there
    #[arg(long, value_name = "SHA256")]
    pub expect: Option<String>,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    verify(args).unwrap_or_else(|exit| exit).into()
}

fn verify(args: &Args) -> Result<Exit, Exit> {
    let directory = journal_of(args.config.as_deref())?;
    let verdict = audit::verify(&directory, args.expect.as_deref()).map_err(|error| unusable(&directory, &error))?;
    let place = directory.display();
    match verdict {
        Verdict::Whole { lines, first, times: (from, to), head, torn } => {
            let lines = counted(usize::try_from(lines).unwrap_or(usize::MAX), "line", "lines");
            // what stands in the lines is not ours to trust
            let [from, to, head] = [from, to, head].map(|text| shown(&text, CELL));
            let mut words =
                format!("the audit in {place} is whole: {lines}, {from} to {to}\nlast line: sha256 {head}\n");
            if first > 1 {
                words.push_str(&format!("it begins with line {first}: the time of those before was over\n"));
            }
            if torn > 0 {
                words.push_str(&format!("half lines that a crash or a full disk has left: {torn}\n"));
            }
            print(&words);
            return Ok(Exit::Fine);
        }
        Verdict::Broken { file, line, why } => {
            complain(&format!("the audit is BROKEN at line {line} of {}: {why}", directory.join(file).display()));
        }
        Verdict::Truncated { lines, why } => {
            let lines = counted(usize::try_from(lines).unwrap_or(usize::MAX), "line is", "lines are");
            complain(&format!("the audit in {place} is TRUNCATED, {lines} there: {why}"));
        }
        Verdict::Missing => complain(&format!("there is no audit in {place}: no server has started with this journal")),
    }
    Ok(Exit::Failed)
}
