//! `[domains]`: into a [`Directory`], whose problems are told at the line that they come from.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::files;
use super::reader::{Placed, Reader, Section, list_of};
use super::sections::parse_domain;
use super::value::{self, Fault};
use crate::problem::{Problem, Source, nearest};
use crate::recipients::{Directory, DirectoryBuilder, DirectoryProblem, MailboxName, Place, Quotas, fold};
use crate::smtp::address::Domain;

/// What `[domains]` says.
pub(super) struct Domains {
    /// `None` where problems were noted.
    pub(super) directory: Option<Directory>,
    /// Domains with a policy of their own: its path, and the key.
    pub(super) policies: Vec<(Domain, Placed<String>, String)>,
    /// Mailboxes with a policy of their own.
    pub(super) mailbox_policies: Vec<(MailboxName, Placed<String>, String)>,
    /// What mailboxes may hold.
    pub(super) quotas: Quotas,
}

/// Where the entries of a domain stand.
#[derive(Default)]
struct Places {
    key: String,
    name: Option<Range<usize>>,
    /// The list file, where there is one.
    list: Option<Arc<Source>>,
    /// In the list file, else in gatepost.toml.
    mailboxes: HashMap<String, Range<usize>>,
    aliases: HashMap<String, Range<usize>>,
    /// By alias and target.
    targets: HashMap<(String, String), Range<usize>>,
    catch_all: Option<Range<usize>>,
    /// Not all names of mailboxes are known.
    incomplete: bool,
}

/// Reads the section and `smtp.postmaster`; `everyone` is `maildir.quota`.
pub(super) fn read(reader: &mut Reader, top: &Section<'_>, smtp: &Section<'_>, everyone: u64) -> Domains {
    let mut builder = DirectoryBuilder::new();
    let mut all_places: HashMap<Domain, Places> = HashMap::new();
    let (mut policies, mut own, mut quotas) = (Vec::new(), Vec::new(), Quotas::uniform(everyone));
    let domains = top.section(reader, "domains");
    let sections = domains.sections(reader);
    if sections.is_empty() {
        let mend = "name the domains that mail is accepted for: [domains.\"example.com\"]";
        reader.problem(domains.span.clone(), "domains", Fault::new("no domain is named", mend));
    }
    let before = reader.problems.len();
    let mut skipped = false;
    for (name, section) in sections {
        if section.is_unquoted_domain() {
            skipped = true;
            continue;
        }
        let domain = match parse_domain(name) {
            Ok(domain) => domain,
            Err(fault) => {
                reader.problem(section.span.clone(), &section.path, fault);
                skipped = true;
                continue;
            }
        };
        if all_places.contains_key(&domain) {
            let cause = format!("the domain {} is here already", domain.as_str());
            reader.problem(section.span.clone(), &section.path, Fault::new(cause, "leave one out"));
            continue;
        }
        let places = one(reader, &section, &domain, &mut builder);
        if let Some(policy) = section.read(reader, "policy", value::string) {
            policies.push((domain.clone(), policy, section.key("policy")));
        }
        if let Some(quota) = section.quota(reader, "quota") {
            quotas.set_domain(domain.clone(), quota);
        }
        let mailbox = section.section(reader, "mailbox");
        of_mailboxes(reader, &domain, &mailbox, &places, &mut own, &mut quotas);
        all_places.insert(domain, places);
    }
    let postmaster = smtp.read(reader, "postmaster", value::string);
    if let Some(postmaster) = &postmaster {
        builder.postmaster(&postmaster.value);
    }
    // what a wrong entry was meant to be would be missed by others: their problems would be false
    let complete = reader.problems.len() == before;
    let directory = match builder.build() {
        Ok(directory) => complete.then_some(directory),
        Err(problems) => {
            let address = postmaster.as_ref().map_or("", |placed| &placed.value);
            for problem in problems {
                // what leads to a domain whose name is wrong is no second problem
                if skipped && leads_elsewhere(&problem.place, address, &all_places) {
                    continue;
                }
                note(reader, &all_places, postmaster.as_ref().and_then(|placed| placed.span.clone()), problem);
            }
            None
        }
    };
    Domains { directory, policies, mailbox_policies: own, quotas }
}

/// Whether a problem is about an address of a domain that is not known here, or about having none.
fn leads_elsewhere(place: &Place, postmaster: &str, known: &HashMap<Domain, Places>) -> bool {
    let address = match place {
        Place::Target { target, .. } => target,
        Place::Postmaster => postmaster,
        Place::Domain => return true,
        Place::Mailbox(_) | Place::Alias(_) | Place::CatchAll => return false,
    };
    let domain = address.rsplit_once('@').map(|(_, domain)| domain);
    domain.is_some_and(|domain| Domain::parse(domain).map_or(true, |domain| !known.contains_key(&domain)))
}

