//! What a policy would have decided about mail that came before: the facts of the journal's records in, a [`Report`] out.
//!
//! Every recipient that a rule could decide about is judged again, by the rules of all stages in their order. What the protocol or
//! trouble of our own refused stays refused. A fact that a record lacks makes a condition that hangs on it unknown; where taking it for
//! true and for false would lead to different decisions, the record's decision can't be told.

mod fate;
mod most;
mod report;

use std::collections::HashMap;
use std::path::Path;

use crate::facts::record::ChangesRecord;
use crate::facts::recorded::{Recorded, Tried, Wanted};
use crate::facts::table::{Fact, FactSet, FactSource, Value};
use crate::facts::word::{Action, Outcome, Stage};

use super::decide;
use super::{Judgement, Policy, Rule};

pub use fate::{Change, Fate};
pub use most::{Most, Named};
pub use report::{MOST_REFS, MOST_ROWS, Report, Row, RuleCounts};

/// How often one recipient is judged at most, with what is not known taken for this and for that.
const MOST_RUNS: usize = 32;

/// What is replayed over records.
pub struct Replay<'p> {
    new: Judge<'p>,
    /// What `new` is compared with; `None`: what was decided.
    against: Option<Judge<'p>>,
    /// Which records count.
    filter: Filter,
    wanted: Wanted,
}

/// Which records count.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The policy files that judged them, by name; empty: any.
    pub policies: Vec<String>,
    /// RFC 3339, UTC: records that ended before are not looked at; empty: all are.
    pub since: String,
}

impl Filter {
    /// Whether records of this policy count. A file is named as the configuration was, so that one name may be the end of the other.
    fn takes(&self, policy: &str) -> bool {
        let same = |name: &String| {
            let (a, b) = (Path::new(name), Path::new(policy));
            name == policy || a.ends_with(b) || b.ends_with(a)
        };
        self.policies.is_empty() || self.policies.iter().any(same)
    }
}

/// A policy that judges records.
struct Judge<'p> {
    policy: &'p Policy,
    places: HashMap<&'p str, usize>,
}

impl<'p> Judge<'p> {
    fn of(policy: &'p Policy) -> Self {
        let places = policy.rules().iter().enumerate().map(|(place, rule)| (rule.name(), place)).collect();
        Judge { policy, places }
    }

    fn reads(&self) -> FactSet {
        let mut reads = FactSet::default();
        self.policy.rules().iter().for_each(|rule| reads.extend(rule.reads()));
        reads
    }
}

impl<'p> Replay<'p> {
    /// `new` over records, compared with `against`, or with what was decided.
    pub fn new(new: &'p Policy, against: Option<&'p Policy>, filter: Filter) -> Self {
        let (new, against) = (Judge::of(new), against.map(Judge::of));
        let mut reads = new.reads();
        against.iter().for_each(|judge| reads.extend(judge.reads()));
        Replay { new, against, filter, wanted: Wanted::of(&reads) }
    }

    /// A report of nothing yet.
    pub fn report(&self) -> Report {
        Report::of(self.new.policy.rules())
    }

    /// Takes one line of the journal, without its line end, into a report that [`Replay::report`] began.
    pub fn take(&self, line: &[u8], report: &mut Report) {
        let Ok(record) = Recorded::read(line, &self.wanted) else {
            // an empty line is what follows a line that was torn just before its end
            report.skipped += u64::from(!line.is_empty());
            return;
        };
        if record.time.as_ref() < self.filter.since.as_str() {
            return;
        }
        if !self.filter.takes(&record.policy) {
            report.other_policy(&record.policy);
            return;
        }
        report.records += 1;
        report.span(&record.time);
        self.compare(&record, report);
    }

