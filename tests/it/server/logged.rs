//! What the log says of a client: what became of each transaction, and who was closed for what.

use crate::support::server::{Dialogue, Server, Setup, wait_for};

/// The lines of the log that hold this text, once there are so many.
#[track_caller]
fn lines(server: &Server, text: &str, count: usize) -> Vec<String> {
    wait_for(&format!("{count} lines with {text}"), || {
        let log = server.log();
        let found: Vec<String> = log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
        (found.len() >= count).then_some(found)
    })
}

/// Takes everything.
fn open() -> Setup {
    Setup { policy: Some("description = \"takes everything\"\n"), ..Setup::default() }
}

fn begin(server: &Server) -> Dialogue {
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    client.expect("MAIL FROM:<a@sender.example>", 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client
}

#[test]
fn a_transaction_that_took_nothing_is_unfinished_in_the_log() {
    let server = Server::start(open());
    begin(&server).expect("QUIT", 221);
    begin(&server).expect("RSET", 250);
    drop(begin(&server));
    let mut in_data = begin(&server);
    in_data.expect("DATA", 354);
    in_data.send("Subject: half\r\n");
    drop(in_data);
    let told = lines(&server, ": transaction ", 4);
    assert_eq!(told.len(), 4, "{told:#?}");
    for line in &told {
        assert!(line.contains(" action=unfinished rule= reply= "), "{line}");
    }
    let mut whole = begin(&server);
    whole.expect("DATA", 354);
    whole.send("From: <a@sender.example>\r\nSubject: whole\r\n\r\nwhole\r\n.\r\n");
    let reply = whole.reply();
    let told = lines(&server, ": transaction ", 5).pop().unwrap();
    assert!(!told.contains("action=unfinished") && told.contains(reply.get(..3).unwrap()), "{told}");
}

#[test]
fn who_abuses_the_protocol_is_named_in_the_log_with_its_kind() {
    let server = Server::start(Setup { tls: true, ..open() });
    for (octets, kind) in [
        ("GET / HTTP/1.1\r\n", "http"),
        ("\u{16}\u{3}\u{1}\u{2}", "tls"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", "proxy-header"),
        ("NOOP\n", "bare-lf"),
        ("EHLO c.example\r\nMAIL FROM:<a@sender.example>\r\n", "pipelining"),
        ("STARTTLS\r\nNOOP\r\n", "starttls"),
        (&"NONSENSE\r\n".repeat(100), "errors"),
    ] {
        let mut client = server.dial();
        if kind == "starttls" {
            client.expect("EHLO client.example", 250);
        }
        client.send(octets);
        let told = lines(&server, &format!("abuse of the protocol client=127.0.0.1 kind={kind} times=1"), 1);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("INFO "), "{told:?}");
    }
}

#[test]
fn a_flood_of_abuse_does_not_fill_the_log() {
    let server = Server::start(open());
    for _ in 0..60 {
        let mut client = server.dial();
        client.send("NOOP\n");
        assert_eq!(client.reply().get(..3), Some("500"));
    }
    assert!((server.metric("gatepost_protocol_abuses_total", &["bare-lf"]) - 60.0).abs() < 0.5);
    let told = server.log().matches("kind=bare-lf").count();
    assert!((1..=40).contains(&told), "{told} lines, of 20 a minute");
}
