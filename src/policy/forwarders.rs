//! Who looks like a forwarder: the journal's records in, proposals for a list out. Nothing is taken over by itself.
//!
//! A forwarder or a mailing list sends from hosts whose names are confirmed (iprev passes), in the names of several author domains, and
//! what it sends fails DMARC: SPF is of the forwarder, and signatures may be broken. A spammer can look the same.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::facts::recorded::{Recorded, Wanted};
use crate::facts::table::{self, FactSet, FactSource, Value};
use crate::facts::word::{Action, DmarcResult, IprevResult, MethodResult};

use super::List;
use super::replay::{Most, Named};

/// Hosts that are remembered: twice as many for a while.
const HOSTS: usize = 2_000;
/// Names that are remembered of each.
const NAMES: usize = 50;
/// Refs that are kept of each: the newest.
const REFS: usize = 3;

/// What was seen of hosts that may be forwarders, in memory that does not grow with the journal. Parts are merged into one of all.
pub struct Forwarders {
    wanted: Wanted,
    since: String,
    hosts: HashMap<String, Host>,
    /// Records that were looked at.
    pub records: u64,
    /// Messages of confirmed hosts that failed DMARC.
    pub failing: u64,
    /// Lines that are torn or not ours.
    pub skipped: u64,
    /// Hosts were forgotten for want of room: the rarest.
    pub forgotten: u64,
}

/// What was seen of one host.
struct Host {
    messages: u64,
    authors: Most,
    signed: Most,
    decisions: BTreeMap<Action, u64>,
    refs: Vec<String>,
}

/// An entry for a list of forwarders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proposal {
    /// The entry: a host's name, or `.domain` for the hosts of a domain.
    pub entry: String,
    /// The hosts that it stands for.
    pub hosts: Vec<String>,
    /// Their messages that failed DMARC.
    pub messages: u64,
    /// How many author domains these carried, of the most frequent ones.
    pub authors: usize,
    /// The most frequent author domains.
    pub author_domains: Vec<Named>,
    /// The domains whose DKIM signatures passed.
    pub dkim_pass: Vec<Named>,
    /// What was decided.
    pub decisions: BTreeMap<Action, u64>,
    /// The newest refs.
    pub refs: Vec<String>,
}

impl Default for Host {
    fn default() -> Self {
        let names = || Most::keeping(NAMES);
        Host { messages: 0, authors: names(), signed: names(), decisions: BTreeMap::new(), refs: Vec::new() }
    }
}

impl Host {
    fn merge(&mut self, other: Host) {
        self.messages += other.messages;
        self.authors.merge(other.authors);
        self.signed.merge(other.signed);
        for (action, count) in other.decisions {
            *self.decisions.entry(action).or_default() += count;
        }
        other.refs.into_iter().for_each(|reference| self.keep(reference));
    }

    fn keep(&mut self, reference: String) {
        self.refs.push(reference);
        self.refs.sort_unstable_by(|a, b| b.cmp(a));
        self.refs.truncate(REFS);
    }
}

impl Forwarders {
    /// Nothing seen yet; records that ended before `since` (RFC 3339, UTC) are not looked at.
    pub fn since(since: &str) -> Forwarders {
        let mut facts = FactSet::default();
        ["dkim", "dmarc.result"].iter().filter_map(|name| table::find(name)).for_each(|fact| facts.insert(fact));
        Forwarders {
            wanted: Wanted::of(&facts),
            since: since.to_owned(),
            hosts: HashMap::new(),
            records: 0,
            failing: 0,
            skipped: 0,
            forgotten: 0,
        }
    }

    /// Takes one line of the journal, without its line end.
    pub fn take(&mut self, line: &[u8]) {
        let Ok(record) = Recorded::read(line, &self.wanted) else {
            self.skipped += u64::from(!line.is_empty());
            return;
        };
        if record.time.as_ref() < self.since.as_str() {
            return;
        }
        self.records += 1;
        let fails = record.text("dmarc.result") == DmarcResult::Fail.as_str();
        let confirmed = record.text("iprev.result") == IprevResult::Pass.as_str();
        let (name, author) = (record.text("client.name"), record.text("from.domain"));
        if !(fails && confirmed && record.is_judged()) || name.is_empty() || author.is_empty() {
            return;
        }
        self.failing += 1;
        let host = self.hosts.entry(name.to_owned()).or_default();
        host.messages += 1;
        host.authors.add(author);
        passing(&record).iter().for_each(|domain| host.signed.add(domain));
        *host.decisions.entry(record.decision.action).or_default() += 1;
        host.keep(record.reference.into_owned());
        self.prune();
    }

