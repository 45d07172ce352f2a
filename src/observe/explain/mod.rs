//! The story of one transaction, in words, for the people who run the host: what was claimed, what each check found, which rules
//! were looked at and what each did, what was answered and where the message is.
//!
//! Everything that came from a client or from its DNS is escaped before it is shown.

mod again;
mod author;
mod before;
mod content;
mod evidence;
mod fates;
mod plain;
mod reasons;
mod remembered;
mod scores;
mod summary;

use std::fmt::Write;

use super::escape::shown;
use crate::facts::record::{DeliveryRecord, Record, RuleRecord};
use crate::facts::word::{Action, Outcome, Stage};

pub use again::again;
pub use before::before;
pub use summary::summary;
use summary::{took_no_recipient, would_have};

/// Characters of one text of a stranger's that are shown.
const CHARACTERS: usize = 300;
/// Width of the column of keys.
const KEYS: usize = 14;

/// Whether a record tells what was, or what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Happened,
    /// By `gatepost try`: nobody was answered and nothing was stored.
    Rehearsed,
}

/// The whole story, several lines: first a sentence that tells it all.
pub fn story(record: &Record) -> String {
    told(record, Telling::Happened)
}

/// The story of a rehearsal: what would happen.
pub fn story_of_rehearsal(record: &Record) -> String {
    told(record, Telling::Rehearsed)
}

fn told(record: &Record, telling: Telling) -> String {
    let mut story = Story { text: String::new() };
    story.paragraph(&summary::summary_of(record, telling));
    if !record.decision.why.is_empty() {
        story.paragraph(&format!("Rule {} says why: {}", fit(&record.decision.rule), fit(&record.decision.why)));
    }
    let by = match record.decision.rule.as_str() {
        rule if !rule.is_empty() && !took_no_recipient(record) => format!(" by rule {}", fit(rule)),
        _ => String::new(),
    };
    story.paragraph(&format!(
        "ref {}, {}, settled at stage {}{by}",
        fit(&record.reference),
        fit(&record.time),
        record.stage
    ));
    story.section("Claimed", claims(record));
    story.section("Found", evidence::lines(record));
    story.section(&rules_of(record), rules(record));
    story.section("Recipients", fates::lines(record));
    story.section("Outcome", outcome(record, telling));
    story.text
}

/// A key and what is said of it; a line without a key goes on with the one before.
type Line = (String, String);

fn line(key: impl Into<String>, text: impl Into<String>) -> Line {
    (key.into(), text.into())
}

/// A text of a stranger's, fit to be shown.
fn fit(text: &str) -> String {
    shown(text, CHARACTERS)
}

struct Story {
    text: String,
}

impl Story {
    fn paragraph(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn section(&mut self, title: &str, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        let width = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0).max(KEYS);
        self.text.push('\n');
        self.paragraph(title);
        for (key, text) in lines {
            // Writing into a String cannot fail.
            let _ = writeln!(self.text, "  {key:width$}  {text}");
        }
    }
}

fn claims(record: &Record) -> Vec<Line> {
    let facts = &record.facts;
    let mut client = format!("{} port {}", facts.client.ip, facts.client.port);
    if !facts.client.name.is_empty() {
        let _ = write!(client, ", {}", fit(&facts.client.name));
    }
    if facts.client.trusted {
        client.push_str(", in smtp.trusted");
    }
    if facts.client.early_talker {
        client.push_str(", spoke before it was greeted");
    }
    let mut lines = vec![line("client", client)];
    lines.push(match &facts.tls {
        Some(tls) if tls.group.is_empty() => {
            line("session", format!("{} with {}", fit(&tls.version), fit(&tls.cipher)))
        }
        Some(tls) => {
            line("session", format!("{} with {} and {}", fit(&tls.version), fit(&tls.cipher), fit(&tls.group)))
        }
        None => line("session", "in clear"),
    });
    if !facts.helo.is_empty() {
        lines.push(line("HELO", fit(&facts.helo)));
    }
    if record.stage != Stage::Connect {
        lines.push(line("reverse-path", reverse_path(record)));
    }
    if tells_of_message(record) {
        lines.extend(message_claims(record));
    }
    lines
}

/// Whether the message's facts are known: it came in, or `try` looked at it although a recipient's refusal settled the matter.
fn tells_of_message(record: &Record) -> bool {
    record.stage == Stage::Data || record.facts.message.bytes > 0
}

fn reverse_path(record: &Record) -> String {
    match record.facts.mail_from.address.as_str() {
        "" => "<> (the null reverse-path: a report, not to be answered)".to_owned(),
        address => format!("<{}>", fit(address)),
    }
}

