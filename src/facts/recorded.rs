//! A line of the journal as a source of facts, read without building the record: only the facts that somebody wants are kept, as they
//! stand in the line. A fact whose path the line lacks is not known, which is another thing than empty.

mod read;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Greylist;
use super::hidden::{is_hidden, is_pseudonym};
use super::rate::Rate;
use super::record::ALL_CUT;
use super::record::{ChangesRecord, Recalled};
use super::table::{self, Fact, FactSet, FactSource, Value};
use super::word::{Action, IprevResult, Role, Stage};

/// The facts that are kept of every line: they tell what else was looked up when the record was made, and whose mail it was.
const ALWAYS: &[&str] = &[
    "client.ip",
    "client.name",
    "client.port",
    "client.trusted",
    "from.domain",
    "helo",
    "helo_check.kind",
    "iprev.name",
    "iprev.result",
    "mail_from.address",
    "mail_from.domain",
    "reverse_mx.mail_from.domain",
    "reverse_mx.ptr.domain",
    "spf.helo.domain",
    "spf.mail_from.domain",
];

/// Which facts are kept of a line, and where they stand in it.
#[derive(Debug, Default)]
pub struct Wanted {
    root: Vec<(&'static str, Node)>,
    /// By place in the table: the place among the values that are kept.
    slots: Vec<Option<usize>>,
    length: usize,
}

#[derive(Debug)]
enum Node {
    Fact(&'static Fact, usize),
    Below(Vec<(&'static str, Node)>),
}

impl Wanted {
    /// These facts, and those that every reader of a line needs.
    pub fn of(facts: &FactSet) -> Wanted {
        let mut wanted = Wanted { slots: vec![None; table::TABLE.len()], ..Wanted::default() };
        let always = ALWAYS.iter().filter_map(|name| table::find(name));
        for fact in facts.iter().chain(always) {
            // of the recipient there is one at a time, and the score is the judge's
            if fact.name == "score" || fact.name.starts_with("rcpt.") {
                continue;
            }
            let Some(slot) = table::index(fact.name).and_then(|index| wanted.slots.get_mut(index)) else { continue };
            if slot.is_none() {
                *slot = Some(wanted.length);
                plant(&mut wanted.root, fact.name, Node::Fact(fact, wanted.length));
                wanted.length += 1;
            }
        }
        wanted
    }
}

/// Puts a fact at its path.
fn plant(level: &mut Vec<(&'static str, Node)>, path: &'static str, leaf: Node) {
    let Some((first, rest)) = path.split_once('.') else { return level.push((path, leaf)) };
    match level.iter_mut().find(|(name, _)| *name == first) {
        Some((_, Node::Below(below))) => plant(below, rest, leaf),
        _ => {
            let mut below = Vec::new();
            plant(&mut below, rest, leaf);
            level.push((first, Node::Below(below)));
        }
    }
}

/// A record as it stands in the journal.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// Its ref.
    pub reference: Cow<'a, str>,
    /// When it ended: RFC 3339, UTC.
    pub time: Cow<'a, str>,
    /// The stage that settled it.
    pub stage: Stage,
    /// Whether what greylisting remembers is of the message, as rules of stage data saw it.
    pub greylist_of_message: bool,
    /// The forward-paths of the transaction.
    pub recipients: Vec<Tried<'a>>,
    /// How many more there were than are listed.
    pub recipients_more: u64,
    /// How many were taken, as the rules of stage data were told; 0 where they were told nothing.
    pub recipients_taken: u64,
    /// The file of the policy that judged.
    pub policy: Cow<'a, str>,
    /// What was decided.
    pub decision: Decided<'a>,
    /// What the line had no room for, see [`super::record::Record::cut`].
    cut: Vec<Cow<'a, str>>,
    wanted: &'a Wanted,
    values: Vec<Option<Value<'a>>>,
}

/// A forward-path as it stands in a record.
#[derive(Debug, Deserialize)]
pub struct Tried<'a> {
    /// As the client gave it.
    #[serde(borrow)]
    pub address: Cow<'a, str>,
    /// What RCPT was answered.
    #[serde(borrow)]
    pub reply: Cow<'a, str>,
    #[serde(borrow, default)]
    domain: Cow<'a, str>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    mailboxes: Vec<IgnoredAny>,
    /// What was decided for it, where that is not what was decided of the message.
    #[serde(borrow, default)]
    pub decision: Option<Decided<'a>>,
    /// What was changed of its copy, where that is not what was changed of all.
    #[serde(default)]
    pub changes: Option<ChangesRecord>,
    /// What was remembered of it when it was judged.
    #[serde(default)]
    recalled: Option<Recalled>,
}

/// A decision as it stands in a record.
#[derive(Debug, Clone, Deserialize)]
pub struct Decided<'a> {
    /// What was done.
    pub action: Action,
    /// The rule that decided; empty where none did.
    #[serde(borrow)]
    pub rule: Cow<'a, str>,
    /// The reply that ended it.
    #[serde(borrow, default)]
    pub reply: Cow<'a, str>,
    /// What the rule says, where others of the transaction kept it from that.
    #[serde(default)]
    pub instead_of: Option<Action>,
    /// What was changed of the copies; `None` where there were none, or the line is of an older version.
    #[serde(default)]
    pub changes: Option<ChangesRecord>,
}

impl Decided<'_> {
    /// Whether no rule refused it: the protocol did, or trouble of our own.
    pub fn is_without_rule(&self) -> bool {
        self.rule.is_empty() && matches!(self.action, Action::Defer | Action::Reject)
    }
}

impl Tried<'_> {
    /// Whether it leads to mailboxes of ours.
    pub fn is_local(&self) -> bool {
        !self.mailboxes.is_empty()
    }

