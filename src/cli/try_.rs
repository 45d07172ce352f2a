//! `gatepost try`

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Exit, complain};

/// Tell what would happen to a message, and why, without delivering it
///
/// The same checks and rules as in serving, without a network client
/// and without delivering. All evidence is gathered, whatever an early rule says. Without MESSAGE it goes up to the recipients.
/// Exits 0 whatever the decision, 2 if the arguments are no SMTP.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost try --config gatepost.toml --ip 192.0.2.1 --mail-from a@example.net --rcpt b@example.com mail.eml
  gatepost try --config gatepost.toml --ip 2001:db8::1 --mail-from '' --json - < bounce.eml")]
pub struct Args {
    /// The configuration whose policy and domains are asked
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub ip: IpAddr,
    /// What the client says in EHLO
    #[arg(long, value_name = "NAME")]
    pub helo: Option<String>,
    /// The reverse-path; '' is the null one
    #[arg(long, value_name = "ADDR")]
    pub mail_from: Option<String>,
    /// A forward-path; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub rcpt: Vec<String>,
    /// Print the decision record as JSON
    #[arg(long)]
    pub json: bool,
    /// The message's file; - is standard input
    #[arg(value_name = "MESSAGE")]
    pub message: Option<PathBuf>,
}

/// Runs it.
pub fn run(_args: &Args) -> ExitCode {
    complain("not built yet");
    Exit::Usage.into()
}
