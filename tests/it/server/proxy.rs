//! For whom somebody else speaks: PROXY headers and XCLIENT, from configured networks only.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost::server::proxy::{DEADLINE, HEADER_MAX, Header, LINE_MAX, introduced};

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

/// A connection of the filter, which has greeted.
fn filter(site: &Site) -> Client {
    let mut client = site.dial_from([127, 0, 0, 8]);
    client.expect("EHLO filter.example", "250");
    client
}

/// Asks for so many who are nobody; the codes of the answers.
fn harvest(client: &mut Client, times: usize) -> Vec<u16> {
    client.expect("EHLO client.example", "250");
    client.expect("MAIL FROM:<a@sender.example>", "250");
    (0..times).map(|n| client.say(&format!("RCPT TO:<nobody{n}@local.example>")).code).collect()
}

#[test]
fn the_budget_of_unknown_recipients_is_the_introduced_clients_and_never_the_filters() {
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"\nxclient_from = [\"127.0.0.8\"]\nproxy_from = [\"127.0.0.7\"]");
    let more = "[limits]\nunknown_recipients = 100\nunknown_recipients_per_address = 3\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    // mail of the filter itself
    assert_eq!(harvest(&mut filter(&site), 6), [550; 6]);
    let mut client = filter(&site);
    client.expect("XCLIENT ADDR=127.0.0.40", "220");
    assert_eq!(harvest(&mut client, 4), [550, 550, 550, 421]);
    client.expect_end();
    let mut again = filter(&site);
    let reply = again.expect("XCLIENT ADDR=127.0.0.40", "421 4.7.0 too many unknown recipients");
    assert_eq!(site.record(&reply).facts.client.ip.to_string(), "127.0.0.40");
    again.expect_end();
    assert_eq!(site.metric("gatepost_connections_total", &["outcome=\"harvest\""]), 1.0);
    let mut other = filter(&site);
    other.expect("XCLIENT ADDR=127.0.0.41", "220");
    assert_eq!(harvest(&mut other, 3), [550; 3]);
    // what a proxy sends for itself
    for _ in 0..2 {
        let mut own = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 7));
        own.send("PROXY UNKNOWN\r\n");
        own.reply().is("220 ");
        assert_eq!(harvest(&mut own, 5), [550; 5]);
    }
}

#[test]
fn the_share_of_connections_is_the_introduced_clients_and_moves_with_the_name() {
    let smtp = format!("{POSTMASTER}xclient_from = [\"127.0.0.8\"]");
    let more = "[limits]\nconnections_per_address = 2\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let mut held: Vec<Client> = (0..5).map(|_| filter(&site)).collect();
    held[0].expect("XCLIENT ADDR=127.0.0.40", "220");
    held[1].expect("XCLIENT ADDR=127.0.0.40", "220");
    let reply = held[2].expect("XCLIENT ADDR=127.0.0.40", "421 4.7.0 too many connections from your address");
    held[2].expect_end();
    assert_eq!(site.record(&reply).facts.client.ip.to_string(), "127.0.0.40");
    held[3].expect("XCLIENT ADDR=127.0.0.41", "220");
    // the same client is named again, and then another one
    held[0].expect("XCLIENT ADDR=127.0.0.40 HELO=again.example", "220");
    held[0].expect("XCLIENT ADDR=127.0.0.42", "220");
    held[4].expect("XCLIENT ADDR=127.0.0.40", "220");
    // who connects by itself has what is left of its share
    let _first = site.dial_from([127, 0, 0, 41]);
    let mut late = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 41));
    late.reply().is("421 4.7.0 too many connections from your address");
    drop(held);
    site.wait_for_metric("gatepost_connections", &[], 1.0);
    for _ in 0..2 {
        filter(&site).expect("XCLIENT ADDR=127.0.0.40", "220");
    }
}

