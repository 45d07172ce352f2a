//! The messages that the demo sends: who claims to be whom, and what should come of it under the default policy.

use std::net::Ipv4Addr;

use jiff::Timestamp;

use crate::authenticate::sign::SignError;
use crate::facts::word::Action::{Accept, Quarantine, Reject};
use crate::facts::word::{DmarcResult, MethodResult};
use crate::message::trace::date;

use super::client::Letter;
use super::expected::Expected;
use super::zone::{ACME, FORGER, FORWARDER, LISTS, NAMELESS, Signers};

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What it shows.
    pub title: &'static str,
    /// What is sent.
    pub letter: Letter,
    /// What should come of it.
    pub expected: Expected,
}

const ALICE: &str = "alice@gate.example";
const INBOX: Option<(&str, &str)> = Some((ALICE, "INBOX"));
const JUNK: Option<(&str, &str)> = Some((ALICE, "Junk"));

/// All of them, in the order in which they are sent.
///
/// # Errors
/// When a message can't be signed.
pub fn samples(signers: &Signers, now: Timestamp) -> Result<Vec<Sample>, SignError> {
    let mut samples = honest(signers, now)?;
    samples.extend(without_author(signers, now)?);
    samples.extend(forged(now));
    samples.extend(unreachable(now));
    samples.extend(refused_by_protocol(now));
    Ok(samples)
}

/// Mail that somebody vouches for.
fn honest(signers: &Signers, now: Timestamp) -> Result<Vec<Sample>, SignError> {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let acme = message("Ann <ann@acme.example>", "Lunch on Friday?", "The usual place, at noon.", now);
    let shop = message("Shop <news@shop.example>", "Your order has left", "It will be with you on Monday.", now);
    Ok(vec![
        Sample {
            title: "Honest: SPF and DKIM (Ed25519) hold",
            letter: letter(
                ACME,
                "mail.acme.example",
                "ann@acme.example",
                signers.acme.sign(acme.as_bytes(), seconds)? + &acme,
            ),
            expected: taken(MethodResult::Pass, &[MethodResult::Pass], DmarcResult::Pass),
        },
        Sample {
            title: "Forwarded: SPF breaks, DKIM (RSA) holds",
            letter: letter(
                FORWARDER,
                "mail.uni.example",
                "news@shop.example",
                signers.shop.sign(shop.as_bytes(), seconds)? + &shop,
            ),
            expected: taken(MethodResult::Fail, &[MethodResult::Pass], DmarcResult::Pass),
        },
    ])
}

/// Mail that its author's domain, which asks for refusal, does not vouch for: in the first case nobody does.
fn without_author(signers: &Signers, now: Timestamp) -> Result<Vec<Sample>, SignError> {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let forged = message("Bank <security@bank.example>", "Your account", "Please confirm your password.", now);
    let bank = message("Bob <bob@bank.example>", "Re: next meeting", "I will bring the slides.", now);
    let with_footer = format!("{bank}\r\n-- \r\nSent to all members of the club\r\n");
    Ok(vec![
        Sample {
            title: "Forged author of a p=reject domain, nothing vouches for it",
            letter: letter(FORGER, "mail.bank.example", "security@bank.example", forged),
            expected: Expected {
                evidence: Some((MethodResult::Fail, &[], DmarcResult::Fail)),
                ..refused("550 5.7.1", "dmarc-reject")
            },
        },
        Sample {
            title: "The same by a mailing list: its footer broke the signature, its own SPF passes",
            letter: letter(
                LISTS,
                "lists.club.example",
                "bounces@lists.club.example",
                signers.bank.sign(bank.as_bytes(), seconds)? + &with_footer,
            ),
            expected: Expected {
                rule: "dmarc-quarantine",
                action: Quarantine,
                stored: JUNK,
                ..taken(MethodResult::Pass, &[MethodResult::Fail], DmarcResult::Fail)
            },
        },
    ])
}

