//! A server that accepts mail: it heeds signals, reloads, and ends without losing what is in flight.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::deliver::Writers;
use crate::observe::journal::Journal;
use crate::receive::State;

use super::certificates::CertificateFiles;
use super::generation::Lasting;
use super::handover::{self, GivenUp};
use super::list_files::ListFiles;
use super::notify;
use super::reload::Reload;
use super::shutdown::{DRAIN, Shutdown};
use super::signals::{Asked, Signals};

/// How long sessions may go on after another process has taken over.
const HANDED_OVER: Duration = Duration::from_secs(120);
/// How long it may take at the end until what is remembered is on disk.
const KEEPING: Duration = Duration::from_secs(10);

/// A server that accepts mail.
pub struct Running {
    pub(super) lasting: Arc<Lasting>,
    pub(super) started: Config,
    /// What is in force.
    pub(super) config: Config,
    pub(super) path: Option<PathBuf>,
    pub(super) force: bool,
    pub(super) smtp: Vec<SocketAddr>,
    pub(super) http: SocketAddr,
    pub(super) shutdown: Shutdown,
    pub(super) writers: Arc<Writers>,
    pub(super) journal: Arc<Journal>,
    pub(super) state: State,
    pub(super) tasks: Vec<JoinHandle<()>>,
    /// Looks for stress as long as there are sessions: it has to end for those that outlive a handover, too.
    pub(super) stress: JoinHandle<()>,
    pub(super) stop_http: oneshot::Sender<()>,
    pub(super) http_task: JoinHandle<()>,
    /// Told when another process accepts mail in our place.
    pub(super) taken_over: mpsc::Receiver<()>,
    /// Who waits to hear that we do.
    pub(super) predecessor: Option<UnixStream>,
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

    /// Says that mail is accepted: to the process that we take over from, and to systemd.
    ///
    /// # Errors
    /// That process has given us up for another one, and [`Running::stop`] is to be next.
    pub fn say_ready(&mut self) -> Result<(), GivenUp> {
        self.predecessor.take().map_or(Ok(()), handover::tell_ready)?;
        notify::ready(&self.status());
        Ok(())
    }

    fn status(&self) -> String {
        let addresses: Vec<String> = self.smtp.iter().map(SocketAddr::to_string).collect();
        format!("accepting mail on {}", addresses.join(" "))
    }

    /// Serves until SIGTERM or SIGINT, or until another process has taken over; SIGHUP reloads, and lists and certificates whose files change are read again.
    pub async fn until_signal(mut self, mut signals: Signals) {
        let (mut list_files, mut certificate_files) = (ListFiles::default(), CertificateFiles::default());
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => {
                        notify::reloading();
                        self.reload().await;
                        notify::ready(&self.status());
                    }
                    Asked::End => break,
                },
                Some(()) = self.taken_over.recv() => return self.stop_after_handover(signals).await,
                changed = list_files.changed(&self.config.policies) => {
                    if let Some(policies) = list_files.read_again(changed, &self.config, &self.lasting).await {
                        self.config.policies = policies;
                    }
                }
                changed = certificate_files.changed(&self.lasting) => {
                    certificate_files.read_again(changed, &self.config, &self.lasting).await;
                }
            }
        }
        self.stop().await;
    }

    async fn reload(&mut self) {
        let reload = Reload {
            lasting: Arc::clone(&self.lasting),
            journal: Arc::clone(&self.journal),
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
        notify::stopping();
        tracing::info!("shutting down");
        self.tasks.iter().for_each(JoinHandle::abort);
        let (stop_http, http_task) = (self.stop_http, self.http_task);
        // /readyz says until the last moment that we are going
        let pages = async {
            let _ = stop_http.send(());
            let _ = http_task.await;
        };
        let (shutdown, writers, journal, state) = (self.shutdown, self.writers, self.journal, self.state);
        Ending { shutdown, writers, journal, state, keeping: KEEPING }.run().await;
        self.stress.abort();
        pages.await;
        tracing::info!("ended");
    }

    /// Ends in favour of another process that accepts mail already: sessions go on to their own end, for at most two minutes, or
    /// until a signal ends us. Only then is it as [`Running::stop`].
    async fn stop_after_handover(self, mut signals: Signals) {
        tracing::info!("another process accepts mail now, this one finishes its sessions");
        self.tasks.iter().for_each(JoinHandle::abort);
        // the pages are the other's too: its answers must not mix with ours
        let _ = self.stop_http.send(());
        let _ = self.http_task.await;
        let asked = async { while !matches!(signals.next().await, Asked::End) {} };
        tokio::select! {
            _ = self.shutdown.wait(HANDED_OVER) => {}
            () = asked => tracing::info!("shutting down"),
        }
        let (shutdown, writers, journal, state) = (self.shutdown, self.writers, self.journal, self.state);
        // the file may still be that of the process before us
        Ending { shutdown, writers, journal, state, keeping: HANDED_OVER + DRAIN + KEEPING }.run().await;
        self.stress.abort();
        tracing::info!("ended");
    }
}

/// What ends in order.
struct Ending {
    shutdown: Shutdown,
    writers: Arc<Writers>,
    journal: Arc<Journal>,
    state: State,
    /// How long it may take until what is remembered is on disk.
    keeping: Duration,
}

impl Ending {
    async fn run(self) {
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
        let state = self.state.clone();
        let kept = tokio::task::spawn_blocking(move || state.close(self.keeping)).await.unwrap_or_default();
        if !kept {
            tracing::error!("what greylisting and rates remember could not be kept in time");
        }
    }
}
