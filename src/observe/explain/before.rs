//! What an accepted message went through before: the tries that were put off.

use super::again::apart;
use super::fit;
use crate::facts::record::Recipient;
use crate::facts::word::GreylistResult;
use crate::observe::journal::Brief;

/// Tries that are told.
const MOST: usize = 5;

/// The section that tells of them, oldest first; empty where there was none. `time` is when it was accepted.
pub fn before(time: &str, tries: &[(&Brief, &Recipient)]) -> String {
    if tries.is_empty() {
        return String::new();
    }
    let mut text = "\nBefore\n".to_owned();
    let skipped = tries.len().saturating_sub(MOST);
    for (at, (brief, recipient)) in tries.iter().enumerate() {
        let is_last = at == tries.len() - 1;
        if at >= MOST - 1 && !is_last {
            continue;
        }
        if skipped > 0 && is_last {
            text.push_str(&format!("  ... {skipped} more\n"));
        }
        let came = if at == 0 { "came first" } else { "came again" };
        text.push_str(&format!(
            "  {came} at {} (ref {}), {} before: {}\n",
            fit(&brief.time),
            fit(&brief.reference),
            apart(&brief.time, time),
            put_off(brief, recipient)
        ));
    }
    text
}

/// What it was told then, and by whom.
fn put_off(brief: &Brief, recipient: &Recipient) -> String {
    let at_rcpt = recipient.reply.starts_with('4');
    let reply = if at_rcpt { &recipient.reply } else { &brief.decision.reply };
    let own = recipient.decision.as_ref().map(|decision| decision.rule.as_str());
    let rule = if at_rcpt { own.unwrap_or_default() } else { own.unwrap_or(&brief.decision.rule) };
    let greylist = recipient.recalled.as_ref().map(|recalled| recalled.greylist.result);
    let stranger = match greylist.filter(|_| at_rcpt && !rule.is_empty()) {
        Some(GreylistResult::New) => ", new to greylisting",
        Some(GreylistResult::Early) => ", too early for greylisting",
        _ => "",
    };
    match rule {
        "" => format!("<{}> was answered {}", fit(&recipient.address), fit(reply)),
        rule => format!("<{}> was deferred by rule {}{stranger}", fit(&recipient.address), fit(rule)),
    }
}
