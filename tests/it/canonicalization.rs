//! Canonicalization (RFC 6376 §3.4), by dkimpy's vectors: what is hashed is told by whether a signature over it holds.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use gatepost::authenticate::sign::Signer;
use proptest::prelude::*;

use super::dkim::{NOW, verify};
use super::support::corpora;
use super::support::dns::{Zone, authenticator, block_on};

/// Python's literals `b'...'` in a text, in order.
fn literals(python: &str) -> Vec<String> {
    let unescaped = |text: &str| text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t");
    python.split("b'").skip(1).map(|rest| unescaped(rest.split('\'').next().unwrap())).collect()
}

/// RFC 4648 §4.
fn base64(octets: &[u8]) -> String {
    let digits: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut text = String::new();
    for group in octets.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | group.get(at).map_or(0, |octet| usize::from(*octet)));
        (0..4).for_each(|at| text.push(if at <= group.len() { digits[bits >> (18 - 6 * at) & 63] } else { '=' }));
    }
    text
}

/// Why the first signature of a message, which comes in chunks of `chunk` octets, is no pass.
fn reason(signer: &Signer, message: &str, chunk: usize) -> String {
    let zone = Zone::new().txt(&signer.key_name(), &signer.key_record());
    block_on(async {
        let (_server, authenticator) = authenticator(zone).await;
        verify(&authenticator, message.as_bytes(), NOW, chunk).await[0].reason.clone()
    })
}

/// Whether a body hashes to what `canonical` does. The signature itself is none: only the body's part of the answer counts.
fn body_is(c: &str, canonical: &str, body: &str, chunk: usize) -> bool {
    let signer = Signer::new_ed25519("sender.example", "s1").unwrap();
    let hash = base64(digest(&SHA256, canonical.as_bytes()).as_ref());
    let field = format!(
        "DKIM-Signature: v=1; a=ed25519-sha256;{c} d=sender.example; s=s1; h=from; bh={hash}; b={}\r\n",
        base64(&[0; 64])
    );
    match reason(&signer, &format!("{field}From: a@sender.example\r\n\r\n{body}"), chunk).as_str() {
        "the signature does not verify" => true,
        "the body was changed" => false,
        other => panic!("{c} {body:?}: {other}"),
    }
}

/// Whether a header that was signed in one form holds in the other, relaxed.
fn headers_agree(canonical: &[(String, String)], raw: &[(String, String)]) -> bool {
    let names: String = canonical.iter().fold("from".to_owned(), |mut names, (name, _)| {
        write!(names, ":{name}").unwrap();
        names
    });
    let signer = Signer::new_ed25519("sender.example", "s1").unwrap().with_names(&names);
    let message = |fields: &[(String, String)]| {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        format!("{fields}From: a@sender.example\r\n\r\n")
    };
    let field = signer.sign(message(canonical).as_bytes(), NOW).unwrap();
    reason(&signer, &format!("{field}{}", message(raw)), 3).is_empty()
}

fn pairs(literals: &[String]) -> Vec<(String, String)> {
    literals.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

#[test]
fn dkimpys_vectors() {
    let Some(vectors) = corpora::json("dkim-dkimpy", "canonicalization_vectors.json") else { return };
    // The simple form of a header is the header, and c= is written by signers alone.
    let (mut tried, mut left) = (0, 0);
    for vector in vectors.as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap();
        let found = literals(text("python"));
        match text("class") {
            "TestSimpleAlgorithmBody" => assert!(body_is(" c=simple/simple;", &found[0], &found[1], 3), "{vector}"),
            "TestRelaxedAlgorithmBody" => assert!(body_is(" c=simple/relaxed;", &found[0], &found[1], 3), "{vector}"),
            "TestRelaxedAlgorithmHeaders" => {
                let (canonical, raw) = found.split_at(found.len() / 2);
                assert!(headers_agree(&pairs(canonical), &pairs(raw)), "{vector}");
            }
            "TestCanonicalizationPolicyFromCValue" if text("test") == "test_corruption_is_ignored" => {
                for value in &found {
                    let signer = Signer::new_ed25519("sender.example", "s1").unwrap();
                    let message = "From: a@sender.example\r\n\r\n";
                    let field = signer.sign(message.as_bytes(), NOW).unwrap();
                    let field = field.replace("c=relaxed/relaxed", &format!("c={value}"));
                    let reason = reason(&signer, &format!("{field}{message}"), 3);
                    assert_eq!(reason, "the signature asks for an unknown algorithm", "{value}");
                }
            }
            "TestCanonicalizationPolicyFromCValue" => {
                let c = found.first().map(|value| format!(" c={value};")).unwrap_or_default();
                let is_relaxed = text("python").split(',').nth(1).unwrap().contains("Relaxed");
                assert_eq!(body_is(&c, "a b\r\n", "a  b\r\n", 3), is_relaxed, "{vector}");
                assert_eq!(body_is(&c, "a  b\r\n", "a  b\r\n", 3), !is_relaxed, "{vector}");
            }
            "TestSimpleAlgorithmHeaders" | "TestCanonicalizationPolicyToCValue" => {
                left += 1;
                continue;
            }
            other => panic!("{other}"),
        }
        tried += 1;
    }
    assert_eq!((tried, left), (22, 5));
}

/// As RFC 6376 §3.4.4 says it, a step after the other.
fn relaxed(body: &str) -> String {
    let lines = body.split("\r\n").map(|line| {
        let words: Vec<&str> = line.split([' ', '\t']).collect();
        let mut text = String::new();
        for (at, word) in words.iter().enumerate() {
            if at > 0 && !text.ends_with(' ') {
                text.push(' ');
            }
            text.push_str(word);
        }
        format!("{}\r\n", text.strip_suffix(' ').unwrap_or(&text))
    });
    let mut whole: String = lines.collect();
    while whole == "\r\n" || whole.ends_with("\r\n\r\n") {
        whole.truncate(whole.len() - 2);
    }
    whole
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_body_in_any_chunks_is_canonicalized_as_the_rfc_says(
        parts in prop::collection::vec(
            prop_oneof![
                "[a-z.]{1,5}", "[a-z]{1,8}( [a-z]{1,8}){5,200}", "[ \t]{1,3}", "(\r\n){1,12}", Just("\r\n".to_owned()), "\r\n[ \t]",
                Just(" ".to_owned()), Just("\u{1}\u{7f}".to_owned()), "é{1,40}",
            ],
            0..30,
        ),
        chunk in 1..700_usize,
    ) {
        let body = parts.concat();
        let canonical = relaxed(&body);
        prop_assert!(body_is(" c=simple/relaxed;", &canonical, &body, chunk), "{body:?} in chunks of {chunk}");
        let other = canonical + "x";
        prop_assert!(!body_is(" c=simple/relaxed;", &other, &body, chunk));
    }
}