/// One domain's mailboxes, aliases and catch-all.
fn one(reader: &mut Reader, section: &Section<'_>, domain: &Domain, builder: &mut DirectoryBuilder) -> Places {
    let mut places = Places { key: section.path.clone(), name: section.span.clone(), ..Places::default() };
    builder.add_domain(domain.clone());
    if let Some(value) = section.raw("mailboxes") {
        for name in mailboxes(reader, section, value, &mut places) {
            builder.add_mailbox(domain.clone(), name);
        }
        if places.incomplete {
            // what leads to a name that is not known now is no second problem
            builder.unreadable(domain.clone());
        }
    }
    for (name, span, targets) in aliases(reader, section) {
        places.aliases.insert(name.clone(), span);
        for target in &targets {
            let key = (name.clone(), target.value.clone());
            places.targets.insert(key, target.span.clone().unwrap_or_default());
        }
        builder.add_alias(domain.clone(), name, targets.into_iter().map(|target| target.value).collect());
    }
    if let Some(catch_all) = section.read(reader, "catch_all", value::string) {
        places.catch_all = catch_all.span;
        builder.catch_all(domain.clone(), catch_all.value);
    }
    places
}

/// The names of mailboxes, in their order; those that are wrong were noted.
fn mailboxes(
    reader: &mut Reader,
    section: &Section<'_>,
    value: &Spanned<DeValue<'_>>,
    places: &mut Places,
) -> Vec<String> {
    let key = section.key("mailboxes");
    let fault = match value.get_ref() {
        DeValue::Array(items) => {
            let names = list_of(reader, &key, value, &|text| Ok(text.to_owned()));
            places.incomplete = items.iter().any(|item| !item.get_ref().is_str());
            places.mailboxes =
                names.iter().map(|name| (name.value.clone(), name.span.clone().unwrap_or_default())).collect();
            return names.into_iter().map(|name| name.value).collect();
        }
        DeValue::Table(table) => match table.get("file") {
            Some(file) if table.len() == 1 => return list_file(reader, &key, file, places),
            _ => Fault::new("must be a list of names or { file = \"...\" } with nothing else in it", ""),
        },
        other => {
            let mend = other.as_str().map_or_else(String::new, |text| format!("write [{text:?}]"));
            Fault { mend, ..Fault::wrong_type("a list of names or { file = \"...\" }", other) }
        }
    };
    reader.problem(Some(value.span()), &key, fault);
    places.incomplete = true;
    Vec::new()
}

/// The names of a list file: a name a line; empty lines, and what follows a `#` at the beginning or after white space, are for people.
fn list_file(reader: &mut Reader, key: &str, file: &Spanned<DeValue<'_>>, places: &mut Places) -> Vec<String> {
    let read = value::string(file.get_ref()).map(|written| reader.file(&written)).and_then(|path| {
        let fault = |cause: String| {
            let mend = files::mend(&cause, "make it, with a name a line, or name another file");
            Fault::new(format!("{path:?} {cause}"), mend)
        };
        let text = files::read_text(&path).map_err(fault)?;
        Ok(Arc::new(Source { name: path.display().to_string(), text }))
    });
    let source = match read {
        Ok(source) => source,
        Err(fault) => {
            reader.problem(Some(file.span()), &format!("{key}.file"), fault);
            places.incomplete = true;
            return Vec::new();
        }
    };
    let (mut start, mut names) = (0, Vec::new());
    for line in source.text.split_inclusive('\n') {
        let name = without_comment(line.trim_start_matches('\u{feff}')).trim();
        let at = start + line.find(name).unwrap_or(0);
        start += line.len();
        if name.is_empty() {
            continue;
        }
        let span = at..at + name.len();
        if let Some((cause, mend)) = unlike_a_name(name) {
            reader.problems.push(Problem::at(&source, span, key, cause, mend));
            places.incomplete = true;
        } else if places.mailboxes.insert(name.to_owned(), span.clone()).is_some() {
            let cause = format!("{name:?} stands here twice");
            reader.problems.push(Problem::at(&source, span, key, cause, "leave one out"));
        } else {
            names.push(name.to_owned());
        }
    }
    places.list = Some(source);
    names
}

/// A line up to its comment: a `#` that begins it or follows white space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    let comment = line.char_indices().find(|&(_, c)| {
        let begins = c == '#' && before.is_whitespace();
        before = c;
        begins
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

