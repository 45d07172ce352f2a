//! One transaction, from MAIL to its end: who it is for, what was judged so far, the message as it comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::authenticate::Authenticator;
use crate::deliver::quota::Short;
use crate::facts::rate::{Counted, Rate};
use crate::facts::record::{self, Recipient, RecipientDecision, RuleRecord};
use crate::facts::word::Action;
use crate::facts::{Facts, Greylist, Rcpt, Role, Stage};
use crate::message::author::Author;
use crate::policy::{Grounds, Judgement, Mixed, Policy};
use crate::recipients::MailboxName;
use crate::smtp::address::ReversePath;
use crate::smtp::reply::Reply;

use super::MOST_COPIES;
use super::incoming::Incoming;
use super::lookups::Lookups;

/// Recipients that the record lists one by one.
const LISTED: usize = 100;

/// Tells a mailbox's policy.
type Assignment = dyn Fn(&MailboxName) -> Arc<Policy> + Send + Sync;

/// Which policy judges whose mail.
#[derive(Clone)]
pub struct Policies {
    default: Arc<Policy>,
    of: Arc<Assignment>,
    /// What any of them asks to be counted.
    rates: Arc<BTreeSet<Rate>>,
    mixed: Mixed,
}

impl Policies {
    /// `default` judges what belongs to no mailbox or to several of different policies; `of` knows each mailbox's, which is one of
    /// `all`.
    pub fn new(
        default: Arc<Policy>,
        all: &[&Arc<Policy>],
        of: impl Fn(&MailboxName) -> Arc<Policy> + Send + Sync + 'static,
    ) -> Self {
        let each = || all.iter().copied().chain([&default]);
        let rates = each().flat_map(|policy| policy.rates().iter().copied()).collect();
        Policies { default, of: Arc::new(of), rates: Arc::new(rates), mixed: Mixed::default() }
    }

    /// The rates that any policy asks for and that count such things.
    pub(super) fn rates(&self, counted: Counted) -> Vec<Rate> {
        self.rates.iter().copied().filter(|rate| rate.counted() == counted).collect()
    }

    /// What becomes of transactions whose recipients' policies may answer differently after DATA.
    pub fn with_mixed(self, mixed: Mixed) -> Self {
        Policies { mixed, ..self }
    }

    /// What becomes of such transactions.
    pub(super) fn mixed(&self) -> Mixed {
        self.mixed
    }

    /// The same policy for everyone.
    pub fn uniform(policy: Arc<Policy>) -> Self {
        let of = Arc::clone(&policy);
        Policies::new(policy, &[], move |_| Arc::clone(&of))
    }

    /// The policy of a forward-path that leads to these mailboxes.
    pub(super) fn of(&self, mailboxes: &[MailboxName]) -> Arc<Policy> {
        let mut policies = mailboxes.iter().map(|mailbox| (self.of)(mailbox));
        let first = policies.next().unwrap_or_else(|| Arc::clone(&self.default));
        if policies.all(|policy| Arc::ptr_eq(&policy, &first)) { first } else { Arc::clone(&self.default) }
    }

    /// The policy of the connection.
    pub(super) fn default(&self) -> &Arc<Policy> {
        &self.default
    }
}

/// What a recipient brings to the judgement of the message. Recipients of one standing are judged as one.
#[derive(Clone)]
pub(super) struct Standing {
    pub policy: Arc<Policy>,
    pub role: Role,
    pub judgement: Judgement,
}

impl Standing {
    /// Whether the data stage can't tell the two apart, and their copies are the same.
    fn is_like(&self, other: &Standing) -> bool {
        let reads = |fact: &str| self.policy.needs(Stage::Data).contains(fact);
        Arc::ptr_eq(&self.policy, &other.policy)
            && self.judgement.accepted == other.judgement.accepted
            && (self.role == other.role || !reads("rcpt.role"))
            && (self.judgement.score == other.judgement.score || !reads("score"))
            && self.judgement.edits == other.judgement.edits
    }

    /// Whether the data stage may refuse the message, or keep nothing of it.
    fn may_not_store(&self) -> bool {
        !self.judgement.accepted && self.policy.settling().refuses()
    }

    /// Whether the data stage stores the message for both or for none.
    fn settles_like(&self, other: &Standing) -> bool {
        match (self.may_not_store(), other.may_not_store()) {
            (false, false) => true,
            (true, true) => {
                let settling = self.policy.settling();
                let same_policy = Arc::ptr_eq(&self.policy, &other.policy);
                (same_policy || settling.is_like(other.policy.settling()))
                    && (self.role == other.role || !settling.reads("rcpt.role"))
                    && (self.judgement.score == other.judgement.score || !settling.reads("score"))
            }
            _ => false,
        }
    }
}

/// A recipient that RCPT was answered 250 for.
pub(super) struct Accepted {
    /// The forward-path as accepted.
    pub path: String,
    pub mailboxes: Vec<MailboxName>,
    pub standing: Standing,
    /// Its place among those that the record lists.
    pub listed: Option<usize>,
    /// Which of its mailboxes may have no room for the message.
    pub scarce: Option<Short>,
}

