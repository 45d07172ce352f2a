//! Whom a forward-path asks for: somebody here, or nobody.

use crate::recipients::{Directory, Local, MailboxName, Resolution, Role, fold};
use crate::smtp::address::ForwardPath;
use crate::smtp::reply::{self, Reply};

/// A recipient of one of our domains. Who is nobody is looked at like everyone else: neither the answer of a client that rules refuse, nor
/// the time that it takes, tells which names there are.
pub(super) struct Asked {
    pub local: Local,
    /// Whether there is such a mailbox; else `local` is what it would be.
    pub exists: bool,
}

/// Why there is nothing to look at.
pub(super) struct Refused {
    pub reply: Reply,
    /// Whether it is for good: such a recipient is nobody here.
    pub for_good: bool,
}

impl Asked {
    /// Whom the path asks for.
    ///
    /// # Errors
    /// It is of no domain of ours, or that can't be said now.
    pub fn of(path: &ForwardPath, directory: &Directory) -> Result<Asked, Refused> {
        match directory.resolve(path) {
            Resolution::Local(local) => Ok(Asked { local, exists: true }),
            Resolution::Unknown => {
                let local = would_be(path).ok_or(Refused { reply: reply::no_such_mailbox(), for_good: true })?;
                Ok(Asked { local, exists: false })
            }
            Resolution::Relay => Err(Refused { reply: reply::relaying(), for_good: true }),
            Resolution::Trouble => Err(Refused { reply: reply::lookup_trouble(), for_good: false }),
        }
    }
}

/// Who it would be if there were such a mailbox; `None` for `<postmaster>`, which has no domain.
fn would_be(path: &ForwardPath) -> Option<Local> {
    let mailbox = path.mailbox()?;
    let domain = mailbox.host.domain()?.clone();
    let name = MailboxName { domain: domain.clone(), name: fold(&mailbox.local) };
    Some(Local { mailboxes: vec![name], domain, role: Role::Ordinary })
}