/// Mail whose author somebody made up, from a machine at an access provider.
fn forged(now: Timestamp) -> Vec<Sample> {
    let from_store = message("Store <gifts@store.example>", "You have won", "A gift card is waiting for you.", now);
    let from_blog = message("Blog <news@blog.example>", "New article", "Read it while it is hot.", now);
    let two_authors = format!("From: Bank <security@bank.example>\r\n{from_blog}");
    let forgery = |mail_from: &str, message: String| letter(FORGER, "dsl13.isp.example", mail_from, message);
    vec![
        Sample {
            title: "Forged author of a p=quarantine domain",
            letter: forgery("gifts@store.example", from_store),
            expected: Expected {
                rule: "dmarc-quarantine",
                action: Quarantine,
                stored: JUNK,
                ..taken(MethodResult::SoftFail, &[], DmarcResult::Fail)
            },
        },
        Sample {
            title: "Forged author of a p=none domain: suspicious, not enough for Junk",
            letter: forgery("news@blog.example", from_blog),
            expected: taken(MethodResult::Fail, &[], DmarcResult::Fail),
        },
        Sample {
            title: "Two From fields, so that programs read different authors",
            letter: forgery("news@blog.example", two_authors),
            expected: Expected {
                evidence: Some((MethodResult::Fail, &[], DmarcResult::None)),
                ..refused("550 5.6.0", "author-malformed")
            },
        },
    ]
}

/// Mail that could not be answered, or whose client nobody knows.
fn unreachable(now: Timestamp) -> Vec<Sample> {
    let text = |author: &str| message(author, "Hello", "How are you?", now);
    vec![
        Sample {
            title: "The reverse-path's domain does not exist",
            letter: letter(FORGER, "dsl13.isp.example", "joe@nowhere.example", text("Joe <joe@nowhere.example>")),
            expected: refused("550 5.1.8", "reverse-path-missing"),
        },
        Sample {
            title: "The reverse-path's domain has a null MX: it takes no mail",
            letter: letter(FORGER, "dsl13.isp.example", "joe@quiet.example", text("Joe <joe@quiet.example>")),
            expected: refused("550 5.7.27", "reverse-path-null-mx"),
        },
        Sample {
            title: "No reverse name, no exchanger of its domain, no SPF, no DKIM",
            letter: letter(NAMELESS, "garage.example", "tim@garage.example", text("Tim <tim@garage.example>")),
            expected: Expected {
                rule: "score-high",
                action: Quarantine,
                stored: JUNK,
                ..taken(MethodResult::None, &[], DmarcResult::None)
            },
        },
    ]
}

/// Mail that is not for here.
fn refused_by_protocol(now: Timestamp) -> Vec<Sample> {
    let text = message("Ann <ann@acme.example>", "Hello", "How are you?", now);
    let to = |recipient: &str| Letter {
        recipient: recipient.to_owned(),
        ..letter(ACME, "mail.acme.example", "ann@acme.example", text.clone())
    };
    vec![
        Sample {
            title: "Unknown recipient: nobody@gate.example",
            letter: to("nobody@gate.example"),
            expected: refused("550 5.1.1", ""),
        },
        Sample {
            title: "Relay attempt: to somebody@elsewhere.example",
            letter: to("somebody@elsewhere.example"),
            expected: refused("550 5.7.1", ""),
        },
    ]
}

fn letter(source: Ipv4Addr, helo: &str, mail_from: &str, message: String) -> Letter {
    Letter {
        source,
        helo: helo.to_owned(),
        mail_from: mail_from.to_owned(),
        recipient: ALICE.to_owned(),
        message: message.into_bytes(),
    }
}

fn taken(spf: MethodResult, dkim: &'static [MethodResult], dmarc: DmarcResult) -> Expected {
    Expected { reply: "250 2.0.0", action: Accept, rule: "", stored: INBOX, evidence: Some((spf, dkim, dmarc)) }
}

fn refused(reply: &'static str, rule: &'static str) -> Expected {
    Expected { reply, action: Reject, rule, stored: None, evidence: None }
}

/// A message of today, its Message-ID made of its author and its subject's length.
fn message(from: &str, subject: &str, body: &str, now: Timestamp) -> String {
    let date = date(now);
    let author = from.split_once('<').map_or(from, |(_, address)| address.trim_end_matches('>'));
    let id = format!("{}.{}.{author}", now.as_millisecond(), subject.len());
    format!(
        "From: {from}\r\nTo: Alice <{ALICE}>\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{id}>\r\n\r\n{body}\r\n"
    )
}
