//! The strict From reader: one domain that every reader shows, or a defect.

use gatepost::facts::word::FROM_DEFECTS;
use gatepost::message::author::{Author, defect, message_id, read_author, read_reply_to};
use gatepost::message::content::Content;
use gatepost::message::header::Header;
use proptest::prelude::*;

use super::header::{crlf, walk};
use super::support::corpora::folder as corpus;
use super::support::deviations;

fn author_of(header: impl AsRef<[u8]>) -> Author {
    read_author(&Header::parse(header.as_ref().to_vec()))
}

fn domain_of(author: &Author) -> &str {
    author.domain().map_or("", |domain| domain.as_str())
}

/// Reads the From value and compares the author domain and the defects.
fn check(value: &str, domain: &str, defects: &[&str]) {
    let author = author_of(format!("From: {value}\r\n"));
    assert_eq!(domain_of(&author), domain, "domain of {value:?}: {author:?}");
    assert_eq!(author.defects, defects, "defects of {value:?}: {author:?}");
}

#[test]
fn every_defect_is_a_word_that_facts_know() {
    use defect::*;
    let words = [
        MISSING,
        SEVERAL_FIELDS,
        SEVERAL_DOMAINS,
        NO_ADDRESS,
        GROUP,
        ENCODED_WORD_IN_ADDRESS,
        CONTROL_CHARACTER,
        SPACE_BEFORE_COLON,
        NO_HEADER,
        OBSOLETE_ROUTE,
        BAD_SYNTAX,
        BAD_DOMAIN,
        READINGS_DIFFER,
    ];
    assert_eq!(words, FROM_DEFECTS);
}

#[test]
fn sound_mailboxes_have_a_domain_and_no_defect() {
    check("a@example.com", "example.com", &[]);
    check("A <a@Example.COM>", "example.com", &[]);
    check("\"A, B\" <a@example.com>", "example.com", &[]);
    check("\"<evil@bad.example>, x\" <a@example.com>", "example.com", &[]);
    check("A. B. <a@example.com>", "example.com", &[]);
    check("=?utf-8?q?evil=40bad=2Eexample?= <a@example.com>", "example.com", &[]);
    check("(A) < a(B)@example.com (C)\t>", "example.com", &[]);
    check("a@example.com (A (nested) B)", "example.com", &[]);
    check("A\r\n B\r\n\t<a@example.com>", "example.com", &[]);
    check("\"a b\"@example.com", "example.com", &[]);
    check("=?iso-8859-1?Q?J=FCrgen?= <j@example.com>, k@example.com", "example.com", &[]);
    check("Jörg <j@bücher.example>", "xn--bcher-kva.example", &[]);
}

