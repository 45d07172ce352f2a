//! Tests of address: the grammar of paths, and that no address is ever read as another.

use std::net::IpAddr;

use gatepost::smtp::address::{AddressError, Domain, ForwardPath, Host, Mailbox, ReversePath};
use gatepost::smtp::command::Command;
use proptest::prelude::*;

use crate::support::corpora;

/// Reads a reverse-path with SMTPUTF8 and writes it again.
#[track_caller]
fn check(text: &str, expected: Result<&str, AddressError>) {
    let read = ReversePath::parse(text, true).map(|path| path.to_string());
    assert_eq!(read.as_deref().map_err(|error| *error), expected, "{text:?}");
}

#[test]
fn paths_are_read_and_written_back_without_brackets() {
    for (text, expected) in [
        ("<>", ""),
        ("<alice@example.com>", "alice@example.com"),
        ("<Alice@EXAMPLE.Com>", "Alice@example.com"),
        ("alice@example.com", "alice@example.com"),
        ("<a@localhost>", "a@localhost"),
        ("<!#$%&'*+-/=?^_`{|}~@example.com>", "!#$%&'*+-/=?^_`{|}~@example.com"),
        ("<@relay.example,@b.example:alice@example.com>", "alice@example.com"),
        ("<alice@[192.0.2.1]>", "alice@[192.0.2.1]"),
        ("<alice@[ipv6:2001:DB8::1]>", "alice@[IPv6:2001:db8::1]"),
        // Snum is decimal and may have zeros before it (RFC 5321 §4.1.3).
        ("<alice@[192.000.002.010]>", "alice@[192.0.2.10]"),
        ("<alice@[IPv6:1:2:3::6:7:8]>", "alice@[IPv6:1:2:3::6:7:8]"),
        ("<alice@[IPv6:1:2:3:4::192.0.2.1]>", "alice@[IPv6:1:2:3:4::c000:201]"),
        ("<alice@[IPv6:::]>", "alice@[IPv6:::]"),
        ("<jos\u{e9}@example.com>", "jos\u{e9}@example.com"),
        ("<a@b\u{fc}cher.example>", "a@xn--bcher-kva.example"),
        ("<a@B\u{dc}CHER.example>", "a@xn--bcher-kva.example"),
        ("<a@xn--bcher-kva.example>", "a@xn--bcher-kva.example"),
    ] {
        check(text, Ok(expected));
    }
}

#[test]
fn quoting_is_dropped_where_it_says_nothing_and_kept_where_it_does() {
    for (text, local, written) in [
        ("\"alice\"@example.com", "alice", "alice@example.com"),
        ("\"a\\l\\ice\"@example.com", "alice", "alice@example.com"),
        ("\"a b\"@example.com", "a b", "\"a b\"@example.com"),
        ("\"a@b\"@example.com", "a@b", "\"a@b\"@example.com"),
        ("\"a\\\"b\\\\c\"@example.com", "a\"b\\c", "\"a\\\"b\\\\c\"@example.com"),
        ("\"a..b\"@example.com", "a..b", "\"a..b\"@example.com"),
        ("\"\"@example.com", "", "\"\"@example.com"),
        ("\">\"@example.com", ">", "\">\"@example.com"),
    ] {
        let mailbox = Mailbox::parse(text, false).unwrap();
        assert_eq!((mailbox.local.as_str(), mailbox.to_string().as_str()), (local, written));
    }
}

#[test]
fn what_is_wrong_is_said() {
    use AddressError as E;
    for (text, error) in [
        ("", E::Missing),
        ("<alice@example.com", E::Brackets),
        ("alice@example.com>", E::Brackets),
        ("<alice>", E::DomainMissing),
        ("<alice@>", E::DomainMissing),
        ("<@example.com>", E::Route),
        ("<@a.example:@b.example>", E::LocalPart),
        ("<@a.example b@c.example>", E::Route),
        ("<@a_b:c@d.example>", E::Route),
        ("<.alice@example.com>", E::LocalPart),
        ("<a..b@example.com>", E::LocalPart),
        ("<a b@example.com>", E::LocalPart),
        ("< a@example.com>", E::LocalPart),
        ("<\"a@example.com>", E::LocalPart),
        ("<\"a\"b@example.com>", E::LocalPart),
        ("<\"a\0b\"@example.com>", E::LocalPart),
        ("<\"a\\\u{e9}\"@example.com>", E::LocalPart),
        ("<a\u{85}b@example.com>", E::LocalPart),
        ("<a\u{2028}b@example.com>", E::LocalPart),
        ("<a@b@example.com>", E::Domain),
        ("<a@example.com.>", E::Domain),
        ("<a@-b.example>", E::Domain),
        ("<a@b-.example>", E::Domain),
        ("<a@b_c.example>", E::Domain),
        ("<a@b..example>", E::Domain),
        ("<a@xn--->", E::Domain),
        ("<a@[192.0.2]>", E::Literal),
        ("<a@[192.0.2.1>", E::Literal),
        ("<a@[2001:db8::1]>", E::Literal),
        ("<a@[IPv6:192.0.2.1]>", E::Literal),
        ("<a@[192.0.2.0001]>", E::Literal),
        ("<a@[192.0.2.+1]>", E::Literal),
        ("<a@[192.0.2.256]>", E::Literal),
        ("<a@[192.0.2.1.]>", E::Literal),
        // In the grammar of mail :: stands for two groups at least (RFC 5321 §4.1.3).
        ("<a@[IPv6:1:2:3:4:5:6::8]>", E::Literal),
        ("<a@[IPv6:::2:3:4:5:6:7:8]>", E::Literal),
        ("<a@[IPv6:1:2:3:4:5::192.0.2.1]>", E::Literal),
        ("<a@[IPv6:1:2:3:4:5:6:7:192.0.2.1]>", E::Literal),
        ("<a@[tag:x]>", E::Literal),
    ] {
        check(text, Err(error));
    }
}

