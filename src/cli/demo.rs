//! `gatepost demo`

use std::process::ExitCode;

use super::{Exit, complain};

/// See the whole product work on loopback, with its own DNS and sample messages
///
/// Starts the real server on loopback with its own DNS, sends it honest, forwarded, forged and malformed messages over SMTP, prints
/// what was decided of each and why, and goes on serving until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost demo
  gatepost demo --once && echo as expected")]
pub struct Args {
    /// Stop after the samples; exit 0 only if every decision was the expected one
    #[arg(long)]
    pub once: bool,
}

/// Runs it.
pub fn run(_args: &Args) -> ExitCode {
    complain("not built yet");
    Exit::Usage.into()
}