#[test]
fn what_leaves_room_for_another_reading_is_named() {
    check("", "", &["no-address"]);
    check("<a@bank.example(> ).attacker.example>", "", &["readings-differ"]);
    check("<a@bank.example .attacker.example>", "", &["readings-differ"]);
    check("<a@(b@bank.example)attacker.example>", "", &["readings-differ"]);
    check("<>", "", &["no-address"]);
    check("MAILER-DAEMON", "", &["no-address"]);
    check("=?utf-8?q?Mail_System?= <MAILER-DAEMON>", "", &["no-address"]);
    for shown in [
        "\"a@bank.example\"",
        "\"a@bank.example\" <>",
        "\"a@bank.example\" <MAILER-DAEMON>",
        "(a@bank.example)",
        "a\u{ff20}bank.example",
        "=?utf-8?q?a=40bank.example?= <>",
        "=?utf-8?b?YUBiYW5rLmV4YW1wbGU=?= <MAILER-DAEMON>",
        "\"=?utf-8?b?YUBiYW5rLmV4YW1wbGU=?=\" <>",
        "(=?utf-8?b?YUBiYW5rLmV4YW1wbGU=?=) <>",
    ] {
        check(shown, "", &["no-address", "readings-differ"]);
    }
    check("Mail Delivery <MAILER-DAEMON>", "", &["no-address"]);
    check("a@x.example, b@y.example", "", &["several-domains"]);
    check("undisclosed:;", "", &["group", "no-address"]);
    check("g: a@example.com;", "example.com", &["group"]);
    check("<@r.example:a@example.com>", "example.com", &["obsolete-route"]);
    check("<a@example.com>b@y.example", "", &["bad-syntax"]);
    check("<a@example.com> b@y.example", "", &["bad-syntax"]);
    check("a@b@example.com", "", &["bad-syntax"]);
    check("a b@example.com", "", &["bad-syntax"]);
    check("a <a@example.com", "", &["bad-syntax"]);
    check("\"a <a@example.com>", "", &["bad-syntax"]);
    check("(a <a@example.com>", "", &["bad-syntax"]);
    check(".a@example.com", "", &["bad-syntax"]);
    check("a..b@example.com", "", &["bad-syntax"]);
    check("a@example..com", "", &["bad-syntax"]);
    check("a@[192.0.2.1]", "", &["bad-domain"]);
    check("a@-", "", &["bad-domain"]);
    check("<=?utf-8?B?YWRtaW5AbGVnaXQuZXhhbXBsZQ==?=>", "", &["no-address", "encoded-word-in-address"]);
    check("=?utf-8?B?YWRtaW5AbGVnaXQuZXhhbXBsZQ==?=", "", &["no-address", "encoded-word-in-address"]);
    // Dots within an encoded-word don't hide it.
    check("=?utf-8?q?admin=40bank.example?=", "", &["no-address", "encoded-word-in-address"]);
    // One element shows an address that is none, the other is the attacker's.
    check("\"a@bank.example\", x@attacker.example", "", &["no-address", "readings-differ"]);
    check("x@attacker.example, MAILER-DAEMON", "", &["no-address", "readings-differ"]);
    check("=?utf-8?q?x?=@example.com", "", &["encoded-word-in-address"]);
    check("<a@example.com\0@x.example>", "", &["control-character", "bad-syntax", "bad-domain"]);
    check("a\u{1}b@example.com", "", &["control-character"]);
    check("<\u{202e}a@\u{202d}@example.com>", "", &["control-character", "bad-syntax", "bad-domain"]);
    check("<\u{202e}a@example.com>", "", &["control-character"]);
}

#[test]
fn the_header_around_from_matters() {
    let defects = |header: &str| author_of(header).defects;
    assert_eq!(defects("To: a@example.com\r\n"), ["missing"]);
    assert_eq!(defects(""), ["no-header", "missing"]);
    assert_eq!(defects("From: a@x.example\r\nFrom: a@x.example\r\n"), ["several-fields"]);
    assert_eq!(defects("fRoM: a@x.example\r\nFrom: b@y.example\r\n"), ["several-fields", "several-domains"]);
    let shown = "From: \"a@bank.example\"\r\nFrom: x@attacker.example\r\n";
    assert_eq!(defects(shown), ["several-fields", "no-address"]);
    assert_eq!(domain_of(&author_of(shown)), "");
    assert_eq!(defects("From : a@x.example\r\n"), ["space-before-colon"]);
    assert_eq!(defects(" From: a@x.example\r\nFrom: b@y.example\r\n"), ["no-header"]);
    assert_eq!(defects("A: b\r\nnothing\r\nFrom: a@x.example\r\n"), ["no-header"]);
    assert_eq!(defects("From: a@x.example\r\nnothing\r\n"), [""; 0]);
    assert_eq!(defects("From: a@x.example\r\nFrom\u{ff}: b@y.example\r\n"), ["no-header"]);
    assert_eq!(domain_of(&author_of("From: a@x.example\r\nFrom\u{ff}: b@y.example\r\n")), "");
}

#[test]
fn a_field_of_very_many_mailboxes_is_refused_without_reading_them_all() {
    let value = vec!["a@example.com"; 10_000].join(",");
    let author = author_of(format!("From: {value}\r\n"));
    assert_eq!(
        (author.addresses.len(), author.defects.as_slice()),
        (0, ["bad-syntax"].as_slice()),
        "longer than is read"
    );
    let author = author_of(format!("From: {}\r\n", vec!["a@example.com"; 200].join(",")));
    assert_eq!((author.addresses.len(), author.defects.as_slice()), (100, ["bad-syntax"].as_slice()));
    let deep = format!("From: {}a@example.com\r\n", "(".repeat(100_000));
    assert_eq!(author_of(deep).defects, ["bad-syntax"]);
}

