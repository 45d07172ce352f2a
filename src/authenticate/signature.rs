//! A DKIM signature as its field says it (RFC 6376 §3.5); ARC-Message-Signature is of the same kind (RFC 8617 §4.1.2).

use std::ops::Range;

use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Canonicalization;

use super::results::Flaw;
use super::tag_list::{TagList, TagListError};
use crate::message::header::{FieldRef, Header};

/// Names in h= beyond which a signature isn't verified: real ones have about twenty.
pub(super) const MAX_NAMES: usize = 100;
/// Digits of l= (RFC 6376 §3.5).
const LENGTH_DIGITS: usize = 76;
/// How far in the future t= may lie: clocks differ.
const CLOCK_SKEW: u64 = 24 * 3600;

/// What is said in a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) algorithm: Algorithm,
    pub(super) header_canonicalization: Canonicalization,
    pub(super) body_canonicalization: Canonicalization,
    pub(super) body_hash: Vec<u8>,
    pub(super) octets: Vec<u8>,
    pub(super) domain: String,
    pub(super) selector: String,
    /// The domain of i=; empty where there is none.
    pub(super) identity: String,
    /// Names of the signed fields, lower-case.
    pub(super) names: Vec<String>,
    pub(super) timestamp: Option<u64>,
    pub(super) expires: Option<u64>,
    /// Where the value of b= stands in the field's value.
    place: Range<usize>,
    /// l=: octets of the canonicalized body that are signed.
    pub(super) body_length: Option<u64>,
}

/// Which field a signature stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dkim,
    ArcMessage,
}

/// d=, s= and a= as far as they could be read: what a result is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Label {
    pub(super) domain: String,
    pub(super) selector: String,
    pub(super) algorithm: String,
}

impl Label {
    fn of(tags: &TagList<'_>) -> Label {
        let text = |name| {
            let text = tags.text(name).unwrap_or_default();
            text.chars().filter(|c| !c.is_control()).take(255).collect::<String>()
        };
        Label { domain: text("d").to_lowercase(), selector: text("s"), algorithm: text("a") }
    }
}

/// Reads a signature field; the label is there even if the rest is flawed.
pub(super) fn read(value: &[u8], kind: Kind) -> (Label, Result<Signature, Flaw>) {
    match TagList::parse(value) {
        Ok(tags) => (Label::of(&tags), read_tags(&tags, kind)),
        Err(error) => (Label::default(), Err(error.into())),
    }
}

fn read_tags(tags: &TagList<'_>, kind: Kind) -> Result<Signature, Flaw> {
    if kind == Kind::Dkim && tags.get("v").ok_or(Flaw::Tags)? != b"1" {
        return Err(Flaw::Version);
    }
    let algorithm = algorithm(tags)?;
    let (header_canonicalization, body_canonicalization) = canonicalizations(tags)?;
    let value = |name| tags.base64(name).ok_or(Flaw::Tags);
    let text = |name| tags.text(name).filter(|text| !text.is_empty()).map(str::to_owned).ok_or(Flaw::Tags);
    // Before anything is allocated for them.
    if tags.get("h").ok_or(Flaw::Tags)?.iter().filter(|octet| **octet == b':').count() >= MAX_NAMES {
        return Err(Flaw::TooManyNames);
    }
    let names = tags.elements("h").ok_or(Flaw::Tags)?;
    let signature = Signature {
        algorithm,
        header_canonicalization,
        body_canonicalization,
        body_hash: value("bh")?,
        octets: value("b")?,
        domain: text("d")?.to_lowercase(),
        selector: text("s")?,
        identity: if kind == Kind::Dkim { identity(tags)? } else { String::new() },
        names: names.into_iter().filter(|name| !name.is_empty()).collect(),
        timestamp: tags.seconds("t").map_err(|_| Flaw::Tags)?,
        expires: tags.seconds("x").map_err(|_| Flaw::Tags)?,
        place: tags.span("b").ok_or(Flaw::Tags)?,
        body_length: tags.number("l", LENGTH_DIGITS).map_err(|_| Flaw::Tags)?,
    };
    signature.check(kind)?;
    Ok(signature)
}

impl Signature {
    /// The halves of its own field as it was signed (RFC 6376 §3.7).
    pub(super) fn own_field(&self, field: FieldRef<'_>) -> (Vec<u8>, Vec<u8>) {
        let (name, _) = field.halves();
        (name.to_vec(), without(field.value, &self.place))
    }

    /// What can be told without the DNS and the body.
    fn check(&self, kind: Kind) -> Result<(), Flaw> {
        if self.expires.zip(self.timestamp).is_some_and(|(expires, timestamp)| expires <= timestamp) {
            return Err(Flaw::Tags);
        }
        if kind == Kind::Dkim {
            if self.names.is_empty() {
                return Err(Flaw::Tags);
            }
            if !is_within(&self.identity, &self.domain) && !self.identity.is_empty() {
                return Err(Flaw::Identity);
            }
            if !self.names.iter().any(|name| name == "from") {
                return Err(Flaw::FromUnsigned);
            }
        }
        if self.algorithm == Algorithm::RsaSha1 { Err(Flaw::Sha1) } else { Ok(()) }
    }

