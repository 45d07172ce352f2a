//! The grammar of paths and mailboxes: RFC 5321 §4.1.2 and §4.1.3 as RFC 6531 §3.3 extends them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unicode_normalization::UnicodeNormalization;

use super::{AddressError, Domain, ForwardPath, Host, LOCAL_PART_MAX, Mailbox, PATH_MAX, ReversePath};

impl ReversePath {
    /// Reads MAIL's path: `<>`, `<local@domain>`, with a source route that is dropped (RFC 5321 §3.3, appendix C).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: impl AsRef<[u8]>, smtputf8: bool) -> Result<ReversePath, AddressError> {
        match inside_brackets(text.as_ref(), smtputf8)? {
            Path::Bracketed("") => Ok(ReversePath::Null),
            path => path.mailbox(smtputf8).map(ReversePath::Mailbox),
        }
    }
}

impl ForwardPath {
    /// Reads RCPT's path: `<postmaster>`, `<local@domain>`, with a source route that is dropped.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: impl AsRef<[u8]>, smtputf8: bool) -> Result<ForwardPath, AddressError> {
        match inside_brackets(text.as_ref(), smtputf8)? {
            Path::Bracketed(name) if name.eq_ignore_ascii_case("postmaster") => Ok(ForwardPath::Postmaster),
            path => path.mailbox(smtputf8).map(ForwardPath::Mailbox),
        }
    }
}

impl Mailbox {
    /// Reads `local-part@host`, without angle brackets.
    ///
    /// # Errors
    /// What is wrong with it; [`AddressError::NonAscii`] for any non-ASCII character where `smtputf8` is false.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Mailbox, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Missing);
        }
        if text.len() > PATH_MAX - 2 {
            return Err(AddressError::PathTooLong);
        }
        if !smtputf8 && !text.is_ascii() {
            return Err(AddressError::NonAscii);
        }
        let (local, rest) = local_part(text)?;
        let host = rest.strip_prefix('@').ok_or(AddressError::LocalPart)?;
        Ok(Mailbox { local, host: Host::parse(host)? })
    }
}

impl Host {
    /// Reads a domain name, or an address literal in square brackets (RFC 5321 §4.1.3).
    ///
    /// # Errors
    /// [`AddressError::DomainMissing`], [`AddressError::Domain`], [`AddressError::DomainTooLong`] or
    /// [`AddressError::Literal`].
    pub fn parse(text: &str) -> Result<Host, AddressError> {
        if text.is_empty() {
            return Err(AddressError::DomainMissing);
        }
        match text.strip_prefix('[') {
            None => Domain::parse(text).map(Host::Name),
            Some(rest) => {
                let literal = rest.strip_suffix(']').ok_or(AddressError::Literal)?;
                address(literal).map(Host::Literal).ok_or(AddressError::Literal)
            }
        }
    }
}

fn address(literal: &str) -> Option<IpAddr> {
    match literal.split_at_checked(5) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6:") => ipv6(v6).map(IpAddr::V6),
        _ => ipv4(literal).map(IpAddr::V4),
    }
}

/// Four decimal numbers of one to three digits (`Snum`); `010` is ten.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let numbers = text.split('.').map(|number| {
        let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|octet| octet.is_ascii_digit());
        is_number.then(|| number.parse().ok()).flatten()
    });
    let octets: Vec<u8> = numbers.collect::<Option<_>>()?;
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

/// `IPv6-addr`: unlike elsewhere `::` stands for two groups of zeros at least, so six others are the most beside it.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let text = match text.rsplit_once(':').filter(|(_, last)| last.contains('.')) {
        Some((groups, last)) => {
            let [a, b, c, d] = ipv4(last)?.octets();
            format!("{groups}:{a:x}{b:02x}:{c:x}{d:02x}")
        }
        None => text.to_owned(),
    };
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    if text.contains("::") && groups > 6 { None } else { text.parse().ok() }
}

/// A path as it was written.
enum Path<'a> {
    /// What stands between `<` and `>`.
    Bracketed(&'a str),
    /// A mailbox without them.
    Bare(&'a str),
}

impl Path<'_> {
    fn mailbox(self, smtputf8: bool) -> Result<Mailbox, AddressError> {
        match self {
            Path::Bracketed(text) => Mailbox::parse(without_route(text)?, smtputf8),
            Path::Bare(text) => Mailbox::parse(text, smtputf8),
        }
    }
}

// DEVIATES RFC 5321 §4.1.2: a mailbox without angle brackets is taken, as all widespread servers do, because people
// who try a server by hand leave them out. It can't be misread: it must be a whole mailbox and nothing else.
fn inside_brackets(text: &[u8], smtputf8: bool) -> Result<Path<'_>, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Missing);
    }
    if text.len() > PATH_MAX {
        return Err(AddressError::PathTooLong);
    }
    if !smtputf8 && !text.is_ascii() {
        return Err(AddressError::NonAscii);
    }
    let text = std::str::from_utf8(text).map_err(|_| AddressError::NotUtf8)?;
    match (text.strip_prefix('<'), text.strip_suffix('>')) {
        (Some(rest), Some(_)) => rest.strip_suffix('>').map(Path::Bracketed).ok_or(AddressError::Brackets),
        (None, None) => Ok(Path::Bare(text)),
        _ => Err(AddressError::Brackets),
    }
}

/// Drops `@domain,@domain:`, which a receiver must take and should ignore (RFC 5321 §4.1.1.3, appendix C).
fn without_route(text: &str) -> Result<&str, AddressError> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let (route, mailbox) = text.split_once(':').ok_or(AddressError::Route)?;
    for hop in route.split(',') {
        let domain = hop.strip_prefix('@').ok_or(AddressError::Route)?;
        Domain::parse(domain).map_err(|_| AddressError::Route)?;
    }
    Ok(mailbox)
}

/// The local-part without its quoting and in NFC, and what follows it.
fn local_part(text: &str) -> Result<(String, &str), AddressError> {
    let (local, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted_string(quoted)?,
        None => dot_string(text)?,
    };
    if text.len() - rest.len() > LOCAL_PART_MAX {
        return Err(AddressError::LocalPartTooLong);
    }
    let local: String = local.nfc().collect();
    // A few characters grow when normalized.
    if local.len() > LOCAL_PART_MAX {
        return Err(AddressError::LocalPartTooLong);
    }
    Ok((local, rest))
}

fn dot_string(text: &str) -> Result<(String, &str), AddressError> {
    let end = text.find('@').ok_or(AddressError::DomainMissing)?;
    let (local, rest) = text.split_at(end);
    if is_dot_string(local) { Ok((local.to_owned(), rest)) } else { Err(AddressError::LocalPart) }
}

/// Whether a local-part can stand without quotes: atoms with single dots between them (RFC 5321 §4.1.2 `Dot-string`).
pub(super) fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// RFC 5322 §3.2.3 `atext`, and UTF8-non-ascii (RFC 6531 §3.3).
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_text_beyond_ascii(c)
}

/// The C1 controls and the line and paragraph separators could break a line wherever the address is written later.
fn is_text_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// RFC 5321 §4.1.2 `Quoted-string`, of which the opening quote was read.
fn quoted_string(text: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok((local, rest.as_str())),
            '\\' => match rest.next() {
                Some(quoted @ ' '..='~') => local.push(quoted),
                _ => return Err(AddressError::LocalPart),
            },
            ' '..='~' => local.push(c),
            _ if is_text_beyond_ascii(c) => local.push(c),
            _ => return Err(AddressError::LocalPart),
        }
    }
    Err(AddressError::LocalPart)
}
