//! The DNS of a case: owner names with their records by type, and what goes wrong with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::Path;

use toml::de::DeValue;

use super::case::parsed;
use crate::config::policy_source;
use crate::demo::dns::{Fault, RecordType, Zone};
use crate::policy::keys::{Reader, Spot, Table};
use crate::problem::Problems;

/// The types that a zone can have.
const TYPES: &[(&str, RecordType)] = &[
    ("A", RecordType::A),
    ("AAAA", RecordType::AAAA),
    ("MX", RecordType::MX),
    ("TXT", RecordType::TXT),
    ("PTR", RecordType::PTR),
    ("CNAME", RecordType::CNAME),
    ("NS", RecordType::NS),
];

/// What a name can fail with.
fn fault(word: &str) -> Option<Fault> {
    match word {
        "TIMEOUT" => Some(Fault::NoAnswer),
        "SERVFAIL" => Some(Fault::ServFail),
        "REFUSED" => Some(Fault::Refused),
        _ => None,
    }
}

/// Reads a zone; what is wrong with it is among the problems.
pub(super) fn read(path: &Path, problems: &mut Problems) -> Zone {
    let mut zone = Zone::new();
    let source = match policy_source(path) {
        Ok(source) => source,
        Err(problem) => {
            problems.push(problem);
            return zone;
        }
    };
    let Some(top) = parsed(&source, problems) else { return zone };
    let top = Table { entries: top.get_ref(), span: top.span(), key: String::new() };
    let mut reader = Reader { source: &source, problems };
    for (name, value) in top.entries {
        if reader.has_many() {
            break;
        }
        let owner = Owner { text: name.get_ref().to_string(), span: name.span() };
        if !owner.is_name() {
            let mend = "write a name such as \"mail.example.net\", or an address for its reverse name";
            reader.problem(owner.span, owner.text, "this is no name of the DNS", mend);
            continue;
        }
        zone = match value.get_ref() {
            DeValue::Table(_) => match reader.table(&top, &owner.text) {
                Some(records) => node(&mut reader, zone, &owner, &records),
                None => zone,
            },
            DeValue::String(word) if fault(word.as_ref()).is_some() => owner.failing(zone, None, fault(word.as_ref())),
            _ => {
                let mend = "write { A = [\"192.0.2.1\"] }, or \"SERVFAIL\", \"TIMEOUT\" or \"REFUSED\"";
                reader.problem(value.span(), owner.text, "this is neither records nor a fault", mend);
                zone
            }
        };
    }
    zone
}

/// A name that owns records.
struct Owner {
    text: String,
    span: Range<usize>,
}

impl Owner {
    fn address(&self) -> Option<IpAddr> {
        self.text.parse().ok()
    }

    fn is_name(&self) -> bool {
        let text = self.text.strip_suffix('.').unwrap_or(&self.text);
        self.address().is_some() || text.is_empty() || is_name(text)
    }

    fn failing(&self, zone: Zone, of: Option<RecordType>, fault: Option<Fault>) -> Zone {
        match (self.address(), of, fault) {
            (_, _, None) => zone,
            (Some(ip), _, Some(fault)) => zone.ptr_failing(ip, fault),
            (None, Some(of), Some(fault)) => zone.failing(&self.text, of, fault),
            (None, None, Some(fault)) => zone.failing_otherwise(&self.text, fault),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| (1..=63).contains(&label.len()) && label.is_ascii())
}

/// What stands at one name.
fn node(reader: &mut Reader<'_>, mut zone: Zone, owner: &Owner, records: &Table<'_>) -> Zone {
    let types: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    reader.hold_to(records, &types);
    for (word, of) in TYPES {
        let Some(value) = records.entries.get(*word) else { continue };
        if owner.address().is_some() && *of != RecordType::PTR {
            let mend = "write PTR = [\"mail.example.net\"]";
            reader.problem(value.span(), *word, "the reverse name of an address has PTR records only", mend);
            continue;
        }
        let entries = match value.get_ref() {
            DeValue::String(text) if fault(text.as_ref()).is_some() => {
                zone = owner.failing(zone, Some(*of), fault(text.as_ref()));
                continue;
            }
            DeValue::String(text) => vec![Spot { value: text.to_string(), span: value.span() }],
            _ => reader.strings(records, word).unwrap_or_default(),
        };
        for entry in entries {
            match record(zone.clone(), owner, *of, &entry.value) {
                Some(more) => zone = more,
                None => {
                    let cause = format!("this is no {word} record");
                    reader.problem(entry.span, format!("{}.{word}", owner.text), cause, example(*of));
                }
            }
        }
    }
    zone
}

fn example(of: RecordType) -> &'static str {
    match of {
        RecordType::A => "write an IPv4 address",
        RecordType::AAAA => "write an IPv6 address",
        RecordType::MX => "write \"10 mail.example.net\", or \"0 .\" for none",
        _ => "write a name such as \"mail.example.net\"",
    }
}

/// The zone with one record more; `None` where the text is none of that type.
fn record(zone: Zone, owner: &Owner, of: RecordType, text: &str) -> Option<Zone> {
    let name = &owner.text;
    let is_target = |target: &str| target == "." || is_name(target.strip_suffix('.').unwrap_or(target));
    match of {
        RecordType::A => Some(zone.a(name, text.parse::<Ipv4Addr>().ok()?)),
        RecordType::AAAA => Some(zone.aaaa(name, text.parse::<Ipv6Addr>().ok()?)),
        RecordType::TXT => Some(zone.txt(name, text)),
        RecordType::MX => {
            let (preference, exchanger) = text.split_once(' ')?;
            let (preference, exchanger) = (preference.parse().ok()?, exchanger.trim());
            is_target(exchanger).then(|| zone.mx(name, preference, exchanger))
        }
        _ if !is_target(text) => None,
        RecordType::PTR => Some(match owner.address() {
            Some(ip) => zone.ptr(ip, text),
            None => zone.ptr_at(name, text),
        }),
        RecordType::CNAME => Some(zone.cname(name, text)),
        RecordType::NS => Some(zone.ns(name, text)),
        _ => None,
    }
}
