//! The beginning: sockets, privileges, threads, in this order; and what runs from then on.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::deliver::{RootProblem, Writers, check_host_name, check_root, clean_tmp};
use crate::observe::http::{self, Pages};
use crate::observe::journal::Journal;
use crate::observe::log::Log;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::label::ConnectionOutcome;
use crate::problem::Problems;
use crate::receive::{Carrier, Memory, Policies, Receiver, authenticator};
use crate::smtp::reply;
use crate::smtp::session::Capabilities;

use super::connection::{self, Generation};
use super::counts;
use super::dns;
use super::listener::{self, Denied, Permits};
use super::lists;
use super::private::PrivateClients;
use super::privileges::{become_account, is_root, make_directory};
use super::reload::Reload;
use super::shutdown::Shutdown;
use super::signals::{Asked, Signals};
use super::tls;

/// Threads that write messages; they wait for the disk, not for a core.
const WRITERS: usize = 12;
/// Octets of messages that wait for a writer.
const QUEUE: usize = 128 * 1024 * 1024;
/// Octets of messages in memory, over all sessions: more are answered 452.
const MEMORY: u64 = 1024 * 1024 * 1024;
/// Octets of a connection that waits, without what it has read: thousands may be idle. Every test that connects holds it.
const CONNECTION: usize = 4096;
/// A file in tmp/ that is older was left by a crash.
const STALE: Duration = Duration::from_secs(36 * 3600);
/// How often stale files are looked for.
const CLEANING: Duration = Duration::from_secs(6 * 3600);

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

fn machine(error: impl std::fmt::Display) -> StartError {
    StartError::Machine(error.to_string())
}

/// What needed privileges: nothing more does.
pub struct Bound {
    smtp: Vec<std::net::TcpListener>,
    http: std::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
    journal: Journal,
}

/// Binds, reads certificates and keys, becomes `security.user`, and tries a write where mail will go. No thread runs yet.
///
/// # Errors
/// Each in a line that names the key and the mend.
pub fn bind(config: &Config) -> Result<Bound, StartError> {
    if let Some(problem) = config.privilege_problem(is_root()) {
        return Err(StartError::Problems(problem.into()));
    }
    let account = config.account()?;
    let acceptor = certificates(config)?;
    let mut smtp = Vec::new();
    for address in &config.smtp.listen {
        smtp.push(listener::bind("smtp.listen", *address).map_err(StartError::Machine)?);
    }
    let http = listener::bind("http.listen", config.http.listen).map_err(StartError::Machine)?;
    if let Some(account) = account {
        if is_root() {
            for (key, path) in
                [("maildir.root", &config.maildir.root), ("journal.directory", &config.journal.directory)]
            {
                make_directory(path, account)
                    .map_err(|error| StartError::Machine(format!("{key}: can't make {}: {error}", path.display())))?;
            }
        }
        become_account(account).map_err(|error| StartError::Machine(format!("security.user: {error}")))?;
    }
    check_root(&config.maildir.root).map_err(|error| match error {
        RootProblem::NoPermission { path } => not_ours(config, "maildir.root", &path),
        other => StartError::Machine(format!("maildir.root: {other}")),
    })?;
    let host = nix::unistd::gethostname().map_err(machine)?;
    check_host_name(&host.to_string_lossy()).map_err(machine)?;
    let path = &config.journal.directory;
    let journal = Journal::open(path, config.journal.keep).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => not_ours(config, "journal.directory", path),
        _ => StartError::Machine(format!(
            "journal.directory: can't use {}: {error}; it must be a directory that we may write",
            path.display()
        )),
    })?;
    Ok(Bound { smtp, http, acceptor, journal })
}

/// A directory that was there before us and is another's. We do not give ourselves what somebody else made.
fn not_ours(config: &Config, key: &str, path: &Path) -> StartError {
    let owner = config.security.user.as_deref().unwrap_or("USER");
    let mend = format!("chown {owner} {}", path.display());
    let cause = format!("{} may not be written by the user that the server runs as", path.display());
    StartError::Problems(config.problem(key, cause, mend).into())
}

/// What accepts handshakes, where the configuration names a certificate.
pub(super) fn certificates(config: &Config) -> Result<Option<TlsAcceptor>, StartError> {
    let pairs = match &config.tls {
        Some(files) => files.read(config)?,
        None => Vec::new(),
    };
    tls::acceptor(&pairs).map_err(|error| StartError::Problems(error.problem(config).into()))
}

/// The runtime: its threads are the first of the process.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(machine)
}

/// What outlives a reload.
pub(super) struct Lasting {
    pub receiver: Arc<Receiver>,
    pub metrics: Arc<Metrics>,
    pub generation: Arc<ArcSwap<Generation>>,
    /// Told after each reload.
    pub reloaded: Notify,
}

