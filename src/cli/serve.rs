//! `gatepost serve`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{Exit, complain, configuration, tell};
use crate::config::Config;
use crate::observe::log::{self, Log};
use crate::server::{self, Inherited, Running, Signals, StartError};

/// Receive mail
///
/// Binds its listeners, becomes `security.user`, and serves until SIGTERM. SIGHUP reloads configuration, policies and
/// certificates.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost serve                                  a trial: 127.0.0.1:2525, Maildirs under ./mail
  gatepost serve --config /etc/gatepost/gatepost.toml")]
pub struct Args {
    /// The configuration [default: gatepost.toml here; without one a trial on 127.0.0.1:2525]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Let a reload take away all of a domain's mailboxes, or more than half of them
    #[arg(long)]
    pub force: bool,
    /// Take the listening sockets over from the server that runs, which then ends (docs/upgrade.md)
    #[arg(long)]
    pub take_over: bool,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    let log = match log::init() {
        Ok(log) => log,
        Err(error) => {
            complain(&format!("the log can't be set up: {error}"));
            return Exit::Usage.into();
        }
    };
    let exit = serve(args, &log).err().unwrap_or(Exit::Fine);
    log.close(Duration::from_secs(2));
    exit.into()
}

fn serve(args: &Args, log: &Log) -> Result<(), Exit> {
    let config = configuration(args.config.as_deref()).map_err(|problems| tell(&problems))?;
    server::keep_files_private();
    let inherited = if args.take_over { Inherited::of_predecessor(&config) } else { Inherited::of_systemd() };
    let bound = inherited
        .and_then(|inherited| server::bind_what_is_missing(&config, inherited))
        .and_then(|bound| bound.confined(&config))
        .map_err(|error| failed(&error))?;
    let runtime = bound.runtime().map_err(|error| failed(&error))?;
    let signals = Signals::catch(runtime.handle()).map_err(|error| {
        complain(&format!("signals can't be listened for: {error}"));
        Exit::Usage
    })?;
    let running = server::start(bound, config.clone(), Some(log.clone()), runtime.handle());
    let mut running = running.map_err(|error| failed(&error))?.reloading(reloaded_from(args), args.force);
    announce(&config, &running);
    if let Err(given_up) = running.say_ready() {
        complain(&given_up.to_string());
        runtime.block_on(running.stop());
        return Err(Exit::Usage);
    }
    runtime.block_on(running.until_signal(signals));
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

fn reloaded_from(args: &Args) -> Option<PathBuf> {
    let here = Path::new("gatepost.toml");
    args.config.clone().or_else(|| here.exists().then(|| here.to_owned()))
}

fn failed(error: &StartError) -> Exit {
    match error {
        StartError::Problems(problems) => tell(problems),
        StartError::Machine(line) => {
            complain(line);
            Exit::Usage
        }
    }
}

/// What an operator wants to see at a start.
fn announce(config: &Config, running: &Running) {
    for address in running.smtp() {
        tracing::info!(%address, hostname = config.hostname.as_str(), "accepting mail");
    }
    let domains: Vec<&str> = config.directory.domains().map(|domain| domain.as_str()).take(20).collect();
    tracing::info!(
        configuration = %config.source.name,
        domains = %domains.join(" "),
        maildirs = %config.maildir.root.display(),
        policy = %config.policies.default().record().file,
        starttls = config.tls.is_some(),
        metrics = %format_args!("http://{}/metrics", running.http()),
        "ready"
    );
    if config.smtp.soft_reject {
        tracing::warn!("smtp.soft_reject is on: every refusal is temporary, and senders will try again for days");
    }
}
