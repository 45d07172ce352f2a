//! The policies that gatepost.toml names: each file is read and checked once, however many domains and mailboxes share it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeValue;

use super::domains::Domains;
use super::files;
use super::reader::{Placed, Reader, Section};
use super::stamp::Stamp;
use super::value::{self, Fault};
use crate::policy::{Mixed, Policy, Redirect, Zones, shipped};
use crate::problem::{Problem, Problems, Source, nearest};
use crate::recipients::{Directory, MailboxName, Resolution};
use crate::smtp::address::{Domain, ForwardPath};

/// Which policy judges mail for which mailbox.
#[derive(Clone)]
pub struct Policies {
    default: Arc<Policy>,
    domains: HashMap<Domain, Arc<Policy>>,
    mailboxes: HashMap<MailboxName, Arc<Policy>>,
    /// The block lists that policies may name.
    zones: Zones,
    files: Vec<File>,
    mixed: Mixed,
}

/// A policy that was read from a file, and the files of its lists as they were then.
#[derive(Clone)]
struct File {
    path: PathBuf,
    policy: Arc<Policy>,
    lists: Vec<ListFile>,
}

/// A file of a list, and its state just before it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFile {
    /// Where it is.
    pub path: PathBuf,
    /// `None` where it could not be looked at.
    pub stamp: Option<Stamp>,
}

impl Policies {
    /// The policy of `policy.file`: for the connection, and for domains and mailboxes without one of their own.
    pub fn default(&self) -> &Arc<Policy> {
        &self.default
    }

    /// The policy of a mailbox: its own, its domain's, or the default.
    pub fn of(&self, mailbox: &MailboxName) -> &Arc<Policy> {
        let own = self.mailboxes.get(mailbox).or_else(|| self.domains.get(&mailbox.domain));
        own.unwrap_or(&self.default)
    }

    /// Who has which policy: everyone else, domains, mailboxes; sorted by name.
    pub fn users(&self) -> Vec<(String, &Arc<Policy>)> {
        let mut users = vec![("everyone without a policy of their own".to_owned(), &self.default)];
        let mut named: Vec<_> =
            self.domains.iter().map(|(domain, policy)| (domain.as_str().to_owned(), policy)).collect();
        named.extend(self.mailboxes.iter().map(|(mailbox, policy)| (mailbox.to_string(), policy)));
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        users.extend(named);
        users
    }

    /// What becomes of transactions whose recipients' policies may answer differently after DATA.
    pub fn mixed(&self) -> Mixed {
        self.mixed
    }

    /// What is no mistake in any of them, but seldom meant.
    pub fn warnings(&self) -> Problems {
        let mut warnings = Problems::new();
        self.all().into_iter().for_each(|policy| warnings.merge(policy.warnings()));
        warnings
    }

    /// All policies, the default first, each once.
    pub fn all(&self) -> Vec<&Arc<Policy>> {
        let mut all = vec![&self.default];
        for policy in self.domains.values().chain(self.mailboxes.values()) {
            if !all.iter().any(|known| Arc::ptr_eq(known, policy)) {
                all.push(policy);
            }
        }
        all
    }
}

impl Policies {
    /// The files of all lists.
    pub fn list_files(&self) -> impl Iterator<Item = &ListFile> {
        self.files.iter().flat_map(|file| &file.lists)
    }

    /// The same policies, in which those that have a list in one of these files have read their lists again. The policy files
    /// themselves are not read: what stands in them by now may not be meant to hold yet.
    ///
    /// # Errors
    /// A list that can't be read or has bad entries, or a test of a policy that fails with it.
    pub fn reading_again(&self, changed: &[PathBuf]) -> Result<Policies, Problems> {
        let mut all = self.clone();
        let mut problems = Problems::new();
        for file in &self.files {
            if !file.lists.iter().any(|list| changed.contains(&list.path)) {
                continue;
            }
            let mut reader = ListReader::of(&file.path);
            let source = Arc::clone(file.policy.source());
            match Policy::load_with(&self.zones, source, &mut |name| reader.read(name)) {
                Ok(policy) => all.replace(&file.policy, Arc::new(policy), reader.read),
                Err(found) => problems.extend(found),
            }
        }
        problems.into_result()?;
        Ok(all)
    }

