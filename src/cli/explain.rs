//! `gatepost explain`

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Exit, complain};

/// Tell the whole story of one transaction from the journal
///
/// In words: what was claimed, what each check found, what each rule did, what was answered and
/// where the message is. Exits 1 if the journal does not know it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost explain 01HV8K3M5QZ7W2XC
  gatepost explain 01HV8K3M5QZ7W2XC --config /etc/gatepost.toml --json | jq .spf")]
pub struct Args {
    /// The ref=... of a reply, the id of a Received field, or the X-Gatepost-Decision's
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The configuration that names the journal [default: gatepost.toml here, else ./journal]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the decision record as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub fn run(_args: &Args) -> ExitCode {
    complain("not built yet");
    Exit::Usage.into()
}