    /// Takes in what was seen in another part of the journal.
    pub fn merge(&mut self, other: Forwarders) {
        self.records += other.records;
        self.failing += other.failing;
        self.skipped += other.skipped;
        self.forgotten += other.forgotten;
        for (name, host) in other.hosts {
            self.hosts.entry(name).or_default().merge(host);
            self.prune();
        }
    }

    /// Forgets those that sent least.
    fn prune(&mut self) {
        if self.hosts.len() < HOSTS * 2 {
            return;
        }
        let mut sizes: Vec<(u64, String)> =
            self.hosts.iter().map(|(name, host)| (host.messages, name.clone())).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, name) in sizes.iter().skip(HOSTS) {
            self.hosts.remove(name);
            self.forgotten += 1;
        }
    }

    /// The hosts that carried at least so many author domains, those of most first. Hosts of one domain are one entry where a passing
    /// signature of that domain, or of one above it, says that they belong together; a common name alone does not: customers of a
    /// provider share one, too.
    pub fn proposals(&self, least: usize) -> Vec<Proposal> {
        let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, host) in &self.hosts {
            let entry = self.group(name).unwrap_or_else(|| name.clone());
            // what the list would refuse is no name of a host
            if List::default().add(&entry).is_ok() && host.messages > 0 {
                groups.entry(entry).or_default().push(name);
            }
        }
        let all = groups.into_iter().map(|(entry, hosts)| self.proposal(entry, hosts));
        let mut all: Vec<Proposal> = all.filter(|proposal| proposal.authors >= least).collect();
        all.sort_by(|a, b| (b.authors, b.messages, &a.entry).cmp(&(a.authors, a.messages, &b.entry)));
        all
    }

    /// The domain of a host, as an entry, where other hosts are of it and all of them have signatures of one domain at or above it.
    fn group(&self, name: &str) -> Option<String> {
        let parent = parent(name)?;
        let siblings: Vec<&Host> =
            self.hosts.iter().filter(|(other, _)| self::parent(other) == Some(parent)).map(|(_, host)| host).collect();
        let (first, others) = siblings.split_first()?;
        let vouches = |domain: &str| {
            let above = domain.contains('.')
                && parent.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            above && others.iter().all(|host| host.signed.has(domain))
        };
        let vouched = !others.is_empty() && first.signed.top(NAMES).iter().any(|named| vouches(&named.name));
        vouched.then(|| format!(".{parent}"))
    }

    fn proposal(&self, entry: String, mut hosts: Vec<&str>) -> Proposal {
        hosts.sort_unstable();
        let mut all = Host::default();
        for host in hosts.iter().filter_map(|name| self.hosts.get(*name)) {
            all.merge(Host {
                messages: host.messages,
                authors: host.authors.clone(),
                signed: host.signed.clone(),
                decisions: host.decisions.clone(),
                refs: host.refs.clone(),
            });
        }
        Proposal {
            entry,
            hosts: hosts.into_iter().map(str::to_owned).collect(),
            messages: all.messages,
            authors: all.authors.len(),
            author_domains: all.authors.top(5),
            dkim_pass: all.signed.top(5),
            decisions: all.decisions,
            refs: all.refs,
        }
    }
}

/// The name without its first label, where it then still has two.
fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'))
}

/// The domains of which a signature passed, each once.
fn passing(record: &Recorded<'_>) -> Vec<String> {
    let Some(Value::List(signatures)) = table::find("dkim").and_then(|fact| record.find(fact)) else {
        return Vec::new();
    };
    let text = |signature: &Value<'_>, wanted: &str| match signature {
        Value::Map(fields) => fields.iter().find_map(|(name, value)| (name == wanted).then(|| value.to_string())),
        _ => None,
    };
    let passes = |signature: &&Value<'_>| text(signature, "result").as_deref() == Some(MethodResult::Pass.as_str());
    let mut domains: Vec<String> =
        signatures.iter().filter(passes).filter_map(|signature| text(signature, "domain")).collect();
    domains.sort_unstable();
    domains.dedup();
    domains
}
