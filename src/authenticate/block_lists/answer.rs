//! What an answer of a list means.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Code;
use crate::authenticate::resolver::Answer;

/// An answer, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Listed, under these names.
    Listed(BTreeSet<String>),
    /// Not listed.
    Unlisted,
    /// Listed only for reasons that the configuration has no name for, which does not count.
    Unmapped,
    /// An address that can be no listing.
    Refused,
    /// DNS trouble.
    Trouble,
}

/// Understands an answer. One address that can be no listing spoils what stands beside it.
pub(super) fn hear(answer: Answer<Ipv4Addr>, codes: Option<&[Code]>) -> Heard {
    let answers = match answer {
        Answer::Trouble(_) => return Heard::Trouble,
        Answer::NoData | Answer::NxDomain => return Heard::Unlisted,
        Answer::Found(answers) => answers,
    };
    if !answers.iter().all(|answer| can_list(*answer)) {
        return Heard::Refused;
    }
    let names: BTreeSet<String> = answers.iter().flat_map(|answer| names(*answer, codes)).collect();
    if names.is_empty() { Heard::Unmapped } else { Heard::Listed(names) }
}

/// Whether an answer can be a listing: RFC 5782 §2.1 has them all in 127.0.0.0/8, of which operators use 127.255.255.0/24 to refuse
/// those who ask.
pub(super) fn can_list(answer: Ipv4Addr) -> bool {
    answer.is_loopback() && !answer.octets().starts_with(&[127, 255, 255])
}

/// The names of one answer. Without names of the administrator's own it is called as it reads; 127.0.0.1 then is none, because some
/// operators refuse with it and RFC 5782 §5 keeps it unlisted.
fn names(answer: Ipv4Addr, codes: Option<&[Code]>) -> Vec<String> {
    match codes {
        Some(codes) => codes.iter().filter(|code| code.matches(answer)).map(|code| code.name.clone()).collect(),
        None if answer == Ipv4Addr::LOCALHOST => Vec::new(),
        None => vec![answer.to_string()],
    }
}
