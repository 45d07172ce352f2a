//! XCLIENT (Postfix, XCLIENT_README): a host of ours that stands before us, or a test, says for which client it speaks.

use std::net::IpAddr;

/// The attributes, as EHLO names them.
pub const ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";

/// The longest value that is kept, in octets: a domain's.
const VALUE_MAX: usize = 255;

/// Who the client is, by ADDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Address {
    /// Nothing was said: it is the same client, of whom more is told.
    #[default]
    Same,
    /// `[UNAVAILABLE]`, `[TEMPUNAVAIL]`: another client, and nobody knows which.
    Unknown,
    /// Another client, at this address.
    Is(IpAddr),
}

/// What was said of the client; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Introduced {
    /// ADDR.
    pub address: Address,
    /// PORT.
    pub port: Option<u16>,
    /// HELO: printable ASCII.
    pub helo: Option<String>,
}

impl Introduced {
    /// Reads `NAME=VALUE` pairs, values in xtext (RFC 3461 §4). `[UNAVAILABLE]` and `[TEMPUNAVAIL]` say nothing, but for ADDR. NAME is read past, for
    /// reverse names are looked up here, and so are PROTO, LOGIN, DESTADDR and DESTPORT, of which nothing depends.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(text: &[u8]) -> Result<Introduced, &'static str> {
        let mut introduced = Introduced::default();
        let pairs = text.split(|octet| *octet == b' ').filter(|pair| !pair.is_empty());
        let mut any = false;
        for pair in pairs {
            any = true;
            let at = pair.iter().position(|octet| *octet == b'=').ok_or("XCLIENT takes NAME=VALUE")?;
            let (name, value) = pair.split_at(at);
            let value = decoded(value.get(1..).unwrap_or_default()).ok_or("a value is not xtext")?;
            let said = !["[UNAVAILABLE]", "[TEMPUNAVAIL]"].iter().any(|word| value.eq_ignore_ascii_case(word));
            match name.to_ascii_uppercase().as_slice() {
                b"ADDR" if said => introduced.address = Address::Is(address(&value).ok_or("ADDR is no IP address")?),
                b"ADDR" => introduced.address = Address::Unknown,
                b"PORT" if said => introduced.port = Some(value.parse().map_err(|_| "PORT is no port")?),
                b"HELO" if said => introduced.helo = Some(value),
                b"PORT" | b"HELO" | b"NAME" | b"PROTO" | b"LOGIN" | b"DESTADDR" | b"DESTPORT" => {}
                _ => return Err("this attribute was not offered"),
            }
        }
        if any { Ok(introduced) } else { Err("XCLIENT takes NAME=VALUE") }
    }
}

/// IPv4, or IPv6 behind `IPV6:`; Postfix takes the latter without it, too.
fn address(text: &str) -> Option<IpAddr> {
    match text.split_at_checked(5) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPV6:") => v6.parse().ok().map(IpAddr::V6),
        _ => text.parse().ok(),
    }
}

/// Printable ASCII out of xtext: `+HH` is an octet.
fn decoded(text: &[u8]) -> Option<String> {
    let mut octets = text.iter().copied();
    let mut value = String::new();
    while let Some(octet) = octets.next() {
        let octet = match octet {
            b'+' => {
                let mut digit = || char::from(octets.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            octet => octet,
        };
        if !matches!(octet, b' '..=b'~') || value.len() >= VALUE_MAX {
            return None;
        }
        value.push(char::from(octet));
    }
    Some(value).filter(|value| !value.is_empty())
}
