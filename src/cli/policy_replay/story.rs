//! A replay's report, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use anstyle::Style;
use serde::Serialize;

use super::About;
use crate::cli::table::{Table, number};
use crate::observe::escape::shown;
use crate::policy::replay::{Change, Fate, Named, Report, Row, RuleCounts};

/// Names that are shown of each kind.
const NAMES: usize = 10;
/// Changes that are shown with all there is to tell.
const SHOWN: usize = 40;
/// Characters of a name.
const NAME: usize = 100;

/// The report in words.
pub(super) fn tell(about: &About, report: &Report, coloured: bool) -> String {
    let bold = if coloured { Style::new().bold() } else { Style::new() };
    let mut out = format!("{bold}{}{bold:#}\n", headline(report));
    out.push_str(&basis(about, report));
    rows(&mut out, "", &report.changed, coloured);
    if report.changes() > 0 {
        most(&mut out, report);
    }
    rows(&mut out, "As before, but by another rule", &report.by_another_rule, coloured);
    rows(&mut out, "Can't be told: the record lacks a fact that the rule reads", &report.untold, coloured);
    rules(&mut out, report, coloured);
    left_out(&mut out, about, report);
    out
}

fn headline(report: &Report) -> String {
    let decisions = report.records - report.unjudged;
    if decisions == 0 {
        return "There is no decision to replay.".to_owned();
    }
    let of = format!("of {} would change", counted(decisions, "decision", "decisions"));
    match report.changes() {
        0 => format!("None {of}."),
        changes => match report.changes_of_copies() {
            0 => format!("{} {of}.", number(changes)),
            copies => format!(
                "{} {of}, {} of them only in folder, header, subject or mailbox.",
                number(changes),
                number(copies)
            ),
        },
    }
}

fn basis(about: &About, report: &Report) -> String {
    let mut out = match about.against.as_str() {
        "" => "Compared with what was decided".to_owned(),
        old => format!("Compared with what {} would have decided", shown(old, NAME)),
    };
    match about.policies.as_slice() {
        [] => out.push_str("; records of all policies"),
        names => {
            let _ = write!(out, "; records of {}", shown(&names.join(", "), NAME));
        }
    }
    let day = |time: &str| shown(time.get(..10).unwrap_or(time), 10);
    if !report.from.is_empty() {
        let _ = write!(out, " from {} to {}", day(&report.from), day(&report.until));
    }
    out.push_str(".\n");
    out
}

fn rows(out: &mut String, title: &str, rows: &BTreeMap<Change, Row>, coloured: bool) {
    if rows.is_empty() {
        return;
    }
    let mut sorted: Vec<(&Change, &Row)> = rows.iter().collect();
    sorted.sort_by_key(|(_, found)| std::cmp::Reverse(found.count));
    out.push('\n');
    if !title.is_empty() {
        let count = sorted.iter().map(|(_, row)| row.count).sum();
        let _ = writeln!(out, "{title}: {}", counted(count, "decision", "decisions"));
    }
    let mut table = Table::new(["COUNT", "FROM", "BY RULE", "TO", "BY RULE"]);
    table.right(0);
    for (change, row) in sorted.iter().take(SHOWN) {
        let done = |fate: &Fate| shown(&fate.to_string(), NAME);
        let cells = [number(row.count), done(&change.from), rule(&change.from), done(&change.to), rule(&change.to)];
        table.row(cells, details(row));
    }
    out.push_str(&table.render(coloured));
    if sorted.len() > SHOWN {
        let _ = writeln!(out, "  and {} other changes; --json has them all", sorted.len() - SHOWN);
    }
}

fn rule(fate: &Fate) -> String {
    match (fate, fate.rule()) {
        (Fate::GoesOn, _) => "(to its message)".to_owned(),
        (_, "") => "-".to_owned(),
        (_, rule) => shown(rule, NAME),
    }
}

fn details(row: &Row) -> Vec<String> {
    let mut lines = vec![format!("gatepost explain {}", shown(&row.refs.join(" "), 400))];
    let named = [("authors", &row.domains), ("clients", &row.clients)];
    for (what, most) in named.into_iter().filter(|(_, most)| !most.is_empty()) {
        lines.push(format!("{what} {}", list(&most.top(NAMES), most.error())));
    }
    lines
}

fn list(names: &[Named], error: u64) -> String {
    let named = names.iter().map(|named| format!("{} {}", shown(&named.name, NAME), number(named.count)));
    let about = if error > 0 { format!(" (counts are up to {} too low)", number(error)) } else { String::new() };
    named.collect::<Vec<_>>().join(", ") + &about
}

fn most(out: &mut String, report: &Report) {
    out.push_str("\nMost affected\n");
    for (what, most) in [("author domains", &report.domains), ("clients", &report.clients)] {
        if !most.is_empty() {
            let _ = writeln!(out, "  {what:14}  {}", list(&most.top(NAMES), most.error()));
        }
    }
}

