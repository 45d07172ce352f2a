//! The ref of a transaction: it stands in Received, in the 250 and at the end of every refusal.

/// Crockford's base32 digits: no I, L, O, U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Digits of a ref, 5 bits each.
const LENGTH: u32 = 16;

/// The ref of a transaction: 16 digits of Crockford's base32 that hold 48 bits of milliseconds since 1970 and 32 random bits. Refs of
/// different milliseconds sort by time. Time and randomness are handed in; the time's upper 16 bits (beyond the year 10889) are cut.
pub fn reference(now_ms: u64, random: u32) -> String {
    let bits = (u128::from(now_ms & 0xFFFF_FFFF_FFFF) << 32) | u128::from(random);
    (0..LENGTH).rev().map(|digit| char::from(symbol(bits >> (5 * digit)))).collect()
}

/// The time that a ref holds, in milliseconds since 1970; `None` for a text that is no ref. As people retype it, small letters, O for 0
/// and I or L for 1 are taken too.
pub fn time_ms(reference: &str) -> Option<u64> {
    let bits = bits(reference)?;
    u64::try_from(bits >> 32).ok()
}

/// The ref in the spelling that [`reference()`] gives; `None` for a text that is no ref.
pub fn normalized(text: &str) -> Option<String> {
    let bits = bits(text)?;
    let random = u32::try_from(bits & 0xFFFF_FFFF).ok()?;
    Some(reference(u64::try_from(bits >> 32).ok()?, random))
}

fn bits(text: &str) -> Option<u128> {
    if text.len() != LENGTH as usize {
        return None;
    }
    text.bytes().try_fold(0u128, |bits, digit| Some((bits << 5) | u128::from(value(digit)?)))
}

fn symbol(bits: u128) -> u8 {
    DIGITS.get((bits & 31) as usize).copied().unwrap_or(b'0')
}

fn value(digit: u8) -> Option<u8> {
    let digit = match digit.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    DIGITS.iter().position(|known| *known == digit).and_then(|at| u8::try_from(at).ok())
}
