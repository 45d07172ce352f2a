//! The table: a few lines for each sample, 100 columns wide, readable without colour.
//!
//! Left who claimed to be whom, in the middle the evidence, on the right the decision; beneath what the client was told or where
//! the message lies. All of it is taken from the decision record.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::facts::record::Record;
use crate::facts::word::{Action, DmarcResult, IprevResult, MethodResult, Mx, Outcome, ReverseMxResult, Stage};
use crate::observe::escape::shown;

use super::client::Answer;
use super::expected::{Seen, codes};

/// Columns of a line.
pub const WIDTH: usize = 100;
/// What stands in front of every line but the first.
const INDENT: &str = "    ";
const LABEL: usize = 9;
const CLAIM: usize = 30;
const METHOD: usize = 6;
const RESULT: usize = 18;
const NAME: usize = 4;
const SHORT: usize = 6;
const DECISION: usize = WIDTH - 4 - LABEL - CLAIM - METHOD - RESULT - NAME - SHORT;
const REFERENCE: usize = 16;
/// Characters of a reply or a path that are shown.
const TOLD: usize = 300;

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();

/// What is not known because the transaction ended before it was looked at.
const NOT_LOOKED_AT: &str = "-";

/// The names of the columns, and a rule beneath.
pub fn head() -> String {
    let columns = [
        cell(" #", INDENT.len(), DIM),
        cell("who claimed to be whom", LABEL + CLAIM, DIM),
        cell("evidence", METHOD + RESULT + NAME + SHORT, DIM),
        cell("decision", DECISION, DIM),
    ];
    format!("{}\n{}\n", columns.concat().trim_end(), styled(&"─".repeat(WIDTH), DIM))
}

/// What the marks of the table mean.
pub fn legend() -> String {
    let lines = [
        ("SPF", "may the client send for the envelope's domain?"),
        ("DKIM", "is the message signed, and as it was when it was signed?"),
        ("DMARC", "does either vouch for the author's domain? p= is what that domain asks for if not"),
        ("PTR", "does the client's reverse name exist and lead back to it?"),
        ("rMX", "is the client a mail exchanger of the envelope's domain (reverse MX)?"),
        ("-", "not looked at: the decision came earlier"),
    ];
    let line = |(word, meaning): (&str, &str)| format!("{INDENT}{}{meaning}\n", cell(word, LABEL, BOLD));
    lines.into_iter().map(line).collect()
}

/// The lines of a sample; `differences` are told below them.
pub fn row(number: usize, title: &str, seen: &Seen, differences: &[String]) -> String {
    let Seen { answer, record } = seen;
    let mut text = first_line(number, title, &record.reference);
    for ((claim, evidence), decision) in claims(record).into_iter().zip(evidence(record)).zip(decision(record)) {
        text.push_str(format!("{INDENT}{claim}{evidence}{decision}").trim_end());
        text.push('\n');
    }
    text.push_str(&last_line(answer, record));
    text.push_str(&told(differences));
    text.push('\n');
    text
}

/// The lines of a sample that came to nothing.
pub fn failed_row(number: usize, title: &str, trouble: &str) -> String {
    format!("{}{}\n", first_line(number, title, ""), told(&[trouble.to_owned()]))
}

fn first_line(number: usize, title: &str, reference: &str) -> String {
    let title = cell(title, WIDTH - INDENT.len() - REFERENCE, BOLD);
    let line = format!("{number:>2}  {title}{}", styled(reference, DIM));
    line.trim_end().to_owned() + "\n"
}

fn told(differences: &[String]) -> String {
    let line = |difference: &String| {
        format!("{INDENT}{}\n", styled(&format!("NOT AS EXPECTED  {}", shown(difference, 200)), RED.bold()))
    };
    differences.iter().map(line).collect()
}

fn claims(record: &Record) -> [String; 3] {
    let facts = &record.facts;
    let author = match facts.from.addresses.as_slice() {
        [] if record.stage == Stage::Data => "none".to_owned(),
        [] => NOT_LOOKED_AT.to_owned(),
        addresses => addresses.join(", "),
    };
    let claim = |label, text: &str| format!("{}{}", cell(label, LABEL, DIM), cell(text, CLAIM, PLAIN));
    [
        claim("client", &format!("{} {}", facts.helo, facts.client.ip)),
        claim("envelope", &format!("<{}>", facts.mail_from.address)),
        claim("author", &author),
    ]
}

