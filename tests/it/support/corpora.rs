//! Conformance data that is kept beside the project and never in it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::dns::{Fault, RecordType, Zone};

/// The folder of one corpus, or `None` (said once on the terminal) where it isn't there.
///
/// `GATEPOST_CORPORA` names the folder that holds all of them; without it `../shared/corpora` beside the project.
pub fn folder(name: &str) -> Option<PathBuf> {
    let all = std::env::var_os("GATEPOST_CORPORA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"), PathBuf::from);
    let folder = all.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("left out: the corpus {name} is not at {}", folder.display());
    None
}

/// A JSON file of a corpus; `None` where the corpus isn't there.
///
/// # Panics
/// When the file can't be read or is no JSON: then the corpus is broken, not absent.
pub fn json(name: &str, file: &str) -> Option<Value> {
    let path = folder(name)?.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// RFC 4648 §4.
pub fn decoded(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is no base64"),
    };
    let (mut octets, mut bits, mut have) = (Vec::new(), 0u32, 0);
    for c in text.bytes().filter(|&c| c != b'=') {
        bits = bits << 6 | u32::from(value(c));
        have += 6;
        if have >= 8 {
            have -= 8;
            octets.push((bits >> have) as u8);
        }
    }
    octets
}

/// The zone of one scenario of the SPF suites: [`zone`], where absent names that begin with `error.` time out.
pub fn spf_zone(zonedata: &Value) -> Zone {
    zone(zonedata).failing_label("error", Fault::NoAnswer)
}

/// A zone as the SPF suites (their PROVENANCE.md) and our own `testdata/` write it: a list of records by owner name. A
/// record is `{TYPE: value}`; the value `TIMEOUT`, `SERVFAIL` or `REFUSED` makes that type fail, and the same word in place
/// of a record makes every type fail that has no record.
pub fn zone(zonedata: &Value) -> Zone {
    let mut zone = Zone::new();
    for (owner, items) in zonedata.as_object().expect("zonedata is an object") {
        let items = items.as_array().expect("a list of records");
        let has_txt = items.iter().any(|item| item.get("TXT").is_some());
        zone = zone.present(owner);
        for item in items {
            let Some(record) = item.as_object() else {
                zone = zone.failing_otherwise(owner, fault(item).unwrap_or_else(|| panic!("{owner}: {item}")));
                continue;
            };
            for (record_type, value) in record {
                zone = add_record(zone, owner, record_type, value, has_txt);
            }
        }
    }
    zone
}

fn fault(value: &Value) -> Option<Fault> {
    match value.as_str()? {
        "TIMEOUT" => Some(Fault::NoAnswer),
        "SERVFAIL" => Some(Fault::ServFail),
        "REFUSED" => Some(Fault::Refused),
        _ => None,
    }
}

fn add_record(zone: Zone, owner: &str, record_type: &str, value: &Value, has_txt: bool) -> Zone {
    let text = || value.as_str().unwrap_or_else(|| panic!("{owner} {record_type}: {value}"));
    let asked_as = |record_type: &str| match record_type {
        "SPF" => RecordType::TXT,
        other => other.parse().unwrap_or_else(|_| panic!("{owner}: {other} is no type")),
    };
    match (record_type, value) {
        // The legacy type SPF is never asked for; without a TXT item its text is published as TXT, too.
        ("SPF", _) if has_txt => zone,
        ("TXT", Value::String(none)) if none == "NONE" => zone,
        (_, value) if fault(value).is_some() => {
            zone.failing(owner, asked_as(record_type), fault(value).expect("just seen"))
        }
        ("SPF" | "TXT", Value::Array(strings)) => {
            zone.txt_strings(owner, strings.iter().map(|string| string.as_str().expect("a string")))
        }
        ("SPF" | "TXT", _) => zone.txt(owner, text()),
        ("A", _) => zone.a(owner, text().parse::<Ipv4Addr>().expect(owner)),
        ("AAAA", _) => zone.aaaa(owner, text().parse::<Ipv6Addr>().expect(owner)),
        ("PTR", _) => zone.ptr_at(owner, text()),
        ("CNAME", _) => zone.cname(owner, text()),
        ("MX", Value::Array(mx)) => {
            let preference = mx[0].as_u64().and_then(|n| n.try_into().ok()).expect("a preference");
            zone.mx(owner, preference, mx[1].as_str().expect("an exchanger"))
        }
        _ => panic!("{owner}: {record_type} {value} is no record of the format"),
    }
}

/// A JSON file of the project's own `testdata/`.
pub fn own(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The zone of rspamd's functional tests: a list of `{name, type, rcode, replies}`, where `norec` is NODATA.
pub fn rspamd_zone(entries: &Value) -> Zone {
    let mut zone = Zone::new();
    for entry in entries.as_array().expect("a list of answers") {
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{entry}: no {key}"));
        let (owner, record_type) = (text("name"), text("type"));
        zone = match text("rcode") {
            "nxdomain" => zone,
            "norec" => zone.present(owner),
            "timeout" => zone.failing(owner, record_type.parse().expect("a type"), Fault::NoAnswer),
            "servfail" => zone.failing(owner, record_type.parse().expect("a type"), Fault::ServFail),
            "noerror" => {
                let replies = entry["replies"].as_array().expect("replies").iter();
                replies.fold(zone, |zone, reply| rspamd_record(zone, owner, record_type, reply))
            }
            other => panic!("{entry}: {other} is no rcode of the format"),
        };
    }
    zone
}

fn rspamd_record(zone: Zone, owner: &str, record_type: &str, reply: &Value) -> Zone {
    let text = reply.as_str().unwrap_or_else(|| panic!("{owner} {record_type}: {reply}"));
    match (record_type, text.split_once(' ')) {
        ("MX", Some((preference, exchanger))) => zone.mx(owner, preference.parse().expect("a number"), exchanger),
        ("MX", None) => zone.mx(owner, 10, text),
        _ => add_record(zone, owner, record_type, reply, true),
    }
}
