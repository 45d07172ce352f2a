//! What a rate counts by, and over how long: `rate('client', '10m')` in a condition, `rates['client/10m']` in the record.

use std::fmt;

use super::Facts;
use super::word::{RatePart, Stage};

/// The shortest time that a rate looks back, in seconds.
pub const SHORTEST: u32 = 10;
/// The longest.
pub const LONGEST: u32 = 30 * 86_400;
/// The most parts of one key.
const MOST_PARTS: usize = 4;

/// How often something was so within some time.
///
/// What is counted depends on what it is counted by: recipients where a part is the forward-path, messages where one is the author
/// domain, else transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rate {
    /// A bit a part, by the order of [`RatePart::ALL`].
    parts: u16,
    seconds: u32,
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Each once, when its first recipient is named.
    Transactions,
    /// Each RCPT.
    Recipients,
    /// Each that came in whole.
    Messages,
}

/// Why something is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateMistake {
    /// Not one of the parts.
    #[error("rates count by none such as \"{0}\"")]
    Part(String),
    /// A part stands twice, or there are too many.
    #[error("a key has each part once, and {MOST_PARTS} at most")]
    Parts,
    /// No time, or one that is too short or too long.
    #[error("\"{0}\" is not a time from 10s to 30d")]
    Window(String),
    /// Recipients are known at rcpt and the author at data.
    #[error("no stage knows both a recipient and the author")]
    Never,
}

const UNITS: &[(&str, u32)] = &[("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl Rate {
    /// Reads a key, `mail_from.domain+client.network`, and a time, `10m`.
    ///
    /// # Errors
    /// See [`RateMistake`].
    pub fn parse(key: &str, window: &str) -> Result<Rate, RateMistake> {
        let mut parts = 0;
        for word in key.split('+') {
            let part = RatePart::from_word(word).ok_or_else(|| RateMistake::Part(word.to_owned()))?;
            if parts & bit(part) != 0 {
                return Err(RateMistake::Parts);
            }
            parts |= bit(part);
        }
        let rate = Rate { parts, seconds: seconds(window).ok_or_else(|| RateMistake::Window(window.to_owned()))? };
        if rate.parts().count() > MOST_PARTS {
            return Err(RateMistake::Parts);
        }
        if rate.has(RatePart::FromDomain) && rate.of_recipient() {
            return Err(RateMistake::Never);
        }
        Ok(rate)
    }

    /// Reads a name as the record has it, `client/10m`.
    ///
    /// # Errors
    /// See [`RateMistake`].
    pub fn from_name(name: &str) -> Result<Rate, RateMistake> {
        let (key, window) = name.split_once('/').unwrap_or((name, ""));
        Rate::parse(key, window)
    }

    /// Whether the rate of this name counts recipients, so that each has one of its own.
    pub fn is_of_recipients(name: &str) -> bool {
        Rate::from_name(name).is_ok_and(Rate::of_recipient)
    }

    /// What it counts by.
    pub fn parts(self) -> impl Iterator<Item = RatePart> {
        RatePart::ALL.iter().copied().filter(move |part| self.has(*part))
    }

    /// How long it looks back, in seconds.
    pub fn seconds(self) -> u32 {
        self.seconds
    }

    /// What it counts.
    pub fn counted(self) -> Counted {
        if self.of_recipient() {
            Counted::Recipients
        } else if self.has(RatePart::FromDomain) {
            Counted::Messages
        } else {
            Counted::Transactions
        }
    }

    /// Whether a rule of this stage can ask for it.
    pub fn known_at(self, stage: Stage) -> bool {
        let first = self.parts().map(first_stage).max().unwrap_or_default();
        first <= stage && (stage == Stage::Rcpt || !self.of_recipient())
    }

    /// The stages at which it is known, in words.
    pub fn known_when(self) -> String {
        let stages: Vec<&str> =
            Stage::ALL.iter().filter(|stage| self.known_at(**stage)).map(|stage| stage.as_str()).collect();
        match stages.as_slice() {
            [only] => format!("it is known at stage {only} only"),
            [first, ..] => format!("it is known from stage {first} on"),
            [] => String::new(),
        }
    }

    /// The values that it counts by, in the order of [`Rate::parts`]. `None` where one of them is empty: nothing is counted then.
    pub fn values(self, facts: &Facts) -> Option<Vec<String>> {
        let values: Vec<String> = self.parts().map(|part| value(part, facts)).collect();
        values.iter().all(|value| !value.is_empty()).then_some(values)
    }

    fn has(self, part: RatePart) -> bool {
        self.parts & bit(part) != 0
    }

    fn of_recipient(self) -> bool {
        self.has(RatePart::RcptAddress) || self.has(RatePart::RcptDomain)
    }
}

impl fmt::Display for Rate {
    /// Its name in the record: parts in the order of [`RatePart`], the time in its largest whole unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts().enumerate() {
            let joint = if at == 0 { "" } else { "+" };
            write!(f, "{joint}{part}")?;
        }
        let unit = UNITS.iter().find(|(_, seconds)| self.seconds.is_multiple_of(*seconds));
        let (unit, seconds) = unit.unwrap_or(&("s", 1));
        write!(f, "/{}{unit}", self.seconds / seconds)
    }
}

const fn bit(part: RatePart) -> u16 {
    1 << part as u16
}

fn seconds(window: &str) -> Option<u32> {
    let (unit, length) = UNITS.iter().find_map(|(unit, seconds)| Some((window.strip_suffix(unit)?, *seconds)))?;
    let digits = !unit.is_empty() && unit.bytes().all(|b| b.is_ascii_digit());
    let seconds = digits.then(|| unit.parse::<u32>().ok())??.checked_mul(length)?;
    (SHORTEST..=LONGEST).contains(&seconds).then_some(seconds)
}

fn first_stage(part: RatePart) -> Stage {
    match part {
        RatePart::Client | RatePart::ClientNetwork => Stage::Connect,
        RatePart::Helo | RatePart::MailFromAddress | RatePart::MailFromDomain => Stage::Mail,
        RatePart::RcptAddress | RatePart::RcptDomain => Stage::Rcpt,
        RatePart::FromDomain => Stage::Data,
    }
}

fn value(part: RatePart, facts: &Facts) -> String {
    match part {
        RatePart::Client => facts.client.ip.to_string(),
        RatePart::ClientNetwork => super::network(facts.client.ip),
        RatePart::Helo => facts.helo.to_ascii_lowercase(),
        RatePart::MailFromAddress => facts.mail_from.address.to_ascii_lowercase(),
        RatePart::MailFromDomain => facts.mail_from.domain.clone(),
        RatePart::RcptAddress => facts.rcpt.address.to_ascii_lowercase(),
        RatePart::RcptDomain => facts.rcpt.domain.clone(),
        RatePart::FromDomain => facts.from.domain.clone(),
    }
}
