//! Where a message ends and what is no message, over a real connection (RFC 5321 §4.5.2): refused after its true end, never two of one.

use gatepost::facts::word::Action;

use crate::support::corpora;
use crate::support::dns::Zone;
use crate::support::site::{Setup, Site, message};

#[test]
fn bare_line_ends_and_nul_are_refused_after_the_true_end() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for defect in ["a\nb", "a\rb", "a\0b", "\n.\n", "\n.\r\nMAIL FROM:<b@c.example>", "\r.\r\n", "\r\n.\n", "\r\n.\rx"]
    {
        client.mail("a@sender.example", &["alice@local.example"]);
        client.expect("DATA", "354");
        client.send(format!("From: <a@sender.example>\r\n\r\n{defect}\r\n.\r\n"));
        let reply = client.reply();
        let record = site.record(reply.is("550 5.6.0 the message has "));
        assert_eq!((record.decision.action, record.decision.rule.as_str()), (Action::Reject, ""));
        // what stands behind the true end is a command again, and nothing before it was one
        client.expect("NOOP", "250 2.0.0 ok");
    }
    assert_eq!(site.all_files().len(), 0);
    client.mail("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("250");
    assert_eq!(site.all_files().len(), 1, "the session goes on");
}

#[test]
fn a_message_over_the_limit_is_refused_after_its_end_and_before_where_it_says_so() {
    let site = Site::start(Setup { more: "[limits]\nmessage = 70000\n", ..Setup::default() });
    let mut client = site.dial();
    assert!(client.say("EHLO client.example").text.contains("SIZE 70000"));
    client.expect("MAIL FROM:<a@sender.example> SIZE=70001", "552 5.3.4");
    client.mail("a@sender.example", &["alice@local.example"]);
    let fits = [b"From: <a@sender.example>\r\n\r\n".as_slice(), &vec![b'x'; 70_000 - 28 - 2], b"\r\n"].concat();
    assert_eq!(fits.len(), 70_000);
    client.data(&fits).is("250");
    client.mail("a@sender.example", &["alice@local.example"]);
    let reply = client.data([fits.as_slice(), b"\r\n"].concat());
    let record = site.record(reply.is("552 5.3.4"));
    assert_eq!(record.decision.action, Action::Reject);
    // one defect more changes nothing: it is too big first of all
    client.mail("a@sender.example", &["alice@local.example"]);
    client.data([b"bare\rCR", fits.as_slice()].concat()).is("552 5.3.4");
    client.expect("NOOP", "250");
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn a_header_too_large_is_too_big() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    let many_fields: String = (0..1001).map(|n| format!("X-{n}: x\r\n")).collect();
    let large: String = (0..300).map(|_| format!("X: {}\r\n", "x".repeat(996))).collect();
    for header in [many_fields, large] {
        client.mail("a@sender.example", &["alice@local.example"]);
        client
            .data(format!("From: <a@sender.example>\r\n{header}\r\nbody\r\n"))
            .is("552 5.3.4 the header is too big: at most 256 kB and 1000 fields ref=");
    }
    assert_eq!(site.all_files().len(), 0);
}

#[test]
fn the_number_of_received_fields_that_are_a_loop_can_be_raised() {
    let site = Site::start(Setup { more: "[limits]\nreceived = 150\n", ..Setup::default() });
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for (count, codes) in [(150, "250 2.0.0"), (151, "554 5.4.6")] {
        client.mail("a@sender.example", &["alice@local.example"]);
        let received = "Received: from h\r\n".repeat(count);
        client.data(format!("{received}{}", message("a@sender.example"))).is(codes);
    }
}

#[test]
fn more_than_a_hundred_received_fields_are_a_loop() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for (count, codes) in [(100, "250 2.0.0"), (101, "554 5.4.6")] {
        client.mail("a@sender.example", &["alice@local.example"]);
        let received: String = (0..count).map(|n| format!("Received: from h{n}\r\n")).collect();
        client.data(format!("{received}{}", message("a@sender.example"))).is(codes).reference();
    }
    assert_eq!(site.all_files().len(), 1);
}

