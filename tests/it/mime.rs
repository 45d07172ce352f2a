//! What a message is made of: parts, depth and files, on honest messages, on hostile ones and on other projects' corpora.

mod bounds;
mod names;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gatepost::message::content::Content;
use gatepost::message::decoded::decoded;
use gatepost::message::header::Header;
use gatepost::message::mime::{MAX_ATTACHMENTS, MAX_DEPTH, MAX_OCTETS, MAX_PARTS, Mime};
use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use crate::support::corpora;
use crate::support::site::crlf;

fn read(message: &[u8]) -> Mime {
    let content = Content::parse(message);
    Mime::of(&content.header, &content.body.memory())
}

/// `parts depth: type name extension bytes@depth; ...`, and a `+` where a bound was hit.
fn told(mime: &Mime) -> String {
    let files = mime
        .attachments
        .iter()
        .map(|a| format!(" {} {:?} {:?} {}@{};", a.media_type, a.name, a.extension, a.bytes, a.depth));
    let more = if mime.truncated { "+" } else { "" };
    format!("{}{more} {}:{}", mime.parts, mime.depth, files.collect::<String>())
}

#[track_caller]
fn check(message: &str, expected: &str) {
    assert_eq!(told(&read(&crlf(message.as_bytes()))), expected, "{message}");
}

/// A part of a multipart: a file with these fields.
fn file(fields: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\n{fields}\n\nabc\n--b--\n")
}

#[track_caller]
fn check_name(fields: &str, name: &str, extension: &str) {
    let mime = read(&crlf(file(fields).as_bytes()));
    let Some(attachment) = mime.attachments.first() else { panic!("{fields}: {}", told(&mime)) };
    assert_eq!((attachment.name.as_str(), attachment.extension.as_str()), (name, extension), "{fields}");
}

#[test]
fn a_plain_message_is_one_part_without_files() {
    check("From: <a@x.example>\n\nhello\n", "1 0:");
    check("", "1 0:");
    check("\n\n", "1 0:");
    check("Content-Type: text/html; charset=utf-8\n\n<p>", "1 0:");
    check("Content-Type: nonsense\n\nx\n", "1 0: nonsense \"\" \"\" 3@0;");
}

#[test]
fn files_are_told_with_name_type_size_and_depth() {
    check(
        "Content-Type: multipart/mixed; boundary=\"o\"\n\npreamble\n--o\n\
         Content-Type: multipart/alternative; boundary=i\n\n--i\n\ntext\n--i\nContent-Type: text/html\n\n<p>\n--i--\n--o\n\
         Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nQUJD\nREU=\n--o\n\
         Content-Disposition: attachment; filename=b.txt\nContent-Transfer-Encoding: quoted-printable\n\na=3D=\nb\n--o--\n\
         epilogue: --o\n",
        "6 2: application/pdf \"a.pdf\" \"pdf\" 5@1; text/plain \"b.txt\" \"txt\" 3@1;",
    );
    // a message that is a file
    check(
        "Content-Type: APPLICATION/Zip\nContent-Disposition: attachment; filename=x.ZIP\n\nabcd",
        "1 0: application/zip \"x.ZIP\" \"zip\" 6@0;",
    );
    // an image that is shown in its place is a file all the same; a text without a name is none
    check(&file("Content-Type: image/png\nContent-Disposition: inline"), "3 1: image/png \"\" \"\" 3@1;");
    check(&file("Content-Disposition: inline"), "3 1:");
    check(&file("Content-Type: text/html; name=page.html"), "3 1: text/html \"page.html\" \"html\" 3@1;");
    check(&file("Content-Type: text/calendar"), "3 1: text/calendar \"\" \"\" 3@1;");
}

