//! What becomes of a recipient, and whether one fate is another.

use std::fmt;

use serde::{Serialize, Serializer};

use super::lets_in;
use crate::facts::hidden::is_hidden;
use crate::facts::record::ChangesRecord;
use crate::facts::word::Action;

/// What becomes of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// A rule decided, or none did and the message is accepted.
    Decided {
        /// What is done.
        action: Action,
        /// The rule that decided; empty where none did.
        rule: String,
        /// What rules change of the copies; `None` where there are none, or that is not known.
        changes: Option<Box<ChangesRecord>>,
    },
    /// It is taken at RCPT, and of its message nothing is known.
    GoesOn,
    /// A condition of this rule hangs on a fact that is not known, and matters.
    Untold {
        /// The rule.
        rule: String,
    },
}

impl Fate {
    pub(super) fn of(action: Action, rule: &str, changes: Option<ChangesRecord>) -> Fate {
        let changes = changes.filter(|_| lets_in(action)).map(Box::new);
        Fate::Decided { action, rule: rule.to_owned(), changes }
    }

    /// Whether the same is done, by whatever rule.
    pub(super) fn is_like(&self, other: &Fate) -> bool {
        match (self, other) {
            (Fate::Decided { action: a, changes: of_a, .. }, Fate::Decided { action: b, changes: of_b, .. }) => {
                a == b && of_a == of_b
            }
            (Fate::GoesOn, Fate::GoesOn) => true,
            _ => false,
        }
    }

    /// Without what is changed of the copies.
    pub(super) fn without_changes(self) -> Fate {
        match self {
            Fate::Decided { action, rule, .. } => Fate::Decided { action, rule, changes: None },
            other => other,
        }
    }

    /// Whether it tells what is changed of the copies, where there are any.
    pub(super) fn tells_changes(&self) -> bool {
        !matches!(self, Fate::Decided { action, changes: None, .. } if lets_in(*action))
    }

    /// What is changed of the copies, if that is known and anything.
    fn changes(&self) -> Option<&ChangesRecord> {
        match self {
            Fate::Decided { changes: Some(changes), .. } if !changes.is_empty() => Some(changes),
            _ => None,
        }
    }

    pub(super) fn is_untold(&self) -> bool {
        matches!(self, Fate::Untold { .. })
    }

    /// The rule that it hangs on; empty where none did.
    pub fn rule(&self) -> &str {
        match self {
            Fate::Decided { rule, .. } | Fate::Untold { rule } => rule,
            Fate::GoesOn => "",
        }
    }
}

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Fate::Decided { action, .. } => action.as_str(),
            Fate::GoesOn => "goes on",
            Fate::Untold { .. } => "unknown",
        }
    }
}

impl fmt::Display for Fate {
    /// `quarantine into Spam`, `accept with tag "[EXTERNAL] ", X-List: {from.domain}, without Reply-To, for abuse@example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        let Some(ChangesRecord { folder, add_headers, remove_headers, tag_subject, redirect }) = self.changes() else {
            return Ok(());
        };
        if !folder.is_empty() {
            write!(f, " into {folder}")?;
        }
        let tags = tag_subject.iter().map(|tag| format!("tag {tag:?}"));
        let with: Vec<String> = tags.chain(add_headers.iter().cloned()).collect();
        if !with.is_empty() {
            write!(f, " with {}", with.join(", "))?;
        }
        if !remove_headers.is_empty() {
            write!(f, " without {}", remove_headers.join(", "))?;
        }
        if !redirect.is_empty() {
            write!(f, " for {redirect}")?;
        }
        Ok(())
    }
}

impl Serialize for Fate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            action: &'a str,
            rule: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            changes: Option<&'a ChangesRecord>,
        }
        Told { action: self.word(), rule: self.rule(), changes: self.changes() }.serialize(to)
    }
}

/// From what to what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What was, or what the policy that it is compared with says.
    pub from: Fate,
    /// What the new policy says.
    pub to: Fate,
}

impl Change {
    /// Where a journal without names hides whom the copy went to, one to the same domain is taken for the same.
    pub(super) fn take_hidden_redirect_for_the_same(&mut self) {
        let (Fate::Decided { changes: Some(from), .. }, Fate::Decided { changes: Some(to), .. }) =
            (&mut self.from, &self.to)
        else {
            return;
        };
        let domain = |address: &str| address.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
        if is_hidden(&from.redirect) && domain(&from.redirect) == domain(&to.redirect) {
            from.redirect.clone_from(&to.redirect);
        }
    }

    /// Whether the same action is taken, and only what is changed of the copies differs.
    pub fn is_of_copies(&self) -> bool {
        match (&self.from, &self.to) {
            (Fate::Decided { action: a, changes: of_a, .. }, Fate::Decided { action: b, changes: of_b, .. }) => {
                a == b && of_a != of_b
            }
            _ => false,
        }
    }

    /// How much it says of its record, where recipients fare differently: mail that is refused or let in says the most.
    pub(super) fn weight(&self) -> u8 {
        let (from, to) = match (&self.from, &self.to) {
            (from, to) if from.is_untold() || to.is_untold() => return 2,
            (from, to) if from.is_like(to) => return u8::from(from != to),
            (Fate::Decided { action: from, .. }, Fate::Decided { action: to, .. }) => (lets_in(*from), lets_in(*to)),
            _ => return 4,
        };
        if from == to { 3 } else { 4 }
    }
}
