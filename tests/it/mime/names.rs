//! Names of files that can't be hidden: every name that a mail program may show is told, or a defect says that programs differ.

use gatepost::facts::word::MIME_DEFECTS;
use gatepost::message::mime::Mime;
use mail_parser::MessageParser;
use proptest::prelude::*;

use super::{base64, file, other_reading, read, told};
use crate::policy::{load, one_rule};
use crate::support::site::crlf;

/// `name name; defect defect` of the files.
fn names(mime: &Mime) -> (Vec<&str>, String) {
    (mime.attachments.iter().map(|a| a.name.as_str()).collect(), mime.defects.join(" "))
}

fn extensions(mime: &Mime) -> Vec<&str> {
    mime.attachments.iter().map(|a| a.extension.as_str()).collect()
}

#[track_caller]
fn check(message: &str, expected: &[&str], defects: &str) -> Mime {
    let mime = read(&crlf(message.as_bytes()));
    assert_eq!(names(&mime), (expected.to_vec(), defects.to_owned()), "{message}");
    assert!(!mime.truncated, "{message}");
    mime
}

/// A file with this Content-Disposition behind `attachment`.
#[track_caller]
fn disposed(written: &str, expected: &[&str], defects: &str) -> Mime {
    check(&file(&format!("Content-Disposition: attachment{written}")), expected, defects)
}

#[test]
fn a_parameter_that_stands_twice_gives_both_names() {
    disposed("; filename=a.txt; filename=a.exe", &["a.txt", "a.exe"], "doubled-parameter extensions-differ");
    for both in ["; filename=a.txt; filename*=utf-8''a.exe", "; filename*=utf-8''a.txt; filename=a.exe"] {
        disposed(both, &["a.txt", "a.exe"], "doubled-parameter extensions-differ");
    }
    // the form for old readers beside that of RFC 2231 is honest
    disposed("; filename=\"r.pdf\"; filename*=utf-8''r%C3%A9.pdf", &["r.pdf", "ré.pdf"], "doubled-parameter");
    disposed(
        "; filename=\"a.txt\"; filename*0=\"b.e\"; filename*1=\"xe\"",
        &["a.txt", "b.exe", "a.txtxe"],
        "doubled-parameter extensions-differ",
    );
    disposed("; filename=\"a.e\"; filename*0=\"xe\"", &["a.e", "xe", "a.exe"], "doubled-parameter extensions-differ");
}

#[test]
fn pieces_are_put_together_in_each_way() {
    // RFC 2231 §3: their order means nothing
    disposed("; filename*1=\"exe\"; filename*0=\"a.\"", &["a.exe"], "");
    disposed("; filename*1=\".txt\"; filename*0=\"a.exe\"", &["a.exe.txt", ".txta.exe"], "extensions-differ");
    let lacking = "broken-parameter extensions-differ";
    disposed("; filename*0=a.exe; filename*2=.txt", &["a.exe.txt", "a.exe"], lacking);
    disposed("; filename*0=a.txt; filename*2=.exe", &["a.txt.exe", "a.txt"], lacking);
    disposed("; filename*1=a.exe; filename*2=.txt", &["a.exe.txt", "a.exe"], lacking);
    disposed("; filename*0=a.; filename*1=exe; filename*1=txt", &["a.exetxt", "a.exe", "a.txt"], lacking);
    disposed("; filename*00=a.; filename*01=exe", &["a.exe"], "broken-parameter");
    // each piece may be encoded or not
    disposed("; filename*0*=utf-8''a%2E; filename*1=\"e%78e\"", &["a.e%78e", "a.exe"], "extensions-differ");
    disposed("; filename*0*=a.; filename*1*=%65xe", &["a.exe"], "undecodable-name");
    // an encoded-word in two pieces
    disposed("; filename*0=\"=?utf-8?B?YS5\"; filename*1=\"leGU=?=\"", &["a.exe"], "");
}

