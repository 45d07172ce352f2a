//! What a replay came to, in memory that does not grow with the journal.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::recorded::Recorded;
use crate::facts::word::{Action, Stage};

use super::fate::Change;
use super::most::Most;
use super::{EXCEPTED, FAILED, MATCHED, OBSERVED, Rule, UNKNOWN};

/// Refs that are kept of each change: the newest.
pub const MOST_REFS: usize = 10;
/// Different changes that are told apart; what comes after them is only counted.
pub const MOST_ROWS: usize = 500;
/// Names that are kept of each change, and of all together.
const NAMES_OF_ROW: usize = 100;
const NAMES: usize = 1_000;
/// Policy files that are told apart.
const POLICIES: usize = 20;

/// What is told of one change.
#[derive(Debug, Clone)]
pub struct Row {
    /// Records.
    pub count: u64,
    /// The newest refs, newest first.
    pub refs: Vec<String>,
    /// Author domains; of a message that never came, the reverse-path's.
    pub domains: Most,
    /// Clients: the confirmed name, else the address.
    pub clients: Most,
}

impl Default for Row {
    fn default() -> Self {
        let names = || Most::keeping(NAMES_OF_ROW);
        Row { count: 0, refs: Vec::new(), domains: names(), clients: names() }
    }
}

impl Row {
    fn note(&mut self, reference: &str, domain: &str, client: &str) {
        self.count += 1;
        self.keep(reference);
        self.domains.add(domain);
        self.clients.add(client);
    }

    /// Refs sort by time.
    fn keep(&mut self, reference: &str) {
        if self.refs.len() >= MOST_REFS && self.refs.last().is_some_and(|oldest| oldest.as_str() >= reference) {
            return;
        }
        let at = self.refs.partition_point(|known| known.as_str() > reference);
        self.refs.insert(at, reference.to_owned());
        self.refs.truncate(MOST_REFS);
    }

    fn merge(&mut self, other: Row) {
        self.count += other.count;
        other.refs.iter().for_each(|reference| self.keep(reference));
        self.domains.merge(other.domains);
        self.clients.merge(other.clients);
    }
}

/// What one rule of the new policy did, in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleCounts {
    /// The rule.
    pub name: String,
    /// Its stage.
    pub at: Stage,
    /// What it does, or would do where it observes; absent where it only scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Whether it only observes.
    pub observe: bool,
    /// It acted, or its score was added.
    pub matched: u64,
    /// It would have acted.
    pub observed: u64,
    /// Its condition hangs on a fact that the record does not have.
    pub unknown: u64,
    /// It matched, and so did its exception.
    pub excepted: u64,
    /// Its condition could not be run.
    pub error: u64,
}

/// What a replay came to. Reports of parts of a journal are merged into one of all.
#[derive(Debug, Clone)]
pub struct Report {
    /// Records that count: of the policy that is looked at, and not too old.
    pub records: u64,
    /// The same is done, by the same rule.
    pub same: u64,
    /// What would change.
    pub changed: BTreeMap<Change, Row>,
    /// What would be done as before, by another rule.
    pub by_another_rule: BTreeMap<Change, Row>,
    /// What can't be told.
    pub untold: BTreeMap<Change, Row>,
    /// Records beyond [`MOST_ROWS`] different changes, of whatever kind.
    pub more: u64,
    /// Refused by the protocol, or because of trouble of our own: that stays so.
    pub without_rule: u64,
    /// The client ended the transaction before it named a recipient.
    pub unjudged: u64,
    /// Records that other policies judged.
    pub others: u64,
    /// Which these were.
    pub other_policies: Most,
    /// Lines that are torn or not ours.
    pub skipped: u64,
    /// The times of the first and the last record that counts, RFC 3339; empty where none does.
    pub from: String,
    /// See `from`.
    pub until: String,
    /// What the new policy's rules did, in their order.
    pub rules: Vec<RuleCounts>,
    /// Author domains of what would change.
    pub domains: Most,
    /// Clients of what would change.
    pub clients: Most,
}