/// A server that accepts mail.
pub struct Running {
    lasting: Arc<Lasting>,
    started: Config,
    /// What is in force.
    config: Config,
    path: Option<PathBuf>,
    force: bool,
    smtp: Vec<SocketAddr>,
    http: SocketAddr,
    shutdown: Shutdown,
    writers: Arc<Writers>,
    journal: Arc<Journal>,
    tasks: Vec<JoinHandle<()>>,
    stop_http: oneshot::Sender<()>,
    http_task: JoinHandle<()>,
}

/// Starts to accept mail.
///
/// # Errors
/// Threads or the resolver can't be had.
pub fn start(bound: Bound, config: Config, log: Option<Log>, runtime: &Handle) -> Result<Running, StartError> {
    if let Some(log) = &log {
        log.start().map_err(machine)?;
    }
    let _in_runtime = runtime.enter();
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")).map_err(machine)?);
    let writers = Arc::new(Writers::new(config.maildir.root.clone(), WRITERS, QUEUE));
    writers.start().map_err(machine)?;
    let journal = Arc::new(bound.journal);
    journal.start().map_err(machine)?;
    let policies = policies(&config);
    let receiver = Arc::new(Receiver {
        hostname: config.hostname.as_str().to_owned(),
        authserv_id: config.authserv_id.clone(),
        trusted: config.smtp.trusted.clone(),
        soft_reject: config.smtp.soft_reject,
        directory: Arc::clone(&config.directory),
        policies: Arc::new(ArcSwap::from_pointee(policies)),
        authenticator: authenticator(&dns::asking(&config))
            .map_err(|error| StartError::Machine(format!("dns: {error}")))?
            .with_block_lists(lists::block_lists(&config)),
        carrier: Carrier::Maildirs(Arc::clone(&writers)),
        journal: Some(Arc::clone(&journal)),
        metrics: Arc::clone(&metrics),
        memory: Memory::new(MEMORY, config.limits.message.max(MEMORY / 8)),
    });
    counts::register(&metrics, &receiver, &writers, &journal, log.as_ref()).map_err(machine)?;
    metrics.soft_reject(config.smtp.soft_reject);
    let generation = generation(&config, Arc::clone(&receiver), bound.acceptor);
    let generation = Arc::new(ArcSwap::from_pointee(generation));
    counts::register_block_lists(&metrics, &generation).map_err(machine)?;
    let lasting = Arc::new(Lasting { receiver, metrics, generation, reloaded: Notify::new() });

    let shutdown = Shutdown::default();
    let (smtp, mut tasks) = accept(bound.smtp, &config, &lasting, &shutdown).map_err(machine)?;
    let dns_works = Arc::new(AtomicBool::new(true));
    tasks.push(tokio::spawn(dns::watch(Arc::clone(&lasting), Arc::clone(&dns_works))));
    tasks.push(tokio::spawn(lists::watch(Arc::clone(&lasting))));
    tasks.push(tokio::spawn(clean(config.maildir.root.clone())));
    let pages = pages(&lasting, &journal, &shutdown, dns_works);
    let (stop_http, stopped) = oneshot::channel();
    let listener = tokio::net::TcpListener::from_std(bound.http).map_err(machine)?;
    let http = listener.local_addr().map_err(machine)?;
    let http_task = tokio::spawn(http::serve(listener, pages, async { drop(stopped.await) }));
    let (path, force) = (None, false);
    let started = config.clone();
    Ok(Running {
        lasting,
        started,
        config,
        path,
        force,
        smtp,
        http,
        shutdown,
        writers,
        journal,
        tasks,
        stop_http,
        http_task,
    })
}

/// Who judges whose mail.
pub fn policies(config: &Config) -> Policies {
    let policies = config.policies.clone();
    Policies::new(Arc::clone(config.policies.default()), move |mailbox| Arc::clone(policies.of(mailbox)))
}

/// What sessions that begin from now on share.
pub(super) fn generation(config: &Config, receiver: Arc<Receiver>, acceptor: Option<TlsAcceptor>) -> Generation {
    let limits = config.limits.of_session();
    let hostname = config.hostname.as_str().to_owned();
    let capabilities = Arc::new(Capabilities { hostname, starttls: acceptor.is_some(), limits });
    let (idle, session) = (config.limits.idle, config.limits.session);
    Generation { receiver, capabilities, acceptor, idle, session }
}

type Accepting = (Vec<SocketAddr>, Vec<JoinHandle<()>>);