fn rules(out: &mut String, report: &Report, coloured: bool) {
    let would = |rule: &&RuleCounts| rule.observed > 0;
    if report.rules.iter().any(|rule| would(&rule)) {
        out.push_str("\nRules that only observe would have acted\n");
        let mut table = Table::new(["COUNT", "RULE", "AT", "WOULD"]);
        table.right(0);
        for rule in report.rules.iter().filter(would) {
            let would = rule.action.map_or_else(|| "score".to_owned(), |action| action.to_string());
            table.row([number(rule.observed), rule.name.clone(), rule.at.to_string(), would], Vec::new());
        }
        out.push_str(&table.render(coloured));
    }
    for (title, count) in [
        ("Rules that hang on a fact which the record does not have: unknown", unknown as fn(&RuleCounts) -> u64),
        ("Rules whose condition could not be run", |rule| rule.error),
    ] {
        let mut counted = report.rules.iter().filter(|rule| count(rule) > 0).peekable();
        if counted.peek().is_none() {
            continue;
        }
        let _ = writeln!(out, "\n{title}");
        let mut table = Table::new(["COUNT", "RULE", "AT"]);
        table.right(0);
        counted.for_each(|rule| table.row([number(count(rule)), rule.name.clone(), rule.at.to_string()], Vec::new()));
        out.push_str(&table.render(coloured));
    }
}

fn unknown(rule: &RuleCounts) -> u64 {
    rule.unknown
}

/// What did not count, and why.
fn left_out(out: &mut String, about: &About, report: &Report) {
    let mut notes = Vec::new();
    if report.without_rule > 0 {
        notes.push(format!(
            "{} made without a rule (unknown mailbox, size, trouble of our own): that stays",
            decisions(report.without_rule)
        ));
    }
    if report.unjudged > 0 {
        notes.push(format!(
            "{} ended before a recipient was named",
            counted(report.unjudged, "transaction", "transactions")
        ));
    }
    if report.others > 0 {
        let others = list(&report.other_policies.top(3), 0);
        notes.push(format!(
            "{} left out, made by other policies ({others}); --replaces FILE or --all takes them",
            decisions(report.others)
        ));
    }
    if report.more > 0 {
        notes.push(format!("{} of more kinds than are told apart", decisions(report.more)));
    }
    if report.skipped > 0 {
        notes.push(format!("{} passed over: torn, or not ours", counted(report.skipped, "line", "lines")));
    }
    if about.files == 0 {
        notes.push("the journal has no file of that time".to_owned());
    }
    let note = if notes.is_empty() { "" } else { "\n" };
    out.push_str(note);
    for note in notes {
        let _ = writeln!(out, "note  {note}");
    }
    if about.failing_tests > 0 {
        let tests = counted(about.failing_tests as u64, "test fails", "tests fail");
        let _ = writeln!(out, "note  {tests}: the new policy would not be loaded; see gatepost policy test");
    }
}

fn decisions(count: u64) -> String {
    counted(count, "decision", "decisions")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// The report as programs read it.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    decisions: u64,
    changed: u64,
    changed_copies_only: u64,
    unchanged: u64,
    by_another_rule: u64,
    unknown: u64,
    without_rule: u64,
    without_recipient: u64,
    of_other_policies: u64,
    beyond_bounds: u64,
    skipped_lines: u64,
    against: &'a str,
    policies: &'a [String],
    other_policies: Vec<Named>,
    from: &'a str,
    until: &'a str,
    failing_tests: usize,
    changes: Vec<JsonRow<'a>>,
    same_by_another_rule: Vec<JsonRow<'a>>,
    cannot_be_told: Vec<JsonRow<'a>>,
    author_domains: Vec<Named>,
    clients: Vec<Named>,
    approximate: bool,
    rules: &'a [RuleCounts],
}

#[derive(Serialize)]
struct JsonRow<'a> {
    #[serde(flatten)]
    change: &'a Change,
    count: u64,
    refs: &'a [String],
    author_domains: Vec<Named>,
    clients: Vec<Named>,
}

/// The report for programs.
pub(super) fn json<'a>(about: &'a About, report: &'a Report) -> Json<'a> {
    let rows = |rows: &'a BTreeMap<Change, Row>| -> Vec<JsonRow<'a>> {
        let mut all: Vec<JsonRow<'a>> = rows
            .iter()
            .map(|(change, row)| JsonRow {
                change,
                count: row.count,
                refs: &row.refs,
                author_domains: row.domains.top(NAMES),
                clients: row.clients.top(NAMES),
            })
            .collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.count));
        all
    };
    let sum = |rows: &BTreeMap<Change, Row>| rows.values().map(|row| row.count).sum();
    Json {
        decisions: report.records - report.unjudged,
        changed: report.changes(),
        changed_copies_only: report.changes_of_copies(),
        unchanged: report.same,
        by_another_rule: sum(&report.by_another_rule),
        unknown: sum(&report.untold),
        without_rule: report.without_rule,
        without_recipient: report.unjudged,
        of_other_policies: report.others,
        beyond_bounds: report.more,
        skipped_lines: report.skipped,
        against: &about.against,
        policies: &about.policies,
        other_policies: report.other_policies.top(NAMES),
        from: &report.from,
        until: &report.until,
        failing_tests: about.failing_tests,
        changes: rows(&report.changed),
        same_by_another_rule: rows(&report.by_another_rule),
        cannot_be_told: rows(&report.untold),
        author_domains: report.domains.top(NAMES),
        clients: report.clients.top(NAMES),
        approximate: report.domains.is_approximate() || report.clients.is_approximate(),
        rules: &report.rules,
    }
}
