//! One sentence that tells the whole story, and a second one for what else an administrator should know.

use super::evidence::{related, vouches};
use super::{fit, listed, number};
use crate::facts::record::Record;
use crate::facts::word::{Action, Outcome};
use crate::facts::{DmarcResult, Facts, IprevResult, MethodResult, Mx, ReverseMxResult, Stage};

/// The story in a sentence or two, one line.
pub fn summary(record: &Record) -> String {
    let mut reasons = Vec::new();
    if by_protocol(record) {
        reasons.push(format!("the answer was \"{}\"", fit(without_ref(&record.decision.reply))));
    } else {
        reasons.extend(reasons_of_stage(record));
    }
    reasons.extend(score(record));
    let mut text = verdict(record);
    if !reasons.is_empty() {
        text.push_str(": ");
        text.push_str(&joined(reasons));
    }
    text.push('.');
    for (outcome, end) in
        [(Outcome::Observed, "would have acted, but only observes"), (Outcome::Error, "could not be run")]
    {
        let names: Vec<String> =
            record.rules.iter().filter(|rule| rule.outcome == outcome).map(|rule| fit(&rule.name)).collect();
        match names.len() {
            0 => {}
            1 => text.push_str(&format!(" Rule {} {end}.", listed(names))),
            _ => text.push_str(&format!(" Rules {} {}.", listed(names), end.replace("observes", "observe"))),
        }
    }
    text
}

/// Refused by SMTP's own rules (grammar, relaying, unknown mailboxes, size), or by trouble of ours: no rule was asked.
fn by_protocol(record: &Record) -> bool {
    record.decision.rule.is_empty() && matches!(record.decision.action, Action::Defer | Action::Reject)
}

fn verdict(record: &Record) -> String {
    let rule = match record.decision.rule.as_str() {
        "" => String::new(),
        rule => format!(" by rule {}", fit(rule)),
    };
    match record.decision.action {
        Action::Accept if record.decision.reply.is_empty() => {
            "Ended by the client before there was an answer".to_owned()
        }
        Action::Accept => format!("Accepted{rule}{}", stored(record)),
        Action::Quarantine => format!("Quarantined{rule}{}", stored(record)),
        Action::Discard => format!("Discarded{rule}"),
        Action::Defer if rule.is_empty() => format!("Deferred at stage {}, by no rule", record.stage),
        Action::Reject if rule.is_empty() => format!("Refused at stage {}, by no rule", record.stage),
        Action::Defer => format!("Deferred{rule}"),
        Action::Reject => format!("Refused{rule}"),
    }
}

fn stored(record: &Record) -> String {
    if record.delivery.is_empty() {
        return String::new();
    }
    let mut copies: Vec<String> = record.delivery.iter().map(|copy| fit(&copy.mailbox)).collect();
    copies.dedup();
    format!(" and stored for {}", listed(copies))
}

fn without_ref(reply: &str) -> &str {
    reply.split_once(" ref=").map_or(reply, |(text, _)| text)
}

fn reasons_of_stage(record: &Record) -> Vec<String> {
    let facts = &record.facts;
    if record.decision.action == Action::Accept && record.decision.reply.is_empty() {
        return Vec::new();
    }
    let mut reasons = Vec::new();
    if record.stage == Stage::Data {
        reasons.extend(author(facts));
    }
    let refused = record.decision.action != Action::Accept;
    if refused
        && (record.stage != Stage::Data || facts.from.domain.is_empty() || facts.dmarc.result != DmarcResult::Fail)
    {
        reasons.extend(sending_side(facts, record.stage));
    }
    reasons
}

/// What is known of the author.
fn author(facts: &Facts) -> Vec<String> {
    if !facts.from.defects.is_empty() {
        let defects = facts.from.defects.iter().map(|defect| fit(defect)).collect();
        return vec![format!("the From field is malformed ({})", listed(defects))];
    }
    let author = fit(&facts.from.domain);
    if author.is_empty() {
        return vec!["the message names no author domain".to_owned()];
    }
    match facts.dmarc.result {
        DmarcResult::Pass => vec![format!("the author domain {author} vouches for it by {}", vouchers(facts))],
        DmarcResult::Fail => vec![policy(facts), spf(facts), dkim(facts)],
        DmarcResult::None => {
            vec![format!("the author domain {author} publishes no DMARC policy"), spf(facts), dkim(facts)]
        }
        DmarcResult::TempError => vec![format!("DNS trouble kept the author domain {author} from being checked")],
        DmarcResult::PermError => {
            vec![format!("the DMARC policy of the author domain {author} can't be used"), spf(facts), dkim(facts)]
        }
    }
}

/// The DMARC policy that the author domain is under.
fn policy(facts: &Facts) -> String {
    let (author, at) = (fit(&facts.from.domain), fit(&facts.dmarc.domain));
    let published = facts.dmarc.published;
    let mut text = if at.is_empty() || at == author {
        format!("the author domain {author} publishes p={published}")
    } else {
        format!("the author domain {author} is under p={published} of {at}")
    };
    if facts.dmarc.policy != published {
        text.push_str(&format!(" ({} applies)", facts.dmarc.policy));
    }
    text
}

