//! Header fields, parts, envelope and time of day over real sessions: what rules read is judged and kept, and nothing else is.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost::facts::record::Record;
use gatepost::facts::{HeaderField, Weekday};

use crate::support::dns::Zone;
use crate::support::server::{self, Server, reference};
use crate::support::site::{OPEN, Reply, Site};

const HEADERS: &str = r#"
description = "header fields"
[[rule]]
name = "newsletter"
at = "data"
when = "headers['list-id'].present && headers['x-spam-flag'].last == 'YES'"
action = "quarantine"
[[rule]]
name = "two-subjects"
at = "data"
when = "headers['subject'].count > 1"
action = "reject"
"#;

fn send(site: &Site, message: &str) -> (Reply, Record) {
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    let reply = client.data(message);
    let record = site.record(&reply);
    (reply, record)
}

fn field(count: u64, value: &str, last: &str) -> HeaderField {
    HeaderField { present: count > 0, count, value: Some(value.to_owned()), last: Some(last.to_owned()) }
}

#[test]
fn header_fields_that_a_policy_names_are_judged_and_kept_and_no_others() {
    let site = Site::judging(HEADERS, Zone::new());
    let (reply, record) = send(
        &site,
        "From: <a@sender.example>\r\nLIST-ID: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\n <l.sender.example>\r\nX-Spam-Flag: NO\r\n\
         X-Secret: 1\r\nX-Spam-Flag: YES\r\nReceived: from a\r\nReceived: from b\r\n\r\nhello\r\n",
    );
    reply.is("250");
    assert_eq!(record.decision.rule, "newsletter");
    let expected = [
        ("list-id", field(1, "grüße <l.sender.example>", "grüße <l.sender.example>")),
        ("subject", HeaderField { value: None, last: None, ..field(0, "", "") }),
        ("x-spam-flag", field(2, "NO", "YES")),
    ];
    assert_eq!(record.facts.headers, expected.map(|(name, field)| (name.to_owned(), field)).into());
    assert_eq!((record.facts.message.fields, record.facts.message.received), (7, 2));
    let header = "From: <a@sender.example>\r\n".len();
    assert!(record.facts.message.header_bytes > header as u64);
    assert!(record.facts.message.header_bytes < record.facts.message.bytes);

    let (reply, record) =
        send(&site, "From: <a@sender.example>\r\nSubject: a\r\nsubject: b\r\nX-Spam-Flag: YES\r\n\r\nhello\r\n");
    reply.is("550");
    assert_eq!(record.facts.headers["subject"].count, 2);
    assert_eq!(record.facts.headers["list-id"], field(0, "", ""));
    assert!(record.facts.mime.is_none(), "no rule reads its parts");

    let open = Site::judging(OPEN, Zone::new());
    let (_, record) = send(&open, "From: <a@sender.example>\r\nList-Id: <x>\r\n\r\nhello\r\n");
    assert!(record.facts.headers.is_empty() && record.facts.mime.is_none());
}

const SUBJECT: &str = r#"
description = "what a message is about"
[[rule]]
name = "about-the-secret"
at = "data"
when = "headers['subject'].value.contains('quittelmus') && headers['thread-topic'].last.contains('quittelmus') && headers['keywords'].present && headers['comments'].present"
action = "ACTION"
"#;

/// The words stand in the fields that say what a message is about, plain and encoded.
const ABOUT: &str = "From: <a@sender.example>\r\nSubject: on =?utf-8?B?cXVpdHRlbG11cw==?=\r\nThread-Topic: quittelmus\r\n\
    Keywords: quittelmus\r\nComments: quittelmus\r\nMessage-ID: <1@sender.example>\r\n\r\nhello\r\n";

#[test]
fn what_a_subject_says_decides_and_is_written_nowhere() {
    for (action, code) in [("quarantine", 250), ("reject", 550)] {
        let policy: &'static str = Box::leak(SUBJECT.replace("ACTION", action).into_boxed_str());
        let mut server = Server::start(server::Setup { policy: Some(policy), ..Default::default() });
        let mut client = server.dial();
        client.expect("EHLO sender.example", 250);
        client.expect("MAIL FROM:<a@sender.example>", 250);
        client.expect("RCPT TO:<alice@receiver.example>", 250);
        client.expect("DATA", 354);
        client.send(ABOUT);
        let reply = client.expect(".", code);
        let reference = reference(&reply).expect("every answer after the dot has its ref");
        let record = server.record(&reference);
        assert_eq!(record["decision"]["rule"], "about-the-secret", "{record}");
        for name in ["subject", "thread-topic", "keywords", "comments"] {
            assert_eq!(record["headers"][name], serde_json::json!({ "present": true, "count": 1 }), "{name}");
        }
        let explain = server.gatepost(&["explain", &reference, "--config", "gatepost.toml"]).output().unwrap();
        let explain = String::from_utf8(explain.stdout).unwrap();
        assert!(explain.contains("subject: there is one, but what it says is never kept"), "{explain}");
        let metrics = server.metrics();
        server.signal(nix::sys::signal::Signal::SIGTERM);
        server.wait();
        let journal: String = std::fs::read_dir(server.path("journal"))
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        assert!(journal.contains("about-the-secret"), "the journal was read");
        let log = server.log();
        assert!(log.contains("transaction") || log.contains(&reference), "the log was read: {log}");
        for (place, text) in [("journal", &journal), ("log", &log), ("metrics", &metrics), ("explain", &explain)] {
            for secret in ["quittelmus", "cXVpdHRlbG11cw"] {
                assert!(!text.contains(secret), "{place} has what the message is about: {text}");
            }
        }
        assert!(!reply.contains("quittelmus"), "{reply}");
    }
}

