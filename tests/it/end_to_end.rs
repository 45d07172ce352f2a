//! The whole product from outside: real clients speak to `gatepost serve`, and what it did is read where its users read it.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::dns::Zone;
use crate::support::dovecot::Dovecot;
use crate::support::programs::{command, left_out, program, succeed};
use crate::support::server::{Server, Setup, code, reference, wait_for};

/// Two rules, so that a test chooses with its subject domain where a message goes.
const POLICY: &str = r#"
description = "Takes everything; one domain goes to Junk, one is refused."

[[rule]]
name   = "junk-domain"
at     = "data"
when   = "from.domain == 'junk.example'"
action = "quarantine"

[[rule]]
name   = "refused-domain"
at     = "data"
when   = "from.domain == 'refused.example'"
action = "reject"
reply  = "550 5.7.1 {from.domain} is not taken here"
"#;

/// Every sender of these tests lives on loopback.
fn zone() -> Zone {
    let mut zone = Zone::new().ptr([127, 0, 0, 1], "client.sender.example").a("client.sender.example", [127, 0, 0, 1]);
    for domain in ["sender.example", "junk.example", "refused.example"] {
        zone = zone.mx(domain, 10, "client.sender.example").txt(domain, "v=spf1 ip4:127.0.0.1 -all");
    }
    zone
}

fn server() -> Server {
    Server::start(Setup { zone: zone(), policy: Some(POLICY), tls: true, ..Setup::default() })
}

/// swaks, from `from` to alice, with these arguments more; `None` where there is no swaks.
fn swaks(server: &Server, from: &str, more: &[&str]) -> Option<Command> {
    let mut swaks = command("swaks")?;
    swaks.args(["--server", &server.smtp.ip().to_string(), "--port", &server.smtp.port().to_string()]);
    swaks.args(["--helo", "client.sender.example", "--from", from, "--to", "alice@receiver.example"]);
    swaks.args(["--header", "Subject: from swaks", "--body", "the body of the message"]).args(more);
    Some(swaks)
}

/// Delivers one message with a plain dialogue and gives its ref.
fn deliver(server: &Server, from: &str, subject: &str) -> String {
    let mut client = server.dial();
    client.expect("EHLO client.sender.example", 250);
    client.expect(&format!("MAIL FROM:<{from}>"), 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    let answer = client.expect(&format!("From: <{from}>\r\nSubject: {subject}\r\n\r\nhello\r\n."), 250);
    reference(&answer).unwrap_or_else(|| panic!("no ref in {answer}"))
}

fn only(files: Vec<std::path::PathBuf>) -> String {
    assert_eq!(files.len(), 1, "{files:?}");
    std::fs::read_to_string(&files[0]).unwrap()
}

#[test]
fn a_message_by_swaks_is_in_the_maildir_the_journal_the_metrics_and_explain() {
    let server = server();
    let Some(mut swaks) = swaks(&server, "carol@sender.example", &[]) else { return };
    let reference = reference(&succeed(&mut swaks)).expect("the 250 names the ref");

    let file = only(server.delivered("alice"));
    let fields: Vec<&str> = file.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(fields.first(), Some(&"Return-Path: <carol@sender.example>"));
    assert!(fields.contains(&"Delivered-To: alice@receiver.example"), "{file}");
    assert!(file.contains(&reference) && file.contains("Authentication-Results: mx.receiver.example"), "{file}");
    assert!(file.contains("Subject: from swaks\n") && file.contains("the body of the message\n"), "{file}");
    assert!(!file.contains('\r'), "on disk lines end in LF");

    let record = server.record(&reference);
    assert_eq!(record["decision"]["action"], "accept");
    assert_eq!(record["spf"]["mail_from"]["result"], "pass");
    assert_eq!(record["client"]["name"], "client.sender.example");
    assert_eq!(record["reverse_mx"]["mail_from"]["result"], "pass");
    assert_eq!(record["delivery"][0]["mailbox"], "alice@receiver.example");
    let stored = server.path("mail").join(record["delivery"][0]["file"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(stored).unwrap(), file);

    assert!((server.metric("gatepost_messages_total", &[]) - 1.0).abs() < f64::EPSILON);
    assert!((server.metric("gatepost_decisions_total", &["action=\"accept\""]) - 1.0).abs() < f64::EPSILON);

    let story = succeed(&mut server.gatepost(&["explain", &reference, "--config", "gatepost.toml"]));
    for word in ["carol@sender.example", "alice@receiver.example", "client.sender.example", "junk-domain"] {
        assert!(story.contains(word), "{word} is not in\n{story}");
    }
    let json = succeed(&mut server.gatepost(&["explain", &reference, "--config", "gatepost.toml", "--json"]));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["ref"], reference.as_str());
    let unknown = server.gatepost(&["explain", "0000000000000000", "--config", "gatepost.toml"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn swaks_sees_a_refusal_with_its_ref_and_nothing_is_stored() {
    let server = server();
    let Some(mut swaks) = swaks(&server, "mallory@refused.example", &["--tls"]) else { return };
    let output = swaks.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("550 5.7.1 refused.example is not taken here"), "{said}");
    let record = server.record(&reference(&said).expect("the refusal names the ref"));
    assert_eq!(record["decision"]["rule"], "refused-domain");
    assert!(record["tls"]["version"].as_str().unwrap().starts_with("TLSv1."));
    assert_eq!(server.delivered("alice"), Vec::<std::path::PathBuf>::new());
}

#[test]
fn smtp_source_sends_fifty_messages_on_five_connections_and_all_are_there() {
    let server = server();
    let Some(mut source) = command("smtp-source") else { return };
    source.args(["-s", "5", "-m", "50", "-l", "2000", "-M", "client.sender.example"]);
    source.args(["-f", "carol@sender.example", "-t", "bob@receiver.example"]);
    succeed(source.arg(format!("inet:{}", server.smtp)));
    let files = server.delivered("bob");
    assert_eq!(files.len(), 50);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("Return-Path: <carol@sender.example>\n"), "{text}");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.contains(&format!(",S={}", text.len())), "{name} of {} octets", text.len());
    }
    assert!((server.metric("gatepost_deliver_files_total", &[]) - 50.0).abs() < f64::EPSILON);
    wait_for("fifty lines in the journal", || (server.journal().len() == 50).then_some(()));
}