    /// Whether RCPT was answered 2yz.
    pub fn was_taken(&self) -> bool {
        self.reply.starts_with('2')
    }

    /// A fact of the recipient. Lines of older versions tell of the address only.
    pub fn find(&self, fact: &'static Fact) -> Option<Value<'_>> {
        let (local, domain) = self.address.rsplit_once('@').unwrap_or((&self.address, ""));
        match fact.name {
            "rcpt.address" | "rcpt.local" if is_hidden(&self.address) => None,
            "rcpt.address" => Some(Value::text(&self.address)),
            "rcpt.local" => Some(Value::String(unquoted(local))),
            "rcpt.domain" if !self.domain.is_empty() => Some(Value::text(&self.domain)),
            "rcpt.domain" if domain.is_ascii() && !domain.is_empty() => {
                Some(Value::String(Cow::Owned(domain.to_ascii_lowercase())))
            }
            "rcpt.role" => Some(Value::text(self.role.unwrap_or_else(|| role_of(local)).as_str())),
            "greylist.result" => Some(Value::text(self.greylist()?.result.as_str())),
            "greylist.key" => Some(Value::text(self.greylist()?.key.as_str())),
            "greylist.wait" => i64::try_from(self.greylist()?.wait).ok().map(Value::Int),
            _ => None,
        }
    }

    fn greylist(&self) -> Option<&Greylist> {
        self.recalled.as_ref().map(|recalled| &recalled.greylist).filter(|greylist| !greylist.is_empty())
    }

    /// The rates as the rules of connect, mail and rcpt saw them for this recipient: `all` is what the record has of its transaction.
    pub fn rates<'b>(&'b self, all: Option<Value<'b>>) -> Value<'b> {
        let mut rates = match all {
            Some(Value::Map(rates)) => rates,
            _ => Vec::new(),
        };
        // one that counts recipients is there of the last of them
        rates.retain(|(name, _)| !Rate::is_of_recipients(name));
        let own = self.recalled.iter().flat_map(|recalled| &recalled.rates);
        rates.extend(
            own.filter_map(|(name, count)| Some((name.as_str().into(), Value::Int(i64::try_from(*count).ok()?)))),
        );
        Value::Map(rates)
    }
}

/// A local-part without its quoting (RFC 5321 §4.1.2).
fn unquoted(local: &str) -> Cow<'_, str> {
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(local);
    };
    let mut escaped = false;
    let is_text = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    Cow::Owned(quoted.chars().filter(is_text).collect())
}

/// The role that a local-part has, as `recipients` gives it.
fn role_of(local: &str) -> Role {
    let base = local.split('+').next().unwrap_or(local).to_ascii_lowercase();
    Role::from_word(&base).unwrap_or_default()
}