#[test]
fn messages_within_the_message_are_opened_and_counted() {
    let inner = "Content-Type: multipart/mixed; boundary=n\n\n--n\n\nx\n--n\nContent-Disposition: attachment; filename=v.exe\n\nMZ\n--n--";
    let expected = "5 3: message/rfc822 \"\" \"\" 120@1; text/plain \"v.exe\" \"exe\" 2@3;";
    let outer = |more: &str, body: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n{more}\n{body}\n--b--\n"
        )
    };
    check(&outer("", inner), expected);
    // a digest's parts are messages where they do not say otherwise
    let digest = format!("Content-Type: multipart/digest; boundary=b\n\n--b\n\n{inner}\n--b--\n");
    check(&digest, expected);
    // RFC 2046 §5.2.1 forbids to encode them, and readers open them all the same
    let quoted = outer("Content-Transfer-Encoding: quoted-printable\n", &inner.replace('=', "=3D"));
    check(&quoted, expected);
    let encoded = outer("Content-Transfer-Encoding: base64\n", &base64(crlf(inner.as_bytes()).trim_ascii_end()));
    check(&encoded, expected);
    // what is no base64 is not guessed at, and that is told
    check(&outer("Content-Transfer-Encoding: base64\n", "?!"), "2+ 1: message/rfc822 \"\" \"\" 0@1;");
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = octets.chunks(3).map(|group| {
        let n = group.iter().fold(0_u32, |n, octet| n << 8 | u32::from(*octet)) << (8 * (3 - group.len()));
        let digit = |at: usize| char::from(DIGITS[(n >> (18 - 6 * at) & 63) as usize]);
        (0..4).map(|at| if at <= group.len() { digit(at) } else { '=' }).collect::<String>()
    });
    groups.collect::<Vec<_>>().chunks(19).map(|line| line.concat()).collect::<Vec<_>>().join("\n")
}

#[test]
fn file_names_are_decoded_and_their_extension_is_what_windows_goes_by() {
    let disposition = |name: &str| format!("Content-Disposition: attachment; filename{name}");
    for (written, name, extension) in [
        ("=a.exe", "a.exe", "exe"),
        ("=\"a.pdf.EXE\"", "a.pdf.EXE", "exe"),
        ("=\"a.exe . \"", "a.exe . ", "exe"),
        ("=\"a.exe...\"", "a.exe...", "exe"),
        ("=\"no extension\"", "no extension", ""),
        ("=\"dir.d/file\"", "dir.d/file", ""),
        ("=\"C:\\\\x\\\\y.scr\"", "C:\\x\\y.scr", "scr"),
        ("=\".exe\"", ".exe", "exe"),
        ("=\"...\"", "...", ""),
        // RFC 2231: charset, percent, continuations
        ("*=utf-8''r%C3%A9sum%C3%A9.exe", "résumé.exe", "exe"),
        ("*=iso-8859-1''r%E9sum%E9.exe", "résumé.exe", "exe"),
        ("*0=\"in\"; filename*1=\"voice.e\"; filename*2=\"xe\"", "invoice.exe", "exe"),
        ("*0*=utf-8''%69n; filename*1*=voice%2e; filename*2=exe", "invoice.exe", "exe"),
        // RFC 2047 where it has no place, as many write it
        ("=\"=?utf-8?B?aW52b2ljZS5leGU=?=\"", "invoice.exe", "exe"),
        ("=\"=?utf-8?Q?inv?= =?utf-8?Q?oice.exe?=\"", "invoice.exe", "exe"),
        ("=\"=?utf-8?Q?invoice.e?=\n =?utf-8?Q?xe?=\"", "invoice.exe", "exe"),
        ("=\"a?= .exe\"", "a?= .exe", "exe"),
        // characters that are not seen: a control character is left out, and what turns the direction stays in the name
        ("*=utf-8''a.e%00x%0D%0Ae", "a.exe", "exe"),
        ("*=utf-8''ann%E2%80%AEfdp.exe", "ann\u{202e}fdp.exe", "exe"),
    ] {
        check_name(&disposition(written), name, extension);
    }
    check_name("Content-Type: application/x-thing; name=\"a.js\"", "a.js", "js");
    check_name(
        "Content-Type: application/x-thing; name=a.pdf\nContent-Disposition: attachment; filename=a.js",
        "a.js",
        "js",
    );
    check_name("Content-Type: application/x-thing; name=a.js\nContent-Disposition: attachment", "a.js", "js");
    check_name(
        "Content-Type: application/x-thing; name=a.js\nContent-Disposition: attachment; filename=\" \"",
        "a.js",
        "js",
    );
    // the extension is that of the whole name, however long it is
    let long = format!("Content-Disposition: attachment; filename=\"{}.exe\"", "x".repeat(600));
    check_name(&long, &"x".repeat(255), "exe");
}

