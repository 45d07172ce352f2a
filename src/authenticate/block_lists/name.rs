//! The names under which lists are asked.

use std::fmt::Write;
use std::net::IpAddr;

use crate::authenticate::resolver::DnsName;
use crate::smtp::address::Domain;

/// Octets of a label (RFC 1035 §2.3.4).
const LABEL_OCTETS: usize = 63;

/// An address below an address list's zone: its octets (RFC 5782 §2.1) or its nibbles (§2.4), the last one first.
pub(super) fn of_address(ip: IpAddr) -> String {
    let mut name = String::new();
    let mut label = |text: std::fmt::Arguments<'_>| {
        let dot = if name.is_empty() { "" } else { "." };
        // writing into a String can't fail
        let _ = write!(name, "{dot}{text}");
    };
    match ip {
        IpAddr::V4(ip) => ip.octets().iter().rev().for_each(|octet| label(format_args!("{octet}"))),
        IpAddr::V6(ip) => {
            for octet in ip.octets().iter().rev() {
                label(format_args!("{:x}", octet & 0xf));
                label(format_args!("{:x}", octet >> 4));
            }
        }
    }
    name
}

/// A domain below a domain list's zone: A-labels in lower case. `None` for what no list of domains is asked about: an address, with
/// or without brackets, what ends in a label of digits as addresses do, a single label (`TEST` and `INVALID` are probes, RFC 5782 §5).
/// Of a name with labels that no host has, what stands behind them is asked about: whoever has a domain can say what he likes before it.
pub(super) fn of_domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let text = match Domain::parse(text) {
        Ok(domain) => domain.as_str().to_owned(),
        Err(_) if text.is_ascii() => text.to_ascii_lowercase(),
        Err(_) => return None,
    };
    let labels: Vec<&str> = text.split('.').collect();
    let odd = labels.iter().rposition(|label| !is_host_label(label));
    let name = labels.get(odd.map_or(0, |odd| odd + 1)..)?;
    let is_number = name.last()?.bytes().all(|octet| octet.is_ascii_digit());
    (name.len() > 1 && !is_number).then(|| name.join("."))
}

/// Letters, digits, hyphens, and underscores, which are no domain's of RFC 5321, yet a client may say them in HELO.
fn is_host_label(label: &str) -> bool {
    let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    (1..=LABEL_OCTETS).contains(&label.len()) && label.bytes().all(is_octet)
}

/// The name that is asked for below a zone. One that is too long loses labels on its left, as in SPF (RFC 7208 §7.3): who has a
/// domain can put as much as he likes in front of it, and lists mean all that is below what they list. `None` where nothing is left.
pub(super) fn below(name: &str, zone: &str) -> Option<DnsName> {
    let mut rest = name;
    loop {
        if let Some(found) = DnsName::parse(format!("{rest}.{zone}")) {
            return Some(found);
        }
        rest = rest.split_once('.')?.1;
    }
}
