//! Real sessions with the real program: no name that was said in them is in the journal's directory or in the log.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::support::dns::Zone;
use crate::support::server::{More, Server, Setup, wait_for};
use crate::support::site::{Client, is_day};

/// Every name below has this in it, and nothing else has.
const MARK: &str = "xquo";
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 77, 88, 99);
const REFUSED_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 77, 88, 98);
/// Ways in which the two addresses can be written.
const SPELLED: &[&str] = &["77.88.99", "77-88-99", "99.88.77", "77.88.98", "77-88-98", "4d5863", "4d5862"];

const POLICY: &str = r#"
description = "quotes everything that it can"
[[rule]]
name = "no-client"
at = "connect"
when = "client.ip == '127.77.88.98'"
action = "reject"
reply = "550 5.7.1 {client.ip} {client.name} is not welcome"
why = "{client.ip} {client.name}"
[[rule]]
name = "no-reverse-path"
at = "mail"
when = "mail_from.address.startsWith('refused')"
action = "reject"
reply = "550 5.7.1 {mail_from.address} at {client.ip} ({client.name}), {helo}, {spf.mail_from.domain}, {iprev.name}"
why = "the address {mail_from.address} of {client.name} said {helo}"
[[rule]]
name = "no-recipient"
at = "rcpt"
when = "rcpt.address.startsWith('refused')"
action = "defer"
reply = "451 4.7.1 {rcpt.address} takes no mail from <{mail_from.address}>"
[[rule]]
name = "no-author"
at = "data"
when = "from.domain == 'refused.example' || size(from.addresses) > 1"
action = "reject"
reply = "550 5.7.1 {from.addresses} wrote {message.message_id} to you, [{client.ip}]"
why = "{from.addresses} {message.message_id}"
[[rule]]
name = "to-junk"
at = "data"
when = "from.domain == 'junk.example'"
action = "quarantine"
why = "{from.addresses}"
[[rule]]
name = "to-nowhere"
at = "data"
when = "from.domain == 'nowhere.example'"
action = "discard"
"#;

const DOMAIN: &str = r#"mailboxes = ["alice", "quentinxquo", "refusedxquo", "brokenxquo", "marthaxquo"]
aliases = { zephyrinaxquo = ["quentinxquo", "marthaxquo"], abuse = "quentinxquo", postmaster = "quentinxquo" }"#;

fn zone() -> Zone {
    Zone::new()
        .ptr(CLIENT, "host-127-77-88-99.pool.sender.example")
        .a("host-127-77-88-99.pool.sender.example", CLIENT)
        .ptr(REFUSED_CLIENT, "98.88.77.127.dyn.sender.example")
        .a("98.88.77.127.dyn.sender.example", REFUSED_CLIENT)
        .txt("sender.example", "v=spf1 -all")
        .txt("_dmarc.junk.example", "v=DMARC1; p=none")
        .mx("sender.example", 10, "host-127-77-88-99.pool.sender.example")
}

fn server() -> Server {
    let setup = Setup { zone: zone(), policy: Some(POLICY), ..Setup::default() };
    let server = Server::start_with(setup, &More { domain: DOMAIN, journal: "pseudonymise = true", ..More::default() });
    // where this mailbox's directory should be made is a file: storing fails with a path that names it
    let domain = server.path("mail/receiver.example");
    fs::create_dir_all(&domain).unwrap();
    fs::write(domain.join("brokenxquo"), "in the way").unwrap();
    if let Some((user, _)) = crate::support::server::mail_user() {
        nix::unistd::chown(&domain, Some(user.uid), Some(user.gid)).unwrap();
    }
    server
}

fn message(from: &str) -> String {
    format!(
        "From: {from}\r\nTo: Displayxquo <zephyrinaxquo@receiver.example>\r\nSubject: subjectxquo\r\nReply-To: <replyxquo@sender.example>\r\n\
         Message-ID: <idxquo.4711@deskxquo-99.sender.example>\r\nX-Other: otherxquo\r\n\r\nbodyxquo\r\n"
    )
    .replace("deskxquo-99.", "")
}

fn dial(server: &Server, from: Ipv4Addr) -> Client {
    let mut client = Client::connect(server.smtp, from);
    assert_eq!(client.reply().code, 220);
    client
}

