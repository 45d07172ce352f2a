//! Follows aliases, catch-alls and postmasters to mailboxes, and finds everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::build::Draft;
use super::directory::{Directory, Entries, Leads};
use super::name::{MailboxName, check, fold};
use super::problem::{DirectoryProblem, Place};
use crate::smtp::address::Domain;

/// How many misspelt names are compared with all known ones: a file of 100,000 wrong names must not cost a square of that.
const MOST_SUGGESTIONS: usize = 20;

/// Aliases that lead to aliases: more in a row than anybody means to write.
const MOST_NESTING: usize = 32;

/// A name of a domain, folded.
type Key<'a> = (&'a Domain, String);

fn mend_of_home() -> String {
    "name a mailbox of a domain that stands in [domains]".to_owned()
}

/// What a target means.
enum Target<'a> {
    Mailbox(u32),
    Alias(Key<'a>),
    Unreadable,
}

/// Where following an alias has come to.
enum Follow {
    /// Being followed now: to meet it again is a circle.
    Open,
    /// `None` where it is wrong, which was said.
    Done(Option<Leads>),
}

/// A directory in the making.
pub(super) struct Work<'a> {
    drafts: &'a BTreeMap<Domain, Draft>,
    mailboxes: Vec<MailboxName>,
    numbers: HashMap<Key<'a>, u32>,
    aliases: HashMap<Key<'a>, &'a (String, Vec<String>)>,
    followed: HashMap<Key<'a>, Follow>,
    /// `smtp.postmaster`.
    postmaster: Option<(Domain, Leads)>,
    directory: Directory,
    problems: Vec<DirectoryProblem>,
    suggestions: usize,
}

impl<'a> Work<'a> {
    pub(super) fn new(drafts: &'a BTreeMap<Domain, Draft>) -> Self {
        let mut work = Work {
            drafts,
            mailboxes: Vec::new(),
            numbers: HashMap::new(),
            aliases: HashMap::new(),
            followed: HashMap::new(),
            postmaster: None,
            directory: Directory::default(),
            problems: Vec::new(),
            suggestions: 0,
        };
        for (domain, draft) in drafts {
            work.directory.domains.push(domain.clone());
            let entries = Entries { unreadable: draft.unreadable, ..Entries::default() };
            work.directory.entries.insert(domain.clone(), entries);
            work.number_mailboxes(domain, draft);
            work.name_aliases(domain, draft);
        }
        work
    }

    /// Follows everything; `postmaster` is `smtp.postmaster`.
    pub(super) fn build(mut self, postmaster: Option<&str>) -> Result<Directory, Vec<DirectoryProblem>> {
        self.postmaster = self.postmaster(postmaster);
        self.follow_aliases();
        self.catch_alls();
        self.postmasters(postmaster.is_some());
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        self.directory.mailboxes = self.mailboxes;
        Ok(self.directory)
    }

    fn problem(&mut self, domain: Option<&Domain>, place: Place, cause: impl Into<String>, mend: impl Into<String>) {
        let (cause, mend) = (cause.into(), mend.into());
        self.problems.push(DirectoryProblem { domain: domain.cloned(), place, cause, mend });
    }

    /// Mailboxes in the order of domains, then names: their numbers sort as they do.
    fn number_mailboxes(&mut self, domain: &'a Domain, draft: &'a Draft) {
        let mut names = BTreeSet::new();
        for text in &draft.mailboxes {
            match check(text) {
                Ok(name) if names.contains(&name) => {
                    let mend = "names that differ only in case are the same; remove one";
                    self.problem(Some(domain), Place::Mailbox(text.clone()), "this mailbox is named twice", mend);
                }
                Ok(name) => drop(names.insert(name)),
                Err(error) => self.problem(Some(domain), Place::Mailbox(text.clone()), error.to_string(), ""),
            }
        }
        for name in names {
            // Over 4 billion names cannot be told apart by their numbers, and no memory holds them.
            let Ok(number) = u32::try_from(self.mailboxes.len()) else { return };
            self.mailboxes.push(MailboxName { domain: domain.clone(), name: name.clone() });
            if let Some(entries) = self.directory.entries.get_mut(domain) {
                entries.names.insert(name.clone(), Leads::One(number));
            }
            self.numbers.insert((domain, name), number);
        }
    }

    fn name_aliases(&mut self, domain: &'a Domain, draft: &'a Draft) {
        for alias in &draft.aliases {
            let (text, targets) = alias;
            let place = || Place::Alias(text.clone());
            let key = (domain, fold(text));
            if text.is_empty() || text.contains('@') {
                self.problem(Some(domain), place(), "an alias is a name without its domain", "");
            } else if targets.is_empty() {
                let mend = "name a mailbox, or remove the alias so that its mail is refused";
                self.problem(Some(domain), place(), "this alias leads nowhere", mend);
            } else if self.numbers.contains_key(&key) {
                let mend = "remove one of them; to copy a mailbox's mail, give the mailbox another name";
                self.problem(Some(domain), place(), "a mailbox of this name takes the mail before the alias", mend);
            } else if self.aliases.insert(key, alias).is_some() {
                let mend = "names that differ only in case are the same";
                self.problem(Some(domain), place(), "this alias is named twice", mend);
            }
        }
    }