fn message_claims(record: &Record) -> Vec<Line> {
    let facts = &record.facts;
    let mut author = match facts.from.addresses.as_slice() {
        [] => "nobody".to_owned(),
        addresses => listed(addresses.iter().map(|address| format!("<{}>", fit(address))).collect()),
    };
    if !facts.from.defects.is_empty() {
        let _ = write!(
            author,
            "; the From field has defects: {}",
            listed(facts.from.defects.iter().map(|d| fit(d)).collect())
        );
    }
    let mut lines = vec![line("author", author)];
    if !facts.reply_to.domain.is_empty() {
        lines.push(line("Reply-To", format!("an address of {}", fit(&facts.reply_to.domain))));
    }
    let id = match facts.message.message_id.as_str() {
        "" => "without Message-ID".to_owned(),
        id => format!("Message-ID {}", fit(id)),
    };
    lines.push(line("message", format!("{} octets, {id}", facts.message.bytes)));
    lines.extend(content::lines(facts));
    lines
}

/// The title of the rules: whom they judged, where not all recipients fared alike.
fn rules_of(record: &Record) -> String {
    if took_no_recipient(record) {
        return "Rules, as they judged the last recipient that was refused".to_owned();
    }
    match fates::meant(record).first() {
        Some(recipient) => format!("Rules, as they judged {}", fit(&recipient.address)),
        None => "Rules".to_owned(),
    }
}

fn rules(record: &Record) -> Vec<Line> {
    let mut lines: Vec<Line> = record
        .rules
        .iter()
        .map(|rule| {
            let (did, otherwise) = (did(record, rule), fates::of_rule(record, rule));
            line(fit(&rule.name), format!("at {}: {did}{otherwise}", rule.at))
        })
        .collect();
    if lines.is_empty() {
        lines.push(line("none", "no rule was looked at"));
    }
    lines.push(line("score", number(record.facts.score)));
    if !record.policy.file.is_empty() {
        let digest: String = record.policy.sha256.chars().take(12).collect();
        lines.push(line("policy", format!("{}, sha256 {}", fit(&record.policy.file), fit(&digest))));
    }
    lines
}

fn did(record: &Record, rule: &RuleRecord) -> String {
    match rule.outcome {
        Outcome::NotMatched => "did not match".to_owned(),
        Outcome::Acted if rule.name == record.decision.rule => {
            format!("matched and decided: {}", record.decision.action)
        }
        Outcome::Acted => "matched and acted".to_owned(),
        Outcome::Scored => match rule.score {
            Some(score) => format!("matched, its score of {} was added", number(score)),
            None => "matched, its score was added".to_owned(),
        },
        Outcome::Changed => "matched and changed what is stored".to_owned(),
        Outcome::Excepted => {
            format!("matched and {}, but its exception holds", would_have(rule.action))
        }
        Outcome::Observed => format!("matched and {}, but only observes", would_have(rule.action)),
        Outcome::Error => "could not be run".to_owned(),
    }
}

fn outcome(record: &Record, telling: Telling) -> Vec<Line> {
    let answer = match (record.decision.reply.as_str(), telling) {
        ("", Telling::Happened) => "nothing: the client ended the transaction".to_owned(),
        ("", Telling::Rehearsed) => "each recipient as above; there was no message to answer".to_owned(),
        _ if took_no_recipient(record) => "each recipient as above".to_owned(),
        (reply, _) => fit(reply),
    };
    let mut lines = vec![line("answered", answer)];
    if !record.trouble.is_empty() {
        lines.push(line("trouble", fit(&record.trouble)));
    }
    for (at, DeliveryRecord { mailbox, folder, file }) in record.delivery.iter().enumerate() {
        let key = match (at, telling) {
            (0, Telling::Happened) => "stored",
            (0, Telling::Rehearsed) => "would store",
            _ => "",
        };
        lines.push(match (file.as_str(), folder.as_str()) {
            ("", "") => line(key, fit(mailbox)),
            ("", folder) => line(key, format!("{} ({})", fit(mailbox), fit(folder))),
            (file, folder) => line(key, format!("{} ({}): {}", fit(mailbox), fit(folder), fit(file))),
        });
    }
    if record.delivery.is_empty() {
        let why = if record.decision.action == Action::Discard { "nothing, as the rule says" } else { "nothing" };
        lines.push(line("stored", why));
    }
    let took = &record.timings_us;
    lines.push(line(
        "took",
        format!(
            "{}: {} for evidence, {} to decide, {} to write",
            duration(took.total),
            duration(took.evidence),
            duration(took.decide),
            duration(took.deliver)
        ),
    ));
    lines
}

/// `a`, `a and b`, `a, b and c`; a long list is cut.
fn listed(mut items: Vec<String>) -> String {
    const MOST: usize = 10;
    if items.len() > MOST {
        let more = items.len() - MOST;
        items.truncate(MOST);
        items.push(format!("{more} more"));
    }
    match items.pop() {
        None => String::new(),
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{} and {last}", items.join(", ")),
    }
}

/// A score without more digits than it needs.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{}.{} ms", microseconds / 1_000, microseconds % 1_000 / 100),
        _ => format!("{}.{} s", microseconds / 1_000_000, microseconds % 1_000_000 / 100_000),
    }
}
