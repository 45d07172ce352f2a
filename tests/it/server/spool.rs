//! Large messages over real connections: they go to disk while they come in, and memory does not grow with them.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::dns::Zone;
use crate::support::server::{self, Server, wait_for};
use crate::support::site::{Setup, Site, message};

/// A message's body of about so many octets, in lines.
fn body(octets: usize) -> String {
    let line = format!("{}\r\n", "0123456789abcdef".repeat(4));
    line.repeat(octets / line.len() + 1)
}

fn large(octets: usize) -> String {
    format!("{}{}", message("a@sender.example"), body(octets))
}

fn limited(limits: &'static str) -> Server {
    let more = server::More { journal: limits, ..server::More::default() };
    Server::start_with(
        server::Setup { policy: Some("description = \"takes everything\"\n"), ..Default::default() },
        &more,
    )
}

/// A client that has said DATA.
pub(super) fn begun(server: &Server) -> server::Dialogue {
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
    client.expect("MAIL FROM:<a@sender.example>", 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    client
}

/// Octets of memory that the process has for itself alone, as the kernel counts its pages.
fn resident(server: &Server) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    kilobytes.unwrap().parse::<u64>().unwrap() * 1024
}

/// Descriptors of the process that are files below its Maildirs without a name.
fn held(server: &Server) -> usize {
    let root = std::fs::canonicalize(server.path("mail")).unwrap();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.process())).unwrap();
    let links = descriptors.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    links.filter(|to| to.starts_with(&root) && to.to_string_lossy().ends_with("(deleted)")).count()
}

#[test]
fn a_message_larger_than_memory_may_hold_is_delivered_whole() {
    let more = "[limits]\nmemory = \"16 MB\"\n";
    let site = Site::start(Setup { more, ..Setup::default() });
    let whole = large(40_000_000);
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example", "bob@local.example"]);
    let reply = client.data(&whole);
    let record = site.record(reply.is("250 2.0.0"));
    assert_eq!(record.facts.message.bytes, whole.len() as u64);
    for mailbox in ["alice", "bob"] {
        let file = site.only(&format!("local.example/{mailbox}"));
        assert!(file.ends_with(&whole.replace("\r\n", "\n")), "{mailbox} has it as it came");
    }
    assert_eq!(site.metric("gatepost_spool_messages_total", &[]), 1.0);
    client.mail("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("250 2.0.0");
    assert_eq!(site.metric("gatepost_spool_messages_total", &[]), 1.0, "a small one stays in memory");
}

#[test]
fn rules_read_and_change_a_spooled_message_as_any_other() {
    let policy = r#"
        [[rule]]
        name = "programs"
        at = "data"
        when = "mime.attachments.exists(file, file.extension == 'exe') && message.longest_line == 76"
        action = "quarantine"
        tag_subject = "[program] "
        [[rule]]
        name = "truncated"
        at = "data"
        when = "mime.truncated"
        action = "reject"
    "#;
    let site = Site::judging(policy, Zone::new());
    let header = "From: <a@sender.example>\r\nSubject: Hello\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    let file = "Content-Type: application/octet-stream; name=run.exe\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let mut lines = format!("{}\r\n", "QUJD".repeat(18)).repeat(8_000);
    lines.insert_str(0, &format!("{}\r\n", "Q".repeat(74)));
    let whole = format!("{header}--b\r\n\r\ntext\r\n--b\r\n{file}{lines}--b--\r\n");
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    client.data(&whole).is("250 2.0.0");
    assert_eq!(site.metric("gatepost_spool_messages_total", &[]), 1.0);
    let stored = site.only("local.example/alice/.Junk");
    assert!(stored.contains("Subject: [program] Hello\n"), "{}", &stored[..1000]);
    let (_, body) = whole.split_once("\r\n\r\n").unwrap();
    assert!(stored.ends_with(&body.replace("\r\n", "\n")));
}

#[test]
fn memory_does_not_grow_with_messages() {
    let server = limited("[limits]\nmemory = \"64 MB\"\n");
    // what a process needs once is not what is measured
    for _ in 0..3 {
        let mut client = begun(&server);
        client.send(&large(1_000_000));
        client.expect(".", 250);
    }
    let before = resident(&server);
    let part = body(3_000_000);
    let mut clients: Vec<server::Dialogue> = (0..20).map(|_| begun(&server)).collect();
    for client in &mut clients {
        client.send("From: <a@sender.example>\r\n\r\n");
    }
    for client in &mut clients {
        client.send(&part);
    }
    wait_for("all bodies on disk", || (held(&server) == clients.len()).then_some(()));
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < 20 * 256_000 + 8_000_000, "{grown} octets for 60 MB of twenty sessions");
    for client in &mut clients {
        client.expect(".", 250);
    }
    assert_eq!(server.delivered("alice").len(), 23);
    let sizes = server.delivered("alice").iter().filter(|file| file.metadata().unwrap().len() > 2_900_000).count();
    assert_eq!(sizes, 20);
    wait_for("descriptors given back", || (held(&server) == 0).then_some(()));
}