    fn follow_aliases(&mut self) {
        for (domain, draft) in self.drafts {
            for (text, _) in &draft.aliases {
                let key = (domain, fold(text));
                if self.aliases.contains_key(&key) {
                    self.follow(key, &mut Vec::new());
                }
            }
        }
        for ((domain, name), follow) in std::mem::take(&mut self.followed) {
            if let (Follow::Done(Some(leads)), Some(entries)) = (follow, self.directory.entries.get_mut(domain)) {
                entries.names.insert(name, leads);
            }
        }
    }

    /// Where an alias leads; `None` where it is wrong, which is said once. `trail` is how we came here.
    fn follow(&mut self, key: Key<'a>, trail: &mut Vec<Key<'a>>) -> Option<Leads> {
        if let Some(Follow::Done(leads)) = self.followed.get(&key) {
            return leads.clone();
        }
        let alias: &'a (String, Vec<String>) = self.aliases.get(&key)?;
        let (text, targets) = alias;
        let domain = key.0;
        self.followed.insert(key.clone(), Follow::Open);
        trail.push(key.clone());
        let (mut all, mut trouble, mut wrong) = (BTreeSet::new(), false, false);
        for target in targets {
            let place = Place::Target { alias: text.clone(), target: target.clone() };
            let leads = match self.target(domain, place.clone(), target) {
                Some(Target::Mailbox(number)) => Some(Leads::One(number)),
                Some(Target::Unreadable) => Some(Leads::Trouble),
                Some(Target::Alias(next)) => self.next_alias(domain, place, next, trail),
                None => None,
            };
            match leads {
                Some(Leads::One(number)) => drop(all.insert(number)),
                Some(Leads::Many(numbers)) => all.extend(numbers),
                Some(Leads::Trouble) => trouble = true,
                None => wrong = true,
            }
        }
        trail.pop();
        let leads = if wrong { None } else { leads(all, trouble) };
        self.followed.insert(key, Follow::Done(leads.clone()));
        leads
    }

    fn next_alias(&mut self, domain: &Domain, place: Place, next: Key<'a>, trail: &mut Vec<Key<'a>>) -> Option<Leads> {
        if let Some(Follow::Open) = self.followed.get(&next) {
            let circle = trail.iter().skip_while(|key| **key != next).chain([&next]);
            let names: Vec<String> = circle.map(|(domain, name)| format!("{name}@{}", domain.as_str())).collect();
            let cause = format!("aliases lead in a circle: {}", names.join(" -> "));
            self.problem(Some(domain), place, cause, "one of them must lead to a mailbox instead");
            return None;
        }
        if trail.len() >= MOST_NESTING {
            let cause = format!("more than {MOST_NESTING} aliases lead to each other in a row");
            self.problem(Some(domain), place, cause, "let the first lead to the mailboxes");
            return None;
        }
        self.follow(next, trail)
    }

    /// What a target means, seen from `domain`; `None` where it is wrong, which is said.
    fn target(&mut self, domain: &'a Domain, place: Place, text: &str) -> Option<Target<'a>> {
        let (name, home) = match text.rsplit_once('@') {
            None => (text, domain),
            Some((name, other)) => match self.local_domain(other) {
                Some(other) => (name, other),
                None => {
                    let cause = format!("{other:?} is no local domain, and Gatepost never forwards");
                    let mend = self
                        .nearest(other, |work| work.drafts.keys().map(|domain| domain.as_str().to_owned()).collect());
                    let mend = mend.unwrap_or_else(|| {
                        "lead it to a mailbox here and let its owner's mail program forward".to_owned()
                    });
                    self.problem(Some(domain), place, cause, mend);
                    return None;
                }
            },
        };
        let key = (home, fold(name));
        if let Some(number) = self.numbers.get(&key) {
            return Some(Target::Mailbox(*number));
        }
        if self.aliases.contains_key(&key) {
            return Some(Target::Alias(key));
        }
        if self.drafts.get(home).is_some_and(|draft| draft.unreadable) {
            return Some(Target::Unreadable);
        }
        // An alias such as abuse -> postmaster works wherever mail for postmaster does.
        match &self.postmaster {
            Some((_, Leads::One(number))) if key.1 == "postmaster" => return Some(Target::Mailbox(*number)),
            Some((_, Leads::Trouble)) if key.1 == "postmaster" => return Some(Target::Unreadable),
            _ => {}
        }
        let cause = format!("{} has no mailbox or alias {name:?}", home.as_str());
        let mend = self.nearest(&key.1, |work| {
            let names = work.numbers.keys().chain(work.aliases.keys()).filter(|(domain, _)| *domain == home);
            names.map(|(_, name)| name.clone()).collect()
        });
        let mend = mend.unwrap_or_else(|| format!("name a mailbox or alias of {}, or add it there", home.as_str()));
        self.problem(Some(domain), place, cause, mend);
        None
    }

    fn local_domain(&self, text: &str) -> Option<&'a Domain> {
        let domain = Domain::parse(text).ok()?;
        self.drafts.get_key_value(&domain).map(|(domain, _)| domain)
    }