    /// Compares what becomes of the recipients: the first that fares otherwise stands for the record.
    fn compare(&self, record: &Recorded<'_>, report: &mut Report) {
        if record.recipients.is_empty() {
            // the client never named one, or MAIL was refused by a bound
            let refused = record.decision.is_without_rule();
            return if refused { report.without_rule += 1 } else { report.unjudged += 1 };
        }
        let mut seen = Seen { rules: vec![0; self.new.policy.rules().len()] };
        let mut outcome = None;
        let mut before = 0;
        for tried in &record.recipients {
            let taken_before = before;
            before += i64::from(tried.was_taken());
            let Some(was) = recorded(record, tried) else { continue };
            let facts = Facts { record, tried, taken_before, at_data: false };
            let was = match &self.against {
                Some(against) => fate(against, &facts, true, &mut Seen::default()),
                None => was,
            };
            let to = fate(&self.new, &facts, was.tells_changes(), &mut seen);
            let mut change = Change { from: was, to };
            change.take_hidden_redirect_for_the_same();
            if outcome.as_ref().is_none_or(|known: &Change| change.weight() > known.weight()) {
                outcome = Some(change);
            }
        }
        report.rules_seen(&seen.rules);
        match outcome {
            None => report.without_rule += 1,
            Some(change) => report.note(change, record),
        }
    }
}

/// What became of a recipient, by the record; `None` where no rule could have decided otherwise.
fn recorded(record: &Recorded<'_>, tried: &Tried<'_>) -> Option<Fate> {
    if !tried.is_local() {
        return None;
    }
    if let Some(own) = &tried.decision {
        let changes = tried.changes.as_ref().or(record.decision.changes.as_ref());
        return (!own.is_without_rule())
            .then(|| Fate::of(own.instead_of.unwrap_or(own.action), &own.rule, changes.cloned()));
    }
    let decision = &record.decision;
    if tried.was_taken() {
        return match record.is_judged() {
            true => {
                let changes = tried.changes.as_ref().or(decision.changes.as_ref());
                Some(Fate::of(decision.action, &decision.rule, changes.cloned()))
            }
            false if decision.is_without_rule() && record.stage == Stage::Data => None,
            false => Some(Fate::GoesOn),
        };
    }
    // lines of older versions tell of a recipient's refusal only where it is the transaction's
    let by_rule = record.stage < Stage::Data && !decision.rule.is_empty();
    by_rule.then(|| Fate::of(decision.action, &decision.rule, None))
}

/// What happened to the rules in one record: a bit for each of [`MATCHED`] and its like.
#[derive(Default)]
struct Seen {
    rules: Vec<u8>,
}

const MATCHED: u8 = 1;
const OBSERVED: u8 = 2;
const UNKNOWN: u8 = 4;
const FAILED: u8 = 8;
const EXCEPTED: u8 = 16;

impl Seen {
    fn note(&mut self, judge: &Judge<'_>, rule: &str, bit: u8) {
        if let Some(place) = judge.places.get(rule).and_then(|place| self.rules.get_mut(*place)) {
            *place |= bit;
        }
    }
}

/// What a policy decides about one recipient. Where facts are missing it is judged again and again, with each condition that hangs on
/// them taken for false and for true, until it is clear whether that matters. Where it is compared with a line that does not tell what was
/// changed of the copies, that matters not.
fn fate(judge: &Judge<'_>, facts: &Facts<'_, '_>, with_changes: bool, seen: &mut Seen) -> Fate {
    let mut first: Option<Fate> = None;
    let mut open: Vec<Vec<bool>> = vec![Vec::new()];
    let mut runs = 0;
    while let Some(given) = open.pop() {
        let mut asked: Vec<(String, bool)> = Vec::new();
        let (found, judgement) = run(judge.policy, facts, &mut |rule| {
            let taken = given.get(asked.len()).copied().unwrap_or(false);
            asked.push((rule.name.clone(), taken));
            taken
        });
        let found = if with_changes { found } else { found.without_changes() };
        if first.is_none() {
            asked.iter().for_each(|(rule, _)| seen.note(judge, rule, UNKNOWN));
            note_outcomes(judge, &judgement, &asked, seen);
        }
        runs += 1;
        let last = |asked: &[(String, bool)]| asked.get(given.len().saturating_sub(1)).map(|(rule, _)| rule.clone());
        match &first {
            Some(known) if !known.is_like(&found) => return Fate::Untold { rule: last(&asked).unwrap_or_default() },
            Some(_) => {}
            None => first = Some(found),
        }
        for at in given.len()..asked.len() {
            if runs + open.len() >= MOST_RUNS {
                return Fate::Untold { rule: last(&asked).unwrap_or_default() };
            }
            let mut other: Vec<bool> = asked.iter().take(at).map(|(_, taken)| *taken).collect();
            other.push(true);
            open.push(other);
        }
    }
    first.unwrap_or(Fate::GoesOn)
}

