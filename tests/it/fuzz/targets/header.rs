//! The header of a message, From and Reply-To, Message-ID.

use gatepost::message::author::{Author, defect, message_id, read_author, read_reply_to};
use gatepost::message::header::{Header, HeaderDefect, HeaderSplitter, MAX_FIELDS, Rewrite};
use gatepost::smtp::address::Domain;

use super::data::find;
use super::{Target, outcome, pieces};

pub const TARGET: Target = Target {
    name: "header",
    run,
    seeds: &["testdata/fuzz/header", "testdata/cases"],
    words: &[
        b"From: ",
        b"from :",
        b"Reply-To: ",
        b"Message-ID: ",
        b"Sender: ",
        b"\r\nFrom: a@b.example\r\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"\r\n\t",
        b"\n\n",
        b"<a@b.example>",
        b"\"a@b.example\"",
        b"a@b.example, ",
        b"=?utf-8?b?YUBiLmV4YW1wbGU=?=",
        b"=?us-ascii?q?a=40b?=",
        b"undisclosed: ;",
        b"(a(b)c)",
        b"@route:",
        b"<>",
        b"\xef\xbc\xa0",
        b"[192.0.2.1]",
        b"b\xc3\xbccher.example",
        b"\\",
    ],
    longest: 2000,
    briefly: 3000,
};

fn run(message: &[u8]) -> u64 {
    let seed = message.len() as u8;
    let (header, blank_line) = split(&[message]);
    assert_eq!(split(&pieces(message, seed)), (header.clone(), blank_line), "in pieces");
    let end = if message.starts_with(b"\r\n") { Some(0) } else { find(message, b"\n\r\n").map(|at| at + 1) };
    assert_eq!((header.raw(), blank_line), (&message[..end.unwrap_or(message.len())], end.is_some()));
    check_fields(&header);
    let author = read_author(&header);
    check_author(&header, &author);
    let id = message_id(&header);
    assert!(id.chars().count() <= 250 && !id.chars().any(char::is_control));
    outcome(&(header.defects(), &author.defects, author.domains.len(), read_reply_to(&header).is_some(), id.is_empty()))
}

/// What follows the header is the body: nothing may be lost between them.
fn split(pieces: &[&[u8]]) -> (Header, bool) {
    let mut splitter = HeaderSplitter::new();
    let mut body = None;
    for piece in pieces {
        match (&mut body, splitter.push(piece)) {
            (body @ None, Some(rest)) => *body = Some(rest.len()),
            (Some(length), Some(rest)) => *length += rest.len(),
            (Some(_), None) => panic!("the header went on after its end"),
            (None, None) => {}
        }
    }
    let (header, blank_line) = splitter.finish();
    let all: usize = pieces.iter().map(|piece| piece.len()).sum();
    let ended = if blank_line { "\r\n".len() } else { 0 };
    assert_eq!(header.raw().len() + ended + body.unwrap_or(0), all, "octets were lost");
    (header, blank_line)
}

/// Every octet of a header is of one field or of one line that is none, and comes back when nothing is changed.
fn check_fields(header: &Header) {
    let raw = header.raw();
    assert_eq!(header.without(|_| false), raw);
    assert_eq!(header.rewritten(|field| Rewrite::Put(field.raw.to_vec())), raw);
    let fields: usize = header.fields().map(|field| field.raw.len()).sum();
    let strays: usize = header.stray_lines().map(|(_, line)| line.len()).sum();
    let cut = header.defects().contains(&HeaderDefect::TooLarge);
    assert!(fields + strays == raw.len() || (cut && fields + strays <= raw.len()));
    assert!(header.fields().count() <= MAX_FIELDS);
    for field in header.fields() {
        assert!(!field.name.is_empty() && field.name.iter().all(|octet| matches!(octet, 33..=57 | 59..=126)));
        assert!(field.raw.starts_with(field.name) && field.raw.len() > field.name.len() + field.value.len());
        let (before, after) = field.halves();
        assert_eq!([before, b":", after].concat(), field.raw);
        assert!(!field.unfolded().contains(&b'\n'));
    }
}

fn check_author(header: &Header, author: &Author) {
    let count = header.named("from").count();
    assert_eq!(author.defects.contains(&defect::MISSING), count == 0);
    assert_eq!(author.defects.contains(&defect::SEVERAL_FIELDS), count > 1);
    assert_eq!(author.defects.contains(&defect::SEVERAL_DOMAINS), author.domains.len() > 1);
    let without = Header::parse(header.without(|field| field.is("from")));
    assert_eq!(read_author(&without).domain(), None, "an author without From");
    let Some(domain) = author.domain() else { return };
    let of_domain = |address: &String| {
        let (_, host) = address.rsplit_once('@').unwrap();
        Domain::parse_with_underscores(host).as_ref() == Ok(domain)
    };
    assert!(!author.addresses.is_empty() && author.addresses.iter().all(of_domain), "{author:?}");
    check_second_author(header, domain, count);
}

/// With a From of somebody else in the same header there is no author domain any more.
fn check_second_author(header: &Header, domain: &Domain, count: usize) {
    const OTHER: &[u8] = b"From: x@other.example\r\n";
    if domain.as_str() == "other.example" || count >= 10 {
        return;
    }
    let above = Header::parse([OTHER, header.raw()].concat());
    assert_eq!(read_author(&above).domain(), None, "the second of two authors");
    if header.raw().ends_with(b"\n") {
        let below = Header::parse([header.raw(), OTHER].concat());
        assert_eq!(read_author(&below).domain(), None, "the first of two authors");
    }
}