#[test]
fn a_session_in_as_few_writes_as_may_be_is_answered_in_order() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    let one = "MAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@local.example>\r\nRCPT TO:<x@local.example>\r\nDATA\r\n";
    let text = "From: <a@sender.example>\r\n\r\nx\r\n.\r\n";
    // as RFC 2920 §3.1 has it: EHLO and DATA end what is sent at once
    client.expect("EHLO c.example", "250");
    for (sent, expected) in [
        (one.to_owned(), vec![250, 250, 550, 354]),
        (format!("{text}{one}"), vec![250, 250, 250, 550, 354]),
        (format!("{text}NOOP\r\nQUIT\r\n"), vec![250, 250, 221]),
    ] {
        client.send(sent);
        let codes: Vec<u16> = expected.iter().map(|_| client.reply().code).collect();
        assert_eq!(codes, expected);
    }
    client.expect_end();
    assert_eq!(site.delivered("local.example/alice").len(), 2);
}

#[test]
fn a_message_in_single_octets_is_one_message() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    for octet in b"From: <a@sender.example>\r\n\r\n..\r\n.\rx" {
        client.send([*octet]);
    }
    client.send("\r\n.\r\n");
    client.reply().is("550 5.6.0");
    client.mail("a@sender.example", &["alice@local.example"]);
    client.expect("DATA", "354");
    for octet in b"From: <a@sender.example>\r\n\r\n..\r\n.\r\n" {
        client.send([*octet]);
    }
    client.reply().is("250");
    assert!(site.only("local.example/alice").ends_with("From: <a@sender.example>\n\n.\n"));
}

#[test]
fn an_end_of_the_connection_within_data_delivers_nothing() {
    let site = Site::open(Zone::new());
    for tail in ["", "\r\n", "\r\n.", "\r\n.\r", "\n.\n"] {
        let mut client = site.dial();
        client.begin("a@sender.example", &["alice@local.example"]);
        client.expect("DATA", "354");
        client.send(format!("From: <a@sender.example>\r\n\r\nhalf{tail}"));
        client.half_close();
        client.expect_end();
    }
    let records = site.records(5);
    assert!(records.iter().all(|record| record.decision.reply.is_empty() && record.delivery.is_empty()));
    assert_eq!(site.all_files().len(), 0);
}

#[test]
fn smuggling_never_makes_two_messages_of_one() {
    let Some(cases) = corpora::json("smtp-smuggling", "cases.json") else { return };
    let site = Site::open(Zone::new());
    for (case, cut) in cases["eod"].as_array().unwrap().iter().flat_map(|case| (0..=5).map(move |cut| (case, cut))) {
        let id = &case["id"];
        let mut client = site.dial();
        client.begin("a@sender.example", &["alice@local.example"]);
        client.expect("DATA", "354");
        let data = corpora::decoded(case["after_354_b64"].as_str().unwrap());
        // cut within the sequence, so that its halves come in two reads
        let sequence = corpora::decoded(case["sequence_b64"].as_str().unwrap());
        let at = data.windows(sequence.len()).position(|window| window == sequence).unwrap();
        let (head, tail) = data.split_at(at + cut.min(sequence.len()));
        client.send(head);
        client.send(tail);
        client.send("\r\n.\r\nQUIT\r\n");
        let mut codes = Vec::new();
        while let code @ 1.. = client.reply().code {
            codes.push(code);
        }
        let taken = codes.iter().filter(|code| **code == 250).count();
        let files = site.delivered("local.example/alice");
        assert!(files.len() <= 1, "{id}: {codes:?}");
        let smuggled = |file: &Vec<u8>| String::from_utf8_lossy(file).contains("Return-Path: <admin@legit.example>");
        if id != "nul-crlf.crlf" {
            // there, what follows are commands of the client's, and no smuggling
            assert!(!files.iter().any(smuggled), "{id}: the envelope within the message was believed");
            assert_eq!(taken, files.len(), "{id}: {codes:?}");
        }
        for file in crate::support::site::files(&site.maildir("local.example/alice/new")) {
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn a_bare_line_end_in_a_command_ends_the_session() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.send("EHLO client.example\nMAIL FROM:<a@sender.example>\r\n");
    client.reply().is("500 5.5.2");
    client.expect_end();
}
