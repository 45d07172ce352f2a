//! `gatepost journal export`

use std::io::{self, BufWriter, ErrorKind};
use std::process::ExitCode;

use super::{Of, passed_over, subject, unusable};
use crate::cli::{Exit, complain, counted, journal_of, tell};
use crate::observe::journal;

/// Print every record in which an address stands
///
/// One JSON object a line, oldest first, on standard output; what it came to on standard error. In a journal
/// without names the address is found under the keys that are kept. A record also speaks of others (who wrote,
/// to whom else): look it through before it is handed out. Exits 1 if there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gatepost journal export --address alice@example.com --config /etc/gatepost/gatepost.toml > alice.jsonl")]
pub struct Args {
    /// Whose records.
    #[command(flatten)]
    pub of: Of,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    export(args).unwrap_or_else(|exit| exit).into()
}

fn export(args: &Args) -> Result<Exit, Exit> {
    let directory = journal_of(args.of.config.as_deref())?;
    let subject = subject(&directory, &args.of.address)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let exported = match journal::export(&directory, &subject, &mut out) {
        Ok(exported) => exported,
        // whoever reads it may stop reading
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Fine),
        Err(error) => return Err(unusable(&directory, &error)),
    };
    if !exported.problems.is_empty() {
        tell(&exported.problems);
    }
    let rest = passed_over(exported.skipped);
    let rest = if rest.is_empty() { rest } else { format!("; {rest}") };
    let (records, days) = (counted(exported.records, "record", "records"), counted(exported.days, "day", "days"));
    complain(&format!("{} of {records} in {days}{rest}", exported.found));
    Ok(if exported.found > 0 { Exit::Fine } else { Exit::Failed })
}
