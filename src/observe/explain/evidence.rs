//! What each check found, a line each.

use super::{Line, fit, line, listed, remembered, tells_of_message};
use crate::facts::record::Record;
use crate::facts::{
    ArcResult, BlockList, Dkim, DmarcResult, Facts, HeloKind, HeloResult, IprevResult, MethodResult, Mx, ReverseMx,
    ReverseMxResult, Spf, Stage,
};

/// All checks that had something to look at.
pub fn lines(record: &Record) -> Vec<Line> {
    let facts = &record.facts;
    let mut lines = vec![line("reverse name", reverse_name(facts))];
    if record.stage != Stage::Connect {
        lines.extend(helo(facts));
        lines.push(line("SPF", format!("HELO: {}", spf(facts, &facts.spf.helo, "not checked"))));
        let nothing = if facts.mail_from.domain.is_empty() {
            "nothing to check, the reverse-path is null"
        } else {
            "not checked"
        };
        lines.push(line("", format!("MAIL FROM: {}", spf(facts, &facts.spf.mail_from, nothing))));
    }
    if tells_of_message(record) {
        lines.extend(dkim(facts));
        lines.push(line("DMARC", dmarc(facts)));
        lines.push(line("ARC", arc(facts.arc.result)));
    }
    lines.extend(reverse_mx(facts));
    lines.extend(secured(facts));
    lines.extend(block_lists(facts));
    lines.extend(remembered::lines(record));
    lines
}

fn reverse_name(facts: &Facts) -> String {
    let name = fit(&facts.iprev.name);
    match facts.iprev.result {
        IprevResult::None if facts.client.trusted => "not looked up, the client is trusted".to_owned(),
        IprevResult::None => "not looked up".to_owned(),
        IprevResult::Pass => format!("passed: {name} has the client's address"),
        IprevResult::Fail if name.is_empty() => "failed: no name of the address has that address".to_owned(),
        IprevResult::Fail => format!("failed: the address is called {name}, but {name} does not have this address"),
        IprevResult::TempError => "could not be looked up: DNS trouble".to_owned(),
        IprevResult::PermError => "missing: the address has no PTR record".to_owned(),
    }
}

fn spf(facts: &Facts, spf: &Spf, nothing: &str) -> String {
    let (domain, ip) = (fit(&spf.domain), facts.client.ip);
    match spf.result {
        MethodResult::None if facts.client.trusted => "not checked, the client is trusted".to_owned(),
        MethodResult::None if domain.is_empty() => nothing.to_owned(),
        MethodResult::None => format!("{domain} has no SPF record"),
        MethodResult::Pass => format!("passed for {domain}{}", foreign(facts, &spf.domain)),
        MethodResult::Fail => format!("failed: {domain} says that {ip} may not send its mail"),
        MethodResult::SoftFail => format!("softfail: {domain} says that {ip} should probably not send its mail"),
        MethodResult::Neutral => format!("neutral: {domain} says neither yes nor no to {ip}"),
        MethodResult::Policy => format!("not counted for {domain}"),
        MethodResult::TempError => format!("could not be checked for {domain}: DNS trouble"),
        MethodResult::PermError => format!("the SPF record of {domain} can't be used"),
    }
}

fn dkim(facts: &Facts) -> Vec<Line> {
    let mut texts = Vec::new();
    let author = fit(&facts.from.domain);
    if facts.dkim.is_empty() {
        texts.push("the message has no signature".to_owned());
    } else if !author.is_empty() && !facts.dkim.iter().any(|signature| vouches(facts, signature)) {
        texts.push(format!("no signature of {author} verified"));
    }
    texts.extend(facts.dkim.iter().map(|signature| one_signature(facts, signature)));
    texts.into_iter().enumerate().map(|(at, text)| line(if at == 0 { "DKIM" } else { "" }, text)).collect()
}

/// Whether a signature verified and is of the author's own organization.
pub fn vouches(facts: &Facts, signature: &Dkim) -> bool {
    signature.result == MethodResult::Pass && related(facts, &signature.domain)
}

