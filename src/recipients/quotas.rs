//! How much mail each mailbox may hold.

use std::collections::HashMap;

use super::name::MailboxName;
use crate::smtp::address::Domain;

/// Octets that mailboxes may hold: a mailbox's own bound, its domain's, or everyone's. 0 is no bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas {
    everyone: u64,
    domains: HashMap<Domain, u64>,
    mailboxes: HashMap<MailboxName, u64>,
}

impl Quotas {
    /// The same bound for all.
    pub fn uniform(octets: u64) -> Self {
        Quotas { everyone: octets, ..Quotas::default() }
    }

    /// A domain's own.
    pub fn set_domain(&mut self, domain: Domain, octets: u64) {
        self.domains.insert(domain, octets);
    }

    /// A mailbox's own.
    pub fn set_mailbox(&mut self, mailbox: MailboxName, octets: u64) {
        self.mailboxes.insert(mailbox, octets);
    }

    /// What a mailbox may hold; `None`: as much as there is room for.
    pub fn of(&self, mailbox: &MailboxName) -> Option<u64> {
        // most hosts bound nobody, or everybody alike
        let own = if self.mailboxes.is_empty() { None } else { self.mailboxes.get(mailbox) };
        let own = own.or_else(|| if self.domains.is_empty() { None } else { self.domains.get(&mailbox.domain) });
        Some(*own.unwrap_or(&self.everyone)).filter(|octets| *octets > 0)
    }
}
