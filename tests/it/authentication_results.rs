//! Authentication-Results: what we write can't be bent by what a client sent, and fields that claim to be ours are known.

use gatepost::authenticate::header::{authentication_results, claims_our_authserv_id};
use gatepost::facts::word::{ArcResult, DmarcPolicy, DmarcResult, IprevResult, Mx, ReverseMxResult};
use gatepost::facts::{Dkim, Facts, MethodResult, ReverseMx, Spf};
use gatepost::message::header::Header;
use proptest::prelude::*;

use super::header::crlf;
use super::support::authres::{self, Result as One};
use super::support::corpora;

fn dkim(result: MethodResult, domain: &str, reason: &str) -> Dkim {
    let (selector, algorithm) = ("s1".to_owned(), "rsa-sha256".to_owned());
    Dkim { result, domain: domain.to_owned(), selector, algorithm, reason: reason.to_owned(), secure: false }
}

fn facts() -> Facts {
    let mut facts = Facts::new("192.0.2.1".parse().unwrap(), 4711, false);
    facts.helo = "mx.sender.example".to_owned();
    facts.mail_from.domain = "sender.example".to_owned();
    facts.from.domain = "sender.example".to_owned();
    facts.spf.mail_from = Spf { result: MethodResult::Pass, domain: "sender.example".to_owned(), secure: false };
    facts.spf.helo = Spf { result: MethodResult::None, domain: "mx.sender.example".to_owned(), secure: false };
    facts.dkim = vec![
        dkim(MethodResult::Pass, "sender.example", ""),
        dkim(MethodResult::Fail, "list.example", "the body was changed"),
    ];
    facts.dmarc.result = DmarcResult::Pass;
    facts.dmarc.domain = "sender.example".to_owned();
    facts.dmarc.policy = DmarcPolicy::Reject;
    facts.arc.result = ArcResult::None;
    facts.iprev.result = IprevResult::Pass;
    let reverse = |result, mx| ReverseMx { domain: "sender.example".to_owned(), result, mx, secure: false };
    facts.reverse_mx.mail_from = reverse(ReverseMxResult::Pass, Mx::Explicit);
    facts.reverse_mx.from = reverse(ReverseMxResult::Fail, Mx::Implicit);
    facts
}

#[test]
fn the_field_says_all_methods() {
    let expected = "Authentication-Results: mx.receiver.example;\r\n\
        \tspf=pass smtp.mailfrom=sender.example;\r\n\
        \tspf=none smtp.helo=mx.sender.example;\r\n\
        \tdkim=pass header.d=sender.example header.s=s1 header.a=rsa-sha256;\r\n\
        \tdkim=fail reason=\"the body was changed\" header.d=list.example\r\n\
        \theader.s=s1 header.a=rsa-sha256;\r\n\
        \tdmarc=pass header.from=sender.example policy.dmarc=reject;\r\n\
        \tarc=none;\r\n\
        \tiprev=pass policy.iprev=192.0.2.1;\r\n\
        \tx-reverse-mx=pass reason=\"explicit\" smtp.mailfrom=sender.example;\r\n\
        \tx-reverse-mx=fail reason=\"implicit\" header.from=sender.example;\r\n\
        \tx-reverse-mx=none;\r\n\
        \tx-reverse-mx=none\r\n";
    assert_eq!(authentication_results("mx.receiver.example", &facts()), expected);
}

#[test]
fn an_empty_transaction_has_a_sound_field_too() {
    let mut facts = Facts::new("2001:db8::1".parse().unwrap(), 1, false);
    let field = authentication_results("mx.receiver.example", &facts);
    assert!(field.contains("\tdkim=none;") && field.contains("policy.iprev=\"2001:db8::1\""), "{field}");
    facts.client.ip = "::ffff:192.0.2.9".parse().unwrap();
    assert!(authentication_results("x", &facts).contains("policy.iprev=192.0.2.9"));
}

