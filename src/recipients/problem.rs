//! What can be wrong with the domains of a configuration.

use std::fmt;

use crate::smtp::address::Domain;

/// Which entry of the configuration a problem is about, with names as the administrator wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `[domains."..."]` itself.
    Domain,
    /// An entry of its `mailboxes`.
    Mailbox(String),
    /// The name of an alias.
    Alias(String),
    /// One target of an alias.
    Target {
        /// The alias.
        alias: String,
        /// The target.
        target: String,
    },
    /// Its `catch_all`.
    CatchAll,
    /// `smtp.postmaster`.
    Postmaster,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryProblem {
    /// The domain it stands in; `None` for `smtp.postmaster`.
    pub domain: Option<Domain>,
    /// The entry.
    pub place: Place,
    /// What is wrong, in a sentence without a full stop.
    pub cause: String,
    /// How to mend it; may be empty.
    pub mend: String,
}

impl fmt::Display for DirectoryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.domain.as_ref().map_or("", Domain::as_str);
        match &self.place {
            Place::Domain => write!(f, "domains.\"{domain}\"")?,
            Place::Mailbox(name) => write!(f, "domains.\"{domain}\".mailboxes: {name:?}")?,
            Place::Alias(name) => write!(f, "domains.\"{domain}\".aliases.{name:?}")?,
            Place::Target { alias, target } => write!(f, "domains.\"{domain}\".aliases.{alias:?}: {target:?}")?,
            Place::CatchAll => write!(f, "domains.\"{domain}\".catch_all")?,
            Place::Postmaster => write!(f, "smtp.postmaster")?,
        }
        write!(f, ": {}", self.cause)?;
        if self.mend.is_empty() { Ok(()) } else { write!(f, " ({})", self.mend) }
    }
}

impl std::error::Error for DirectoryProblem {}
