//! DKIM: the suites of others, the attacks, and the bounds.

use std::collections::BTreeMap;
use std::path::Path;

use gatepost::authenticate::Authenticator;
use gatepost::authenticate::body::{BodyHasher, Signed};
use gatepost::facts::Dkim;
use gatepost::message::content::Content;
use serde_json::Value;

use super::header::crlf;
use super::support::corpora;
use super::support::dns::{RecordType, Zone, authenticator, block_on};

/// A day in 2026.
pub const NOW: u64 = 1_790_000_000;

/// Verifies a message that comes in chunks of `chunk` octets.
pub async fn verify(authenticator: &Authenticator, message: &[u8], now: u64, chunk: usize) -> Vec<Dkim> {
    authenticator.dkim(&signed(message, chunk), now).await
}

/// A message made ready to be verified.
pub fn signed(message: &[u8], chunk: usize) -> Signed {
    let content = Content::parse(message);
    let mut hasher = BodyHasher::for_header(&content.header);
    content.body.chunks(chunk).for_each(|chunk| hasher.write(chunk));
    hasher.finish()
}

/// The zone of a suite: names with their TXT records.
fn zone_of(records: &BTreeMap<String, Vec<String>>) -> Zone {
    let texts = records.iter().flat_map(|(name, texts)| texts.iter().map(move |text| (name, text)));
    texts.fold(Zone::new(), |zone, (name, text)| zone.txt(name, text))
}

/// `{name: {"TXT": [..]}}` or `{name: text}`.
fn records_of(json: &Value) -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let texts = |value: &Value| match value {
        Value::String(_) => vec![text(value)],
        Value::Array(texts) => texts.iter().map(text).collect(),
        value => value["TXT"].as_array().unwrap().iter().map(text).collect(),
    };
    json.as_object().unwrap().iter().map(|(name, value)| (name.clone(), texts(value))).collect()
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    crlf(&std::fs::read(folder.join(file)).unwrap())
}

/// Runs a message against a zone; the words of its signatures.
fn words(zone: Zone, message: &[u8], now: u64) -> Vec<String> {
    let found = block_on(async {
        let (_server, authenticator) = authenticator(zone).await;
        let whole = verify(&authenticator, message, now, usize::MAX).await;
        let pieces = verify(&authenticator, message, now, 7).await;
        assert_eq!(whole, pieces, "chunks make no difference");
        whole
    });
    for dkim in &found {
        assert_eq!(dkim.result.as_str() == "pass", dkim.reason.is_empty(), "a reason is what is not a pass: {dkim:?}");
    }
    found.iter().map(|dkim| dkim.result.to_string()).collect()
}

#[test]
fn rfc_examples() {
    let Some(folder) = corpora::folder("dkim-rfc-examples") else { return };
    let records = records_of(&corpora::json("dkim-rfc-examples", "dns.json").unwrap());
    // Where we say another word than the data: RFC 8601 §2.7.1 calls a signature that can't be processed neutral.
    let other_words = [("missing-v", ["neutral"])];
    for case in corpora::json("dkim-rfc-examples", "cases.json").unwrap().as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let mut records = records.clone();
        records.extend(records_of(&case["dns_override"]));
        let message = read(&folder, case["message"].as_str().unwrap());
        let found = words(zone_of(&records), &message, NOW);
        println!("{id}: {found:?} expected {:?} {}", case["expect"], case["comment"]);
    }
}

#[test]
fn dkimpy() {
    let Some(folder) = corpora::folder("dkim-dkimpy") else { return };
    let records = records_of(&corpora::json("dkim-dkimpy", "dns.json").unwrap());
    for case in corpora::json("dkim-dkimpy", "cases.json").unwrap().as_array().unwrap() {
        let file = case["message"].as_str().unwrap();
        let message = read(&folder, file);
        let found = words(zone_of(&records), &message, NOW);
        if serde_json::to_value(&found).unwrap() != case["expect"] {
            println!("{file}: {found:?} expected {}", case["expect"]);
        }
    }
}

#[test]
fn opendkim() {
    let Some(folder) = corpora::folder("dkim-opendkim") else { return };
    let records = records_of(&corpora::json("dkim-opendkim", "dns.json").unwrap());
    for case in corpora::json("dkim-opendkim", "cases.json").unwrap().as_array().unwrap() {
        let file = case["message"].as_str().unwrap();
        // Its messages have deliberate line ends.
        let message = std::fs::read(folder.join(file)).unwrap();
        let found = words(zone_of(&records), &message, NOW);
        println!("{file}: {found:?} expected {} {}", case["expect_rfc8301"], case["title"]);
    }
}

#[test]
fn real_signed_mail() {
    let Some(folder) = corpora::folder("realmail-signed") else { return };
    let records = records_of(&corpora::json("realmail-signed", "dns.json").unwrap());
    for file in super::header::walk(&folder.join("msg")) {
        let message = crlf(&std::fs::read(&file).unwrap());
        for now in [NOW, 1_697_000_000] {
            println!("{}: {:?}", file.display(), words(zone_of(&records), &message, now));
        }
    }
}
