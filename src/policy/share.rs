//! A rule that acts on a share of messages only: which ones, the client's network and the rule's name say, so that a client always
//! gets the same answer, and a rule that goes from 10 to 20 percent goes on acting on those it acted on.

use crate::facts::network;
use crate::facts::table::{self, FactSource, Value};

/// The fact that messages are told apart by.
pub(super) const BY: &str = "client.ip";

/// Whether a rule that acts on so many percent of messages acts on this one: whether the first 8 octets of
/// SHA-256(`RULE NETWORK`), big-endian, modulo 100, are less. NETWORK is `192.0.2.0/24` or `2001:db8::/64`. Without a client, as in
/// a test that gives none, it acts.
pub(super) fn covers(percent: u8, rule: &str, facts: &dyn FactSource) -> bool {
    let Some(Value::String(ip)) = table::find(BY).map(|fact| facts.value(fact)) else { return true };
    let Ok(ip) = ip.parse() else { return true };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{rule} {}", network(ip)).as_bytes());
    let first = digest.as_ref().iter().take(8).fold(0u64, |number, octet| number << 8 | u64::from(*octet));
    first % 100 < u64::from(percent)
}