/// What a reader of RFC 8601 sees: the parts between semicolons outside quotes; panics on what must not stand there.
fn parts(field: &str) -> Vec<String> {
    let header = Header::parse(field.as_bytes().to_vec());
    assert_eq!((header.fields().count(), header.defects()), (1, [].as_slice()), "one field: {field:?}");
    let value = String::from_utf8(header.fields().next().unwrap().unfolded()).unwrap();
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in value.chars() {
        assert!(c == '\t' || (' '..='~').contains(&c), "{c:?} in {field:?}");
        match c {
            _ if escaped => escaped = false,
            '\\' => {
                assert!(quoted, "an escape outside quotes: {field:?}");
                escaped = true;
            }
            '"' => quoted = !quoted,
            ';' if !quoted => parts.push(String::new()),
            '(' | ')' => assert!(quoted, "a comment in {field:?}"),
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    assert!(!quoted && !escaped, "an open quote in {field:?}");
    parts
}

/// The field, read back by the grammar alone.
fn read_back(facts: &Facts) -> authres::Field {
    let field = authentication_results("mx.receiver.example", facts);
    let header = Header::parse(field.as_bytes().to_vec());
    assert_eq!((header.fields().count(), header.defects()), (1, [].as_slice()), "one field: {field:?}");
    let value = String::from_utf8(header.fields().next().unwrap().unfolded()).unwrap();
    authres::read(&value).unwrap_or_else(|| panic!("not in the grammar of RFC 8601 §2.2: {field}"))
}

/// How a text stands in the field: printable ASCII, cut.
fn shown(text: &str) -> String {
    text.chars().take(255).map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

/// What the field must say of these facts, and nothing else.
fn told(facts: &Facts) -> authres::Field {
    let one = |method: &str, result: &str, reason: &str, properties: &[(&str, &str)]| One {
        method: method.to_owned(),
        result: result.to_owned(),
        reason: Some(shown(reason)).filter(|reason| !reason.is_empty()),
        properties: properties
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| ((*name).to_owned(), shown(value)))
            .collect(),
    };
    let or = |first: &str, second: &str| if first.is_empty() { second } else { first }.to_owned();
    let spf = &facts.spf;
    let (path, helo) = (or(&spf.mail_from.domain, &facts.mail_from.domain), or(&spf.helo.domain, &facts.helo));
    let mut results = vec![
        one("spf", spf.mail_from.result.as_str(), "", &[("smtp.mailfrom", &path)]),
        one("spf", spf.helo.result.as_str(), "", &[("smtp.helo", &helo)]),
    ];
    results.extend(facts.dkim.iter().map(|dkim| {
        let of = [("header.d", dkim.domain.as_str()), ("header.s", &dkim.selector), ("header.a", &dkim.algorithm)];
        one("dkim", dkim.result.as_str(), &dkim.reason, &of)
    }));
    let policy = if facts.dmarc.domain.is_empty() { "" } else { facts.dmarc.policy.as_str() };
    let dmarc = [("header.from", facts.from.domain.as_str()), ("policy.dmarc", policy)];
    results.push(one("dmarc", facts.dmarc.result.as_str(), "", &dmarc));
    results.push(one("arc", facts.arc.result.as_str(), "", &[]));
    let ip = facts.client.ip.to_string();
    results.push(one("iprev", facts.iprev.result.as_str(), "", &[("policy.iprev", &ip)]));
    let four = &facts.reverse_mx;
    for (found, property) in [
        (&four.mail_from, "smtp.mailfrom"),
        (&four.from, "header.from"),
        (&four.reply_to, "header.reply-to"),
        (&four.ptr, "policy.iprev"),
    ] {
        results.push(one("x-reverse-mx", found.result.as_str(), found.mx.as_str(), &[(property, &found.domain)]));
    }
    authres::Field { authserv_id: "mx.receiver.example".to_owned(), results }
}

#[test]
fn the_field_is_read_back_to_the_very_facts() {
    assert_eq!(read_back(&facts()), told(&facts()));
    let mut facts = facts();
    facts.client.ip = "2001:db8::1".parse().unwrap();
    facts.dmarc.domain.clear();
    assert_eq!(read_back(&facts), told(&facts));
}

/// The reader of these tests reads the RFC's own examples, and not what is in no grammar.
#[test]
fn the_strict_reader_reads_the_examples_of_the_rfc() {
    let Some(vectors) = corpora::json("authres", "arh-vectors.json") else { return };
    let mut examples = 0;
    // Some headers of the data are cut after their first line.
    let is_whole = |vector: &&serde_json::Value| {
        let text = |key: &str| vector[key].as_str().unwrap().trim_end().to_owned();
        text("test").starts_with("B.") && !text("header").ends_with(';')
    };
    for vector in vectors.as_array().unwrap().iter().filter(is_whole) {
        let header = Header::parse(crlf(vector["header"].as_str().unwrap().as_bytes()));
        let value = String::from_utf8(header.fields().next().unwrap().unfolded()).unwrap();
        let field = authres::read(&value).unwrap_or_else(|| panic!("{vector}"));
        for expect in vector["expect"].as_array().unwrap() {
            match expect["path"].as_str().unwrap() {
                "authserv_id" => assert_eq!(field.authserv_id, expect["value"].as_str().unwrap()),
                "resinfo.length" => {
                    assert_eq!(field.results.len() as u64, expect["value"].as_u64().unwrap(), "{vector}")
                }
                "resinfo[0].method" => assert_eq!(field.results[0].method, expect["value"].as_str().unwrap()),
                "resinfo[0].result" => assert_eq!(field.results[0].result, expect["value"].as_str().unwrap()),
                _ => {}
            }
        }
        examples += 1;
    }
    assert!(examples >= 4, "{examples}");
    for broken in [
        "",
        ";",
        "x",
        "x; spf",
        "x; spf=",
        "x; spf=pass smtp.mailfrom",
        "x; spf=pass (",
        "x; spf=pass y",
        "x; a=b; none",
    ] {
        assert_eq!(authres::read(broken), None, "{broken:?}");
    }
}

/// Every field of others names its authserv-id so that we'd know it for ours.
#[test]
fn messages_that_carry_our_authserv_id_are_known() {
    let Some(folder) = corpora::folder("authres") else { return };
    let mut fields = 0;
    for file in super::header::walk(&folder.join("eml")) {
        let header = gatepost::message::content::Content::parse(&crlf(&std::fs::read(&file).unwrap())).header;
        for field in header.named("authentication-results") {
            let value = String::from_utf8_lossy(&field.unfolded()).into_owned();
            let Some(id) = authres::read(&value).map(|read| read.authserv_id) else { continue };
            assert!(
                claims_our_authserv_id(field.value, &id) && claims_our_authserv_id(field.value, &id.to_uppercase())
            );
            assert!(!claims_our_authserv_id(field.value, "mx.victim.example"), "{value}");
            fields += 1;
        }
    }
    assert!(fields >= 15, "{fields}");
}

#[test]
fn the_page_tells_every_method_and_property() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/authentication.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Authentication-Results")).unwrap();
    let field = authentication_results("mx.receiver.example", &facts());
    let value = field.trim_end().split_once(':').unwrap().1.replace("\r\n", "");
    let results = authres::read(&value).unwrap().results;
    assert!(results.len() > 8);
    for result in results {
        let start = format!("| `{}` | ", result.method);
        let row = section.lines().find(|line| line.starts_with(&start)).expect(&start);
        for (property, _) in result.properties {
            assert!(row.contains(&format!("`{property}`")), "{property}: {row}");
        }
    }
}

/// The headers in authres' doctests, each with an authserv-id of its own.
#[test]
fn headers_of_authres_are_known_for_whose_they_are() {
    let Some(folder) = corpora::folder("authres") else { return };
    let text = std::fs::read_to_string(folder.join("authres-doctests.txt")).unwrap();
    let start = "parse('Authentication-Results: ";
    let values: Vec<&str> = text.split(start).skip(1).filter_map(|rest| rest.split("')").next()).collect();
    assert_eq!(values.len(), 22);
    for value in values {
        let id = value.split(';').next().unwrap();
        assert!(claims_our_authserv_id(value.as_bytes(), id), "{value}");
        for other in ["mx.victim.example", "ample.com", "notexample.com", "mail", "org"] {
            assert!(!claims_our_authserv_id(value.as_bytes(), other), "{value}");
        }
    }
}

proptest! {
    /// Comments, case, quotes, folding, version: it stays ours.
    #[test]
    fn our_authserv_id_is_known_in_every_guise(
        before in "(|[ \t]|\r\n[ \t]|\\(c\\)|\\(a \\(b\\) \\\\\\) c\\)){0,4}",
        upper in proptest::collection::vec(any::<bool>(), 17),
        quoted: bool,
        dot: bool,
        after in "(;| ;| 1;|/1;|\\(x\\);| \\(x\\) 1 ;|\r\n\t;|) ?(none|dmarc=pass header.from=legit.example)?",
    ) {
        let name: String = "mx.victim.example".chars().zip(upper).map(|(c, up)| if up { c.to_ascii_uppercase() } else { c }).collect();
        let name = format!("{name}{}", if dot { "." } else { "" });
        let name = if quoted { format!("\"{name}\"") } else { name };
        let after = if after.starts_with([';', ' ', '/', '(', '\r']) || after.is_empty() { after } else { format!(";{after}") };
        let value = format!("{before}{name}{after}");
        prop_assert!(claims_our_authserv_id(value.as_bytes(), "mx.victim.example"), "{:?}", value);
    }

    #[test]
    fn what_a_client_sends_adds_no_result(hostile in "[ -~\r\n\t\u{0}é]{0,60}|[;\"\\\\()=\r\n a]{0,40}|a{0,400}") {
        let mut facts = facts();
        facts.helo.clone_from(&hostile);
        facts.mail_from.domain.clone_from(&hostile);
        facts.spf.mail_from.domain.clone_from(&hostile);
        facts.spf.helo.domain.clone_from(&hostile);
        facts.from.domain.clone_from(&hostile);
        for dkim in &mut facts.dkim {
            dkim.domain.clone_from(&hostile);
            dkim.selector.clone_from(&hostile);
            dkim.algorithm.clone_from(&hostile);
            dkim.reason.clone_from(&hostile);
        }
        facts.reverse_mx.reply_to.domain.clone_from(&hostile);
        facts.reverse_mx.ptr.domain.clone_from(&hostile);
        prop_assert_eq!(read_back(&facts), told(&facts));
        let field = authentication_results("mx.receiver.example", &facts);
        let parts = parts(&field);
        prop_assert_eq!(parts.len(), 12, "{}", field);
        let methods: Vec<_> = parts.iter().skip(1).map(|part| part.trim_start_matches([';', '\t']).split(['=', ' ']).next().unwrap()).collect();
        prop_assert_eq!(methods, ["spf", "spf", "dkim", "dkim", "dmarc", "arc", "iprev", "x-reverse-mx", "x-reverse-mx", "x-reverse-mx", "x-reverse-mx"]);
        for line in field.split("\r\n") {
            prop_assert!(line.len() <= 998, "RFC 5322 §2.1.1");
            // A tab counts as eight columns; only one word may be longer than a line.
            let columns = line.len() + line.matches('\t').count() * 7;
            prop_assert!(columns <= 78 || !line.trim().contains(' ') || line.contains('"'), "{}", line);
        }
    }

    #[test]
    fn any_value_is_judged(value in proptest::collection::vec(any::<u8>(), 0..60)) {
        claims_our_authserv_id(&value, "mx.victim.example");
        let named = [b"mx.victim.example; ".as_slice(), &value].concat();
        prop_assert!(claims_our_authserv_id(&named, "mx.victim.example"));
    }
}

#[test]
fn very_many_signatures_do_not_make_the_field_grow() {
    let mut facts = facts();
    facts.dkim = vec![dkim(MethodResult::Fail, &"d".repeat(5000), &"r".repeat(5000)); 1000];
    let field = authentication_results("mx.receiver.example", &facts);
    assert_eq!(parts(&field).len(), 10 + 20);
    assert!(field.len() < 20_000);
}

#[test]
fn a_field_that_a_lenient_reader_takes_for_ours_claims_it() {
    for forged in [
        "=?utf-8?q?mx.victim.example?=; dmarc=pass",
        "=?utf-8?q?mx.victim.example=3B_dmarc=3Dpass?=",
        " (x) =?utf-8?b?bXgudmljdGltLmV4YW1wbGU7?= dmarc=pass",
        "mx.victim(x).example; dmarc=pass",
        "mx.victim.\r\n example; dmarc=pass",
        "mx . victim . example; dmarc=pass",
        ";mx.victim.example; dmarc=pass",
        "mx.victim.example\u{1}; dmarc=pass",
        "mx.victim.exam\\ple; dmarc=pass",
        "<mx.victim.example>; dmarc=pass",
        "\u{a0}mx.victim.example; dmarc=pass",
        "mx.victim.example&; dmarc=pass",
        "mx.victim.example\u{a0}1; dmarc=pass",
        "mx.victim.example\u{3000}dmarc=pass",
        "\u{a0}\"mx.victim.example\" 1; dmarc=pass",
        "\"\"mx.victim.example.; dmarc=pass",
        "(x)mx.victim.example.\u{2003}; dmarc=pass",
    ] {
        assert!(claims_our_authserv_id(forged.as_bytes(), "mx.victim.example"), "{forged:?}");
    }
    assert!(claims_our_authserv_id(b"mx.victim.example\xa0v1; dmarc=pass", "mx.victim.example"));
    for foreign in [
        "mx.victim.example-2.net; dmarc=pass",
        "mx.victim.example..net; dmarc=pass",
        "mx.victim.example.net; dmarc=pass",
        "mx.victim.examples; dmarc=pass",
        "a.mx.victim.example; dmarc=pass",
        "other.example; dkim=pass reason=\"=?utf-8?q?x?=\" (mx.victim.example) header.d=mx.victim.example",
    ] {
        assert!(!claims_our_authserv_id(foreign.as_bytes(), "mx.victim.example"), "{foreign:?}");
    }
}

#[test]
fn a_field_that_claims_our_authserv_id_is_known() {
    for ours in [
        " mx.victim.example; dmarc=pass",
        "mx.victim.example",
        " (c) MX.Victim.EXAMPLE (x) 1; dmarc=pass header.from=legit.example",
        "\r\n\tmx.victim.example;\r\n none",
        " \"mx.victim.example\"; none",
        " \"mx\\.victim.example\" 1; none",
        " (a (nested) \\) b) mx.victim.example; none",
        " mx.victim.example.; none",
        " mx.victim.example/1; none",
        " mx.victim.example(c); none",
        " (unclosed mx.victim.example; dmarc=pass",
        " \"mx.victim.example; dmarc=pass",
    ] {
        assert!(claims_our_authserv_id(ours.as_bytes(), "mx.victim.example"), "{ours:?}");
        assert!(claims_our_authserv_id(ours.as_bytes(), "MX.victim.example."), "{ours:?}");
    }
    for foreign in [
        " mx.other.example; dmarc=pass",
        " (mx.victim.example) mx.other.example; dmarc=pass smtp.helo=mx.victim.example",
        " notmx.victim.example; none",
        " mx.victim.example.com; none",
        " victim.example; none",
        " ; none",
        "",
        " (unclosed; dmarc=pass",
    ] {
        assert!(!claims_our_authserv_id(foreign.as_bytes(), "mx.victim.example"), "{foreign:?}");
    }
    assert!(claims_our_authserv_id("mx.bücher.example; none".as_bytes(), "mx.xn--bcher-kva.example"));
    assert!(claims_our_authserv_id(b"mx.xn--bcher-kva.example; none", "mx.b\u{fc}cher.example"));
}

#[test]
fn authserv_ids_of_the_vectors_are_read() {
    let Some(vectors) = corpora::json("authres", "arh-vectors.json") else { return };
    let mut read = 0;
    for vector in vectors.as_array().unwrap() {
        let header = Header::parse(crlf(vector["header"].as_str().unwrap().as_bytes()));
        let value = header.fields().next().unwrap().value.to_vec();
        let ids = vector["expect"].as_array().unwrap().iter().filter(|expect| expect["path"] == "authserv_id");
        for id in ids {
            let id = id["value"].as_str().unwrap();
            assert!(claims_our_authserv_id(&value, id), "{vector}");
            assert!(!claims_our_authserv_id(&value, "mx.victim.example"), "{vector}");
            read += 1;
        }
    }
    assert!(read >= 20, "{read}");
}
