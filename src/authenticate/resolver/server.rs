//! The servers that are asked: where they are, over what, and who vouches for them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hickory_resolver::TlsConfig;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use hickory_resolver::proto::dnssec::TrustAnchors;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::super::AuthenticateError;

/// A recursive resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its address and port.
    pub address: SocketAddr,
    /// How it is talked to.
    pub transport: Transport,
}

/// How a server is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// UDP, and TCP where an answer is truncated or its question altered.
    Plain,
    /// DNS over TLS (RFC 7858).
    Tls {
        /// The name that its certificate must be for.
        name: String,
    },
    /// DNS over HTTPS (RFC 8484).
    Https {
        /// The name that its certificate must be for.
        name: String,
        /// The path of its resource, `/dns-query` as a rule.
        path: String,
    },
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Server { address, transport: Transport::Plain }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::Plain => write!(f, "{}", self.address),
            Transport::Tls { name } => write!(f, "tls://{}#{name}", self.address),
            Transport::Https { name, path } => write!(f, "https://{}{path}#{name}", self.address),
        }
    }
}

impl Server {
    pub(super) fn for_hickory(&self) -> NameServerConfig {
        let connections = match &self.transport {
            Transport::Plain => vec![ConnectionConfig::udp(), ConnectionConfig::tcp()],
            Transport::Tls { name } => vec![ConnectionConfig::tls(name.as_str().into())],
            Transport::Https { name, path } => {
                vec![ConnectionConfig::https(name.as_str().into(), Some(path.as_str().into()))]
            }
        };
        let at_port = |mut connection: ConnectionConfig| {
            connection.port = self.address.port();
            connection
        };
        NameServerConfig::new(self.address.ip(), true, connections.into_iter().map(at_port).collect())
    }

    /// Whether its word on DNSSEC (the AD bit, RFC 4035 §3.2.3) counts.
    pub fn is_believed(&self) -> bool {
        is_believed(self.address.ip(), !self.is_plain())
    }

    pub(super) fn is_plain(&self) -> bool {
        self.transport == Transport::Plain
    }
}

/// Whether nobody between us and the server can alter what it says: only then its word on DNSSEC (AD) counts.
pub(super) fn is_believed(ip: IpAddr, is_encrypted: bool) -> bool {
    is_encrypted || is_near(ip)
}

/// Whether it is on this host.
pub(super) fn is_near(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// How certificates are verified: by those of the file, else by the system's. Where no server has one nothing is read, so that
/// a machine without certificates is fine.
pub(super) fn tls(servers: &[Server], roots: Option<&PathBuf>) -> Result<ClientConfig, AuthenticateError> {
    let trusted = match roots {
        Some(path) => read_roots(path)?,
        None if servers.iter().all(Server::is_plain) => RootCertStore::empty(),
        None => {
            let config = TlsConfig::new().map_err(|error| AuthenticateError::Roots(error.to_string()))?;
            return Ok(config.config);
        }
    };
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| AuthenticateError::Build(error.to_string()))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(config)
}

/// What validation starts from (RFC 4033 §2).
pub(super) fn anchors(path: &Path) -> Result<TrustAnchors, AuthenticateError> {
    let unusable = |why: &str| AuthenticateError::Anchors(format!("{}: {why}", path.display()));
    let anchors = TrustAnchors::from_file(path).map_err(|error| unusable(&error.to_string()))?;
    if anchors.is_empty() {
        return Err(unusable("there is no DNSKEY record of the root in this file"));
    }
    Ok(anchors)
}

fn read_roots(path: &Path) -> Result<RootCertStore, AuthenticateError> {
    let unusable = |why: &str| AuthenticateError::Roots(format!("{}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(&error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(&error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate in PEM format in this file"));
    }
    Ok(roots)
}