#[test]
fn type_and_disposition_may_both_name_a_file() {
    let both = |kind: &str, disposition: &str| {
        file(&format!("Content-Type: application/x; {kind}\nContent-Disposition: attachment; {disposition}"))
    };
    check(&both("name=a.exe", "filename=a.txt"), &["a.txt", "a.exe"], "extensions-differ");
    check(&both("name=a.txt", "filename=a.txt"), &["a.txt"], "");
    check(&both("name=\"a long\n name.txt\"", "filename=\"a long name.txt\""), &["a long name.txt"], "");
    check(&both("name=b.txt", "filename=a.txt"), &["a.txt", "b.txt"], "");
    // each parameter in the other's field
    check(&both("filename=a.exe", "name=a.txt"), &["a.txt", "a.exe"], "extensions-differ");
    check(&file("Content-Name: a.exe"), &["a.exe"], "");
    // what is no name is one for some where there is none
    let image = |fields: &str| file(&format!("Content-Type: image/png\n{fields}"));
    check(&image("Content-Description: a.exe"), &["a.exe"], "");
    check(&image("Content-Location: http://x.example/a.exe"), &["http://x.example/a.exe"], "");
    check(&image("Content-Description: a picture"), &[""], "");
    check(&image("Content-Description: a.exe\nContent-Disposition: inline; filename=a.png"), &["a.png"], "");
    // fields that stand twice
    check(
        &file("Content-Disposition: attachment; filename=a.txt\nContent-Disposition: attachment; filename=a.exe"),
        &["a.txt", "a.exe"],
        "doubled-field extensions-differ",
    );
    check(&file("Content-Type: application/x; name=a.exe\nContent-Type: text/plain"), &["a.exe"], "doubled-field");
    check(&file("Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit"), &[], "doubled-field");
}

#[test]
fn what_is_against_the_grammar_is_read_in_each_way() {
    let broken = "broken-parameter";
    let differing = "broken-parameter extensions-differ";
    let twice = "doubled-parameter broken-parameter extensions-differ";
    disposed("; filename=a b.exe", &["a b.exe"], broken);
    disposed("; filename=a.exe b.txt", &["a.exe b.txt", "a.exe"], differing);
    disposed("; filename=\"a.txt\".exe", &["a.txt", "a.txt.exe"], differing);
    disposed("; filename=\"a.txt\" \"b.exe\"", &["a.txt", "a.txt b.exe"], differing);
    disposed("; filename=\"a.exe", &["a.exe"], broken);
    disposed("; filename=\"a.txt; name=b.exe", &["a.txt; name=b.exe", "a.txt", "b.exe"], twice);
    disposed(" filename=a.exe", &["a.exe"], broken);
    disposed(", filename=a.exe", &["a.exe"], broken);
    disposed("; size=3 filename=a.exe", &["a.exe"], broken);
    disposed("; filename = a.exe ;", &["a.exe"], "");
    disposed("; FILENAME=a.exe", &["a.exe"], "");
    disposed("; filename='a.exe'", &["'a.exe'"], "tail-in-name");
    // comments, which some programs know and some don't (RFC 2045 §5.1)
    disposed("; filename=(x)a.exe", &["a.exe"], "");
    disposed("; filename=a.txt(.exe)", &["a.txt", "a.txt(.exe)"], differing);
    disposed("; (; filename=b.exe) filename=a.txt", &["a.txt", "b.exe)"], differing);
    disposed("; filename=\"report (1).pdf\"", &["report (1).pdf"], "");
    // quoted pairs, which some don't know
    disposed("; filename=\"a\\.exe\"", &["a.exe"], "");
    disposed(
        "; filename=\"a.txt\\\"; filename=\"b.exe\"",
        &["a.txt\"; filename=", "a.txt; filename=", "b.exe", "a.txt\\"],
        "doubled-parameter broken-parameter tail-in-name extensions-differ",
    );
    // folding in a value: its white space stays or goes
    disposed("; filename=\"a.e\n xe\"", &["a.e xe", "a.exe"], differing);
    disposed("; filename=\"a long\n name.exe\"", &["a long name.exe"], "");
    disposed(";\n\tfilename=\"a.exe\"", &["a.exe"], "");
}

