//! What stands in a record where a name was taken out: the form is all that a reader needs to know that the value is none.

/// What every pseudonym begins with.
pub const MARK: &str = "~k";
/// Characters of a pseudonym behind its mark: 80 bits.
pub const CHARACTERS: usize = 16;
/// Crockford's base32 in lower case.
pub const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// What stands where an address was taken out.
pub const ERASED: &str = "~erased";

/// Whether a local-part is a pseudonym of ours: one word, or two with `+` between them where the local-part had a detail (RFC 5233).
pub fn is_pseudonym(local: &str) -> bool {
    match local.split_once('+') {
        Some((base, whole)) => is_word(base) && is_word(whole),
        None => is_word(local),
    }
}

fn is_word(text: &str) -> bool {
    let rest = text.strip_prefix(MARK);
    rest.is_some_and(|rest| rest.len() == CHARACTERS && rest.bytes().all(|octet| DIGITS.contains(&octet)))
}

/// Whether something else stands for an address or its local-part.
pub fn is_hidden(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    local == ERASED || is_pseudonym(local)
}
