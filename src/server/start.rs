//! The beginning: the first threads, and what runs from then on.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};

use crate::config::Config;
use crate::deliver::{Cleaned, Writers, clean_tmp};
use crate::observe::http::{self, Pages};
use crate::observe::journal::Journal;
use crate::observe::journal::audit::Event;
use crate::observe::log::Log;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::label::{ConnectionOutcome, SandboxLayer};
use crate::receive::{Carrier, Memory, Receiver, State, authenticator, read_time_zone};

use super::abuses::Abuses;
use super::audit;
use super::behaved::Behaved;
use super::bind::{Bound, StartError, cores, machine};
use super::certificates;
use super::connection;
use super::counts;
use super::dns;
use super::generation::{self, Lasting, generation, message_limits, policies};
use super::handover::{self, Kind};
use super::harvest::Harvest;
use super::listener;
use super::lists;
use super::memory;
use super::notify;
use super::permits::{Denied, Permits, Places};
use super::private::PrivateClients;
use super::reload::say_warnings;
use super::running::Running;
use super::shutdown::Shutdown;
use super::stress;
use super::turned_away::TurnedAway;

/// Threads that write messages; they wait for the disk, not for a core.
const WRITERS: usize = 12;
/// Octets of messages that wait for a writer.
const QUEUE: usize = 128 * 1024 * 1024;
/// Octets of a connection that waits, without what it has read and the facts of its client: thousands may be idle. Every test that
/// connects holds it.
const CONNECTION: usize = 4096;
/// How long the file of what is remembered may be the predecessor's: it goes on for two minutes, and drains.
const UNREAD: Duration = Duration::from_secs(180);
/// A file in tmp/ that is older was left by a crash.
const STALE: Duration = Duration::from_secs(36 * 3600);
/// How often stale files are looked for.
const CLEANING: Duration = Duration::from_secs(6 * 3600);

/// A runtime without a server: its threads are the first of the process.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> Result<Runtime, StartError> {
    runtime_of(cores())
}

