//! What is known of the author: what the domain publishes, and what vouches for the message.

use super::evidence::{related, vouches};
use super::{fit, listed};
use crate::facts::{Dkim, DmarcResult, Facts, MethodResult};

/// What is known of the author.
pub fn author(facts: &Facts) -> Vec<String> {
    if !facts.from.defects.is_empty() {
        return vec![malformed(facts)];
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
        MethodResult::TempError => format!("SPF could not be checked for {domain} (DNS trouble)"),
        MethodResult::PermError => format!("the SPF record of {domain} can't be used"),
        MethodResult::None | MethodResult::Neutral | MethodResult::Policy => "SPF says nothing".to_owned(),
    }
}

pub fn dkim(facts: &Facts) -> String {
    let author = fit(&facts.from.domain);
    if facts.dkim.is_empty() {
        return "there is no DKIM signature".to_owned();
    }
    let own = |signature: &&Dkim| related(facts, &signature.domain);
    let untold = |signature: &Dkim| signature.result == MethodResult::TempError;
    match facts.dkim.iter().find(|signature| vouches(facts, signature)) {
        Some(signature) => format!("a DKIM signature of {} verified", fit(&signature.domain)),
        None if facts.dkim.iter().filter(own).any(untold) => {
            format!("the DKIM signature of {author} could not be checked (DNS trouble)")
        }
        None if author.is_empty() => "no DKIM signature is of the author".to_owned(),
        None => format!("no DKIM signature of {author} verified"),
    }
}

/// What is wrong with the From field, in words; the word of a rule stands behind it.
pub fn malformed(facts: &Facts) -> String {
    let defects = facts.from.defects.iter().map(|defect| match defect_in_words(defect) {
        "" => fit(defect),
        words => format!("{words} ({})", fit(defect)),
    });
    format!("the From field is malformed: {}", listed(defects.collect()))
}

fn defect_in_words(defect: &str) -> &'static str {
    match defect {
        "missing" => "there is none",
        "several-fields" => "there are several",
        "several-domains" => "it names authors of several domains",
        "no-address" => "it has no address",
        "group" => "it names a group instead of a mailbox",
        "encoded-word-in-address" => "an address in it is encoded",
        "control-character" => "it has a control character",
        "space-before-colon" => "it has a space before its colon",
        "no-header" => "the message has no header",
        "obsolete-route" => "its address has a route",
        "bad-syntax" => "it can't be read",
        "bad-domain" => "the domain in it is none",
        "readings-differ" => "programs read different authors in it",
        _ => "",
    }
}
