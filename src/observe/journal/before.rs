//! Whether what was accepted had come before and been put off: from the same network, with the same reverse-path, to a recipient that
//! was answered 4yz then.

use std::collections::VecDeque;

use memchr::memmem::Finder;

use super::brief::{Brief, looks_ours, time_of};
use crate::facts::network;
use crate::facts::record::{Recipient, Record};
use crate::facts::word::{Action, Stage};

/// How many records are kept in memory: the newest.
const MOST: usize = 1_000;

/// What earlier tries of an accepted message look like.
#[derive(Debug)]
pub struct Earlier {
    time: String,
    network: String,
    reverse_path: String,
    message_id: String,
    /// Who has got it, in lower case.
    recipients: Vec<String>,
    quick: Finder<'static>,
}

impl Earlier {
    /// Of a message that was taken; `None` of any other record.
    pub fn of(record: &Record) -> Option<Earlier> {
        if record.stage != Stage::Data || !record.decision.reply.starts_with('2') {
            return None;
        }
        let taken = record.recipients.iter().filter(|recipient| recipient.reply.starts_with('2'));
        let recipients: Vec<String> = taken.map(|recipient| recipient.address.to_lowercase()).collect();
        let reverse_path = &record.facts.mail_from.address;
        // a bounce is found by whom it is for, in whatever case that stands there
        let quick = match (reverse_path.as_str(), recipients.len()) {
            ("", _) => "\"mail_from\"".to_owned(),
            (address, _) => serde_json::to_string(address).ok()?,
        };
        (!recipients.is_empty()).then(|| Earlier {
            time: record.time.clone(),
            network: network(record.facts.client.ip),
            reverse_path: reverse_path.clone(),
            message_id: record.facts.message.message_id.clone(),
            recipients,
            quick: Finder::new(quick.as_bytes()).into_owned(),
        })
    }

    /// Takes a line that may be one of them, or a message to the same recipients that was taken before.
    pub fn take(&self, line: &[u8], found: &mut VecDeque<Brief>) {
        let before = time_of(line).is_none_or(|time| time < self.time.as_str());
        if !looks_ours(line) || !before || self.quick.find(line).is_none() {
            return;
        }
        let Ok(brief) = serde_json::from_slice::<Brief>(line) else { return };
        if self.is(&brief) {
            if found.len() >= MOST {
                found.pop_front();
            }
            found.push_back(brief);
        }
    }

    fn is(&self, brief: &Brief) -> bool {
        let other_message = |id: &str| !id.is_empty() && !self.message_id.is_empty() && id != self.message_id;
        brief.time < self.time
            && brief.mail_from.address == self.reverse_path
            && network(brief.client.ip) == self.network
            && !other_message(&brief.message.message_id)
            && brief.recipients.iter().any(|recipient| self.has(recipient))
    }

    fn has(&self, recipient: &Recipient) -> bool {
        self.recipients.contains(&recipient.address.to_lowercase())
    }

    /// The tries that were put off since a message like it was last taken, oldest first, each with the recipient that waited.
    pub fn put_off<'b>(&self, found: &'b mut [Brief]) -> Vec<(&'b Brief, &'b Recipient)> {
        found.sort_by(|one, other| (&one.time, &one.reference).cmp(&(&other.time, &other.reference)));
        let mut tries = Vec::new();
        for brief in found.iter() {
            let deferred = brief.decision.action == Action::Defer && !brief.decision.reply.is_empty();
            let mine = || brief.recipients.iter().filter(|recipient| self.has(recipient));
            let waited = mine().find(|recipient| recipient.reply.starts_with('4') || deferred);
            match waited {
                Some(recipient) => tries.push((brief, recipient)),
                // that was another message: what came before it is not of this one
                None if brief.decision.reply.starts_with('2') && mine().any(|to| to.reply.starts_with('2')) => {
                    tries.clear();
                }
                None => {}
            }
        }
        tries
    }
}
