//! Hashes of the body, made while it comes in: only those that the signatures of the header ask for (RFC 6376 §3.4, §3.7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mail_auth::common::crypto::{HashContext, HashImpl, Sha256};
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher as Canonicalizer;

use super::arc::Chain;
use super::dkim::Signatures;
use super::signature::Signature;
use crate::message::header::Header;

type Digest = <Sha256 as HashImpl>::Context;

/// Hashes a body as it comes in, in chunks of any size.
pub struct BodyHasher {
    header: Arc<Header>,
    signatures: Signatures,
    chain: Chain,
    simple: Option<Canonicalizer<Digest>>,
    relaxed: Option<Relaxed>,
}

/// Selectors and domains of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DkimKeys(pub(super) Vec<(String, String)>);

/// A message that is ready to be verified.
pub struct Signed {
    pub(super) header: Arc<Header>,
    pub(super) signatures: Signatures,
    pub(super) chain: Chain,
    simple: Option<Vec<u8>>,
    relaxed: Option<Vec<u8>>,
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
                .then(|| Canonicalizer::new(Sha256::hasher(), Canonicalization::Simple, 0)),
            relaxed: asks(Canonicalization::Relaxed).then(Relaxed::new),
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
        let digest = |hasher: Canonicalizer<Digest>| hasher.finish().0.complete().as_ref().to_vec();
        Signed {
            header: self.header,
            signatures: self.signatures,
            chain: self.chain,
            simple: self.simple.map(digest),
            relaxed: self.relaxed.map(|relaxed| digest(relaxed.inner)),
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
        self.verifications.load(Ordering::Relaxed)
    }

    pub(super) fn count_verification(&self) {
        self.verifications.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the body is the one that was signed.
    pub(super) fn has_body_of(&self, signature: &Signature) -> bool {
        let hash = match signature.body_canonicalization {
            Canonicalization::Simple => &self.simple,
            Canonicalization::Relaxed => &self.relaxed,
        };
        hash.as_ref() == Some(&signature.body_hash)
    }
}

/// Relaxed canonicalization that ends a body at its last line with content.
///
/// mail-auth 0.13 takes a line of nothing but white space for content, although relaxed canonicalization makes it empty before
/// empty lines at the end are ignored (RFC 6376 §3.4.4). So such lines are withheld from it until a line with content follows.
struct Relaxed {
    inner: Canonicalizer<Digest>,
    /// Lines without content that are withheld.
    blank_lines: u64,
    /// What was seen of the current line, while that is without content.
    line: Line,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    White,
    HasContent,
}

impl Relaxed {
    fn new() -> Relaxed {
        Relaxed {
            inner: Canonicalizer::new(Sha256::hasher(), Canonicalization::Relaxed, 0),
            blank_lines: 0,
            line: Line::Empty,
        }
    }

    fn write(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            if self.line == Line::HasContent {
                chunk = self.write_content(chunk);
                continue;
            }
            let (first, rest) = chunk.split_at_checked(1).unwrap_or((chunk, &[]));
            match first {
                b" " | b"\t" => self.line = Line::White,
                // Data is framed with CRLF only; the CR is spoken for by the LF.
                b"\r" => {}
                b"\n" => {
                    self.blank_lines += 1;
                    self.line = Line::Empty;
                }
                _ => {
                    self.release();
                    continue;
                }
            }
            chunk = rest;
        }
    }

    /// Hands over lines with content as long as each begins with it; gives back the rest.
    fn write_content<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let mut at = 0;
        while let Some(end) = chunk.get(at..).and_then(|rest| rest.iter().position(|octet| *octet == b'\n')) {
            at += end + 1;
            if chunk.get(at).is_none_or(|next| *next <= b' ') {
                self.line = Line::Empty;
                let (now, later) = chunk.split_at_checked(at).unwrap_or((chunk, &[]));
                self.inner.write(now);
                return later;
            }
        }
        self.inner.write(chunk);
        &[]
    }

    /// A line with content follows: what was withheld counts after all. White space at its beginning is one space (§3.4.4).
    fn release(&mut self) {
        const BLANK: &[u8] = b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
        let mut left = self.blank_lines;
        while left > 0 {
            let lines = left.min(8);
            self.inner.write(BLANK.get(..2 * lines as usize).unwrap_or(BLANK));
            left -= lines;
        }
        if self.line == Line::White {
            self.inner.write(b" ");
        }
        self.blank_lines = 0;
        self.line = Line::HasContent;
    }
}
