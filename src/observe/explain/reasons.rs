//! Why a rule decided, told by what it read: each group of facts in the words of somebody who knows no rules.

use std::net::IpAddr;

use super::{author, content, evidence, fit, plain, remembered, scores};
use crate::facts::record::Record;
use crate::facts::word::Action;
use crate::facts::{
    ArcResult, DmarcResult, Facts, HeloKind, HeloResult, IprevResult, MethodResult, Mx, ReverseMxResult, Spf,
};

/// Clauses that one sentence has at most.
const MOST_CLAUSES: usize = 6;

/// Which way a clause speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Against the message.
    Against,
    /// For it.
    For,
    /// It says how things are.
    Plain,
    /// It says who is meant, and is told where there is nothing else.
    Background,
}

/// A part of the sentence.
pub(super) type Clause = (Speaks, String);

/// What the rule that decided read.
pub(super) struct Read<'a> {
    names: &'a [String],
}

impl Read<'_> {
    /// Whether it read this fact, or one below it.
    pub fn has(&self, group: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.names.iter().any(|name| name.strip_prefix(group).is_some_and(below))
    }

    /// The keys of a fact whose entries have names: `list-id` of `headers['list-id']`.
    pub fn keys<'s>(&'s self, fact: &'s str) -> impl Iterator<Item = &'s str> {
        self.names.iter().filter_map(move |name| name.strip_prefix(fact)?.strip_prefix("['")?.strip_suffix("']"))
    }
}

/// Why the rule that decided did; nothing where the record does not have what it read.
pub fn of_rule(record: &Record) -> Vec<String> {
    let facts = &record.facts;
    let read = Read { names: &record.decision.read };
    let mut clauses = from_authentication(facts, &read);
    clauses.extend(from_client(facts, &read));
    clauses.extend(from_lists(record, &read));
    clauses.extend(content::clauses(facts, &read));
    clauses.extend(remembered::clauses(facts, &read));
    if read.has("score") {
        clauses.extend(scores::told(record).map(|text| (Speaks::Plain, text)));
    }
    clauses.extend(plain::clauses(facts, &read));
    said(clauses, record.decision.action)
}

/// What speaks the other way is left out where something speaks the way that was decided.
fn said(mut clauses: Vec<Clause>, action: Action) -> Vec<String> {
    let (with, other) = match action {
        Action::Accept => (Speaks::For, Speaks::Against),
        _ => (Speaks::Against, Speaks::For),
    };
    if clauses.iter().any(|(speaks, _)| *speaks == with) {
        clauses.retain(|(speaks, _)| *speaks != other);
    }
    if clauses.iter().any(|(speaks, _)| *speaks != Speaks::Background) {
        clauses.retain(|(speaks, _)| *speaks != Speaks::Background);
    }
    clauses.truncate(MOST_CLAUSES);
    clauses.into_iter().map(|(_, text)| text).collect()
}

fn from_authentication(facts: &Facts, read: &Read<'_>) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let malformed = !facts.from.defects.is_empty();
    if read.has("from.defects") && malformed {
        clauses.push((Speaks::Against, author::malformed(facts)));
    }
    let of_dmarc = read.has("dmarc") && !malformed;
    if of_dmarc {
        let speaks = match facts.dmarc.result {
            DmarcResult::Pass => Speaks::For,
            DmarcResult::None => Speaks::Plain,
            DmarcResult::Fail | DmarcResult::TempError | DmarcResult::PermError => Speaks::Against,
        };
        clauses.extend(author::author(facts).into_iter().map(|text| (speaks, text)));
    }
    // what is told of DMARC tells of SPF and DKIM, unless their result could not be known
    let told = of_dmarc && !matches!(facts.dmarc.result, DmarcResult::Pass | DmarcResult::TempError);
    if read.has("spf.mail_from") && !told {
        clauses.extend(spf(facts, &facts.spf.mail_from, "the reverse-path"));
    }
    let helo_told = of_dmarc || read.has("spf.mail_from") && facts.spf.helo.result != MethodResult::Fail;
    if read.has("spf.helo") && !helo_told {
        clauses.extend(spf(facts, &facts.spf.helo, "the HELO name"));
    }
    if read.has("dkim") && !told {
        let passes = facts.dkim.iter().any(|signature| signature.result == MethodResult::Pass);
        clauses.push((if passes { Speaks::For } else { Speaks::Against }, dkim(facts)));
    }
    if read.has("arc") {
        clauses.push(match facts.arc.result {
            ArcResult::None => (Speaks::Plain, "no ARC chain tells who handled it".to_owned()),
            ArcResult::Pass => (Speaks::For, "the ARC chain of those who handled it is valid".to_owned()),
            ArcResult::Fail => (Speaks::Against, "the ARC chain of those who handled it is broken".to_owned()),
            ArcResult::TempError => (Speaks::Against, "the ARC chain could not be checked (DNS trouble)".to_owned()),
        });
    }
    clauses
}

/// Of signatures of anybody.
fn dkim(facts: &Facts) -> String {
    let passed = facts.dkim.iter().find(|signature| signature.result == MethodResult::Pass);
    match passed {
        Some(signature) => format!("a DKIM signature of {} verified", fit(&signature.domain)),
        None if facts.dkim.is_empty() => "there is no DKIM signature".to_owned(),
        None if facts.dkim.iter().any(|signature| signature.result == MethodResult::TempError) => {
            "a DKIM signature could not be checked (DNS trouble)".to_owned()
        }
        None => "no DKIM signature verified".to_owned(),
    }
}