fn note_outcomes(judge: &Judge<'_>, judgement: &Judgement, asked: &[(String, bool)], seen: &mut Seen) {
    for record in &judgement.rules {
        let bit = match record.outcome {
            Outcome::Acted | Outcome::Scored | Outcome::Changed => MATCHED,
            Outcome::Observed => OBSERVED,
            Outcome::Error => FAILED,
            Outcome::Excepted => EXCEPTED,
            Outcome::NotMatched => continue,
        };
        if !asked.iter().any(|(rule, _)| *rule == record.name) {
            seen.note(judge, &record.name, bit);
        }
    }
}

/// Judges one recipient and, where there was one, the message.
fn run(policy: &Policy, facts: &Facts<'_, '_>, assume: decide::Assume<'_>) -> (Fate, Judgement) {
    let mut judgement = Judgement::default();
    if let Some((_, verdict)) = decide::recipient(policy, facts, &mut judgement, assume) {
        return (Fate::of(verdict.action(), verdict.rule(), None), judgement);
    }
    if !facts.record.is_judged() {
        return (Fate::GoesOn, judgement);
    }
    let at_data = Facts { at_data: true, ..*facts };
    let verdict = decide::judge(policy, Stage::Data, &at_data, &mut judgement, assume);
    let changes: Option<ChangesRecord> = judgement.edits.record(verdict.action());
    (Fate::of(verdict.action(), verdict.rule(), changes), judgement)
}

/// The facts of one recipient of a record.
struct Facts<'r, 'a> {
    record: &'r Recorded<'a>,
    tried: &'r Tried<'a>,
    /// How many were taken before.
    taken_before: i64,
    at_data: bool,
}

impl Facts<'_, '_> {
    /// How many recipients the message has. A record lists some of many, but says what the rules of stage data were told.
    fn taken_in_all(&self) -> Option<i64> {
        let all = || self.record.recipients.iter().filter(|tried| tried.was_taken()).count();
        match (self.record.recipients_taken, self.record.recipients_more) {
            (0, 0) => i64::try_from(all()).ok(),
            (0, _) => None,
            (told, _) => i64::try_from(told).ok(),
        }
    }
}

impl FactSource for Facts<'_, '_> {
    fn value<'b>(&'b self, fact: &'static Fact) -> Value<'b> {
        self.find(fact).unwrap_or_else(|| fact.ty.empty())
    }

    fn find<'b>(&'b self, fact: &'static Fact) -> Option<Value<'b>> {
        match fact.name {
            "rcpt.count" if self.at_data => self.taken_in_all().map(Value::Int),
            "rcpt.count" => Some(Value::Int(self.taken_before)),
            "rcpt.address" | "rcpt.local" | "rcpt.domain" if !self.record.has_whole_recipients() => None,
            name if name.starts_with("rcpt.") => self.tried.find(fact),
            // before there is a message each recipient has its own
            name if name.starts_with("greylist.") && !self.at_data => self.tried.find(fact),
            name if name.starts_with("greylist.") && !self.record.greylist_of_message => None,
            "rates" if !self.at_data => Some(self.tried.rates(self.record.find(fact))),
            _ => self.record.find(fact),
        }
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn fills(&self, fact: &'static Fact) -> bool {
        self.record.fills(fact)
    }
}

/// Whether an action lets the message in.
fn lets_in(action: Action) -> bool {
    matches!(action, Action::Accept | Action::Quarantine)
}
