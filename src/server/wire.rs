//! The octets of a connection, in clear or under TLS, each wait with its deadline.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::receive::Tls;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a client may take to accept our replies.
const WRITE: Duration = Duration::from_secs(60);
/// How long a connection may stay open after our goodbye.
const LINGER: Duration = Duration::from_secs(2);
/// Octets that are then read at once, and how often.
const LINGER_CHUNK: usize = 16 * 1024;
const LINGER_CHUNKS: usize = 64;

/// A connection to a client.
pub(super) enum Wire {
    Clear(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Waits until the client has sent something or left; owns no buffer meanwhile where the connection is in clear.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Wire::Clear(stream) => stream.readable().await,
            Wire::Secured(_) => Ok(()),
        }
    }

    /// Appends what the client sent, at most what the buffer has room for; 0 is the end. Dropping the future loses nothing.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Wire::Clear(stream) => stream.read_buf(buffer).await,
            Wire::Secured(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// The connection's own, and `TimedOut` where the client does not take it within a minute.
    pub(super) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let sending = async {
            match self {
                Wire::Clear(stream) => stream.write_all(octets).await,
                Wire::Secured(stream) => {
                    stream.write_all(octets).await?;
                    stream.flush().await
                }
            }
        };
        timeout(WRITE, sending).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The TLS handshake (RFC 3207 §4). A connection that is secured already stays as it is.
    ///
    /// # Errors
    /// What the handshake ended with, and `TimedOut` after 30 seconds, or after `idle` where that is less.
    pub(super) async fn secure(self, acceptor: &TlsAcceptor, idle: Duration) -> io::Result<Wire> {
        match self {
            Wire::Clear(stream) => match timeout(HANDSHAKE.min(idle), acceptor.accept(stream)).await {
                Ok(secured) => Ok(Wire::Secured(Box::new(secured?))),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
            secured @ Wire::Secured(_) => Ok(secured),
        }
    }

    /// What was agreed on, as the facts name it; `None` in clear.
    pub(super) fn tls(&self) -> Option<Tls> {
        let Wire::Secured(stream) = self else { return None };
        let (_, tls) = stream.get_ref();
        let version = match tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let group = tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        Some(Tls {
            version: version.to_owned(),
            // rustls names the suites of TLS 1.3 `TLS13_…`; IANA's names have no number
            cipher: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
            group: group.unwrap_or_default(),
            sni: tls.server_name().unwrap_or_default().to_owned(),
        })
    }

    /// Says goodbye (close_notify under TLS), and takes for a moment what the client still sends: octets that nobody reads would make
    /// the kernel reset the connection, and the last reply (a 250 maybe) be lost where it has to be sent once more.
    pub(super) async fn close(mut self) {
        let closing = async {
            match &mut self {
                Wire::Clear(stream) => stream.shutdown().await?,
                Wire::Secured(stream) => stream.shutdown().await?,
            }
            let mut rest = Vec::with_capacity(LINGER_CHUNK);
            for _ in 0..LINGER_CHUNKS {
                rest.clear();
                if self.read(&mut rest).await? == 0 {
                    break;
                }
            }
            io::Result::Ok(())
        };
        // the client may be gone already
        let _ = timeout(LINGER, closing).await;
    }
}
