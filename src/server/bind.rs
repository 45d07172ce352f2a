//! What needs privileges: sockets, certificates and keys, the directories of another account; then they are given up.

use std::num::NonZeroUsize;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use tokio::runtime::Runtime;

use crate::config::{Account, Config, Layer};
use crate::deliver::{RootProblem, check_host_name, check_root};
use crate::observe::journal::{Journal, Keys, Settings};
use crate::problem::Problems;

use super::certificates::Certificates;
use super::descriptors;
use super::handover;
use super::inherited::Inherited;
use super::memory;
use super::privileges::{become_account, is_root, listen_privately, make_directory, make_own_directory};
use super::sandbox::{self, Sandbox};
use super::start::runtime_of;

/// Why the server can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, or what it names.
    #[error("{0}")]
    Problems(Problems),
    /// The machine; one line.
    #[error("{0}")]
    Machine(String),
}

impl From<Problems> for StartError {
    fn from(problems: Problems) -> Self {
        StartError::Problems(problems)
    }
}

pub(super) fn machine(error: impl std::fmt::Display) -> StartError {
    StartError::Machine(error.to_string())
}

/// What needed privileges: nothing more does.
pub struct Bound {
    pub(super) smtp: Vec<std::net::TcpListener>,
    pub(super) http: std::net::TcpListener,
    pub(super) certificates: Option<Certificates>,
    pub(super) journal: Journal,
    pub(super) sandbox: Sandbox,
    /// Where a new process asks for our sockets.
    pub(super) handover: Option<UnixListener>,
    /// Who waits to hear that we accept mail.
    pub(super) predecessor: Option<UnixStream>,
    /// Under what it remembers.
    pub(super) secret: Option<[u8; 32]>,
    /// Cores that we may use; asked before files are closed to us.
    cores: NonZeroUsize,
}

impl Bound {
    /// Gives up what is left to give up: capabilities, files, ports, system calls (docs/security.md). For good, and for the whole process;
    /// no thread may run yet. The layers stand in one line of the log.
    ///
    /// # Errors
    /// What the configuration requires can't be had.
    pub fn confined(mut self, config: &Config) -> Result<Bound, StartError> {
        if config.security.landlock != Layer::Off {
            // a reload may bring greylisting: its directory could not be made any more. Where it can't be made now, it is told then
            let _ = make_own_directory(&config.state.directory);
        }
        self.sandbox = sandbox::confine(config)?;
        tracing::info!(layers = %self.sandbox.line(), "confined");
        Ok(self)
    }

    /// The runtime: its threads are the first of the process.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn runtime(&self) -> Result<Runtime, StartError> {
        runtime_of(self.cores)
    }
}

/// As many worker threads as there are cores.
pub(super) fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Binds, reads certificates and keys, becomes `security.user`, and tries a write where mail will go. No thread runs yet.
///
/// # Errors
/// Each in a line that names the key and the mend.
pub fn bind(config: &Config) -> Result<Bound, StartError> {
    bind_what_is_missing(config, Inherited::default())
}

/// The same, with sockets that are there already.
///
/// # Errors
/// As [`bind`].
pub fn bind_what_is_missing(config: &Config, mut inherited: Inherited) -> Result<Bound, StartError> {
    if let Some(problem) = config.privilege_problem(is_root()) {
        return Err(StartError::Problems(problem.into()));
    }
    descriptors::allow_for(config.limits.connections);
    let account = config.account()?;
    let certificates = Certificates::of(config)?;
    let smtp = inherited.listen_for_mail(config)?;
    let http = inherited.listen_for_http(config)?;
    let handover = handover_listener(config, smtp.len(), account, &mut inherited)?;
    let root = &config.maildir.root;
    let is_new = root.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if let Some(account) = account {
        if is_root() {
            // Landlock can't let us make it later
            let is_due = memory::is_asked_for(config) || config.security.landlock != Layer::Off;
            let state = Some(("state.directory", &config.state.directory)).filter(|_| is_due);
            let always = [("maildir.root", &config.maildir.root), ("journal.directory", &config.journal.directory)];
            for (key, path) in always.into_iter().chain(state) {
                make_directory(path, account)
                    .map_err(|error| StartError::Machine(format!("{key}: can't make {}: {error}", path.display())))?;
            }
        }
        become_account(account).map_err(|error| StartError::Machine(format!("security.user: {error}")))?;
    }
    check_root(root).map_err(|error| match error {
        RootProblem::NoPermission { path } => not_ours(config, "maildir.root", &path),
        other => StartError::Problems(config.problem("maildir.root", other.to_string(), other.mend()).into()),
    })?;
    if is_new {
        tracing::info!(root = %root.display(), "maildir.root did not exist and was made");
    }
    let host = nix::unistd::gethostname().map_err(machine)?;
    check_host_name(&host.to_string_lossy()).map_err(machine)?;
    let path = &config.journal.directory;
    if config.journal.pseudonymise {
        Keys::check(path).map_err(|problem| StartError::Problems(problem.into()))?;
    }
    let journal = Journal::open_with(path, settings(config)).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => not_ours(config, "journal.directory", path),
        _ => StartError::Machine(format!(
            "journal.directory: can't use {}: {error}; it must be a directory that we may write",
            path.display()
        )),
    })?;
    let Inherited { predecessor, secret, .. } = inherited;
    let sandbox = Sandbox::default();
    Ok(Bound { smtp, http, certificates, journal, sandbox, handover, predecessor, secret, cores: cores() })
}

/// Where the next process asks for our sockets: the predecessor's own, or a new one where there is none. One that somebody listens on is
/// never put aside.
fn handover_listener(
    config: &Config,
    sockets: usize,
    account: Option<Account>,
    inherited: &mut Inherited,
) -> Result<Option<UnixListener>, StartError> {
    let Some(path) = &config.security.handover else { return Ok(None) };
    // two more: that of http.listen, and the handover's own
    if sockets.saturating_add(2) > handover::MOST {
        let cause = format!("hands over {} sockets at most, with that of http.listen and its own", handover::MOST);
        return Err(StartError::Problems(
            config.problem("security.handover", cause, "listen on fewer addresses").into(),
        ));
    }
    if let Some(listener) = inherited.handover.take() {
        return Ok(Some(listener));
    }
    if inherited.predecessor.is_none() && matches!(handover::connect(path), Ok(Some(_))) {
        let path = path.display();
        return Err(StartError::Machine(format!(
            "security.handover: a server that runs listens at {path}: start with --take-over, or stop it first"
        )));
    }
    let listener = listen_privately(path, account).map_err(|error| {
        let mend = "its directory must be there and be writable for whoever starts the server";
        StartError::Machine(format!("security.handover: can't listen at {}: {error}; {mend}", path.display()))
    })?;
    Ok(Some(listener))
}

fn settings(config: &Config) -> Settings {
    let journal = &config.journal;
    Settings { keep: journal.keep, keep_audit: journal.keep_audit, pseudonymise: journal.pseudonymise }
}

/// A directory that was there before us and is another's. We do not give ourselves what somebody else made.
fn not_ours(config: &Config, key: &str, path: &Path) -> StartError {
    let owner = config.security.user.as_deref().unwrap_or("USER");
    let mend = format!("chown {owner} {}", path.display());
    let cause = format!("{} may not be written by the user that the server runs as", path.display());
    StartError::Problems(config.problem(key, cause, mend).into())
}
