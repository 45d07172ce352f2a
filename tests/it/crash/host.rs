//! The server that is to crash: it takes all mail, for many mailboxes, with as little room as there is.

use std::path::Path;
use std::sync::OnceLock;

use crate::support::server::{More, Server, Setup};

/// Mailboxes that get most of the mail: so many that writers help each other with a message to all of them.
pub const MAILBOXES: &[&str] = &["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
/// Mailboxes for those who want some that were never written to.
const FRESH: usize = 1_000;

/// Takes all mail, and remembers a stranger.
const POLICY: &str = r#"
description = "takes all mail"

[[rule]]
name   = "stranger"
at     = "rcpt"
when   = "mail_from.domain == 'stranger.example'"
action = "greylist"
"#;

/// The loop image of a power cut is smaller than the floor of the default.
const LIMITS: &str = "[limits]\nfree_disk = 0\nfree_inodes = 0\n";

/// `fresh000` and on.
pub fn fresh() -> impl Iterator<Item = &'static str> {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| (0..FRESH).map(|number| format!("fresh{number}")).collect()).iter().map(String::as_str)
}

/// Starts it, with these variables in its environment.
pub fn host(environment: &[(&'static str, String)]) -> Server {
    host_with(More { environment, ..More::default() })
}

/// Starts it within a mount namespace, with its Maildirs there.
pub fn host_within(process: u32, maildir: &Path, environment: &[(&'static str, String)]) -> Server {
    host_with(More { environment, maildir: Some(maildir), mounts_of: Some(process), ..More::default() })
}

fn host_with(more: More<'_>) -> Server {
    static DOMAIN: OnceLock<String> = OnceLock::new();
    let domain = DOMAIN.get_or_init(|| {
        let names: Vec<&str> = MAILBOXES.iter().copied().chain(fresh()).collect();
        format!("mailboxes = {names:?}\n")
    });
    Server::start_with(Setup { policy: Some(POLICY), ..Setup::default() }, &More { domain, security: LIMITS, ..more })
}