fn evidence(record: &Record) -> [String; 3] {
    let facts = &record.facts;
    let has_message = record.stage == Stage::Data;
    let looked_at = |result: &'static str, empty: bool| if empty && !has_message { NOT_LOOKED_AT } else { result };
    let spf = facts.spf.mail_from.result;
    let spf = looked_at(spf.as_str(), spf == MethodResult::None);
    let dkim = match facts.dkim.first() {
        Some(first) => {
            let best = facts.dkim.iter().find(|one| one.result == MethodResult::Pass).unwrap_or(first);
            format!("{} {}", best.result, algorithm(&best.algorithm))
        }
        None => looked_at("none", true).to_owned(),
    };
    let dmarc = match facts.dmarc.result {
        DmarcResult::None => looked_at("none", true).to_owned(),
        result => format!("{result} p={}", facts.dmarc.published),
    };
    let iprev = facts.iprev.result;
    // RFC 8601 §2.7.3 calls a missing reverse name permerror, which tells a reader less
    let ptr = match iprev {
        IprevResult::PermError => "none",
        IprevResult::None => NOT_LOOKED_AT,
        other => other.as_str(),
    };
    let mx = facts.reverse_mx.mail_from.mx;
    let reverse_mx = match (facts.reverse_mx.mail_from.result, mx) {
        (_, Mx::Null | Mx::Missing) => "no MX",
        (ReverseMxResult::None, _) => NOT_LOOKED_AT,
        (result, _) => result.as_str(),
    };
    let left = |method, result: &str| format!("{}{}", cell(method, METHOD, DIM), cell(result, RESULT, of(result)));
    let right = |name, result: &str| format!("{}{}", cell(name, NAME, DIM), cell(result, SHORT, of(result)));
    [
        left("SPF", spf) + &right("PTR", ptr),
        left("DKIM", &dkim) + &right("rMX", reverse_mx),
        left("DMARC", &dmarc) + &right("", ""),
    ]
}

fn algorithm(name: &str) -> &str {
    name.split_once('-').map_or(name, |(key, _)| key)
}

/// How a result looks; by its first word.
fn of(result: &str) -> Style {
    match result.split_whitespace().next() {
        Some("pass") => GREEN,
        Some("fail" | "permerror") => RED,
        Some("softfail" | "temperror" | "policy" | "no") => YELLOW,
        _ => DIM,
    }
}

fn decision(record: &Record) -> [String; 3] {
    let action = record.decision.action;
    let words = format!("{} {}", action.as_str().to_uppercase(), codes(&record.decision.reply));
    let stored = match record.delivery.first() {
        Some(copy) => {
            let mailbox = copy.mailbox.split_once('@').map_or(copy.mailbox.as_str(), |(name, _)| name);
            format!("to {mailbox}, {}", copy.folder)
        }
        None => "nothing stored".to_owned(),
    };
    [
        cell(&words, DECISION, acting(action).bold()),
        cell(&reason(record), DECISION, PLAIN),
        cell(&stored, DECISION, PLAIN),
    ]
}

fn acting(action: Action) -> Style {
    match action {
        Action::Accept => GREEN,
        Action::Quarantine => YELLOW,
        Action::Defer | Action::Reject | Action::Discard => RED,
    }
}

/// The rule that decided, and the score where there is one.
fn reason(record: &Record) -> String {
    let refused = matches!(record.decision.action, Action::Reject | Action::Defer);
    let scored = record.rules.iter().any(|rule| rule.outcome == Outcome::Scored);
    match (record.decision.rule.as_str(), scored) {
        ("", _) if refused => "by SMTP, no rule".to_owned(),
        ("", true) => format!("no rule, score {}", record.facts.score),
        ("", false) => "no rule matched".to_owned(),
        ("score-high", true) => format!("score-high ({})", record.facts.score),
        (rule, _) => rule.to_owned(),
    }
}

/// Where the message lies, or what the client was told.
fn last_line(answer: &Answer, record: &Record) -> String {
    let (label, text) = match record.delivery.first() {
        Some(copy) => ("file", copy.file.as_str()),
        None => ("told", answer.text()),
    };
    let style = if record.delivery.is_empty() { PLAIN } else { DIM };
    let mut lines = String::new();
    for (index, line) in wrapped(&shown(text, TOLD), WIDTH - INDENT.len() - LABEL).iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        lines.push_str(&format!("{INDENT}{}{}\n", cell(label, LABEL, DIM), styled(line, style)));
    }
    lines
}

/// A text in lines of so many columns, broken at spaces; a word that is longer is broken too.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => {
                let characters: Vec<char> = word.chars().collect();
                lines.extend(characters.chunks(columns).map(|piece| piece.iter().collect::<String>()));
            }
        }
    }
    lines
}

/// A text of a stranger's in so many columns, coloured; what is too long is cut, with at least one space behind it.
fn cell(text: &str, width: usize, style: Style) -> String {
    let mut text = shown(text, WIDTH);
    if text.width() >= width {
        while text.width() + 2 > width && text.pop().is_some() {}
        text.push('…');
    }
    let padding = " ".repeat(width.saturating_sub(text.width()));
    format!("{}{padding}", styled(&text, style))
}

/// A coloured text.
pub fn styled(text: &str, style: Style) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}