#[test]
fn encodings_are_undone_where_they_have_no_place() {
    disposed("; filename=\"=?utf-8?B?YS5leGU=?=\"", &["a.exe"], "");
    disposed("; filename==?utf-8?B?YS5leGU=?=", &["a.exe"], "broken-parameter");
    disposed("; filename=\"a=?utf-8?Q?=2Eexe?=\"", &["a.exe"], "");
    disposed("; filename=\"=?utf-8?Q?a.txt?=.exe\"", &["a.txt.exe"], "");
    disposed("; filename=\"=?utf-8?Q?a=2Eexe\"", &["a.exe"], "undecodable-name");
    disposed("; filename=\"=?x-none?Q?a=2Eexe?=\"", &["a.exe"], "undecodable-name");
    disposed("; filename=\"=?utf-7?Q?a+AC4-exe?=\"", &["a.exe"], "");
    disposed("; filename*=utf-7''a%2BAC4-exe", &["a.exe"], "");
    disposed("; filename*=x-none''a%2Eexe", &["a.exe"], "undecodable-name");
    disposed("; filename*=a%2Eexe", &["a.exe"], "undecodable-name");
    disposed("; filename=\"a%2Eexe\"", &["a%2Eexe", "a.exe"], "extensions-differ");
    disposed("; filename=\"a%20b.pdf\"", &["a%20b.pdf"], "");
    // the field as a whole
    let whole = format!("Content-Disposition: =?utf-8?B?{}?=", base64(b"attachment; filename=a.exe"));
    check(&file(&whole), &["a.exe"], "broken-parameter");
}

#[test]
fn what_a_name_loses_on_its_way_to_a_file_hides_nothing() {
    for (name, told, extension, defects) in [
        ("a.exe.", "a.exe.", "exe", "tail-in-name"),
        ("a.exe . ", "a.exe . ", "exe", "tail-in-name"),
        ("a.exe/", "a.exe/", "exe", "path-in-name tail-in-name"),
        ("..\\..\\a.exe", "....a.exe", "exe", ""),
        ("C:/x/a.exe", "C:/x/a.exe", "exe", "path-in-name"),
        ("a.e\u{200b}xe", "a.e\u{200b}xe", "exe", "unseen-character"),
        ("\u{202e}gpj.exe", "\u{202e}gpj.exe", "exe", "unseen-character"),
        ("a.\u{ad}exe\u{feff}", "a.\u{ad}exe\u{feff}", "exe", "unseen-character"),
        ("a.exe\u{201d}", "a.exe\u{201d}", "exe", "tail-in-name"),
    ] {
        let mime = disposed(&format!("; filename=\"{name}\""), &[told], defects);
        assert_eq!(extensions(&mime), [extension], "{name}");
    }
    let differing = "path-in-name extensions-differ";
    disposed("; filename=\"a.exe::$DATA\"", &["a.exe::$DATA", "a.exe", "a.exe$DATA"], differing);
    disposed("; filename=\"a.exe:b.txt\"", &["a.exe:b.txt", "a.exe"], differing);
    disposed("; filename=\"a.e*xe\"", &["a.e*xe", "a.exe"], "extensions-differ");
    disposed("; filename=\"a.exe%00.txt\"", &["a.exe%00.txt", "a.exe"], "unseen-character extensions-differ");
    disposed("; filename*=utf-8''a.exe%00.txt", &["a.exe.txt", "a.exe"], "unseen-character extensions-differ");
    disposed("; filename=\"a\u{ff0e}\u{ff45}xe\"", &["a\u{ff0e}\u{ff45}xe", "a.exe"], "extensions-differ");
    let long = format!("{}.exe{}.txt", "x".repeat(251), "y".repeat(20));
    let mime = read(&crlf(file(&format!("Content-Disposition: attachment; filename={long}")).as_bytes()));
    assert_eq!(
        (extensions(&mime), mime.defects.join(" ")),
        (vec!["txt", "exe"], "long-name extensions-differ".to_owned())
    );
}

/// A part that holds a program.
const PROGRAM: &str = "Content-Disposition: attachment; filename=a.exe\n\nMZ\n";