#[test]
fn a_delimiter_is_a_line_of_its_own_and_no_longer_one() {
    let message = |lines: &str| format!("Content-Type: multipart/mixed; boundary=b\n\n{lines}");
    check(&message("--b\n\nx\n--b--\n--b\n\nbehind the end\n--b--\nepilogue\n--b--"), "3 1:");
    check(&message("--b\n\nx --b\n-b\n--b \t\n\ny\n--b--"), "3 1:");
    // but some readers look no further than to its beginning
    check(&message("--b\n\nx --b\n--bb\n-b\n--b \t\n\ny\n--b--"), "4 1:");
    check(&message("--b\n\nnever closed\n--b\n\n"), "3 1:");
    check(&message("--b\n--b\n--b\n\n--b\n--b--"), "2 1:");
    check(&message("nothing\n"), "1 0:");
    check(&message("--b--\n\nx"), "1 0:");
    // without a boundary it is guessed, as some readers do
    check("Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n", "2 1:");
    check("Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n----\n", "1 0:");
    // the outer one ends what the inner one left open
    check(
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--o\n\ny\n--o--\n",
        "4 2:",
    );
    // a boundary that another begins with
    check(
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=oo\n\n--oo\n\nx\n--oo--\n--o--\n",
        "3 2:",
    );
    // of several types the one that has parts is taken
    let twice = "Content-Type: multipart/mixed; boundary=b\nContent-Type: text/plain\n\n--b\n\nx\n--b--\n";
    check(twice, "2 1:");
}

#[test]
fn bounds_end_the_walk_and_are_told() {
    let parts = |n: usize, part: &str| format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", part.repeat(n));
    let mime = read(parts(1_000_000, "--b\r\n\r\n").as_bytes());
    assert_eq!((mime.parts, mime.depth, mime.truncated), (MAX_PARTS, 1, true));
    let exactly = read(parts(999, "--b\r\n\r\n").as_bytes());
    assert_eq!((exactly.parts, exactly.truncated), (MAX_PARTS, false));

    let attached = "--b\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nx\r\n";
    let mime = read(parts(150, attached).as_bytes());
    assert_eq!((mime.parts, mime.attachments.len(), mime.truncated), (151, MAX_ATTACHMENTS, true));

    let nested = |levels: usize| {
        let level = |n| format!("Content-Type: multipart/mixed; boundary=b{n}x\r\n\r\n--b{n}x\r\n");
        (0..levels).map(level).collect::<String>()
    };
    let mime = read(nested(20).as_bytes());
    assert_eq!((mime.parts, mime.depth, mime.truncated), (21, MAX_DEPTH, false));
    let mime = read(nested(21).as_bytes());
    assert_eq!((mime.parts, mime.depth, mime.truncated), (21, MAX_DEPTH, true));
    // each level is one more look at all that is within it
    let mime = read(nested(5_000).as_bytes());
    assert!((15..=MAX_DEPTH).contains(&mime.depth) && mime.truncated, "{}", told(&mime));
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    let mime = read(messages.as_bytes());
    assert_eq!((mime.parts, mime.depth, mime.truncated), (21, MAX_DEPTH, true));

    // a header of one part, and one field of it
    let header = format!("--b\r\nX: {}\r\n{}", "x".repeat(40_000), &attached[5..]);
    assert!(read(parts(1, &header).as_bytes()).truncated);
    let field = format!("--b\r\nContent-Disposition: attachment; filename={}.exe\r\n\r\nx\r\n", "x".repeat(5_000));
    assert!(read(parts(1, &field).as_bytes()).truncated);

    let mut large = vec![b'x'; MAX_OCTETS];
    assert!(!Mime::of(&Header::default(), &large).truncated);
    large.push(b'x');
    assert!(Mime::of(&Header::default(), &large).truncated);
}

