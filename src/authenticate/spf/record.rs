//! SPF records (RFC 7208 §4.5, §4.6, §12): which TXT record it is, and its grammar. An error anywhere spoils the record.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::macros::{MacroString, SyntaxError};
use crate::facts::MethodResult;

/// Octets of a record beyond which it is not read. RFC 7208 §3.4 wants 512; what anybody uses stays under 4 kB.
const MAX_RECORD: usize = 16 * 1024;

/// The SPF record among a name's TXT records (RFC 7208 §4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selected<'a> {
    Missing,
    One(&'a [u8]),
    /// permerror
    Several,
}

/// A parsed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub directives: Vec<Directive>,
    pub redirect: Option<MacroString>,
}

/// A mechanism and what its match means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub result: MethodResult,
    pub mechanism: Mechanism,
}

/// RFC 7208 §5. A missing domain means the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(MacroString),
    A(Option<MacroString>, DualCidr),
    Mx(Option<MacroString>, DualCidr),
    Ptr(Option<MacroString>),
    Ip4(Ipv4Net),
    Ip6(Ipv6Net),
    Exists(MacroString),
}

/// The prefix lengths by which addresses are compared, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DualCidr {
    pub v4: u8,
    pub v6: u8,
}

/// Picks the record: `v=spf1`, in any case, alone or followed by a space.
pub(super) fn select(records: &[Vec<u8>]) -> Selected<'_> {
    const VERSION: &[u8] = b"v=spf1";
    let mut of_spf = records.iter().filter(|record| match record.split_at_checked(VERSION.len()) {
        Some((version, rest)) => version.eq_ignore_ascii_case(VERSION) && matches!(rest.first(), None | Some(b' ')),
        None => false,
    });
    match (of_spf.next(), of_spf.next()) {
        (None, _) => Selected::Missing,
        (Some(record), None) => Selected::One(record),
        (Some(_), Some(_)) => Selected::Several,
    }
}

impl Record {
    /// Parses a record that [`select`] picked.
    // DEVIATES RFC 7208 §3.4: it has no upper bound, and a record of 64 kB keeps a thread busy for others' time.
    pub fn parse(record: &[u8]) -> Result<Record, SyntaxError> {
        if record.len() > MAX_RECORD {
            return Err(SyntaxError);
        }
        let text = std::str::from_utf8(record).map_err(|_| SyntaxError)?;
        if !text.is_ascii() {
            return Err(SyntaxError);
        }
        let mut directives = Vec::new();
        let mut redirect = None;
        let mut has_explanation = false;
        // Only the space separates terms; the first one is the version.
        for term in text.split(' ').filter(|term| !term.is_empty()).skip(1) {
            let Some((name, value)) = modifier(term) else {
                directives.push(Directive::parse(term)?);
                continue;
            };
            if name.eq_ignore_ascii_case("redirect") {
                // RFC 7208 §6: at most once each.
                if redirect.replace(MacroString::parse_domain(value)?).is_some() {
                    return Err(SyntaxError);
                }
            } else if name.eq_ignore_ascii_case("exp") {
                MacroString::parse_domain(value)?;
                if std::mem::replace(&mut has_explanation, true) {
                    return Err(SyntaxError);
                }
            } else {
                // An unknown modifier is ignored, its syntax isn't.
                MacroString::parse(value)?;
            }
        }
        Ok(Record { directives, redirect })
    }
}

/// `name "=" value` (RFC 7208 §12): everything else is a directive.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let goes_on = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
    (starts && goes_on).then_some((name, value))
}

impl Directive {
    fn parse(term: &str) -> Result<Directive, SyntaxError> {
        let (result, mechanism) = match term.as_bytes().first() {
            Some(b'+') => (MethodResult::Pass, term.get(1..)),
            Some(b'-') => (MethodResult::Fail, term.get(1..)),
            Some(b'~') => (MethodResult::SoftFail, term.get(1..)),
            Some(b'?') => (MethodResult::Neutral, term.get(1..)),
            _ => (MethodResult::Pass, Some(term)),
        };
        Ok(Directive { result, mechanism: Mechanism::parse(mechanism.unwrap_or_default())? })
    }
}

