//! The directory: which mailboxes a forward-path leads to.

use std::collections::HashMap;

use super::name::{MailboxName, fold};
use crate::smtp::address::{Domain, ForwardPath, Host};

/// All local domains with their mailboxes and aliases. Immutable.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Sorted, so that sorted indices are sorted mailboxes.
    pub(super) mailboxes: Vec<MailboxName>,
    /// Sorted.
    pub(super) domains: Vec<Domain>,
    pub(super) entries: HashMap<Domain, Entries>,
    /// Where `<postmaster>` leads.
    pub(super) postmaster: Option<(Domain, Leads)>,
}

/// The names of one domain.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    pub(super) names: HashMap<String, Leads>,
    pub(super) catch_all: Option<Leads>,
    /// Where `postmaster@` leads when the domain has no such name.
    pub(super) postmaster: Option<Leads>,
    /// A list of the domain could not be read: who is not found may well exist.
    pub(super) unreadable: bool,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    /// To one mailbox, by its index.
    One(u32),
    /// To several mailboxes, sorted and unique.
    Many(Box<[u32]>),
    /// To a name of a domain whose list could not be read.
    Trouble,
}

/// What a forward-path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// To mailboxes of ours.
    Local(Local),
    /// To a domain that isn't ours, or an address literal: refused, we relay nothing.
    Relay,
    /// To a name that no local domain has.
    Unknown,
    /// Not to be said now: a list could not be read. Answered with 451.
    Trouble,
}

/// Mailboxes of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// At least one; sorted and unique.
    pub mailboxes: Vec<MailboxName>,
    /// The local domain of the forward-path.
    pub domain: Domain,
    /// What the forward-path is for.
    pub role: Role,
}

/// The role of a forward-path (RFC 2142).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// An ordinary name.
    #[default]
    Ordinary,
    /// postmaster (RFC 5321 §4.5.1).
    Postmaster,
    /// abuse (RFC 2142 §4).
    Abuse,
}

impl Role {
    /// The word of the fact `rcpt.role`: `postmaster`, `abuse` or nothing.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Ordinary => "",
            Role::Postmaster => "postmaster",
            Role::Abuse => "abuse",
        }
    }

    fn of(base: &str) -> Role {
        match base {
            "postmaster" => Role::Postmaster,
            "abuse" => Role::Abuse,
            _ => Role::Ordinary,
        }
    }
}

/// A domain of which a newer directory has lost so much that it looks like a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The domain.
    pub domain: Domain,
    /// Mailboxes it had.
    pub had: usize,
    /// How many of those are gone.
    pub gone: usize,
}

impl Directory {
    /// Where a forward-path leads: exact mailbox, exact alias, both without `+detail`, postmaster, catch-all.
    pub fn resolve(&self, path: &ForwardPath) -> Resolution {
        let mailbox = match path {
            ForwardPath::Mailbox(mailbox) => mailbox,
            ForwardPath::Postmaster => {
                return match &self.postmaster {
                    Some((domain, leads)) => self.resolution(leads, domain, Role::Postmaster),
                    None => Resolution::Unknown,
                };
            }
        };
        // An address literal names a host and no domain of ours, even where it is this host's: nobody's mailbox is there.
        let Host::Name(domain) = &mailbox.host else { return Resolution::Relay };
        let Some(entries) = self.entries.get(domain) else { return Resolution::Relay };
        let local = fold(&mailbox.local);
        let base = base(&local);
        let role = Role::of(base);
        let fallback =
            || entries.postmaster.as_ref().filter(|_| role == Role::Postmaster).or(entries.catch_all.as_ref());
        // Where a list could not be read, a name that isn't found may stand in it: neither detail nor catch-all may take its mail.
        let found = match entries.names.get(&local) {
            None if entries.unreadable => return Resolution::Trouble,
            None => entries.names.get(base).or_else(fallback),
            found => found,
        };
        found.map_or(Resolution::Unknown, |leads| self.resolution(leads, domain, role))
    }

    fn resolution(&self, leads: &Leads, domain: &Domain, role: Role) -> Resolution {
        let indices = match leads {
            Leads::One(index) => std::slice::from_ref(index),
            Leads::Many(indices) => indices,
            Leads::Trouble => return Resolution::Trouble,
        };
        let mailboxes = indices.iter().filter_map(|index| self.mailboxes.get(*index as usize)).cloned().collect();
        Resolution::Local(Local { mailboxes, domain: domain.clone(), role })
    }

    /// The local domains, sorted.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter()
    }

    /// All mailboxes, sorted by domain and name.
    pub fn mailboxes(&self) -> impl Iterator<Item = &MailboxName> {
        self.mailboxes.iter()
    }

    /// The guard of a reload: domains that `newer` no longer has, or of whose mailboxes more than half are gone in it.
    pub fn losses(&self, newer: &Directory) -> Vec<Loss> {
        let of = |domain: &Domain| {
            let start = self.mailboxes.partition_point(|mailbox| mailbox.domain < *domain);
            self.mailboxes.iter().skip(start).take_while(|mailbox| mailbox.domain == *domain).collect::<Vec<_>>()
        };
        let mut losses = Vec::new();
        for domain in &self.domains {
            let there = newer.entries.get(domain);
            // A list that can't be read loses nothing: its names are answered with 451.
            if there.is_some_and(|entries| entries.unreadable) {
                continue;
            }
            let had = of(domain);
            let gone = had.iter().filter(|mailbox| newer.mailboxes.binary_search(mailbox).is_err()).count();
            if there.is_none() || gone * 2 > had.len() {
                losses.push(Loss { domain: domain.clone(), had: had.len(), gone });
            }
        }
        losses
    }
}

/// A local-part without its `+detail` (RFC 5233): itself where it has none, or nothing in front of it.
fn base(local: &str) -> &str {
    match local.split_once('+') {
        Some((base, _)) if !base.is_empty() => base,
        _ => local,
    }
}
