//! The header reader and the splitter: every octet stays where it was, and what is no field is said so.

use std::path::PathBuf;

use gatepost::message::content::Content;
use gatepost::message::header::{Header, HeaderDefect, HeaderSplitter, MAX_FIELDS, MAX_HEADER};
use proptest::prelude::*;

use super::support::corpora::folder as corpus;

/// A text with LF or CRLF line ends as a message with CRLF.
pub fn crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    for octet in text {
        if *octet == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(*octet);
    }
    out
}

/// Reads a header and compares names, unfolded values and defects.
fn check(raw: &str, fields: &[(&str, &str)], defects: &[HeaderDefect]) {
    let header = Header::parse(raw.as_bytes().to_vec());
    let read: Vec<_> = header
        .fields()
        .map(|field| {
            (String::from_utf8_lossy(field.name).into_owned(), String::from_utf8_lossy(&field.unfolded()).into_owned())
        })
        .collect();
    let expected: Vec<_> = fields.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    assert_eq!(read, expected, "fields of {raw:?}");
    assert_eq!(header.defects(), defects, "defects of {raw:?}");
    assert_eq!(header.raw(), raw.as_bytes());
    assert_eq!(header.without(|_| false), raw.as_bytes());
}

#[test]
fn fields_are_found_with_their_folding() {
    check("A: b\r\nC:d\r\n\te\r\n f\r\n", &[("A", " b"), ("C", "d\te f")], &[]);
    check("A:\r\n", &[("A", "")], &[]);
    check("A: b", &[("A", " b")], &[]);
    check("A: b:c\r\n", &[("A", " b:c")], &[]);
}

#[test]
fn what_is_no_field_is_named() {
    use HeaderDefect::*;
    check("", &[], &[NoHeader]);
    check(" A: b\r\nC: d\r\n", &[("C", " d")], &[NoHeader, NotAField]);
    check("From x Mon\r\nA: b\r\n", &[("A", " b")], &[NoHeader, NotAField]);
    check("A: b\r\nnothing\r\n more\r\nC: d\r\n", &[("A", " b"), ("C", " d")], &[NotAField]);
    check("A : b\r\n", &[("A", " b")], &[SpaceBeforeColon]);
    check("A\t \t: b\r\n", &[("A", " b")], &[SpaceBeforeColon]);
    check("A b: c\r\n", &[], &[NoHeader, NotAField]);
    check(": c\r\n", &[], &[NoHeader, NotAField]);
    check("Fr\u{e9}m: c\r\nA: b\r\n", &[("A", " b")], &[NoHeader, NotAField]);
}

#[test]
fn a_name_knows_no_case_and_a_space_before_the_colon_hides_nothing() {
    let header = Header::parse(b"fRoM : a\r\nX-From: b\r\nFROM: c\r\n".to_vec());
    let values: Vec<_> = header.named("From").map(|field| field.value).collect();
    assert_eq!(values, [b" a".as_slice(), b" c"]);
    assert!(header.named("from").next().unwrap().has_space_before_colon());
    let halves = header.named("from").next().unwrap().halves();
    assert_eq!(halves, (b"fRoM ".as_slice(), b" a\r\n".as_slice()));
}

#[test]
fn removing_fields_leaves_every_other_octet() {
    let raw = b"A: 1\r\nB: 2\r\n more\r\nstray\r\nb : 3\r\nC: 4\r\n".to_vec();
    let header = Header::parse(raw);
    assert_eq!(header.without(|field| field.is("B")), b"A: 1\r\nstray\r\nC: 4\r\n");
    assert_eq!(header.without(|_| true), b"stray\r\n");
}

fn split(message: &[u8], chunk: usize) -> Content {
    let mut splitter = HeaderSplitter::new();
    let mut body = Vec::new();
    for chunk in message.chunks(chunk.max(1)) {
        body.extend_from_slice(splitter.push(chunk).unwrap_or_default());
    }
    let (header, had_blank_line) = splitter.finish();
    Content { header: header.into(), body: body.into(), had_blank_line }
}

