//! `[security]`: whom the server becomes. Judged when it starts and not when the file is checked, which may be done elsewhere.

use nix::unistd::{Gid, Group, Uid, User};

use super::Config;
use super::reader::find_span;
use crate::problem::{Problem, Problems};

/// A user and a group of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub uid: Uid,
    /// The group's number.
    pub gid: Gid,
}

impl Config {
    /// The account of `security.user` and `security.group` on this machine; `None` where no user is named.
    ///
    /// # Errors
    /// Names that this machine does not know.
    pub fn account(&self) -> Result<Option<Account>, Problems> {
        let Some(name) = &self.security.user else { return Ok(None) };
        let mut problems = Problems::new();
        let unknown = "is not known to this machine";
        let user = User::from_name(name).unwrap_or_else(|error| {
            problems.push(self.problem("security.user", format!("{name:?} cannot be looked up: {error}"), ""));
            None
        });
        if user.is_none() && problems.is_empty() {
            problems.push(self.problem(
                "security.user",
                format!("the user {name:?} {unknown}"),
                "create it, or name another",
            ));
        }
        let gid = match &self.security.group {
            None => user.as_ref().map(|user| user.gid),
            Some(name) => {
                let group = Group::from_name(name).ok().flatten();
                if group.is_none() {
                    let cause = format!("the group {name:?} {unknown}");
                    problems.push(self.problem("security.group", cause, "create it, or name another"));
                }
                group.map(|group| group.gid)
            }
        };
        problems.into_result()?;
        Ok(user.zip(gid).map(|(user, gid)| Account { uid: user.uid, gid }))
    }

    /// Why the server must not start: as root it would stay root while it reads from the network. A trial on loopback may.
    pub fn privilege_problem(&self, is_root: bool) -> Option<Problem> {
        let local = self.smtp.listen.iter().all(|address| address.ip().to_canonical().is_loopback());
        if !is_root || local {
            return None;
        }
        let mend = "name the user who owns the Maildirs: [security] user = \"vmail\"";
        match self.security.user.as_deref() {
            None => {
                Some(self.problem("security.user", "root must not serve the network, and no other user is named", mend))
            }
            Some("root" | "0") => Some(self.problem("security.user", "root must not serve the network", mend)),
            Some(_) => None,
        }
    }

    /// Whether the file itself gives this key.
    pub fn says(&self, key: &str) -> bool {
        find_span(&self.source.text, key).is_some()
    }

    /// A problem with a key of the file that was found after it was read.
    pub fn problem(&self, key: &str, cause: impl Into<String>, mend: impl Into<String>) -> Problem {
        match find_span(&self.source.text, key) {
            Some(span) => Problem::at(&self.source, span, key, cause, mend),
            None => Problem::with_file(&self.source.name, key, cause, mend),
        }
    }
}
