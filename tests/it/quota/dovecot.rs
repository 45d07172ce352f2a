//! Dovecot counts as we do: its quota backend `maildir` reads our file and we read its.

use std::fs;

use super::{really_used, sizes};
use crate::support::dovecot::Dovecot;
use crate::support::programs::command;
use crate::support::server::{More, Server, Setup};

const POLICY: &str = "description = 'junk'\n[[rule]]\nname = 'junk'\nat = 'data'\nwhen = 'mail_from.domain == \"junk.example\"'\naction = 'quarantine'\n";

/// The same in Dovecot's words; without the rule it takes what stands in the file.
const RULE: &str = "  quota_rule = *:storage=200000B\n";

fn settings(rule: &str) -> String {
    format!(
        "mail_plugins = quota\nprotocol imap {{\n  mail_plugins = quota imap_quota\n}}\n\
         plugin {{\n  quota = maildir:User quota\n{rule}}}\n"
    )
}

/// Says what the quota is; with a second argument it first expunges the first message of INBOX, and copies what is there to Trash.
const IMAPLIB: &str = r#"
import imaplib, sys
client = imaplib.IMAP4("127.0.0.1", int(sys.argv[-1]), timeout=20)
assert client.state == "AUTH", client.welcome
if sys.argv[1] == "change":
    assert client.create("Trash")[0] == "OK"
    assert client.select("INBOX")[0] == "OK"
    assert client.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert client.expunge()[0] == "OK"
    assert client.copy("1", "Trash")[0] == "OK"
    assert client.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK"
status, answer = client.getquotaroot("INBOX")
assert status == "OK", answer
print(answer[1][0].decode())
client.logout()
"#;

fn deliver(server: &Server, from: &str, lines: usize) -> String {
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<{from}>"), 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    let text = format!("From: <{from}>\r\nSubject: x\r\n\r\n{}.", format!("{}\r\n", "x".repeat(98)).repeat(lines));
    client.say(&text)
}

/// What Dovecot says is used: `"User quota" (STORAGE used limit)`, in KiB. It reads the file, or makes it.
fn asked(server: &Server, rule: &str, what: &str) -> Option<u64> {
    let mut dovecot = Dovecot::with(&server.maildir("alice"), &settings(rule))?;
    let said = dovecot.serve(command("python3")?.args(["-c", IMAPLIB, what]));
    let said: Vec<&str> = said.split(['(', ')', ' ', '\n']).collect();
    let number = |word: &str, offset: usize| {
        let at = said.iter().position(|known| *known == word)?;
        said.get(at + offset)?.parse::<u64>().ok()
    };
    let log = dovecot.log();
    assert_eq!(number("STORAGE", 2), Some(200_000_u64.div_ceil(1024)), "{said:?} {log}");
    number("STORAGE", 1)
}

fn in_kib(bytes: u64) -> [u64; 2] {
    [bytes / 1024, bytes.div_ceil(1024)]
}

fn server() -> Server {
    let more = More { domain: "quota = 200000\n", ..More::default() };
    Server::start_with(Setup { policy: Some(POLICY), ..Setup::default() }, &more)
}

/// What we write Dovecot reads, what it writes we do, and nobody counts anything again. Whether that could be tested.
fn share_a_file(server: &Server, rule: &str) -> Option<()> {
    let maildir = server.maildir("alice");
    let file = || fs::read_to_string(maildir.join("maildirsize")).unwrap();
    for (from, lines) in [("a@sender.example", 100), ("a@junk.example", 200), ("a@sender.example", 300)] {
        assert!(deliver(server, from, lines).starts_with("250"));
    }
    let ours = file();
    assert!(ours.starts_with("200000S\n") && ours.lines().count() == 4, "{ours}");
    let said = asked(server, rule, "ask")?;
    let used = really_used(&maildir);
    assert!(in_kib(used.bytes).contains(&said), "{said:?} {used:?}");
    assert_eq!(file(), ours, "it leaves it as it is");

    // what it expunges and copies it adds, and we read that: what is in Trash, or marked as deleted, counts
    let said = asked(server, rule, "change")?;
    let used = really_used(&maildir);
    assert_eq!(used.messages, 3);
    assert!(in_kib(used.bytes).contains(&said), "{said:?} {used:?}");
    assert_eq!(sizes(&maildir).used, used, "{}", file());
    assert!(file().lines().count() > 4, "{}", file());
    assert!(deliver(server, "a@sender.example", 50).starts_with("250"));
    assert_eq!(sizes(&maildir).used, really_used(&maildir));
    assert_eq!(server.metric("gatepost_quota_recounts_total", &[]), 0.0);
    Some(())
}

#[test]
fn dovecot_without_a_rule_takes_our_quota_and_shares_the_file() {
    let _ = share_a_file(&server(), "");
}

#[test]
fn dovecot_and_we_share_the_file_and_count_alike_to_the_octet() {
    let server = server();
    let file = || fs::read_to_string(server.maildir("alice").join("maildirsize")).unwrap();
    let Some(()) = share_a_file(&server, RULE) else { return };
    fs::remove_file(server.maildir("alice").join("maildirsize")).unwrap();
    asked(&server, RULE, "ask").unwrap();
    let theirs = file();
    assert_eq!(theirs.lines().count(), 2, "{theirs}");
    fs::remove_file(server.maildir("alice").join("maildirsize")).unwrap();
    assert!(deliver(&server, "a@sender.example", 1_200).starts_with("452 4.2.2"));
    assert_eq!(server.metric("gatepost_quota_recounts_total", &[]), 1.0);
    assert_eq!(file(), theirs);
}