fn accept(
    listeners: Vec<std::net::TcpListener>,
    config: &Config,
    lasting: &Arc<Lasting>,
    shutdown: &Shutdown,
) -> io::Result<Accepting> {
    let permits = Permits::new(config.limits.connections, config.limits.connections_per_address);
    let private = Arc::new(PrivateClients::of(&config.smtp.listen));
    let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        addresses.push(listener.local_addr()?);
        let (permits, shutdown) = (Arc::clone(&permits), shutdown.clone());
        let (lasting, private) = (Arc::clone(lasting), Arc::clone(&private));
        tasks.push(tokio::spawn(listener::accept(listener, move |stream, client| {
            let generation = lasting.generation.load_full();
            match permits.take(client.ip()) {
                Ok(permit) => {
                    lasting.metrics.connection(ConnectionOutcome::Accepted);
                    private.notice(client.ip(), &generation.receiver);
                    let presence = shutdown.enter();
                    let serving = async move {
                        let _permit = permit;
                        connection::serve(stream, client, generation, presence).await;
                    };
                    debug_assert!(size_of_val(&serving) <= CONNECTION, "{} octets", size_of_val(&serving));
                    tokio::spawn(serving);
                }
                Err(denied) => refuse(stream, denied, &lasting.metrics),
            }
        })));
    }
    Ok((addresses, tasks))
}

/// Over the limit: 421 at once, not silence. Nothing is waited for: the socket's buffer takes one line, or the client gets none.
fn refuse(stream: TcpStream, denied: Denied, metrics: &Metrics) {
    let (reply, outcome) = match denied {
        Denied::Busy => (reply::busy(), ConnectionOutcome::Busy),
        Denied::Share => (reply::too_many_from_address(), ConnectionOutcome::Share),
    };
    metrics.connection(outcome);
    let mut line = Vec::new();
    reply.write_to(&mut line);
    let _ = stream.into_std().and_then(|mut stream| stream.write(&line));
}

async fn clean(root: PathBuf) {
    loop {
        let root = root.clone();
        match tokio::task::spawn_blocking(move || clean_tmp(&root, STALE)).await {
            Ok(Ok(cleaned)) if cleaned.removed > 0 => {
                tracing::info!(removed = cleaned.removed, "stale files were removed from tmp/");
            }
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => tracing::warn!(%error, "tmp/ can't be cleaned"),
        }
        tokio::time::sleep(CLEANING).await;
    }
}

fn pages(
    lasting: &Arc<Lasting>,
    journal: &Arc<Journal>,
    shutdown: &Shutdown,
    dns_works: Arc<AtomicBool>,
) -> Arc<Pages> {
    let (journal, shutdown) = (Arc::clone(journal), shutdown.clone());
    Arc::new(Pages::new(Arc::clone(&lasting.metrics), move || {
        let reasons = [
            (shutdown.is_going(), "the server is shutting down"),
            (journal.is_failing(), "the journal can't be written"),
            (!dns_works.load(Ordering::Relaxed), "the DNS does not work"),
        ];
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason.to_owned()).collect()
    }))
}

impl Running {
    /// From where SIGHUP reloads, and whether it may take away what looks like a mistake.
    #[must_use]
    pub fn reloading(mut self, path: Option<PathBuf>, force: bool) -> Self {
        (self.path, self.force) = (path, force);
        self
    }

    /// Where mail is accepted.
    pub fn smtp(&self) -> &[SocketAddr] {
        &self.smtp
    }

    /// Where metrics are.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Serves until SIGTERM or SIGINT; SIGHUP reloads.
    pub async fn until_signal(mut self, mut signals: Signals) {
        while signals.next().await == Asked::Reload {
            self.reload().await;
        }
        self.stop().await;
    }

    async fn reload(&mut self) {
        let reload = Reload {
            lasting: Arc::clone(&self.lasting),
            path: self.path.clone(),
            started: self.started.clone(),
            force: self.force,
        };
        if let Some(config) = reload.run(self.config.clone()).await {
            self.config = config;
        }
    }

    /// Ends: transactions in flight are finished, for at most 30 seconds, the rest hear 421.
    pub async fn stop(self) {
        tracing::info!("shutting down");
        self.tasks.iter().for_each(JoinHandle::abort);
        let cut_off = self.shutdown.drain().await;
        if cut_off > 0 {
            tracing::warn!(cut_off, "sessions did not end in time");
        }
        if !self.writers.drain().await {
            tracing::error!("messages were still being written; none of them was acknowledged");
        }
        let journal = Arc::clone(&self.journal);
        let lost =
            tokio::task::spawn_blocking(move || journal.close(Duration::from_secs(10))).await.unwrap_or_default();
        if lost > 0 {
            tracing::error!(lost, "lines of the journal could not be written");
        }
        let _ = self.stop_http.send(());
        let _ = self.http_task.await;
        tracing::info!("ended");
    }
}
