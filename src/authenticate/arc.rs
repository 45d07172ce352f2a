//! ARC (RFC 8617): whether the chain of those who passed a message on holds. Evidence about them, not about the author.

use std::collections::BTreeMap;
use std::sync;

use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Canonicalization;

use super::Authenticator;
use super::body::Signed;
use super::header::after_comments;
use super::heavy::{self, FEW, LARGE_HEADER};
use super::key::Keys;
use super::results::Flaw;
use super::signature::{Kind, Signature, algorithm, is_from_the_future, read, without_signature};
use super::tag_list::TagList;
use crate::facts::{Arc, ArcResult, MethodResult};
use crate::message::header::Header;

/// The longest chain (RFC 8617 §4.2.1).
const MAX_SETS: u32 = 50;

/// One ARC set: where its three fields stand among the fields of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    results: usize,
    message: usize,
    seal: usize,
}

/// An ARC-Seal (RFC 8617 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal {
    algorithm: Algorithm,
    octets: Vec<u8>,
    domain: String,
    selector: String,
    timestamp: Option<u64>,
}

/// What the ARC fields of a header say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Chain {
    /// There is none.
    #[default]
    None,
    /// It is broken, or says itself that it is (cv=fail).
    Broken,
    /// It may hold: the sets in order, their seals, and the newest message signature.
    Whole { sets: Vec<Set>, seals: Vec<Seal>, message: sync::Arc<Signature> },
}

impl Chain {
    /// Collects the sets and judges their structure (RFC 8617 §5.2 steps 1 to 3).
    pub(super) fn of(header: &Header) -> Chain {
        collect(header).unwrap_or(Chain::Broken)
    }

    /// The signature that asks for a hash of the body.
    pub(super) fn message_signature(&self) -> Option<&Signature> {
        match self {
            Chain::Whole { message, .. } => Some(message),
            Chain::None | Chain::Broken => None,
        }
    }
}

/// `None` for a broken chain.
fn collect(header: &Header) -> Option<Chain> {
    let [mut results, mut messages, mut seals] = [const { BTreeMap::<u32, usize>::new() }; 3];
    for (at, field) in header.fields().enumerate() {
        let (instance, place) = if field.is("arc-authentication-results") {
            (results_instance(field.value)?, &mut results)
        } else if field.is("arc-message-signature") {
            (tags_instance(field.value)?, &mut messages)
        } else if field.is("arc-seal") {
            (tags_instance(field.value)?, &mut seals)
        } else {
            continue;
        };
        if place.insert(instance, at).is_some() {
            return None;
        }
    }
    if results.is_empty() && messages.is_empty() && seals.is_empty() {
        return Some(Chain::None);
    }
    let count = results.len();
    if messages.len() != count || seals.len() != count {
        return None;
    }
    let mut sets = Vec::with_capacity(count);
    for instance in 1..=u32::try_from(count).ok()? {
        let place = |map: &BTreeMap<u32, usize>| map.get(&instance).copied();
        sets.push(Set { results: place(&results)?, message: place(&messages)?, seal: place(&seals)? });
    }
    let fields: Vec<_> = header.fields().collect();
    let mut read_seals = Vec::with_capacity(count);
    for (index, set) in sets.iter().enumerate() {
        read_seals.push(read_seal(fields.get(set.seal)?.value, index)?);
    }
    let newest = fields.get(sets.last()?.message)?;
    let (_, message) = read(newest.value, Kind::ArcMessage);
    let message = message.ok()?;
    // RFC 8617 §4.1.2: a seal covers message signatures, never the other way round.
    if message.names.iter().any(|name| name == "arc-seal") {
        return None;
    }
    Some(Chain::Whole { sets, seals: read_seals, message: sync::Arc::new(message) })
}

/// i= of ARC-Authentication-Results, which must come first; comments and white space may stand around its parts (RFC 8617
/// §4.2.1, §4.1.1).
fn results_instance(value: &[u8]) -> Option<u32> {
    let mut rest = value;
    let mut part = |expected: fn(u8) -> bool| {
        rest = rest.get(after_comments(rest)?..)?;
        let (part, others) = rest.split_at(rest.iter().position(|octet| !expected(*octet)).unwrap_or(rest.len()));
        rest = others;
        Some(part)
    };
    if part(|octet| octet == b'i')? != b"i" || part(|octet| octet == b'=')? != b"=" {
        return None;
    }
    let number = instance(part(|octet| octet.is_ascii_digit())?)?;
    (part(|octet| octet == b';')?.first() == Some(&b';')).then_some(number)
}

fn tags_instance(value: &[u8]) -> Option<u32> {
    instance(TagList::parse(value).ok()?.get("i")?)
}

/// 1 to [`MAX_SETS`].
fn instance(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    let number: u32 = text.parse().ok().filter(|_| text.bytes().all(|octet| octet.is_ascii_digit()))?;
    (1..=MAX_SETS).contains(&number).then_some(number)
}

