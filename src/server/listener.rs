//! Listening: sockets that are bound before the drop of privileges, and the loop that accepts within its bounds.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::receive::network;

/// How many connections the kernel holds for us before we accept them.
const BACKLOG: i32 = 1024;

/// Binds a listening socket. `[::]` takes IPv4 too; on a host without IPv6 it becomes `0.0.0.0`, which is said once.
///
/// # Errors
/// A sentence that names the address and the mend.
pub fn bind(key: &str, address: SocketAddr) -> Result<std::net::TcpListener, String> {
    match listening(address) {
        Ok(listener) => Ok(listener),
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && no_ipv6(&error) => {
            let fallback = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            tracing::warn!(%address, %fallback, "this host has no IPv6, listening on IPv4 only");
            listening(fallback).map_err(|error| trouble(key, fallback, &error))
        }
        Err(error) => Err(trouble(key, address, &error)),
    }
}

fn listening(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn no_ipv6(error: &io::Error) -> bool {
    use nix::errno::Errno;
    [Errno::EAFNOSUPPORT as i32, Errno::EADDRNOTAVAIL as i32].iter().any(|code| error.raw_os_error() == Some(*code))
}

fn trouble(key: &str, address: SocketAddr, error: &io::Error) -> String {
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it (ss -ltnp shows it) or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "this host does not have that address",
        _ => "check the address",
    };
    format!("{key}: can't listen on {address}: {error}; {mend}")
}

/// How many connections there may be, in all and from one address.
#[derive(Debug)]
pub struct Permits {
    total: usize,
    per_address: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Held as long as the connection is open.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    /// `None` as long as a proxy has not said for whom it speaks.
    ip: Option<IpAddr>,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// All places are taken.
    Busy,
    /// This address has its share.
    Share,
    /// Its network has asked for too many unknown recipients.
    Harvest,
}

impl Permits {
    /// `total` connections at once, `per_address` of them from one address (an IPv6 /64 counts as one).
    pub fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Permits { total, per_address, open: Mutex::default() })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, Denied> {
        let mut permit = self.take_for_proxy()?;
        permit.name(ip)?;
        Ok(permit)
    }

    /// Takes a place for whom a proxy speaks, who is to be [named](Permit::name) next.
    ///
    /// # Errors
    /// All are taken.
    pub fn take_for_proxy(self: &Arc<Self>) -> Result<Permit, Denied> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            return Err(Denied::Busy);
        }
        open.total += 1;
        Ok(Permit { permits: Arc::clone(self), ip: None })
    }
}

impl Permit {
    /// Says whose it is, once.
    ///
    /// # Errors
    /// That address has its share.
    pub fn name(&mut self, ip: IpAddr) -> Result<(), Denied> {
        let ip = network(ip);
        let mut open = self.permits.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = open.by_address.entry(ip).or_insert(0);
        if *of_address >= self.permits.per_address {
            return Err(Denied::Share);
        }
        *of_address += 1;
        self.ip = Some(ip);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.permits.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        let Some(ip) = self.ip else { return };
        if let Some(of_address) = open.by_address.get_mut(&ip) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                open.by_address.remove(&ip);
            }
        }
    }
}

/// Accepts for ever and hands each connection on. Trouble (no descriptors left) is said and waited out, never spun on.
pub async fn accept(listener: TcpListener, mut take: impl FnMut(TcpStream, SocketAddr)) {
    let mut pause = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = Duration::from_millis(10);
                // replies are small and each is waited for
                let _ = stream.set_nodelay(true);
                take(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection, waiting a moment");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}
