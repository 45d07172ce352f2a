//! Encoded-words wherever they stand (RFC 2047): in names they have no place, and every mail program decodes them there.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use super::budget::Budget;

/// How often a text is looked at for encoded-words, and the octets of one to decode it.
const LOOKS: u64 = 2;
const LOOKS_AT_WORD: u64 = 4;

/// The text with its encoded-words decoded, and whether all of them could be. White space between two is none of the text's (§6.2).
/// What the budget has no room for stays as it is.
pub(super) fn decoded<'a>(text: &'a str, budget: &Budget<'_>) -> (Cow<'a, str>, bool) {
    if !budget.take(text.len(), LOOKS) {
        return (Cow::Borrowed(text), false);
    }
    let Some(first) = text.find("=?") else { return (Cow::Borrowed(text), true) };
    let (before, mut rest) = text.split_at_checked(first).unwrap_or((text, ""));
    let (mut out, mut whole) = (before.to_owned(), true);
    let mut after_word = false;
    while !rest.is_empty() {
        if let Some((word, tail, is_good)) = word(rest, budget) {
            if after_word && out.trim_end().len() < out.len() {
                out.truncate(out.trim_end().len());
            }
            out.push_str(&word);
            whole &= is_good && !word.contains("=?");
            rest = tail;
            after_word = true;
            // a space that follows counts unless a word follows it
            let next = rest.trim_start();
            if next.starts_with("=?") {
                rest = next;
            }
            continue;
        }
        after_word = false;
        let end = rest.get(1..).and_then(|later| later.find("=?")).map_or(rest.len(), |at| at + 1);
        let (plain, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(plain);
        rest = tail;
    }
    (Cow::Owned(out), whole)
}

/// The encoded-word at the beginning of a text, decoded, what follows it, and whether it is written as it should be.
fn word<'a>(text: &'a str, budget: &Budget<'_>) -> Option<(String, &'a str, bool)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    if charset.is_empty()
        || charset.len() > 60
        || charset.contains(char::is_whitespace)
        || !matches!(encoding, "B" | "b" | "Q" | "q")
    {
        return None;
    }
    // one that has no end, and is none after all, is looked for to the end of the text
    if !budget.take(rest.find("?=").unwrap_or(rest.len()), LOOKS_AT_WORD) {
        return None;
    }
    // one that does not end is taken to the end, as lenient programs do
    let (encoded, tail, ends) = rest.split_once("?=").map_or((rest, "", false), |(word, tail)| (word, tail, true));
    let (octets, is_good) = match encoding {
        // no digit of it: a parameter ends within
        "B" | "b" if encoded.contains('"') => return None,
        "B" | "b" => base64(encoded.as_bytes()),
        _ => quoted(encoded.as_bytes()),
    };
    // RFC 2231 §5: a language may follow the charset
    let charset = charset.split('*').next().unwrap_or(charset);
    let (text, is_known) = in_charset(charset, &octets);
    Some((text, tail, ends && is_good && is_known))
}

/// Octets as text, and whether the charset is known.
pub(super) fn in_charset(charset: &str, octets: &[u8]) -> (String, bool) {
    let is_utf8 = ["", "utf-8", "utf8", "us-ascii", "ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name));
    if is_utf8 {
        return (String::from_utf8_lossy(octets).into_owned(), true);
    }
    match charset_decoder(charset.as_bytes()) {
        Some(decode) => (decode(octets), true),
        None => (String::from_utf8_lossy(octets).into_owned(), false),
    }
}

/// What base64 holds, what is no digit of it passed over, and whether there was nothing of that kind (RFC 2045 §6.8).
pub(super) fn base64(encoded: &[u8]) -> (Vec<u8>, bool) {
    let (mut octets, mut is_good) = (Vec::with_capacity(encoded.len() / 4 * 3 + 3), true);
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut padded = false;
    for octet in encoded {
        let digit = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, held, padded) = (0, 0, true);
                continue;
            }
            _ => {
                is_good &= octet.is_ascii_whitespace();
                continue;
            }
        };
        // some programs stop at the padding, and some go on
        is_good &= !padded;
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push((bits >> held & 0xff) as u8);
        }
    }
    (octets, is_good)
}

fn quoted(encoded: &[u8]) -> (Vec<u8>, bool) {
    let spaced: Vec<u8> = encoded.iter().map(|octet| if *octet == b'_' { b' ' } else { *octet }).collect();
    escaped(&spaced, b'=')
}

/// `%XX` or `=XX` undone, and whether each such mark is followed by two digits.
pub(super) fn escaped(text: &[u8], mark: u8) -> (Vec<u8>, bool) {
    let (mut octets, mut is_good) = (Vec::with_capacity(text.len()), true);
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == mark {
            if let [a, b, later @ ..] = tail
                && let (Some(a), Some(b)) = (char::from(*a).to_digit(16), char::from(*b).to_digit(16))
            {
                octets.push((a << 4 | b) as u8);
                rest = later;
                continue;
            }
            is_good = false;
        }
        octets.push(*first);
    }
    (octets, is_good)
}