    /// Whether it holds at `now`, seconds since 1970.
    pub(super) fn check_time(&self, now: u64) -> Result<(), Flaw> {
        if self.expires.is_some_and(|expires| now > expires) {
            return Err(Flaw::Expired);
        }
        if is_from_the_future(self.timestamp, now) { Err(Flaw::Future) } else { Ok(()) }
    }

    /// The fields that h= names, bottom up for names that stand there repeatedly (RFC 6376 §5.4.2), then `own`, the signature's
    /// field without its signature; each as what stands before and after its colon. The field at `place` is that of the
    /// signature itself: no name in h= means it.
    pub(super) fn signed_fields<'a>(
        &self,
        header: &'a Header,
        place: usize,
        own: &'a (Vec<u8>, Vec<u8>),
    ) -> Vec<(&'a [u8], &'a [u8])> {
        let mut left: Vec<FieldRef<'a>> = header
            .fields()
            .enumerate()
            .filter(|(at, field)| *at != place && self.names.iter().any(|name| field.is(name)))
            .map(|(_, field)| field)
            .collect();
        let mut signed = Vec::with_capacity(self.names.len() + 1);
        for name in &self.names {
            if let Some(at) = left.iter().rposition(|field| field.is(name)) {
                signed.push(left.remove(at).halves());
            }
        }
        signed.push((&own.0, &own.1));
        signed
    }
}

/// The halves of a signature field as it was signed: the value of b= and the line end at the end are taken out (RFC 6376 §3.7).
pub(super) fn without_signature(field: FieldRef<'_>) -> (Vec<u8>, Vec<u8>) {
    let (name, _) = field.halves();
    let place = TagList::parse(field.value).ok().and_then(|tags| tags.span("b")).unwrap_or_default();
    (name.to_vec(), without(field.value, &place))
}

fn without(value: &[u8], place: &Range<usize>) -> Vec<u8> {
    [value.get(..place.start).unwrap_or_default(), value.get(place.end..).unwrap_or_default()].concat()
}

/// Whether t= lies ahead by more than clocks differ.
pub(super) fn is_from_the_future(timestamp: Option<u64>, now: u64) -> bool {
    timestamp.is_some_and(|timestamp| timestamp > now.saturating_add(CLOCK_SKEW))
}

/// Whether `domain` is `parent` or below it.
pub(super) fn is_within(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// a=, which RFC 6376 §3.5 requires; its value knows case (§3.2).
pub(super) fn algorithm(tags: &TagList<'_>) -> Result<Algorithm, Flaw> {
    match tags.get("a").ok_or(Flaw::Tags)? {
        b"rsa-sha256" => Ok(Algorithm::RsaSha256),
        b"ed25519-sha256" => Ok(Algorithm::Ed25519Sha256),
        b"rsa-sha1" => Ok(Algorithm::RsaSha1),
        b"" => Err(Flaw::Tags),
        _ => Err(Flaw::Unknown),
    }
}

/// c=, simple where nothing is said (RFC 6376 §3.5); and q=, of which there is only one.
fn canonicalizations(tags: &TagList<'_>) -> Result<(Canonicalization, Canonicalization), Flaw> {
    if tags.elements("q").is_some_and(|methods| !methods.iter().any(|method| method == "dns/txt")) {
        return Err(Flaw::Unknown);
    }
    let word = |text: &str| match text {
        "simple" => Ok(Canonicalization::Simple),
        "relaxed" => Ok(Canonicalization::Relaxed),
        _ => Err(Flaw::Unknown),
    };
    let text = String::from_utf8(tags.compact("c").unwrap_or_else(|| b"simple".to_vec())).map_err(|_| Flaw::Unknown)?;
    let (header, body) = text.split_once('/').unwrap_or((&text, "simple"));
    Ok((word(header)?, word(body)?))
}

/// The domain of i=, lower-case; the local-part is the signer's own affair.
fn identity(tags: &TagList<'_>) -> Result<String, Flaw> {
    let Some(text) = tags.compact("i") else { return Ok(String::new()) };
    let text = String::from_utf8(text).map_err(|_| Flaw::Tags)?;
    let (_, domain) = text.rsplit_once('@').ok_or(Flaw::Tags)?;
    if domain.is_empty() { Err(Flaw::Tags) } else { Ok(domain.to_lowercase()) }
}

impl From<TagListError> for Flaw {
    fn from(error: TagListError) -> Flaw {
        match error {
            TagListError::Syntax => Flaw::Syntax,
            TagListError::Duplicate => Flaw::DuplicateTag,
        }
    }
}