/// By what an aligned domain vouches.
fn vouchers(facts: &Facts) -> String {
    let mut by: Vec<String> = Vec::new();
    if let Some(signature) = facts.dkim.iter().find(|signature| vouches(facts, signature)) {
        by.push(format!("a DKIM signature of {}", fit(&signature.domain)));
    }
    let spf = [&facts.spf.mail_from, &facts.spf.helo];
    if let Some(spf) = spf.iter().find(|spf| spf.result == MethodResult::Pass && related(facts, &spf.domain)) {
        by.push(format!("SPF of {}", fit(&spf.domain)));
    }
    if by.is_empty() { "an aligned identifier".to_owned() } else { listed(by) }
}

fn spf(facts: &Facts) -> String {
    // A null reverse-path leaves the HELO identity (RFC 7208 §2.4).
    let spf = if facts.mail_from.domain.is_empty() { &facts.spf.helo } else { &facts.spf.mail_from };
    let domain = fit(&spf.domain);
    match spf.result {
        MethodResult::Pass if related(facts, &spf.domain) => format!("SPF passed for {domain}"),
        MethodResult::Pass => format!("SPF passed only for {domain}"),
        MethodResult::Fail => format!("SPF failed for {domain}"),
        MethodResult::SoftFail => format!("SPF gave softfail for {domain}"),
        MethodResult::TempError => format!("SPF could not be checked for {domain}"),
        MethodResult::PermError => format!("the SPF record of {domain} can't be used"),
        MethodResult::None | MethodResult::Neutral | MethodResult::Policy => "SPF says nothing".to_owned(),
    }
}

fn dkim(facts: &Facts) -> String {
    let author = fit(&facts.from.domain);
    if facts.dkim.is_empty() {
        return "there is no DKIM signature".to_owned();
    }
    match facts.dkim.iter().find(|signature| vouches(facts, signature)) {
        Some(signature) => format!("a DKIM signature of {} verified", fit(&signature.domain)),
        None => format!("no DKIM signature of {author} verified"),
    }
}

/// What is wrong with the connection and the envelope, as far as it is known.
fn sending_side(facts: &Facts, stage: Stage) -> Vec<String> {
    let mut reasons = Vec::new();
    match facts.iprev.result {
        IprevResult::PermError => reasons.push(format!("{} has no reverse name", facts.client.ip)),
        IprevResult::Fail => reasons.push(format!("the reverse name of {} does not lead back to it", facts.client.ip)),
        IprevResult::TempError => {
            reasons.push(format!("the reverse name of {} could not be looked up", facts.client.ip))
        }
        IprevResult::None | IprevResult::Pass => {}
    }
    let says = |result| {
        matches!(
            result,
            MethodResult::Fail | MethodResult::SoftFail | MethodResult::TempError | MethodResult::PermError
        )
    };
    if stage != Stage::Data && says(facts.spf.mail_from.result) {
        reasons.push(spf(facts));
    }
    let path = &facts.reverse_mx.mail_from;
    let domain = fit(&path.domain);
    match (path.result, path.mx) {
        (_, Mx::Null) => reasons.push(format!("the reverse-path's domain {domain} takes no mail")),
        (_, Mx::Missing) => reasons.push(format!("the reverse-path's domain {domain} cannot receive mail")),
        (ReverseMxResult::Fail, _) => reasons.push(format!("the client is no mail exchanger of {domain}")),
        (ReverseMxResult::TempError, _) => reasons.push(format!("the exchangers of {domain} could not be looked up")),
        _ => {}
    }
    reasons.extend(listings(facts));
    reasons
}

/// What block lists list, with the lists that agree on it.
fn listings(facts: &Facts) -> Vec<String> {
    let mut listings: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for (zone, list) in facts.block_lists.iter().filter(|(_, list)| list.listed) {
        let names = match list.names.as_slice() {
            [] => vec![facts.client.ip.to_string()],
            names => names.iter().map(|name| fit(name)).collect(),
        };
        match listings.iter_mut().find(|(known, _)| *known == names) {
            Some((_, zones)) => zones.push(fit(zone)),
            None => listings.push((names, vec![fit(zone)])),
        }
    }
    let clause = |(names, zones): (Vec<String>, Vec<String>)| {
        let verb = if names.len() == 1 { "is" } else { "are" };
        format!("{} {verb} listed by {}", listed(names), listed(zones))
    };
    listings.into_iter().map(clause).collect()
}

fn score(record: &Record) -> Option<String> {
    let names: Vec<String> =
        record.rules.iter().filter(|rule| rule.outcome == Outcome::Scored).map(|rule| fit(&rule.name)).collect();
    (!names.is_empty()).then(|| format!("the score is {} by {}", number(record.facts.score), listed(names)))
}

/// Clauses of one sentence: a comma stands before the last `and`, because clauses may hold an `and` of their own.
fn joined(mut clauses: Vec<String>) -> String {
    let last = clauses.pop().unwrap_or_default();
    match clauses.len() {
        0 => last,
        _ => format!("{}, and {last}", clauses.join(", ")),
    }
}