#[test]
fn a_structure_that_readers_see_differently_hides_no_part() {
    let message = |kind: &str, body: &str| format!("Content-Type: {kind}\n\n{body}");
    let one = |boundary: &str| format!("--{boundary}\n{PROGRAM}--{boundary}--\n");
    for boundary in ["boundary=a; boundary=b", "boundary=b; boundary=a", "boundary=a; boundary*=utf-8''b"] {
        check(&message(&format!("multipart/mixed; {boundary}"), &one("b")), &["a.exe"], "doubled-parameter");
        check(&message(&format!("multipart/mixed; {boundary}"), &one("a")), &["a.exe"], "doubled-parameter");
    }
    check(&message("multipart/mixed", &one("b")), &["a.exe"], "no-boundary");
    check(&message("multipart/mixed; boundary=\"\"", &one("b")), &["a.exe"], "no-boundary");
    check(&message("multipart/mixed; boundary=x", &one("b")), &["a.exe"], "absent-boundary");
    check(&message("multipart/mixed; boundary=x", "nothing\n"), &[], "absent-boundary");
    check(&message("multipart/mixed; boundary=x", "\n \n"), &[], "");
    check(&message("multipart/mixed boundary=b", &one("b")), &["a.exe"], "broken-parameter broken-type");
    check(&message("multipart; boundary=b", &one("b")), &["a.exe"], "broken-type");
    check(&message("(x)multipart / mixed; boundary=b", &one("b")), &["a.exe"], "broken-type");
    // a line that only begins like the delimiter
    check(
        &message("multipart/mixed; boundary=b", &format!("--b\n\nx\n--bxyz\n{PROGRAM}--b--\n")),
        &["a.exe"],
        "delimiter-tail",
    );
    check(&message("multipart/mixed; boundary=b", &format!("--b xyz\n{PROGRAM}--b--\n")), &["a.exe"], "");
    // and that of a multipart within, which is honest
    let within = format!("--b\nContent-Type: multipart/mixed; boundary=b_1\n\n{}\n--b--\n", one("b_1"));
    check(&message("multipart/mixed; boundary=b", &within), &["a.exe"], "");
    check(
        &message("multipart/mixed; boundary=b", &format!("--b\n\nx\n--b--\n--b\n{PROGRAM}--b--\n")),
        &["a.exe"],
        "after-end",
    );
    // encoded although RFC 2045 §6.4 forbids it
    let quoted = one("b").replace('=', "=3D");
    for (encoding, body) in [("base64", base64(crlf(one("b").as_bytes()).as_slice())), ("quoted-printable", quoted)] {
        let kind = format!("multipart/mixed; boundary=b\nContent-Transfer-Encoding: {encoding}");
        let mime = read(&crlf(message(&kind, &body).as_bytes()));
        assert!(extensions(&mime).contains(&"exe"), "{}", told(&mime));
        assert_eq!(mime.defects, ["encoded-multipart"], "{}", told(&mime));
    }
    // what is no field in a header, and an empty line before it
    let part = |lines: &str| message("multipart/mixed; boundary=b", &format!("--b\n{lines}--b--\n"));
    check(&part(&format!("nonsense\n{PROGRAM}")), &["a.exe"], "broken-header");
    check(&part(&format!(" \n{PROGRAM}")), &["a.exe"], "broken-header");
    check(&part("Content-Disposition : attachment; filename=a.exe\n\nMZ\n"), &["a.exe"], "broken-header");
    check(&part(&format!("Content-Type: message/rfc822\n\n\n{PROGRAM}")), &["", "a.exe"], "");
    // several types: a multipart, and a message, are opened
    let twice = format!("Content-Type: message/rfc822\nContent-Type: text/plain\n\n{PROGRAM}");
    check(&twice, &["", "a.exe"], "doubled-field");
}

#[test]
fn what_is_not_in_the_message_or_not_opened_is_said() {
    check(&file("Content-Type: message/partial; id=x; number=1; total=2"), &[""], "partial");
    check(&file("Content-Type: message/external-body; access-type=URL; name=a.exe"), &["a.exe"], "partial");
    check(&file("Content-Type: application/ms-tnef; name=winmail.dat"), &["winmail.dat"], "tnef");
    check(&file("Content-Type: application/x; name=WINMAIL.DAT"), &["WINMAIL.DAT"], "tnef");
    check(&file("Content-Transfer-Encoding: x-uuencode"), &[], "unknown-encoding");
    check(&file("Content-Transfer-Encoding: base64\n\n!?"), &[], "broken-encoding");
    check("Content-Type: nonsense\n\nx\n", &[""], "broken-type");
}

