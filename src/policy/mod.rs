//! The policy: rules over facts, in a file that an administrator writes. Pure: no I/O, no clock, nothing spawned.
//!
//! [`Policy::load`] reads and checks the whole file and runs its tests, telling every problem at once; [`Policy::judge`] lets the
//! rules of one stage decide.

mod changes;
mod condition;
mod decide;
pub(crate) mod draft;
pub mod forwarders;
pub(crate) mod given;
pub(crate) mod keys;
mod lists;
mod load;
mod place;
pub(crate) mod rate;
mod reach;
pub mod replay;
mod settling;
mod share;
pub mod shipped;
mod template;
mod test;
mod zones;

use std::ops::Range;
use std::sync::Arc;

use crate::facts::rate::Rate;
use crate::facts::record::{PolicyRecord, RuleRecord};
use crate::facts::table::{self, FactSet, FactSource, Given};
use crate::facts::word::{Action, RuleAction, Stage};
use crate::problem::{Problem, Problems, Source};

pub use crate::facts::word::ListKind;
pub use crate::facts::word::Mixed;
pub use changes::{AddedField, Edits};
pub use condition::{MAX_BYTES as MAX_CONDITION_BYTES, MAX_DEPTH as MAX_CONDITION_DEPTH};
pub use lists::List;
pub use settling::Settling;
pub use test::{Coverage, TestOutcome, TestReport};
pub use zones::{Zone, Zones};

use changes::Changes;
use condition::{Condition, Lists, Runner};
use template::Template;

/// A policy file, checked whole; immutable.
#[derive(Debug)]
pub struct Policy {
    description: String,
    rules: Vec<Rule>,
    tests: Vec<Test>,
    runner: Runner,
    /// By stage, in the order of [`Stage::ALL`].
    needs: [FactSet; 4],
    settling: Settling,
    /// The header fields that rules read, by their names in lower case, sorted.
    headers: Vec<String>,
    rates: Vec<Rate>,
    record: PolicyRecord,
    source: Arc<Source>,
}

/// An address that a rule redirects to, in a file that may have problems.
#[derive(Debug)]
pub struct Redirect {
    /// The address.
    pub address: String,
    key: String,
    span: Range<usize>,
    source: Arc<Source>,
}

impl Redirect {
    /// Those of a policy's file. What is no address is none; that and all else that is wrong is told when it is loaded.
    pub fn all_of(source: &Arc<Source>) -> Vec<Redirect> {
        let redirects = load::redirects(source);
        let with_place = |(key, redirect): (String, keys::Spot<String>)| Redirect {
            address: redirect.value,
            key,
            span: redirect.span,
            source: Arc::clone(source),
        };
        redirects.into_iter().map(with_place).collect()
    }

    /// The problem that it is where nobody here has the address.
    pub fn problem(&self, cause: impl Into<String>, mend: impl Into<String>) -> Problem {
        Problem::at(&self.source, self.span.clone(), self.key.clone(), cause, mend)
    }
}

/// What an action of `greylist` looks at.
const GREYLIST: &str = "greylist.result";

/// One rule.
#[derive(Debug)]
pub struct Rule {
    name: String,
    at: Stage,
    /// Condition and exception as written.
    written: String,
    condition: Condition,
    except: Option<Condition>,
    action: Option<RuleAction>,
    reply: Template,
    why: Option<Template>,
    score: Option<f64>,
    changes: Changes,
    observe: bool,
    /// Percent of messages that it acts on; `None`: all.
    share: Option<u8>,
}

impl Rule {
    /// Its name, `[a-z0-9-]{1,64}`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its stage.
    pub fn at(&self) -> Stage {
        self.at
    }

    /// What it does where it matches; `None` where it decides nothing.
    pub fn action(&self) -> Option<Action> {
        self.action.map(RuleAction::action)
    }

    /// Whether it only says what it would have done.
    pub fn observe(&self) -> bool {
        self.observe
    }

    /// The facts that say whether it acts: those of its condition and its exception.
    pub fn looks_at(&self) -> FactSet {
        let mut reads = self.condition.reads();
        if let Some(except) = &self.except {
            reads.extend(except.reads());
        }
        if self.action == Some(RuleAction::Greylist)
            && let Some(fact) = table::find(GREYLIST)
        {
            reads.insert(fact);
        }
        reads
    }

