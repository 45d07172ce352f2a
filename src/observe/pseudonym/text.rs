//! Free text: everything in it that has the form of an address, of a mailbox or of a host.

use std::net::{IpAddr, SocketAddrV4};

use super::{Key, is_pseudonym, literal, network};

impl Key {
    /// The text with every mail address under a pseudonym and every host's address cut to its network.
    pub fn scrubbed(&self, text: &str, client: IpAddr) -> String {
        let without_addresses = self.without_addresses(text, client);
        without_hosts(&without_addresses)
    }

    fn without_addresses(&self, text: &str, client: IpAddr) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            let (before, behind) = (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default());
            let (left, local) = before.split_at(local_start(before));
            let domain = domain_of(behind);
            out.push_str(left);
            if local.is_empty() || is_pseudonym(local) {
                out.push_str(local);
                out.push('@');
                rest = behind;
                continue;
            }
            out.push_str(&self.local(local, domain));
            out.push('@');
            out.push_str(&self.host(domain, client));
            rest = behind.get(domain.len()..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }
}

/// A reply's codes with the space behind them, and its text: three digits (RFC 5321 §4.2), and an enhanced code (RFC 3463 §2) if there is
/// one. Nobody's name is in the codes, whatever a client calls itself.
pub fn codes_and_text(reply: &str) -> (&str, &str) {
    let is_code = |word: &str| word.len() == 3 && word.bytes().all(|octet| octet.is_ascii_digit());
    let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit());
    let is_enhanced = |word: &str| word.split('.').count() == 3 && word.split('.').all(is_number);
    let behind = |from: usize, fits: &dyn Fn(&str) -> bool| {
        let rest = reply.get(from..)?;
        let end = rest.find([' ', '-']).unwrap_or(rest.len());
        fits(rest.get(..end)?).then(|| (from + end + 1).min(reply.len()))
    };
    let Some(code) = behind(0, &is_code) else { return ("", reply) };
    let end = behind(code, &is_enhanced).unwrap_or(code);
    reply.split_at_checked(end).unwrap_or(("", reply))
}

/// Where the local-part begins that ends at the text's end.
fn local_start(text: &str) -> usize {
    if text.ends_with('"') && text.len() > 1 {
        let opening = text.char_indices().rev().skip(1).find(|(at, c)| {
            let escaped = text.get(..*at).is_some_and(|before| before.ends_with('\\'));
            *c == '"' && !escaped
        });
        return opening.map_or(0, |(at, _)| at);
    }
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '"' | '@');
    text.char_indices().rev().find(|(_, c)| ends(*c)).map_or(0, |(at, c)| at + c.len_utf8())
}

/// The domain or address literal that the text begins with.
fn domain_of(text: &str) -> &str {
    if text.starts_with('[') {
        let end = text.find(']').map_or(0, |end| end + 1);
        let inner = text.get(..end).unwrap_or_default();
        if literal(inner).is_some() {
            return inner;
        }
    }
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let end = text.find(|c| !fine(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end_matches(['.', '-'])
}

/// The text with every host's address cut to its network.
pub(super) fn without_hosts(text: &str) -> String {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(belongs) {
        let (before, from) = rest.split_at(start);
        let (token, behind) = from.split_at(from.find(|c| !belongs(c)).unwrap_or(from.len()));
        out.push_str(before);
        out.push_str(&cut(token));
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// A word, where it is an address cut to its network: `192.0.2.1`, `192.0.2.1:25`, `IPv6:2001:db8::1`.
fn cut(token: &str) -> String {
    if !token.contains(['.', ':']) || !token.contains(|c: char| c.is_ascii_digit()) {
        return token.to_owned();
    }
    let head = match token.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => 5,
        _ => 0,
    };
    let (tag, rest) = token.split_at(head);
    let mut word = rest;
    loop {
        if let Ok(ip) = word.parse::<IpAddr>() {
            return format!("{tag}{}{}", network(ip), rest.get(word.len()..).unwrap_or_default());
        }
        if let Ok(socket) = word.parse::<SocketAddrV4>() {
            let ip = network(IpAddr::V4(*socket.ip()));
            return format!("{tag}{ip}:{}{}", socket.port(), rest.get(word.len()..).unwrap_or_default());
        }
        match word.strip_suffix(['.', ':']) {
            Some(shorter) => word = shorter,
            None => return token.to_owned(),
        }
    }
}
