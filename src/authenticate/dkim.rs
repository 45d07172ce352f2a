//! DKIM (RFC 6376, RFC 8301, RFC 8463): every signature of a message, looked at side by side.
//!
//! mail-auth verifies the cryptographic signature and canonicalizes; what is worth verifying, which key may verify it, the
//! clock, and what comes of it is decided here, so that no signature can make us ask the DNS or spend time beyond our bounds.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use super::Authenticator;
use super::body::Signed;
use super::heavy::{self, FEW, LARGE_HEADER};
use super::key::{Keys, KnownKeys};
use super::resolver::{Resolver, Share};
use super::results::{Flaw, TESTING};
use super::signature::{Kind, Label, Signature, is_within, read};
use super::tag_list::domain_of;
use crate::facts::{Dkim, MethodResult};
use crate::message::author::read_author;
use crate::message::header::{FieldRef, Header};

/// Signatures of a message that are verified.
const MAX_SIGNATURES: usize = 10;
/// Signatures of a message that are reported; the others are as if they weren't there.
const MAX_REPORTED: usize = 20;

/// One DKIM-Signature field: where it stands among the fields, and what it says.
#[derive(Debug, Clone)]
struct Candidate {
    field: usize,
    label: Label,
    signature: Result<Arc<Signature>, Flaw>,
}

/// The DKIM-Signature fields of a header, those first that are to be verified.
#[derive(Debug, Clone, Default)]
pub(super) struct Signatures(Vec<Candidate>);

impl Signatures {
    /// Reads them; where there are too many, those of the author's domain come first (they alone can align).
    pub(super) fn of(header: &Header) -> Signatures {
        let mut fields: Vec<(usize, FieldRef<'_>)> =
            header.fields().enumerate().filter(|(_, field)| field.is("dkim-signature")).collect();
        if fields.len() > MAX_SIGNATURES {
            let author = read_author(header);
            let domain = author.domain().map(|domain| domain.as_str()).unwrap_or_default();
            let aligned = |d: &str| !d.is_empty() && (is_within(domain, d) || is_within(d, domain));
            // Reading them all would take long.
            fields.sort_by_cached_key(|(_, field)| domain.is_empty() || !aligned(&domain_of(field.value)));
            fields.truncate(MAX_REPORTED);
        }
        let candidate = |(index, (field, value)): (usize, (usize, FieldRef<'_>))| {
            let (label, signature) = read(value.value, Kind::Dkim);
            let signature = if index < MAX_SIGNATURES { signature.map(Arc::new) } else { Err(Flaw::TooMany) };
            Candidate { field, label, signature }
        };
        Signatures(fields.into_iter().enumerate().map(candidate).collect())
    }

    /// Those that are worth a body hash.
    pub(super) fn sound(&self) -> impl Iterator<Item = &Signature> {
        self.0.iter().filter_map(|candidate| candidate.signature.as_deref().ok())
    }

    /// Whether verifying them all may take long.
    fn are_heavy(&self, header: &Header) -> bool {
        header.raw().len() > LARGE_HEADER || self.sound().count() > FEW
    }
}

impl Authenticator {
    /// Verifies the DKIM signatures of a message at `now`, seconds since 1970; top down, where there are more than ten those of
    /// the author's domain first. DNS trouble is `temperror`.
    pub async fn dkim(&self, signed: &Signed, now: u64) -> Vec<Dkim> {
        let resolver = &self.resolver().on(Share::Keys);
        let deadline = self.check_deadline();
        let is_heavy = signed.signatures.are_heavy(&signed.header);
        let checks: FuturesOrdered<_> = signed
            .signatures
            .0
            .iter()
            .map(|candidate| async move {
                let (resolver, secured) = resolver.secured();
                let check = verify(&resolver, &self.keys, signed, candidate, is_heavy, now);
                let outcome = tokio::time::timeout(deadline, check).await;
                let outcome = outcome.unwrap_or(Outcome { flaw: Some(Flaw::Dns), is_testing: false });
                report(candidate, outcome, secured.holds())
            })
            .collect();
        checks.collect().await
    }

    /// Asks for the keys of a header's signatures, so that they are in the DNS cache when the body is complete.
    pub async fn fetch_dkim_keys(&self, keys: &super::body::DkimKeys) {
        let look_ups: FuturesOrdered<_> =
            keys.0.iter().map(|(selector, domain)| self.fetch_key(selector, domain)).collect();
        look_ups.collect::<()>().await;
    }

    async fn fetch_key(&self, selector: &str, domain: &str) {
        // Whatever comes of it is asked for again when it is needed.
        let resolver = self.resolver().on(Share::Keys);
        let asked = Keys::look_up(&resolver, &self.keys, selector, domain);
        let _ = tokio::time::timeout(self.check_deadline(), asked).await;
    }
}

struct Outcome {
    flaw: Option<Flaw>,
    is_testing: bool,
}

async fn verify(
    resolver: &Resolver,
    known: &KnownKeys,
    signed: &Signed,
    candidate: &Candidate,
    is_heavy: bool,
    now: u64,
) -> Outcome {
    let without_key = |flaw| Outcome { flaw: Some(flaw), is_testing: false };
    let signature = match &candidate.signature {
        Ok(signature) => signature,
        Err(flaw) => return without_key(*flaw),
    };
    if let Err(flaw) = signature.check_time(now).and_then(|()| signed.check_length(signature)) {
        return without_key(flaw);
    }
    if signed.header.named("from").next().is_none() {
        return without_key(Flaw::NoFrom);
    }
    let keys = Keys::look_up(resolver, known, &signature.selector, &signature.domain).await;
    if let Some(flaw) = keys.flaw() {
        return without_key(flaw);
    }
    let is_testing = keys.is_testing();
    if !signed.has_body_of(signature) {
        return Outcome { flaw: keys.broken().or(Some(Flaw::Body)), is_testing };
    }
    signed.count_verification();
    let (header, field, signature) = (Arc::clone(&signed.header), candidate.field, Arc::clone(signature));
    let is_heavy = is_heavy || keys.are_slow();
    let verified = heavy::run(is_heavy, move || verify_header(&keys, &header, field, &signature)).await;
    Outcome { flaw: verified.err(), is_testing }
}

fn verify_header(keys: &Keys, header: &Header, field: usize, signature: &Signature) -> Result<(), Flaw> {
    let own = header.fields().nth(field).ok_or(Flaw::Syntax)?;
    let own = signature.own_field(own);
    let fields = signature.signed_fields(header, field, &own);
    let is_below = !signature.identity.is_empty() && signature.identity != signature.domain;
    keys.verify(&signature.octets, signature.algorithm, is_below, signature.header_canonicalization, &fields)
}

/// What is said of one signature. A failure under a testing key is as if there were no signature (RFC 6376 §3.6.1).
fn report(candidate: &Candidate, outcome: Outcome, secure: bool) -> Dkim {
    let (result, reason) = outcome.flaw.map_or((MethodResult::Pass, ""), Flaw::words);
    let spared = outcome.is_testing && outcome.flaw.is_some();
    Dkim {
        result: if spared { MethodResult::None } else { result },
        domain: candidate.label.domain.clone(),
        selector: candidate.label.selector.clone(),
        algorithm: candidate.label.algorithm.clone(),
        reason: format!("{reason}{}", if spared { TESTING } else { "" }),
        secure,
    }
}