#[test]
fn what_one_introduced_client_did_does_not_count_against_the_next() {
    let smtp = format!("{POSTMASTER}tarpit = \"0s\"\nxclient_from = [\"127.0.0.8\"]");
    let more = "[limits]\nerrors = 3\nunknown_recipients = 2\nconnections = 10\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let mut client = filter(&site);
    for last in [40, 41, 42] {
        client.expect(&format!("XCLIENT ADDR=127.0.0.{last}"), "220");
        (0..3).for_each(|_| drop(client.expect("NONSENSE", "500 5.5.1")));
        assert_eq!(harvest(&mut client, 2), [550; 2]);
        client.expect("RSET", "250");
    }
    // a name alone makes nobody else of it
    client.expect("XCLIENT HELO=other.example", "220");
    client.expect("NONSENSE", "421 4.7.0");
    let mut client = filter(&site);
    client.expect("XCLIENT ADDR=127.0.0.50", "220");
    client.expect("NONSENSE", "500 5.5.1");
    client.expect("XCLIENT ADDR=127.0.0.51", "220");
    client.begin("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("250 2.0.0");
    client.expect("QUIT", "221");
    site.wait_for_metric("gatepost_connections", &[], 0.0);
    // the last of ten places is for those that have behaved
    let _held: Vec<Client> = (1..=9).map(|last| site.dial_from([127, 0, 1, last])).collect();
    let mut misbehaved = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 50));
    misbehaved.reply().is("421 4.3.2");
    site.dial_from([127, 0, 0, 51]).expect("NOOP", "250");
}

#[test]
fn a_client_of_whom_nothing_is_known_is_not_the_one_before() {
    let smtp = format!("{POSTMASTER}xclient_from = [\"127.0.0.8\"]");
    let site = Site::start(Setup { smtp: &smtp, ..Setup::default() });
    let mut client = filter(&site);
    for (line, ip) in [
        ("XCLIENT ADDR=127.0.0.40", "127.0.0.40"),
        ("XCLIENT NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]", "127.0.0.8"),
        ("XCLIENT ADDR=127.0.0.41", "127.0.0.41"),
        ("XCLIENT HELO=more.of.it.example", "127.0.0.41"),
    ] {
        client.expect(line, "220");
        client.begin("a@sender.example", &["alice@local.example"]);
        let reply = client.data(message("a@sender.example"));
        assert_eq!(site.record(reply.is("250")).facts.client.ip.to_string(), ip, "{line}");
    }
}

#[test]
fn who_a_proxy_names_may_say_xclient_only_where_it_is_a_filter_itself() {
    let smtp = format!("{POSTMASTER}proxy_from = [\"127.0.0.7\"]\nxclient_from = [\"127.0.0.7\", \"127.0.0.8\"]");
    let more = "[limits]\nconnections_per_address = 1\n";
    let site = Site::start(Setup { smtp: &smtp, more, ..Setup::default() });
    let through = |ip: &str| {
        let mut client = Client::connect(site.smtp, Ipv4Addr::new(127, 0, 0, 7));
        client.send(format!("PROXY TCP4 {ip} 127.0.0.1 4096 25\r\n"));
        client.reply().is("220 ");
        client
    };
    let mut stranger = through("127.0.0.30");
    assert!(!stranger.expect("EHLO client.example", "250").text.contains("XCLIENT"));
    stranger.expect("XCLIENT ADDR=127.0.0.40", "502 5.5.1");
    // the filter's connections are no share of one client
    let (mut first, mut second) = (through("127.0.0.8"), through("127.0.0.8"));
    first.expect("EHLO filter.example", "250");
    first.expect("XCLIENT ADDR=127.0.0.40", "220");
    second.expect("EHLO filter.example", "250");
    second.expect("XCLIENT ADDR=127.0.0.41", "220");
}

#[test]
fn the_whole_header_must_come_in_time_however_it_drips() {
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    assert_eq!(DEADLINE, Duration::from_secs(10));
    let proxy = SocketAddr::from(([127, 0, 0, 8], 4711));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let heard = |octets: Vec<u8>, pause: Duration, deadline: Duration| {
        runtime.block_on(async {
            let (mut ours, mut theirs) = tokio::io::duplex(16);
            let dripping = tokio::spawn(async move {
                for octet in octets {
                    tokio::time::sleep(pause).await;
                    if theirs.write_all(&[octet]).await.is_err() {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            });
            let heard = introduced(&mut ours, proxy, deadline).await;
            dripping.abort();
            heard
        })
    };
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 4096 25\r\n".to_vec();
    // no pause is as long as the deadline, all of them together are longer
    let slow = heard(line.clone(), Duration::from_millis(20), Duration::from_millis(200));
    assert_eq!(slow.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let silent = heard(Vec::new(), Duration::ZERO, Duration::from_millis(50));
    assert_eq!(silent.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let cut = heard(second(1, 0x11, IPV4)[..20].to_vec(), Duration::ZERO, Duration::from_millis(50));
    assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let (client, behind) = heard(line, Duration::from_millis(1), DEADLINE).unwrap();
    assert_eq!((client.to_string().as_str(), behind.len()), ("192.0.2.1:4096", 0));
}
