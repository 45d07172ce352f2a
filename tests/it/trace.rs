//! The trace fields: what they say, that nothing a client says can break them, and the ref.

use std::net::IpAddr;

use gatepost::message::reference::reference;
use gatepost::message::trace::{Received, With, date, decision, delivered_to, return_path};
use gatepost::smtp::address::{Mailbox, ReversePath};
use proptest::prelude::*;

const REF: &str = "06DPSW9K2R8Q4M1Z";

fn received<'a>(helo: &'a str, name: &'a str, with: With, for_: Option<&'a str>) -> Received<'a> {
    Received {
        client_ip: "192.0.2.7".parse().unwrap(),
        client_name: name,
        helo,
        hostname: "mx1.example.com",
        with,
        reference: REF,
        for_,
        time: "2026-11-23T05:04:17Z".parse().unwrap(),
        tls: None,
    }
}

#[test]
fn received_of_an_ordinary_message() {
    let field = Received {
        tls: Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
        ..received("mail.example.org", "out1.example.org", With::Esmtps, Some("alice@example.com"))
    }
    .field();
    let expected = "Received: from mail.example.org (out1.example.org [192.0.2.7])\r\n\
                    \tby mx1.example.com with ESMTPS id 06DPSW9K2R8Q4M1Z\r\n\
                    \t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n\
                    \tfor <alice@example.com>;\r\n\
                    \tMon, 23 Nov 2026 05:04:17 +0000\r\n";
    assert_eq!(field, expected);
}

#[test]
fn the_from_clause_is_a_domain_or_a_literal_whatever_the_client_said() {
    let cases = [
        ("mail.example.org", "", "from mail.example.org ([192.0.2.7])"),
        ("[192.0.2.7]", "a.example", "from [192.0.2.7] (a.example [192.0.2.7])"),
        ("[IPv6:2001:db8::1]", "", "from [IPv6:2001:db8::1] ([192.0.2.7])"),
        ("DESKTOP_1", "", "from DESKTOP_1 ([192.0.2.7])"),
        ("", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO )"),
        ("a b", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO a%20b)"),
        ("x) by evil", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO x%29%20by%20evil)"),
        ("a\r\nX-Evil: 1", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO a%0D%0AX-Evil:%201)"),
        ("bücher.example", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO b%C3%BCcher.example)"),
        ("a..b", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO a..b)"),
        ("[999.1.1.1]", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO [999.1.1.1])"),
        ("[IPv6:::1) (]", "", "from [192.0.2.7] ([192.0.2.7])\r\n\t(HELO [IPv6:::1%29%20%28])"),
        ("ok.example", "evil) (x", "from ok.example ([192.0.2.7])"),
        ("ok.example", "evil\r\nX: y", "from ok.example ([192.0.2.7])"),
    ];
    for (helo, name, expected) in cases {
        let field = received(helo, name, With::Esmtp, None).field();
        let from = field.strip_prefix("Received: ").unwrap().split("\r\n\tby ").next().unwrap();
        assert_eq!(from, expected, "{helo:?} {name:?}");
    }
    let long = "x".repeat(300);
    assert!(received(&long, "", With::Esmtp, None).field().contains(&format!("(HELO {}...)", "x".repeat(64))));
}

#[test]
fn the_client_is_given_as_a_literal_of_its_family() {
    for (ip, expected) in
        [("2001:db8::7", "([IPv6:2001:db8::7])"), ("::ffff:192.0.2.7", "([192.0.2.7])"), ("127.0.0.1", "([127.0.0.1])")]
    {
        let client_ip: IpAddr = ip.parse().unwrap();
        let field = Received { client_ip, ..received("a.example", "", With::Smtp, None) }.field();
        assert!(field.contains(expected), "{field}");
    }
}

#[test]
fn with_is_the_registered_word() {
    let cases = [
        (false, false, false, "SMTP"),
        (false, true, false, "SMTP"),
        (true, false, false, "ESMTP"),
        (true, true, false, "ESMTPS"),
        (true, false, true, "UTF8SMTP"),
        (true, true, true, "UTF8SMTPS"),
    ];
    for (extended, tls, smtputf8, word) in cases {
        let with = With::of(extended, tls, smtputf8);
        assert_eq!(with.as_str(), word);
        assert!(received("a.example", "", with, None).field().contains(&format!(" with {word} id ")));
    }
}