pub(super) fn runtime_of(cores: NonZeroUsize) -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores.get()).enable_all().build().map_err(machine)
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
    read_time_zone();
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")).map_err(machine)?);
    let writers = Arc::new(Writers::new(config.maildir.root.clone(), WRITERS, QUEUE));
    writers.space().floor(config.limits.free_disk, config.limits.free_inodes);
    generation::bound_spool(&writers, &config);
    generation::bound_mailboxes(&writers, &config);
    writers.start().map_err(machine)?;
    let journal = Arc::new(bound.journal);
    if let (Some(log), Some(keys)) = (&log, journal.keys()) {
        log.pseudonymise(keys);
    }
    journal.start().map_err(machine)?;
    journal.audit(Event::Start, audit::taken(&config));
    let mut state = State::in_memory(memory::remembering(&config), config.state.entries);
    if let Some(secret) = bound.secret {
        state = state.after_another(secret, UNREAD);
    }
    memory::keep(&state, &config).map_err(machine)?;
    say_warnings(&config);
    let policies = policies(&config.policies);
    let (most, of_network) = generation::memory(&config);
    let receiver = Arc::new(Receiver {
        hostname: config.hostname.as_str().to_owned(),
        authserv_id: config.authserv_id.clone(),
        trusted: config.smtp.trusted.clone(),
        soft_reject: config.smtp.soft_reject,
        most_received: config.limits.received,
        directory: Arc::clone(&config.directory),
        policies: Arc::new(ArcSwap::from_pointee(policies)),
        authenticator: authenticator(&dns::asking(&config))
            .map_err(|error| StartError::Machine(format!("dns: {error}")))?
            .with_block_lists(lists::block_lists(&config)),
        carrier: Carrier::Maildirs(Arc::clone(&writers)),
        journal: Some(Arc::clone(&journal)),
        state: Some(state.clone()),
        metrics: Arc::clone(&metrics),
        memory: Memory::new(most, of_network),
        limits: message_limits(&config),
    });
    counts::register(&metrics, &receiver, &writers, &journal, log.as_ref()).map_err(machine)?;
    counts::register_state(&metrics, &state).map_err(machine)?;
    metrics.soft_reject(config.smtp.soft_reject);
    bound.sandbox.layers().for_each(|(layer, is_on)| metrics.sandbox(layer, is_on));
    let landlocked = bound.sandbox.has(SandboxLayer::Landlock);
    let harvest = Arc::new(Harvest::new(config.limits.unknown_recipients_per_address));
    let generation = generation(&config, Arc::clone(&receiver), bound.certificates.map(Arc::new), harvest);
    let generation = Arc::new(ArcSwap::from_pointee(generation));
    counts::register_block_lists(&metrics, &generation).map_err(machine)?;
    let permits = Permits::new(Places::of_config(&config.limits));
    counts::register_bounds(&metrics, &permits, &writers, &receiver).map_err(machine)?;
    let lasting = Arc::new(Lasting {
        receiver,
        metrics,
        permits,
        behaved: Behaved::default(),
        turned_away: TurnedAway::default(),
        abuses: Abuses::default(),
        generation,
        lists_due: Notify::new(),
        landlocked,
    });

    let shutdown = Shutdown::default();
    let (asked, taken_over) = mpsc::channel(1);
    let handing = hand_over(bound.handover, &bound.smtp, &bound.http, &state, asked).map_err(machine)?;
    let (smtp, mut tasks) = accept(bound.smtp, &config, &lasting, &shutdown).map_err(machine)?;
    tasks.extend(handing);
    tasks.push(tokio::spawn(notify::stay_alive()));
    let dns_works = Arc::new(AtomicBool::new(true));
    tasks.push(tokio::spawn(dns::watch(Arc::clone(&lasting), Arc::clone(&dns_works))));
    tasks.push(tokio::spawn(certificates::warn(Arc::clone(&lasting))));
    tasks.push(tokio::spawn(lists::watch(Arc::clone(&lasting))));
    let stress = tokio::spawn(stress::watch(Arc::clone(&lasting), Arc::clone(&writers)));
    tasks.push(tokio::spawn(clean(config.maildir.root.clone(), Arc::clone(&writers))));
    let pages = pages(&lasting, &journal, &writers, &shutdown, dns_works);
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
        state,
        tasks,
        stress,
        stop_http,
        http_task,
        taken_over,
        predecessor: bound.predecessor,
    })
}

/// Waits for a new process that wants the sockets, where the configuration says so.
fn hand_over(
    listener: Option<UnixListener>,
    smtp: &[std::net::TcpListener],
    http: &std::net::TcpListener,
    state: &State,
    taken_over: mpsc::Sender<()>,
) -> io::Result<Option<JoinHandle<()>>> {
    let Some(listener) = listener else { return Ok(None) };
    let mut all = Vec::new();
    for listener in smtp {
        all.push((Kind::Smtp, OwnedFd::from(listener.try_clone()?)));
    }
    all.push((Kind::Http, OwnedFd::from(http.try_clone()?)));
    all.push((Kind::Handover, OwnedFd::from(listener.try_clone()?)));
    let sockets = handover::Sockets { all, state: state.clone() };
    let listener = tokio::net::UnixListener::from_std(listener)?;
    Ok(Some(tokio::spawn(handover::serve(listener, sockets, taken_over))))
}

type Accepting = (Vec<SocketAddr>, Vec<JoinHandle<()>>);

