//! The PROXY protocol, versions 1 and 2 (HAProxy, "The PROXY protocol", 2020): a load balancer says, before all else, for which
//! client it speaks. Read from the networks of `smtp.proxy_from` only, and there always: without it every check would look at the
//! balancer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Octets of the longest header of version 1, CRLF included (§2.1).
pub const LINE_MAX: usize = 107;
/// Octets of the longest header of version 2 that is read: what §2.2 has every receiver take at least.
pub const HEADER_MAX: usize = 536;
/// How long the header may take: it comes with the connection.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// What a header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Octets of version 2 before the addresses; the last two say how many follow.
const FIXED: usize = 16;

/// What the first octets of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Not whole yet.
    Partial,
    /// No header, or none that can be believed.
    Bad,
    /// A header of so many octets, for this client; `None` is the sender of the header itself (LOCAL, UNKNOWN, no IP address).
    Whole(usize, Option<SocketAddr>),
}

impl Header {
    /// Reads the octets that have come so far; what follows the header is left alone.
    pub fn read(octets: &[u8]) -> Header {
        let begins = |what: &[u8]| octets.starts_with(what) || what.starts_with(octets);
        match octets {
            [] => Header::Partial,
            _ if begins(SIGNATURE) => second(octets),
            _ if begins(b"PROXY ") => first(octets),
            _ => Header::Bad,
        }
    }
}

/// Version 1: a line.
fn first(octets: &[u8]) -> Header {
    let window = octets.get(..LINE_MAX).unwrap_or(octets);
    let Some(end) = window.iter().position(|octet| *octet == b'\n') else {
        return if window.len() < LINE_MAX { Header::Partial } else { Header::Bad };
    };
    let line = window.get(..=end).unwrap_or_default();
    match v1::Header::try_from(line).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(both)) => {
            Header::Whole(line.len(), Some(SocketAddr::from((both.source_address, both.source_port))))
        }
        Ok(v1::Addresses::Tcp6(both)) => {
            Header::Whole(line.len(), Some(SocketAddr::from((both.source_address, both.source_port))))
        }
        Ok(v1::Addresses::Unknown) => Header::Whole(line.len(), None),
        Err(_) => Header::Bad,
    }
}

/// Version 2: octets, and how many there are.
fn second(octets: &[u8]) -> Header {
    let Some([.., high, low]) = octets.get(..FIXED) else { return Header::Partial };
    let length = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if length > HEADER_MAX {
        return Header::Bad;
    }
    let Some(octets) = octets.get(..length) else { return Header::Partial };
    let Ok(header) = v2::Header::try_from(octets) else { return Header::Bad };
    let client = match (header.command, header.addresses, header.protocol) {
        (v2::Command::Local, ..) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_), _) => None,
        (_, v2::Addresses::IPv4(both), v2::Protocol::Stream) => {
            Some(SocketAddr::from((both.source_address, both.source_port)))
        }
        (_, v2::Addresses::IPv6(both), v2::Protocol::Stream) => {
            Some(SocketAddr::from((both.source_address, both.source_port)))
        }
        _ => return Header::Bad,
    };
    Header::Whole(length, client)
}

/// A connection that a proxy made: for whom it speaks, and what has come behind the header. All of the header must come within `deadline`.
///
/// # Errors
/// There is no header, it can't be believed, or it does not come in time.
pub async fn introduced(
    stream: &mut (impl AsyncRead + Unpin),
    proxy: SocketAddr,
    deadline: Duration,
) -> io::Result<(SocketAddr, Vec<u8>)> {
    let reading = async {
        let mut octets = Vec::with_capacity(HEADER_MAX);
        loop {
            match Header::read(&octets) {
                Header::Whole(length, client) => {
                    let client = client.unwrap_or(proxy);
                    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
                    return Ok((client, octets.split_off(length)));
                }
                Header::Bad => return Err(io::ErrorKind::InvalidData.into()),
                // a header that is longer than the buffer is bad before it fills it
                Header::Partial => {}
            }
            let room = HEADER_MAX.saturating_sub(octets.len()) as u64;
            if (&mut *stream).take(room).read_buf(&mut octets).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    timeout(deadline, reading).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
