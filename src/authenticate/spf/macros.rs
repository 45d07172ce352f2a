//! SPF macros (RFC 7208 §7): the grammar of `macro-string` and `domain-spec`, and their expansion.

use std::net::IpAddr;

use super::super::resolver::DnsName;

/// Macros and literals of one term. A name has at most 127 labels, so more serve only to keep the receiver busy.
const PIECES: usize = 128;
/// Octets an expansion may have before it is cut to a name; more is nonsense and names nothing.
const EXPANSION_OCTETS: usize = 8192;
/// Octets of a name; a longer expansion loses labels on its left (RFC 7208 §7.3).
const NAME_OCTETS: usize = 253;

/// A term that is not in the grammar: permerror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError;

/// A parsed `macro-string`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MacroString(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// `%%`, `%_`, `%-`: what they stand for.
    Escape(&'static str),
    Expand(Expand),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Expand {
    letter: Letter,
    /// An upper-case letter: the value is URL-escaped.
    escaped: bool,
    /// How many parts of the right are kept.
    keep: Option<usize>,
    reversed: bool,
    delimiters: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letter {
    Sender,
    LocalPart,
    SenderDomain,
    Domain,
    Ip,
    ValidatedName,
    ReverseZone,
    Helo,
}

/// What macros stand for.
pub(super) struct Values<'a> {
    /// The sender's local-part.
    pub local: &'a str,
    /// The sender's domain.
    pub sender_domain: &'a str,
    /// The domain whose record is being evaluated.
    pub domain: &'a str,
    pub ip: IpAddr,
    /// The client's validated name; needed where [`MacroString::needs_validated_name`].
    pub validated_name: &'a str,
    pub helo: &'a str,
}

/// The name that a `domain-spec` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// This one, with its text for `%{d}`.
    Name(DnsName, String),
    /// A text that is no name.
    Malformed,
    /// It has the local-part in it, which is not ASCII: the term never matches (RFC 8616 §4).
    NeverMatches,
}

impl MacroString {
    /// `macro-string` (RFC 7208 §7.1).
    pub fn parse(text: &str) -> Result<MacroString, SyntaxError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if pieces.len() >= PIECES {
                return Err(SyntaxError);
            }
            let literal = rest.find('%').unwrap_or(rest.len());
            let (before, from) = rest.split_at_checked(literal).ok_or(SyntaxError)?;
            if !before.is_empty() {
                // macro-literal = %x21-24 / %x26-7E
                if !before.bytes().all(|octet| octet.is_ascii_graphic()) {
                    return Err(SyntaxError);
                }
                pieces.push(Piece::Literal(before.to_owned()));
            }
            rest = from;
            if let Some(after) = rest.strip_prefix('%') {
                let (piece, after) = parse_expand(after)?;
                pieces.push(piece);
                rest = after;
            }
        }
        Ok(MacroString(pieces))
    }

    /// `domain-spec`: a macro-string that ends in a macro or in `.` and a toplabel (RFC 7208 §7.1). The syntax is judged
    /// before expansion, never after it.
    pub fn parse_domain(text: &str) -> Result<MacroString, SyntaxError> {
        let parsed = MacroString::parse(text)?;
        let ends_well = match parsed.0.last() {
            None => false,
            Some(Piece::Escape(_) | Piece::Expand(_)) => true,
            Some(Piece::Literal(literal)) => {
                let literal = literal.strip_suffix('.').unwrap_or(literal);
                literal.rsplit_once('.').is_some_and(|(_, label)| is_toplabel(label))
            }
        };
        if ends_well { Ok(parsed) } else { Err(SyntaxError) }
    }

    /// Whether it has `%{p}`.
    pub fn needs_validated_name(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Expand(expand) if expand.letter == Letter::ValidatedName))
    }

    /// Expands it to a name (RFC 7208 §7.3).
    pub fn target(&self, values: &Values<'_>) -> Target {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Escape(escape) => text.push_str(escape),
                Piece::Expand(expand) => {
                    let has_local = matches!(expand.letter, Letter::Sender | Letter::LocalPart);
                    if has_local && !values.local.is_ascii() {
                        return Target::NeverMatches;
                    }
                    text.push_str(&expand.value(values));
                }
            }
            if text.len() > EXPANSION_OCTETS {
                return Target::Malformed;
            }
        }
        let mut name = text.strip_suffix('.').unwrap_or(&text);
        while name.len() > NAME_OCTETS {
            match name.split_once('.') {
                Some((_, shorter)) => name = shorter,
                None => return Target::Malformed,
            }
        }
        match DnsName::parse(name) {
            Some(parsed) => Target::Name(parsed, name.to_owned()),
            None => Target::Malformed,
        }
    }
}

