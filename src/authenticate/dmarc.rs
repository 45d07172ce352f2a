//! DMARC (RFC 9989): whether a domain that was authenticated speaks for the author domain, and what the author domain asks for
//! where none does. Policy discovery and organizational domains come from a walk up the DNS tree (§4.10).

mod record;

use std::collections::HashMap;

use super::Authenticator;
use super::resolver::{Answer, DnsName, Resolver, Share};
use super::signature::is_within;
use crate::facts::{Dkim, Dmarc, DmarcPolicy, DmarcResult, MethodResult, SpfBoth};
use crate::message::author::Author;
use crate::smtp::address::{Domain, ReversePath};
use record::{Psd, Record};

/// Labels to which a long name is cut after the first query (RFC 9989 §4.10 step 4).
const WALK_LABELS: usize = 7;

impl Authenticator {
    /// Evaluates DMARC for the author from what SPF and DKIM found. An author without exactly one domain is `none`: rules see
    /// its defects. With a null reverse-path SPF speaks for the HELO domain (RFC 7208 §2.4).
    pub async fn dmarc(&self, author: &Author, spf: &SpfBoth, mail_from: &ReversePath, dkim: &[Dkim]) -> Dmarc {
        let Some(domain) = author.domain() else { return Dmarc::default() };
        let identifiers = identifiers(spf, mail_from, dkim);
        let (resolver, secured) = self.resolver().on(Share::Dmarc).secured();
        let evaluation = evaluate(Walker::new(&resolver), domain.as_str(), &identifiers);
        let temporary = Dmarc { result: DmarcResult::TempError, ..Dmarc::default() };
        let dmarc = tokio::time::timeout(self.check_deadline(), evaluation).await.unwrap_or(temporary);
        Dmarc { secure: secured.holds(), ..dmarc }
    }

    /// Asks for the author's policy record, so that it is in the DNS cache when the body is complete.
    pub async fn fetch_dmarc_policy(&self, author: &Author) {
        let Some(domain) = author.domain() else { return };
        let resolver = self.resolver().on(Share::Dmarc);
        let mut walker = Walker::new(&resolver);
        // Whatever comes of it is asked for again when it is needed.
        let _ = tokio::time::timeout(self.check_deadline(), walker.discover(domain.as_str())).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Spf,
    Dkim,
}

/// A domain that a method authenticated, or might have if the DNS had answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identifier {
    method: Method,
    domain: String,
    passed: bool,
}

/// The authenticated identifiers (RFC 9989 §4.4), those that passed first.
fn identifiers(spf: &SpfBoth, mail_from: &ReversePath, dkim: &[Dkim]) -> Vec<Identifier> {
    let spf = if *mail_from == ReversePath::Null { &spf.helo } else { &spf.mail_from };
    let results = std::iter::once((Method::Spf, spf.result, &spf.domain))
        .chain(dkim.iter().map(|dkim| (Method::Dkim, dkim.result, &dkim.domain)));
    let mut identifiers: Vec<Identifier> = results
        .filter(|(_, result, _)| matches!(result, MethodResult::Pass | MethodResult::TempError))
        .filter_map(|(method, result, domain)| {
            let domain = comparable(domain)?;
            Some(Identifier { method, domain, passed: result == MethodResult::Pass })
        })
        .collect();
    identifiers.sort_by_key(|identifier| !identifier.passed);
    identifiers.dedup();
    identifiers
}

/// A domain as A-labels in lower case. Names that are no host names (`_`) can sign, too.
fn comparable(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.trim_end_matches('.').to_ascii_lowercase()).filter(|domain| !domain.is_empty());
    }
    Domain::parse(domain).ok().map(|domain| domain.as_str().to_owned())
}

/// The DNS can't say now.
struct Trouble;

async fn evaluate(mut walker: Walker<'_>, author: &str, identifiers: &[Identifier]) -> Dmarc {
    let found = match walker.discover(author).await {
        Ok(Some(found)) => found,
        Ok(None) => return Dmarc::default(),
        Err(Trouble) => return Dmarc { result: DmarcResult::TempError, ..Dmarc::default() },
    };
    let record = &found.record;
    let Some(policies) = record.policies() else { return Dmarc::default() };
    let stated = if found.domain == author {
        policies.domain
    } else if policies.subdomain == policies.nonexistent {
        policies.subdomain
    } else {
        match walker.exists(author).await {
            Some(true) => policies.subdomain,
            Some(false) => policies.nonexistent,
            // What can't be told now is no ground for the harder of the two.
            None => policies.subdomain.min(policies.nonexistent),
        }
    };
    let mut dmarc = Dmarc {
        result: DmarcResult::Fail,
        domain: found.domain.clone(),
        policy: if record.is_testing { one_level_below(stated) } else { stated },
        published: policies.domain,
        aligned: false,
        secure: false,
    };
    let mut in_doubt = false;
    for identifier in identifiers {
        let is_strict = match identifier.method {
            Method::Spf => record.strict_spf,
            Method::Dkim => record.strict_dkim,
        };
        match walker.is_aligned(author, &identifier.domain, is_strict).await {
            Ok(true) if identifier.passed => {
                dmarc.result = DmarcResult::Pass;
                dmarc.aligned = true;
                return dmarc;
            }
            // RFC 9989 §5.3.6: a DNS error where the identifier would align leaves neither pass nor fail.
            Ok(true) | Err(Trouble) => in_doubt = true,
            Ok(false) => {}
        }
    }
    if in_doubt {
        dmarc.result = DmarcResult::TempError;
    }
    dmarc
}