fn accept(
    listeners: Vec<std::net::TcpListener>,
    config: &Config,
    lasting: &Arc<Lasting>,
    shutdown: &Shutdown,
) -> io::Result<Accepting> {
    let private = Arc::new(PrivateClients::of(&config.smtp.listen));
    let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        addresses.push(listener.local_addr()?);
        let shutdown = shutdown.clone();
        let (lasting, private) = (Arc::clone(lasting), Arc::clone(&private));
        tasks.push(tokio::spawn(listener::accept(listener, move |stream, client, is_scarce| {
            let generation = lasting.generation.load_full();
            // for whom a proxy or a filter speaks is known later
            let is_between = generation.is_between(client.ip());
            let permit = if is_scarce {
                Err(Denied::Files)
            } else if is_between {
                lasting.permits.take_unnamed()
            } else if generation.turns_away(client.ip()) {
                Err(Denied::Harvest)
            } else {
                lasting.permits.take(client.ip(), lasting.prefers(client.ip(), &generation.receiver))
            };
            match permit {
                Ok(permit) => {
                    lasting.metrics.connection(ConnectionOutcome::Accepted);
                    if !is_between {
                        private.notice(client.ip(), &generation.receiver);
                    }
                    let presence = shutdown.enter();
                    let serving = connection::serve(stream, client, generation, presence, permit, Arc::clone(&lasting));
                    debug_assert!(size_of_val(&serving) <= CONNECTION, "{} octets", size_of_val(&serving));
                    tokio::spawn(serving);
                }
                Err(denied) => lasting.turned_away.refuse(stream, client, denied, &generation.receiver),
            }
        })));
    }
    Ok((addresses, tasks))
}

async fn clean(root: PathBuf, writers: Arc<Writers>) {
    let ended = tokio::task::spawn_blocking(move || writers.clean_spool()).await;
    tell_cleaned(&format!("{}/.gatepost-spool", root.display()), ended, true);
    let mut is_first = true;
    loop {
        let cleaned = root.clone();
        let ended = tokio::task::spawn_blocking(move || clean_tmp(&cleaned, STALE)).await;
        tell_cleaned(&format!("tmp/ below {}", root.display()), ended, std::mem::take(&mut is_first));
        tokio::time::sleep(CLEANING).await;
    }
}

/// Says what came of looking for what a crash left at a place; what could not be removed only where `with_failures`.
fn tell_cleaned(place: &str, ended: Result<io::Result<Cleaned>, JoinError>, with_failures: bool) {
    let owner =
        "the user that the server runs as must own what is there, and be able to write and list the directories";
    match ended {
        Ok(Ok(cleaned)) => {
            let Cleaned { removed, failed, cut_short, .. } = cleaned;
            if removed > 0 {
                tracing::info!(%place, removed, "what a crash left was removed");
            }
            if failed > 0 && with_failures {
                tracing::warn!(%place, failed, "what a crash may have left can't be removed: {owner}");
            }
            if cut_short {
                tracing::warn!(%place, "more files are there than are looked at in one go, the rest is for the next");
            }
        }
        Ok(Err(error)) => tracing::warn!(%place, %error, "what a crash may have left can't be looked for: {owner}"),
        Err(error) => tracing::error!(%place, %error, "cleaning ended in an error of ours; please report this"),
    }
}

fn pages(
    lasting: &Arc<Lasting>,
    journal: &Arc<Journal>,
    writers: &Writers,
    shutdown: &Shutdown,
    dns_works: Arc<AtomicBool>,
) -> Arc<Pages> {
    let (journal, shutdown, space) = (Arc::clone(journal), shutdown.clone(), Arc::clone(writers.space()));
    let suspect = Arc::clone(writers.suspect());
    Arc::new(Pages::new(Arc::clone(&lasting.metrics), move || {
        let reasons = [
            (shutdown.is_going(), "the server is shutting down"),
            (journal.is_failing(), "the journal can't be written"),
            (space.is_low(), "the Maildir's file system has less free than limits.free_disk or limits.free_inodes"),
            (suspect.is_suspect(), "the Maildir's file system failed and is suspect until a write succeeds"),
            (!dns_works.load(Ordering::Relaxed), "the DNS does not work"),
        ];
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason.to_owned()).collect()
    }))
}
