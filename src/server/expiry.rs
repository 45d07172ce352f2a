//! When a certificate ends: read from its DER (RFC 5280 §4.1.2.5), for a warning in time. Nobody is judged by it.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The field `version`, which version 1 leaves out.
const VERSION: u8 = 0xa0;

/// `notAfter` in seconds since 1970; `None` where it can't be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        (_, fields) = any(fields)?;
    }
    // serial number, signature, issuer
    for _ in 0..3 {
        (_, fields) = any(fields)?;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (_, rest) = any(validity)?;
    match rest.first()? {
        &GENERALIZED_TIME => seconds(element(rest, GENERALIZED_TIME)?.0, None),
        _ => {
            let text = element(rest, UTC_TIME)?.0;
            let year = std::str::from_utf8(text.get(..2)?).ok()?.parse::<i16>().ok()?;
            seconds(text.get(2..)?, Some(if year >= 50 { 1900 + year } else { 2000 + year }))
        }
    }
}

/// The value of an element of this tag, and what follows it.
fn element(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    if octets.first() == Some(&tag) { any(octets) } else { None }
}

/// The value of an element, and what follows it (X.690 §8.1: one tag octet, a definite length).
fn any(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = octets.get(1..)?.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let (octets, rest) =
                rest.split_at_checked(usize::from(length & 0x7f)).filter(|(octets, _)| octets.len() <= 4)?;
            let length =
                octets.iter().try_fold(0_usize, |sum, octet| sum.checked_mul(256)?.checked_add(usize::from(*octet)))?;
            (length, rest)
        }
    };
    rest.split_at_checked(length)
}

/// `MMDDHHMMSSZ`, with the year before it where it isn't known.
fn seconds(text: &[u8], year: Option<i16>) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match year {
        Some(year) => (year, text),
        None => text.split_at_checked(4).and_then(|(year, rest)| Some((year.parse().ok()?, rest)))?,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let moment = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}