impl Report {
    pub(super) fn of(rules: &[Rule]) -> Report {
        let rule = |rule: &Rule| RuleCounts {
            name: rule.name.clone(),
            at: rule.at,
            action: rule.action(),
            observe: rule.observe,
            matched: 0,
            observed: 0,
            unknown: 0,
            excepted: 0,
            error: 0,
        };
        Report {
            records: 0,
            same: 0,
            changed: BTreeMap::new(),
            by_another_rule: BTreeMap::new(),
            untold: BTreeMap::new(),
            more: 0,
            without_rule: 0,
            unjudged: 0,
            others: 0,
            other_policies: Most::keeping(POLICIES),
            skipped: 0,
            from: String::new(),
            until: String::new(),
            rules: rules.iter().map(rule).collect(),
            domains: Most::keeping(NAMES),
            clients: Most::keeping(NAMES),
        }
    }

    /// How many decisions would change.
    pub fn changes(&self) -> u64 {
        self.changed.values().map(|row| row.count).sum()
    }

    /// How many of these change the copies only: their folder, header, subject or mailbox.
    pub fn changes_of_copies(&self) -> u64 {
        self.changed.iter().filter(|(change, _)| change.is_of_copies()).map(|(_, row)| row.count).sum()
    }

    pub(super) fn other_policy(&mut self, name: &str) {
        self.others += 1;
        self.other_policies.add(name);
    }

    pub(super) fn span(&mut self, time: &str) {
        if self.from.is_empty() || time < self.from.as_str() {
            time.clone_into(&mut self.from);
        }
        if time > self.until.as_str() {
            time.clone_into(&mut self.until);
        }
    }

    pub(super) fn rules_seen(&mut self, seen: &[u8]) {
        for (rule, bits) in self.rules.iter_mut().zip(seen).filter(|(_, bits)| **bits != 0) {
            let count = |bit: u8| u64::from(bits & bit != 0);
            rule.matched += count(MATCHED);
            rule.observed += count(OBSERVED);
            rule.unknown += count(UNKNOWN);
            rule.excepted += count(EXCEPTED);
            rule.error += count(FAILED);
        }
    }

    pub(super) fn note(&mut self, change: Change, record: &Recorded<'_>) {
        if change.from == change.to && !change.from.is_untold() {
            self.same += 1;
            return;
        }
        let author = record.text("from.domain");
        let domain = if author.is_empty() { record.text("mail_from.domain") } else { author };
        let name = record.text("client.name");
        let client = if name.is_empty() { record.text("client.ip") } else { name };
        let rows = self.rows(&change);
        let full = rows.len() >= MOST_ROWS && !rows.contains_key(&change);
        if full {
            self.more += 1;
            return;
        }
        let really = change.weight() > 2;
        rows.entry(change).or_default().note(&record.reference, domain, client);
        if really {
            self.domains.add(domain);
            self.clients.add(client);
        }
    }

    fn rows(&mut self, change: &Change) -> &mut BTreeMap<Change, Row> {
        if change.from.is_untold() || change.to.is_untold() {
            &mut self.untold
        } else if change.from.is_like(&change.to) {
            &mut self.by_another_rule
        } else {
            &mut self.changed
        }
    }

    /// Takes in the report of another part of the journal, by the same policies.
    pub fn merge(&mut self, other: Report) {
        self.records += other.records;
        self.same += other.same;
        self.more += other.more;
        self.without_rule += other.without_rule;
        self.unjudged += other.unjudged;
        self.others += other.others;
        self.other_policies.merge(other.other_policies);
        self.skipped += other.skipped;
        for time in [&other.from, &other.until].into_iter().filter(|time| !time.is_empty()) {
            self.span(time);
        }
        for (rule, more) in self.rules.iter_mut().zip(other.rules) {
            rule.matched += more.matched;
            rule.observed += more.observed;
            rule.unknown += more.unknown;
            rule.excepted += more.excepted;
            rule.error += more.error;
        }
        self.domains.merge(other.domains);
        self.clients.merge(other.clients);
        let rows = [
            (&mut self.changed, other.changed),
            (&mut self.by_another_rule, other.by_another_rule),
            (&mut self.untold, other.untold),
        ];
        for (own, more) in rows {
            for (change, row) in more {
                if own.len() < MOST_ROWS || own.contains_key(&change) {
                    own.entry(change).or_default().merge(row);
                } else {
                    self.more += row.count;
                }
            }
        }
    }
}
