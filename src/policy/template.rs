//! A text with facts in it, `{from.domain}`: a refusing rule's reply, a rule's reason, the value of a header field. Checked when it
//! is loaded; what a client chose is cut and escaped when it is filled in.

use std::fmt::Write;

use crate::facts::table::{self, Fact, FactSet, FactSource, Type};
use crate::facts::word::{Action, RuleAction, Stage};
use crate::problem::nearest;

use super::place::Fault;

/// How much of a fact's value goes into a text, in characters.
const MAX_VALUE: usize = 100;

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The reply of a rule with this action.
    Reply(Action),
    /// Why a rule decided, for the operator.
    Why,
    /// The value of a header field.
    Field,
}

impl Use {
    /// The longest text as written, in bytes.
    const fn most_bytes(self) -> usize {
        match self {
            Use::Reply(_) => 400,
            Use::Why | Use::Field => 500,
        }
    }

    /// How long it can become, in characters. A reply with its `ref=` still is one line of 512 octets (RFC 5321 §4.5.3.1.5), a field
    /// a line of 998 (RFC 5322 §2.1.1).
    const fn most_rendered(self) -> usize {
        match self {
            Use::Reply(_) => 450,
            Use::Why | Use::Field => 800,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Use::Reply(_) => "the reply",
            Use::Why => "the reason",
            Use::Field => "the field",
        }
    }

    /// Whether the text as written may have this character.
    pub fn allows(self, c: char) -> bool {
        match self {
            Use::Reply(_) => (' '..='~').contains(&c),
            Use::Why | Use::Field => !c.is_control() && !is_invisible(c),
        }
    }

    /// Whether a fact's value keeps this character.
    fn keeps(self, c: char) -> bool {
        (' '..='~').contains(&c) || (!matches!(self, Use::Reply(_)) && c.is_alphanumeric())
    }
}

/// Line and paragraph separators, and what turns the direction of a text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// A checked text, `550 5.7.1 {from.domain} asks ...`.
#[derive(Debug, Clone)]
pub(super) struct Template {
    used: Use,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Fact(&'static Fact),
}

impl Template {
    /// Reads and checks a text of a rule that stands at a stage.
    ///
    /// # Errors
    /// Every fault in it.
    pub fn parse(text: &str, used: Use, at: Stage) -> Result<Template, Vec<Fault>> {
        let mut faults = Vec::new();
        match used {
            Use::Reply(action) => check_codes(text, action, &mut faults),
            Use::Why | Use::Field if text.trim().is_empty() => {
                faults.push(Fault::new(
                    0..text.len(),
                    format!("{} is empty", used.name()),
                    "write it, or leave it out",
                ));
            }
            Use::Why | Use::Field => {}
        }
        let most = used.most_bytes();
        if text.len() > most {
            let cause = format!("{} is {} bytes long; {most} are the most", used.name(), text.len());
            faults.push(Fault::new(0..text.len(), cause, "say it shorter"));
        }
        if let Some((at, c)) = text.char_indices().find(|(_, c)| !used.allows(*c)) {
            let cause = match used {
                Use::Reply(_) => "a reply is one line of printable ASCII (RFC 5321 §4.2)",
                Use::Why => "a reason is one line",
                Use::Field => "a field's value is one line (RFC 5322 §2.2)",
            };
            faults.push(Fault::new(at..at + c.len_utf8(), cause, "leave this character out"));
        }
        let pieces = pieces(text, at, &mut faults);
        if faults.is_empty() { Ok(Template { used, pieces }) } else { Err(faults) }
    }

    /// The reply where a rule has none.
    pub fn default_for(action: RuleAction) -> Template {
        let text = match action {
            RuleAction::Greylist => "451 4.7.1 greylisted, try again in a few minutes",
            RuleAction::Defer => "451 4.7.1 deferred by local policy, try again later",
            _ => "550 5.7.1 refused by local policy",
        };
        Template { used: Use::Reply(action.action()), pieces: vec![Piece::Text(text.to_owned())] }
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

    /// The text with the facts' values, which are the client's text: cut, and everything but printable ASCII replaced (letters and
    /// digits of any script stay where it is no reply).
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
                    let printable = value.chars().map(|c| if self.used.keeps(c) { c } else { '?' });
                    out.extend(printable.take(MAX_VALUE));
                }
            }
        }
        if let Some((end, _)) = out.char_indices().nth(self.used.most_rendered()) {
            out.truncate(end);
        }
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
            // what a rule says is journalled, and what some fields say never is
            let cause = "what a header field says can't stand in a text of a rule";
            return Err(Fault::new(span, cause, "leave it out"));
        }
        if name.starts_with("rate(") || name.starts_with("rates") {
            let cause = "how often something was so can't stand in a text of a rule";
            return Err(Fault::new(span, cause, "leave it out: the record has it, and `gatepost explain` tells it"));
        }
        if let Some(function) = name.split_once('(').map(|(function, _)| function.trim()) {
            let cause = format!("{function} is a function: a text holds facts only");
            return Err(Fault::new(span, cause, "name a fact, as in {from.domain}; a brace itself is {{"));
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
    if matches!(fact.ty, Type::RecordList(_) | Type::RecordMap(_) | Type::Counts) {
        return Err(Fault::new(span, format!("{name} is {}, which no text can hold", held(fact.ty)), "leave it out"));
    }
    Ok(fact)
}

fn held(ty: Type) -> &'static str {
    match ty {
        Type::RecordMap(_) => "a record for each of its names",
        Type::Counts => "a number for each rate",
        _ => "a list of records",
    }
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