#[test]
fn files_within_a_text_are_told() {
    let data = "#0V%T\n`\nend\n";
    let mime = check(&format!("Subject: x\n\nlook\nbegin 644 a.exe\n{data}"), &["a.exe"], "uuencoded");
    assert_eq!((mime.attachments[0].media_type.as_str(), mime.attachments[0].bytes), ("application/x-uuencode", 3));
    check(&file(&format!("Content-Type: text/plain\n\nbegin 0755 a b.exe\n{data}")), &["a b.exe"], "uuencoded");
    check(&format!("\nbegin  a.exe\n{data}"), &["a.exe"], "uuencoded");
    check("\nbegin-base64 644 a.exe\nQUJD\n====\n", &["a.exe"], "uuencoded");
    check("\n=ybegin line=128 size=9 name=a.exe\nxxx\n=yend size=9\n", &["a.exe"], "uuencoded");
    let encoded = base64(crlf(format!("begin 644 a.exe\n{data}").as_bytes()).as_slice());
    check(&format!("Content-Transfer-Encoding: base64\n\n{encoded}\n"), &["a.exe"], "uuencoded");
    check(
        &format!("Content-Transfer-Encoding: quoted-printable\n\n=62egin 644 a.exe\n{data}"),
        &["a.exe"],
        "uuencoded",
    );
    // prose
    check("\nbegin 1999 with a smile\nbegin at the beginning\nbegin: no\nto begin 644 a.exe\n", &[], "");
}

#[test]
fn hostile_fields_cost_no_more_than_their_octets() {
    let long = |piece: &str| piece.repeat(4_000 / piece.len());
    for field in [
        long("; filename=\"a\\"),
        long("(;"),
        long("filename="),
        format!("; filename={}", long("=?utf-8?B?YQ==?= ")),
        (0..300).map(|n| format!("; filename*{n}=x{n}.e{n}")).collect(),
        (0..300).map(|n| format!("; filename=x.e{n}")).collect(),
    ] {
        let mime = read(&crlf(file(&format!("Content-Disposition: attachment{field}")).as_bytes()));
        assert!(mime.attachments.len() <= 16, "{field}: {}", told(&mime));
    }
    let fields = (0..9).map(|n| format!("Content-Name: {n}.txt\n")).collect::<String>() + "Content-Name: a.exe";
    assert!(read(&crlf(file(&fields).as_bytes())).truncated);
    let dashes = format!("Content-Type: multipart/mixed\r\n\r\n{}", "-".repeat(1_000_000));
    assert_eq!(read(dashes.as_bytes()).parts, 1);
    let begins = format!("\r\n{}", "begin \r\nbegin 64x a.exe\r\n".repeat(50_000));
    assert!(read(begins.as_bytes()).attachments.is_empty());
    let tails =
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n{}", "--bx\r\n\r\n".repeat(100_000));
    assert_eq!(read(tails.as_bytes()).parts, 2);
}

#[test]
fn a_rule_can_only_name_a_defect_that_there_is() {
    let rule = |word: &str| format!("mime.defects.exists(d, d == '{word}') || '{word}' in mime.defects");
    for word in MIME_DEFECTS {
        load(&one_rule(&rule(word))).unwrap_or_else(|problems| panic!("{word}: {problems}"));
    }
    let problems = load(&one_rule(&rule("after-ends"))).unwrap_err().to_string();
    assert_eq!(problems.matches("after-end").count() - problems.matches("after-ends").count(), 2, "{problems}");
}

#[test]
fn each_defect_is_a_word_that_is_documented() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/facts.md")).unwrap();
    for word in MIME_DEFECTS {
        assert!(docs.contains(&format!("| `{word}` |")), "docs/facts.md says nothing of {word}");
    }
}