const FILES: &str = r#"
description = "files"
[[rule]]
name = "postmaster-takes-all"
at = "rcpt"
when = "rcpt.role == 'postmaster'"
action = "accept"
[[rule]]
name = "no-programs"
at = "data"
when = "mime.truncated || mime.attachments.exists(a, a.extension in ['exe', 'js'])"
action = "reject"
reply = "550 5.7.1 we take no programs: {mime.parts} parts"
"#;

const PROGRAM: &str = "From: <a@sender.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nlook\r\n--b\r\n\
    Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*=utf-8''inv%6Fice.pdf.exe\r\n\r\nMZ\r\n--b--\r\n";

#[test]
fn a_rule_about_files_is_judged_by_what_is_in_the_message() {
    let site = Site::judging(FILES, Zone::new());
    let (reply, record) = send(&site, PROGRAM);
    reply.is("550 5.7.1 we take no programs: 3 parts");
    let mime = record.facts.mime.expect("a rule reads it");
    assert_eq!((mime.parts, mime.depth, mime.truncated), (3, 1, false));
    let [file] = mime.attachments.as_slice() else { panic!("{mime:?}") };
    assert_eq!((file.name.as_str(), file.extension.as_str(), file.bytes), ("invoice.pdf.exe", "exe", 2));
    let story = gatepost::observe::explain::story(&site.record(&reply));
    assert!(story.contains("3, 1 deep; files: invoice.pdf.exe (application/octet-stream, 2 octets)"), "{story}");

    let (reply, record) = send(&site, &PROGRAM.replace(".exe", ""));
    reply.is("250");
    assert_eq!(record.facts.mime.map(|mime| mime.attachments.len()), Some(1));
    assert!(site.only("local.example/alice").ends_with("MZ\n--b--\n"), "the message is stored as it came");

    // what an earlier rule takes is not looked through
    let mut client = site.dial();
    client.begin("a@sender.example", &["postmaster@local.example"]);
    let reply = client.data(PROGRAM);
    reply.is("250");
    assert!(site.record(&reply).facts.mime.is_none());
}

#[test]
fn a_program_under_a_second_name_is_refused_and_a_defect_can_be() {
    let site = Site::judging(FILES, Zone::new());
    let twice = PROGRAM.replace("filename*=", "filename=report.pdf; filename*=");
    let (reply, record) = send(&site, &twice);
    reply.is("550 5.7.1 we take no programs: 3 parts");
    let mime = record.facts.mime.expect("a rule reads it");
    assert_eq!(mime.defects, ["doubled-parameter", "extensions-differ"]);
    let story = gatepost::observe::explain::story(&site.record(&reply));
    assert!(story.contains("a parameter stands twice (doubled-parameter)"), "{story}");

    let defects: &'static str =
        Box::leak(FILES.replace("mime.truncated ||", "'after-end' in mime.defects ||").into_boxed_str());
    let site = Site::judging(defects, Zone::new());
    let behind = "From: <a@sender.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\ny\r\n--b--\r\n";
    send(&site, behind).0.is("550");
    send(&site, &behind.replace("--b--\r\n--b\r\n", "--b\r\n")).0.is("250");
}

/// A message forwarded as a file, which programs call by its subject.
const FORWARDED: &str = "From: <a@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nlook\r\n\
    --b\r\nContent-Type: message/rfc822; name=\"Re: quittelmus.eml\"\r\nContent-Disposition: attachment;\r\n \
    filename=\"=?utf-8?B?UmU6IHF1aXR0ZWxtdXMuZW1s?=\"\r\n\r\nSubject: quittelmus\r\n\r\nhello\r\n\
    --b\r\nContent-Type: application/octet-stream; name=\"quittelmus.msg\"\r\n\r\nx\r\n--b--\r\n";