    fn replace(&mut self, old: &Arc<Policy>, new: Arc<Policy>, lists: Vec<ListFile>) {
        let users = self.domains.values_mut().chain(self.mailboxes.values_mut()).chain([&mut self.default]);
        for policy in users.filter(|policy| Arc::ptr_eq(policy, old)) {
            *policy = Arc::clone(&new);
        }
        for file in self.files.iter_mut().filter(|file| Arc::ptr_eq(&file.policy, old)) {
            file.policy = Arc::clone(&new);
            file.lists.clone_from(&lists);
        }
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (domains, mailboxes) = (self.domains.len(), self.mailboxes.len());
        f.debug_struct("Policies").field("domains", &domains).field("mailboxes", &mailboxes).finish_non_exhaustive()
    }
}

/// The default policy that is built in, as a source.
pub fn default_source() -> Arc<Source> {
    Arc::new(Source { name: "default.toml (built in)".to_owned(), text: shipped::DEFAULT.to_owned() })
}

/// The text of a policy file.
///
/// # Errors
/// It cannot be read.
pub fn policy_source(path: &Path) -> Result<Arc<Source>, Problem> {
    let name = path.display().to_string();
    match files::read_text(path) {
        Ok(text) => Ok(Arc::new(Source { name, text })),
        Err(cause) => Err(Problem::with_file(&name, "", cause, "")),
    }
}

/// Reads the list files of a policy: relative paths are relative to the policy's file.
pub fn list_reader(policy: &Path) -> impl FnMut(&str) -> Result<String, String> + use<> {
    let mut reader = ListReader::of(policy);
    move |file| reader.read(file)
}

/// Reads the list files of a policy, and notes which.
struct ListReader {
    base: PathBuf,
    read: Vec<ListFile>,
}

impl ListReader {
    fn of(policy: &Path) -> ListReader {
        ListReader { base: policy.parent().unwrap_or(Path::new("")).to_owned(), read: Vec::new() }
    }

    fn read(&mut self, file: &str) -> Result<String, String> {
        let path = self.base.join(file);
        // before it is read: what is written meanwhile must count as a change
        self.read.push(ListFile { stamp: Stamp::of(&path), path: path.clone() });
        files::read_text(&path).map_err(|cause| format!("{path:?} {cause}"))
    }
}

/// Policies by their path, `None` for one with problems; and the block lists that they may name.
struct Loaded<'z> {
    zones: &'z Zones,
    policies: HashMap<PathBuf, Option<Arc<Policy>>>,
    files: Vec<File>,
    /// The texts of all files, also of those with problems.
    sources: Vec<Arc<Source>>,
}

/// `None` where problems were noted.
pub(super) fn read(reader: &mut Reader, top: &Section<'_>, domains: &Domains, zones: &Zones) -> Option<Policies> {
    let mut loaded = Loaded { zones, policies: HashMap::new(), files: Vec::new(), sources: Vec::new() };
    let section = top.section(reader, "policy");
    let default = match section.read(reader, "file", value::string) {
        Some(file) => load(reader, &mut loaded, &file, &section.key("file")),
        None if section.raw("file").is_some() => None,
        None => built_in(reader),
    };
    let (mut by_domain, mut by_mailbox, mut complete) = (HashMap::new(), HashMap::new(), true);
    for (domain, file, key) in &domains.policies {
        match load(reader, &mut loaded, file, key) {
            Some(policy) => drop(by_domain.insert(domain.clone(), policy)),
            None => complete = false,
        }
    }
    for (mailbox, file, key) in &domains.mailbox_policies {
        match load(reader, &mut loaded, file, key) {
            Some(policy) => drop(by_mailbox.insert(mailbox.clone(), policy)),
            None => complete = false,
        }
    }
    let mixed = section.read(reader, "mixed", mixed);
    if let Some(directory) = &domains.directory {
        loaded.sources.iter().for_each(|source| reader.problems.extend(redirect_problems(source, directory)));
    }
    let default = default?;
    let mixed = mixed.map(|mixed| mixed.value).unwrap_or_default();
    let (zones, files) = (zones.clone(), loaded.files);
    complete.then_some(Policies { default, domains: by_domain, mailboxes: by_mailbox, zones, files, mixed })
}