/// Several From fields have the room of one, so that none of them buys time.
#[test]
fn several_fields_together_have_the_bounds_of_one() {
    let fields = |value: &str, count: usize| author_of(format!("From: {value}\r\n").repeat(count));
    let fifty = "a@b.example, ".repeat(50);
    let author = fields(&fifty, 2);
    assert_eq!((author.addresses.len(), &*author.defects), (100, &["several-fields"][..]));
    let author = fields(&fifty, 10);
    assert_eq!((author.addresses.len(), &*author.defects), (100, &["several-fields", "bad-syntax"][..]));
    let long = format!("{} <a@b.example>", "x".repeat(6000));
    assert_eq!(fields(&long, 2).defects, ["several-fields"]);
    let author = fields(&long, 3);
    assert_eq!((author.addresses.len(), &*author.defects), (2, &["several-fields", "bad-syntax"][..]));
}

#[test]
fn reply_to_and_message_id_are_read() {
    let header = Header::parse(
        b"Reply-To: \"x\" <r@Reply.Example>, other@y.example\r\nMessage-ID:\r\n <1@x.example>\r\n".to_vec(),
    );
    assert_eq!(read_reply_to(&header).unwrap().as_str(), "reply.example");
    assert_eq!(message_id(&header), "<1@x.example>");
    let header = Header::parse(format!("Message-ID: <\u{1}{}>\r\nReply-To: nobody\r\n", "é".repeat(400)).into_bytes());
    assert_eq!(message_id(&header).chars().count(), 250);
    assert!(!message_id(&header).contains('\u{1}'));
    assert_eq!(read_reply_to(&header), None);
}

#[test]
fn flanker_mailboxes() {
    let Some(folder) = corpus("address-flanker") else { return };
    let lines = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        lines.map(|line| line.split("     ").next().unwrap().trim_end().to_owned()).collect()
    };
    for line in lines("mailbox_valid.txt") {
        let author = author_of(format!("From: {line}\r\n"));
        let no_domain = deviations::ours("address-flanker", &line) == Some(defect::BAD_DOMAIN);
        let expected: &[&str] = if no_domain { &["bad-domain"] } else { &[] };
        assert_eq!(author.defects, expected, "{line:?}: {author:?}");
    }
    let allowed = |line: &str| deviations::ours("address-flanker", line) == Some("taken in From") || line.len() > 500;
    for line in lines("mailbox_invalid.txt") {
        let author = author_of(format!("From: {line}\r\n"));
        assert_eq!(author.defects.is_empty(), allowed(&line), "{line:?}: {author:?}");
    }
}

/// A header of the spoofing data: its strings are octets where they hold U+00FF or NUL, else UTF-8.
pub fn octets(text: &str) -> Vec<u8> {
    if text.contains('\u{ff}') { text.chars().map(|c| c as u8).collect() } else { text.as_bytes().to_vec() }
}

/// What an attacker could want shown: each domain behind an `@` that is in no comment and no quotes.
fn domains_in_sight(value: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut text) = (0, false, String::new());
    for c in value.chars() {
        match c {
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            c if depth == 0 && !quoted && !matches!(c, '\r' | '\n') => text.push(c),
            _ => {}
        }
    }
    let mut domains: Vec<String> = text
        .split('@')
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && !".-_".contains(c)).next().unwrap().to_lowercase())
        .collect();
    domains.sort();
    domains.dedup();
    domains
}