/// Sends over TLS 1.2 and 1.3, checking the certificate, and with an address that is not ASCII.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys
port, certificate = int(sys.argv[1]), sys.argv[2]
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = context.maximum_version = version
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.sender.example", timeout=30) as client:
        client._host = "mx.receiver.example"
        client.ehlo()
        for extension in ("pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes", "chunking", "starttls"):
            assert client.has_extn(extension), extension
        client.starttls(context=context)
        client.ehlo()
        assert not client.has_extn("starttls")
        text = "From: <j\u00f6rg@sender.example>\r\nSubject: gr\u00fc\u00dfe\r\n\r\n\u00fcber TLS\r\n"
        client.sendmail("j\u00f6rg@sender.example", ["alice@receiver.example"], text.encode(),
                        mail_options=["SMTPUTF8", "BODY=8BITMIME"])
"#;

#[test]
fn smtplib_speaks_starttls_and_smtputf8() {
    let server = server();
    let Some(mut python) = command("python3") else { return };
    let port = server.smtp.port().to_string();
    succeed(python.args(["-c", SMTPLIB, &port]).arg(server.path("cert.pem")));
    let files = server.delivered("alice");
    assert_eq!(files.len(), 2);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with("Return-Path: <jörg@sender.example>\n"), "{text}");
        assert!(text.contains("with UTF8SMTPS") && text.contains("über TLS\n"), "{text}");
    }
    let records = wait_for("two records", || Some(server.journal()).filter(|records| records.len() == 2));
    let mut versions: Vec<&str> = records.iter().map(|record| record["tls"]["version"].as_str().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["TLSv1.2", "TLSv1.3"]);
}

/// Says what is in INBOX and Junk, a line each.
const IMAPLIB: &str = r#"
import imaplib, sys
client = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]), timeout=10)
assert client.state == "AUTH", client.welcome
for folder in sorted(line.decode() for line in client.list()[1]):
    print("folder", folder)
for name in ("INBOX", "Junk"):
    status, count = client.select(name)
    assert status == "OK", count
    print("count", name, count[0].decode())
    status, parts = client.fetch("1", "(RFC822)")
    assert status == "OK", parts
    for line in parts[0][1].decode().split("\r\n"):
        print("line", name, line)
client.logout()
"#;

#[test]
fn dovecot_lists_selects_and_fetches_inbox_and_junk() {
    let server = server();
    deliver(&server, "carol@sender.example", "for the inbox");
    let junk = deliver(&server, "mallory@junk.example", "for the junk");
    let Some(said) = read_by_imap(&server.maildir("alice")) else { return };
    let lines: Vec<&str> = said.lines().collect();
    let has = |wanted: &str| lines.iter().any(|line| line.starts_with(wanted));
    let folder = |name: &str| lines.iter().find(|line| line.starts_with("folder") && line.ends_with(name));
    assert!(folder("INBOX").is_some(), "{said}");
    assert!(folder("Junk").is_some_and(|line| line.contains("\\Junk")), "{said}");
    assert!(has("count INBOX 1") && has("count Junk 1"), "{said}");
    assert!(has("line INBOX Subject: for the inbox") && has("line Junk Subject: for the junk"), "{said}");
    assert!(has("line Junk X-Gatepost-Decision: ") && said.contains(&junk), "{said}");
    assert!(!has("line INBOX X-Gatepost-Decision: "), "{said}");
}

fn read_by_imap(maildir: &Path) -> Option<String> {
    let mut dovecot = Dovecot::of(maildir)?;
    Some(dovecot.serve(command("python3")?.args(["-c", IMAPLIB])))
}

