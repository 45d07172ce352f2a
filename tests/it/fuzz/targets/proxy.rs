//! The header of the PROXY protocol: more octets never change what was decided, and the client is the one that is written there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gatepost::server::proxy::{HEADER_MAX, Header, LINE_MAX};

use super::{Target, outcome};

pub const TARGET: Target = Target {
    name: "proxy",
    run,
    seeds: &["testdata/fuzz/proxy"],
    words: &[
        b"PROXY TCP4 ",
        b"PROXY TCP6 ",
        b"PROXY UNKNOWN",
        b" 192.0.2.1 198.51.100.1 ",
        b" 2001:db8::1 2001:db8::2 ",
        b" 56324 25\r\n",
        SIGNATURE,
        b"\x21\x11\0\x0c",
        b"\x21\x21\0\x24",
        b"\x20\0\0\0",
        b"\x21\x12",
        b"\x21\x31",
        b"\0\x0c",
        b"\x02\x0a",
        b"QUIT",
        b"EHLO x\r\n",
    ],
    longest: 700,
    briefly: 6000,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn run(octets: &[u8]) -> u64 {
    let whole = Header::read(octets);
    let mut decided = None;
    for end in 0..=octets.len() {
        let found = Header::read(&octets[..end]);
        match (decided, found) {
            (None, Header::Partial) => assert!(end < HEADER_MAX, "a header that is longer than the buffer"),
            (None, Header::Whole(length, _)) => {
                assert!(length == end, "{length} octets of {end}");
                decided = Some(found);
            }
            (None, Header::Bad) => decided = Some(found),
            (Some(before), now) => assert_eq!(now, before, "more octets changed it, at {end}"),
        }
    }
    assert_eq!(decided.unwrap_or(Header::Partial), whole);
    if let Header::Whole(length, client) = whole {
        let header = &octets[..length];
        let expected = if header.starts_with(SIGNATURE) { version_2(header) } else { version_1(header) };
        assert_eq!(client, expected, "{}", header.escape_ascii());
    }
    outcome(&match whole {
        Header::Whole(_, client) => (2, client.map(|client| client.is_ipv4()), octets.first()),
        Header::Bad => (1, None, octets.first()),
        Header::Partial => (0, None, octets.first()),
    })
}

/// `PROXY TCP4 client server port port` (§2.1).
fn version_1(header: &[u8]) -> Option<SocketAddr> {
    assert!(header.len() <= LINE_MAX && header.ends_with(b"\r\n"));
    let line = std::str::from_utf8(header).unwrap().trim_end_matches("\r\n");
    let words: Vec<&str> = line.split(' ').collect();
    if words[1] == "UNKNOWN" {
        return None;
    }
    let ip: IpAddr = words[2].parse().unwrap();
    assert_eq!((words.len(), words[1]), (6, if ip.is_ipv4() { "TCP4" } else { "TCP6" }));
    Some(SocketAddr::new(ip, words[4].parse().unwrap()))
}

/// Signature, version and command, family, length, addresses (§2.2).
fn version_2(header: &[u8]) -> Option<SocketAddr> {
    assert_eq!(usize::from(u16::from_be_bytes([header[14], header[15]])), header.len() - 16);
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    match (header[12], header[13]) {
        (0x20, _) => None,
        (0x21, 0x11) => {
            let ip: [u8; 4] = header[16..20].try_into().unwrap();
            Some(SocketAddr::from((Ipv4Addr::from(ip), port(24))))
        }
        (0x21, 0x21) => {
            let ip: [u8; 16] = header[16..32].try_into().unwrap();
            Some(SocketAddr::from((Ipv6Addr::from(ip), port(48))))
        }
        (0x21, _) => None,
        (version, _) => panic!("version and command {version:#x}"),
    }
}
