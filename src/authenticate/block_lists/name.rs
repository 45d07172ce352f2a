//! The names under which lists are asked.

use std::fmt::Write;
use std::net::IpAddr;

use crate::authenticate::resolver::DnsName;
use crate::smtp::address::Domain;

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
/// or without brackets, a single label (`TEST` and `INVALID` are probes, RFC 5782 §5), and what is no name.
pub(super) fn of_domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    // a name with an underscore is no domain of RFC 5321, yet a client may say it in HELO and a list may have it
    let name = match Domain::parse(text) {
        Ok(domain) => domain.as_str().to_owned(),
        Err(_) if text.is_ascii() => text.to_ascii_lowercase(),
        Err(_) => return None,
    };
    let parsed = DnsName::parse(&name)?;
    (name.contains('.') && !name.contains(':') && parsed.as_address().is_none()).then_some(name)
}
