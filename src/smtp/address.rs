//! Addresses of the envelope: domains, mailboxes, reverse- and forward-paths (RFC 5321 §4.1.2, RFC 6531 §3.3).

mod parse;

use std::fmt;
use std::net::IpAddr;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

/// The longest local-part as spelt on the wire, quotes and backslashes included, in octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_MAX: usize = 64;
/// The longest domain as spelt on the wire, in octets (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_MAX: usize = 255;
/// The longest name and label in text, in octets (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// The longest path, angle brackets and source route included, in octets (RFC 5321 §4.5.3.1.3).
pub const PATH_MAX: usize = 256;

/// A domain name as A-labels (RFC 5890) in lower case, without trailing dot, at most 253 octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

/// What stands behind the `@`, or in EHLO.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name.
    Name(Domain),
    /// An address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
    Literal(IpAddr),
}

/// A mailbox, `local-part@host`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The local-part without quoting, in NFC; at most 64 octets, never a control character.
    pub local: String,
    /// Where it is.
    pub host: Host,
}

/// MAIL FROM's argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`
    Null,
    /// `<local@domain>`
    Mailbox(Mailbox),
}

/// RCPT TO's argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case (RFC 5321 §4.5.1).
    Postmaster,
    /// `<local@domain>`
    Mailbox(Mailbox),
}

/// What is wrong with an address; its text is fit for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AddressError {
    /// There is nothing where an address should be, or `<>` where it must name somebody.
    #[error("an address is missing")]
    Missing,
    /// An angle bracket is missing or stands too much.
    #[error("the angle brackets do not match")]
    Brackets,
    /// Longer than a path may be.
    #[error("the path is longer than 256 octets")]
    PathTooLong,
    /// The source route before the mailbox is no `@domain,@domain:`.
    #[error("the source route is malformed")]
    Route,
    /// The local-part is neither a dot-string nor a quoted string.
    #[error("the local-part is malformed")]
    LocalPart,
    /// The local-part is too long.
    #[error("the local-part is longer than 64 octets")]
    LocalPartTooLong,
    /// There is no `@domain`.
    #[error("the domain is missing")]
    DomainMissing,
    /// The domain is not made of letters, digits and hyphens, or is no valid internationalized name (RFC 5891).
    #[error("the domain is malformed")]
    Domain,
    /// The domain is too long.
    #[error("the domain is longer than 255 octets")]
    DomainTooLong,
    /// The address literal is no IPv4 or IPv6 address.
    #[error("the address literal is malformed")]
    Literal,
    /// Non-ASCII octets without the SMTPUTF8 parameter (RFC 6531 §3.5).
    #[error("a non-ASCII address needs SMTPUTF8")]
    NonAscii,
    /// Octets that are no UTF-8, although SMTPUTF8 was given.
    #[error("the address is not UTF-8")]
    NotUtf8,
}

impl Domain {
    /// Reads a domain of A-labels or U-labels, in any case, without trailing dot.
    ///
    /// A label with characters that only mapping would make valid (fullwidth letters, `Ⅳ`, the ideographic full stop)
    /// is refused: mail must not arrive at another domain than the one that was written (RFC 5891 §5.3).
    ///
    /// # Errors
    /// [`AddressError::Domain`] or [`AddressError::DomainTooLong`].
    pub fn parse(text: &str) -> Result<Domain, AddressError> {
        if text.len() > DOMAIN_MAX {
            return Err(AddressError::DomainTooLong);
        }
        let uts46 = Uts46::new();
        let ascii = uts46
            .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| AddressError::Domain)?;
        if !text.is_ascii() && !says_the_same(&uts46, text, &ascii) {
            return Err(AddressError::Domain);
        }
        Ok(Domain(ascii.into_owned()))
    }

    /// Reads a domain of a header field, which may have underscores: RFC 5322 §3.2.3 knows only atoms, and hosts of such names do
    /// write mail. In an envelope they are no names of hosts (RFC 5321 §2.3.5).
    ///
    /// # Errors
    /// As [`Domain::parse`].
    pub fn parse_with_underscores(text: &str) -> Result<Domain, AddressError> {
        if !text.contains('_') || !text.is_ascii() || text.len() > NAME_MAX {
            return Domain::parse(text);
        }
        // The other labels are judged as ever.
        let others: Vec<&str> = text.split('.').map(|label| if is_underscored(label) { "x" } else { label }).collect();
        Domain::parse(&others.join("."))?;
        Ok(Domain(text.to_ascii_lowercase()))
    }

    /// The name as A-labels in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Letters, digits, inner hyphens and at least one underscore; no A-label.
fn is_underscored(label: &str) -> bool {
    let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let is_a_label = label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    label.len() <= LABEL_MAX
        && label.contains('_')
        && label.bytes().all(is_octet)
        && !(label.starts_with('-') || label.ends_with('-') || is_a_label)
}

/// Whether every U-label of `text` comes back from its A-label in `ascii`, case and normalization form apart. What was
/// not ASCII must not become so: the Kelvin sign is a K to Unicode, and no name has it.
fn says_the_same(uts46: &Uts46, text: &str, ascii: &str) -> bool {
    let mut written = text.split('.');
    let mut encoded = ascii.split('.');
    loop {
        match (written.next(), encoded.next()) {
            (None, None) => return true,
            (Some(label), Some(_)) if label.is_ascii() => {}
            (Some(label), Some(a_label)) => {
                let (u_label, _) = uts46.to_unicode(a_label.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
                let folded = label.nfc().flat_map(char::to_lowercase).nfc();
                if u_label.is_ascii() || !folded.eq(u_label.chars()) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Domain {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Host {
    /// The domain name, where it is one.
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Host::Name(domain) => Some(domain),
            Host::Literal(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(domain) => domain.fmt(f),
            Host::Literal(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Host::Literal(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
        }
    }
}

impl Mailbox {
    /// Whether it can be written without SMTPUTF8. The host always can.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    /// Writes the local-part quoted only where it needs it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parse::is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.host);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.host)
    }
}

impl ReversePath {
    /// The mailbox, unless it is the null reverse-path.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The domain as text: empty for the null reverse-path, in brackets for an address literal.
    pub fn domain_text(&self) -> String {
        self.mailbox().map(|mailbox| mailbox.host.to_string()).unwrap_or_default()
    }
}

impl fmt::Display for ReversePath {
    /// Without angle brackets; the null reverse-path is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

impl ForwardPath {
    /// The mailbox, unless it is `<postmaster>`.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ForwardPath::Postmaster => None,
            ForwardPath::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl fmt::Display for ForwardPath {
    /// Without angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardPath::Postmaster => f.write_str("postmaster"),
            ForwardPath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}
