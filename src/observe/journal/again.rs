//! Whether what was refused came again: from the same network, with the same reverse-path, to a recipient that was not taken.

use memchr::memmem::Finder;

use super::brief::{Brief, looks_ours, time_of};
use crate::facts::network;
use crate::facts::record::{Recipient, Record};
use crate::facts::word::{Action, Stage};

/// How many returns are kept in memory.
const MOST: usize = 1_000;

/// What returns of a transaction look like.
#[derive(Debug)]
pub struct Returns {
    time: String,
    network: String,
    reverse_path: String,
    message_id: String,
    recipients: Vec<String>,
    awaited: bool,
    quick: Finder<'static>,
}

impl Returns {
    /// Of a transaction in which somebody was not taken; `None` where all were, or the client ended it.
    pub fn of(record: &Record) -> Option<Returns> {
        let at_data = record.stage == Stage::Data;
        let all = at_data && matches!(record.decision.action, Action::Defer | Action::Reject);
        let refused = |recipient: &&Recipient| all || recipient.reply.starts_with(['4', '5']);
        let recipients: Vec<String> =
            record.recipients.iter().filter(refused).map(|recipient| recipient.address.to_lowercase()).collect();
        let first = record.recipients.iter().find(refused)?;
        let reverse_path = &record.facts.mail_from.address;
        let sought = if reverse_path.is_empty() { &first.address } else { reverse_path };
        let in_json = serde_json::to_string(sought).ok()?;
        // a null reverse-path may come again to another of the recipients
        let quick = if reverse_path.is_empty() && recipients.len() > 1 { "\"mail_from\"".to_owned() } else { in_json };
        Some(Returns {
            time: record.time.clone(),
            network: network(record.facts.client.ip),
            reverse_path: reverse_path.clone(),
            message_id: record.facts.message.message_id.clone(),
            awaited: record.decision.action == Action::Defer
                || record.recipients.iter().any(|recipient| recipient.reply.starts_with('4')),
            recipients,
            quick: Finder::new(quick.as_bytes()).into_owned(),
        })
    }

    /// Whether somebody was asked to come again (4yz).
    pub fn are_awaited(&self) -> bool {
        self.awaited
    }

    /// Takes a line that is one of them.
    pub fn take(&self, line: &[u8], found: &mut Vec<Brief>) {
        let later = time_of(line).is_none_or(|time| time > self.time.as_str());
        if found.len() >= MOST || !looks_ours(line) || !later || self.quick.find(line).is_none() {
            return;
        }
        let Ok(brief) = serde_json::from_slice::<Brief>(line) else { return };
        if self.is(&brief) {
            found.push(brief);
        }
    }

    fn is(&self, brief: &Brief) -> bool {
        let other_message = |id: &str| !id.is_empty() && !self.message_id.is_empty() && id != self.message_id;
        brief.time > self.time
            && brief.mail_from.address == self.reverse_path
            && network(brief.client.ip) == self.network
            && !other_message(&brief.message.message_id)
            && brief.recipients.iter().any(|recipient| self.recipients.contains(&recipient.address.to_lowercase()))
    }

    /// Whether this return was taken for one who had not been.
    pub fn is_taken(&self, brief: &Brief) -> bool {
        let took = |to: &Recipient| to.reply.starts_with('2') && self.recipients.contains(&to.address.to_lowercase());
        brief.decision.reply.starts_with('2') && brief.recipients.iter().any(took)
    }
}