impl<'a> Recorded<'a> {
    /// Reads one line, without its line end.
    ///
    /// # Errors
    /// It is torn, or no record of ours.
    pub fn read(line: &'a [u8], wanted: &'a Wanted) -> Result<Recorded<'a>, serde_json::Error> {
        let mut recorded = read::line(line, wanted)?;
        recorded.forget_cut();
        if !recorded.is_judged() {
            recorded.forget_unfinished();
        }
        Ok(recorded)
    }

    /// Whether the policy was asked about the message: all evidence of it had been gathered then.
    pub fn is_judged(&self) -> bool {
        let kept = !matches!(self.decision.action, Action::Defer | Action::Reject) && !self.decision.reply.is_empty();
        self.stage == Stage::Data && (kept || !self.decision.rule.is_empty())
    }

    /// The text of a fact; empty where it is none or not known.
    pub fn text(&self, name: &str) -> &str {
        match self.slot(name) {
            Some(Value::String(text)) => text,
            _ => "",
        }
    }

    /// Whether something else stands in the place of a fact: a pseudonym, `~erased`, or the network of a client. Clients may call
    /// themselves what looks like a pseudonym, but a record without names has no port either.
    fn is_hidden(&self, fact: &str) -> bool {
        let sender = self.text("mail_from.address");
        match fact {
            "client.ip" => {
                let mut addresses = self.recipients.iter().map(|tried| tried.address.as_ref()).chain([sender]);
                let of = |address: &str| is_pseudonym(address.rsplit_once('@').map_or(address, |(local, _)| local));
                matches!(self.slot("client.port"), Some(Value::Int(0))) && addresses.any(of)
            }
            "mail_from.address" | "mail_from.local" => is_hidden(sender),
            _ => false,
        }
    }

    fn slot(&self, name: &str) -> Option<&Value<'a>> {
        let slot = *self.wanted.slots.get(table::index(name)?)?;
        self.values.get(slot?)?.as_ref()
    }

    /// What was cut is another thing than what the rules saw, so it is not known.
    fn forget_cut(&mut self) {
        if self.cut.is_empty() {
            return;
        }
        let is_cut = |fact: &Fact| {
            let kept = matches!(fact.name, "client.ip" | "client.port" | "client.trusted");
            self.cut.iter().any(|cut| cut == fact.name || (cut == ALL_CUT && !kept))
        };
        for (fact, slot) in table::TABLE.iter().zip(&self.wanted.slots) {
            if let Some(value) = slot.and_then(|slot| self.values.get_mut(slot))
                && is_cut(fact)
            {
                *value = None;
            }
        }
    }

    /// Whether the addresses of its recipients are whole.
    pub fn has_whole_recipients(&self) -> bool {
        !self.cut.iter().any(|cut| cut == "recipients")
    }

    /// A transaction that ended early did not wait for look-ups that its rules did not name: what they would have found is not known,
    /// though its place in the record has a value.
    fn forget_unfinished(&mut self) {
        if self.slot("client.trusted") == Some(&Value::Bool(true)) {
            return;
        }
        let empty = |name: &str| self.text(name).is_empty();
        let client = self.text("iprev.result") == IprevResult::None.as_str();
        let ptr = client || (!empty("iprev.name") && empty("reverse_mx.ptr.domain"));
        let helo = !empty("helo") && empty("helo_check.kind");
        let named = matches!(self.text("helo_check.kind"), "" | "domain");
        let spf_helo = !empty("helo") && named && empty("spf.helo.domain");
        let path = !empty("mail_from.domain");
        let looked_up = path && !self.text("mail_from.domain").starts_with('[');
        let unfinished: BTreeMap<&str, bool> = [
            ("iprev", client),
            ("client.name", client),
            ("reverse_mx.ptr", ptr),
            ("helo_check", helo),
            ("spf.helo", spf_helo),
            ("spf.mail_from", looked_up && empty("spf.mail_from.domain")),
            ("reverse_mx.mail_from", path && empty("reverse_mx.mail_from.domain")),
        ]
        .into();
        let groups: Vec<&str> = unfinished.into_iter().filter(|(_, lacks)| *lacks).map(|(group, _)| group).collect();
        for (fact, slot) in table::TABLE.iter().zip(&self.wanted.slots) {
            let within = |group: &&str| {
                fact.name.strip_prefix(*group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if let Some(value) = slot.and_then(|slot| self.values.get_mut(slot))
                && groups.iter().any(within)
            {
                *value = None;
            }
        }
    }
}

impl FactSource for Recorded<'_> {
    fn value<'b>(&'b self, fact: &'static Fact) -> Value<'b> {
        self.find(fact).unwrap_or_else(|| fact.ty.empty())
    }

    fn find<'b>(&'b self, fact: &'static Fact) -> Option<Value<'b>> {
        if self.is_hidden(fact.name) { None } else { self.slot(fact.name).cloned() }
    }

    fn is_whole(&self) -> bool {
        false
    }

    /// A trusted client is asked about nowhere, so that no list says anything of it.
    fn fills(&self, fact: &'static Fact) -> bool {
        fact.name == "block_lists" && self.slot("client.trusted") == Some(&Value::Bool(true))
    }
}