/// Every way in which a transaction can end; how many records that makes.
fn all_kinds(server: &Server) -> usize {
    let mut client = dial(server, CLIENT);
    client.expect("EHLO [127.77.88.99]", "250");
    // accepted, for an alias with a detail, a role and a mailbox
    let paths = ["zephyrinaxquo+detailxquo@receiver.example", "abuse@receiver.example", "MarthaXQUO@receiver.example"];
    let stored =
        client.mail("wilhelminaxquo@sender.example", &paths).data(message("Barnaby Xquo <barnabyxquo@sender.example>"));
    assert_eq!(stored.code, 250, "{stored:?}");
    // refused by the rules of each stage
    client.expect("MAIL FROM:<refused.senderxquo@sender.example>", "250");
    client.expect(
        "RCPT TO:<quentinxquo@receiver.example>",
        "550 5.7.1 refused.senderxquo@sender.example at 127.77.88.99",
    );
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<wilhelminaxquo@sender.example>", "250");
    client.expect("RCPT TO:<refusedxquo@receiver.example>", "451 4.7.1 refusedxquo@receiver.example");
    client.expect("RSET", "250");
    let refused = client
        .mail("bounce-quentinxquo=receiver.example@sender.example", &["quentinxquo@receiver.example"])
        .data(message("<barnabyxquo@refused.example>"));
    assert!(refused.text.contains("barnabyxquo"), "{refused:?}");
    let many: Vec<String> =
        (0..6).map(|n| format!("<authorxquonumber{n}.with.a.long.namexquo@sender{n}.example>")).collect();
    let refused = client.mail("", &["quentinxquo@receiver.example"]).data(message(&many.join(", ")));
    assert_eq!(refused.code, 550, "{refused:?}");
    // refused by the protocol
    client.expect("MAIL FROM:<wilhelminaxquo@sender.example>", "250");
    client.expect("RCPT TO:<nobodyxquo@receiver.example>", "550 5.1.1");
    client.expect("RCPT TO:<relayxquo@elsewhere.example>", "550 5.7.1");
    client.expect("RSET", "250");
    // quarantined, discarded, not stored, given up
    for (from, code) in [("<barnabyxquo@junk.example>", 250), ("<barnabyxquo@nowhere.example>", 250)] {
        assert_eq!(
            client.mail("wilhelminaxquo@sender.example", &["quentinxquo@receiver.example"]).data(message(from)).code,
            code
        );
    }
    let trouble = client
        .mail("wilhelminaxquo@sender.example", &["brokenxquo@receiver.example"])
        .data(message("<barnabyxquo@a.example>"));
    assert_eq!(trouble.code, 451, "{trouble:?}");
    client.mail("\"odd xquo\"@sender.example", &["postmaster"]);
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<j\u{f6}rgxquo@sender.example> SMTPUTF8", "250");
    client.expect("RCPT TO:<quentinxquo@receiver.example>", "250");
    client.expect("RSET", "250");
    client.expect("MAIL FROM:<literalxquo@[127.77.88.99]>", "250");
    client.expect("QUIT", "221");
    // HELO says a recipient's name, an address, and the reverse name
    for helo in ["quentinxquo", "127.77.88.99", "host-127-77-88-99.pool.sender.example", "mailbox.xquo@sender.example"]
    {
        let mut client = dial(server, CLIENT);
        client.expect(&format!("HELO {helo}"), "250");
        client.mail("wilhelminaxquo@sender.example", &["quentinxquo@receiver.example"]);
        client.hang_up();
    }
    let mut client = dial(server, REFUSED_CLIENT);
    client.expect("EHLO 98.88.77.127.dyn.sender.example", "250");
    client.expect("MAIL FROM:<wilhelminaxquo@sender.example>", "250");
    client.expect("RCPT TO:<quentinxquo@receiver.example>", "550 5.7.1 127.77.88.98");
    client.expect("QUIT", "221");
    17
}

fn all_files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(all_files(&path)) } else { all.push(path) }
    }
    all
}

fn holds_no_name(what: &str, text: &str) {
    for line in text.lines() {
        let lower = line.to_lowercase();
        assert!(!lower.contains(MARK), "a name is in {what}: {line}");
        for spelled in SPELLED {
            assert!(!lower.contains(spelled), "{spelled} is in {what}: {line}");
        }
    }
}

