//! Facts that say who and what is meant rather than how well it is vouched for.

use super::fit;
use super::reasons::{Clause, Read, Speaks};
use crate::facts::Facts;

/// Of what a rule read.
pub(super) fn clauses(facts: &Facts, read: &Read<'_>) -> Vec<Clause> {
    let mut clauses = message(facts, read);
    if let Some(clock) = facts.clock.filter(|_| read.has("clock")) {
        let (weekday, day, month) = (clock.weekday, clock.day, clock.month);
        let time = format!("it was {:02}:{:02} on {weekday}, day {day} of month {month}", clock.hour, clock.minute);
        clauses.push((Speaks::Plain, time));
    }
    if read.has("rcpt.count") {
        clauses.push((Speaks::Plain, format!("{} recipients were taken so far", facts.rcpt.count)));
    }
    let role = facts.rcpt.role.as_str();
    if read.has("rcpt.role") && !role.is_empty() {
        clauses.push((Speaks::Plain, format!("it is for {role}")));
    }
    clauses.extend(identities(facts, read).into_iter().map(|text| (Speaks::Background, text)));
    clauses
}

fn message(facts: &Facts, read: &Read<'_>) -> Vec<Clause> {
    let message = &facts.message;
    let told = [
        ("message.bytes", format!("it has {} octets", message.bytes)),
        ("message.header_bytes", format!("its header has {} octets", message.header_bytes)),
        ("message.fields", format!("its header has {} fields", message.fields)),
        ("message.received", format!("its header names {} hosts that it came through", message.received)),
        ("message.longest_line", format!("its longest line has {} octets", message.longest_line)),
        (
            "message.message_id",
            match message.message_id.as_str() {
                "" => "it has no Message-ID".to_owned(),
                id => format!("its Message-ID is {}", fit(id)),
            },
        ),
    ];
    told.into_iter().filter(|(fact, _)| read.has(fact)).map(|(_, text)| (Speaks::Plain, text)).collect()
}

fn identities(facts: &Facts, read: &Read<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    if read.has("client.ip") || read.has("client.port") {
        texts.push(format!("the client is {}", facts.client.ip));
    }
    if read.has("tls") {
        texts.push(match &facts.tls {
            Some(tls) => format!("the session has {}", fit(&tls.version)),
            None => "the session is in clear".to_owned(),
        });
    }
    if read.has("esmtp") || read.has("helo") {
        texts.push(format!("the client said {} {}", if facts.esmtp { "EHLO" } else { "HELO" }, fit(&facts.helo)));
    }
    if read.has("mail_from") {
        texts.push(match facts.mail_from.address.as_str() {
            "" => "the reverse-path is null (a report)".to_owned(),
            address => format!("the reverse-path is <{}>", fit(address)),
        });
    }
    let recipient = ["rcpt.address", "rcpt.local", "rcpt.domain"].into_iter().any(|fact| read.has(fact));
    if recipient && !facts.rcpt.address.is_empty() {
        texts.push(format!("the recipient is <{}>", fit(&facts.rcpt.address)));
    } else if recipient && !facts.rcpt.domain.is_empty() {
        texts.push(format!("the recipient is one of {}", fit(&facts.rcpt.domain)));
    }
    if (read.has("from.addresses") || read.has("from.domain")) && !read.has("dmarc") {
        texts.push(match facts.from.addresses.first() {
            None => "no author is named".to_owned(),
            Some(address) => format!("the author is <{}>", fit(address)),
        });
    }
    if read.has("reply_to") && !facts.reply_to.domain.is_empty() {
        texts.push(format!("answers are to go to {}", fit(&facts.reply_to.domain)));
    }
    texts
}
