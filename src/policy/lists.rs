//! Named lists of a policy: addresses, domains and networks, each looked up in constant time however long the list is.

mod names;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use names::Names;

/// The most entries of one list.
pub const MAX_ENTRIES: usize = 1_000_000;

/// One list. An entry is
/// - an address, `alice@example.net`, which matches itself;
/// - a domain, `example.net`, which matches itself and the addresses in it;
/// - a domain with a dot in front, `.example.net`, which matches the domain, its subdomains and the addresses in them;
/// - an IP address or a network, `192.0.2.1` or `2001:db8::/32`, which matches the addresses in it.
///
/// Upper and lower case are the same.
#[derive(Debug, Clone, Default)]
pub struct List {
    names: Names,
    with_subdomains: Names,
    networks: HashSet<IpNet>,
    /// The prefix lengths that occur: no other network can hold an address.
    lengths_v4: BTreeSet<u8>,
    lengths_v6: BTreeSet<u8>,
    /// It stands in a file: what it holds can change by itself, and says nothing about the rules that look into it.
    pub(super) is_from_file: bool,
}

impl List {
    /// An empty one, whose entries come from a file.
    pub fn of_a_file() -> List {
        List { is_from_file: true, ..List::default() }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// What is wrong with the entry, in words.
    pub fn add(&mut self, entry: &str) -> Result<(), &'static str> {
        let entry = entry.trim();
        if entry.is_empty() {
            return Err("the entry is empty");
        }
        if let Ok(ip) = entry.parse::<IpAddr>() {
            self.add_network(IpNet::from(ip.to_canonical()));
            return Ok(());
        }
        if entry.contains('/') {
            let net = entry.parse::<IpNet>().map_err(|_| "this is not a network such as 192.0.2.0/24")?;
            self.add_network(net.trunc());
            return Ok(());
        }
        if let Some((local, domain)) = entry.rsplit_once('@') {
            if local.is_empty() || local.chars().any(char::is_control) {
                return Err("this is not an address such as alice@example.net");
            }
            let domain = fold_domain(domain).ok_or("what stands behind the @ is not a domain")?;
            return self.names.insert(&format!("{}@{domain}", local.to_lowercase()));
        }
        let (name, set) = match entry.strip_prefix('.') {
            Some(name) => (name, &mut self.with_subdomains),
            None => (entry, &mut self.names),
        };
        let name = fold_domain(name).ok_or("this is neither a domain, nor an address, nor a network")?;
        set.insert(&name)
    }

    /// Gives back the memory that isn't needed once all entries were added.
    pub fn shrink(&mut self) {
        self.names.shrink();
        self.with_subdomains.shrink();
        self.networks.shrink_to_fit();
    }

    fn add_network(&mut self, net: IpNet) {
        match net {
            IpNet::V4(_) => self.lengths_v4.insert(net.prefix_len()),
            IpNet::V6(_) => self.lengths_v6.insert(net.prefix_len()),
        };
        self.networks.insert(net);
    }

    /// Whether an entry matches this address, domain or IP address.
    pub fn contains(&self, value: &str) -> bool {
        if value.is_empty() {
            return false;
        }
        if let Ok(ip) = value.parse::<IpAddr>() {
            return self.contains_ip(ip.to_canonical());
        }
        let value = value.to_lowercase();
        if self.names.contains(&value) {
            return true;
        }
        let domain = value.rsplit_once('@').map_or(value.as_str(), |(_, domain)| domain);
        if domain.len() != value.len() && self.names.contains(domain) {
            return true;
        }
        !self.with_subdomains.is_empty() && parents(domain).any(|name| self.with_subdomains.contains(name))
    }

    fn contains_ip(&self, ip: IpAddr) -> bool {
        let lengths = if ip.is_ipv4() { &self.lengths_v4 } else { &self.lengths_v6 };
        lengths.iter().any(|len| IpNet::new(ip, *len).is_ok_and(|net| self.networks.contains(&net.trunc())))
    }

    /// Whether it has neither names nor networks.
    pub fn is_empty(&self) -> bool {
        !self.has_names() && !self.has_networks()
    }

    /// Whether any of its entries is a domain or an address.
    pub fn has_names(&self) -> bool {
        !self.names.is_empty() || !self.with_subdomains.is_empty()
    }

    /// Whether any of its entries is a network or an IP address.
    pub fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }
}

/// The domain and those above it; bounded by the number of labels a name can have.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, parent)| parent)).take(128)
}

/// A domain as A-labels in lower case; `None` if it is none. Underscores are let through: hosts do have them in their names.
pub(super) fn fold_domain(text: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(text.trim_end_matches('.')).ok()?;
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (ascii.len() <= 253 && ascii.split('.').all(label)).then_some(ascii)
}