#[test]
fn lengths_are_bounded_in_octets_as_written() {
    let local = |n: usize| format!("<{}@example.com>", "a".repeat(n));
    assert!(ReversePath::parse(local(64), false).is_ok());
    assert_eq!(ReversePath::parse(local(65), false), Err(AddressError::LocalPartTooLong));
    // The quotes count (RFC 5321 §4.5.3.1.1 bounds the local-part, which they are part of).
    let quoted = |n: usize| format!("<\"{}\"@example.com>", " ".repeat(n));
    assert!(ReversePath::parse(quoted(62), false).is_ok());
    assert_eq!(ReversePath::parse(quoted(63), false), Err(AddressError::LocalPartTooLong));
    let label = "d".repeat(63);
    assert!(Domain::parse(&label).is_ok());
    assert_eq!(Domain::parse(&format!("{label}d")), Err(AddressError::Domain));
    let longest = format!("{label}.{label}.{label}.{}", "d".repeat(61));
    assert_eq!(Domain::parse(&longest).map(|domain| domain.as_str().len()), Ok(253));
    assert_eq!(Domain::parse(&format!("{longest}d")), Err(AddressError::Domain));
    assert_eq!(Domain::parse(&"d.".repeat(200)), Err(AddressError::DomainTooLong));
    let route = format!("<@{longest}:a@b>");
    assert_eq!(ReversePath::parse(route, false), Err(AddressError::PathTooLong));
}

#[test]
fn non_ascii_needs_smtputf8_and_must_be_utf8() {
    for text in ["<jos\u{e9}@example.com>", "<a@b\u{fc}cher.example>"] {
        assert_eq!(ReversePath::parse(text, false), Err(AddressError::NonAscii));
        assert_eq!(ForwardPath::parse(text, false), Err(AddressError::NonAscii));
        assert!(ForwardPath::parse(text, true).is_ok());
    }
    assert_eq!(ReversePath::parse(b"<jos\xe9@example.com>", false), Err(AddressError::NonAscii));
    assert_eq!(ReversePath::parse(b"<jos\xe9@example.com>", true), Err(AddressError::NotUtf8));
    assert!(!Mailbox::parse("jos\u{e9}@example.com", true).unwrap().is_ascii());
    assert!(Mailbox::parse("jose@b\u{fc}cher.example", true).unwrap().is_ascii());
}

#[test]
fn local_parts_are_compared_in_nfc() {
    let composed = Mailbox::parse("jos\u{e9}@example.com", true).unwrap();
    let decomposed = Mailbox::parse("jose\u{301}@example.com", true).unwrap();
    assert_eq!(composed, decomposed);
    assert_eq!(composed.local, "jos\u{e9}");
}

#[test]
fn a_domain_that_only_looks_like_another_is_refused() {
    for text in
        ["\u{ff45}xample.com", "henry\u{2163}.example", "a\u{3002}example", "exam\u{ad}ple.com", "\u{212a}.example"]
    {
        assert_eq!(Domain::parse(text), Err(AddressError::Domain), "{text:?}");
    }
    assert_eq!(Domain::parse("fa\u{df}.example").unwrap().as_str(), "xn--fa-hia.example");
    assert_eq!(Domain::parse("\u{3a3}\u{391}\u{3a3}.example"), Domain::parse("\u{3c3}\u{3b1}\u{3c3}.example"));
}

#[test]
fn only_the_forward_path_knows_postmaster_and_only_the_reverse_path_is_null() {
    assert_eq!(ForwardPath::parse("<PostMaster>", false), Ok(ForwardPath::Postmaster));
    assert_eq!(ReversePath::parse("<postmaster>", false), Err(AddressError::DomainMissing));
    assert_eq!(ForwardPath::parse("<>", false), Err(AddressError::Missing));
    assert_eq!(ForwardPath::parse("postmaster", false), Err(AddressError::DomainMissing));
    assert_eq!(ForwardPath::Postmaster.to_string(), "postmaster");
    let path = ForwardPath::parse("<postmaster@example.com>", false).unwrap();
    assert_eq!(path.mailbox().map(ToString::to_string).as_deref(), Some("postmaster@example.com"));
}

