//! What was remembered of earlier mail: greylisting and rates.

use super::reasons::{Clause, Read, Speaks};
use super::{Line, fit, line, listed};
use crate::facts::rate::{Counted, Rate};
use crate::facts::record::Record;
use crate::facts::word::RatePart;
use crate::facts::{Facts, Greylist, GreylistKey, GreylistResult, network};

/// A line each. Where recipients were asked about and not the message, each may have been another stranger.
pub fn lines(record: &Record) -> Vec<Line> {
    let facts = &record.facts;
    let mut lines = if record.greylist_of_message { Vec::new() } else { of_recipients(record) };
    if lines.is_empty() {
        lines.extend(greylist(&facts.greylist).map(|(_, text)| line("greylisting", text)));
    }
    for (at, (name, count)) in facts.rates.iter().enumerate() {
        lines.push(line(if at == 0 { "rates" } else { "" }, rate(facts, name, *count)));
    }
    lines
}

/// Of what a rule read.
pub(super) fn clauses(facts: &Facts, read: &Read<'_>) -> Vec<Clause> {
    let mut clauses = Vec::new();
    if read.has("greylist") {
        clauses.extend(greylist(&facts.greylist));
    }
    let named: Vec<&str> = read.keys("rates").collect();
    for (name, count) in &facts.rates {
        if read.has("rates") && (named.is_empty() || named.contains(&name.as_str())) {
            clauses.push((Speaks::Plain, rate(facts, name, *count)));
        }
    }
    clauses
}

/// What greylisting said of the recipients, each thing once.
fn of_recipients(record: &Record) -> Vec<Line> {
    let mut texts: Vec<String> = Vec::new();
    for recalled in record.recipients.iter().filter_map(|recipient| recipient.recalled.as_ref()) {
        let text = greylist(&recalled.greylist).map(|(_, text)| text);
        texts.extend(text.filter(|text| !texts.contains(text)));
    }
    texts.into_iter().enumerate().map(|(at, text)| line(if at == 0 { "greylisting" } else { "" }, text)).collect()
}

fn greylist(greylist: &Greylist) -> Option<Clause> {
    let by = match greylist.key {
        GreylistKey::Spf => "its domain, by SPF",
        GreylistKey::Dkim => "its domain, by DKIM",
        GreylistKey::Network | GreylistKey::Unasked => "its network",
    };
    let wait = time(greylist.wait);
    Some(match greylist.result {
        GreylistResult::Unasked => return None,
        GreylistResult::New if greylist.wait == 0 => (
            Speaks::Against,
            format!("this sender ({by}) has not written to this recipient before and is to come again"),
        ),
        GreylistResult::New => (
            Speaks::Against,
            format!("this sender ({by}) has not written to this recipient before and is to come again in {wait}"),
        ),
        GreylistResult::Early if greylist.wait == 0 => {
            (Speaks::Against, format!("this sender ({by}) was asked to come again later and came too early"))
        }
        GreylistResult::Early => (
            Speaks::Against,
            format!("this sender ({by}) was asked to come again later and came too early, {wait} were left"),
        ),
        GreylistResult::Pass => (Speaks::For, format!("this sender ({by}) was asked to come again later, and did")),
        GreylistResult::Known => (Speaks::For, format!("this sender ({by}) is known, or needs not be")),
    })
}

fn rate(facts: &Facts, name: &str, count: u64) -> String {
    let Ok(rate) = Rate::from_name(name) else { return format!("{}: {count}", fit(name)) };
    let (one, many) = match rate.counted() {
        Counted::Transactions => ("transaction", "transactions"),
        Counted::Recipients => ("recipient", "recipients"),
        Counted::Messages => ("message", "messages"),
    };
    let by = listed(rate.parts().map(|part| counted_by(facts, part)).collect());
    let noun = if count == 1 { one } else { many };
    format!("{count} {noun} came before it within {} by {by}", time(rate.seconds().into()))
}

fn counted_by(facts: &Facts, part: RatePart) -> String {
    match part {
        RatePart::Client => format!("the client {}", facts.client.ip),
        RatePart::ClientNetwork => format!("the network {}", network(facts.client.ip)),
        RatePart::Helo => format!("the HELO name {}", fit(&facts.helo)),
        RatePart::MailFromAddress => format!("the reverse-path <{}>", fit(&facts.mail_from.address)),
        RatePart::MailFromDomain => format!("the reverse-path's domain {}", fit(&facts.mail_from.domain)),
        RatePart::RcptAddress => "the recipient".to_owned(),
        RatePart::RcptDomain => "the recipient's domain".to_owned(),
        RatePart::FromDomain => format!("the author domain {}", fit(&facts.from.domain)),
    }
}

/// A time in its largest whole unit.
pub fn time(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) =
        units.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length)).unwrap_or((1, "second"));
    let number = seconds / length;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}
