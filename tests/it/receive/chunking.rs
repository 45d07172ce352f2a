//! BDAT over a real connection (RFC 3030): what is stored, what is refused, and that no octet of a chunk is ever a command.

use gatepost::facts::word::Action;

use crate::support::dns::Zone;
use crate::support::site::{Client, Setup, Site, message};

/// Sends a chunk; the answer to it.
fn bdat(client: &mut Client, octets: impl AsRef<[u8]>, last: &str) -> crate::support::site::Reply {
    let octets = octets.as_ref();
    client.send([format!("BDAT {}{last}\r\n", octets.len()).as_bytes(), octets].concat());
    client.reply()
}

#[test]
fn chunks_are_stored_as_one_message_wherever_they_are_cut() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    let ehlo = client.say("EHLO client.example");
    assert!(ehlo.text.contains("\n250-CHUNKING\n"), "{ehlo:?}");
    let text = format!("{}.\r\n.two\r\nQUIT", message("a@sender.example"));
    let mut copies = Vec::new();
    for cut in [0, 1, 20, 27, 28, text.len() - 6, text.len() - 5, text.len()] {
        client.mail("a@sender.example", &["alice@local.example"]);
        bdat(&mut client, &text[..cut], "").is("250 2.0.0");
        bdat(&mut client, &text[cut..], " LAST").is("250 2.0.0 accepted").reference();
        copies.push(site.only("local.example/alice"));
        std::fs::remove_file(&crate::support::site::files(&site.maildir("local.example/alice/new"))[0]).unwrap();
    }
    let body = "\n\nhello\n.\n.two\nQUIT\n";
    assert!(copies.iter().all(|copy| copy.ends_with(body)), "{copies:?}");
    assert_eq!(site.metric("gatepost_replies_total", &["verb=\"bdat\"", "code=\"250\""]), 8.0);
    assert_eq!(site.metric("gatepost_replies_total", &["verb=\"message\"", "code=\"250\""]), 8.0);
}

#[test]
fn a_whole_session_of_chunks_in_one_write_is_answered_in_order() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    let text = message("a@sender.example");
    let open = "MAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@local.example>\r\n";
    let unknown = "MAIL FROM:<a@sender.example>\r\nRCPT TO:<x@local.example>\r\n";
    let chunk = format!("BDAT {}\r\n{text}", text.len());
    let quit = "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n";
    client.expect("EHLO c.example", "250");
    client.send(format!("{open}{chunk}BDAT 0 LAST\r\n{unknown}{quit}{open}{chunk}RSET\r\nQUIT\r\n"));
    let expected = [250, 250, 250, 250, 250, 550, 554, 554, 250, 250, 250, 250, 221];
    let codes: Vec<u16> = expected.iter().map(|_| client.reply().code).collect();
    assert_eq!(codes, expected);
    client.expect_end();
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn a_chunk_that_is_refused_is_read_to_its_last_octet_and_journalled() {
    let site = Site::start(Setup { more: "[limits]\nmessage = 70000\n", ..Setup::default() });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for (octets, codes) in [
        ("RSET\r\n".repeat(20_000), "552 5.3.4 message too big"),
        ("From: <a@b.example>\r\n\r\nx\n.\r\n".to_owned(), "550 5.6.0 the message has an LF without CR"),
        ("From: <a@b.example>\r\n\r\nx\r".to_owned(), "550 5.6.0 the message has a CR without LF"),
    ] {
        client.mail("a@sender.example", &["alice@local.example"]);
        let reply = bdat(&mut client, octets, " LAST");
        assert_eq!(site.record(reply.is(codes)).decision.action, Action::Reject);
        client.expect("NOOP", "250 2.0.0 ok");
    }
    // nothing is reserved for what is only said
    client.mail("a@sender.example", &["alice@local.example"]);
    client.send(format!("BDAT {} LAST\r\nQUIT\r\n", u64::MAX));
    client.half_close();
    client.expect_end();
    assert_eq!(site.all_files().len(), 0);
}

#[test]
fn an_end_of_the_connection_within_chunks_delivers_nothing() {
    let site = Site::open(Zone::new());
    let text = message("a@sender.example");
    let size = text.len();
    let ends = [
        format!("BDAT {size}\r\n{text}"),
        format!("BDAT {} LAST\r\n{text}", size + 1),
        format!("BDAT {size}\r\n{text}BDAT 0 LAS"),
        format!("BDAT {size}\r\n{text}BDAT 0 LAST"),
        format!("BDAT {size}\r\n{text}BDAT 1 LAST\r\n"),
    ];
    for end in &ends {
        let mut client = site.dial();
        client.begin("a@sender.example", &["alice@local.example"]);
        client.send(end);
        client.half_close();
        while client.reply().code == 250 {}
    }
    let records = site.records(ends.len());
    assert!(records.iter().all(|record| record.decision.reply.is_empty() && record.delivery.is_empty()));
    assert_eq!(site.all_files().len(), 0);
}
