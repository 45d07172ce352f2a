//! `gatepost serve`

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Exit, complain};

/// Receive mail
///
/// Binds its listeners, becomes `security.user`, and serves until SIGTERM. SIGHUP reloads configuration, policies and
/// certificates.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost serve                                  a trial: 127.0.0.1:2525, Maildirs under ./mail
  gatepost serve --config /etc/gatepost.toml")]
pub struct Args {
    /// The configuration [default: gatepost.toml here; without one a trial on 127.0.0.1:2525]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs it.
pub fn run(_args: &Args) -> ExitCode {
    complain("not built yet");
    Exit::Usage.into()
}