#[test]
fn the_for_clause_stands_only_where_it_is_a_mailbox() {
    let utf8 = With::Utf8Smtp;
    let cases = [
        ("alice@example.com", With::Esmtp, true),
        ("\"a b\"@example.com", With::Esmtp, true),
        ("\"a\\\"b\"@example.com", With::Esmtp, true),
        ("alice@[192.0.2.1]", With::Esmtp, true),
        ("grün@example.com", With::Esmtp, false),
        ("grün@example.com", utf8, true),
        ("postmaster", With::Esmtp, false),
        ("a b@example.com", With::Esmtp, false),
        ("a>b@example.com", With::Esmtp, false),
        ("\"a\"b\"@example.com", With::Esmtp, false),
        ("\"a\\\"@example.com", With::Esmtp, false),
        ("\"@example.com", With::Esmtp, false),
        ("a@example.com>\r\nX: y", With::Esmtp, false),
        ("a\u{2028}b@example.com", utf8, false),
        ("a\u{85}b@example.com", utf8, false),
        ("a@", With::Esmtp, false),
        ("@b", With::Esmtp, false),
        ("", With::Esmtp, false),
    ];
    for (address, with, stands) in cases {
        let field = received("a.example", "", with, Some(address)).field();
        assert_eq!(field.contains(&format!("\r\n\tfor <{address}>;")), stands, "{address:?}");
        assert_eq!(field.contains("\tfor"), stands, "{address:?}");
    }
}

#[test]
fn dates_are_in_utc_with_english_names() {
    for (time, expected) in [
        ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 +0000"),
        ("2024-02-29T23:59:59.999Z", "Thu, 29 Feb 2024 23:59:59 +0000"),
        ("2026-12-31T23:30:00-02:00", "Fri, 01 Jan 2027 01:30:00 +0000"),
    ] {
        assert_eq!(date(time.parse().unwrap()), expected);
    }
}

#[test]
fn the_other_fields() {
    let mailbox = |text: &str| ReversePath::Mailbox(Mailbox::parse(text, true).unwrap());
    assert_eq!(return_path(&ReversePath::Null), "Return-Path: <>\r\n");
    assert_eq!(return_path(&mailbox("a@b.example")), "Return-Path: <a@b.example>\r\n");
    assert_eq!(return_path(&mailbox("\"a b\"@b.example")), "Return-Path: <\"a b\"@b.example>\r\n");
    assert_eq!(delivered_to("alice+x@example.com"), "Delivered-To: alice+x@example.com\r\n");
    assert_eq!(delivered_to("a\r\nX: y"), "Delivered-To: aX: y\r\n");
    assert_eq!(
        decision("dmarc-quarantine", 3.5, REF),
        "X-Gatepost-Decision: quarantine; rule=dmarc-quarantine; score=3.50;\r\n\tref=06DPSW9K2R8Q4M1Z\r\n"
    );
    assert_eq!(
        decision("", f64::NAN, REF),
        "X-Gatepost-Decision: quarantine; rule=-; score=0.00;\r\n\tref=06DPSW9K2R8Q4M1Z\r\n"
    );
    assert!(decision("x\r\nY: z", 0.0, REF).starts_with("X-Gatepost-Decision: quarantine; rule=x%0D%0AY:%20z; "));
}

#[test]
fn an_independent_reader_takes_the_received_field() {
    let helo = "x) (y; \"";
    let text =
        format!("{}\r\n\r\n", received(helo, "out.example", With::Esmtp, Some("alice@example.com")).field().trim_end());
    let message = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
    let received = message.received().expect("a Received field");
    assert_eq!(received.id(), Some(REF));
    assert_eq!(received.by().map(ToString::to_string), Some("mx1.example.com".to_owned()));
    assert_eq!(received.for_(), Some("alice@example.com"));
    assert_eq!(received.from_ip(), Some("192.0.2.7".parse().unwrap()));
    assert_eq!(received.date().map(|date| date.to_rfc3339()), Some("2026-11-23T05:04:17Z".to_owned()));
}