#[test]
fn a_host_is_a_name_or_a_literal() {
    let v4: IpAddr = "192.0.2.1".parse().unwrap();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(Host::parse("[192.0.2.1]"), Ok(Host::Literal(v4)));
    assert_eq!(Host::parse("[IPv6:2001:db8::1]"), Ok(Host::Literal(v6)));
    assert_eq!(Host::parse("Mx.Example").unwrap().domain().map(Domain::as_str), Some("mx.example"));
    assert_eq!(ReversePath::parse("<a@[192.0.2.1]>", false).unwrap().domain_text(), "[192.0.2.1]");
    assert_eq!(ReversePath::Null.domain_text(), "");
}

/// Syntax that is valid in the envelope is taken, all else refused; category by category.
#[test]
fn corpus_isemail() {
    let Some(cases) = corpora::json("address-isemail", "cases.json") else { return };
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 80);
    for case in cases {
        let address = case["address"].as_str().unwrap();
        let category = case["category"].as_str().unwrap();
        let expected = matches!(category, "ISEMAIL_VALID_CATEGORY" | "ISEMAIL_DNSWARN" | "ISEMAIL_RFC5321");
        let read = ReversePath::parse(format!("<{address}>"), true);
        assert_eq!(read.is_ok(), expected, "{} {address:?}: {read:?}", case["id"]);
        // The same over the whole command, where a path may end elsewhere; a line end can't stand in one.
        if !address.contains(['\r', '\n']) {
            let line = format!("MAIL FROM:<{address}> SMTPUTF8");
            let read = match Command::parse(line.as_bytes()) {
                Ok(Command::Mail { path, .. }) => ReversePath::parse(path, true).ok(),
                _ => None,
            };
            assert_eq!(read.is_some(), expected, "{} {line:?}: {read:?}", case["id"]);
        }
    }
}

#[test]
fn corpus_haraka() {
    let Some(cases) = corpora::json("address-haraka", "cases.json") else { return };
    assert_eq!(["good", "bad"].map(|key| cases[key].as_array().unwrap().len()), [16, 4]);
    for case in cases["good"].as_array().unwrap() {
        let input = case["input"].as_str().unwrap();
        let (user, host) = (case["user"].as_str().unwrap().trim_matches('"'), case["host"].as_str().unwrap());
        if host.is_empty() && !user.is_empty() {
            assert_eq!(ForwardPath::parse(input, true), Ok(ForwardPath::Postmaster), "{input}");
            continue;
        }
        let path = ReversePath::parse(input, true).unwrap_or_else(|error| panic!("{input}: {error}"));
        assert_eq!(path.mailbox().map_or("", |mailbox| &mailbox.local), user, "{input}");
        assert_eq!(path.domain_text(), host, "{input}");
    }
    for input in cases["bad"].as_array().unwrap() {
        let input = input.as_str().unwrap();
        assert!(ReversePath::parse(input, true).is_err(), "{input}");
    }
}

/// A corpus for header mailboxes: of the valid ones those without display name or comment apply. An underscore in the
/// domain, which it takes, is no name of a host (RFC 5321 §2.3.5).
#[test]
fn corpus_flanker() {
    let Some(folder) = corpora::folder("address-flanker") else { return };
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let mut tried = 0;
    for line in read("mailbox_valid.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let domain = line.rsplit('@').next().unwrap();
        if line.contains("(") && !line.starts_with('"')
            || domain.contains('>')
            || domain.contains(' ')
            || domain.contains(')')
        {
            continue;
        }
        tried += 1;
        assert_eq!(Mailbox::parse(line, true).is_ok(), !domain.contains('_'), "{line}");
    }
    assert!(tried > 100, "{tried}");
    for line in read("mailbox_invalid.txt").lines().filter(|line| !line.starts_with('#')) {
        let address = line.split("   ").next().unwrap();
        assert!(Mailbox::parse(address, true).is_err(), "{address}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_so_that_it_reads_the_same(text in "[a-z.\"\\\\ @éß\u{301}\\[\\]:0-9-]{0,80}") {
        if let Ok(mailbox) = Mailbox::parse(&text, true) {
            prop_assert_eq!(Mailbox::parse(&mailbox.to_string(), true), Ok(mailbox.clone()));
            prop_assert!(mailbox.local.len() <= 64 && !mailbox.local.chars().any(char::is_control));
        }
    }

    #[test]
    fn any_local_part_survives_quoting(local in "[ -~é]{0,30}") {
        let mailbox = Mailbox { local, host: Host::Name(Domain::parse("example.com").unwrap()) };
        prop_assert_eq!(Mailbox::parse(&mailbox.to_string(), true), Ok(mailbox));
    }

    #[test]
    fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..300), smtputf8: bool) {
        let _ = ReversePath::parse(&octets, smtputf8);
        let _ = ForwardPath::parse(&octets, smtputf8);
        let _ = Domain::parse(&String::from_utf8_lossy(&octets));
    }
}