#[test]
fn the_name_of_a_forwarded_message_decides_and_is_written_nowhere() {
    const POLICY: &str = "description = \"names\"\n[[rule]]\nname = \"about-the-secret\"\nat = \"data\"\naction = \"quarantine\"\n\
        when = \"mime.attachments.exists(a, a.name.contains('quittelmus') && a.extension == 'eml')\"\n";
    let mut server = Server::start(server::Setup { policy: Some(POLICY), ..Default::default() });
    let mut client = server.dial();
    client.expect("EHLO sender.example", 250);
    client.expect("MAIL FROM:<a@sender.example>", 250);
    client.expect("RCPT TO:<alice@receiver.example>", 250);
    client.expect("DATA", 354);
    client.send(FORWARDED);
    let reply = client.expect(".", 250);
    let reference = reference(&reply).expect("every answer after the dot has its ref");
    let record = server.record(&reference);
    assert_eq!(record["decision"]["rule"], "about-the-secret", "{record}");
    let files = record["mime"]["attachments"].as_array().unwrap();
    let told: Vec<_> = files.iter().map(|file| (file["extension"].as_str(), file.get("name"))).collect();
    assert_eq!(told, [(Some("eml"), None), (Some("msg"), None)], "{record}");
    let explain = server.gatepost(&["explain", &reference, "--config", "gatepost.toml"]).output().unwrap();
    let explain = String::from_utf8(explain.stdout).unwrap();
    assert!(explain.contains("a message, the name of which is not kept (message/rfc822"), "{explain}");
    let metrics = server.metrics();
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait();
    let journal: String = std::fs::read_dir(server.path("journal"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(journal.contains("about-the-secret"), "the journal was read");
    let log = server.log();
    for (place, text) in [("journal", &journal), ("log", &log), ("metrics", &metrics), ("explain", &explain)] {
        assert!(!text.contains("quittelmus") && !text.contains("cXVpdHRlbG11cw"), "{place} has the name: {text}");
    }
}

const ENVELOPE: &str = r#"
description = "the envelope"
[[rule]]
name = "few-recipients"
at = "rcpt"
when = "rcpt.count >= 2"
action = "defer"
[[rule]]
name = "no-bob"
at = "rcpt"
when = "rcpt.local.matches('^bob')"
action = "reject"
[[rule]]
name = "old-greeting"
at = "mail"
when = "!esmtp && mail_from.local == 'old'"
action = "reject"
[[rule]]
name = "alone"
at = "data"
when = "rcpt.count == 1 && mail_from.smtputf8"
score = 1
"#;

#[test]
fn the_envelope_is_known_in_its_pieces() {
    let site = Site::judging(ENVELOPE, Zone::new());
    let mut client = site.dial();
    client.expect("EHLO x.example", "250");
    client.expect("MAIL FROM:<\"a b\"@sender.example> SMTPUTF8", "250");
    client.expect("RCPT TO:<bob+x@local.example>", "550");
    client.expect("RCPT TO:<alice@local.example>", "250");
    let reply = client.data("From: <a@sender.example>\r\n\r\nhello\r\n");
    let record = site.record(reply.is("250"));
    assert_eq!(record.facts.mail_from.local, "a b");
    assert!(record.facts.mail_from.smtputf8 && record.facts.esmtp);
    assert_eq!((record.facts.score, record.facts.rcpt.count), (1.0, 1));

    client.expect("MAIL FROM:<a@sender.example>", "250");
    client.expect("RCPT TO:<alice@local.example>", "250");
    client.expect("RCPT TO:<carol@local.example>", "250");
    client.expect("RCPT TO:<postmaster@local.example>", "451");
    let reply = client.data("From: <a@sender.example>\r\n\r\nhello\r\n");
    let record = site.record(reply.is("250"));
    assert_eq!((record.facts.score, record.facts.rcpt.count), (0.0, 2));
    assert_eq!((record.facts.message.header_bytes, record.facts.message.fields), (26, 1));

    let mut old = site.dial();
    old.expect("HELO x.example", "250");
    old.expect("MAIL FROM:<old@sender.example>", "250");
    old.expect("RCPT TO:<alice@local.example>", "550");
}

/// The transaction's clock by `gatepost try` in this time zone, and the hour of the day in UTC before and after.
fn clock(zone: &str) -> (serde_json::Value, [i64; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("gatepost.toml");
    let text = "hostname = \"mx.local.example\"\n[dns]\nservers = [\"127.0.0.1:1\"]\n\
                [domains.\"local.example\"]\nmailboxes = [\"postmaster\"]\n";
    std::fs::write(&config, text).unwrap();
    let hour = || (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600 % 24) as i64;
    let before = hour();
    let tried = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["try", "--json", "--ip", "127.0.0.1", "--config"])
        .arg(&config)
        .env("TZ", zone)
        .output()
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&tried.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", String::from_utf8_lossy(&tried.stdout), String::from_utf8_lossy(&tried.stderr))
    });
    (record["clock"].clone(), [before, hour()])
}

#[test]
fn the_clock_is_the_host_s_in_its_time_zone() {
    for (zone, ahead) in [("UTC0", 0), ("XXX-5", 5), ("XXX+7", -7)] {
        let (clock, utc) = clock(zone);
        let hour = clock["hour"].as_i64().unwrap_or_else(|| panic!("{clock}"));
        assert!(utc.iter().any(|utc| (utc + ahead).rem_euclid(24) == hour), "{zone}: {hour} at {utc:?} UTC");
        let weekday = clock["weekday"].as_str().and_then(Weekday::from_word);
        assert!(weekday.is_some_and(|weekday| weekday != Weekday::Unknown), "{clock}");
    }
}
