//! What a line of the journal says in brief: who, to whom, and what was decided.

use serde::Deserialize;

use crate::facts::record::{DecisionRecord, Recipient, RuleRecord};
use crate::facts::word::Action;
use crate::facts::{Address, Client, From, Iprev, Message};

/// A record without its evidence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Brief {
    /// Its ref.
    #[serde(rename = "ref")]
    pub reference: String,
    /// When the transaction ended: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Who was connected.
    pub client: Client,
    /// The reverse-path.
    pub mail_from: Address,
    /// The author.
    pub from: From,
    /// The message.
    pub message: Message,
    /// The client's reverse name, confirmed or not.
    pub iprev: Iprev,
    /// The first 100 recipients.
    pub recipients: Vec<Recipient>,
    /// How many more there were.
    #[serde(default)]
    pub recipients_more: u64,
    /// What each rule did.
    pub rules: Vec<RuleRecord>,
    /// What was decided.
    pub decision: DecisionRecord,
}

impl Brief {
    /// What was decided of the message, and of single recipients otherwise.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        let own = self.recipients.iter().filter_map(|recipient| recipient.decision.as_ref());
        own.map(|decision| decision.action).chain([self.decision.action])
    }
}

/// Whether a line looks like one of ours: one that does and does not hold what is sought need not be read.
pub(super) fn looks_ours(line: &[u8]) -> bool {
    line.starts_with(b"{\"v\":1,\"ref\":\"") && line.ends_with(b"}")
}

/// The time in a line that looks like ours, where it stands where we write it.
pub(super) fn time_of(line: &[u8]) -> Option<&str> {
    const REF: usize = 14;
    const TIME: &[u8] = b"\",\"time\":\"";
    let rest = line.get(REF + 16..)?.strip_prefix(TIME)?;
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}