/// One field: a name, folded lines of at most 998 octets, CRLF at its end and nowhere a bare CR or LF, parentheses balanced outside of
/// quoted strings; ASCII unless the message came with SMTPUTF8.
fn check_one_field(field: &str, name: &str, utf8: bool) -> Result<(), TestCaseError> {
    let body = field.strip_suffix("\r\n").unwrap();
    let start = format!("{name}: ");
    prop_assert!(body.starts_with(&start));
    for (number, line) in body.split("\r\n").enumerate() {
        prop_assert!(line.len() <= 998);
        prop_assert!(!line.trim().is_empty());
        prop_assert!(number == 0 || line.starts_with('\t'));
        prop_assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{:?}", line);
    }
    prop_assert!(utf8 || field.is_ascii());
    let (mut depth, mut quoted, mut escaped) = (0i32, false, false);
    for c in body.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        prop_assert!((0..=1).contains(&depth));
    }
    prop_assert!(depth == 0 && !quoted);
    Ok(())
}

proptest! {
    #[test]
    fn received_is_one_valid_field_whatever_the_client_says(
        helo in "(\\PC|[()<>\"\\\\;@\\[\\]\r\n\t\\x00 ]|[a-z.:]){0,80}",
        name in "(\\PC|[()\r\n]|[a-z.]){0,40}",
        local in "(\\PC|[()<>\"\\\\;\r\n ]|[a-z.]){0,40}",
        tls in "(\\PC|[()\r\n]){0,40}",
        which in 0..5usize,
    ) {
        let with = [With::Smtp, With::Esmtp, With::Esmtps, With::Utf8Smtp, With::Utf8Smtps][which];
        for address in [format!("{local}@example.com"), format!("\"{local}\"@example.com"), local.clone()] {
            let field = Received { tls: Some((&tls, &tls)), ..received(&helo, &name, with, Some(&address)) }.field();
            check_one_field(&field, "Received", with.is_utf8())?;
            let after_semicolon = field.rsplit_once(';').unwrap().1;
            prop_assert_eq!(after_semicolon, "\r\n\tMon, 23 Nov 2026 05:04:17 +0000\r\n");
        }
    }

    #[test]
    fn the_other_fields_are_one_field_whatever_they_hold(text in "(\\PC|[\r\n\t\\x00]){0,900}") {
        prop_assert_eq!(delivered_to(&text).matches(['\r', '\n']).count(), 2);
        prop_assert!(delivered_to(&text).len() <= 998);
        check_one_field(&decision(&text, 1e300, &text), "X-Gatepost-Decision", false)?;
    }

    #[test]
    fn a_return_path_that_was_parsed_is_kept_as_it_is(local in "[ -~]{1,20}") {
        let quoted = format!("\"{}\"@b.example", local.replace('\\', "\\\\").replace('"', "\\\""));
        if let Ok(mailbox) = Mailbox::parse(&quoted, false) {
            let path = ReversePath::Mailbox(mailbox);
            prop_assert_eq!(return_path(&path), format!("Return-Path: <{path}>\r\n"));
        }
    }

    #[test]
    fn a_ref_holds_its_time_and_sorts_by_it(time in 0u64..1 << 48, random: u32, later in 1u64..1 << 20, other: u32) {
        let text = reference(time, random);
        prop_assert_eq!(text.len(), 16);
        prop_assert!(text.bytes().all(|c| c.is_ascii_digit() || (c.is_ascii_uppercase() && !b"ILOU".contains(&c))));
        let bits = text.bytes().fold(0, |bits, c| bits << 5 | "0123456789ABCDEFGHJKMNPQRSTVWXYZ".find(char::from(c)).unwrap() as u128);
        prop_assert_eq!(bits, u128::from(time) << 32 | u128::from(random));
        if time + later < 1 << 48 {
            prop_assert!(text < reference(time + later, other));
        }
        prop_assert_eq!(reference(time, random) == reference(time, other), random == other);
    }
}

#[test]
fn refs_at_the_borders() {
    assert_eq!(reference(0, 0), "0000000000000000");
    assert_eq!(reference((1 << 48) - 1, u32::MAX), "ZZZZZZZZZZZZZZZZ");
    assert_eq!(reference(1, 0), "0000000004000000");
    assert_eq!(reference(u64::MAX, 0), reference((1 << 48) - 1, 0), "times beyond the year 10889 are cut");
}
