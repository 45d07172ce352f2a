//! `[[block_lists]]`: the DNS block and allow lists to ask (RFC 5782).

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnet::Ipv4Net;
use toml::de::{DeTable, DeValue};

use super::reader::{Placed, Reader, Section};
use super::value::{self, Fault};
use super::{files, sections};
use crate::policy::{ListKind, Zone, Zones};
use crate::problem::{Source, nearest};

/// Each list costs a query or more with every message.
const MOST: usize = 32;
/// Characters of a code's name.
const NAME: usize = 64;

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockList {
    /// Its zone, A-labels in lower case.
    pub zone: String,
    /// What it is asked about.
    pub kind: ListKind,
    /// What its return codes are called; `None`: each is its own name.
    pub codes: Option<Vec<ListCode>>,
    /// What must be listed, an address or a domain; `None`: what RFC 5782 §5 says.
    pub listed_probe: Option<String>,
    /// What must not be listed; `None`: what RFC 5782 §5 says.
    pub unlisted_probe: Option<String>,
}

/// Return codes of one name: the addresses that agree with `address` in the bits of `mask`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCode {
    /// An address of them.
    pub address: Ipv4Addr,
    /// The bits that count.
    pub mask: Ipv4Addr,
    /// What they are called.
    pub name: String,
}

/// The lists of a configuration that is perhaps not in order otherwise: what a policy that is to be mended may name.
pub fn zones_of(path: &Path) -> Zones {
    let text = files::read_text(path).unwrap_or_default();
    let source = std::sync::Arc::new(Source { name: path.display().to_string(), text });
    let text = std::sync::Arc::clone(&source);
    let mut reader = Reader::new(source, path.to_owned());
    let (table, _) = DeTable::parse_recoverable(&text.text);
    let top = Section::top(table.get_ref(), &mut reader);
    zones(&read(&mut reader, &top))
}

/// What rules may name of them.
pub(super) fn zones(lists: &[BlockList]) -> Zones {
    let codes =
        |list: &BlockList| list.codes.as_ref().map(|codes| codes.iter().map(|code| code.name.clone()).collect());
    Zones::of(lists.iter().map(|list| (list.zone.clone(), Zone { kind: list.kind, codes: codes(list) })))
}

pub(super) fn read(reader: &mut Reader, top: &Section<'_>) -> Vec<BlockList> {
    let mut lists: Vec<BlockList> = Vec::new();
    for section in top.items(reader, "block_lists") {
        if lists.len() == MOST {
            let fault = Fault::new(
                format!("there are more than {MOST} lists"),
                "each is asked about every message: leave some out",
            );
            reader.problem(section.span.clone(), "block_lists", fault);
            break;
        }
        let zone = section.read(reader, "zone", sections::domain);
        let kind = section.read(reader, "kind", kind);
        let codes = codes(reader, &section);
        let (listed, unlisted) = probes(reader, &section, kind.as_ref().map(|kind| kind.value));
        let (Some(zone), Some(kind)) = (zone, kind) else { continue };
        let name = zone.value.as_str().to_owned();
        if lists.iter().any(|known| known.zone == name) {
            let fault = Fault::new(format!("the zone {name} is here already"), "leave one out");
            reader.problem(zone.span, "block_lists.zone", fault);
            continue;
        }
        lists.push(BlockList { zone: name, kind: kind.value, codes, listed_probe: listed, unlisted_probe: unlisted });
    }
    lists
}

fn kind(value: &DeValue<'_>) -> Result<ListKind, Fault> {
    let text = value::string(value)?;
    ListKind::from_word(&text).ok_or_else(|| {
        let mend = match nearest(&text, ListKind::WORDS.iter().copied()) {
            Some(word) => format!("did you mean {word:?}?"),
            None => "\"address\" lists clients, \"domain\" lists names".to_owned(),
        };
        Fault::new(format!("{text:?} is no kind of list"), mend)
    })
}