impl Mechanism {
    fn parse(text: &str) -> Result<Mechanism, SyntaxError> {
        let (name, rest) = match text.bytes().position(|octet| matches!(octet, b':' | b'/')) {
            Some(end) => text.split_at_checked(end).ok_or(SyntaxError)?,
            None => (text, ""),
        };
        let after_colon = || rest.strip_prefix(':').ok_or(SyntaxError);
        let is = |word: &str| name.eq_ignore_ascii_case(word);
        if is("ip4") {
            parse_ip4(after_colon()?).map(Mechanism::Ip4)
        } else if is("ip6") {
            parse_ip6(after_colon()?).map(Mechanism::Ip6)
        } else if is("include") {
            Ok(Mechanism::Include(MacroString::parse_domain(after_colon()?)?))
        } else if is("a") {
            parse_domain_and_cidr(rest).map(|(domain, cidr)| Mechanism::A(domain, cidr))
        } else if is("mx") {
            parse_domain_and_cidr(rest).map(|(domain, cidr)| Mechanism::Mx(domain, cidr))
        } else if is("all") && rest.is_empty() {
            Ok(Mechanism::All)
        } else if is("exists") {
            Ok(Mechanism::Exists(MacroString::parse_domain(after_colon()?)?))
        } else if is("ptr") && rest.is_empty() {
            Ok(Mechanism::Ptr(None))
        } else if is("ptr") {
            Ok(Mechanism::Ptr(Some(MacroString::parse_domain(after_colon()?)?)))
        } else {
            Err(SyntaxError)
        }
    }
}

/// `[ ":" domain-spec ] [ dual-cidr-length ]`. A slash may be part of the domain-spec, so the lengths are taken off its end.
fn parse_domain_and_cidr(rest: &str) -> Result<(Option<MacroString>, DualCidr), SyntaxError> {
    let mut cidr = DualCidr { v4: 32, v6: 128 };
    let mut domain = rest;
    if let Some((before, length)) = domain.rsplit_once("//").filter(|(_, length)| is_digits(length)) {
        cidr.v6 = prefix_length(length, 128)?;
        domain = before;
    }
    if let Some((before, length)) = domain.rsplit_once('/').filter(|(_, length)| is_digits(length)) {
        cidr.v4 = prefix_length(length, 32)?;
        domain = before;
    }
    match domain.strip_prefix(':') {
        Some(domain) => Ok((Some(MacroString::parse_domain(domain)?), cidr)),
        None if domain.is_empty() => Ok((None, cidr)),
        None => Err(SyntaxError),
    }
}

fn parse_ip4(text: &str) -> Result<Ipv4Net, SyntaxError> {
    let (ip, length) = match text.split_once('/') {
        Some((ip, length)) => (ip, prefix_length(length, 32)?),
        None => (text, 32),
    };
    let ip: Ipv4Addr = ip.parse().map_err(|_| SyntaxError)?;
    Ipv4Net::new(ip, length).map_err(|_| SyntaxError)
}

fn parse_ip6(text: &str) -> Result<Ipv6Net, SyntaxError> {
    let (ip, length) = match text.split_once('/') {
        Some((ip, length)) => (ip, prefix_length(length, 128)?),
        None => (text, 128),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| SyntaxError)?;
    Ipv6Net::new(ip, length).map_err(|_| SyntaxError)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// A prefix length: digits without a leading zero (RFC 7208 §5.6, erratum-free ABNF of §12).
fn prefix_length(text: &str, most: u8) -> Result<u8, SyntaxError> {
    if !is_digits(text) || (text.len() > 1 && text.starts_with('0')) {
        return Err(SyntaxError);
    }
    text.parse().ok().filter(|length| *length <= most).ok_or(SyntaxError)
}
