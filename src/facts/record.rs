//! The decision record: everything said of one transaction, one JSON object. The journal's line and what `try --json` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::word::{Action, Outcome, Role, Stage};
use super::{Facts, Greylist};

/// The decision record, version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Always 1.
    pub v: u32,
    /// 16 characters of Crockford base32.
    #[serde(rename = "ref")]
    pub reference: String,
    /// RFC 3339, UTC, milliseconds: when the transaction ended.
    pub time: String,
    /// The stage that settled it.
    pub stage: Stage,
    /// All facts, in their own places.
    #[serde(flatten)]
    pub facts: Facts,
    /// Whether `greylist` is what rules of stage data saw, of the message; else it is of the recipient that was judged last.
    #[serde(default, skip_serializing_if = "is_false")]
    pub greylist_of_message: bool,
    /// At most 100; refused ones too.
    pub recipients: Vec<Recipient>,
    /// How many recipients more there were than the list holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recipients_more: u64,
    /// What each rule that was looked at did.
    pub rules: Vec<RuleRecord>,
    /// The policy that judged.
    pub policy: PolicyRecord,
    /// What was decided.
    pub decision: DecisionRecord,
    /// Where the message went; empty unless it was stored.
    pub delivery: Vec<DeliveryRecord>,
    /// Why it could not be stored, where it was to be; a path in it is below the Maildir root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// Microseconds by stage.
    pub timings_us: Timings,
    /// What the line had no room for, so that it is here no more as the rules saw it: facts by their names, `recipients`, or
    /// [`ALL_CUT`]. Empty as long as the record is no line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<String>,
}

/// Stands in [`Record::cut`] where no fact is left but the client's address and port.
pub const ALL_CUT: &str = "facts";

fn is_false(b: &bool) -> bool {
    !*b
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// One forward-path of the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recipient {
    /// As the client gave it, escaped and cut.
    pub address: String,
    /// `name@domain` of the mailboxes it leads to.
    pub mailboxes: Vec<String>,
    /// What RCPT was answered.
    pub reply: String,
    /// Its domain, one of ours: the fact `rcpt.domain`. Empty where it is not local, and in lines of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// The fact `rcpt.role`; `None` where it is not local, and in lines of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What was decided for this recipient, where that is not what was decided of the message: a rule refused it at RCPT, or
    /// recipients' policies differ about the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<RecipientDecision>,
    /// What rules change of its copy, where that is not [`DecisionRecord::changes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesRecord>,
    /// Why its mailbox, or another's, had or might have too little room for the message, where RCPT was refused for that: in bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// What was remembered of it when the rules of RCPT judged it. `None` where they ask for nothing, and in lines of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled: Option<Recalled>,
}

/// What was remembered of one recipient: the facts `greylist` and `rates` as its rules saw them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recalled {
    /// What greylisting remembers of who sends to it.
    #[serde(default, skip_serializing_if = "Greylist::is_empty")]
    pub greylist: Greylist,
    /// The rates that count recipients, by their names; the others are the transaction's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, u64>,
}

/// What was decided for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecipientDecision {
    /// What was done.
    pub action: Action,
    /// The rule that decided.
    pub rule: String,
    /// What the rule says, where the message was quarantined instead because others of the transaction take it
    /// (`policy.mixed = "quarantine"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Action>,
}

/// What rules change of the copies that are stored, as the policy has it written: no text of a client's stands in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ChangesRecord {
    /// The folder of a message that is quarantined; empty: Junk.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// Fields that are added, `Name: text`, the text with its facts in braces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_headers: Vec<String>,
    /// Names of fields that are taken out, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_headers: Vec<String>,
    /// Texts in front of the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_subject: Vec<String>,
    /// The address that gets the copy instead; empty: the recipient.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub redirect: String,
}

impl ChangesRecord {
    /// Whether copies are stored as without rules.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a rule did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RuleRecord {
    /// Its name.
    pub name: String,
    /// Its stage.
    pub at: Stage,
    /// What came of it.
    pub outcome: Outcome,
    /// What it would have done, where it only observes or an exception held it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What it added to the score; `None` where it added nothing, and in lines of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// The policy that judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// Its file.
    pub file: String,
    /// Its digest, lower-case hex.
    pub sha256: String,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// What was done.
    pub action: Action,
    /// The rule that decided; empty where none did (accepted by default, or refused by the protocol).
    pub rule: String,
    /// The reply that ended it.
    pub reply: String,
    /// Why, in the words of the rule that decided (`why`), with facts; for the operator, never sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The names of the facts that the rule that decided looked at; of header fields and rates the very ones, as in
    /// `headers['list-id']`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// What rules change of the copies, also where nothing; `None` where there are no copies, and in lines of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesRecord>,
}

impl DecisionRecord {
    /// Whether the client, or `try` without a message, ended the transaction before there was a decision.
    pub fn is_unfinished(&self) -> bool {
        self.action == Action::Accept && self.reply.is_empty()
    }

    /// Whether it is a refusal that the client heard as a deferral: `smtp.soft_reject` was on.
    pub fn is_softened(&self) -> bool {
        self.action == Action::Reject && self.reply.starts_with('4')
    }

    /// The action in a word; `unfinished` where there is none.
    pub fn word(&self) -> &'static str {
        if self.is_unfinished() { "unfinished" } else { self.action.as_str() }
    }
}

/// One copy of the message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// `name@domain`.
    pub mailbox: String,
    /// `INBOX` or `Junk`.
    pub folder: String,
    /// The path of the file below the Maildir root.
    pub file: String,
}

/// Microseconds that the stages took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// From MAIL to the end.
    pub total: u64,
    /// Waiting for evidence.
    pub evidence: u64,
    /// Judging.
    pub decide: u64,
    /// Writing.
    pub deliver: u64,
}