fn codes(reader: &mut Reader, section: &Section<'_>) -> Option<Vec<ListCode>> {
    let value = section.raw("codes")?;
    let key = section.key("codes");
    let Some(table) = value.get_ref().as_table() else {
        let mut fault = Fault::wrong_type("a table of answers and what they are called", value.get_ref());
        fault.mend = "write { \"127.0.0.2\" = \"spam\" }".to_owned();
        reader.problem(Some(value.span()), &key, fault);
        return None;
    };
    if table.is_empty() {
        let fault =
            Fault::new("names no answer: nothing would ever be listed", "leave the key out to take every answer");
        reader.problem(Some(value.span()), &key, fault);
    }
    let mut codes: Vec<ListCode> = Vec::new();
    for (pattern, name) in table.iter() {
        let parsed = parse_code(pattern.get_ref()).and_then(|(address, mask)| {
            let twice = codes.iter().any(|known| (known.address, known.mask) == (address, mask));
            if twice { Err(Fault::new("this answer is here twice", "leave one out")) } else { Ok((address, mask)) }
        });
        match (parsed, code_name(name.get_ref())) {
            (Ok((address, mask)), Ok(name)) => codes.push(ListCode { address, mask, name }),
            (parsed, name_of) => {
                if let Err(fault) = parsed {
                    reader.problem(Some(pattern.span()), &key, fault);
                }
                if let Err(fault) = name_of {
                    reader.problem(Some(name.span()), &key, fault);
                }
            }
        }
    }
    Some(codes)
}

fn code_name(value: &DeValue<'_>) -> Result<String, Fault> {
    let name = value::string(value)?;
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-');
    if name.len() > NAME || !name.bytes().all(fits) {
        let mend = format!("name it with letters, digits, . _ and -, at most {NAME} of them");
        return Err(Fault::new(format!("{name:?} is not the name of a code"), mend));
    }
    Ok(name)
}

/// An answer of a list, or several: `127.0.0.2`, a network `127.0.0.4/30`, or `127.0.*.2` where an octet may be any. Gives an address
/// and the bits of it that count.
///
/// # Errors
/// Anything else, and answers that never count as a listing.
pub fn parse_code(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), Fault> {
    let wrong = || {
        let mend = "write it as \"127.0.0.2\", \"127.0.0.4/30\" or \"127.0.*.2\"";
        Fault::new(format!("{text:?} is not an answer of a list"), mend)
    };
    let (address, mask) = if text.contains('*') {
        let mask = text.split('.').map(|octet| if octet == "*" { "0" } else { "255" }).collect::<Vec<_>>().join(".");
        let address: Ipv4Addr = text.replace('*', "0").parse().map_err(|_| wrong())?;
        (address, mask.parse::<Ipv4Addr>().map_err(|_| wrong())?)
    } else if text.contains('/') {
        let network: Ipv4Net = text.parse().map_err(|_| wrong())?;
        if network.trunc() != network {
            let cause = format!("{text:?} has bits set beyond its prefix");
            return Err(Fault::new(cause, format!("write \"{}\"", network.trunc())));
        }
        (network.addr(), network.netmask())
    } else {
        (text.parse().map_err(|_| wrong())?, Ipv4Addr::BROADCAST)
    };
    let is_within = |octets: &[u8]| {
        let fixed = mask.octets().iter().take(octets.len()).all(|octet| *octet == 255);
        fixed && address.octets().starts_with(octets)
    };
    if !is_within(&[127]) {
        return Err(Fault::new(format!("{text:?} never lists: lists answer within 127.0.0.0/8"), "RFC 5782 §2.1"));
    }
    if is_within(&[127, 255, 255]) {
        let cause = format!("{text:?} never lists: operators refuse to answer with 127.255.255.0/24");
        return Err(Fault::new(cause, "leave it out"));
    }
    Ok((address, mask))
}

/// The probes of the administrator's own, as the list is asked for them.
fn probes(reader: &mut Reader, section: &Section<'_>, kind: Option<ListKind>) -> (Option<String>, Option<String>) {
    let probe = |value: &DeValue<'_>| {
        let text = value::string(value)?;
        let address = text.parse::<IpAddr>().ok();
        match (kind, address) {
            (Some(ListKind::Address), None) => Err(Fault::new(
                format!("{text:?} is not an address"),
                "an address list is probed with one: \"127.0.0.2\"",
            )),
            (Some(ListKind::Domain), _) => sections::parse_domain(&text).map(|domain| domain.as_str().to_owned()),
            // an address list is asked about IPv4 addresses as such; in IPv6's notation one is another entry (RFC 5782 §5)
            _ => Ok(address.map_or(text, |address| address.to_string())),
        }
    };
    let (listed, unlisted) =
        (section.read(reader, "listed_probe", probe), section.read(reader, "unlisted_probe", probe));
    if let (Some(listed), Some(unlisted)) = (&listed, &unlisted)
        && listed.value == unlisted.value
    {
        let fault =
            Fault::new("is the same as listed_probe: the list would always be switched off", "name something else");
        reader.problem(unlisted.span.clone(), &section.key("unlisted_probe"), fault);
    }
    let value = |placed: Option<Placed<String>>| placed.map(|placed| placed.value);
    (value(listed), value(unlisted))
}
