//! Asking the policy: for a recipient, and for the message. Values in, values out.

use std::borrow::Cow;
use std::sync::Arc;

use crate::facts::record::{ChangesRecord, RecipientDecision};
use crate::facts::word::Action;
use crate::facts::{Facts, Rcpt, Stage};
use crate::policy::{Grounds, Judgement, Mixed, Policy, Verdict};
use crate::smtp::reply::{self, Reply};

use super::outage::in_outage;
use super::transaction::{Accepted, Recalled, Refusal, Standing, Transaction};

/// Judges a recipient by the rules of its policy for connect, mail and rcpt. In an outage of our DNS what leans on it is deferred.
pub(super) fn recipient(policy: &Arc<Policy>, facts: &Facts, met_outage: bool) -> Result<Standing, Box<Refusal>> {
    let mut judgement = Judgement::default();
    let refusing = policy.judge_recipient(facts, &mut judgement);
    let mut refused = refusing.and_then(|(stage, verdict)| Some((stage, answer(&verdict)?, verdict)));
    if met_outage {
        let (stage, verdict) = match refused.take() {
            Some((stage, _, verdict)) => (stage, verdict),
            None => (Stage::Rcpt, Verdict::Continue),
        };
        let verdict = in_outage(verdict, policy, &judgement, facts);
        refused = answer(&verdict).map(|reply| (stage, reply, verdict));
    }
    match refused {
        None => Ok(Standing { policy: Arc::clone(policy), role: facts.rcpt.role, judgement }),
        Some((stage, reply, verdict)) => {
            let (rule, rcpt) = (verdict.rule().to_owned(), facts.rcpt.clone());
            let Judgement { score, rules, grounds, .. } = judgement;
            // an outage is no rule's doing
            let grounds = if rule.is_empty() { Grounds::default() } else { grounds };
            let recalled = Some(Recalled::of(facts));
            let trouble = String::new();
            Err(Box::new(Refusal { stage, rule, grounds, reply, score, trouble, rules, rcpt, recalled }))
        }
    }
}

/// What the policy says of a message for recipients of one standing.
pub(super) struct Judged<'a> {
    pub members: Vec<&'a Accepted>,
    pub verdict: Verdict,
    pub judgement: Judgement,
    pub policy: &'a Arc<Policy>,
    /// What the rules could read of the recipients.
    pub rcpt: Rcpt,
    /// What the policy says, where the message is quarantined instead.
    pub instead_of: Option<Action>,
}

impl Judged<'_> {
    /// What is recorded of its recipients where groups differ.
    fn decision(&self) -> RecipientDecision {
        let (action, rule) = (self.verdict.action(), self.verdict.rule().to_owned());
        RecipientDecision { action, rule, instead_of: self.instead_of }
    }

    /// What rules change of the copies; `None` where there are none.
    pub fn changes(&self) -> Option<ChangesRecord> {
        self.judgement.edits.record(self.verdict.action())
    }
}

/// Judges the message for every recipient.
pub(super) fn message(transaction: &Transaction) -> Vec<Judged<'_>> {
    let mut judged = Vec::new();
    for (standing, members) in transaction.groups() {
        let rcpt = transaction.rcpt(standing.role);
        let facts = of_group(&transaction.facts, &rcpt);
        let mut judgement = standing.judgement.clone();
        let mut verdict = standing.policy.judge(Stage::Data, &*facts, &mut judgement);
        if transaction.authenticator.met_outage() {
            verdict = in_outage(verdict, &standing.policy, &judgement, &facts);
        }
        if verdict.rule().is_empty() {
            judgement.grounds = Grounds::default();
        }
        let policy = &standing.policy;
        judged.push(Judged { members, verdict, judgement, policy, rcpt, instead_of: None });
    }
    if transaction.policies.mixed() == Mixed::Quarantine {
        quarantine_refused(&mut judged);
    }
    judged
}