#[test]
fn the_header_ends_at_the_first_blank_line_wherever_chunks_are_cut() {
    for (message, header, body, blank) in [
        ("A: b\r\n\r\nbody\r\n\r\nmore", "A: b\r\n", "body\r\n\r\nmore", true),
        ("A: b\r\n\r\n", "A: b\r\n", "", true),
        ("A: b\r\n", "A: b\r\n", "", false),
        ("A: b", "A: b", "", false),
        ("\r\nbody", "", "body", true),
        ("", "", "", false),
        ("A: b\r\n \r\nC: d\r\n\r\nx", "A: b\r\n \r\nC: d\r\n", "x", true),
    ] {
        for chunk in 1..=message.len().max(1) {
            let content = split(message.as_bytes(), chunk);
            assert_eq!(content.header.raw(), header.as_bytes(), "{message:?} in chunks of {chunk}");
            assert_eq!((&*content.body.memory(), content.had_blank_line), (body.as_bytes(), blank), "{message:?}");
            assert_eq!(content.octets().unwrap(), message.as_bytes());
            assert_eq!(content.bytes(), message.len() as u64);
            assert_eq!(content, Content::parse(message.as_bytes()));
        }
    }
}

#[test]
fn a_header_beyond_its_bounds_is_cut_and_named_and_no_octet_is_lost() {
    let long = [b"A: ".as_slice(), &vec![b'x'; 2 * MAX_HEADER], b"\r\n\r\nbody"].concat();
    let content = split(&long, 4096);
    assert_eq!(content.header.raw().len(), MAX_HEADER);
    assert!(content.header.defects().contains(&HeaderDefect::TooLarge));
    assert_eq!(content.octets().unwrap(), long);

    let fits = [b"A: ".as_slice(), &vec![b'x'; MAX_HEADER - 7], b"\r\n\r\nbody"].concat();
    assert_eq!(split(&fits, 4096).header.defects(), []);

    let many = "A: b\r\n".repeat(MAX_FIELDS + 1);
    let header = Header::parse(many.clone().into_bytes());
    assert_eq!(header.defects(), [HeaderDefect::TooLarge]);
    assert_eq!(header.fields().count(), MAX_FIELDS);
    let enough = Header::parse("A: b\r\n".repeat(MAX_FIELDS).into_bytes());
    assert_eq!(enough.defects(), []);
}

#[test]
fn real_messages_are_given_back_octet_for_octet() {
    for name in ["realmail-spamassassin", "realmail-bounces", "mime-cpython", "mime-ruby-mail"] {
        let Some(folder) = corpus(name) else { continue };
        let mut seen = 0;
        for file in walk(&folder) {
            let message = crlf(&std::fs::read(&file).unwrap());
            for chunk in [1 << 20, 977] {
                assert_eq!(split(&message, chunk).octets().unwrap(), message, "{}", file.display());
            }
            seen += 1;
        }
        assert!(seen > 5, "{name} holds messages");
    }
}

/// All files below a folder.
pub fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else if !matches!(path.file_name().and_then(|n| n.to_str()), Some("LICENSE" | "PROVENANCE.md")) {
            files.push(path);
        }
    }
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_octets_are_read_and_given_back(message in proptest::collection::vec(prop_oneof![
        Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'a'), any::<u8>()], 0..200), chunk in 1usize..40) {
        let content = split(&message, chunk);
        prop_assert_eq!(content.octets().unwrap(), message);
        let header = &content.header;
        let fields: usize = header.fields().map(|f| f.raw.len()).sum();
        let stray: usize = header.stray_lines().map(|(_, l)| l.len()).sum();
        prop_assert_eq!(fields + stray, header.raw().len());
        prop_assert_eq!(header.without(|_| true).len(), stray);
    }
}
