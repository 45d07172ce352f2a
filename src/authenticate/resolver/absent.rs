//! What is known to be absent, where DNSSEC is validated here: hickory's cache keeps no such answers then, and nearly every message
//! asks for some (the `_dmarc` of its subdomains, MX of hosts, reverse names).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::answer::{Answer, Read};
use super::options::MAX_NEGATIVE_TTL;

/// Proven absences. Bounded: the younger half of what it holds replaces the older when it is full.
#[derive(Debug)]
pub(super) struct Absences {
    /// Entries of each half.
    most: usize,
    kept: Mutex<Halves>,
}

type Half = HashMap<(Name, RecordType), Absence>;

#[derive(Debug, Default)]
struct Halves {
    young: Half,
    old: Half,
}

#[derive(Debug, Clone, Copy)]
struct Absence {
    /// The name itself is absent, not only the type.
    is_of_name: bool,
    is_secure: bool,
    until: Instant,
}

impl Absences {
    /// Holds at most so many.
    pub fn new(most: u64) -> Absences {
        Absences { most: usize::try_from(most / 2).unwrap_or(usize::MAX).max(1), kept: Mutex::default() }
    }

    /// That this is absent, if it is known.
    pub fn find<T>(&self, name: &Name, record_type: RecordType) -> Option<Read<T>> {
        let key = (name.clone(), record_type);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let absence = kept.young.get(&key).or_else(|| kept.old.get(&key)).copied()?;
        let answer = if absence.is_of_name { Answer::NxDomain } else { Answer::NoData };
        (Instant::now() < absence.until).then_some(Read { answer, is_secure: absence.is_secure })
    }

    /// Keeps a proven absence for as long as its SOA record has it (RFC 2308 §5).
    pub fn note(&self, name: &Name, record_type: RecordType, error: &NetError) {
        let Some(absence) = proven(error) else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.young.len() >= self.most {
            kept.old = std::mem::take(&mut kept.young);
        }
        kept.young.insert((name.clone(), record_type), absence);
    }
}

/// An absence that validation found to be secure, or that of an unsigned zone whose parent proves that it is unsigned. What is neither
/// (bogus, or not to be told) is never kept.
fn proven(error: &NetError) -> Option<Absence> {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return None };
    let soa = none.soa.as_ref().filter(|soa| soa.proof.is_secure() || soa.proof.is_insecure())?;
    let is_of_name = match none.response_code {
        ResponseCode::NXDomain => true,
        ResponseCode::NoError => false,
        _ => return None,
    };
    let ttl = Duration::from_secs(u64::from(soa.ttl.min(soa.data.minimum))).min(MAX_NEGATIVE_TTL);
    Some(Absence { is_of_name, is_secure: soa.proof.is_secure(), until: Instant::now().checked_add(ttl)? })
}