#[test]
fn boundaries_that_never_come_cost_one_look_each_and_no_hours() {
    // mail-parser's own walk looks through the rest of the message for each: these four megabytes cost it more than a minute
    let part = format!("--b\r\nContent-Type: multipart/mixed; boundary=absent\r\n\r\n{}\r\n", "x".repeat(500));
    let message = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", part.repeat(8_000));
    let mime = read(message.as_bytes());
    assert_eq!((mime.parts, mime.depth, mime.truncated), (MAX_PARTS, 1, true));
}

#[test]
fn messages_encoded_within_messages_are_decoded_no_further_than_the_message_is_long() {
    // quoted-printable does not shrink what it holds, so that each level could cost as much again
    let mut message = "Content-Disposition: attachment; filename=deep.exe\n\nx".to_owned();
    for _ in 0..6 {
        let encoded = message.replace('=', "=3D");
        message = format!("Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n{encoded}");
    }
    let mime = read(&crlf(message.as_bytes()));
    assert!(mime.truncated && mime.parts < 7, "{}", told(&mime));
}

proptest! {
    #[test]
    fn any_octets_are_some_message(octets in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mime = read(&octets);
        prop_assert!(mime.parts >= 1 && mime.depth <= MAX_DEPTH);
    }

    #[test]
    fn any_pieces_of_mime_are_some_message(pieces in prop::collection::vec(0..PIECES.len(), 0..60)) {
        let message: String = pieces.into_iter().map(|at| PIECES[at]).collect();
        let mime = read(message.as_bytes());
        prop_assert!(mime.parts >= 1 && mime.parts <= MAX_PARTS && mime.depth <= MAX_DEPTH);
        prop_assert!(mime.attachments.len() <= MAX_ATTACHMENTS);
        prop_assert!(mime.attachments.iter().all(|a| a.bytes <= message.len() as u64 && a.depth <= mime.depth));
    }
}

const PIECES: &[&str] = &[
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Type: multipart/digest; boundary=\"c d\"",
    "Content-Type: message/rfc822",
    "Content-Type: application/x; name*0*=utf-8''%",
    "Content-Disposition: attachment; filename=\"a.exe",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "--b",
    "--b--",
    "--c d",
    "--",
    "=",
    "=3D",
    "QUJD",
    "x",
    "(",
    "\"",
    ";",
    " ",
    "é",
];

/// What mail-parser's own walk finds: parts, and the names of files.
fn other_reading(message: &mail_parser::Message<'_>) -> (u64, Vec<String>) {
    let (mut parts, mut names) = (0, Vec::new());
    for part in &message.parts {
        parts += 1;
        names.extend(part.attachment_name().map(|name| name.chars().filter(|c| !c.is_control()).collect::<String>()));
        if let PartType::Message(nested) = &part.body {
            let (more, others) = other_reading(nested);
            parts += more;
            names.extend(others);
        }
    }
    names.retain(|name| !name.trim().is_empty());
    names.sort();
    (parts, names)
}

fn messages_of(corpus: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { walk(&entry, found) } else { found.push(entry) }
        }
    }
    let mut found = Vec::new();
    if let Some(folder) = corpora::folder(corpus) {
        walk(&folder, &mut found);
    }
    found.retain(|path| !matches!(path.file_name().and_then(|name| name.to_str()), Some("LICENSE" | "PROVENANCE.md")));
    found.sort();
    found
}

