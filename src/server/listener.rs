//! Listening: sockets that are bound before the drop of privileges, and the loop that accepts within its bounds.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::FutureExt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::descriptors::{Descriptors, is_of_descriptors};

/// How many connections the kernel holds for us before we accept them.
const BACKLOG: i32 = 1024;

/// Binds a listening socket. `[::]` takes IPv4 too; on a host without IPv6 it becomes `0.0.0.0`, which is said once.
///
/// # Errors
/// What is wrong with the address, and the mend.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, (String, &'static str)> {
    match listening(address) {
        Ok(listener) => Ok(listener),
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && no_ipv6(&error) => {
            let fallback = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            tracing::warn!(%address, %fallback, "this host has no IPv6, listening on IPv4 only");
            listening(fallback).map_err(|error| trouble(fallback, &error))
        }
        Err(error) => Err(trouble(address, &error)),
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

fn trouble(address: SocketAddr, error: &io::Error) -> (String, &'static str) {
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it (ss -ltnp shows it) or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "this host does not have that address",
        _ => "check the address",
    };
    (format!("can't listen on {address}: {error}"), mend)
}

/// How long is waited after trouble, at first.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts for ever and hands each connection on, with whether there is hardly a descriptor left: then the client is to be told to come
/// again. Trouble is said and waited out, never spun on.
pub async fn accept(listener: TcpListener, mut take: impl FnMut(TcpStream, SocketAddr, bool)) {
    let mut descriptors = Descriptors::new();
    let mut pause = PAUSE;
    loop {
        descriptors.keep_reserve(&listener);
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = PAUSE;
                // replies are small and each is waited for
                let _ = stream.set_nodelay(true);
                let is_scarce = descriptors.are_scarce_for(&stream);
                take(stream, canonical(peer), is_scarce);
            }
            // each turn tells one client, which is gone then: nothing to wait for
            Err(error) if is_of_descriptors(&error) && descriptors.give_up_reserve() => {
                descriptors.say();
                if let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
                    take(stream, canonical(peer), true);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection, waiting a moment");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}