#[test]
fn a_journal_and_a_log_without_names_have_none() {
    let mut server = server();
    let records = all_kinds(&server);
    wait_for("all records", || (server.journal().len() >= records).then_some(()));
    let journal = server.journal();
    assert_eq!(journal.len(), records);
    server.signal(Signal::SIGHUP);
    wait_for("the reload", || server.log().contains("the configuration was reloaded").then_some(()));
    // what tells the story works as ever
    let reference = journal[0]["ref"].as_str().unwrap();
    let story = server.gatepost(&["explain", reference, "--config", "gatepost.toml"]).output().unwrap();
    assert!(story.status.success(), "{}", String::from_utf8_lossy(&story.stderr));
    holds_no_name("explain", &String::from_utf8_lossy(&story.stdout));
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    let files = all_files(&server.path("journal"));
    assert!(files.iter().any(|file| is_day(file)));
    assert!(files.iter().any(|file| file.extension().is_some_and(|extension| extension == "chain")), "{files:?}");
    for file in &files {
        holds_no_name(&file.display().to_string(), &fs::read_to_string(file).unwrap());
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let log = server.log();
    assert!(log.contains("could not be stored") && log.matches("transaction reference=").count() == records, "{log}");
    holds_no_name("the log", &log);
    one_person_is_one(&journal);
    export_finds_who_is_asked_for(&server);
}

/// The same address is the same pseudonym, whatever it is in; domains are clear.
fn one_person_is_one(journal: &[serde_json::Value]) {
    let of = |record: &serde_json::Value| record["mail_from"]["address"].as_str().unwrap().to_owned();
    let senders: Vec<String> = journal.iter().map(of).collect();
    let most = senders.iter().filter(|sender| **sender == senders[0]).count();
    assert_eq!(most, 11, "{senders:?}");
    assert!(senders[0].starts_with("~k") && senders[0].ends_with("@sender.example"), "{}", senders[0]);
    let stored = &journal[0];
    let mailbox = stored["recipients"][1]["mailboxes"][0].as_str().unwrap();
    let deliveries = stored["delivery"].as_array().unwrap();
    let delivery = deliveries.iter().find(|delivery| delivery["mailbox"] == mailbox).unwrap();
    let local = mailbox.split('@').next().unwrap();
    assert!(delivery["file"].as_str().unwrap().starts_with(&format!("receiver.example/{local}/new/")), "{delivery}");
    assert_eq!(stored["client"]["ip"], "127.77.88.0");
    assert!(stored["client"]["name"].as_str().unwrap().ends_with(".pool.sender.example"), "{stored}");
    assert_eq!(stored["helo"], "[127.77.88.0]");
}

fn export_finds_who_is_asked_for(server: &Server) {
    let export = |address: &str| {
        let arguments = ["journal", "export", "--config", "gatepost.toml", "--address", address];
        let output = server.gatepost(&arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    assert_eq!(export("Wilhelminaxquo@sender.example"), 11);
    assert_eq!(export("marthaxquo@receiver.example"), 1);
    assert_eq!(export("stranger@sender.example"), 0);
}

#[test]
fn a_key_that_can_not_be_read_refuses_a_reload_and_a_start() {
    let mut server = server();
    let journal = server.path("journal");
    let is_key = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "key");
    let keys: Vec<PathBuf> = all_files(&journal).into_iter().filter(is_key).collect();
    assert_eq!(keys.len(), 2, "this week's and the next one's: {keys:?}");
    keys.iter().for_each(|key| fs::write(key, "no key\n").unwrap());
    server.signal(Signal::SIGHUP);
    wait_for("the refusal", || server.log().contains("NOT reloaded").then_some(()));
    let log = server.log();
    assert!(log.contains("this key of the journal's pseudonyms can't be read"), "{log}");
    assert!(log.contains(&keys.iter().min().unwrap().file_name().unwrap().to_string_lossy().into_owned()), "{log}");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    let (code, _, said) = super::odd_files::run(server.gatepost(&["serve", "--config", "gatepost.toml"]));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("can't be read") && said.contains("mend:") && said.contains(".key"), "{said}");
}

#[test]
fn bodies_and_subjects_are_never_written() {
    let mut server = Server::start(Setup::default());
    let mut client = dial(&server, Ipv4Addr::LOCALHOST);
    client.expect("EHLO client.example", "250");
    for recipient in ["alice@receiver.example", "nobody@receiver.example"] {
        client.expect("MAIL FROM:<a@sender.example>", "250");
        if client.say(&format!("RCPT TO:<{recipient}>")).code == 250 {
            client
                .data("From: <a@sender.example>\r\nSubject: subjectxquo\r\nComments: commentsxquo\r\n\r\nbodyxquo\r\n");
        }
        client.expect("RSET", "250");
    }
    client.expect("QUIT", "221");
    wait_for("two records", || (server.journal().len() >= 2).then_some(()));
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    for file in all_files(&server.path("journal")) {
        assert!(!fs::read_to_string(&file).unwrap().contains(MARK), "{}", file.display());
    }
    assert!(!server.log().contains(MARK));
}