/// Messages of other projects' tests, broken ones among them, and real mail. Each is read like mail-parser reads it, but those that
/// are listed here.
#[test]
fn corpora_are_read_as_another_reader_reads_them() {
    let mut wrong = Vec::new();
    for (corpus, least, expected) in CORPORA {
        let paths = messages_of(corpus);
        if paths.is_empty() {
            continue;
        }
        let (mut read_alike, mut differing) = (0, Vec::new());
        let mut defects: BTreeMap<String, usize> = BTreeMap::new();
        for path in &paths {
            let message = crlf(&fs::read(path).unwrap());
            // an mbox's line in front of the header is none of the message
            let end = message.iter().position(|octet| *octet == b'\n').map_or(0, |end| end + 1);
            let message = if message.starts_with(b"From ") { &message[end..] } else { &message };
            let mime = read(message);
            let names: Vec<String> =
                mime.attachments.iter().map(|a| a.name.clone()).filter(|name| !name.trim().is_empty()).collect();
            let other = MessageParser::default().parse(message).map(|message| other_reading(&message));
            for defect in &mime.defects {
                *defects.entry(defect.clone()).or_default() += 1;
            }
            // we may tell more names than one of a file
            let is_told =
                |others: &[String]| others.len() <= names.len() && others.iter().all(|name| names.contains(name));
            if other.as_ref().is_some_and(|(parts, others)| *parts == mime.parts && is_told(others)) {
                read_alike += 1;
            } else {
                differing.push(path.file_name().unwrap().to_string_lossy().into_owned());
                println!("{}: {} {names:?}, but {other:?}", path.display(), told(&mime));
            }
        }
        println!("{corpus}: {read_alike} of {} are read alike; {defects:?}", paths.len());
        if differing != *expected || read_alike < *least {
            wrong.push((corpus, read_alike, differing));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Of each corpus: how many messages are read alike at least, and which are not. Two of CPython end an outer multipart within an
/// inner one, and a multipart without parts: Python's own reader counts them as we do. Of the other two the boundary is missing or stands
/// nowhere, and we guess it. The bounce holds a message that is a header only.
const CORPORA: &[(&str, usize, &[&str])] = &[
    ("mime-cpython", 44, &["msg_25.txt", "msg_31.txt", "msg_38.txt", "msg_42.txt"]),
    ("mime-ruby-mail", 8, &[]),
    ("realmail-signed", 5, &[]),
    ("realmail-bounces", 100, &["lhost-postfix-30.eml"]),
    ("realmail-spamassassin", 400, &[]),
];

#[test]
fn the_text_of_a_field_is_unfolded_decoded_and_cut() {
    let text = |field: &str| {
        let header = Header::parse(format!("{field}\r\n").into_bytes());
        header.fields().next().map(decoded).unwrap()
    };
    for (field, expected) in [
        ("Subject: hello", "hello"),
        ("Subject:\r\n hello\r\n\tworld ", "hello world"),
        ("Subject: =?utf-8?B?Z3LDvMOfZQ==?=", "grüße"),
        ("Subject: a =?iso-8859-1?Q?gr=FC=DFe?= b", "a grüße b"),
        ("Subject: =?utf-8?Q?inv?=\r\n =?utf-8?Q?oice?=", "invoice"),
        ("Subject: =?utf-8?Q?a=0D=0Ab=00c?=", "a  b c"),
        ("Subject: grüße", "grüße"),
        ("Subject: =?broken", "=?broken"),
        ("Subject:", ""),
        ("List-Id: The list <list.example.com>", "The list <list.example.com>"),
    ] {
        assert_eq!(text(field), expected, "{field}");
    }
    assert_eq!(text(&format!("X: {}", "ü".repeat(5_000))).chars().count(), 1_000);
    assert_eq!(text(&format!("X: {}", "=?utf-8?Q?=C3=BC?= ".repeat(800))).chars().count(), 800);
}