/// How a name can be written: `{}` is the name, `{p}` with each octet as %XX, `{b}` in base64, `{1}` and `{2}` its halves.
const SPELLINGS: &[&str] = &[
    "; filename={}",
    "; filename=\"{}\"",
    "; filename='{}'",
    "; filename=\"{}",
    "; filename={} ;",
    "; filename=({}) {}",
    "; filename=a.txt; filename={}",
    "; filename={}; filename=a.txt",
    "; filename=a.txt; filename*=utf-8''{p}",
    "; filename*=utf-8'en'{p}; filename=a.txt",
    "; filename*={p}",
    "; filename*=\"utf-8''{p}\"",
    "; filename*0=\"{1}\"; filename*1=\"{2}\"",
    "; filename*1=\"{2}\"; filename*0=\"{1}\"",
    "; filename*1=\"{1}\"; filename*2=\"{2}\"",
    "; filename*0=\"{1}\"; filename*5=\"{2}\"",
    "; filename*0*=utf-8''{1}; filename*1=\"{2}\"",
    "; filename=\"{1}\"; filename*1=\"{2}\"",
    "; filename=\"{1}\n {2}\"",
    "; filename=\"{1}\"{2}",
    "; filename=\"{1}\\{2}\"",
    "; filename=\"=?utf-8?B?{b}?=\"",
    "; filename==?utf-8?b?{b}?=",
    "; filename=\"=?iso-8859-1?B?{b}?=\"",
    "; filename=\"=?x?B?{b}\"",
    "; filename=\"{p}\"",
    "; filename=\"{}. .\"",
    "; filename=\"{}::$DATA\"",
    "; filename=\"{}%00.txt\"",
    "; filename=\"x/{}\"",
    "; filename=\"{1}\u{200b}{2}\u{202c}\"",
    " filename={}",
    "; x=\"y\" filename={}",
    "; name={}",
    "; filename=a.txt (\"; filename={}",
    "; filename=\"a.txt\\\"; filename=\"{}\"",
    "\nContent-Type: application/x; name=\"{}\"",
    "; filename=a.txt\nContent-Type: text/plain; name*=utf-8''{p}",
    "; filename=a.txt\nContent-Disposition: inline; filename={}",
];

/// Lines of messages.
const LINES: &[&str] = &[
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Type: multipart/mixed;\n boundary=\"b c\"",
    "Content-Type: multipart/digest; boundary=bb",
    "Content-Type: message/rfc822",
    "Content-Type: text/plain; name=a.exe",
    "Content-Disposition: attachment; filename=a.exe",
    "Content-Disposition: attachment; filename*0=a.; filename*1=exe",
    "Content-Disposition: inline",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable",
    "",
    "",
    "",
    "--b",
    "--b",
    "--b--",
    "--b c",
    "--b c--",
    "--bb",
    "--bb--",
    "text",
    "Q29udGVudC1EaXNwb3NpdGlvbjogYXR0YWNobWVudDsgZmlsZW5hbWU9YS5leGUNCg0KTVo=",
];

proptest! {
    #[test]
    fn no_spelling_hides_a_program(stem in "[a-z0-9_é-]{1,12}(\\.[a-z]{3})?", at in 0_usize..16, spelling in 0..SPELLINGS.len()) {
        let name = format!("{stem}.exe");
        let half = name.char_indices().map(|(at, _)| at).nth(at % name.chars().count()).unwrap();
        let (first, second) = name.split_at(half);
        let percent: String = name.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let written = SPELLINGS[spelling]
            .replace("{p}", &percent)
            .replace("{b}", &base64(name.as_bytes()))
            .replace("{1}", first)
            .replace("{2}", second)
            .replace("{}", &name);
        let mime = read(&crlf(file(&format!("Content-Disposition: attachment{written}")).as_bytes()));
        prop_assert!(extensions(&mime).contains(&"exe") || !mime.defects.is_empty(), "{written}: {}", told(&mime));
    }

    #[test]
    fn what_another_reader_finds_is_found(lines in prop::collection::vec(prop::sample::select(LINES), 0..30)) {
        let message = crlf(lines.join("\n").as_bytes());
        let mime = read(&message);
        let other = MessageParser::default().parse(&message).map(|message| other_reading(&message).1).unwrap_or_default();
        let finds = other.iter().any(|name| name.ends_with(".exe"));
        let shows = extensions(&mime).contains(&"exe") || !mime.defects.is_empty() || mime.truncated;
        prop_assert!(!finds || shows, "{}: {other:?}, {}", lines.join("\n"), told(&mime));
    }

    #[test]
    fn every_way_to_hide_is_one_that_shows(
        pieces in prop::collection::vec(prop::sample::select(&[";", " ", "\"", "\\", "(", ")", "\n ", "=", "*", "0", "1", "'", "%", "=?", "?=", "name", "x"][..]), 0..12),
    ) {
        // whatever stands in front of it in the field
        let before = pieces.concat();
        let mime = read(&crlf(file(&format!("Content-Disposition: attachment; {before}; filename=a.exe")).as_bytes()));
        prop_assert!(extensions(&mime).contains(&"exe") || !mime.defects.is_empty(), "{before}: {}", told(&mime));
    }
}