/// Without a server: Dovecot's own settings in these tests are sound, and its answer depends on what is in the Maildir.
#[test]
fn dovecot_reads_a_maildir_laid_by_hand() {
    let home = tempfile::Builder::new().prefix("gatepost-home-").tempdir().unwrap();
    let junk = home.path().join(".Junk");
    for folder in [home.path(), &junk] {
        for part in ["new", "cur", "tmp"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
    }
    let text = "From: <a@b.example>\nSubject: by hand\n\nbody\n";
    std::fs::write(junk.join("maildirfolder"), "").unwrap();
    std::fs::write(home.path().join(format!("new/1.M1P1.host,S={}", text.len())), text).unwrap();
    std::fs::write(junk.join(format!("new/1.M2P1.host,S={}", text.len())), text).unwrap();
    if crate::support::server::mail_user().is_some() {
        succeed(Command::new("chown").args(["-R", "nobody"]).arg(home.path()));
    }
    let Some(said) = read_by_imap(home.path()) else { return };
    assert!(said.contains("count Junk 1") && said.contains("line INBOX Subject: by hand"), "{said}");
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let server = server();
    deliver(&server, "carol@sender.example", "counted");
    let page = server.path("metrics.txt");
    std::fs::write(&page, server.metrics()).unwrap();
    let Some(mut promtool) = command("promtool") else { return };
    let output = promtool.args(["check", "metrics"]).stdin(std::fs::File::open(&page).unwrap()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn promtool_accepts_what_deploy_ships_for_prometheus() {
    let Some(mut promtool) = command("promtool") else { return };
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    // the alert rules are named by prometheus.yml and checked with it
    let said = succeed(promtool.args(["check", "config"]).arg(deploy.join("prometheus.yml")));
    assert!(said.contains("SUCCESS: 1 rule files found"), "{said}");
}

#[test]
fn sigterm_finishes_the_message_in_flight_and_ends_with_0() {
    let mut server = server();
    let mut idle = server.dial();
    idle.expect("EHLO client.sender.example", 250);
    let mut busy = server.dial();
    busy.expect("EHLO client.sender.example", 250);
    busy.expect("MAIL FROM:<carol@sender.example>", 250);
    busy.expect("RCPT TO:<alice@receiver.example>", 250);
    busy.expect("DATA", 354);
    busy.send("From: <carol@sender.example>\r\nSubject: in flight\r\n\r\nhalf ");

    server.signal(Signal::SIGTERM);
    assert_eq!(code(&idle.reply()), 421, "an idle session is told to come back");
    let answer = busy.say("and whole\r\n.");
    assert_eq!(code(&answer), 250, "{answer}");
    assert!(only(server.delivered("alice")).contains("half and whole\n"));
    drop(busy);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    let reference = reference(&answer).expect("the 250 names the ref");
    assert!(
        server.journal().iter().any(|record| record["ref"] == reference.as_str()),
        "the journal is whole at the end"
    );
}

#[test]
fn sighup_takes_a_good_file_and_keeps_the_old_one_when_it_is_bad() {
    let server = server();
    let accepts = |mailbox: &str| {
        let mut client = server.dial();
        client.expect("EHLO client.sender.example", 250);
        client.expect("MAIL FROM:<carol@sender.example>", 250);
        code(&client.say(&format!("RCPT TO:<{mailbox}@receiver.example>")))
    };
    let reloads = |outcome: &str| server.metric("gatepost_reloads_total", &[&format!("outcome=\"{outcome}\"")]);
    let until = |outcome: &str, count: f64| wait_for(outcome, || (reloads(outcome) >= count).then_some(()));
    assert_eq!((accepts("alice"), accepts("dora")), (250, 550));

    server.write("gatepost.toml", "hostname = \"mx.receiver.example\"\n[smpt]\n");
    server.signal(Signal::SIGHUP);
    until("refused", 1.0);
    assert_eq!((accepts("alice"), accepts("dora")), (250, 550), "the old configuration stays");
    assert!(server.log().contains("gatepost.toml:2:"), "the log says where the file is wrong:\n{}", server.log());

    let failing = "[[test]]\nname = \"never holds\"\nexpect = { action = \"reject\", rule = \"refused-domain\" }\n";
    server.write("policy.toml", &format!("{POLICY}\n{failing}"));
    server.write_config("");
    server.signal(Signal::SIGHUP);
    until("refused", 2.0);
    deliver(&server, "carol@sender.example", "the old policy stays");

    server.write("policy.toml", POLICY);
    server.write_config("mailboxes = [\"alice\", \"bob\", \"dora\"]\n");
    server.signal(Signal::SIGHUP);
    until("applied", 1.0);
    assert_eq!((accepts("alice"), accepts("dora")), (250, 250));
}

/// What `make packages` is for: with CI=true this fails where one is missing.
#[test]
fn the_real_clients_are_there() {
    for name in [
        "swaks",
        "smtp-source",
        "python3",
        "dovecot",
        "doveconf",
        "imap",
        "promtool",
        "openssl",
        "strace",
        "mkfs.ext4",
        "nsenter",
    ] {
        if program(name).is_none() {
            left_out(&format!("{name} is not on this machine (make packages gets it)"));
        }
    }
}
