//! Unstructured text of header fields (RFC 5322 §2.2.1): written folded, as encoded words (RFC 2047) where it is not ASCII.

use std::fmt::Write;

/// Where lines are folded if they can be (RFC 5322 §2.1.1).
const LINE: usize = 78;
/// Octets of text in one encoded word: three a octet at most, and 75 in all (RFC 2047 §2).
const WORD_OCTETS: usize = 63;

/// A whole field with its line end. Control characters of `text` become spaces; the name is not looked at.
pub fn field(name: &str, text: &str) -> Vec<u8> {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = if needs_encoding(&text) { encoded(&text) } else { folded(text.trim_end(), name.len() + 2) };
    format!("{name}: {text}\r\n").into_bytes()
}

/// Whether a text can't stand as it is: it is not ASCII, or what it says would be taken for an encoded word.
pub fn needs_encoding(text: &str) -> bool {
    !text.is_ascii() || text.contains("=?")
}

/// A text as encoded words in UTF-8, a line each.
pub fn encoded(text: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let mut octets = [0; 4];
        let mut written = String::new();
        for octet in c.encode_utf8(&mut octets).bytes() {
            match octet {
                b' ' => written.push('_'),
                octet if octet.is_ascii_alphanumeric() => written.push(char::from(octet)),
                octet => drop(write!(written, "={octet:02X}")),
            }
        }
        if word.len() + written.len() > WORD_OCTETS {
            words.push(std::mem::take(&mut word));
        }
        word.push_str(&written);
    }
    words.push(word);
    words.iter().map(|word| format!("=?UTF-8?Q?{word}?=")).collect::<Vec<_>>().join("\r\n ")
}

/// ASCII text with line ends in front of spaces, where lines would get long; `used` octets stand before it.
fn folded(text: &str, used: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut length = used;
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            // a line of nothing but white space would be no line of the field (RFC 5322 §3.2.2)
            if !word.is_empty() && length + 1 + word.len() > LINE && out.ends_with(|c| c != ' ') {
                out.push_str("\r\n");
                length = 0;
            }
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += word.len();
    }
    out
}