/// The facts as the rules of a group of recipients read them; a copy only where they are not so already.
fn of_group<'a>(facts: &'a Facts, rcpt: &Rcpt) -> Cow<'a, Facts> {
    if facts.rcpt == *rcpt {
        return Cow::Borrowed(facts);
    }
    Cow::Owned(Facts { rcpt: rcpt.clone(), ..facts.clone() })
}

/// There is one answer after DATA: where some take the message, it is quarantined for those who would not. An outage of our DNS is no
/// rule's decision and stays everyone's deferral.
fn quarantine_refused(judged: &mut [Judged<'_>]) {
    let takes = |one: &Judged<'_>| matches!(one.verdict.action(), Action::Accept | Action::Quarantine);
    let in_outage = |one: &Judged<'_>| one.verdict.action() == Action::Defer && one.verdict.rule().is_empty();
    if !judged.iter().any(takes) || judged.iter().any(in_outage) {
        return;
    }
    for one in judged.iter_mut().filter(|one| !takes(one)) {
        one.instead_of = Some(one.verdict.action());
        one.verdict = Verdict::Quarantine { rule: one.verdict.rule().to_owned() };
        one.judgement.edits.folder.clear();
    }
}

/// What was decided for each listed recipient, by its place; nothing where it is the same for all.
pub(super) fn by_recipient(judged: &[Judged<'_>]) -> Vec<(usize, RecipientDecision)> {
    let decisions: Vec<RecipientDecision> = judged.iter().map(Judged::decision).collect();
    if decisions.windows(2).all(|pair| pair.first() == pair.last()) {
        return Vec::new();
    }
    let of_group = |(one, decision): (&Judged<'_>, RecipientDecision)| {
        let places: Vec<usize> = one.members.iter().filter_map(|member| member.listed).collect();
        places.into_iter().map(move |place| (place, decision.clone()))
    };
    judged.iter().zip(decisions).flat_map(of_group).collect()
}

/// What is changed of the copies of listed recipients, by their places, where that is not what is changed of the first one's.
pub(super) fn changes_by_recipient(judged: &[Judged<'_>]) -> Vec<(usize, ChangesRecord)> {
    let first = judged.first().and_then(Judged::changes);
    let others = judged.iter().filter_map(|one| Some((one, one.changes()?)));
    let others = others.filter(|(_, changes)| first.as_ref() != Some(changes));
    let of_group = |(one, changes): (&Judged<'_>, ChangesRecord)| {
        let places: Vec<usize> = one.members.iter().filter_map(|member| member.listed).collect();
        places.into_iter().map(move |place| (place, changes.clone()))
    };
    others.flat_map(of_group).collect()
}

/// The refusal that the message gets, if any: by [`Transaction::goes_with`] it is then everyone's. Where some defer and others refuse, it
/// is deferred: those may take it later.
pub(super) fn refusal(judged: &[Judged<'_>]) -> Option<Refusal> {
    let refusing = judged.iter().filter_map(|one| Some((one, answer(&one.verdict)?)));
    let (one, reply) = refusing.min_by_key(|(one, _)| one.verdict.action() != Action::Defer)?;
    Some(Refusal {
        stage: Stage::Data,
        rule: one.verdict.rule().to_owned(),
        grounds: one.judgement.grounds.clone(),
        reply,
        rules: one.judgement.rules.clone(),
        score: one.judgement.score,
        trouble: String::new(),
        rcpt: one.rcpt.clone(),
        recalled: None,
    })
}

/// The reply of a verdict that refuses.
fn answer(verdict: &Verdict) -> Option<Reply> {
    let text = verdict.reply()?;
    let own = Reply::parse(text).ok().filter(|reply| !reply.is_positive());
    // the policy was checked when it was loaded; a reply that slipped through still refuses
    Some(own.unwrap_or_else(|| match verdict.action() {
        Action::Defer => reply::deferred_by_policy(),
        _ => reply::refused_by_policy(),
    }))
}
