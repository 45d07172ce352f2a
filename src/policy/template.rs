//! The reply of a refusing rule: a text with facts in it, checked when it is loaded, safe to send when it is filled in.

use std::fmt::Write;

use crate::facts::table::{self, Fact, FactSet, FactSource, Type};
use crate::facts::word::{Action, Stage};
use crate::problem::nearest;

use super::place::Fault;

/// The longest reply text as written, in bytes.
const MAX_BYTES: usize = 400;
/// How much of a fact's value goes into a reply, in characters.
const MAX_VALUE: usize = 100;
/// How long a reply can become, in characters: with its `ref=` it still is one line of 512 octets (RFC 5321 §4.5.3.1.5).
const MAX_RENDERED: usize = 450;

/// A checked reply, `550 5.7.1 {from.domain} asks ...`.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Fact(&'static Fact),
}

impl Template {
    /// Reads and checks the reply of a rule.
    ///
    /// # Errors
    /// Every fault in it.
    pub fn parse(text: &str, action: Action, at: Stage) -> Result<Template, Vec<Fault>> {
        let mut faults = Vec::new();
        check_codes(text, action, &mut faults);
        if text.len() > MAX_BYTES {
            let cause = format!("the reply is {} bytes long; {MAX_BYTES} are the most", text.len());
            faults.push(Fault::new(0..text.len(), cause, "say it shorter"));
        }
        if let Some((at, c)) = text.char_indices().find(|(_, c)| !(' '..='~').contains(c)) {
            let cause = "a reply is one line of printable ASCII (RFC 5321 §4.2)";
            faults.push(Fault::new(at..at + c.len_utf8(), cause, "leave this character out"));
        }
        let pieces = pieces(text, at, &mut faults);
        if faults.is_empty() { Ok(Template { pieces }) } else { Err(faults) }
    }

    /// The reply where a rule has none.
    pub fn default_for(action: Action) -> Template {
        let text = match action {
            Action::Defer => "451 4.7.1 deferred by local policy, try again later",
            _ => "550 5.7.1 refused by local policy",
        };
        Template { pieces: vec![Piece::Text(text.to_owned())] }
    }

    /// The facts that stand in it.
    pub fn reads(&self) -> FactSet {
        let mut set = FactSet::default();
        for piece in &self.pieces {
            if let Piece::Fact(fact) = piece {
                set.insert(fact);
            }
        }
        set
    }

    /// The reply with the facts' values, which are the client's text: cut, and everything but printable ASCII replaced.
    pub fn render(&self, facts: &dyn FactSource, score: f64) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Fact(fact) if fact.name == "score" => {
                    // Sums of tenths have long tails.
                    let _ = write!(out, "{}", (score * 100.0).round() / 100.0);
                }
                Piece::Fact(fact) => {
                    let value = facts.value(fact).to_string();
                    let printable = value.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' });
                    out.extend(printable.take(MAX_VALUE));
                }
            }
        }
        // Printable ASCII throughout, so that a character is a byte.
        out.truncate(MAX_RENDERED);
        out
    }
}

/// Holds `NNN N.N.N text` to RFC 5321 §4.2 and RFC 2034 §4, and to what the action promises.
fn check_codes(text: &str, action: Action, faults: &mut Vec<Fault>) {
    let class = if action == Action::Defer { '4' } else { '5' };
    let example = if class == '4' { "451 4.7.1 try again later" } else { "550 5.7.1 refused because ..." };
    let mut words = text.splitn(3, ' ');
    let (code, enhanced, rest) =
        (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let code_ok = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = enhanced.split('.').collect();
    let enhanced_ok = parts.len() == 3
        && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()));
    if !code_ok || !enhanced_ok || rest.trim().is_empty() {
        let mend = format!("write it like \"{example}\"");
        faults.push(Fault::new(0..text.len(), "a reply is a code, an enhanced status code and a text", mend));
        return;
    }
    if !code.starts_with(class) {
        let cause = format!("{action} answers with {class}yz, not with {code}");
        faults.push(Fault::new(0..3, cause, format!("write it like \"{example}\"")));
    } else if code == "421" {
        let mend = "write 450 or 451";
        faults.push(Fault::new(0..3, "421 closes the connection, which no rule does", mend));
    } else if code.get(1..2).is_none_or(|digit| digit > "5") {
        faults.push(Fault::new(
            0..3,
            format!("{code} is no reply code of SMTP (RFC 5321 §4.2)"),
            format!("write it like \"{example}\""),
        ));
    } else if parts.first().copied() != code.get(..1) {
        let cause = format!("the enhanced status code {enhanced} is of another class than {code} (RFC 2034 §4)");
        let mend = format!("let it start with {class}");
        faults.push(Fault::new(4..4 + enhanced.len(), cause, mend));
    }
}

/// Takes the text apart at `{fact}`; `{{` and `}}` are braces.
fn pieces(text: &str, at: Stage, faults: &mut Vec<Fault>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let doubled = chars.peek().is_some_and(|(_, next)| *next == c);
        match c {
            '{' | '}' if doubled => {
                plain.push(c);
                chars.next();
            }
            '}' => faults.push(Fault::new(start..start + 1, "this brace closes nothing", "a brace itself is }}")),
            '{' => {
                let rest = text.get(start + 1..).unwrap_or_default();
                let Some(length) = rest.find('}') else {
                    faults.push(Fault::new(start..text.len(), "this brace is not closed", "a brace itself is {{"));
                    break;
                };
                let name = rest.get(..length).unwrap_or_default();
                let span = start + 1..start + 1 + length;
                while chars.peek().is_some_and(|(at, _)| *at <= span.end) {
                    chars.next();
                }
                match placeholder(name, span, at) {
                    Ok(fact) => {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                        pieces.push(Piece::Fact(fact));
                    }
                    Err(fault) => faults.push(fault),
                }
            }
            c => plain.push(c),
        }
    }
    pieces.push(Piece::Text(plain));
    pieces
}

fn placeholder(name: &str, span: std::ops::Range<usize>, at: Stage) -> Result<&'static Fact, Fault> {
    let Some(fact) = table::find(name) else {
        if name.starts_with("headers[") || name.starts_with("headers.") {
            // replies are journalled, and what some fields say never is
            let cause = "the text of a header field is the client's, and stands in no reply";
            return Err(Fault::new(span, cause, "leave it out"));
        }
        let mend = match nearest(name, table::names()) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => "`gatepost facts` lists them all".to_owned(),
        };
        return Err(Fault::new(span, format!("there is no fact \"{name}\""), mend));
    };
    if !fact.known_at(at) {
        return Err(Fault::new(span, unknown_at(fact, at), known_when(fact)));
    }
    if matches!(fact.ty, Type::RecordList(_) | Type::RecordMap(_)) {
        return Err(Fault::new(span, format!("{name} is {}, which no reply can hold", held(fact.ty)), "leave it out"));
    }
    Ok(fact)
}

fn held(ty: Type) -> &'static str {
    if matches!(ty, Type::RecordMap(_)) { "a record for each of its names" } else { "a list of records" }
}

/// Says that a fact is not known at a stage.
pub(super) fn unknown_at(fact: &Fact, at: Stage) -> String {
    format!("{} is not known at stage {at}", fact.name)
}

/// Says when a fact is known.
pub(super) fn known_when(fact: &Fact) -> String {
    if fact.stage == fact.until {
        format!("it is known at stage {} only", fact.stage)
    } else if fact.until == Stage::Data && fact.stage == Stage::Rcpt {
        "it is known at stages rcpt and data".to_owned()
    } else {
        format!("it is known from stage {} on", fact.stage)
    }
}
