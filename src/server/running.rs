//! A server that accepts mail: it heeds signals, reloads, and ends without losing what is in flight.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::deliver::Writers;
use crate::observe::journal::Journal;
use crate::receive::State;

use super::certificates::CertificateFiles;
use super::generation::Lasting;
use super::list_files::ListFiles;
use super::reload::Reload;
use super::shutdown::Shutdown;
use super::signals::{Asked, Signals};

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
    pub(super) stop_http: oneshot::Sender<()>,
    pub(super) http_task: JoinHandle<()>,
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

    /// Serves until SIGTERM or SIGINT; SIGHUP reloads, and lists and certificates whose files change are read again.
    pub async fn until_signal(mut self, mut signals: Signals) {
        let (mut list_files, mut certificate_files) = (ListFiles::default(), CertificateFiles::default());
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => self.reload().await,
                    Asked::End => break,
                },
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
        let state = self.state.clone();
        let kept = tokio::task::spawn_blocking(move || state.close(Duration::from_secs(10))).await.unwrap_or_default();
        if !kept {
            tracing::error!("what greylisting and rates remember could not be kept in time");
        }
        let _ = self.stop_http.send(());
        let _ = self.http_task.await;
        tracing::info!("ended");
    }
}
