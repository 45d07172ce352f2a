//! Names of mailboxes: how they compare, and which can be directories.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::smtp::address::Domain;

/// Most octets of a mailbox's name: those of a local-part (RFC 5321 §4.5.3.1.1).
pub const MAILBOX_NAME_OCTETS: usize = 64;

/// A mailbox of ours. Its name is folded and safe as the name of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName {
    /// The local domain.
    pub domain: Domain,
    /// The folded name, in NFC.
    pub name: String,
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.domain.as_str())
    }
}

/// The form in which local-parts and names compare: NFC, and case-folded by the full mappings of Unicode.
///
/// DEVIATES RFC 5321 §2.4: it has local-parts compare by case, and says in the same breath that to exploit this is discouraged;
/// nobody can give a mailbox out by telephone otherwise. Only we interpret local-parts of our own domains.
pub fn fold(text: &str) -> String {
    // An all-ASCII name is in NFC and has simple cases only.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Lower, upper, lower, each character alone, is the full case folding (ß and ẞ both to ss, all sigmas to one) but for the
    // dotless i, which has no folding and would meet i through the upper case that they share.
    let folded = text.nfc().flat_map(char::to_lowercase).flat_map(|c| {
        let upper: Vec<char> = if c == 'ı' { vec![c] } else { c.to_uppercase().collect() };
        upper.into_iter().flat_map(move |u| if u == 'ı' { vec![u] } else { u.to_lowercase().collect() })
    });
    folded.nfc().collect()
}

/// Why a name cannot be a mailbox's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of it.
    #[error("a mailbox needs a name")]
    Empty,
    /// Over 64 octets.
    #[error("a mailbox's name has at most 64 octets (RFC 5321 §4.5.3.1.1)")]
    TooLong,
    /// It would be a hidden directory, or one above.
    #[error("a mailbox's name cannot begin with a dot: it is the name of a directory")]
    LeadingDot,
    /// It would be two directories.
    #[error("a mailbox's name cannot have a slash: it is the name of a directory")]
    Slash,
    /// A control character or a line separator.
    #[error("a mailbox's name cannot have control characters")]
    Control,
    /// A whole address where the name is wanted.
    #[error("a mailbox is named without its domain")]
    At,
}

/// Folds a mailbox's name and checks that it can be a directory.
pub(super) fn check(text: &str) -> Result<String, NameError> {
    let name = fold(text);
    let control = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if name.is_empty() {
        Err(NameError::Empty)
    } else if name.len() > MAILBOX_NAME_OCTETS {
        Err(NameError::TooLong)
    } else if name.contains('/') {
        Err(NameError::Slash)
    } else if name.chars().any(control) {
        Err(NameError::Control)
    } else if name.starts_with('.') {
        Err(NameError::LeadingDot)
    } else if name.contains('@') {
        Err(NameError::At)
    } else {
        Ok(name)
    }
}

/// Whether a text can be one component of a path below the Maildir root: not empty, at most `octets` long, no `/`, no control
/// character, no leading dot.
pub fn is_safe_component(text: &str, octets: usize) -> bool {
    !text.is_empty()
        && text.len() <= octets
        && !text.starts_with('.')
        && !text.contains('/')
        && !text.chars().any(char::is_control)
}
