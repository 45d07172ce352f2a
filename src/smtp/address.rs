//! Addresses of the envelope: domains, mailboxes, reverse- and forward-paths (RFC 5321 §4.1.2, RFC 6531 §3.3).

use std::net::IpAddr;

/// A domain name as A-labels (RFC 5890) in lower case, without trailing dot, at most 253 octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(pub(crate) String);

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
