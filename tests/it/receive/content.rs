//! What a delivered message looks like: our fields in front, and every other octet as it came (DESIGN §5).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::corpora;
use crate::support::dns::Zone;
use crate::support::site::{Site, crlf, files, message};

/// The names of the fields that we put in front, in their order.
const OURS: [&str; 4] = ["Return-Path", "Delivered-To", "Received", "Authentication-Results"];

/// Sends a message and gives what lies in the Maildir behind our fields, which are checked.
#[track_caller]
fn behind_our_fields(site: &Site, mailbox: &str, message: &[u8]) -> Vec<u8> {
    let mut client = site.dial();
    client.begin("a@sender.example", &[&format!("{mailbox}@local.example")]);
    client.data(message).is("250 2.0.0");
    let mut all = site.delivered(&format!("local.example/{mailbox}"));
    let file = all.pop().unwrap();
    assert!(all.is_empty(), "one message a mailbox and test");
    split(&file).1
}

/// Our fields, whose names are checked, and the rest.
#[track_caller]
fn split(file: &[u8]) -> (Vec<String>, Vec<u8>) {
    let (mut fields, mut rest) = (Vec::new(), file);
    for name in OURS {
        let end = field_end(rest);
        let field = String::from_utf8(rest[..end].to_vec()).unwrap();
        assert!(field.starts_with(&format!("{name}: ")), "{name} expected: {field}");
        fields.push(field);
        rest = &rest[end..];
    }
    (fields, rest.to_vec())
}

/// Where the first field ends: before the first line that does not continue it.
fn field_end(text: &[u8]) -> usize {
    let mut at = 0;
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if at > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            break;
        }
        at += line.len();
    }
    at
}

#[track_caller]
fn check(message: &[u8], expected: &[u8]) {
    let site = Site::open(Zone::new());
    let rest = behind_our_fields(&site, "alice", message);
    assert_eq!(String::from_utf8_lossy(&rest), String::from_utf8_lossy(expected));
    assert_eq!(rest, expected);
}

#[test]
fn our_fields_come_first_and_name_what_they_must() {
    let site = Site::open(Zone::new());
    let mut client = site.dial_from([127, 0, 0, 7]);
    client.begin("a@sender.example", &["alice@local.example"]);
    let reply = client.data(message("a@sender.example"));
    let file = site.delivered("local.example/alice").remove(0);
    let (fields, rest) = split(&file);
    assert_eq!(rest, message("a@sender.example").replace("\r\n", "\n").into_bytes());
    assert_eq!(fields[0], "Return-Path: <a@sender.example>\n");
    assert_eq!(fields[1], "Delivered-To: alice@local.example\n");
    for part in ["from client.example ([127.0.0.7])", "by mx.local.example with ESMTP id ", &reply.reference()] {
        assert!(fields[2].contains(part), "{part}: {}", fields[2]);
    }
    assert!(fields[3].starts_with("Authentication-Results: mx.local.example;\n"), "{}", fields[3]);
    for part in ["spf=", "dkim=none", "dmarc=", "arc=none", "iprev=", "x-reverse-mx="] {
        assert!(fields[3].contains(part), "{part}: {}", fields[3]);
    }
}

#[test]
fn the_file_is_private_and_its_name_tells_its_size() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.begin("a@sender.example", &["alice@local.example"]);
    let record = site.record(&client.data(message("a@sender.example")));
    let path = site.path("mail").join(&record.delivery[0].file);
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!(found.mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(site.maildir("local.example/alice")).unwrap().mode() & 0o777, 0o700);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with(&format!(",S={}", found.len())), "{name}, {} octets", found.len());
    assert_eq!(record.facts.message.bytes, message("a@sender.example").len() as u64, "as it came, with CRLF");
}

#[test]
fn the_null_reverse_path_is_kept_as_such() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.begin("", &["alice@local.example"]);
    client.data(message("mailer-daemon@sender.example")).is("250");
    assert!(site.only("local.example/alice").starts_with("Return-Path: <>\nDelivered-To:"));
}

