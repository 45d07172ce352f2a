//! What the DNS says, as the checks want it: records, their absence, or trouble; never an error.

use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsResponse, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// What the DNS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// At least one record.
    Found(Vec<T>),
    /// The name exists and has no such record.
    NoData,
    /// There is no such name.
    NxDomain,
    /// It can't be told now.
    Trouble(Trouble),
}

/// Why it can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answered in time.
    Timeout,
    /// The server said SERVFAIL, REFUSED or the like, or DNSSEC says that the answer is forged.
    Refusal,
    /// The network, or an answer that can't be read.
    Network,
    /// Our own servers are known to be out of order: nobody was asked.
    Outage,
    /// The message has had all the look-ups that it gets: nobody was asked.
    Budget,
}

impl<T> Answer<T> {
    /// Whether this is an answer without records (RFC 7208 §4.6.4 calls the look-up void).
    pub fn is_void(&self) -> bool {
        matches!(self, Answer::NoData | Answer::NxDomain)
    }

    /// The records; none where there are none, `Err` for trouble.
    ///
    /// # Errors
    /// The trouble.
    pub fn records(self) -> Result<Vec<T>, Trouble> {
        match self {
            Answer::Found(records) => Ok(records),
            Answer::NoData | Answer::NxDomain => Ok(Vec::new()),
            Answer::Trouble(trouble) => Err(trouble),
        }
    }

    pub(super) fn map<U>(self, convert: impl Fn(T) -> U) -> Answer<U> {
        match self {
            Answer::Found(records) => Answer::Found(records.into_iter().map(convert).collect()),
            Answer::NoData => Answer::NoData,
            Answer::NxDomain => Answer::NxDomain,
            Answer::Trouble(trouble) => Answer::Trouble(trouble),
        }
    }
}

/// An answer, and whether DNSSEC vouches for it.
pub(super) struct Read<T> {
    pub answer: Answer<T>,
    pub is_secure: bool,
}

impl<T> Read<T> {
    fn insecure(answer: Answer<T>) -> Self {
        Read { answer, is_secure: false }
    }

    /// A look-up through the cache.
    pub fn looked_up(result: Result<Lookup, NetError>, read: impl Fn(&RData) -> Option<T>) -> Self {
        match result {
            Ok(found) => Self::of_records(found.answers(), read),
            Err(error) => Self::of_error(&error),
        }
    }

    /// A server's own response; `None` where none came.
    pub fn responded(result: Option<Result<DnsResponse, NetError>>, read: impl Fn(&RData) -> Option<T>) -> Self {
        match result {
            Some(Ok(response)) => match DnsError::from_response(response) {
                Ok(response) => Self::of_records(&response.answers, read),
                Err(error) => Self::of_error(&NetError::Dns(error)),
            },
            Some(Err(error)) => Self::of_error(&error),
            None => Self::insecure(Answer::Trouble(Trouble::Network)),
        }
    }

    /// Nobody answered in time.
    pub fn timed_out() -> Self {
        Self::refused(Trouble::Timeout)
    }

    /// Trouble.
    pub fn refused(trouble: Trouble) -> Self {
        Self::insecure(Answer::Trouble(trouble))
    }

    /// What is asked for among the records; an answer holds the CNAMEs that led there, too, which must be as secure.
    pub fn of_records(records: &[Record], read: impl Fn(&RData) -> Option<T>) -> Self {
        let taken: Vec<T> = records.iter().filter_map(|record| read(&record.data)).collect();
        let mut proven = records.iter().filter(|record| record.record_type() != RecordType::RRSIG).peekable();
        let is_secure = proven.peek().is_some() && proven.all(|record| record.proof.is_secure());
        Read { answer: if taken.is_empty() { Answer::NoData } else { Answer::Found(taken) }, is_secure }
    }

    fn of_error(error: &NetError) -> Self {
        let absent = |code| match code {
            ResponseCode::NXDomain => Answer::NxDomain,
            ResponseCode::NoError => Answer::NoData,
            _ => Answer::Trouble(Trouble::Refusal),
        };
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => Read {
                answer: absent(none.response_code),
                is_secure: none.soa.as_ref().is_some_and(|soa| soa.proof.is_secure()),
            },
            NetError::Dns(DnsError::Nsec { response, proof, .. }) if !proof.is_bogus() => {
                Read { answer: absent(response.response_code), is_secure: proof.is_secure() }
            }
            NetError::Dns(_) => Self::insecure(Answer::Trouble(Trouble::Refusal)),
            NetError::Timeout => Self::timed_out(),
            _ => Self::insecure(Answer::Trouble(Trouble::Network)),
        }
    }
}
