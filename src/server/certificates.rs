//! The certificates in force: swapped when their files change, without a signal and without dropping a session, and their end told in
//! time. What is bad leaves the old ones in force.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::TlsAcceptor;

use crate::config::{Config, ListFile, NOT_READABLE, Pem};
use crate::observe::metrics::label::ReloadOutcome;
use crate::problem::Problems;

use super::connection::Generation;
use super::generation::Lasting;
use super::reload::MOST_PROBLEMS;
use super::tls;
use super::watch::Watch;

/// How often it is looked whether a certificate ends soon.
const LOOKING: Duration = Duration::from_secs(24 * 3600);
/// What is soon: seconds. Who renews 30 days before the end, as is usual, never hears of it.
const SOON: i64 = 14 * 86_400;

/// What accepts handshakes, and of which files it was made.
pub(super) struct Certificates {
    pub acceptor: TlsAcceptor,
    files: Vec<ListFile>,
    /// The one that ends first, and when: seconds since 1970.
    expires: Option<(PathBuf, i64)>,
}

impl Certificates {
    /// Reads what the configuration names; `None` where it names none.
    ///
    /// # Errors
    /// A file that can't be read or isn't what it should be, at its key.
    pub fn of(config: &Config) -> Result<Option<Certificates>, Problems> {
        let pairs = match &config.tls {
            Some(files) => files.read(config)?,
            None => return Ok(None),
        };
        let acceptor = tls::acceptor(&pairs).map_err(|error| Problems::from(error.problem(config)))?;
        let Some(acceptor) = acceptor else { return Ok(None) };
        let files = pairs.iter().flat_map(|pair| {
            let paths = [&pair.files.certificate, &pair.files.key];
            paths.into_iter().zip(pair.stamps).map(|(path, stamp)| ListFile { path: path.clone(), stamp })
        });
        let ends = pairs.iter().filter_map(|pair| Some((pair.files.certificate.clone(), tls::expiry(pair)?)));
        let expires = ends.min_by_key(|(_, end)| *end);
        Ok(Some(Certificates { acceptor, files: files.collect(), expires }))
    }

    /// The same, in place of those in force: a certificate that has ended never takes the place of one that has not. At the start, and where
    /// the old one has ended, too, it is better than none.
    ///
    /// # Errors
    /// As [`Certificates::of`], and where one has ended.
    pub fn in_place_of(in_force: Option<&Certificates>, config: &Config) -> Result<Option<Certificates>, Problems> {
        let new = Certificates::of(config)?;
        let ended =
            |certificates: &Certificates| certificates.expires.clone().filter(|(_, end)| seconds_left(*end) <= 0);
        let (Some((path, end)), Some(in_force)) = (new.as_ref().and_then(ended), in_force) else { return Ok(new) };
        if ended(in_force).is_some() {
            return Ok(new);
        }
        let of_first = config.tls.as_ref().is_some_and(|tls| tls.first.certificate == path);
        let key = if of_first { "smtp.tls.certificate" } else { "smtp.tls.more" };
        let end = jiff::Timestamp::from_second(end).unwrap_or_default();
        let cause = format!("{}: this certificate ended at {end}, and the one in force is still good", path.display());
        Err(config.problem(key, cause, "renew it, or put the old one back").into())
    }
}

impl Lasting {
    /// Tells the metrics when the first certificate ends, and the log where that is soon.
    pub(super) fn say_expiry(&self) {
        let generation = self.generation.load();
        let first = generation.certificates.as_ref().and_then(|certificates| certificates.expires.as_ref());
        let Some((path, end)) = first else { return self.metrics.certificate_expiry(0) };
        self.metrics.certificate_expiry(*end);
        let left = seconds_left(*end);
        let certificate = path.display();
        if left <= 0 {
            tracing::error!(%certificate, "tls: this certificate has EXPIRED: careful senders no longer deliver; renew it");
        } else if left < SOON {
            tracing::warn!(%certificate, days = left / 86_400, "tls: this certificate expires soon; renew it");
        }
    }
}

/// Says once a day where a certificate ends soon.
pub(super) async fn warn(lasting: Arc<Lasting>) {
    loop {
        lasting.say_expiry();
        tokio::time::sleep(LOOKING).await;
    }
}

/// Whether it lies where root could look at the start and we can not: nobody can tell whether it changes.
fn is_hidden(path: &Path) -> bool {
    path.metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// What there is to say of the end of a pair's certificate: it has come, or comes within two weeks.
pub fn expiry_warning(pair: &Pem) -> Option<String> {
    let left = seconds_left(tls::expiry(pair)?);
    let certificate = pair.files.certificate.display();
    match left {
        ..=0 => Some(format!("{certificate}: this certificate has expired: careful senders no longer deliver")),
        1..SOON => Some(format!("{certificate}: this certificate expires in {} days", left / 86_400)),
        _ => None,
    }
}

fn seconds_left(end: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    end.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX))
}

/// The eye on the files.
#[derive(Default)]
pub(super) struct CertificateFiles {
    watch: Watch,
}

impl CertificateFiles {
    /// Waits until files differ from what is in force, and have been left alone since the last look. Dropping the future loses
    /// nothing.
    pub async fn changed(&mut self, lasting: &Lasting) -> Vec<PathBuf> {
        let files = lasting.generation.load().certificates.as_ref().map(|in_force| in_force.files.clone());
        self.watch.changed(files.unwrap_or_default(), |path| !is_hidden(path)).await
    }

    /// Reads all pairs again and has them shown from the next session on.
    pub async fn read_again(&mut self, changed: Vec<PathBuf>, config: &Config, lasting: &Arc<Lasting>) {
        let (of, in_force) = (config.clone(), lasting.generation.load().certificates.clone());
        let read = tokio::task::spawn_blocking(move || {
            Certificates::in_place_of(in_force.as_deref(), &of).map_err(|problems| problems.headlines(MOST_PROBLEMS))
        });
        let read = read.await.unwrap_or_else(|error| Err(vec![format!("reading ended in an error of ours: {error}")]));
        let files = changed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        match read {
            Ok(certificates) => {
                self.watch.taken();
                let in_force = Generation::clone(&lasting.generation.load());
                let certificates = certificates.map(Arc::new);
                lasting.generation.store(Arc::new(Generation { certificates, ..in_force }));
                lasting.metrics.certificate_reload(ReloadOutcome::Applied);
                tracing::info!(%files, "certificates were read again");
                lasting.say_expiry();
            }
            Err(why) => {
                self.watch.refused(changed);
                lasting.metrics.certificate_reload(ReloadOutcome::Refused);
                let unreadable = why.iter().any(|line| line.contains(NOT_READABLE));
                for line in why {
                    tracing::error!("certificates: {line}");
                }
                let mend = if unreadable { "; the user in [security] must be able to read them" } else { "" };
                tracing::error!(%files, "certificates were NOT read again, the old ones stay in force{mend}");
            }
        }
    }
}
