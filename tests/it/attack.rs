//! Attacks on the whole product: each is played as an attacker would, over SMTP, against the shipped policy.

use serde_json::Value;

use super::support::dns::{Fault, RecordType, Zone};
use super::support::server::{Dialogue, Server, Setup, code, reference, wait_for};

/// The attacker owns attacker.example with everything that makes mail of his own domain look honest. bank.example asks for
/// refusal, and the DNS has trouble with one name in it, as with the abandoned delegation of a former service.
fn zone() -> Zone {
    Zone::new()
        .ptr([127, 0, 0, 1], "mx.attacker.example")
        .a("mx.attacker.example", [127, 0, 0, 1])
        .mx("attacker.example", 10, "mx.attacker.example")
        .txt("attacker.example", "v=spf1 ip4:127.0.0.1 -all")
        .mx("bank.example", 10, "mx.bank.example")
        .a("mx.bank.example", [192, 0, 2, 1])
        .txt("bank.example", "v=spf1 -all")
        .txt("_dmarc.bank.example", "v=DMARC1; p=reject")
        .failing("old._domainkey.bank.example", RecordType::TXT, Fault::ServFail)
}

fn server() -> Server {
    Server::start(Setup { zone: zone(), policy: None, tls: true, ..Setup::default() })
}

/// MAIL, RCPT and DATA by the attacker, under this HELO name.
fn begin(server: &Server, helo: &str) -> Dialogue {
    let mut client = server.dial();
    client.expect(&format!("EHLO {helo}"), 250);
    client.expect("MAIL FROM:<x@attacker.example>", 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    client
}

/// The record of a message to alice with this header.
fn record(server: &Server, helo: &str, header: &str) -> Value {
    let answer = begin(server, helo).say(&format!("{header}\r\nSubject: x\r\n\r\nhello\r\n."));
    server.record(&reference(&answer).unwrap_or_else(|| panic!("no ref in {answer}")))
}

#[test]
fn a_forged_signature_that_the_dns_has_trouble_with_does_not_lead_past_dmarc_into_the_inbox() {
    let server = server();
    let from = "From: The Bank <service@bank.example>";
    let plain = record(&server, "mx.attacker.example", from);
    assert_eq!(
        (&plain["dmarc"]["result"], &plain["delivery"][0]["folder"]),
        (&"fail".into(), &"Junk".into()),
        "{plain}"
    );
    let signature = "DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=old; h=from; bh=AAAA; b=AAAA";
    let troubled = record(&server, "mx.attacker.example", &format!("{signature}\r\n{from}"));
    assert_eq!(troubled["spf"]["mail_from"]["result"], "pass");
    assert_eq!(troubled["dmarc"]["result"], "temperror");
    assert_eq!(troubled["delivery"][0]["folder"], "Junk", "{troubled}");
    assert_eq!(troubled["decision"]["rule"], "dmarc-trouble-foreign");
}

/// Ten `mx` of ten exchangers each are a legal record (RFC 7208 §4.6.4) and 111 names.
fn greedy(zone: Zone, domain: &str) -> Zone {
    let terms: String = (0..10).map(|n| format!(" mx:g{n}.{domain}")).collect();
    (0..100).fold(zone.txt(domain, &format!("v=spf1{terms} -all")), |zone, n| {
        let exchanger = format!("x{n}.{domain}");
        zone.mx(&format!("g{}.{domain}", n / 10), 10, &exchanger).a(&exchanger, [192, 0, 2, 9])
    })
}

#[test]
fn who_uses_up_the_look_ups_of_a_message_does_not_bring_dmarc_into_doubt() {
    let zone = greedy(zone().mx("greedy.example", 10, "mx.attacker.example"), "greedy.example");
    let server = Server::start(Setup { zone, policy: None, ..Setup::default() });
    let forged = "DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=none; h=from; bh=AAAA; b=AAAA\r\n\
        From: The Bank <service@bank.example>\r\nSubject: x\r\n\r\nhello\r\n.";
    for (helo, reverse_path, spf) in [
        ("mx.attacker.example", "x@greedy.example", "temperror"),
        ("greedy.example", "x@bank.example", "fail"),
        ("greedy.example", "x@greedy.example", "temperror"),
    ] {
        let mut client = server.dial();
        client.expect(&format!("EHLO {helo}"), 250);
        client.expect(&format!("MAIL FROM:<{reverse_path}>"), 250);
        client.expect("RCPT TO:<alice@receiver.example>", 250);
        client.expect("DATA", 354);
        let answer = client.say(forged);
        let record = server.record(&reference(&answer).unwrap());
        assert_eq!(record["spf"]["mail_from"]["result"], spf, "{helo} {reverse_path}");
        assert_eq!(record["dkim"][0]["result"], "permerror", "its key was asked for: {}", record["dkim"]);
        assert_eq!(record["dmarc"]["result"], "fail", "{helo} {reverse_path}");
        let reverse = &record["reverse_mx"];
        let own = if reverse_path.ends_with("greedy.example") { "pass" } else { "fail" };
        assert_eq!((&reverse["mail_from"]["result"], &reverse["from"]["result"]), (&own.into(), &"fail".into()));
        assert_eq!(record["iprev"]["result"], "pass", "{helo} {reverse_path}");
    }
    assert!(server.delivered("alice").is_empty());
}

#[test]
fn a_domain_with_a_comment_in_it_does_not_show_another_domain_than_dmarc_asked() {
    let server = server();
    for from in ["<service@bank.example(> ).attacker.example>", "service@bank.example\r\n .attacker.example"] {
        let record = record(&server, "mx.attacker.example", &format!("From: {from}"));
        assert_eq!(record["decision"]["rule"], "author-malformed", "{from}: {record}");
    }
    assert!(server.delivered("alice").is_empty());
}

#[test]
fn a_bounce_whose_from_only_looks_like_an_address_is_no_way_around_dmarc() {
    let server = server();
    for from in ["\"service@bank.example\"", "\"service@bank.example\" <>", "=?utf-8?q?service=40bank.example?= <X>"] {
        let mut client = server.dial();
        client.expect("EHLO mx.attacker.example", 250);
        client.expect("MAIL FROM:<>", 250);
        client.expect("RCPT TO:<alice@receiver.example>", 250);
        client.expect("DATA", 354);
        client.expect(&format!("From: {from}\r\n\r\nhello\r\n."), 550);
    }
    assert!(server.delivered("alice").is_empty());
}

#[test]
fn results_that_a_lenient_reader_takes_for_ours_do_not_reach_the_mailbox() {
    let server = server();
    let forged = [
        "=?utf-8?q?mx.receiver.example=3B_dmarc=3Dpass?=",
        "mx.receiver(x).example; dmarc=pass",
        "MX.Receiver.\r\n Example; dmarc=pass",
        "(\\)) \"mx.receiver.exampl\\e\"/1; dmarc=pass",
        "mx.receiver.example\u{b}; dmarc=pass",
    ];
    let fields: String = forged.iter().map(|value| format!("Authentication-Results \t: {value}\r\n")).collect();
    record(&server, "mx.attacker.example", &format!("{fields}From: <x@attacker.example>"));
    let files = server.delivered("alice");
    let text = std::fs::read_to_string(files.first().expect("it was taken")).unwrap();
    assert_eq!(text.matches("Authentication-Results").count(), 1, "{text}");
    assert!(!text.contains("dmarc=pass"), "{text}");
}

#[test]
fn a_helo_name_adds_no_field_to_the_log() {
    let server = server();
    record(&server, r#""x" action=reject rule="forged""#, "From: <x@attacker.example>");
    // the log has a thread of its own
    let line = wait_for("the transaction's line", || {
        server.log().lines().find(|line| line.contains("forged")).map(str::to_owned)
    });
    assert!(line.contains(r#" helo="\"x\" action=reject rule=\"forged\"" "#), "{line}");
}

#[test]
fn a_line_end_that_is_none_ends_no_message_however_it_is_cut_into_packets() {
    let server = server();
    for end in ["\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r\n\0.\r\n", "\r.\r\n", "\r\n.\r\r\n"] {
        let mut client = begin(&server, "mx.attacker.example");
        let message = format!("From: <x@attacker.example>\r\n\r\none{end}MAIL FROM:<y@attacker.example>\r\n.\r\n");
        message.chars().for_each(|octet| client.send(octet.encode_utf8(&mut [0; 4])));
        let answer = client.reply();
        assert_eq!(code(&answer), 550, "{end:?}: {answer}");
        client.expect("NOOP", 250);
    }
    assert!(server.delivered("alice").is_empty());
}
