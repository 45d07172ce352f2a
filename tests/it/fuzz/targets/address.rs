//! Paths and domains.

use gatepost::smtp::address::{AddressError, Domain, ForwardPath, Host, LOCAL_PART_MAX, Mailbox, ReversePath};

use super::{Target, outcome};

pub const TARGET: Target = Target {
    name: "address",
    run,
    seeds: &["testdata/fuzz/address"],
    words: &[
        b"<",
        b">",
        b"<@a.example,@b.example:",
        b"@",
        b"\"",
        b"\\\"",
        b"[192.0.2.1]",
        b"[IPv6:",
        b"IPv6:::ffff:192.0.2.1]",
        b"::",
        b"postmaster",
        b".example",
        b"b\xc3\xbccher",
        b"\xe0\xa5\x98",
        b"e\xcc\x81",
        b"\xef\xbc\x8e",
        b"\xe3\x80\x82",
        b"\xc3\x9f",
        b"\xe2\x80\x8d",
        b"\xd7\x90",
        b"xn--a-",
        b"--",
    ],
    longest: 300,
    briefly: 6000,
};

fn run(text: &[u8]) -> u64 {
    let plain = ReversePath::parse(text, false);
    let international = ReversePath::parse(text, true);
    if let Ok(path) = &plain {
        assert_eq!(international.as_ref(), Ok(path), "SMTPUTF8 changes nothing for an address that does not need it");
        assert!(path.mailbox().is_none_or(Mailbox::is_ascii));
    }
    for (found, utf8) in [(&plain, false), (&international, true)] {
        let Ok(path) = found else { continue };
        let shown = format!("<{path}>");
        assert!(reads_as(&shown, ReversePath::parse(&shown, utf8), path, text), "{shown}: read again");
        path.mailbox().into_iter().for_each(check_mailbox);
    }
    let forward = ForwardPath::parse(text, true);
    if let Ok(path) = &forward {
        let shown = format!("<{path}>");
        assert!(reads_as(&shown, ForwardPath::parse(&shown, true), path, text), "{shown}: read again");
        assert_eq!(
            path.mailbox(),
            international.as_ref().ok().and_then(ReversePath::mailbox),
            "both kinds of path agree"
        );
    }
    let domain = std::str::from_utf8(text).ok().map(|text| (Domain::parse(text), Domain::parse_with_underscores(text)));
    if let Some((strict, lenient)) = &domain {
        if let Ok(domain) = strict {
            check_domain(domain, false);
            assert_eq!(lenient.as_ref(), Ok(domain));
        }
        if let Ok(domain) = lenient {
            check_domain(domain, true);
        }
    }
    let error = |found: Option<AddressError>| outcome(&found);
    error(plain.err())
        ^ error(international.err()).rotate_left(1)
        ^ error(forward.err()).rotate_left(2)
        ^ outcome(&domain.map(|(strict, lenient)| (strict.err(), lenient.err())))
}

/// What is shown of a path is that path, unless it became too long: a domain may be longer as A-labels, a local-part in NFC.
fn reads_as<T: PartialEq>(shown: &str, read: Result<T, AddressError>, path: &T, text: &[u8]) -> bool {
    let too_long = matches!(read, Err(AddressError::PathTooLong | AddressError::LocalPartTooLong));
    (too_long && shown.len() > text.len() && !text.is_ascii()) || read.as_ref() == Ok(path)
}

fn check_mailbox(mailbox: &Mailbox) {
    assert!(mailbox.local.len() <= LOCAL_PART_MAX, "{} octets", mailbox.local.len());
    assert!(!mailbox.local.chars().any(char::is_control));
    if let Host::Name(domain) = &mailbox.host {
        check_domain(domain, false);
    }
}

fn check_domain(domain: &Domain, underscores: bool) {
    let text = domain.as_str();
    let is_octet = |octet: u8| {
        octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-' || (underscores && octet == b'_')
    };
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(is_octet)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    assert!(text.len() <= 253 && text.split('.').all(fits), "{text:?}");
    let again = if underscores { Domain::parse_with_underscores(text) } else { Domain::parse(text) };
    assert_eq!(again.as_ref(), Ok(domain), "read again");
}