/// Its own memory, at its highest while 48 sessions send three megabytes each.
#[test]
fn a_session_that_spools_stays_under_its_bound_while_it_sends() {
    let server = limited("[limits]\nmemory = \"64 MB\"\n");
    let part = body(64_000);
    let send_all = |sessions: usize, parts: usize, seen: &mut dyn FnMut()| {
        let mut clients: Vec<server::Dialogue> = (0..sessions).map(|_| begun(&server)).collect();
        for client in &mut clients {
            client.send("From: <a@sender.example>\r\n\r\n");
        }
        for _ in 0..parts {
            for client in &mut clients {
                client.send(&part);
            }
            seen();
        }
        wait_for("all bodies on disk", || (held(&server) == sessions).then_some(()));
        seen();
        // none of them is to be delivered
        drop(clients);
        wait_for("nothing held", || (held(&server) == 0).then_some(()));
    };
    let most = |sessions: usize| {
        let mut most = 0;
        send_all(sessions, 50, &mut || most = most.max(resident(&server)));
        most
    };
    // what the process and its threads need once, and keep, is not what is measured
    most(2);
    let before = resident(&server);
    for sessions in [24, 48] {
        let a_session = most(sessions).saturating_sub(before) / sessions as u64;
        assert!(a_session < 256_000, "{a_session} octets a session of {sessions}; {before} before");
    }
}

#[test]
fn what_does_not_end_well_leaves_nothing_behind() {
    let mut server = limited("[limits]\nmessage = \"4 MB\"\nidle = \"2s\"\n");
    let part = body(1_000_000);
    let files = |server: &Server| -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![server.path("mail")];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { waiting.push(path) } else { found.push(path) }
            }
        }
        found
    };
    let spooling = |server: &Server| {
        let mut client = begun(server);
        client.send(&part);
        wait_for("a body on disk", || (held(server) == 1).then_some(()));
        client
    };
    // the end of the connection
    drop(spooling(&server));
    wait_for("nothing held after the end", || (held(&server) == 0).then_some(()));
    // silence
    let mut silent = spooling(&server);
    assert!(silent.reply().starts_with("421 4.4.2"));
    wait_for("nothing held after silence", || (held(&server) == 0).then_some(()));
    // too large, and a bare LF
    let mut client = spooling(&server);
    client.send(&part.repeat(4));
    assert!(client.say(".").starts_with("552 5.3.4"));
    wait_for("nothing held of what is too large", || (held(&server) == 0).then_some(()));
    let mut client = spooling(&server);
    client.send("bare\n\r\n");
    assert!(client.say(".").starts_with("550 5.6.0"));
    wait_for("nothing held of what is malformed", || (held(&server) == 0).then_some(()));
    assert_eq!(files(&server), Vec::<std::path::PathBuf>::new());
    // a crash
    let cut = spooling(&server);
    server.crash_and_start();
    drop(cut);
    assert_eq!(files(&server), Vec::<std::path::PathBuf>::new());
    let mut client = begun(&server);
    client.send(&large(500_000));
    client.expect(".", 250);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
}

/// A client that never reads and a disk in trouble: the message is read to its end, and the next command is answered.
#[test]
fn a_message_that_the_disk_has_no_room_for_is_deferred_and_the_session_goes_on() {
    let setup = server::Setup {
        policy: Some("description = \"takes everything\"\n"),
        // 512 kB
        file_blocks: Some(1_000),
        ..Default::default()
    };
    let server = Server::start(setup);
    let mut client = begun(&server);
    client.send(&large(3_000_000));
    let reply = client.say(".");
    assert!(reply.starts_with("451 4.3.0"), "a file that may not grow: {reply}");
    let record = server.record(&server::reference(&reply).unwrap());
    assert!(record["trouble"].as_str().unwrap().contains("the Maildir root: "), "{record}");
    assert_eq!(record["message"]["bytes"], large(3_000_000).len());
    wait_for("nothing held", || (held(&server) == 0).then_some(()));
    client.expect("MAIL FROM:<a@sender.example>", 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    client.send(&message("a@sender.example"));
    client.expect(".", 250);
    assert_eq!(server.delivered("alice").len(), 1);
}

/// RSET can't come within DATA; what it may follow is a message that was refused.
#[test]
fn a_spooled_message_that_rules_refuse_leaves_nothing() {
    let policy = "[[rule]]\nname = 'no'\nat = 'data'\nwhen = 'message.bytes > 1000'\naction = 'reject'\nreply = '550 5.7.1 no'\n";
    let setup = server::Setup { policy: Some(policy), ..Default::default() };
    let server = Server::start(setup);
    let mut client = begun(&server);
    client.send(&large(2_000_000));
    client.expect(".", 550);
    client.expect("RSET", 250);
    wait_for("nothing held", || (held(&server) == 0).then_some(()));
    assert_eq!(server.delivered("alice").len(), 0);
    let mut stream = TcpStream::connect(server.smtp).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"QUIT\r\n").unwrap();
}