    /// The facts that it reads, those of its texts included.
    pub fn reads(&self) -> FactSet {
        let mut reads = self.looks_at();
        reads.extend(self.reply.reads());
        if let Some(why) = &self.why {
            reads.extend(why.reads());
        }
        reads.extend(self.changes.reads());
        if self.share.is_some()
            && let Some(fact) = table::find(share::BY)
        {
            reads.insert(fact);
        }
        reads
    }

    /// The header fields that it reads, by their names in lower case; one may come twice.
    pub fn headers(&self) -> impl Iterator<Item = &String> {
        self.except.iter().chain([&self.condition]).flat_map(Condition::headers)
    }

    /// The rates that it asks for.
    fn rates(&self) -> impl Iterator<Item = Rate> + '_ {
        let conditions = std::iter::once(&self.condition).chain(&self.except);
        conditions.flat_map(|condition| condition.rates().iter().copied())
    }
}

/// One inline test.
#[derive(Debug)]
struct Test {
    name: String,
    at: Stage,
    given: TestGiven,
    expect: Expect,
    span: Range<usize>,
}

/// What a test gives.
#[derive(Debug, Default)]
struct TestGiven {
    facts: Given,
    score: f64,
    /// In place of the policy's lists of these names.
    lists: Lists,
}

/// What a test expects; what is `None` isn't looked at.
#[derive(Debug, Default)]
struct Expect {
    action: Option<Action>,
    rule: Option<String>,
    score: Option<f64>,
    observed: Option<Vec<String>>,
    changed: Option<Vec<String>>,
    excepted: Option<Vec<String>>,
    reply: Option<String>,
}

/// What was judged so far in one transaction (at rcpt: for one recipient).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// The sum of the scores of the rules that matched.
    pub score: f64,
    /// What each rule that was looked at did.
    pub rules: Vec<RuleRecord>,
    /// An `accept` ended the rules of this and the later stages.
    pub accepted: bool,
    /// Of the rule that decided in the stage that was judged last.
    pub grounds: Grounds,
    /// What the rules that acted change of the copies that are stored.
    pub edits: Edits,
}

/// Why a rule decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Its `why` with facts; empty where it has none.
    pub why: String,
    /// The names of the facts that it looked at.
    pub read: Vec<String>,
}

/// What the rules of one stage decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No rule decided.
    Continue,
    /// Take it, whatever later rules say.
    Accept {
        /// The rule that decided.
        rule: String,
    },
    /// Take it into the Junk folder.
    Quarantine {
        /// The rule that decided.
        rule: String,
    },
    /// Answer 4yz.
    Defer {
        /// The rule that decided.
        rule: String,
        /// `NNN N.N.N text`, safe to send.
        reply: String,
    },
    /// Answer 5yz.
    Reject {
        /// The rule that decided.
        rule: String,
        /// `NNN N.N.N text`, safe to send.
        reply: String,
    },
    /// Answer 250 and keep nothing.
    Discard {
        /// The rule that decided.
        rule: String,
    },
}

impl Verdict {
    /// The action; accept where no rule decided.
    pub fn action(&self) -> Action {
        match self {
            Verdict::Continue | Verdict::Accept { .. } => Action::Accept,
            Verdict::Quarantine { .. } => Action::Quarantine,
            Verdict::Defer { .. } => Action::Defer,
            Verdict::Reject { .. } => Action::Reject,
            Verdict::Discard { .. } => Action::Discard,
        }
    }

    /// The rule that decided; empty where none did.
    pub fn rule(&self) -> &str {
        match self {
            Verdict::Continue => "",
            Verdict::Accept { rule }
            | Verdict::Quarantine { rule }
            | Verdict::Defer { rule, .. }
            | Verdict::Reject { rule, .. }
            | Verdict::Discard { rule } => rule,
        }
    }

    /// The reply of a refusal.
    pub fn reply(&self) -> Option<&str> {
        match self {
            Verdict::Defer { reply, .. } | Verdict::Reject { reply, .. } => Some(reply),
            _ => None,
        }
    }
}

