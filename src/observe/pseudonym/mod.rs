//! Pseudonyms: what stands for a person in a journal and a log that are kept without names.
//!
//! A local-part becomes `~k` and 16 characters, an HMAC-SHA-256 of the whole address under a key that is changed every week and
//! thrown away with the last line that it made; one with a `+detail` becomes two such words, the first that of the address without it. Within a week the same address has the same pseudonym, so that decisions can still be
//! counted, searched and replayed; without the key it leads nowhere. Domains stay clear. Addresses of hosts are cut to their /24 or
//! /48, and a host's name that spells its address loses the labels that do.

mod host;
mod text;
mod veil;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::hmac;
use unicode_normalization::UnicodeNormalization;

use crate::facts::hidden::{CHARACTERS, DIGITS};
pub use crate::facts::hidden::{MARK, is_pseudonym};
pub use host::spelled;
pub use text::codes_and_text;

/// A week's key. Its secret is never shown.
pub struct Key {
    hmac: hmac::Key,
}

impl Key {
    /// The key of a secret.
    pub fn new(secret: &[u8; 32]) -> Key {
        Key { hmac: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// What stands for a text as a whole; nothing for nothing.
    pub fn opaque(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let tag = hmac::sign(&self.hmac, folded(text).as_bytes());
        let bits = tag.as_ref().iter().take(10).fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet));
        let digits = (0..CHARACTERS).rev().map(|at| {
            let digit = usize::try_from(bits >> (at * 5) & 31).unwrap_or_default();
            char::from(DIGITS.get(digit).copied().unwrap_or(b'0'))
        });
        MARK.chars().chain(digits).collect()
    }

    /// `~k...@domain` for an address; what is none (or cut) is a text. The bare `postmaster` (RFC 5321 §4.5.1) is nobody's name and stays.
    pub fn address(&self, address: &str, client: IpAddr) -> String {
        match address.rsplit_once('@') {
            Some((local, domain)) if is_name(domain) || literal(domain).is_some() => {
                format!("{}@{}", self.local(local, domain), self.host(domain, client))
            }
            None if address.eq_ignore_ascii_case("postmaster") => address.to_owned(),
            _ => self.opaque(address),
        }
    }

    /// What stands for the local-part of an address. One with a detail, `alice+news` (RFC 5233), has two words: that of `alice`, so that
    /// who is asked for is found with every detail, and that of the whole.
    pub fn local(&self, local: &str, domain: &str) -> String {
        let (local, domain) = (unquoted(local), canonical(domain));
        let whole = self.opaque(&format!("{local}@{domain}"));
        match local.split_once('+') {
            Some((base, _)) if !base.is_empty() => format!("{}+{whole}", self.opaque(&format!("{base}@{domain}"))),
            _ => whole,
        }
    }

    /// A domain or host: clear, unless it is an address literal, an address, or spells the client's address.
    pub fn host(&self, name: &str, client: IpAddr) -> String {
        if let Some(ip) = literal(name) {
            return match network(ip) {
                IpAddr::V4(ip) => format!("[{ip}]"),
                IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
            };
        }
        if let Ok(ip) = name.parse::<IpAddr>() {
            return network(ip).to_string();
        }
        match spelled(name, client) {
            Some("") => self.opaque(name),
            Some(rest) => format!("{}.{rest}", self.opaque(name)),
            None => name.to_owned(),
        }
    }

    /// A Message-ID: what is left of its `@` goes, what is right of it stays where it is a name.
    pub fn message_id(&self, id: &str, client: IpAddr) -> String {
        if id.is_empty() {
            return String::new();
        }
        let (bare, brackets) = match id.strip_prefix('<') {
            Some(rest) => (rest.strip_suffix('>').unwrap_or(rest), true),
            None => (id, false),
        };
        let hidden = match bare.rsplit_once('@') {
            Some(_) => self.address(bare, client),
            None => self.opaque(bare),
        };
        if brackets { format!("<{hidden}>") } else { hidden }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// An address cut to what is kept of it: /24, or /48 of IPv6.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) & 0xffff_ff00)),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) & !((1 << 80) - 1))),
    }
}

/// The address in an address literal of RFC 5321 §4.1.3.
fn literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let tagged = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"));
    inner.get(if tagged { 5 } else { 0 }..)?.parse().ok()
}

/// Whether a text has the form of a domain or host name.
fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && text.chars().all(fine) && text.parse::<IpAddr>().is_err()
}

/// A local-part without its quotes (RFC 5321 §4.1.2): `"alice"@` and `alice@` are one mailbox.
fn unquoted(local: &str) -> &str {
    let inner = local.strip_prefix('"').and_then(|local| local.strip_suffix('"'));
    inner.filter(|inner| !inner.is_empty()).unwrap_or(local)
}

/// What spellings of one address have in common: NFC, lower case.
fn folded(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.nfc().collect::<String>().to_lowercase() }
}

/// A domain as A-labels.
fn canonical(domain: &str) -> String {
    if domain.is_ascii() {
        return domain.to_ascii_lowercase();
    }
    idna::domain_to_ascii(domain).unwrap_or_else(|_| folded(domain))
}
