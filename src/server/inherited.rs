//! Listening sockets that somebody else bound: systemd (socket activation), or the process that we take over from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use listenfd::ListenFd;

use crate::config::Config;
use crate::problem::Problems;

use super::bind::StartError;
use super::handover::{self, Kind, TakeError};
use super::listener;

/// What a socket is for, as `FileDescriptorName=` of systemd's socket unit says it.
const HTTP: &str = "http";

/// Sockets that are there already.
#[derive(Default)]
pub struct Inherited {
    pub(super) smtp: Vec<TcpListener>,
    pub(super) http: Option<TcpListener>,
    /// systemd has bound those for mail: `smtp.listen` is not heeded.
    is_activated: bool,
    /// Who waits to hear that we accept mail.
    pub(super) predecessor: Option<UnixStream>,
    /// Where the next process asks.
    pub(super) handover: Option<UnixListener>,
    /// Under what the predecessor remembers.
    pub(super) secret: Option<[u8; 32]>,
}

impl Inherited {
    /// The sockets that systemd handed to this process (LISTEN_FDS): one named `http` is for metrics, all others are for mail.
    ///
    /// # Errors
    /// One of them is no listening TCP socket.
    pub fn of_systemd() -> Result<Inherited, StartError> {
        // before the first thread: listenfd takes the variables out of the environment
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for at in 0..handed.len() {
            let name = names.next().unwrap_or_default();
            let wrong = |error: &dyn std::fmt::Display| {
                let mend = "the socket unit must have ListenStream= with a port";
                StartError::Machine(format!("socket {at} ({name:?}) of systemd can't be used: {error}; {mend}"))
            };
            let listener = handed.take_tcp_listener(at).map_err(|error| wrong(&error))?;
            let Some(listener) = listener else { continue };
            usable(&listener).map_err(|error| wrong(&error))?;
            if name == HTTP {
                inherited.http = Some(listener);
            } else {
                inherited.smtp.push(listener);
            }
        }
        inherited.is_activated = !inherited.smtp.is_empty();
        Ok(inherited)
    }

    /// The sockets of the server that runs, handed over by it at `security.handover`; none where no server is there.
    ///
    /// # Errors
    /// The key is absent, or what is there is no server of ours.
    pub fn of_predecessor(config: &Config) -> Result<Inherited, StartError> {
        let Some(path) = &config.security.handover else {
            let cause = "this key is missing: nobody knows where the server that runs can be asked";
            return Err(StartError::Problems(config.problem("security.handover", cause, "name a path").into()));
        };
        let told = |error: TakeError| StartError::Machine(format!("security.handover: {}: {error}", path.display()));
        let Some(taken) = handover::take(path).map_err(told)? else {
            tracing::info!(path = %path.display(), "nobody is there to take over from");
            return Ok(Inherited::default());
        };
        let mut inherited =
            Inherited { predecessor: Some(taken.predecessor), secret: taken.secret, ..Inherited::default() };
        for (kind, socket) in taken.sockets {
            inherited.receive(kind, socket).map_err(|error| told(error.into()))?;
        }
        Ok(inherited)
    }

    /// Takes a socket for what it is.
    fn receive(&mut self, kind: Kind, socket: OwnedFd) -> io::Result<()> {
        if kind == Kind::Handover {
            let listener = UnixListener::from(socket);
            listens(&listener)?;
            listener.local_addr()?;
            listener.set_nonblocking(true)?;
            self.handover = Some(listener);
            return Ok(());
        }
        let listener = TcpListener::from(socket);
        usable(&listener)?;
        match kind {
            Kind::Http => self.http = Some(listener),
            Kind::Smtp | Kind::Handover => self.smtp.push(listener),
        }
        Ok(())
    }

    /// The sockets that mail comes in by: those that are there already, and those that must be bound.
    ///
    /// # Errors
    /// The place of the address, why it can't be had, and the mend.
    pub(super) fn listen_for_mail(&mut self, config: &Config) -> Result<Vec<TcpListener>, StartError> {
        let mut there = std::mem::take(&mut self.smtp);
        if self.is_activated {
            let addresses: Vec<String> = there.iter().map(told).collect();
            tracing::info!(addresses = %addresses.join(" "), "systemd's sockets are used, smtp.listen is not heeded");
            let is_missing = |address: &&SocketAddr| !there.iter().any(|listener| covers(listener, **address));
            let missing: Vec<_> = config.smtp.listen.iter().filter(is_missing).map(SocketAddr::to_string).collect();
            if !missing.is_empty() && config.says("smtp.listen") {
                tracing::warn!(
                    missing = %missing.join(" "),
                    "smtp.listen has addresses that none of systemd's sockets has, nobody listens there: give the socket unit \
                     ListenStream= for each, or take them out"
                );
            }
            return Ok(there);
        }
        let mut all = Vec::new();
        for address in &config.smtp.listen {
            let found = there.iter().position(|listener| is_at(listener, *address));
            all.push(match found {
                Some(at) => there.swap_remove(at),
                None => listen(config, "smtp.listen", *address)?,
            });
        }
        Ok(all)
    }

    /// The socket of the metrics.
    ///
    /// # Errors
    /// As [`Inherited::listen_for_mail`].
    pub(super) fn listen_for_http(&mut self, config: &Config) -> Result<TcpListener, StartError> {
        let is_handed_over = self.predecessor.is_some();
        let there = self.http.take().filter(|listener| !is_handed_over || is_at(listener, config.http.listen));
        there.map_or_else(|| listen(config, "http.listen", config.http.listen), Ok)
    }
}

fn listen(config: &Config, key: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listener::bind(address).map_err(|(cause, mend)| {
        let problem = Problems::from(config.problem(key, cause, mend));
        StartError::Machine(problem.headlines(1).concat())
    })
}

fn told(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// Whether it listens there; `[::]` may have become `0.0.0.0`.
fn is_at(listener: &TcpListener, address: SocketAddr) -> bool {
    let fallback = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    let any = address.is_ipv6() && address.ip().is_unspecified();
    listener.local_addr().is_ok_and(|at| at == address || (any && at == fallback))
}

/// Whether who connects there comes to it.
fn covers(listener: &TcpListener, address: SocketAddr) -> bool {
    let any = |at: SocketAddr| {
        let ip = at.ip();
        at.port() == address.port() && ip.is_unspecified() && (ip.is_ipv6() || address.is_ipv4())
    };
    is_at(listener, address) || listener.local_addr().is_ok_and(any)
}

/// Makes it one that the runtime can use.
fn usable(listener: &TcpListener) -> io::Result<()> {
    listens(listener)?;
    listener.local_addr()?;
    listener.set_nonblocking(true)
}

fn listens(socket: &impl AsFd) -> io::Result<()> {
    if rustix::net::sockopt::socket_acceptconn(socket)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "one of its sockets does not listen"))
}