fn one_signature(facts: &Facts, signature: &Dkim) -> String {
    let (domain, selector, algorithm) = (fit(&signature.domain), fit(&signature.selector), fit(&signature.algorithm));
    if domain.is_empty() && selector.is_empty() {
        return format!("a signature {}", verdict(signature));
    }
    let kind = if algorithm.is_empty() { String::new() } else { format!(" ({algorithm})") };
    let foreign = foreign(facts, &signature.domain);
    format!("{domain}, selector {selector}{kind}: {}{foreign}", verdict(signature))
}

fn verdict(signature: &Dkim) -> String {
    let word = match signature.result {
        MethodResult::Pass => "verified",
        MethodResult::Fail | MethodResult::SoftFail => "did not verify",
        MethodResult::Policy => "is not counted",
        MethodResult::Neutral => "can't be read",
        MethodResult::TempError => "could not be checked, DNS trouble",
        MethodResult::PermError => "can't be verified",
        MethodResult::None => "says nothing",
    };
    match signature.reason.as_str() {
        "" => word.to_owned(),
        reason => format!("{word}: {}", fit(reason)),
    }
}

/// `, which is not the author's domain x` where that is so.
fn foreign(facts: &Facts, domain: &str) -> String {
    if facts.from.domain.is_empty() || related(facts, domain) {
        return String::new();
    }
    format!(", which is not the author's domain {}", fit(&facts.from.domain))
}

/// Whether a domain is of the author's organization, as far as the record tells: DMARC itself was judged elsewhere.
pub fn related(facts: &Facts, domain: &str) -> bool {
    let (author, organization) = (facts.from.domain.as_str(), facts.dmarc.domain.as_str());
    if author.is_empty() || domain.is_empty() {
        return false;
    }
    let below = |name: &str, top: &str| {
        !top.is_empty() && (name == top || name.strip_suffix(top).is_some_and(|front| front.ends_with('.')))
    };
    below(domain, author) || below(author, domain) || (below(author, organization) && below(domain, organization))
}

fn dmarc(facts: &Facts) -> String {
    let (author, at) = (fit(&facts.from.domain), fit(&facts.dmarc.domain));
    let (published, policy) = (facts.dmarc.published, facts.dmarc.policy);
    let mut record = format!("{} publishes p={published}", if at.is_empty() { &author } else { &at });
    if policy != published {
        record.push_str(&format!(", of which {policy} applies here"));
    }
    match facts.dmarc.result {
        DmarcResult::None if author.is_empty() => "not applicable: there is no single author domain".to_owned(),
        DmarcResult::None => format!("{author} publishes no policy"),
        DmarcResult::Pass => format!("passed for {author}; {record}"),
        DmarcResult::Fail => format!("failed: nothing that passed belongs to {author}; {record}"),
        DmarcResult::TempError => format!("could not be checked for {author}: DNS trouble"),
        DmarcResult::PermError => format!("the policy of {author} can't be used"),
    }
}

fn arc(result: ArcResult) -> String {
    match result {
        ArcResult::None => "no chain",
        ArcResult::Pass => "the chain is valid (it says who handled the message, not whether to believe them)",
        ArcResult::Fail => "the chain is broken",
        ArcResult::TempError => "the chain could not be checked: DNS trouble",
    }
    .to_owned()
}

fn reverse_mx(facts: &Facts) -> Vec<Line> {
    let four = &facts.reverse_mx;
    let mut lines: Vec<Line> = Vec::new();
    for (role, one) in [
        ("reverse-path", &four.mail_from),
        ("author", &four.from),
        ("Reply-To", &four.reply_to),
        ("reverse name", &four.ptr),
    ] {
        if !one.domain.is_empty() {
            let key = if lines.is_empty() { "reverse MX" } else { "" };
            lines.push(line(key, format!("{role}: {}", exchanger(one, &fit(&one.domain)))));
        }
    }
    lines
}

