//! `gatepost config check`

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Exit, MOST_WARNINGS, complain, counted, print, tell};
use crate::config::Config;
use crate::server;

/// Check a gatepost.toml and every file that it names
///
/// Policies with their tests, lists and certificates too. Tells all problems at once, each
/// with its place and how to mend it. What only the machine that serves can know (its users, who may read the key) is a warning.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gatepost config check /etc/gatepost/gatepost.toml && systemctl reload gatepost")]
pub struct Args {
    /// The configuration
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    let config = match Config::load(&args.file) {
        Ok(config) => config,
        Err(problems) => {
            let usage = tell(&problems);
            // a file that is not there is a wrong argument, and no configuration that failed its check
            return if args.file.is_file() { Exit::Failed.into() } else { usage.into() };
        }
    };
    let certificates = match certificates(&config) {
        Ok(unread) => unread,
        Err(error) => {
            tell(&error.problem(&config).into());
            return Exit::Failed.into();
        }
    };
    let policies = config.policies.warnings().headlines(MOST_WARNINGS);
    for warning in warnings(&config).into_iter().chain(certificates).chain(policies) {
        complain(&format!("warning: {warning}"));
    }
    let domains = counted(config.directory.domains().count(), "domain", "domains");
    let mailboxes = counted(config.directory.mailboxes().count(), "mailbox", "mailboxes");
    let policies = counted(config.policies.all().len(), "policy", "policies");
    print(&format!("{}: fine ({domains}, {mailboxes}, {policies})\n", args.file.display()));
    Exit::Fine.into()
}

/// Certificates and keys that this user can't read, as warnings: who serves may be another; and certificates that end soon.
///
/// # Errors
/// What was read is no certificate, or its key does not fit it.
fn certificates(config: &Config) -> Result<Vec<String>, server::TlsError> {
    let Some(files) = &config.tls else { return Ok(Vec::new()) };
    match files.read(config) {
        Ok(pairs) => server::acceptor(&pairs).map(|_| pairs.iter().filter_map(server::expiry_warning).collect()),
        Err(problems) => Ok(problems.iter().map(|problem| format!("{}: {}", problem.key, problem.cause)).collect()),
    }
}

/// What would stand in the way of serving on this machine.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(problems) = config.account() {
        warnings.extend(problems.iter().map(|problem| format!("{}: {}", problem.key, problem.cause)));
    }
    // who serves port 25 without CAP_NET_BIND_SERVICE is root at first
    if config.smtp.listen.iter().any(|address| (1..1024).contains(&address.port()))
        && let Some(problem) = config.privilege_problem(true)
    {
        warnings.push(format!("{}: root could not start this: {}", problem.key, problem.cause));
    }
    warnings
}
