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

fn symbol(bits: u128) -> u8 {
    DIGITS.get((bits & 31) as usize).copied().unwrap_or(b'0')
}
