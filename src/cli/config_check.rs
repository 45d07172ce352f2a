//! `gatepost config check`

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Exit, MOST_WARNINGS, complain, counted, print, tell};
use crate::config::Config;
use crate::problem::{Problem, Problems};
use crate::server;

/// What mends the directory of the handover's socket.
const MAKE_IT: &str = "give the socket a directory of its own: 0700, owned by security.user (docs/upgrade.md)";

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
    if let Some(problem) = no_place_for_handover(&config) {
        tell(&problem.into());
        return Exit::Failed.into();
    }
    let certificates = match certificates(&config) {
        Ok(unread) => unread,
        Err(error) => {
            tell(&error.problem(&config).into());
            return Exit::Failed.into();
        }
    };
    let unwise = config.warnings.headlines(config.warnings.len());
    let policies = config.policies.warnings().headlines(MOST_WARNINGS);
    for warning in unwise.into_iter().chain(warnings(&config)).chain(certificates).chain(policies) {
        complain(&format!("warning: {warning}"));
    }
    if let Some(remark) = new_root(&config) {
        complain(&format!("remark: {remark}"));
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

/// The directory of `security.handover` is not there: the server would not start.
fn no_place_for_handover(config: &Config) -> Option<Problem> {
    let directory = config.security.handover.as_deref().map(directory_of)?;
    match directory.metadata() {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(config.problem("security.handover", format!("{directory:?} is not a directory"), MAKE_IT)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Some(config.problem("security.handover", format!("the directory {directory:?} does not exist"), MAKE_IT))
        }
        // who serves may be another user
        Err(_) => None,
    }
}

/// Others may enter it, so that its mode alone keeps them from our sockets.
fn open_handover(config: &Config) -> Option<Problem> {
    let directory = config.security.handover.as_deref().map(directory_of)?;
    let mode = directory.metadata().ok()?.permissions().mode() & 0o7777;
    (mode & 0o011 != 0).then(|| {
        let cause = format!("others may enter {directory:?} (mode {mode:04o})");
        config.problem("security.handover", cause, MAKE_IT)
    })
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// That the Maildir root is to be made, as a mistyped one would be.
fn new_root(config: &Config) -> Option<String> {
    let root = &config.maildir.root;
    let is_missing = root.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    is_missing.then(|| {
        let cause = format!("{root:?} does not exist yet: it will be made when the server starts");
        headline(config.problem("maildir.root", cause, ""))
    })
}

fn headline(problem: Problem) -> String {
    Problems::from(problem).headlines(1).concat()
}

/// What would stand in the way of serving on this machine.
fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(problems) = config.account() {
        warnings.extend(problems.iter().map(|problem| format!("{}: {}", problem.key, problem.cause)));
    }
    warnings.extend(open_handover(config).map(headline));
    // who serves port 25 without CAP_NET_BIND_SERVICE is root at first
    if config.smtp.listen.iter().any(|address| (1..1024).contains(&address.port()))
        && let Some(problem) = config.privilege_problem(true)
    {
        warnings.push(format!("{}: root could not start this: {}", problem.key, problem.cause));
    }
    warnings
}
