//! A DNS zone as plain data, from the root down, with the faults it shall show.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{MX, NS, PTR, SOA, TXT};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};

/// Octets of one character-string of a TXT record (RFC 1035 §3.3).
const STRING_OCTETS: usize = 255;
/// CNAMEs that are followed within one answer.
const CHAIN: usize = 16;

/// What goes wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// Silence: the client runs into its timeout.
    NoAnswer,
    /// The right answer, late.
    Delay(Duration),
    /// An empty answer with TC over UDP, the right one over TCP.
    Truncated,
}

/// All that the server knows: records, and faults, by name.
#[derive(Debug, Clone)]
pub struct Zone {
    nodes: BTreeMap<LowerName, Node>,
    /// Names that exist, with all names above them (RFC 4592 §2.2.2: empty non-terminals exist).
    existing: BTreeSet<LowerName>,
    faulty_labels: Vec<(Vec<u8>, Fault)>,
    /// What it says of every name, if anything goes wrong with all of them.
    fault: Option<Fault>,
    authentic: Vec<LowerName>,
    ttl: u32,
}

#[derive(Debug, Clone, Default)]
struct Node {
    data: Vec<RData>,
    faults: Vec<(RecordType, Fault)>,
    fault_otherwise: Option<Fault>,
}

/// What a look-up comes to.
pub(super) struct Found {
    pub code: ResponseCode,
    pub answers: Vec<Record>,
    pub soa: Vec<Record>,
    pub fault: Option<Fault>,
    pub delay: Option<Duration>,
}

impl Found {
    /// An answer without records.
    pub fn refusal(code: ResponseCode) -> Found {
        Found { code, answers: Vec::new(), soa: Vec::new(), fault: None, delay: None }
    }
}

/// A name as the server counts it: lower case, no trailing dot.
pub(super) fn name_text(name: &LowerName) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}

/// The name that these dots and labels are; labels may hold any octet. `None` for what can't be a name.
fn name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Some(Name::root());
    }
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

impl Default for Zone {
    fn default() -> Self {
        Zone::new()
    }
}

impl Zone {
    /// An empty tree: every name is NXDOMAIN, the root is NODATA.
    pub fn new() -> Zone {
        let existing = BTreeSet::from([LowerName::new(&Name::root())]);
        Zone {
            nodes: BTreeMap::new(),
            existing,
            faulty_labels: Vec::new(),
            fault: None,
            authentic: Vec::new(),
            ttl: 300,
        }
    }

    /// The TTL of all records and of negative answers, in seconds (300 without it).
    pub fn ttl(mut self, seconds: u32) -> Zone {
        self.ttl = seconds;
        self
    }

    /// An IPv4 address.
    pub fn a(self, name: &str, ip: impl Into<Ipv4Addr>) -> Zone {
        self.add(name, RData::A(ip.into().into()))
    }

    /// An IPv6 address.
    pub fn aaaa(self, name: &str, ip: impl Into<Ipv6Addr>) -> Zone {
        self.add(name, RData::AAAA(ip.into().into()))
    }

    /// An address of either family.
    pub fn address(self, name: &str, ip: IpAddr) -> Zone {
        match ip {
            IpAddr::V4(ip) => self.a(name, ip),
            IpAddr::V6(ip) => self.aaaa(name, ip),
        }
    }

    /// A mail exchanger; `.` for the null MX (RFC 7505).
    pub fn mx(self, owner: &str, preference: u16, exchanger: &str) -> Zone {
        match name(exchanger) {
            Some(exchanger) => self.add(owner, RData::MX(MX::new(preference, exchanger))),
            None => self,
        }
    }

    /// A TXT record of this text, cut into character-strings of 255 octets.
    pub fn txt(self, name: &str, text: &str) -> Zone {
        self.txt_strings(name, text.as_bytes().chunks(STRING_OCTETS))
    }