#[test]
fn spoofed_from_fields_are_defective_or_show_one_domain() {
    let Some(folder) = corpus("spoof-weaklinks") else { return };
    let read = |name: &str| -> Vec<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let (mut clean, mut defective) = (0, 0);
    for case in read("from_fuzz.json") {
        let text = case["from_header"].as_str().unwrap();
        let content = Content::parse(&[octets(text).as_slice(), b"\r\nTo: x@y.example\r\n\r\nbody\r\n"].concat());
        let author = read_author(&content.header);
        if author.defects.is_empty() {
            clean += 1;
            assert_eq!(domains_in_sight(text), [domain_of(&author)], "{text:?}: {author:?}");
        } else {
            defective += 1;
        }
    }
    println!("from_fuzz: {clean} clean, {defective} defective");
    assert!(clean > 50 && defective > 500);
    // By the reading that the data tells in words (`must`): the domain shown, or what is wrong.
    let expected: &[(&str, &str, &[&str])] = &[
        ("A4-two-from-attacker-first", "", &["several-fields", "several-domains"]),
        ("A4-two-from-legit-first", "", &["several-fields", "several-domains"]),
        ("A4-space-before-colon", "", &["several-fields", "space-before-colon", "several-domains"]),
        ("A4-leading-space", "", &["no-header"]),
        ("A4-case-variant", "", &["several-fields", "several-domains"]),
        ("A4-non-ascii-name", "", &["no-header"]),
        ("A5-two-mailboxes-1", "", &["several-domains"]),
        ("A5-two-mailboxes-2", "", &["several-domains"]),
        ("A5-nested-quote", "attacker.example", &[]),
        ("A6-trailing-text", "", &["bad-syntax"]),
        ("A6-nul", "", &["control-character", "bad-syntax", "bad-domain"]),
        ("A7-encoded-word-address", "attacker.example", &[]),
        ("A7-encoded-word-in-angle", "", &["no-address", "encoded-word-in-address"]),
        ("A8-subdomain-nx", "nx.legit.example", &[]),
        ("A12-idn-homograph", "xn--80aa1cn6g67a.example", &[]),
        ("A13-invalid-byte-localpart", "", &["bad-syntax"]),
        ("A13-badchar-two-at", "", &["bad-syntax"]),
        ("A14-rlo-localpart", "", &["control-character", "bad-syntax", "bad-domain"]),
        ("A14-rlo-domain", "", &["control-character", "bad-domain"]),
        ("empty-from", "", &["no-address"]),
        ("no-from", "", &["missing"]),
        ("group-from", "", &["group", "no-address"]),
        ("sender-spoof", "attacker.example", &[]),
    ];
    for case in read("cases.json") {
        let id = case["id"].as_str().unwrap();
        let content = Content::parse(&octets(case["data"].as_str().unwrap()));
        let author = read_author(&content.header);
        let (_, domain, defects) =
            expected.iter().find(|(known, _, _)| *known == id).copied().unwrap_or((id, "legit.example", &[]));
        assert_eq!((domain_of(&author), author.defects.as_slice()), (domain, defects), "{id}: {author:?}");
    }
}

#[test]
fn real_mail_is_not_called_defective() {
    // (data, messages with From, those of them without an address, those with another defect and why)
    for (name, without_address, other) in [
        // 00293: octets that are no UTF-8 in the local-part, from a broken mailer.
        ("realmail-spamassassin", 0, 1),
        // Notifications from MAILER-DAEMON and `<>`: the reason why rules spare them under a null reverse-path.
        ("realmail-bounces", 10, 0),
        ("realmail-signed", 0, 0),
        ("mime-cpython", 2, 0),
        ("mime-ruby-mail", 0, 0),
    ] {
        let Some(folder) = corpus(name) else { continue };
        let mut found = (0, 0);
        for file in walk(&folder).into_iter().filter(|file| file.extension().is_none_or(|e| e != "json")) {
            let mut message = crlf(&std::fs::read(&file).unwrap());
            if message.starts_with(b"From ") {
                let end = message.iter().position(|octet| *octet == b'\n').unwrap();
                message.drain(..=end);
            }
            let content = Content::parse(&message);
            let author = read_author(&content.header);
            match author.defects.as_slice() {
                [] => assert!(author.domain().is_some()),
                ["no-address"] => found.0 += 1,
                // Parts of messages, without a From to judge.
                words if words.contains(&"missing") => {}
                _ => found.1 += 1,
            }
        }
        assert_eq!(found, (without_address, other), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_from_is_read_without_panic_and_a_clean_one_has_one_domain(value in "[ a-c@<>(),:;.\"\\\\\\[\\]=?\r\n\t\u{0}é]{0,40}") {
        let author = author_of(format!("From: {value}\r\n"));
        prop_assert!(author.defects.iter().all(|word| FROM_DEFECTS.contains(word)));
        if author.defects.is_empty() {
            prop_assert!(author.domain().is_some(), "{:?}", author);
        }
    }
}
