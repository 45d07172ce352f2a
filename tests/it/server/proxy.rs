//! For whom somebody else speaks: PROXY headers and XCLIENT, from configured networks only.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost::server::proxy::{HEADER_MAX, Header, LINE_MAX};

use crate::support::site::{Client, Setup, Site, message};

const POSTMASTER: &str = "postmaster = \"alice@local.example\"\n";

/// Version 2, of a command, a family and protocol, and what follows the length.
fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length, rest].concat()
}

const IPV4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x10, 0x00, 0, 25];

#[test]
fn headers_of_both_versions_are_read_wherever_they_are_cut() {
    let ipv6 = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0x10, 1, 0, 25]].concat();
    let v4: SocketAddr = "192.0.2.1:4096".parse().unwrap();
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4096 25\r\n".to_vec(), Some(v4)),
        (b"PROXY TCP6 2001:db8::7 ::1 4097 25\r\n".to_vec(), Some("[2001:db8::7]:4097".parse().unwrap())),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), None),
        (second(1, 0x11, IPV4), Some(v4)),
        (second(1, 0x11, &[IPV4, &[4, 0, 3, 1, 2, 3]].concat()), Some(v4)),
        (second(1, 0x21, &ipv6), Some("[2001:db8::7]:4097".parse().unwrap())),
        (second(0, 0x00, &[]), None),
        (second(0, 0x11, IPV4), None),
        (second(1, 0x00, &[]), None),
        (second(1, 0x31, &[b'x'; 216]), None),
        (second(1, 0x11, &[IPV4, &[0; HEADER_MAX - 16 - 12]].concat()), Some(v4)),
    ] {
        let told = header.escape_ascii().to_string();
        for end in 0..header.len() {
            assert_eq!(Header::read(&header[..end]), Header::Partial, "{end} octets of {told}");
        }
        let whole = Header::Whole(header.len(), client);
        assert_eq!(Header::read(&header), whole, "{told}");
        assert_eq!(Header::read(&[&header, &b"EHLO x\r\n"[..]].concat()), whole, "{told}");
    }
}

#[test]
fn what_is_no_header_or_too_long_is_not_waited_for() {
    for octets in [
        b"EHLO x\r\n".to_vec(),
        b"\r\nEHLO".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4096 25\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4096 25 \n".to_vec(),
        b"PROXY UNKNOWN \n".to_vec(),
        b"PROXY TCP4 192.0.2.256 192.0.2.2 4096 25\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 70000 25\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::1 ::1 4096 25\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.1 192.0.2.2 4096 25\r\n".to_vec(),
        b"PROXY \r\n".to_vec(),
        [&b"PROXY UNKNOWN "[..], &[b'x'; LINE_MAX - 14]].concat(),
        second(2, 0x11, IPV4),
        second(1, 0x12, IPV4),
        second(1, 0x41, IPV4),
        second(1, 0x11, &IPV4[..11]),
        second(1, 0x11, &[0; HEADER_MAX - 15]),
    ] {
        assert_eq!(Header::read(&octets), Header::Bad, "{}", octets.escape_ascii());
    }
    let mut third = second(1, 0x11, IPV4);
    third[12] = 0x31;
    assert_eq!(Header::read(&third), Header::Bad);
}

#[test]
fn the_client_is_whom_the_proxy_names() {
    let smtp = format!("{POSTMASTER}proxy_from = [\"127.0.0.8\"]");
    let more = "[limits]\nconnections_per_address = 2\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let through = |header: &[u8]| {
        let mut client = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 8));
        let (head, tail) = header.split_at(header.len() / 2);
        client.send(head);
        std::thread::sleep(std::time::Duration::from_millis(20));
        client.send(tail);
        client
    };
    let mut held = Vec::new();
    for (header, ip) in [
        (b"PROXY TCP4 127.0.0.21 127.0.0.1 4096 25\r\n".to_vec(), "127.0.0.21"),
        (second(1, 0x11, &[127, 0, 0, 22, 127, 0, 0, 1, 0x10, 0, 0, 25]), "127.0.0.22"),
        (second(0, 0, &[]), "127.0.0.8"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.8"),
    ] {
        let mut client = through(&header);
        client.reply().is("220 ");
        client.begin("a@sender.example", &["alice@local.example"]);
        let reply = client.data(message("a@sender.example"));
        let record = site.record(reply.is("250"));
        assert_eq!(record.facts.client.ip.to_string(), ip);
        held.push(client);
    }
    // the share is the client's and not the proxy's
    through(b"PROXY TCP4 127.0.0.30 127.0.0.1 4096 25\r\n").reply().is("220 ");
    through(b"PROXY UNKNOWN\r\n").reply().is("421 4.7.0 too many connections from your address");
    for nothing in [&b"EHLO x\r\n"[..], b"\x16\x03\x01", b"PROXY TCP4 x\r\n"] {
        through(nothing).expect_end();
    }
    assert_eq!(site.metric("gatepost_protocol_abuses_total", &["kind=\"proxy-header\""]), 3.0);
    drop(held);
    site.wait_for_metric("gatepost_connections", &[], 0.0);
}

#[test]
fn a_header_from_anybody_else_is_not_believed() {
    let smtp = format!("{POSTMASTER}proxy_from = [\"127.0.0.8\"]");
    let site = Site::start(Setup { smtp: &smtp, ..Setup::default() });
    let mut client = site.dial();
    client.expect("PROXY TCP4 192.0.2.1 192.0.2.2 4096 25", "421 4.7.0");
    client.expect_end();
    assert_eq!(site.metric("gatepost_protocol_abuses_total", &["kind=\"proxy-header\""]), 1.0);
}

#[test]
fn xclient_makes_another_client_of_it_and_nobody_else_may() {
    let smtp = format!("{POSTMASTER}xclient_from = [\"127.0.0.8\"]");
    let site = Site::start(Setup { smtp: &smtp, ..Setup::default() });
    let mut stranger = site.dial();
    assert!(!stranger.expect("EHLO client.example", "250").text.contains("XCLIENT"));
    stranger.expect("XCLIENT ADDR=127.0.0.40", "502 5.5.1");
    let mut client = site.dial_from([127, 0, 0, 8]);
    let ehlo = client.expect("EHLO filter.example", "250");
    assert!(ehlo.text.contains("250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"), "{ehlo:?}");
    client.expect("XCLIENT NAME=mail.example ADDR=127.0.0.40 PORT=4711 HELO=helo.example", "220 mx.local.example");
    client.expect("MAIL FROM:<a@sender.example>", "503 5.5.1");
    client.begin("a@sender.example", &["alice@local.example"]);
    let reply = client.data(message("a@sender.example"));
    let facts = site.record(reply.is("250")).facts;
    assert_eq!((facts.client.ip.to_string().as_str(), facts.client.port), ("127.0.0.40", 4711));
    assert_eq!((facts.client.name.as_str(), facts.helo.as_str()), ("", "client.example"));
}