    /// A TXT record of these character-strings, at most 255 octets each; of an empty one where there is none, because a
    /// record without any (RFC 1035 §3.3.14 wants one) makes the whole answer unreadable.
    pub fn txt_strings<S: AsRef<[u8]>>(self, name: &str, strings: impl IntoIterator<Item = S>) -> Zone {
        let strings: Vec<S> = strings.into_iter().collect();
        let strings: Vec<&[u8]> = strings.iter().map(AsRef::as_ref).collect();
        let data = if strings.is_empty() { TXT::from_bytes(vec![b""]) } else { TXT::from_bytes(strings) };
        self.add(name, RData::TXT(data))
    }

    /// The reverse name of an address.
    pub fn ptr(self, ip: impl Into<IpAddr>, target: &str) -> Zone {
        let owner = Name::from(ip.into());
        match name(target) {
            Some(target) => self.add_at(owner, RData::PTR(PTR(target))),
            None => self,
        }
    }

    /// A PTR record at a name that is given as it is, such as `4.3.2.1.in-addr.arpa`.
    pub fn ptr_at(self, owner: &str, target: &str) -> Zone {
        match name(target) {
            Some(target) => self.add(owner, RData::PTR(PTR(target))),
            None => self,
        }
    }

    /// An alias.
    pub fn cname(self, owner: &str, target: &str) -> Zone {
        use hickory_server::proto::rr::rdata::CNAME;
        match name(target) {
            Some(target) => self.add(owner, RData::CNAME(CNAME(target))),
            None => self,
        }
    }

    /// A name server.
    pub fn ns(self, owner: &str, target: &str) -> Zone {
        match name(target) {
            Some(target) => self.add(owner, RData::NS(NS(target))),
            None => self,
        }
    }

    /// The start of a zone.
    pub fn soa(self, owner: &str, primary: &str) -> Zone {
        match name(primary) {
            Some(primary) => self.add(owner, RData::SOA(SOA::new(primary, Name::root(), 1, 300, 300, 300, 300))),
            None => self,
        }
    }

    /// A name that exists and has no records.
    pub fn present(mut self, owner: &str) -> Zone {
        if let Some(owner) = name(owner) {
            self.node(owner);
        }
        self
    }

    /// This name fails for this type, whatever records it has.
    pub fn failing(mut self, owner: &str, record_type: RecordType, fault: Fault) -> Zone {
        if let Some(owner) = name(owner) {
            self.node(owner).faults.push((record_type, fault));
        }
        self
    }

    /// This name fails for every type of which it has no record (a delay: for all).
    pub fn failing_otherwise(mut self, owner: &str, fault: Fault) -> Zone {
        if let Some(owner) = name(owner) {
            self.node(owner).fault_otherwise = Some(fault);
        }
        self
    }

    /// Every absent name that begins with this label fails.
    pub fn failing_label(mut self, label: &str, fault: Fault) -> Zone {
        self.faulty_labels.push((label.to_ascii_lowercase().into_bytes(), fault));
        self
    }

    /// Every name fails, whatever records it has.
    pub fn failing_all(mut self, fault: Fault) -> Zone {
        self.fault = Some(fault);
        self
    }

    /// DNSSEC vouches for this name and all below it: answers about them carry AD (RFC 4035 §3.2.3) where that is asked for.
    pub fn authentic(mut self, owner: &str) -> Zone {
        self.authentic.extend(name(owner).map(|owner| LowerName::new(&owner)));
        self
    }

    /// Whether DNSSEC vouches for the name that was asked and all names of the answer.
    pub(super) fn vouches_for(&self, asked: &LowerName, answers: &[Record]) -> bool {
        let vouched = |name: &LowerName| self.authentic.iter().any(|top| top.zone_of(name));
        vouched(asked) && answers.iter().all(|record| vouched(&LowerName::new(&record.name)))
    }

    /// The reverse name of an address fails.
    pub fn ptr_failing(mut self, ip: impl Into<IpAddr>, fault: Fault) -> Zone {
        self.node(Name::from(ip.into())).faults.push((RecordType::PTR, fault));
        self
    }

