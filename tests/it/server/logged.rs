//! What the log says of a client: what became of each transaction.

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