fn mixed(value: &DeValue<'_>) -> Result<Mixed, Fault> {
    let written = value::string(value)?;
    Mixed::from_word(&written).ok_or_else(|| {
        let mend = nearest(&written, Mixed::WORDS.iter().copied()).map(|near| format!("did you mean {near:?}?"));
        let mend = mend.unwrap_or_else(|| "write \"split\" or \"quarantine\"".to_owned());
        Fault::new(format!("{written:?} must be \"split\" or \"quarantine\""), mend)
    })
}

/// What is wrong with the addresses that the rules of a policy's file redirect to, by whom there is mail for.
pub fn redirect_problems(policy: &Arc<Source>, directory: &Directory) -> Problems {
    let mut problems = Problems::new();
    for redirect in Redirect::all_of(policy) {
        let address = redirect.address.as_str();
        let resolution = ForwardPath::parse(address, true).map(|path| directory.resolve(&path));
        let (cause, mend) = match resolution {
            // a list that can't be read now is told at its own place
            Ok(Resolution::Local(_) | Resolution::Trouble) => continue,
            Err(error) => {
                (format!("{address:?} is no address: {error}"), "write one like \"abuse@example.com\"".to_owned())
            }
            Ok(Resolution::Relay) => {
                let domains = directory.domains().map(Domain::as_str).take(10).collect::<Vec<_>>().join(", ");
                (
                    format!("{address:?} is of no domain here: Gatepost never forwards"),
                    format!("the domains here are {domains}"),
                )
            }
            Ok(Resolution::Unknown) => {
                let mailboxes: Vec<String> = directory.mailboxes().take(10_000).map(ToString::to_string).collect();
                let near = nearest(address, mailboxes.iter().map(String::as_str));
                let mend = near.map(|near| format!("did you mean {near:?}?"));
                let mend = mend.unwrap_or_else(|| "name a mailbox or an alias of gatepost.toml".to_owned());
                (format!("no mailbox or alias has the address {address:?}"), mend)
            }
        };
        problems.push(redirect.problem(cause, mend));
    }
    problems
}

fn load(reader: &mut Reader, loaded: &mut Loaded<'_>, file: &Placed<String>, key: &str) -> Option<Arc<Policy>> {
    let path = reader.file(&file.value);
    if let Some(policy) = loaded.policies.get(&path) {
        return policy.clone();
    }
    let policy = match files::read_text(&path) {
        Ok(text) => {
            let source = Arc::new(Source { name: path.display().to_string(), text });
            loaded.sources.push(Arc::clone(&source));
            let mut lists = ListReader::of(&path);
            let policy = taken(reader, Policy::load_with(loaded.zones, source, &mut |name| lists.read(name)));
            if let Some(policy) = &policy {
                loaded.files.push(File { path: path.clone(), policy: Arc::clone(policy), lists: lists.read });
            }
            policy
        }
        Err(cause) => {
            let mend = files::mend(&cause, "name a policy that is there, or leave the key out");
            reader.problem(file.span.clone(), key, Fault::new(format!("{path:?} {cause}"), mend));
            None
        }
    };
    loaded.policies.insert(path, policy.clone());
    policy
}

fn built_in(reader: &mut Reader) -> Option<Arc<Policy>> {
    let no_lists = &mut |file: &str| Err(format!("{file:?} cannot be read: the built-in policy has no files"));
    taken(reader, Policy::load(default_source(), no_lists))
}

fn taken(reader: &mut Reader, result: Result<Policy, Problems>) -> Option<Arc<Policy>> {
    match result {
        Ok(policy) => Some(Arc::new(policy)),
        Err(problems) => {
            reader.problems.extend(problems);
            None
        }
    }
}
