//! The trace fields that we put in front of a message (RFC 5321 §4.4), and our own. Each function gives one whole field that ends in CRLF.
//!
//! What a client chose (HELO, its reverse name, addresses) cannot end a field, open a comment or make a line over 998 octets:
//! it is written where it has the syntax of that place, and escaped within a comment, or left out, where it has not.

use std::fmt::Write;
use std::net::IpAddr;

use crate::smtp::address::{Host, Mailbox, ReversePath};

/// Octets of a client's text that are kept in a comment, before escaping.
const COMMENT_OCTETS: usize = 64;

/// Octets of an address as it stands in a field: a path of 256 (RFC 5321 §4.5.3.1.3) and what quoting and A-labels may add.
const ADDRESS_OCTETS: usize = 512;

/// How the message came, for `with` (RFC 3848, RFC 6531 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum With {
    /// HELO.
    Smtp,
    /// EHLO.
    Esmtp,
    /// EHLO and STARTTLS.
    Esmtps,
    /// EHLO and the SMTPUTF8 parameter.
    Utf8Smtp,
    /// EHLO, STARTTLS and the SMTPUTF8 parameter.
    Utf8Smtps,
}

impl With {
    /// From what the session knows. HELO after STARTTLS has no word of its own and stays SMTP; the comment tells of TLS.
    pub const fn of(extended: bool, tls: bool, smtputf8: bool) -> With {
        match (extended, tls, smtputf8) {
            (true, true, true) => With::Utf8Smtps,
            (true, false, true) => With::Utf8Smtp,
            (true, true, false) => With::Esmtps,
            (true, false, false) => With::Esmtp,
            (false, _, _) => With::Smtp,
        }
    }

    /// Its registered word.
    pub const fn as_str(self) -> &'static str {
        match self {
            With::Smtp => "SMTP",
            With::Esmtp => "ESMTP",
            With::Esmtps => "ESMTPS",
            With::Utf8Smtp => "UTF8SMTP",
            With::Utf8Smtps => "UTF8SMTPS",
        }
    }

    /// Whether the message may have UTF-8 in its header (RFC 6532).
    pub const fn is_utf8(self) -> bool {
        matches!(self, With::Utf8Smtp | With::Utf8Smtps)
    }
}

/// What the Received field says (RFC 5321 §4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received<'a> {
    /// The client's address.
    pub client_ip: IpAddr,
    /// Its confirmed reverse name; empty where there is none.
    pub client_name: &'a str,
    /// The argument of HELO or EHLO, whatever it is.
    pub helo: &'a str,
    /// Our name.
    pub hostname: &'a str,
    /// How the message came.
    pub with: With,
    /// The transaction's ref.
    pub reference: &'a str,
    /// The forward-path, only where the transaction has a single one: else it would tell recipients of each other.
    pub for_: Option<&'a str>,
    /// When the message was received.
    pub time: jiff::Timestamp,
    /// Version and cipher of the TLS session.
    pub tls: Option<(&'a str, &'a str)>,
}

impl Received<'_> {
    /// The field.
    pub fn field(&self) -> String {
        let mut field = String::with_capacity(320);
        field.push_str("Received: from ");
        self.push_from(&mut field);
        field.push_str("\r\n\tby ");
        field.push_str(if is_domain(self.hostname) { self.hostname } else { "localhost" });
        let _ = write!(field, " with {}", self.with.as_str());
        if !self.reference.is_empty() && self.reference.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
            let _ = write!(field, " id {}", self.reference);
        }
        if let Some((version, cipher)) = self.tls {
            let _ = write!(field, "\r\n\t({} {})", escaped(version), escaped(cipher));
        }
        if let Some(address) = self.for_.filter(|address| Mailbox::parse(address, self.with.is_utf8()).is_ok()) {
            let _ = write!(field, "\r\n\tfor <{address}>");
        }
        let _ = write!(field, ";\r\n\t{}\r\n", date(self.time));
        field
    }

    /// `Extended-Domain`: the HELO argument where it is a domain or an address literal, else the client's address with
    /// what it said as a comment.
    fn push_from(&self, field: &mut String) {
        let ip = Host::Literal(self.client_ip.to_canonical()).to_string();
        let named = is_domain(self.helo) || matches!(Host::parse(self.helo), Ok(Host::Literal(_)));
        field.push_str(if named { self.helo } else { &ip });
        if is_domain(self.client_name) {
            let _ = write!(field, " ({} {ip})", self.client_name);
        } else {
            let _ = write!(field, " ({ip})");
        }
        if !named {
            let _ = write!(field, "\r\n\t(HELO {})", escaped(self.helo));
        }
    }
}

/// `Return-Path:` with the reverse-path as accepted (RFC 5321 §4.4).
pub fn return_path(path: &ReversePath) -> String {
    format!("Return-Path: <{}>\r\n", one_line(&path.to_string()))
}

/// `Delivered-To:` with a forward-path as accepted.
pub fn delivered_to(forward_path: &str) -> String {
    format!("Delivered-To: {}\r\n", one_line(forward_path))
}

/// `X-Gatepost-Decision:` of a message that was quarantined: by which rule (empty where none decided), with which score, and the ref.
pub fn decision(rule: &str, score: f64, reference: &str) -> String {
    let score = if score.is_finite() { score } else { 0.0 };
    let rule = if rule.is_empty() { "-".to_owned() } else { escaped(rule) };
    format!("X-Gatepost-Decision: quarantine; rule={rule}; score={score:.2};\r\n\tref={}\r\n", escaped(reference))
}

/// A date as RFC 5322 §3.3 has it, in UTC: `Mon, 23 Nov 2026 05:04:17 +0000`.
pub fn date(time: jiff::Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// RFC 5321 §4.1.2 Domain in ASCII; underscores, which real HELO names have, are let through: they are an atom's characters.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Text within a comment: what is neither a letter, a digit nor of a few signs is written `%XX`, and the whole is cut.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(COMMENT_OCTETS));
    for octet in text.bytes().take(COMMENT_OCTETS) {
        if octet.is_ascii_alphanumeric() || b"-._:@[]+=/*!".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    if text.len() > COMMENT_OCTETS {
        out.push_str("...");
    }
    out
}

/// An address on one line: control characters and line separators dropped, and cut. Addresses that were parsed have none.
fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(ADDRESS_OCTETS));
    for c in text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')) {
        if out.len() + c.len_utf8() > ADDRESS_OCTETS {
            break;
        }
        out.push(c);
    }
    out
}