#[test]
fn helo_is_told_by_the_word_after_with() {
    let site = Site::open(Zone::new());
    let mut client = site.dial();
    client.expect("HELO client.example", "250");
    client.mail("a@sender.example", &["alice@local.example"]);
    client.data(message("a@sender.example")).is("250");
    assert!(site.only("local.example/alice").contains("\tby mx.local.example with SMTP id "));
}

#[test]
fn fields_that_only_we_may_write_are_removed() {
    let forged = "\
        Return-Path: <forged@bank.example>\r\n\
        Authentication-Results: mx.local.example; dmarc=pass header.from=bank.example\r\n\
        From: <a@sender.example>\r\n\
        authentication-results : (c) MX.Local.Example. 1;\r\n\tspf=pass\r\n\
        Authentication-Results: other.example; spf=pass\r\n\
        X-Gatepost-Decision: none\r\n\
        X-GATEPOST-anything: at all\r\n\
        Authentication-Results:\r\n \"mx.local.example\" ; dkim=pass\r\n\
        return-path: <>\r\n\
        X-Gatepos: kept\r\n\
        \r\n\
        Authentication-Results: mx.local.example; in the body it is text\r\n";
    check(
        forged.as_bytes(),
        b"From: <a@sender.example>\n\
        Authentication-Results: other.example; spf=pass\n\
        X-Gatepos: kept\n\
        \n\
        Authentication-Results: mx.local.example; in the body it is text\n",
    );
}

#[test]
fn a_first_line_that_would_continue_our_fields_begins_the_body() {
    check(
        b" dmarc=pass header.from=bank.example\r\nFrom: <a@bank.example>\r\n\r\nbody\r\n",
        b"\n dmarc=pass header.from=bank.example\nFrom: <a@bank.example>\n\nbody\n",
    );
    check(b"\t\r\nFrom: <a@bank.example>\r\n\r\nbody\r\n", b"\n\t\nFrom: <a@bank.example>\n\nbody\n");
}

#[test]
fn a_first_line_that_is_no_field_begins_the_body() {
    check(b"just text\r\nand more\r\n", b"\njust text\nand more\n");
    check(b": no name\r\nFrom: <a@b.example>\r\n\r\nx\r\n", b"\n: no name\nFrom: <a@b.example>\n\nx\n");
}

#[test]
fn what_follows_a_removed_field_can_not_extend_ours() {
    // the continuation goes with the field that it continues
    check(
        b"Return-Path: <x@y.example>\r\n continued\r\nFrom: <a@b.example>\r\n\r\nx\r\n",
        b"From: <a@b.example>\n\nx\n",
    );
    check(b"Return-Path: <x@y.example>\r\n\r\nx\r\n", b"\nx\n");
}

#[test]
fn a_message_without_header_keeps_its_octets() {
    check(b"\r\nbody\r\n", b"\nbody\n");
    check(b"\r\n\r\nbody\r\n", b"\n\nbody\n");
    check(b"\r\n", b"\n");
}

#[test]
fn a_message_without_body_or_blank_line_is_kept_as_it_is() {
    check(b"From: <a@b.example>\r\n", b"From: <a@b.example>\n");
    check(b"From: <a@b.example>\r\n\r\n", b"From: <a@b.example>\n\n");
}

#[test]
fn an_empty_message_ends_its_header_with_a_blank_line() {
    check(b"", b"\n");
}

#[test]
fn dots_and_octets_of_any_value_are_kept() {
    let mut message = b"From: <a@b.example>\r\nSubject: \xe4\xf6\xfc \xff\r\n\r\n.\r\n..\r\n.dot\r\n".to_vec();
    message.extend((1..=255).filter(|octet| !b"\r\n".contains(octet)));
    message.extend(b"\r\n");
    let expected: Vec<u8> = message.iter().copied().filter(|octet| *octet != b'\r').collect();
    check(&message, &expected);
}