/// A transaction under way.
pub(super) struct Transaction {
    pub reference: String,
    pub started: Instant,
    pub policies: Arc<Policies>,
    pub reverse_path: ReversePath,
    /// SMTPUTF8 was asked for (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// Octets that the message has as its client says (RFC 1870).
    pub size: Option<u64>,
    /// The session's facts and the transaction's own.
    pub facts: Facts,
    /// Bounds what is looked up for the message.
    pub authenticator: Authenticator,
    pub lookups: Lookups,
    /// Counted in the rates of transactions.
    pub counted: bool,
    /// A recipient was refused to whom the sender is new, or too early, to greylisting.
    pub put_off: bool,
    /// What is recalled of greylisting is the message's, no more the last recipient's.
    pub greylist_of_message: bool,
    pub accepted: Vec<Accepted>,
    pub tried: Vec<Recipient>,
    pub tried_more: u64,
    /// The latest refusal of a recipient, told in the record where no message came to its end.
    pub refused: Option<Refusal>,
    pub incoming: Option<Incoming>,
    /// Known once the header is.
    pub author: Author,
    /// Time spent waiting for evidence.
    pub waited: Duration,
    /// A check panicked: the message gets a 451.
    pub panicked: bool,
}

/// A refusal, and who decided it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub stage: Stage,
    /// Empty where the protocol refused.
    pub rule: String,
    pub grounds: Grounds,
    /// As it is sent.
    pub reply: Reply,
    pub rules: Vec<RuleRecord>,
    pub score: f64,
    /// What the reply does not say: how full a mailbox is.
    pub trouble: String,
    /// What rules could read of the recipient.
    pub rcpt: Rcpt,
    /// What was recalled of it; `None` where that is as the transaction has it.
    pub recalled: Option<Recalled>,
}

/// What was remembered when a recipient was judged.
#[derive(Debug, Clone)]
pub(super) struct Recalled {
    pub greylist: Greylist,
    pub rates: BTreeMap<String, u64>,
}

impl Recalled {
    pub fn of(facts: &Facts) -> Self {
        Recalled { greylist: facts.greylist.clone(), rates: facts.rates.clone() }
    }

    /// What of it is the recipient's own; `None` where nothing was asked.
    pub fn of_recipient(&self) -> Option<record::Recalled> {
        let own = self.rates.iter().filter(|(name, _)| Rate::is_of_recipients(name));
        let rates = own.map(|(name, count)| (name.clone(), *count)).collect();
        let own = record::Recalled { greylist: self.greylist.clone(), rates };
        (own != record::Recalled::default()).then_some(own)
    }
}

impl Refusal {
    /// What is done, whether or not `smtp.soft_reject` softens the reply.
    pub fn action(&self) -> Action {
        if self.reply.code() >= 500 { Action::Reject } else { Action::Defer }
    }

    /// The decision, where a rule made it.
    pub fn by_rule(&self) -> Option<RecipientDecision> {
        let by_rule = !self.rule.is_empty();
        by_rule.then(|| RecipientDecision {
            action: self.action(),
            rule: self.rule.clone(),
            ..RecipientDecision::default()
        })
    }
}

impl Transaction {
    /// Whether rules for the message greylist.
    pub fn greylists_at_data(&self) -> bool {
        self.accepted.iter().any(|accepted| accepted.standing.policy.needs(Stage::Data).touches("greylist"))
    }

    /// Whether the recipient can be judged together with those accepted so far: there is one answer after DATA (RFC 5321
    /// §4.1.1.4), so where a refusal could differ it is asked to come again alone, unless `policy.mixed` has it otherwise.
    pub fn goes_with(&self, standing: &Standing) -> bool {
        self.policies.mixed == Mixed::Quarantine
            || self.accepted.iter().all(|other| other.standing.settles_like(standing))
    }

    /// Whether a recipient may lead to so many copies more.
    pub fn has_room_for(&self, copies: usize) -> bool {
        let so_far = self.accepted.iter().map(|accepted| accepted.mailboxes.len()).sum::<usize>();
        so_far == 0 || so_far.saturating_add(copies) <= MOST_COPIES
    }

    /// The header fields that the rules of its recipients name, and those of the policy of the connection.
    pub fn headers_named(&self) -> BTreeSet<&String> {
        let of_recipients = self.accepted.iter().map(|accepted| &accepted.standing.policy);
        of_recipients.chain([self.policies.default()]).flat_map(|policy| policy.headers()).collect()
    }

    /// Whether a rule that is to be judged at stage data reads a fact of this group.
    pub fn reads_at_data(&self, group: &str) -> bool {
        let standings = self.accepted.iter().map(|accepted| &accepted.standing);
        let judged = standings.filter(|standing| !standing.judgement.accepted);
        judged.into_iter().any(|standing| standing.policy.needs(Stage::Data).touches(group))
    }

    /// What the rules of stage data can read of its recipients.
    pub fn rcpt(&self, role: Role) -> Rcpt {
        Rcpt { role, count: self.accepted.len() as u64, ..Rcpt::default() }
    }

    /// From now on its facts are what the rules of stage data can read for the first of its recipients, and no more about the last one.
    pub fn face_message(&mut self) {
        let role = self.accepted.first().map_or_else(Role::default, |first| first.standing.role);
        self.facts.rcpt = self.rcpt(role);
    }

    /// Notes what a recipient was answered; gives its place in the list, if it has one.
    pub fn note_recipient(&mut self, recipient: Recipient) -> Option<usize> {
        if self.tried.len() < LISTED {
            self.tried.push(recipient);
            return Some(self.tried.len() - 1);
        }
        self.tried_more = self.tried_more.saturating_add(1);
        None
    }

    /// The accepted recipients by standing, in the order of their coming.
    pub fn groups(&self) -> Vec<(&Standing, Vec<&Accepted>)> {
        let mut groups: Vec<(&Standing, Vec<&Accepted>)> = Vec::new();
        for accepted in &self.accepted {
            match groups.iter_mut().find(|(standing, _)| standing.is_like(&accepted.standing)) {
                Some((_, members)) => members.push(accepted),
                None => groups.push((&accepted.standing, vec![accepted])),
            }
        }
        groups
    }
}