    fn nearest(&mut self, word: &str, known: impl FnOnce(&Self) -> Vec<String>) -> Option<String> {
        self.suggestions += 1;
        if self.suggestions > MOST_SUGGESTIONS {
            return None;
        }
        let distance = |name: String| (strsim::damerau_levenshtein(word, &name), name);
        // A third of the letters may be wrong: more is another word.
        let close = |(distance, _): &(usize, String)| *distance <= (word.chars().count() / 3).max(1);
        let best = known(self).into_iter().map(distance).filter(close).min();
        best.map(|(_, name)| format!("did you mean {name:?}?"))
    }

    fn catch_alls(&mut self) {
        for (domain, draft) in self.drafts {
            let Some(text) = &draft.catch_all else { continue };
            let leads = match self.target(domain, Place::CatchAll, text) {
                Some(Target::Mailbox(number)) => Some(Leads::One(number)),
                Some(Target::Unreadable) => Some(Leads::Trouble),
                Some(Target::Alias((home, name))) => self.named(home, &name),
                None => None,
            };
            if let Some(entries) = self.directory.entries.get_mut(domain) {
                entries.catch_all = leads;
            }
        }
    }

    fn named(&self, domain: &Domain, name: &str) -> Option<Leads> {
        self.directory.entries.get(domain)?.names.get(name).cloned()
    }

    /// `smtp.postmaster`: a mailbox.
    fn postmaster(&mut self, text: Option<&str>) -> Option<(Domain, Leads)> {
        let text = text?;
        let Some((name, home)) = text.rsplit_once('@') else {
            self.problem(None, Place::Postmaster, "it needs a domain", "write it as \"name@domain\"");
            return None;
        };
        let Some(domain) = self.local_domain(home) else {
            let mend = self.nearest(home, |work| work.drafts.keys().map(|domain| domain.as_str().to_owned()).collect());
            let cause = format!("{home:?} is no local domain, and Gatepost never forwards");
            self.problem(None, Place::Postmaster, cause, mend.unwrap_or_else(mend_of_home));
            return None;
        };
        let key = (domain, fold(name));
        if let Some(number) = self.numbers.get(&key) {
            return Some((domain.clone(), Leads::One(*number)));
        }
        if self.drafts.get(domain).is_some_and(|draft| draft.unreadable) {
            return Some((domain.clone(), Leads::Trouble));
        }
        let mend = self.nearest(&key.1, |work| {
            work.numbers.keys().filter(|(home, _)| *home == domain).map(|(_, name)| name.clone()).collect()
        });
        let cause = format!("{} has no mailbox {name:?}", domain.as_str());
        let mend = mend.unwrap_or_else(|| format!("name a mailbox of {}, or add it there", domain.as_str()));
        self.problem(None, Place::Postmaster, cause, mend);
        None
    }

    /// Sees that each domain's postmaster and `<postmaster>` lead somewhere (RFC 5321 §4.5.1).
    fn postmasters(&mut self, given: bool) {
        let postmaster = self.postmaster.take();
        let mut first = None;
        for (domain, draft) in self.drafts {
            let Some(entries) = self.directory.entries.get_mut(domain) else { continue };
            entries.postmaster = postmaster.as_ref().map(|(_, leads)| leads.clone());
            let leads = entries.names.get("postmaster").or(entries.postmaster.as_ref()).or(entries.catch_all.as_ref());
            match leads {
                Some(leads) => drop(first.get_or_insert_with(|| (domain.clone(), leads.clone()))),
                // Whatever was meant to take it is wrong, which was said.
                None if draft.unreadable || given || draft.names_postmaster() => {}
                None => {
                    let cause = "nobody gets mail for postmaster here, which RFC 5321 §4.5.1 requires";
                    let mend = "set smtp.postmaster to a mailbox, or add a mailbox or alias \"postmaster\"";
                    self.problem(Some(domain), Place::Domain, cause, mend);
                }
            }
        }
        self.directory.postmaster = postmaster.or(first);
    }
}

fn leads(numbers: BTreeSet<u32>, trouble: bool) -> Option<Leads> {
    // A copy to some of them now and to all at the retry would be two copies for those.
    if trouble {
        return Some(Leads::Trouble);
    }
    match (numbers.len(), numbers.first()) {
        (0, _) | (_, None) => None,
        (1, Some(only)) => Some(Leads::One(*only)),
        _ => Some(Leads::Many(numbers.into_iter().collect())),
    }
}