/// The seal of the set at `index`. `None` where it can't be read or its cv= breaks the chain (RFC 8617 §5.2 steps 2 and 3).
fn read_seal(value: &[u8], index: usize) -> Option<Seal> {
    let tags = TagList::parse(value).ok()?;
    let expected: &[u8] = if index == 0 { b"none" } else { b"pass" };
    // RFC 8617 §4.1.3: a seal has no h=; its fields are given.
    if tags.get("cv")? != expected || tags.get("h").is_some() {
        return None;
    }
    let timestamp = tags.seconds("t").ok()?;
    let text = |name| tags.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let algorithm = algorithm(&tags).ok().filter(|algorithm| *algorithm != Algorithm::RsaSha1)?;
    Some(Seal {
        algorithm,
        octets: tags.base64("b")?,
        domain: text("d")?.to_lowercase(),
        selector: text("s")?,
        timestamp,
    })
}

impl Authenticator {
    /// Validates the ARC chain of a message (RFC 8617 §5.2) at `now`, seconds since 1970.
    pub async fn arc(&self, signed: &Signed, now: u64) -> Arc {
        let result = match &signed.chain {
            Chain::None => ArcResult::None,
            Chain::Broken => ArcResult::Fail,
            Chain::Whole { sets, seals, message } => {
                let validation = validate(self, signed, sets, seals, message, now);
                match tokio::time::timeout(self.check_deadline(), validation).await {
                    Ok(Ok(())) => ArcResult::Pass,
                    Ok(Err(flaw)) if flaw.result() != MethodResult::TempError => ArcResult::Fail,
                    Ok(Err(_)) | Err(_) => ArcResult::TempError,
                }
            }
        };
        Arc { result }
    }
}

/// The newest message signature, then every seal from the newest down; the first flaw ends it, as it broke the chain.
async fn validate(
    asker: &Authenticator,
    signed: &Signed,
    sets: &[Set],
    seals: &[Seal],
    message: &sync::Arc<Signature>,
    now: u64,
) -> Result<(), Flaw> {
    message.check_time(now)?;
    // RFC 8617 §4.1.3 has t= of RFC 6376 §3.5, which lets us ignore what is dated ahead.
    if seals.iter().any(|seal| is_from_the_future(seal.timestamp, now)) {
        return Err(Flaw::Future);
    }
    signed.check_length(message)?;
    if !signed.has_body_of(message) {
        return Err(Flaw::Body);
    }
    let is_heavy = signed.header.raw().len() > LARGE_HEADER || sets.len() > FEW;
    let place = sets.last().map(|set| set.message).ok_or(Flaw::Syntax)?;
    let keys = Keys::look_up(asker.resolver(), &asker.keys, &message.selector, &message.domain).await;
    signed.count_verification();
    let (header, message) = (sync::Arc::clone(&signed.header), sync::Arc::clone(message));
    let heavy = is_heavy || keys.are_slow();
    heavy::run(heavy, move || verify_message(&keys, &header, place, &message)).await?;
    for (index, seal) in seals.iter().enumerate().rev() {
        let keys = Keys::look_up(asker.resolver(), &asker.keys, &seal.selector, &seal.domain).await;
        signed.count_verification();
        let (header, seal, covered) = (sync::Arc::clone(&signed.header), seal.clone(), covered_by_seal(sets, index));
        let heavy = is_heavy || keys.are_slow();
        heavy::run(heavy, move || verify_seal(&keys, &header, &covered, &seal)).await?;
    }
    Ok(())
}

fn verify_message(keys: &Keys, header: &Header, place: usize, message: &Signature) -> Result<(), Flaw> {
    let own = message.own_field(header.fields().nth(place).ok_or(Flaw::Syntax)?);
    let covered = message.signed_fields(header, place, &own);
    keys.verify(&message.octets, message.algorithm, false, message.header_canonicalization, &covered)
}

/// Where the fields stand that the seal of the set at `index` covers, itself at the end (RFC 8617 §5.1.1).
fn covered_by_seal(sets: &[Set], index: usize) -> Vec<usize> {
    sets.iter().take(index + 1).flat_map(|set| [set.results, set.message, set.seal]).collect()
}

fn verify_seal(keys: &Keys, header: &Header, places: &[usize], seal: &Seal) -> Result<(), Flaw> {
    let fields: Vec<_> = header.fields().collect();
    let (last, others) = places.split_last().ok_or(Flaw::Syntax)?;
    let (name, value) = without_signature(*fields.get(*last).ok_or(Flaw::Syntax)?);
    let mut covered: Vec<_> =
        others.iter().filter_map(|place| fields.get(*place)).map(|field| field.halves()).collect();
    covered.push((name.as_slice(), value.as_slice()));
    keys.verify(&seal.octets, seal.algorithm, false, Canonicalization::Relaxed, &covered)
}
