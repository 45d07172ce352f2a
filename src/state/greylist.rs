//! Greylisting (RFC 6647): who is remembered by what.
//!
//! A sender is remembered by the domain that DKIM or SPF passed for, and where neither did by its network; so a sender with many
//! addresses, who comes again from another of them, has come again. A stranger is that sender together with reverse-path and
//! forward-path.

use std::net::IpAddr;

use crate::facts::word::{GreylistKey, MethodResult, Role};
use crate::facts::{Facts, network};

use super::names::Names;
use super::reverse_path::steady;
use super::store::Key;

/// A sender, as greylisting remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender {
    pub key: GreylistKey,
    pub identity: String,
}

impl Sender {
    /// By the strongest that is known of it.
    pub(super) fn of(facts: &Facts) -> Sender {
        let passed = || facts.dkim.iter().filter(|signature| signature.result == MethodResult::Pass);
        let of_author = passed().find(|signature| is_under(&facts.from.domain, &signature.domain));
        match of_author.or_else(|| passed().next()) {
            Some(signature) => Sender { key: GreylistKey::Dkim, identity: signature.domain.to_ascii_lowercase() },
            None => Sender::before_data(facts),
        }
    }

    /// As it was known before there was a message.
    pub(super) fn before_data(facts: &Facts) -> Sender {
        let spf = &facts.spf.mail_from;
        if spf.result == MethodResult::Pass && !facts.mail_from.address.is_empty() {
            Sender { key: GreylistKey::Spf, identity: spf.domain.to_ascii_lowercase() }
        } else {
            Sender { key: GreylistKey::Network, identity: network(facts.client.ip) }
        }
    }

    /// Where it stands among the known.
    pub(super) fn known(&self, names: &Names) -> Key {
        names.of(&[self.key.as_str(), &self.identity])
    }

    /// Where it stands among the strangers, with that recipient.
    pub(super) fn stranger(&self, names: &Names, reverse_path: &str, forward_path: &str) -> Key {
        names.of(&[self.key.as_str(), &self.identity, &steady(reverse_path), &forward_path.to_ascii_lowercase()])
    }
}

/// Whether nobody asks a sender to come again: it is one of our own, or a bounce to those who must hear of trouble (RFC 5321 §4.5.1).
pub(super) fn is_exempt(facts: &Facts) -> bool {
    facts.client.trusted || (facts.mail_from.address.is_empty() && facts.rcpt.role != Role::Ordinary)
}

/// The wide network that a client is in, which holds no more than its share of the strangers: an IPv4 /16 or an IPv6 /32. Whatever passes
/// for its sender, a host has only the addresses that it has.
pub(super) fn origin(facts: &Facts) -> String {
    match facts.client.ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            format!("{a}.{b}")
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            format!("{a:x}:{b:x}")
        }
    }
}

fn is_under(name: &str, parent: &str) -> bool {
    let (name, parent) = (name.to_ascii_lowercase(), parent.to_ascii_lowercase());
    !parent.is_empty() && name.strip_suffix(&parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
