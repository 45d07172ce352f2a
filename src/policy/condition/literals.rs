//! What conditions write out for their functions, made ready when the policy is loaded: patterns, networks, domains.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::super::lists::fold_domain;

/// The most memory of one compiled pattern, in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// The most patterns of one policy.
const MAX_PATTERNS: usize = 200;

/// Each by the text that stands in the condition.
#[derive(Debug, Default)]
pub(in super::super) struct Literals {
    patterns: HashMap<String, Arc<Regex>>,
    networks: HashMap<String, IpNet>,
    domains: HashMap<String, String>,
}

impl Literals {
    /// Compiles a pattern of `matches`.
    ///
    /// # Errors
    /// The cause and the mend.
    pub fn add_pattern(&mut self, pattern: &str) -> Result<(), (String, &'static str)> {
        if self.patterns.contains_key(pattern) {
            return Ok(());
        }
        if self.patterns.len() >= MAX_PATTERNS {
            return Err((format!("a policy has at most {MAX_PATTERNS} patterns"), "put names into lists"));
        }
        let regex = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build().map_err(|error| {
            let said = error.to_string();
            let last = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            (format!("this is not a pattern: {last}"), "see https://docs.rs/regex/#syntax")
        })?;
        self.patterns.insert(pattern.to_owned(), Arc::new(regex));
        Ok(())
    }

    /// Reads a network, or a single address, of `ip_in`.
    ///
    /// # Errors
    /// The cause and the mend.
    pub fn add_network(&mut self, text: &str) -> Result<(), (String, String)> {
        let address = || text.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical()));
        let Some(network) = text.parse::<IpNet>().ok().or_else(address) else {
            return Err(("this is not a network".to_owned(), "write one such as '192.0.2.0/24'".to_owned()));
        };
        if network != network.trunc() {
            let cause = format!("{text} is an address within a network, not a network");
            return Err((cause, format!("write '{}'", network.trunc())));
        }
        self.networks.insert(text.to_owned(), network);
        Ok(())
    }

    /// Folds a domain of `domain_under`.
    ///
    /// # Errors
    /// The cause and the mend.
    pub fn add_domain(&mut self, text: &str) -> Result<(), (String, String)> {
        if let Some(rest) = text.strip_prefix('.') {
            return Err(("a domain does not begin with a dot".to_owned(), format!("write '{rest}'")));
        }
        let Some(domain) = fold_domain(text) else {
            return Err(("this is not a domain".to_owned(), "write one such as 'example.net'".to_owned()));
        };
        self.domains.insert(text.to_owned(), domain);
        Ok(())
    }

    /// Whether a text has a match of a pattern; `None` where the pattern was not compiled.
    pub fn matches(&self, text: &str, pattern: &str) -> Option<bool> {
        self.patterns.get(pattern).map(|regex| regex.is_match(text))
    }

    /// Whether an address is in a network; `None` where the network was not read. Text that is no address is in none.
    pub fn ip_in(&self, address: &str, network: &str) -> Option<bool> {
        let network = self.networks.get(network)?;
        Some(address.parse::<IpAddr>().is_ok_and(|ip| network.contains(&ip.to_canonical())))
    }

    /// A compiled pattern.
    pub fn pattern(&self, text: &str) -> Option<Arc<Regex>> {
        self.patterns.get(text).cloned()
    }

    /// A network.
    pub fn network(&self, text: &str) -> Option<IpNet> {
        self.networks.get(text).copied()
    }

    /// A folded domain.
    pub fn domain(&self, text: &str) -> Option<&str> {
        self.domains.get(text).map(String::as_str)
    }

    /// [`is_under`], for what is written out for a parent as it was folded; a parent that is a fact is taken as it is.
    pub fn domain_under(&self, name: &str, parent: &str) -> bool {
        is_under(name, self.domains.get(parent).map_or(parent, String::as_str))
    }
}

/// Whether a name is `parent` or below it, a trailing dot and case aside. Nothing is under an empty parent, and an empty name is under
/// none.
pub(super) fn is_under(name: &str, parent: &str) -> bool {
    let (name, parent) = (name.strip_suffix('.').unwrap_or(name), parent.strip_suffix('.').unwrap_or(parent));
    if parent.is_empty() {
        return false;
    }
    let Some(above) = name.len().checked_sub(parent.len()) else { return false };
    let (Some(below), Some(end)) = (name.as_bytes().get(..above), name.as_bytes().get(above..)) else {
        return false;
    };
    end.eq_ignore_ascii_case(parent.as_bytes()) && (below.is_empty() || (below.len() > 1 && below.ends_with(b".")))
}
