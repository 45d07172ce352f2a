//! `gatepost demo`

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::{Exit, complain, tell};
use crate::demo::{self, DemoError, Options, Outcome};
use crate::observe::log::{self, Log, Look};
use crate::server::StartError;

/// Only what goes wrong, so that the table stays readable.
const QUIET: &str = "warn,hickory_resolver=error,hickory_net=error,hickory_proto=error,hickory_server=error";

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
pub fn run(args: &Args) -> ExitCode {
    let log = match quiet_log() {
        Ok(log) => log,
        Err(error) => {
            complain(&format!("the log can't be set up: {error}"));
            return Exit::Usage.into();
        }
    };
    let program = std::env::args().next().unwrap_or_else(|| "gatepost".to_owned());
    let options = Options { once: args.once, program };
    let outcome = demo::run(&options, Some(log.clone()), &mut anstream::stdout());
    log.close(Duration::from_secs(2));
    exit(args.once, outcome).into()
}

/// How the command ends. Ctrl-C ends a demo as it should, but leaves the question of `--once` without an answer.
pub fn exit(once: bool, outcome: Result<Outcome, DemoError>) -> Exit {
    match outcome {
        Ok(Outcome::Ran(tally)) if tally.unexpected == 0 => Exit::Fine,
        Ok(Outcome::Interrupted) if !once => Exit::Fine,
        Ok(_) => Exit::Failed,
        Err(DemoError::Start(StartError::Problems(problems))) => tell(&problems),
        Err(error) => {
            complain(&error.to_string());
            Exit::Usage
        }
    }
}

/// The log as everywhere where somebody asks for a level, else warnings only.
fn quiet_log() -> Result<Log, TryInitError> {
    if std::env::var_os(log::VARIABLE).is_some_and(|level| !level.is_empty()) {
        return log::init();
    }
    let log = Log::to(Box::new(io::stderr()));
    log.subscriber(EnvFilter::new(QUIET), Look::of_stderr()).try_init()?;
    Ok(log)
}
