//! Records that were too large for a line: what was cut is not what the rules saw, and so is not known.

use gatepost::facts::record::Record;
use gatepost::facts::word::Action;
use gatepost::facts::{Attachment, Mime};

use super::{QUARANTINE, check_lines, decided, honest, rule};
use crate::journal::line_of;

const EXE: &str = "mime.attachments.exists(a, a.extension == 'exe')";

/// A message with many files of long names, one of which decided.
fn stuffed() -> Record {
    let file = |at: usize| Attachment {
        name: "\u{1f4ce}".repeat(240),
        extension: if at == 61 { "exe" } else { "txt" }.to_owned(),
        ..Attachment::default()
    };
    let mut record = honest();
    decided(&mut record, Action::Quarantine, "exe");
    record.facts.mime = Some(Mime { attachments: (0..95).map(file).collect(), ..Mime::default() });
    record
}

#[track_caller]
fn is_untold(record: Record, cut: &[&str], when: &str, action: &str) {
    let line = line_of(record);
    let read: Record = serde_json::from_str(&line).unwrap();
    assert_eq!(read.cut, cut, "{when}");
    let report =
        check_lines(&rule("exe", "data", when, action), &[line], &["untold 1: quarantine (exe) -> unknown (exe)"]);
    assert_eq!(report.changed.len(), 0, "{when}");
}

#[test]
fn the_policy_that_judged_finds_no_change_in_what_was_cut() {
    is_untold(stuffed(), &["mime.attachments"], EXE, QUARANTINE);
    is_untold(stuffed(), &["mime.attachments"], "size(mime.attachments) == 95", QUARANTINE);
    is_untold(stuffed(), &["mime.attachments"], "mime.attachments.all(a, a.name != 'x')", QUARANTINE);
}

#[test]
fn what_was_not_cut_is_known() {
    let line = line_of(stuffed());
    for when in ["mime.truncated", "mime.truncated && from.domain == 'sender.example'"] {
        let change = "change 1: quarantine (exe) -> accept ()";
        check_lines(&rule("exe", "data", when, QUARANTINE), std::slice::from_ref(&line), &[change]);
    }
    check_lines(&rule("exe", "data", "from.domain == 'sender.example'", QUARANTINE), &[line], &[]);
}

#[test]
fn recipients_and_headers_that_were_cut_are_not_known() {
    let mut record = stuffed();
    let long = "\u{1}".repeat(1_000);
    record.recipients[0].address = format!("{long}@ours.example");
    record.facts.headers.insert("x-long".to_owned(), Default::default());
    record.facts.headers.get_mut("x-long").unwrap().value = Some(long.repeat(3));
    let read: Record = serde_json::from_str(&line_of(record)).unwrap();
    assert_eq!(read.cut, ["headers", "mime.attachments", "recipients"]);
}

#[test]
fn a_record_that_fits_has_nothing_cut() {
    let line = line_of(honest());
    assert!(!line.contains("\"cut\""), "{line}");
}