/// What stands behind a `%`, and the rest.
fn parse_expand(text: &str) -> Result<(Piece, &str), SyntaxError> {
    for (escape, meaning) in [("%", "%"), ("_", " "), ("-", "%20")] {
        if let Some(rest) = text.strip_prefix(escape) {
            return Ok((Piece::Escape(meaning), rest));
        }
    }
    let (inside, rest) = text.strip_prefix('{').and_then(|text| text.split_once('}')).ok_or(SyntaxError)?;
    let mut octets = inside.chars();
    let name = octets.next().ok_or(SyntaxError)?;
    let letter = match name.to_ascii_lowercase() {
        's' => Letter::Sender,
        'l' => Letter::LocalPart,
        'o' => Letter::SenderDomain,
        'd' => Letter::Domain,
        'i' => Letter::Ip,
        'p' => Letter::ValidatedName,
        'v' => Letter::ReverseZone,
        'h' => Letter::Helo,
        // c, r and t stand only in explanations (RFC 7208 §7.2), which are never fetched.
        _ => return Err(SyntaxError),
    };
    let transformers = octets.as_str();
    let after_digits = transformers.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = transformers.strip_suffix(after_digits).unwrap_or_default();
    let keep = match digits {
        "" => None,
        digits if digits.bytes().all(|digit| digit == b'0') => return Err(SyntaxError),
        // A number beyond usize keeps everything, as any large one does.
        digits => Some(digits.parse().unwrap_or(usize::MAX)),
    };
    let delimiters = after_digits.strip_prefix(['r', 'R']);
    let reversed = delimiters.is_some();
    let delimiters = delimiters.unwrap_or(after_digits);
    if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
        return Err(SyntaxError);
    }
    let delimiters = if delimiters.is_empty() { "." } else { delimiters }.to_owned();
    Ok((Piece::Expand(Expand { letter, escaped: name.is_ascii_uppercase(), keep, reversed, delimiters }), rest))
}

/// `toplabel` (RFC 7208 §7.1): letters, digits and inner hyphens, not digits alone.
fn is_toplabel(label: &str) -> bool {
    label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().any(|octet| !octet.is_ascii_digit())
}

impl Expand {
    fn value(&self, values: &Values<'_>) -> String {
        let value = match self.letter {
            Letter::Sender => format!("{}@{}", values.local, values.sender_domain),
            Letter::LocalPart => values.local.to_owned(),
            Letter::SenderDomain => values.sender_domain.to_owned(),
            Letter::Domain => values.domain.to_owned(),
            Letter::Ip => dotted(values.ip),
            Letter::ValidatedName => values.validated_name.to_owned(),
            Letter::ReverseZone => if values.ip.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            Letter::Helo => values.helo.to_owned(),
        };
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.reversed {
            parts.reverse();
        }
        let dropped = parts.len().saturating_sub(self.keep.unwrap_or(usize::MAX));
        let joined = parts.get(dropped..).unwrap_or_default().join(".");
        if self.escaped { url_escaped(&joined) } else { joined }
    }
}

/// The address as macros spell it: dotted quad, or the 32 nibbles of an IPv6 address (RFC 7208 §7.3).
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let nibbles: Vec<String> = ip
                .octets()
                .iter()
                .flat_map(|octet| [octet >> 4, octet & 15])
                .map(|nibble| format!("{nibble:X}"))
                .collect();
            nibbles.join(".")
        }
    }
}

/// Everything but `unreserved` of RFC 3986 §2.3 becomes `%XX`.
fn url_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            escaped.push(char::from(octet));
        } else {
            escaped.push_str(&format!("%{octet:02X}"));
        }
    }
    escaped
}
