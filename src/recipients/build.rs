//! Takes what the configuration says of recipients and builds a directory of it.

use std::collections::BTreeMap;

use super::directory::Directory;
use super::follow::Work;
use super::name::fold;
use super::problem::DirectoryProblem;
use crate::smtp::address::Domain;

/// Gathers what the configuration says of recipients. Nothing is checked before [`DirectoryBuilder::build`].
#[derive(Debug, Clone, Default)]
pub struct DirectoryBuilder {
    domains: BTreeMap<Domain, Draft>,
    postmaster: Option<String>,
}

/// One domain as it was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) mailboxes: Vec<String>,
    pub(super) aliases: Vec<(String, Vec<String>)>,
    pub(super) catch_all: Option<String>,
    pub(super) unreadable: bool,
}

impl Draft {
    /// Whether an alias or the catch-all is meant to take mail for postmaster.
    pub(super) fn names_postmaster(&self) -> bool {
        self.catch_all.is_some() || self.aliases.iter().any(|(name, _)| fold(name) == "postmaster")
    }
}

impl DirectoryBuilder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A local domain. The other methods add theirs too if it was not added.
    pub fn add_domain(&mut self, domain: Domain) -> &mut Self {
        self.domains.entry(domain).or_default();
        self
    }

    /// A mailbox of a domain, by its name without the domain.
    pub fn add_mailbox(&mut self, domain: Domain, name: impl Into<String>) -> &mut Self {
        self.domains.entry(domain).or_default().mailboxes.push(name.into());
        self
    }

    /// An alias of a domain; its targets are `name` (of the same domain) or `name@domain`.
    pub fn add_alias(&mut self, domain: Domain, name: impl Into<String>, targets: Vec<String>) -> &mut Self {
        self.domains.entry(domain).or_default().aliases.push((name.into(), targets));
        self
    }

    /// Where names of a domain go that it does not have: a mailbox or alias, `name` or `name@domain`.
    pub fn catch_all(&mut self, domain: Domain, target: impl Into<String>) -> &mut Self {
        self.domains.entry(domain).or_default().catch_all = Some(target.into());
        self
    }

    /// `smtp.postmaster`: a mailbox, `name@domain`.
    pub fn postmaster(&mut self, address: impl Into<String>) -> &mut Self {
        self.postmaster = Some(address.into());
        self
    }

    /// A list of a domain could not be read: its names are in trouble instead of unknown.
    pub fn unreadable(&mut self, domain: Domain) -> &mut Self {
        self.domains.entry(domain).or_default().unreadable = true;
        self
    }

    /// Follows everything and checks it.
    ///
    /// # Errors
    /// All problems at once: names that can't be directories, names given twice, targets that are foreign, unknown or lead in a
    /// circle, a domain whose postmaster could not be reached (RFC 5321 §4.5.1).
    pub fn build(self) -> Result<Directory, Vec<DirectoryProblem>> {
        Work::new(&self.domains).build(self.postmaster.as_deref())
    }
}