impl Policy {
    /// Reads and checks a policy that names no block lists, and runs its tests. `read` gives the text of a list's file, by the name
    /// that stands in the policy.
    ///
    /// # Errors
    /// Every problem of the file and its lists; failing tests are problems too.
    pub fn load(source: Arc<Source>, read: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Policy, Problems> {
        Self::load_with(&Zones::default(), source, read)
    }

    /// Reads and checks a policy that may name these block lists, and runs its tests.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn load_with(
        zones: &Zones,
        source: Arc<Source>,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Policy, Problems> {
        let policy = Self::parse_with(zones, source, read)?;
        policy.test_problems().into_result()?;
        Ok(policy)
    }

    /// Reads and checks a policy as [`Policy::load`] does, without running its tests.
    ///
    /// # Errors
    /// Every problem of the file and its lists.
    pub fn parse(
        source: Arc<Source>,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Policy, Problems> {
        Self::parse_with(&Zones::default(), source, read)
    }

    /// Reads and checks a policy as [`Policy::load_with`] does, without running its tests.
    ///
    /// # Errors
    /// Every problem of the file and its lists.
    pub fn parse_with(
        zones: &Zones,
        source: Arc<Source>,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Policy, Problems> {
        load::parse(source, zones, read)
    }

    /// Runs the tests that stand in the file.
    pub fn run_tests(&self) -> TestReport {
        test::run(self, &[])
    }

    /// The same; that these rules did something elsewhere, in cases by example, counts for what the tests hold.
    pub fn run_tests_beside(&self, seen: &[RuleRecord]) -> TestReport {
        test::run(self, seen)
    }

    fn test_problems(&self) -> Problems {
        test::problems(self)
    }

    /// The facts that the rules of a stage read.
    pub fn needs(&self, stage: Stage) -> &FactSet {
        let [connect, mail, rcpt, data] = &self.needs;
        match stage {
            Stage::Connect => connect,
            Stage::Mail => mail,
            Stage::Rcpt => rcpt,
            Stage::Data => data,
        }
    }

    /// What of it decides whether a message is stored.
    pub fn settling(&self) -> &Settling {
        &self.settling
    }

    /// The header fields that its rules read, by their names in lower case, sorted: no others need be kept of a message.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The rates that its rules ask for, each once.
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }

    /// Whether any rule asks what greylisting remembers.
    pub fn greylists(&self) -> bool {
        self.needs.iter().any(|needs| needs.touches("greylist"))
    }

    /// Whether anything is to be remembered between messages for it.
    pub fn remembers(&self) -> bool {
        self.greylists() || !self.rates.is_empty()
    }

    /// Lets the rules of a stage decide, in their order. Total: a rule whose condition can't be run is recorded as such and left out.
    pub fn judge(&self, stage: Stage, facts: &dyn FactSource, so_far: &mut Judgement) -> Verdict {
        decide::judge(self, stage, facts, so_far, &mut |_| false)
    }

    /// Lets the rules of connect, mail and rcpt decide about one recipient: the stage and the verdict that refuse it, `None` where it
    /// is taken.
    pub fn judge_recipient(&self, facts: &dyn FactSource, so_far: &mut Judgement) -> Option<(Stage, Verdict)> {
        decide::recipient(self, facts, so_far, &mut |_| false)
    }

    /// Its file and digest, as the decision record names them.
    pub fn record(&self) -> PolicyRecord {
        self.record.clone()
    }

    /// The file that it was read from, as it was then.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// What it says of itself.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The addresses that rules redirect to.
    pub fn redirects(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| rule.changes.redirect().map(|redirect| redirect.value.as_str()))
    }

    /// What is no mistake, but seldom meant: it has no rules.
    pub fn warnings(&self) -> Problems {
        let mut warnings = Problems::new();
        if self.rules.is_empty() {
            let cause = "the policy has no rules: all mail for a known mailbox is accepted";
            let mend = "add a [[rule]], or take one of the policies that come with Gatepost, such as default.toml";
            warnings.push(Problem::at(&self.source, 0..0, "rule", cause, mend));
        }
        warnings
    }

    /// Its rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}