/// What is wrong with a line that is no name, and its mend.
fn unlike_a_name(name: &str) -> Option<(String, &'static str)> {
    if name.chars().any(char::is_whitespace) {
        let mend = "write one name a line; what follows a # after white space is a comment";
        Some((format!("{name:?} has white space in it, which no mailbox's name in a list file has"), mend))
    } else if name.contains('#') {
        let mend = "put white space before the # if a comment begins there";
        Some((format!("{name:?} has a # in it, which no mailbox's name in a list file has"), mend))
    } else {
        None
    }
}

type Alias = (String, Range<usize>, Vec<Placed<String>>);

fn aliases(reader: &mut Reader, section: &Section<'_>) -> Vec<Alias> {
    let Some(value) = section.raw("aliases") else { return Vec::new() };
    let key = section.key("aliases");
    let Some(table) = value.get_ref().as_table() else {
        let mut fault = Fault::wrong_type("a table of names and where they lead", value.get_ref());
        fault.mend = "write { sales = [\"alice\", \"bob\"] }".to_owned();
        reader.problem(Some(value.span()), &key, fault);
        return Vec::new();
    };
    let mut aliases = Vec::new();
    for (name, value) in table.iter() {
        let key = format!("{key}.{}", name.get_ref());
        let targets = match value.get_ref() {
            DeValue::String(text) => vec![Placed { value: text.to_string(), span: Some(value.span()) }],
            DeValue::Array(items) => {
                let targets = list_of(reader, &key, value, &|text| Ok(text.to_owned()));
                if targets.is_empty() && !items.is_empty() {
                    continue;
                }
                targets
            }
            other => {
                let fault = Fault::wrong_type("a mailbox or alias, or a list of them", other);
                reader.problem(Some(value.span()), &key, fault);
                continue;
            }
        };
        aliases.push((name.get_ref().to_string(), name.span(), targets));
    }
    aliases
}

/// Tells a problem of the directory at its line.
fn note(
    reader: &mut Reader,
    places: &HashMap<Domain, Places>,
    postmaster: Option<Range<usize>>,
    problem: DirectoryProblem,
) {
    let DirectoryProblem { domain, place, cause, mend } = problem;
    let fault = Fault { cause, mend };
    let Some(found) = domain.and_then(|domain| places.get(&domain)) else {
        return reader.problem(postmaster, "smtp.postmaster", fault);
    };
    let key = |name: &str| format!("{}.{name}", found.key);
    match place {
        Place::Domain | Place::Postmaster => reader.problem(found.name.clone(), &found.key, fault),
        Place::Mailbox(name) => {
            let span = found.mailboxes.get(&name).cloned();
            match (&found.list, span) {
                (Some(list), Some(span)) => {
                    reader.problems.push(Problem::at(list, span, key("mailboxes"), fault.cause, fault.mend));
                }
                (_, span) => reader.problem(span, &key("mailboxes"), fault),
            }
        }
        Place::Alias(name) => {
            reader.problem(found.aliases.get(&name).cloned(), &key(&format!("aliases.{name}")), fault);
        }
        Place::Target { alias, target } => {
            let key = key(&format!("aliases.{alias}"));
            reader.problem(found.targets.get(&(alias, target)).cloned(), &key, fault);
        }
        Place::CatchAll => reader.problem(found.catch_all.clone(), &key("catch_all"), fault),
    }
}

/// `[domains."...".mailbox."..."]`
fn of_mailboxes(
    reader: &mut Reader,
    domain: &Domain,
    section: &Section<'_>,
    places: &Places,
    policies: &mut Vec<(MailboxName, Placed<String>, String)>,
    quotas: &mut Quotas,
) {
    if !section.present() {
        return;
    }
    let known: BTreeSet<String> = places.mailboxes.keys().map(|name| fold(name)).collect();
    for (name, mailbox) in section.sections(reader) {
        let named = MailboxName { domain: domain.clone(), name: fold(name) };
        if !places.incomplete && !known.contains(&named.name) {
            let mend = nearest(name, known.iter().take(10_000).map(String::as_str));
            let add = || format!("add it to {}.mailboxes, or take this out", places.key);
            let mend = mend.map_or_else(add, |near| format!("did you mean {near:?}?"));
            let cause = format!("{} has no mailbox {name:?}", domain.as_str());
            reader.problem(mailbox.span.clone(), &mailbox.path, Fault::new(cause, mend));
        }
        if let Some(quota) = mailbox.quota(reader, "quota") {
            quotas.set_mailbox(named.clone(), quota);
        }
        if let Some(policy) = mailbox.read(reader, "policy", value::string) {
            policies.push((named, policy, mailbox.key("policy")));
        }
    }
}
