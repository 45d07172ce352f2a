//! Authentication-Results (RFC 8601): the one field that we put on a message, and those of others that claim to be ours.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::heavy;
use crate::facts::{Facts, ReverseMx};
use crate::message::header::{FieldRef, Header};
use crate::smtp::address::Domain;

/// Where a line is folded (RFC 5322 §2.1.1: 78 without CRLF).
const LINE: usize = 78;
/// Characters of one value; longer ones, which nobody honest sends, are cut.
const MAX_VALUE: usize = 255;
/// Octets that a field has as a rule.
const ROOM: usize = 1024;
const RESULTS: &str = "authentication-results";
/// Octets of others' fields that are read in one go.
const QUICK_RESULTS: usize = 8 * 1024;
/// DKIM signatures that are reported in the field.
const MAX_DKIM: usize = 20;

/// The Authentication-Results field for these facts: all methods, folded, with CRLF at its end. Whatever a client sent stands
/// in it only as a token or a quoted-string of printable ASCII, so that it can't end a value, a result or the field.
pub fn authentication_results(authserv_id: &str, facts: &Facts) -> String {
    let mut field = Field::new(authserv_id);
    spf(&mut field, facts);
    for dkim in facts.dkim.iter().take(MAX_DKIM) {
        let signature =
            [("header.d", dkim.domain.as_str()), ("header.s", &dkim.selector), ("header.a", &dkim.algorithm)];
        field.result("dkim", dkim.result.as_str(), &dkim.reason, &signature);
    }
    if facts.dkim.is_empty() {
        field.result("dkim", "none", "", &[]);
    }
    let policy = if facts.dmarc.domain.is_empty() { "" } else { facts.dmarc.policy.as_str() };
    let author = facts.from.domain.as_str();
    field.result("dmarc", facts.dmarc.result.as_str(), "", &[("header.from", author), ("policy.dmarc", policy)]);
    field.result("arc", facts.arc.result.as_str(), "", &[]);
    let ip = address(facts.client.ip);
    field.result("iprev", facts.iprev.result.as_str(), "", &[("policy.iprev", &ip)]);
    let four = &facts.reverse_mx;
    reverse_mx(&mut field, &four.mail_from, "smtp.mailfrom");
    reverse_mx(&mut field, &four.from, "header.from");
    reverse_mx(&mut field, &four.reply_to, "header.reply-to");
    reverse_mx(&mut field, &four.ptr, "policy.iprev");
    field.text.push_str("\r\n");
    field.text
}

/// Both identities of SPF (RFC 8601 §2.7.2).
fn spf(field: &mut Field, facts: &Facts) {
    let spf = &facts.spf;
    let mail_from = if spf.mail_from.domain.is_empty() { &facts.mail_from.domain } else { &spf.mail_from.domain };
    field.result("spf", spf.mail_from.result.as_str(), "", &[("smtp.mailfrom", mail_from)]);
    let helo = if spf.helo.domain.is_empty() { &facts.helo } else { &spf.helo.domain };
    field.result("spf", spf.helo.result.as_str(), "", &[("smtp.helo", helo)]);
}

/// Our own method; an `x-` name, as RFC 8601 §2.7.7 wants for experiments.
fn reverse_mx(field: &mut Field, one: &ReverseMx, property: &str) {
    field.result("x-reverse-mx", one.result.as_str(), one.mx.as_str(), &[(property, &one.domain)]);
}

/// An IPv4-mapped address is shown as IPv4.
fn address(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

/// The field as it grows.
struct Field {
    text: String,
    column: usize,
}

impl Field {
    fn new(authserv_id: &str) -> Field {
        let mut text = String::with_capacity(ROOM);
        text.extend(["Authentication-Results: ", &value(authserv_id)]);
        Field { column: text.len(), text }
    }

    /// One resinfo: `method=result reason="..." property=value`; empty values are left out.
    fn result(&mut self, method: &str, result: &str, reason: &str, properties: &[(&str, &str)]) {
        self.text.push_str(";\r\n\t");
        // A tab is shown as eight columns; that keeps the line short either way.
        self.column = 8;
        self.word([method, "=", result]);
        if !reason.is_empty() {
            self.word(["reason", "=", &quoted(reason)]);
        }
        for (property, text) in properties.iter().filter(|(_, text)| !text.is_empty()) {
            self.word([property, "=", &value(text)]);
        }
    }

    /// What must not be folded, in its parts.
    fn word(&mut self, parts: [&str; 3]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let at_start = self.text.ends_with('\t');
        // One column stays free for the semicolon.
        if !at_start && self.column + 1 + length >= LINE {
            self.text.push_str("\r\n\t");
            self.column = 8;
        } else if !at_start {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.extend(parts);
        self.column += length;
    }
}

/// A token where the text is one (RFC 2045 §5.1), else a quoted-string (RFC 8601 §2.2).
fn value(text: &str) -> Cow<'_, str> {
    let is_special = |octet: u8| {
        matches!(
            octet,
            b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'='
        )
    };
    let is_token_octet = |octet: u8| octet.is_ascii_graphic() && !is_special(octet);
    if !text.is_empty() && text.len() <= MAX_VALUE && text.bytes().all(is_token_octet) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(quoted(text))
    }
}