#[test]
fn very_long_lines_are_kept() {
    let mut message = b"From: <a@b.example>\r\nX-Long: ".to_vec();
    message.extend(vec![b'x'; 100_000]);
    message.extend(b"\r\n\r\n");
    message.extend(vec![b'y'; 1_000_000]);
    message.extend(b"\r\n");
    let expected: Vec<u8> = message.iter().copied().filter(|octet| *octet != b'\r').collect();
    check(&message, &expected);
}

/// Messages of a corpus: every `step`th file of it.
fn corpus(name: &str, step: usize) -> Vec<PathBuf> {
    let Some(folder) = corpora::folder(name) else { return Vec::new() };
    let mut found = Vec::new();
    collect(&folder, &mut found);
    found.into_iter().step_by(step).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in files(folder) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "eml" || extension == "txt") {
            found.push(path);
        }
    }
}

/// The message as a sender would transfer it: CRLF, without the line of an mbox and without octets that SMTP refuses.
fn as_sent(octets: &[u8]) -> Option<Vec<u8>> {
    let text = match octets.strip_prefix(b"From ") {
        Some(rest) => &rest[rest.iter().position(|octet| *octet == b'\n')? + 1..],
        None => octets,
    };
    let message = crlf(text);
    let bare = message.iter().zip(message.iter().skip(1)).any(|(a, b)| *a == b'\r' && *b != b'\n');
    (!bare && !message.contains(&0)).then_some(message)
}

/// What must be stored behind our fields: the message with LF, without the Return-Path of an earlier delivery, behind a blank
/// line where it begins with no field.
fn as_stored(message: &[u8]) -> Vec<u8> {
    let message: Vec<u8> = message.iter().copied().filter(|octet| *octet != b'\r').collect();
    let first = message.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let name = first.split(|octet| *octet == b':').next().filter(|name| name.len() < first.len()).unwrap_or_default();
    let is_field = name.trim_ascii_end().iter().all(u8::is_ascii_graphic) && !name.is_empty();
    let mut stored = if is_field || first.is_empty() && !message.is_empty() { Vec::new() } else { b"\n".to_vec() };
    let (mut in_header, mut dropping) = (is_field, false);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        in_header &= line != b"\n";
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            dropping = line.len() > 12 && line[..12].eq_ignore_ascii_case(b"return-path:");
        }
        if !(in_header && dropping) {
            stored.extend_from_slice(line);
        }
    }
    stored
}

/// Sends messages of a corpus on one connection and compares what was stored, octet for octet.
fn stored_as_sent(name: &str, step: usize, reverse_path: &str) {
    let read = |path: PathBuf| as_sent(&std::fs::read(&path).unwrap()).map(|message| (path, message));
    let messages: Vec<(PathBuf, Vec<u8>)> = corpus(name, step).into_iter().filter_map(read).collect();
    if messages.is_empty() {
        return;
    }
    let site = Site::judging(include_str!("../../../policies/monitor.toml"), Zone::new());
    let mut client = site.dial();
    client.expect("EHLO client.example", "250");
    for (path, message) in &messages {
        client.mail(reverse_path, &["alice@local.example"]);
        let reply = client.data(message);
        assert_eq!(reply.code, 250, "{}: {}", path.display(), reply.text);
        let file = files(&site.maildir("local.example/alice/new")).pop().unwrap();
        let (_, rest) = split(&std::fs::read(&file).unwrap());
        std::fs::remove_file(file).unwrap();
        assert!(rest == as_stored(message), "{} is not stored as it came", path.display());
    }
    client.expect("QUIT", "221");
}

#[test]
fn real_mail_is_stored_as_it_came() {
    stored_as_sent("realmail-spamassassin", 3, "a@sender.example");
}

#[test]
fn real_bounces_are_stored_as_they_came() {
    stored_as_sent("realmail-bounces", 1, "");
}

#[test]
fn odd_mime_is_stored_as_it_came() {
    stored_as_sent("mime-cpython", 1, "a@sender.example");
    stored_as_sent("mime-ruby-mail", 1, "a@sender.example");
}
