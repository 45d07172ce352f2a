//! Reverse-paths that change with every message (VERP, BATV, SRS) in the form that stays the same when the message comes again.

/// Longer words of a local-part are taken for made up.
const LONGEST_WORD: usize = 24;

/// The reverse-path in lower case, its numbers and digests as `#`: `bounce+4711=8f3a@news.example` and
/// `bounce+4712=91bc@news.example` are the same sender.
pub(super) fn steady(address: &str) -> String {
    let address = address.to_ascii_lowercase();
    let Some((local, domain)) = address.rsplit_once('@') else { return address };
    let local = without_tag(local);
    let mut steady = String::with_capacity(address.len());
    // SRS0=digest=day=domain=local and SRS1=digest=host==digest=day=domain=local: digests and days may have no digit in them
    let mut made_up = if local.starts_with("srs0") { 2 } else { u32::from(local.starts_with("srs1")) };
    let srs = made_up > 0;
    let mut rest = local;
    let mut is_first = true;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let changes = word.chars().any(|c| c.is_ascii_digit()) || word.chars().count() > LONGEST_WORD;
        if srs && is_first {
            steady.push_str(word);
        } else if srs && word.is_empty() {
            made_up = 2;
        } else if made_up > 0 {
            made_up -= 1;
            steady.push('#');
        } else {
            steady.push_str(if changes { "#" } else { word });
        }
        is_first = false;
        let mut chars = after.chars();
        let Some(separator) = chars.next() else { break };
        steady.push(separator);
        rest = chars.as_str();
    }
    steady.push('@');
    steady.push_str(domain);
    steady
}

/// Without BATV's `prvs=DDDDHHHHHH=`.
fn without_tag(local: &str) -> &str {
    let untagged = local.strip_prefix("prvs=").and_then(|rest| rest.split_once('='));
    match untagged {
        Some((tag, rest)) if tag.bytes().all(|b| b.is_ascii_alphanumeric()) && !rest.is_empty() => rest,
        _ => local,
    }
}
