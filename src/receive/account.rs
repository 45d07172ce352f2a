//! The account of a transaction: its decision record, for the journal, the metrics and the log.

use std::time::{Duration, Instant};

use crate::facts::record::{
    ChangesRecord, DecisionRecord, DeliveryRecord, PolicyRecord, Recipient, RecipientDecision, Record, RuleRecord,
    Timings,
};
use crate::facts::word::Action;
use crate::facts::{Facts, Rcpt, Stage};
use crate::policy::Grounds;
use crate::smtp::reply::Reply;

use super::transaction::{Recalled, Refusal, Transaction};

/// How a transaction ended.
#[derive(Clone)]
pub(super) struct End {
    pub stage: Stage,
    pub action: Action,
    /// Empty where no rule decided.
    pub rule: String,
    pub grounds: Grounds,
    /// Every recipient's policy accepts it.
    pub all_accept: bool,
    /// What rules change of the copies; `None` where there are none.
    pub changes: Option<ChangesRecord>,
    /// The reply that ended it, where there was one.
    pub reply: Option<Reply>,
    pub rules: Vec<RuleRecord>,
    /// What rules did for other recipients: the record has no place for it, but it counts.
    pub other_rules: Vec<RuleRecord>,
    pub score: f64,
    /// What rules could read of the recipients.
    pub rcpt: Rcpt,
    /// What was decided for listed recipients, by their places, where it is not the same for all.
    pub by_recipient: Vec<(usize, RecipientDecision)>,
    /// What rules change of the copies of listed recipients, where that is not `changes`.
    pub changes_by_recipient: Vec<(usize, ChangesRecord)>,
    /// What was recalled when it was decided; `None` where that is as the transaction has it.
    pub recalled: Option<Recalled>,
    pub policy: PolicyRecord,
    pub delivery: Vec<DeliveryRecord>,
    /// Why it could not be stored, where it was to be.
    pub trouble: String,
    pub decide: Duration,
    pub deliver: Duration,
    /// The journal has it already.
    pub journalled: bool,
}

impl End {
    /// Whether the message is stored, and everybody's policy accepted it.
    pub(super) fn is_welcome(&self) -> bool {
        self.action == Action::Accept && self.all_accept && !self.delivery.is_empty()
    }

    /// A refusal, by a rule or by the protocol.
    pub(super) fn refused(refusal: Refusal, policy: PolicyRecord) -> Self {
        End {
            stage: refusal.stage,
            action: refusal.action(),
            rule: refusal.rule,
            grounds: refusal.grounds,
            all_accept: false,
            changes: None,
            reply: Some(refusal.reply),
            rules: refusal.rules,
            other_rules: Vec::new(),
            score: refusal.score,
            rcpt: refusal.rcpt,
            by_recipient: Vec::new(),
            changes_by_recipient: Vec::new(),
            recalled: refusal.recalled,
            policy,
            delivery: Vec::new(),
            trouble: String::new(),
            decide: Duration::ZERO,
            deliver: Duration::ZERO,
            journalled: false,
        }
    }

    /// The client gave up before there was a message, without having been refused anything.
    pub(super) fn given_up(stage: Stage, policy: PolicyRecord) -> Self {
        End {
            stage,
            action: Action::Accept,
            rule: String::new(),
            grounds: Grounds::default(),
            all_accept: false,
            changes: None,
            reply: None,
            rules: Vec::new(),
            other_rules: Vec::new(),
            score: 0.0,
            rcpt: Rcpt::default(),
            by_recipient: Vec::new(),
            changes_by_recipient: Vec::new(),
            recalled: None,
            policy,
            delivery: Vec::new(),
            trouble: String::new(),
            decide: Duration::ZERO,
            deliver: Duration::ZERO,
            journalled: false,
        }
    }
}

/// What the record tells of a transaction beside how it ended.
pub(super) struct Told {
    reference: String,
    started: Instant,
    facts: Facts,
    tried: Vec<Recipient>,
    tried_more: u64,
    greylist_of_message: bool,
    waited: Duration,
}

impl Told {
    /// Of one that goes on.
    pub fn of(transaction: &Transaction) -> Self {
        Told {
            reference: transaction.reference.clone(),
            facts: transaction.facts.clone(),
            tried: transaction.tried.clone(),
            started: transaction.started,
            tried_more: transaction.tried_more,
            greylist_of_message: transaction.greylist_of_message,
            waited: transaction.waited,
        }
    }
}

impl From<Transaction> for Told {
    fn from(transaction: Transaction) -> Self {
        let Transaction { reference, started, facts, tried, tried_more, greylist_of_message, waited, .. } = transaction;
        Told { reference, started, facts, tried, tried_more, greylist_of_message, waited }
    }
}

/// The decision record of a transaction that has ended.
pub(super) fn record(told: Told, end: End) -> Record {
    let Told { mut facts, tried: mut recipients, .. } = told;
    for (place, decision) in end.by_recipient {
        if let Some(recipient) = recipients.get_mut(place) {
            recipient.decision = Some(decision);
        }
    }
    for (place, changes) in end.changes_by_recipient {
        if let Some(recipient) = recipients.get_mut(place) {
            recipient.changes = Some(changes);
        }
    }
    if let Some(Recalled { greylist, rates }) = end.recalled {
        (facts.greylist, facts.rates) = (greylist, rates);
    }
    (facts.score, facts.rcpt) = (end.score, end.rcpt);
    Record {
        v: 1,
        reference: told.reference,
        time: format!("{:.3}", jiff::Timestamp::now()),
        stage: end.stage,
        facts,
        greylist_of_message: told.greylist_of_message,
        recipients,
        recipients_more: told.tried_more,
        rules: end.rules,
        policy: end.policy,
        decision: DecisionRecord {
            action: end.action,
            rule: end.rule,
            reply: end.reply.as_ref().map(Reply::one_line).unwrap_or_default(),
            why: end.grounds.why,
            read: end.grounds.read,
            changes: end.changes,
        },
        delivery: end.delivery,
        trouble: end.trouble,
        timings_us: Timings {
            total: micros(told.started.elapsed()),
            evidence: micros(told.waited),
            decide: micros(end.decide),
            deliver: micros(end.deliver),
        },
        cut: Vec::new(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The log's line of a transaction: what was decided, never what was written.
pub(super) fn log(record: &Record) {
    let facts = &record.facts;
    tracing::info!(
        reference = %record.reference,
        client = %facts.client.ip,
        helo = %facts.helo,
        mail_from = %facts.mail_from.address,
        recipients = record.recipients.len(),
        stage = %record.stage,
        action = %record.decision.word(),
        rule = %record.decision.rule,
        reply = %record.decision.reply,
        bytes = facts.message.bytes,
        "transaction"
    );
}

/// A stage's time, from its beginning.
pub(super) struct Watch(Instant);

impl Watch {
    pub(super) fn start() -> Self {
        Watch(Instant::now())
    }

    pub(super) fn read(&self) -> Duration {
        self.0.elapsed()
    }
}
