//! Certificates and keys: read, held against each other, and swapped when they change.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Pem};
use crate::problem::Problem;

use super::expiry::not_after;

/// Why TLS can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file isn't what it should be.
    #[error("{}: there is no {what} in PEM format in this file", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// The key is not the certificate's, or of a kind that TLS can't use.
    #[error(
        "{}: this key does not fit the certificate in {}{reason}", key.display(), certificate.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
        /// What rustls said in brackets, where it is more than that.
        reason: String,
    },
    /// The provider refused the configuration.
    #[error("TLS can't be set up: {0}")]
    Provider(#[from] rustls::Error),
}

impl TlsError {
    /// The same, told at the key of the configuration that names the file.
    pub fn problem(&self, config: &Config) -> Problem {
        let (path, own, mend) = match self {
            TlsError::NotPem { path, what: "certificate" } => (path, "smtp.tls.certificate", ""),
            TlsError::NotPem { path, .. } => (path, "smtp.tls.key", ""),
            TlsError::Mismatch { key, .. } => (key, "smtp.tls.key", "use the two that were issued together"),
            TlsError::Provider(_) => return config.problem("smtp.tls", self.to_string(), ""),
        };
        let of_first = config.tls.as_ref().is_some_and(|tls| [&tls.first.certificate, &tls.first.key].contains(&path));
        config.problem(if of_first { own } else { "smtp.tls.more" }, self.to_string(), mend)
    }
}

/// Certificates by the name that the client asks for (SNI), the first one where it asks for none or an unknown one.
#[derive(Debug)]
struct BySni {
    first: Arc<CertifiedKey>,
    more: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.more.iter().find(|key| speaks_for(key, name)));
        Some(Arc::clone(named.unwrap_or(&self.first)))
    }
}

/// Whether the certificate is good for that host name.
fn speaks_for(key: &CertifiedKey, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    key.end_entity_cert()
        .and_then(ParsedCertificate::try_from)
        .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}

/// Makes of certificates and keys what accepts handshakes: TLS 1.2 and 1.3, no client certificates. The first pair answers
/// clients that name no host, or one that no other certificate has; `None` without a pair.
///
/// # Errors
/// A file that is no PEM, a key that is not its certificate's.
pub fn acceptor(pairs: &[Pem]) -> Result<Option<TlsAcceptor>, TlsError> {
    let provider = Arc::new(default_provider());
    let mut keys = Vec::new();
    for pair in pairs {
        keys.push(Arc::new(certified_key(pair, &provider)?));
    }
    let mut keys = keys.into_iter();
    let Some(first) = keys.next() else { return Ok(None) };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni { first, more: keys.collect() }));
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// When the certificate of a pair ends: seconds since 1970; `None` where that can't be read.
pub(super) fn expiry(pair: &Pem) -> Option<i64> {
    let certificate = CertificateDer::pem_slice_iter(&pair.certificate).next()?.ok()?;
    not_after(&certificate)
}

fn certified_key(pair: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let (certificate, key) = (&pair.files.certificate, &pair.files.key);
    let not_pem = |path: &PathBuf, what| TlsError::NotPem { path: path.clone(), what };
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pair.certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| not_pem(certificate, "certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&pair.key).map_err(|_| not_pem(key, "private key"))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| TlsError::Mismatch {
        key: key.clone(),
        certificate: certificate.clone(),
        reason: match error {
            rustls::Error::InconsistentKeys(_) => String::new(),
            other => format!(" ({other})"),
        },
    })
}
