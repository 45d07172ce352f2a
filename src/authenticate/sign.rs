//! Signs messages with DKIM, for the demo's senders and for tests. Gatepost itself sends nothing.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use mail_auth::common::crypto::{Algorithm, DkimKey, Ed25519Key, HashAlgorithm, RsaKey, SigningKey};
use mail_auth::dkim::Canonicalization;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::message::content::Content;

/// The fields that are signed, each once more than it stands in the header, so that none can be added (RFC 6376 §8.15).
const NAMES: &[&str] = &["from", "to", "subject", "date", "message-id", "reply-to"];

/// A signer for one domain and selector: relaxed canonicalization, nothing that expires.
pub struct Signer {
    key: DkimKey,
    public_key: Vec<u8>,
    domain: String,
    selector: String,
    tags: String,
    names: Option<String>,
}

/// The cryptographic library refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signing failed: {0}")]
pub struct SignError(String);

impl SignError {
    fn from(error: impl fmt::Display) -> SignError {
        SignError(error.to_string())
    }
}

impl Signer {
    /// A signer with a new Ed25519 key (RFC 8463).
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new_ed25519(domain: &str, selector: &str) -> Result<Signer, SignError> {
        let private = Ed25519Key::generate_pkcs8().map_err(SignError::from)?;
        let key = Ed25519Key::from_pkcs8_der(&private).map_err(SignError::from)?;
        let public_key = key.public_key();
        Ok(Signer::with(DkimKey::Ed25519(key), public_key, domain, selector))
    }

    /// A signer with a new RSA key of 2048 bits.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new_rsa(domain: &str, selector: &str) -> Result<Signer, SignError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(SignError::from)?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(SignError::from)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(SignError::from)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private.as_ref()));
        let key = RsaKey::from_key_der(der).map_err(SignError::from)?;
        Ok(Signer::with(DkimKey::Rsa(key), public.as_ref().to_vec(), domain, selector))
    }

    fn with(key: DkimKey, public_key: Vec<u8>, domain: &str, selector: &str) -> Signer {
        Signer {
            key,
            public_key,
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            tags: String::new(),
            names: None,
        }
    }

    /// Adds tags to each signature: `x=1700000000; i=@sub.example.com`.
    #[must_use]
    pub fn with_tags(mut self, tags: &str) -> Signer {
        self.tags = format!(" {tags};");
        self
    }

    /// Puts this into h= instead of the usual names.
    #[must_use]
    pub fn with_names(mut self, names: &str) -> Signer {
        self.names = Some(names.to_owned());
        self
    }

    /// Signs a message (CRLF line ends) at `now`, seconds since 1970. Gives the field that is to be put on top of it.
    ///
    /// # Errors
    /// When the key can't sign.
    pub fn sign(&self, message: &[u8], now: u64) -> Result<String, SignError> {
        let content = Content::parse(message);
        let hash = HashAlgorithm::Sha256.hash(Canonicalization::Relaxed.canonical_body(&content.body.memory(), 0));
        let names = self.names.clone().unwrap_or_else(|| usual_names(&content));
        let algorithm = self.key.algorithm().name();
        let unsigned = format!(
            " v=1; a={algorithm}; c=relaxed/relaxed; d={}; s={};\r\n\tt={now};{} h={names};\r\n\tbh={};\r\n\tb=",
            self.domain,
            self.selector,
            self.tags,
            encode(hash.as_ref()),
        );
        let mut left: Vec<_> = content.header.fields().rev().collect();
        let mut signed = Vec::new();
        for name in names.split(':') {
            if let Some(at) = left.iter().position(|field| field.is(name)) {
                signed.push(left.remove(at).halves());
            }
        }
        signed.push((b"DKIM-Signature".as_slice(), unsigned.as_bytes()));
        let mut input = Vec::new();
        Canonicalization::Relaxed.canonicalize_headers(signed.into_iter(), &mut input);
        let signature = self.key.sign(input.as_slice()).map_err(SignError::from)?;
        Ok(format!("DKIM-Signature:{unsigned}{}\r\n", folded(&encode(&signature))))
    }

    /// Where the key record stands: `selector._domainkey.domain`.
    pub fn key_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// The text of the TXT record with the public key; longer than one character-string for RSA.
    pub fn key_record(&self) -> String {
        let kind = if self.key.algorithm() == Algorithm::Ed25519Sha256 { "ed25519" } else { "rsa" };
        format!("v=DKIM1; k={kind}; p={}", encode(&self.public_key))
    }
}

fn usual_names(content: &Content) -> String {
    let mut names = Vec::new();
    for name in NAMES {
        names.extend(content.header.named(name).map(|_| *name));
        names.push(name);
    }
    names.join(":")
}

/// RFC 4648 §4.
fn encode(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | group.get(at).copied().map_or(0, usize::from));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let digit = if digit <= group.len() { DIGITS.get(value).copied().unwrap_or(b'=') } else { b'=' };
            text.push(char::from(digit));
        }
    }
    text
}

/// Base64 in lines that a header can hold.
fn folded(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + 32);
    for (index, c) in text.chars().enumerate() {
        if index > 0 && index % 70 == 0 {
            lines.push_str("\r\n\t");
        }
        lines.push(c);
    }
    lines
}
