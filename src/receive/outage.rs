//! While our own DNS is out of order, nobody's mail is decided by what it could not say: a decision that leaned on such evidence
//! becomes a 451, whichever way it went. A stranger's broken zone is no such case: there the rules decide on temperror.

use crate::facts::word::{ArcResult, DmarcResult, HeloResult, IprevResult, MethodResult, ReverseMxResult};
use crate::facts::{Facts, ReverseMx, Spf};
use crate::policy::{Judgement, Policy, Verdict};
use crate::smtp::reply;

/// The verdict that stands in an outage: the deferral, where rules that were looked at read what could not be looked up.
pub(super) fn in_outage(verdict: Verdict, policy: &Policy, judgement: &Judgement, facts: &Facts) -> Verdict {
    if matches!(verdict, Verdict::Defer { .. }) || !leans_on_doubt(policy, judgement, facts) {
        return verdict;
    }
    Verdict::Defer { rule: String::new(), reply: reply::dns_outage().one_line() }
}

/// Whether a rule that was looked at, and that counts, read a fact that is in doubt.
fn leans_on_doubt(policy: &Policy, judgement: &Judgement, facts: &Facts) -> bool {
    let doubtful = doubtful(facts);
    policy
        .rules()
        .iter()
        .filter(|rule| !rule.observe())
        .filter(|rule| judgement.rules.iter().any(|seen| seen.name == rule.name() && seen.at == rule.at()))
        .any(|rule| doubtful.iter().any(|group| rule.looks_at().touches(group)))
}

/// The groups of facts that the DNS could not tell.
fn doubtful(facts: &Facts) -> Vec<&'static str> {
    let spf = |one: &Spf| one.result == MethodResult::TempError;
    let mx = |one: &ReverseMx| one.result == ReverseMxResult::TempError;
    let no_name = facts.iprev.result == IprevResult::TempError;
    let four = &facts.reverse_mx;
    let all = [
        ("iprev", no_name),
        ("client.name", no_name),
        ("reverse_mx.ptr", no_name || mx(&four.ptr)),
        ("spf.helo", spf(&facts.spf.helo)),
        ("spf.mail_from", spf(&facts.spf.mail_from)),
        ("reverse_mx.mail_from", mx(&four.mail_from)),
        ("reverse_mx.from", mx(&four.from)),
        ("reverse_mx.reply_to", mx(&four.reply_to)),
        ("dkim", facts.dkim.iter().any(|signature| signature.result == MethodResult::TempError)),
        ("dmarc", facts.dmarc.result == DmarcResult::TempError),
        ("arc", facts.arc.result == ArcResult::TempError),
        ("helo_check", facts.helo_check.result == HeloResult::TempError),
        ("block_lists", facts.block_lists.values().any(|list| list.temperror)),
    ];
    all.into_iter().filter(|(_, in_doubt)| *in_doubt).map(|(group, _)| group).collect()
}