fn spf(facts: &Facts, spf: &Spf, of: &str) -> Option<Clause> {
    let (domain, ip) = (fit(&spf.domain), facts.client.ip);
    Some(match spf.result {
        MethodResult::None if domain.is_empty() => return None,
        MethodResult::None => (Speaks::Plain, format!("{domain}, the domain of {of}, has no SPF record")),
        MethodResult::Pass => (Speaks::For, format!("SPF passed for {domain}, the domain of {of}")),
        MethodResult::Fail => {
            (Speaks::Against, format!("SPF failed: {domain}, the domain of {of}, says that {ip} may not send its mail"))
        }
        MethodResult::SoftFail => (
            Speaks::Against,
            format!(
                "SPF gave softfail: {domain}, the domain of {of}, says that {ip} should probably not send its mail"
            ),
        ),
        MethodResult::Neutral | MethodResult::Policy => {
            (Speaks::Plain, format!("SPF of {domain}, the domain of {of}, says neither yes nor no to {ip}"))
        }
        MethodResult::TempError => {
            (Speaks::Against, format!("SPF of {domain}, the domain of {of}, could not be checked (DNS trouble)"))
        }
        MethodResult::PermError => {
            (Speaks::Against, format!("the SPF record of {domain}, the domain of {of}, can't be used"))
        }
    })
}

fn from_client(facts: &Facts, read: &Read<'_>) -> Vec<Clause> {
    let mut clauses = Vec::new();
    if facts.client.trusted && read.has("client.trusted") {
        clauses.push((Speaks::For, format!("the client {} is one of our own (smtp.trusted)", facts.client.ip)));
    }
    if facts.client.early_talker && read.has("client.early_talker") {
        clauses.push((Speaks::Against, format!("the client {} spoke before it was greeted", facts.client.ip)));
    }
    if read.has("iprev") || read.has("client.name") {
        clauses.extend(reverse_name(facts));
    }
    if read.has("helo_check") {
        clauses.extend(helo(facts));
    }
    let four = &facts.reverse_mx;
    for (fact, role, one) in [
        ("reverse_mx.mail_from", "the domain of the reverse-path", &four.mail_from),
        ("reverse_mx.from", "the author domain", &four.from),
        ("reverse_mx.reply_to", "the domain of Reply-To", &four.reply_to),
        ("reverse_mx.ptr", "the client's reverse name", &four.ptr),
    ] {
        if !one.domain.is_empty() && read.has(fact) {
            let speaks = match (one.result, one.mx) {
                (_, Mx::Null | Mx::Missing) => Speaks::Against,
                (ReverseMxResult::Pass, _) => Speaks::For,
                (ReverseMxResult::None, _) => Speaks::Plain,
                _ => Speaks::Against,
            };
            clauses.push((speaks, evidence::exchanger(one, &format!("{} ({role})", fit(&one.domain)))));
        }
    }
    clauses
}

fn reverse_name(facts: &Facts) -> Option<Clause> {
    let (ip, name): (IpAddr, String) = (facts.client.ip, fit(&facts.iprev.name));
    Some(match facts.iprev.result {
        IprevResult::None => return None,
        IprevResult::Pass => (Speaks::For, format!("the client {ip} is {name} by its reverse name")),
        IprevResult::Fail if name.is_empty() => {
            (Speaks::Against, format!("no name of the client {ip} leads back to its address"))
        }
        IprevResult::Fail => (
            Speaks::Against,
            format!("the reverse name of the client {ip} is {name}, but {name} does not have this address"),
        ),
        IprevResult::TempError => {
            (Speaks::Against, format!("the reverse name of the client {ip} could not be looked up (DNS trouble)"))
        }
        IprevResult::PermError => (Speaks::Against, format!("the client {ip} has no reverse name")),
    })
}

fn helo(facts: &Facts) -> Option<Clause> {
    let text = evidence::helo_text(facts)?;
    let speaks = match (facts.helo_check.kind, facts.helo_check.result) {
        (HeloKind::Invalid, _) => Speaks::Against,
        (_, HeloResult::Pass) => Speaks::For,
        (_, HeloResult::None) => Speaks::Plain,
        _ => Speaks::Against,
    };
    Some((speaks, format!("the HELO name {text}")))
}

/// What the lists say that were asked; of several only those that list something, where one does.
fn from_lists(record: &Record, read: &Read<'_>) -> Vec<Clause> {
    let lists = &record.facts.block_lists;
    if !read.has("block_lists") || lists.is_empty() {
        return Vec::new();
    }
    let ip = record.facts.client.ip;
    let speaks = if record.decision.action == Action::Accept { Speaks::For } else { Speaks::Against };
    let mut clauses: Vec<Clause> = lists
        .iter()
        .filter(|(_, list)| list.listed)
        .map(|(zone, list)| {
            let what = match list.names.as_slice() {
                [] => format!("the client {ip}"),
                [only] if *only == ip.to_string() => format!("the client {ip}"),
                _ => evidence::names(list),
            };
            let codes = if list.codes.is_empty() { String::new() } else { format!(" as {}", evidence::codes(list)) };
            (speaks, format!("the list {} has {what}{codes}", fit(zone)))
        })
        .collect();
    for (zone, _) in lists.iter().filter(|(_, list)| list.temperror && !list.listed) {
        clauses.push((Speaks::Plain, format!("the list {} could not be asked", fit(zone))));
    }
    if clauses.is_empty() {
        clauses.push((Speaks::Background, "none of the lists that were asked has it".to_owned()));
    }
    clauses
}
