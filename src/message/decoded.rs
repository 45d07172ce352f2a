//! The text of a header field as a person reads it.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::header::FieldRef;

/// Octets of a field that are read: encoded-words take about four for a character.
const MAX_OCTETS: usize = 16 * 1024;
/// Characters of its text that are kept.
pub const MAX_CHARACTERS: usize = 1_000;

/// The field's text: unfolded (RFC 5322 §2.2.3), encoded-words decoded (RFC 2047), control characters as spaces, cut to
/// [`MAX_CHARACTERS`].
pub fn decoded(field: FieldRef<'_>) -> String {
    let value = field.value.get(..MAX_OCTETS).unwrap_or(field.value);
    let ended = [value, b"\r\n"].concat();
    let HeaderValue::Text(text) = MessageStream::new(&ended).parse_unstructured() else { return String::new() };
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARACTERS).collect()
}