/// RFC 5321 §4.5.3.1.6 has 1,000 octets a line; newsletters have more. Octets above 127 come without BODY=8BITMIME, too.
#[test]
fn a_line_as_long_as_the_message_and_raw_octets_are_taken() {
    let site = Site::open(Zone::new());
    let mut whole = b"From: <a@sender.example>\r\nSubject: long\r\n\r\n".to_vec();
    whole.extend(std::iter::repeat_n(0xe9, 1_000_000));
    whole.extend_from_slice(b"\r\nend\r\n");
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    let record = site.record(client.data(&whole).is("250 2.0.0"));
    assert_eq!(record.facts.message.longest_line, 1_000_002);
    let stored = site.delivered("local.example/alice").remove(0);
    let (_, body) = whole.split_at(whole.len() - 1_000_007);
    assert!(stored.ends_with(&[&body[..1_000_000], b"\nend\n"].concat()));
}

/// A connection and a large message want a descriptor each: what the hard limit allows is asked for.
#[test]
fn as_many_files_may_be_open_as_the_connections_want() {
    let limits = "[limits]\nconnections = 300\n";
    let more = server::More { journal: limits, ..server::More::default() };
    let server = Server::start_with(server::Setup { soft_files: Some(256), ..Default::default() }, &more);
    let text = std::fs::read_to_string(format!("/proc/{}/limits", server.process())).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [soft, hard] = numbers[..] else { panic!("{line}") };
    assert_eq!(soft, hard.min(2 * 100_000 + 512), "{line}: a reload can't raise it");
    assert_eq!(server.log().contains("more open files than are allowed"), hard < 1112);
}

#[test]
fn a_reload_may_ask_for_no_more_connections_than_files_allow() {
    let more = server::More { journal: "[limits]\nconnections = 100\n", ..server::More::default() };
    let server = Server::start_with(server::Setup { hard_files: Some(1000), ..Default::default() }, &more);
    let config = std::fs::read_to_string(server.path("gatepost.toml")).unwrap();
    let reload = |connections: usize| {
        server
            .write("gatepost.toml", &config.replace("connections = 100\n", &format!("connections = {connections}\n")));
        server.signal(Signal::SIGHUP);
    };
    let count = |outcome: &str| server.metric("gatepost_reloads_total", &[&format!("outcome=\"{outcome}\"")]);
    reload(300);
    wait_for("a refusal", || (count("refused") > 0.5).then_some(()));
    let log = server.log();
    let line = log.lines().find(|line| line.contains("limits.connections: 300")).expect(&log);
    for words in ["gatepost.toml:", "1112 open files", "may have 1000", "raise LimitNOFILE", "at most 244"] {
        assert!(line.contains(words), "{words}: {line}");
    }
    reload(244);
    wait_for("a reload", || (count("applied") > 0.5).then_some(()));
}

#[test]
fn what_a_kill_left_is_removed_at_the_start() {
    let mut server = limited("");
    let directory = server.path("mail").join(".gatepost-spool");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("0123456789abcdef"), "").unwrap();
    server.crash_and_start();
    wait_for("it is counted", || (server.metric("gatepost_spool_leftovers_total", &[]) > 0.5).then_some(()));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn what_a_kill_left_and_cannot_be_removed_is_told_with_its_mend() {
    let mut server = limited("");
    let directory = server.path("mail").join(".gatepost-spool");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    server.crash_and_start();
    let told = |server: &Server, words: &str| {
        let is_it = |line: &&str| line.contains(".gatepost-spool") && line.contains(words);
        server.log().lines().find(is_it).map(str::to_owned)
    };
    let line = wait_for("a warning", || told(&server, "can't be looked for"));
    assert!(line.contains("must own what is there"), "{line}");
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(directory.join("0123456789abcdef"), "").unwrap();
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    server.crash_and_start();
    let line = wait_for("a warning", || told(&server, "can't be removed"));
    assert!(line.contains("failed=1") && line.contains("must own what is there"), "{line}");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