/// t=y (RFC 9989 §4.7).
fn one_level_below(policy: DmarcPolicy) -> DmarcPolicy {
    match policy {
        DmarcPolicy::Reject => DmarcPolicy::Quarantine,
        DmarcPolicy::Quarantine | DmarcPolicy::None => DmarcPolicy::None,
    }
}

/// A policy record and the domain where it stands.
#[derive(Debug, Clone)]
struct Found {
    domain: String,
    record: Record,
}

/// Walks the tree, and asks for each name once in an evaluation.
struct Walker<'r> {
    resolver: &'r Resolver,
    asked: HashMap<String, Option<Record>>,
}

impl<'r> Walker<'r> {
    fn new(resolver: &'r Resolver) -> Walker<'r> {
        Walker { resolver, asked: HashMap::new() }
    }

    /// The policy record of exactly this domain. Several of them are discarded, as if there were none (RFC 9989 §4.10 steps 2
    /// and 6).
    async fn query(&mut self, domain: &str) -> Result<Option<Record>, Trouble> {
        if let Some(known) = self.asked.get(domain) {
            return Ok(known.clone());
        }
        // A name that is too long with its prefix can't hold a record.
        let answer = match DnsName::parse(format!("_dmarc.{domain}")) {
            Some(name) => self.resolver.txt(&name).await,
            None => Answer::NxDomain,
        };
        let texts = answer.records().map_err(|_| Trouble)?;
        let mut records = texts.iter().filter_map(|text| Record::parse(text));
        let record = records.next().filter(|_| records.next().is_none());
        self.asked.insert(domain.to_owned(), record.clone());
        Ok(record)
    }

    /// The records found on the way from `domain` to the top, longest name first (RFC 9989 §4.10).
    async fn walk(&mut self, domain: &str) -> Result<Vec<Found>, Trouble> {
        let mut found = Vec::new();
        let mut next = Some(domain);
        while let Some(name) = next {
            if let Some(record) = self.query(name).await? {
                let ends = record.psd != Psd::Unknown;
                found.push(Found { domain: name.to_owned(), record });
                if ends {
                    break;
                }
            }
            next = above(name);
        }
        Ok(found)
    }

    /// The record that applies: the author domain's, else the organizational domain's, else the public suffix domain's
    /// (RFC 9989 §4.10.1).
    async fn discover(&mut self, author: &str) -> Result<Option<Found>, Trouble> {
        if let Some(record) = self.query(author).await? {
            return Ok(Some(Found { domain: author.to_owned(), record }));
        }
        let found = self.walk(author).await?;
        let organizational = organizational(&found, author);
        let its_own = found.iter().find(|found| found.domain == organizational);
        Ok(its_own.or_else(|| found.last().filter(|last| last.record.psd == Psd::Yes)).cloned())
    }

    /// Identifier alignment (RFC 9989 §4.10.2).
    async fn is_aligned(&mut self, author: &str, identifier: &str, is_strict: bool) -> Result<bool, Trouble> {
        if author == identifier {
            return Ok(true);
        }
        if is_strict {
            return Ok(false);
        }
        let of_author = organizational(&self.walk(author).await?, author);
        // An organizational domain is never above or beside its domain, so only those below it need a walk of their own.
        if !is_within(identifier, &of_author) {
            return Ok(false);
        }
        Ok(organizational(&self.walk(identifier).await?, identifier) == of_author)
    }

    /// Whether a domain exists: anything but NXDOMAIN (RFC 9989 §3.2.13, RFC 8020). `None` where it can't be told.
    async fn exists(&self, domain: &str) -> Option<bool> {
        match self.resolver.a(&DnsName::parse(domain)?).await {
            Answer::Found(_) | Answer::NoData => Some(true),
            Answer::NxDomain => Some(false),
            Answer::Trouble(_) => None,
        }
    }
}

/// The name that is asked after this one: one label less, or [`WALK_LABELS`] where there are more (RFC 9989 §4.10 steps 4, 7).
fn above(name: &str) -> Option<&str> {
    let labels = name.split('.').count();
    let drop = if labels > WALK_LABELS { labels - WALK_LABELS } else { 1 };
    name.splitn(drop + 1, '.').nth(drop)
}

/// The organizational domain of `start`, of what a walk from it found (RFC 9989 §4.10.2).
fn organizational(found: &[Found], start: &str) -> String {
    for at in found {
        match at.record.psd {
            Psd::No => return at.domain.clone(),
            Psd::Yes if at.domain != start => return one_label_below(start, &at.domain),
            Psd::Yes | Psd::Unknown => {}
        }
    }
    found.last().map_or_else(|| start.to_owned(), |last| last.domain.clone())
}

/// The domain on the way from `start` to `parent` that has one label more than `parent`.
fn one_label_below(start: &str, parent: &str) -> String {
    let rest = start.strip_suffix(parent).and_then(|rest| rest.strip_suffix('.')).unwrap_or_default();
    let label = rest.rsplit('.').next().unwrap_or_default();
    format!("{label}.{parent}")
}
