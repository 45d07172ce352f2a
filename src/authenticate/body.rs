//! Hashes of the body, made while it comes in: only those that the signatures of the header ask for (RFC 6376 §3.4, §3.7).

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

use mail_auth::common::crypto::{HashContext, HashImpl, HashOutput, Sha256};
use mail_auth::common::headers::Writer;
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher as Canonicalizer;

use super::arc::Chain;
use super::dkim::Signatures;
use super::relaxed::Relaxed;
use super::results::Flaw;
use super::signature::Signature;
use crate::message::header::Header;

/// SHA-256 of the canonicalized body, and how many octets that has.
struct Digest {
    context: <Sha256 as HashImpl>::Context,
    octets: u64,
}

/// What came of it.
struct Hash {
    value: Vec<u8>,
    octets: u64,
}

impl Digest {
    fn new() -> Digest {
        Digest { context: Sha256::hasher(), octets: 0 }
    }
}

impl Writer for Digest {
    fn write(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        self.context.write(octets);
    }
}

impl HashContext for Digest {
    fn complete(self) -> HashOutput {
        self.context.complete()
    }
}

/// Hashes a body as it comes in, in chunks of any size.
pub struct BodyHasher {
    header: Arc<Header>,
    signatures: Signatures,
    chain: Chain,
    simple: Option<Canonicalizer<Digest>>,
    relaxed: Option<Relaxed<Digest>>,
}

/// Selectors and domains of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DkimKeys(pub(super) Vec<(String, String)>);

/// A message that is ready to be verified.
pub struct Signed {
    pub(super) header: Arc<Header>,
    pub(super) signatures: Signatures,
    pub(super) chain: Chain,
    simple: Option<Hash>,
    relaxed: Option<Hash>,
    verifications: AtomicU64,
}

impl BodyHasher {
    /// Reads the signatures of a header and expects the first octet of the body.
    pub fn for_header(header: &Arc<Header>) -> BodyHasher {
        let signatures = Signatures::of(header);
        let chain = Chain::of(header);
        let asks = |canonicalization| {
            let mut asking = signatures.sound().chain(chain.message_signature());
            asking.any(|signature| signature.body_canonicalization == canonicalization)
        };
        BodyHasher {
            simple: asks(Canonicalization::Simple)
                .then(|| Canonicalizer::new(Digest::new(), Canonicalization::Simple, 0)),
            relaxed: asks(Canonicalization::Relaxed).then(|| Relaxed::new(Digest::new())),
            header: Arc::clone(header),
            signatures,
            chain,
        }
    }

    /// The keys that the header's sound DKIM signatures will want.
    pub fn keys(&self) -> DkimKeys {
        let key = |signature: &Signature| (signature.selector.clone(), signature.domain.clone());
        DkimKeys(self.signatures.sound().map(key).collect())
    }

    /// Takes the next octets of the body.
    pub fn write(&mut self, chunk: &[u8]) {
        if let Some(simple) = &mut self.simple {
            simple.write(chunk);
        }
        if let Some(relaxed) = &mut self.relaxed {
            relaxed.write(chunk);
        }
    }

    /// The body is complete.
    pub fn finish(self) -> Signed {
        let hash = |digest: Digest| Hash { octets: digest.octets, value: digest.complete().as_ref().to_vec() };
        Signed {
            header: self.header,
            signatures: self.signatures,
            chain: self.chain,
            simple: self.simple.map(|simple| hash(simple.finish().0)),
            relaxed: self.relaxed.map(|relaxed| hash(relaxed.finish())),
            verifications: AtomicU64::new(0),
        }
    }
}

impl Signed {
    /// A whole message at once.
    pub fn of(header: &Arc<Header>, body: &[u8]) -> Signed {
        let mut hasher = BodyHasher::for_header(header);
        hasher.write(body);
        hasher.finish()
    }

    /// How many cryptographic verifications were made of it so far.
    pub fn verifications(&self) -> u64 {
        self.verifications.load(atomic::Ordering::Relaxed)
    }

    pub(super) fn count_verification(&self) {
        self.verifications.fetch_add(1, atomic::Ordering::Relaxed);
    }

    /// Whether the body is the one that was signed.
    pub(super) fn has_body_of(&self, signature: &Signature) -> bool {
        self.hash(signature).is_some_and(|hash| hash.value == signature.body_hash)
    }

    /// Whether all of the body is signed: l= may say so, too.
    // DEVIATES RFC 6376 §3.5: whoever adds text behind the signed part would write under the signer's name (§8.2).
    pub(super) fn check_length(&self, signature: &Signature) -> Result<(), Flaw> {
        let octets = self.hash(signature).map_or(0, |hash| hash.octets);
        match signature.body_length.map(|length| length.cmp(&octets)) {
            None | Some(Ordering::Equal) => Ok(()),
            Some(Ordering::Less) => Err(Flaw::BodyLength),
            Some(Ordering::Greater) => Err(Flaw::BodyTooShort),
        }
    }

    fn hash(&self, signature: &Signature) -> Option<&Hash> {
        match signature.body_canonicalization {
            Canonicalization::Simple => self.simple.as_ref(),
            Canonicalization::Relaxed => self.relaxed.as_ref(),
        }
    }
}