/// A quoted-string of printable ASCII; everything else becomes a question mark.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().take(MAX_VALUE) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

/// The octets of a header without the fields that only we may write: Return-Path, our own x- fields, and Authentication-Results in
/// our name (RFC 8601 §5). To tell whose a field is can take long where there is much of them, which then is done beside the threads
/// that serve sessions.
pub async fn without_ours(header: &Arc<Header>, authserv_id: &str) -> Vec<u8> {
    let octets: usize = header.named(RESULTS).map(|field| field.value.len()).sum();
    let (header, ours) = (Arc::clone(header), name(authserv_id));
    heavy::run(octets > QUICK_RESULTS, move || header.without(|field| is_ours(field, &ours))).await
}

fn is_ours(field: FieldRef<'_>, ours: &str) -> bool {
    let is_own_name = |name: &[u8]| name.get(..11).is_some_and(|start| start.eq_ignore_ascii_case(b"x-gatepost-"));
    field.is("return-path") || is_own_name(field.name) || (field.is(RESULTS) && claims(field.value, ours))
}

/// Whether the value of an Authentication-Results field claims to be ours (RFC 8601 §5), whatever its case, comments, quotes
/// and version. A field whose authserv-id can't be told apart claims it if it names it anywhere; one that only a lenient reader
/// could take for ours claims it, too.
pub fn claims_our_authserv_id(value: &[u8], authserv_id: &str) -> bool {
    claims(value, &name(authserv_id))
}

fn claims(value: &[u8], ours: &str) -> bool {
    let text = String::from_utf8_lossy(value).to_lowercase();
    match claimed(value) {
        Some(id) => name(&String::from_utf8_lossy(&id)) == ours || is_ours_to_lenient_readers(&text, ours),
        None => text.contains(ours),
    }
}

/// Whether a reader that passes over what has no place there (comments within the name, brackets, quotes, white space, control
/// characters) finds `ours` first. An encoded-word in the name's place (Sieve decodes it before it compares, RFC 5228 §2.7.2)
/// could be any name.
fn is_ours_to_lenient_readers(text: &str, ours: &str) -> bool {
    if text.split(';').map(str::trim).find(|part| !part.is_empty()).is_some_and(|first| first.contains("=?")) {
        return true;
    }
    let mut depth = 0_usize;
    let outside = text.chars().filter(|c| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => return depth == 0,
        };
        false
    });
    let is_legible = |c: char| c.is_alphanumeric() || "-_.;/=".contains(c);
    let mut read = outside.skip_while(|c| !is_legible(*c) || ";/=.".contains(*c));
    let mut rest = ours.chars().filter(|c| c.is_alphanumeric() || "-_./=".contains(*c));
    let named = rest.all(|wanted| read.find(|c| is_legible(*c)) == Some(wanted));
    // Whatever can't go on with a name ends it for some: white space of Unicode, an octet that is no UTF-8, a quote.
    named && read.find(|c| *c != '.').is_none_or(|next| !next.is_ascii_alphanumeric() && !"-_".contains(next))
}

/// A name to compare: lower case, A-labels where it is a domain, no dot at its end.
fn name(text: &str) -> String {
    let text = text.trim().trim_end_matches('.').to_lowercase();
    Domain::parse(&text).map_or(text, |domain| domain.as_str().to_owned())
}

/// The authserv-id: the first token or quoted-string behind comments and white space. `None` for an unclosed comment or quote.
fn claimed(value: &[u8]) -> Option<Vec<u8>> {
    let rest = value.get(after_comments(value)?..)?;
    if rest.first() == Some(&b'"') {
        let mut text = Vec::new();
        let mut octets = rest.iter().skip(1);
        while let Some(octet) = octets.next() {
            match octet {
                b'"' => return Some(text),
                b'\\' => text.push(*octets.next()?),
                octet => text.push(*octet),
            }
        }
        return None;
    }
    let end = rest.iter().position(|octet| octet.is_ascii_whitespace() || b"();,:\"/=<>@[]?".contains(octet));
    rest.get(..end.unwrap_or(rest.len())).map(<[u8]>::to_vec)
}

/// The offset behind comments and white space (CFWS, RFC 5322 §3.2.2).
pub(super) fn after_comments(value: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(octet) = value.get(at) {
        match octet {
            b'\\' if depth > 0 => at += 1,
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            octet if depth > 0 || octet.is_ascii_whitespace() => {}
            _ => return Some(at),
        }
        at += 1;
    }
    (depth == 0).then_some(value.len())
}
