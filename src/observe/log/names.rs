//! A log without names.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use crate::observe::journal::Keys;

/// Fields that hold what the administrator has written: addresses to listen on, files, names of our own.
const OWN: &[&str] = &[
    "address",
    "configuration",
    "directory",
    "domains",
    "fallback",
    "hostname",
    "keys",
    "maildirs",
    "metrics",
    "path",
    "policy",
    "reference",
    "rule",
    "sha256",
    "variable",
    "zone",
];

/// Whether names are hidden, and under which keys.
#[derive(Default)]
pub struct Names {
    keys: OnceLock<Arc<Keys>>,
}

impl Names {
    /// Hides names from now on. The first keys stay.
    pub fn hide(&self, keys: Arc<Keys>) {
        let _ = self.keys.set(keys);
    }

    /// A field's value as it may be logged. A message is a constant text of ours, or tells what is wrong with a file of the administrator.
    pub fn hidden<'v>(&self, field: &str, value: &'v str) -> Cow<'v, str> {
        let Some(keys) = self.keys.get().filter(|_| !OWN.contains(&field)) else { return Cow::Borrowed(value) };
        if !value.contains(['@', '.', ':']) {
            return Cow::Borrowed(value);
        }
        Cow::Owned(keys.today().scrubbed(value, IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}
