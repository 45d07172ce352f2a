//! Authentication-Results: a field that claims to be ours is known under every disguise, one of somebody else is left alone, and what a
//! client said cannot end the one that we write.

use gatepost::authenticate::header::{authentication_results, claims_our_authserv_id};
use gatepost::facts::{Dkim, Facts};
use gatepost::message::header::Header;

use super::{Target, outcome};

pub const TARGET: Target = Target {
    name: "results",
    run,
    seeds: &["testdata/fuzz/results"],
    words: &[
        b"mx.example.org",
        b"MX.EXAMPLE.ORG",
        b"\"mx.example.org\"",
        b"mx.example.org 1;",
        b"(mx.example.org)",
        b"(",
        b")",
        b"\\)",
        b"; spf=pass",
        b" 1",
        b"\r\n ",
        b"=?utf-8?q?mx.example.org?=",
        b"dkim=pass header.d=",
        b"reason=\"",
        b"smtp.mailfrom=",
        b"\xe2\x80\x8b",
    ],
    longest: 1000,
    briefly: 4000,
};

const OURS: &str = "mx.example.org";

fn run(value: &[u8]) -> u64 {
    let claims = claims_our_authserv_id(value, OURS);
    let case = |octet: &u8| if octet.is_ascii_alphabetic() { octet ^ 0x20 } else { *octet };
    let swapped: Vec<u8> = value.iter().map(case).collect();
    assert_eq!(claims_our_authserv_id(&swapped, OURS), claims, "names know no case");
    for disguised in disguises(value) {
        assert!(claims_our_authserv_id(&disguised, OURS), "{}", disguised.escape_ascii());
    }
    check_other(value);
    check_written(value);
    outcome(&(claims, value.len().min(4), value.iter().filter(|octet| b"();\"\\=?".contains(octet)).count().min(20)))
}

/// Our name behind comments and white space, in quotes, in capitals, with a version, before anything at all.
fn disguises(value: &[u8]) -> [Vec<u8>; 4] {
    let comment: Vec<u8> = value.iter().flat_map(|octet| [b'\\', *octet]).collect();
    [
        [b" (", &comment[..], b") mx.example.org;", value].concat(),
        [b"\r\n\t\"mx.example.org\" (c) ;", value].concat(),
        [b"(a(", &comment[..], b")b)MX.Example.ORG 1;", value].concat(),
        [b"mx.example.org. ", value].concat(),
    ]
}

/// A name that is plainly another is not ours.
fn check_other(value: &[u8]) {
    let octet = |octet: &u8| b"abcdefghijklmnopqrstuvwxyz0123456789-.mxexample.org"[usize::from(*octet) % 52 % 51];
    let name: String = value.iter().take(60).map(|of| char::from(octet(of))).collect();
    if !name.trim_matches('.').is_empty() && name.trim_matches('.') != OURS {
        assert!(!claims_our_authserv_id(format!("{name}; spf=pass").as_bytes(), OURS), "{name}");
    }
}

/// The field that we write is one field, ours, and has the results of its facts only.
fn check_written(value: &[u8]) {
    let text = String::from_utf8_lossy(value).into_owned();
    let mut facts = Facts::default();
    facts.helo.clone_from(&text);
    facts.mail_from.domain.clone_from(&text);
    facts.from.domain.clone_from(&text);
    facts.reverse_mx.ptr.domain.clone_from(&text);
    facts.dkim = vec![Dkim {
        domain: text.clone(),
        selector: text.clone(),
        algorithm: text.clone(),
        reason: text.clone(),
        ..Dkim::default()
    }];
    let written = authentication_results(OURS, &facts);
    let header = Header::parse(written.clone().into_bytes());
    let fields: Vec<_> = header.fields().collect();
    assert!(header.defects().is_empty() && fields.len() == 1, "{written}");
    assert!(claims_our_authserv_id(fields[0].value, OURS));
    let plain = unquoted(&written);
    assert_eq!(plain.matches("spf=").count() + plain.matches("dkim=").count(), 3, "{written}");
    assert!(!plain.contains("=pass"), "{written}");
    assert!(written.replace("\r\n", "").bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\t')), "{written}");
}

/// What stands outside of quotes.
fn unquoted(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let outside = |c: &char| {
        match *c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted,
        }
        false
    };
    text.chars().filter(outside).collect()
}