    fn add(self, owner: &str, data: RData) -> Zone {
        match name(owner) {
            Some(owner) => self.add_at(owner, data),
            None => self,
        }
    }

    fn add_at(mut self, owner: Name, data: RData) -> Zone {
        self.node(owner).data.push(data);
        self
    }

    fn node(&mut self, owner: Name) -> &mut Node {
        let mut above = owner.clone();
        while !above.is_root() && self.existing.insert(LowerName::new(&above)) {
            above = above.base_name();
        }
        self.nodes.entry(LowerName::new(&owner)).or_default()
    }

    /// The answer to a query, CNAMEs followed. A loop of CNAMEs ends where it closes, as name servers answer it.
    pub(super) fn look_up(&self, asked: &LowerName, record_type: RecordType) -> Found {
        let mut found = Found::refusal(ResponseCode::NoError);
        if self.fault.is_some() {
            found.fault = self.fault;
            return found;
        }
        let mut current = asked.clone();
        for _ in 0..CHAIN {
            let Some(node) = self.find(&current) else {
                found.fault = self.label_fault(&current);
                found.code = ResponseCode::NXDomain;
                found.soa.push(self.negative_soa());
                return found;
            };
            let of_type = |data: &&RData| record_type == RecordType::ANY || data.record_type() == record_type;
            let records: Vec<&RData> = node.iter().flat_map(|node| &node.data).filter(of_type).collect();
            match node.and_then(|node| node.fault(record_type, !records.is_empty())) {
                Some(Fault::Delay(delay)) => found.delay = Some(found.delay.unwrap_or_default() + delay),
                Some(fault) => {
                    found.fault = Some(fault);
                    if fault != Fault::Truncated {
                        return found;
                    }
                }
                None => {}
            }
            let record = |data: &RData| Record::from_rdata(Name::from(&current), self.ttl, data.clone());
            if !records.is_empty() {
                found.answers.extend(records.into_iter().map(record));
                return found;
            }
            let alias = node.iter().flat_map(|node| &node.data).find_map(|data| match data {
                RData::CNAME(target) => Some((data, LowerName::new(&target.0))),
                _ => None,
            });
            let Some((data, target)) = alias else {
                found.soa.push(self.negative_soa());
                return found;
            };
            let closes = found.answers.iter().any(|earlier| LowerName::new(&earlier.name) == target);
            found.answers.push(record(data));
            if closes || target == current {
                return found;
            }
            current = target;
        }
        found
    }

    /// The node of a name: `None` where it does not exist, `Some(None)` where it exists without records. An absent name has
    /// the node of the wildcard at its closest encloser (RFC 4592 §3.3.1).
    fn find(&self, name: &LowerName) -> Option<Option<&Node>> {
        if self.existing.contains(name) {
            return Some(self.nodes.get(name));
        }
        let mut encloser = name.base_name();
        while !encloser.is_root() && !self.existing.contains(&encloser) {
            encloser = encloser.base_name();
        }
        let wildcard = Name::from(encloser).prepend_label("*").ok()?;
        self.nodes.get(&LowerName::new(&wildcard)).map(Some)
    }

    fn label_fault(&self, name: &LowerName) -> Option<Fault> {
        let name = Name::from(name);
        let first = name.iter().next()?;
        self.faulty_labels.iter().find(|(label, _)| label == first).map(|(_, fault)| *fault)
    }

    fn negative_soa(&self) -> Record {
        let ttl = self.ttl.try_into().unwrap_or(i32::MAX);
        Record::from_rdata(
            Name::root(),
            self.ttl,
            RData::SOA(SOA::new(Name::root(), Name::root(), 1, ttl, ttl, ttl, self.ttl)),
        )
    }
}

impl Node {
    fn fault(&self, record_type: RecordType, has_records: bool) -> Option<Fault> {
        if let Some((_, fault)) = self.faults.iter().find(|(of, _)| *of == record_type) {
            return Some(*fault);
        }
        self.fault_otherwise.filter(|fault| matches!(fault, Fault::Delay(_)) || !has_records)
    }
}
