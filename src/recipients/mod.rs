//! Whom we accept mail for: local domains, their mailboxes, aliases and catch-alls. Never a relay.
//!
//! A [`Directory`] is built whole from the configuration by a [`DirectoryBuilder`] and never changes; a reload builds another.
//! Everything that can be followed (aliases, postmasters) is followed when it is built, so that [`Directory::resolve`] is at most
//! five look-ups by hash, however many mailboxes there are.

mod build;
mod directory;
mod follow;
mod name;
mod problem;
mod quotas;

pub use build::DirectoryBuilder;
pub use directory::{Directory, Local, Loss, Resolution, Role};
pub use name::{MAILBOX_NAME_OCTETS, MailboxName, NameError, fold, is_safe_component};
pub use problem::{DirectoryProblem, Place};
pub use quotas::Quotas;
