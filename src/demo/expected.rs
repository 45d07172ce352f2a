//! What a sample is expected to come to, and what is different.

use crate::facts::record::Record;
use crate::facts::word::{Action, DmarcResult, MethodResult, Stage};

use super::client::Answer;

/// What one sample should come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The reply's code and enhanced status code.
    pub reply: &'static str,
    /// What is done.
    pub action: Action,
    /// The rule that decides; empty where none does.
    pub rule: &'static str,
    /// The mailbox and its folder; `None` where nothing is stored.
    pub stored: Option<(&'static str, &'static str)>,
    /// What SPF (of the reverse-path), the signatures and DMARC say; `None` where the message never came.
    pub evidence: Option<(MethodResult, &'static [MethodResult], DmarcResult)>,
}

/// What the server did.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// What it answered.
    pub answer: Answer,
    /// What its journal says.
    pub record: Record,
}

impl Expected {
    /// In which points `seen` is not as expected, each a few words; none where all is.
    pub fn differences(&self, seen: &Seen) -> Vec<String> {
        let Seen { answer, record } = seen;
        let mut differences = Vec::new();
        let mut compare = |what: &str, expected: &str, got: &str| {
            if expected != got {
                differences.push(format!("{what}: expected {}, got {}", worded(expected), worded(got)));
            }
        };
        compare("reply", self.reply, &codes(&answer.line));
        compare("journalled reply", self.reply, &codes(&record.decision.reply));
        compare("action", self.action.as_str(), record.decision.action.as_str());
        compare("rule", self.rule, &record.decision.rule);
        let stored = self.stored.map(|(mailbox, folder)| format!("{mailbox} {folder}")).unwrap_or_default();
        compare("stored", &stored, &places(record));
        if let Some((spf, dkim, dmarc)) = self.evidence {
            compare("stage", Stage::Data.as_str(), record.stage.as_str());
            compare("SPF", spf.as_str(), record.facts.spf.mail_from.result.as_str());
            let expected: Vec<&str> = dkim.iter().map(|result| result.as_str()).collect();
            let got: Vec<&str> = record.facts.dkim.iter().map(|signature| signature.result.as_str()).collect();
            compare("DKIM", &expected.join(" "), &got.join(" "));
            compare("DMARC", dmarc.as_str(), record.facts.dmarc.result.as_str());
        }
        differences
    }
}

fn worded(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// `550 5.7.1` of a reply.
pub fn codes(reply: &str) -> String {
    reply.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Where the copies are: `mailbox folder`, comma-separated.
fn places(record: &Record) -> String {
    let copies: Vec<String> = record.delivery.iter().map(|copy| format!("{} {}", copy.mailbox, copy.folder)).collect();
    copies.join(", ")
}
