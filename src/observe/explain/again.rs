//! What became of a message that was not taken: whether its client came again.

use jiff::Timestamp;

use super::fates::past;
use super::{fit, remembered};
use crate::facts::word::Action;
use crate::observe::journal::{Brief, Returns};

/// Returns that are told.
const MOST: usize = 5;

/// The section that tells of the returns, oldest first; `days` of the journal were looked through. That none came is told of what
/// was asked to come again.
pub fn again(time: &str, returns: &Returns, found: &[Brief], days: u64) -> String {
    if found.is_empty() && !returns.are_awaited() {
        return String::new();
    }
    let mut text = "\nAfterwards\n".to_owned();
    if found.is_empty() {
        text.push_str(&format!("  it has not come again ({days} days of the journal were looked through)\n"));
        return text;
    }
    let accepted = found.iter().position(|brief| returns.is_taken(brief));
    // what came after it was taken is another message, or a copy
    let tries = found.get(..=accepted.unwrap_or(found.len() - 1)).unwrap_or(found);
    let skipped = tries.len().saturating_sub(MOST);
    for (at, brief) in tries.iter().enumerate() {
        if at >= MOST - 1 && at < tries.len() - 1 {
            continue;
        }
        if skipped > 0 && at == tries.len() - 1 {
            text.push_str(&format!("  ... {skipped} more\n"));
        }
        let done = if brief.decision.reply.is_empty() { "ended by the client" } else { past(brief.decision.action) };
        let done = match (returns.is_taken(brief), brief.decision.action) {
            (false, Action::Accept | Action::Quarantine | Action::Discard) if !brief.decision.reply.is_empty() => {
                "taken, but not for this recipient".to_owned()
            }
            _ => done.to_owned(),
        };
        text.push_str(&format!(
            "  came again: ref {}, {}, {done}\n",
            fit(&brief.reference),
            format_args!("{} later", apart(time, &brief.time))
        ));
    }
    if accepted.is_none() {
        text.push_str("  it has not been taken since\n");
    }
    text
}

/// How long after a moment another one was.
pub(super) fn apart(first: &str, second: &str) -> String {
    let parsed = (first.parse::<Timestamp>(), second.parse::<Timestamp>());
    let (Ok(first), Ok(second)) = parsed else { return fit(second) };
    let seconds = u64::try_from(second.as_second() - first.as_second()).unwrap_or_default();
    let rounded = match seconds {
        0..120 => seconds,
        120..7_200 => seconds / 60 * 60,
        7_200..172_800 => seconds / 3_600 * 3_600,
        _ => seconds / 86_400 * 86_400,
    };
    // in one unit: 27 hours rather than a day
    match rounded {
        0..120 => format!("{rounded} seconds"),
        120..7_200 => format!("{} minutes", rounded / 60),
        7_200..172_800 => format!("{} hours", rounded / 3_600),
        _ => remembered::time(rounded),
    }
}