/// Whether the client is an exchanger of a domain, which is called `domain`.
pub fn exchanger(one: &ReverseMx, domain: &str) -> String {
    match (one.result, one.mx) {
        (_, Mx::Null) => format!("{domain} says that it takes no mail (null MX)"),
        (_, Mx::Missing) => format!("{domain} cannot receive mail, it has neither MX nor address"),
        (ReverseMxResult::Pass, Mx::Implicit) => format!("the client is {domain} itself, which has no MX"),
        (ReverseMxResult::Pass, _) => format!("the client is a mail exchanger of {domain}"),
        (ReverseMxResult::Fail, Mx::Implicit) => format!("the client is not {domain}, which has no MX"),
        (ReverseMxResult::Fail, _) => format!("the client is no mail exchanger of {domain}"),
        (ReverseMxResult::None, _) => format!("{domain} has no mail exchanger"),
        (ReverseMxResult::TempError, _) => format!("the exchangers of {domain} could not be looked up: DNS trouble"),
        (ReverseMxResult::PermError, _) => format!("the MX records of {domain} can't be used"),
    }
}

/// What DNSSEC vouches for, where it does for anything.
fn secured(facts: &Facts) -> Option<Line> {
    let four = &facts.reverse_mx;
    let all = [
        ("SPF of HELO", facts.spf.helo.secure),
        ("SPF of MAIL FROM", facts.spf.mail_from.secure),
        ("DKIM", !facts.dkim.is_empty() && facts.dkim.iter().all(|signature| signature.secure)),
        ("DMARC", facts.dmarc.secure),
        ("MX of the reverse-path", four.mail_from.secure),
        ("MX of the author", four.from.secure),
        ("MX of Reply-To", four.reply_to.secure),
        ("MX of the reverse name", four.ptr.secure),
    ];
    let vouched: Vec<String> = all.into_iter().filter(|(_, secure)| *secure).map(|(what, _)| what.to_owned()).collect();
    (!vouched.is_empty()).then(|| line("DNSSEC", format!("vouches for {}", listed(vouched))))
}

fn block_lists(facts: &Facts) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (zone, list) in &facts.block_lists {
        let key = if lines.is_empty() { "block lists" } else { "" };
        lines.push(line(key, format!("{}: {}", fit(zone), listing(list))));
    }
    lines
}

fn listing(list: &BlockList) -> String {
    match (list.listed, list.names.as_slice(), list.codes.as_slice()) {
        (false, ..) if list.temperror => "could not be asked: DNS trouble, or it refuses our resolver".to_owned(),
        (false, ..) => "not listed".to_owned(),
        (true, [], []) => "listed".to_owned(),
        (true, [], _) => format!("listed as {}", self::codes(list)),
        (true, _, []) => format!("lists {}", self::names(list)),
        (true, _, _) => format!("lists {} as {}", self::names(list), self::codes(list)),
    }
}

fn helo(facts: &Facts) -> Option<Line> {
    helo_text(facts).map(|text| line("HELO", text))
}

/// What the HELO name is worth, beginning with it.
pub fn helo_text(facts: &Facts) -> Option<String> {
    let name = fit(&facts.helo);
    let check = &facts.helo_check;
    let leads = match (check.kind, check.result) {
        (HeloKind::Unknown, _) => return None,
        (HeloKind::Invalid, _) => format!("{name} is neither a full domain name nor an address literal"),
        (HeloKind::Literal, HeloResult::Pass) => format!("{name} is the client's address"),
        (HeloKind::Literal, _) => format!("{name} is not the client's address"),
        (HeloKind::Domain, HeloResult::Pass) => format!("{name} has the client's address"),
        (HeloKind::Domain, HeloResult::Fail) => format!("{name} has other addresses than the client's"),
        (HeloKind::Domain, HeloResult::PermError) => format!("{name} does not exist, or has no address"),
        (HeloKind::Domain, HeloResult::TempError) => format!("{name} could not be looked up: DNS trouble"),
        (HeloKind::Domain, HeloResult::None) => format!("{name} was not looked up"),
    };
    let called = if check.matches_ptr { ", and is its reverse name" } else { "" };
    Some(format!("{leads}{called}"))
}

/// What a list has, in words.
pub fn names(list: &BlockList) -> String {
    listed(list.names.iter().map(|name| fit(name)).collect())
}

/// As what a list has it, in words.
pub fn codes(list: &BlockList) -> String {
    listed(list.codes.iter().map(|code| fit(code)).collect())
}
