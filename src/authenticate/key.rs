//! Keys that verify signatures: the record in the DNS and what it restricts (RFC 6376 §3.6). mail-auth canonicalizes; the mathematics
//! is aws-lc's, directly, because mail-auth reads the key again for every signature.

mod known;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ED25519, ParsedPublicKey, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, VerificationAlgorithm,
};
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::Canonicalization;

use super::resolver::{Answer, DnsName, Resolver};
use super::results::Flaw;
use super::tag_list::TagList;
pub(super) use known::KnownKeys;

/// The shortest RSA key that proves anything (RFC 8301 §3.2).
const MIN_RSA_BITS: usize = 1024;
/// The longest RSA key that is used: the time of a verification grows with its square.
const MAX_RSA_BITS: usize = 8192;
/// RSA keys beyond this take several times as long.
const QUICK_RSA_BITS: usize = 4096;
/// TXT records at one name that are tried; RFC 6376 §3.6.2.2 wants exactly one.
const MAX_RECORDS: usize = 4;

/// One key record that could be read.
pub(super) struct Key {
    inner: DomainKey,
    /// The key in p=, ready to verify; `None` where aws-lc can't read it.
    parsed: Option<ParsedPublicKey>,
    is_rsa: bool,
    /// Of an RSA key's modulus; 0 where it can't be read.
    bits: usize,
    /// t=y: the owner is testing, a failure is to be treated as no signature.
    pub(super) is_testing: bool,
    /// t=s: i= must be d= itself.
    is_strict: bool,
}

/// The keys of one selector, or why there is none. Usually it is one.
pub(super) struct Keys(Result<Vec<Arc<Key>>, Flaw>);

impl Keys {
    /// Asks for `selector._domainkey.domain`.
    pub(super) async fn look_up(resolver: &Resolver, known: &KnownKeys, selector: &str, domain: &str) -> Keys {
        let Some(name) = key_name(selector, domain) else { return Keys(Err(Flaw::NoKey)) };
        Keys(match resolver.txt(&name).await {
            Answer::Found(records) => usable(known, &records),
            Answer::NoData | Answer::NxDomain => Err(Flaw::NoKey),
            Answer::Trouble(_) => Err(Flaw::Dns),
        })
    }

    /// Verifies with each key until one fits. The flaw is that of the first key.
    pub(super) fn verify(
        &self,
        signature: &[u8],
        algorithm: Algorithm,
        identity_is_below: bool,
        canonicalization: Canonicalization,
        fields: &[(&[u8], &[u8])],
    ) -> Result<(), Flaw> {
        let keys = self.0.as_ref().map_err(|flaw| *flaw)?;
        let mut first = Err(Flaw::NoKey);
        for (index, key) in keys.iter().enumerate() {
            let outcome = key.verify(signature, algorithm, identity_is_below, canonicalization, fields);
            if outcome.is_ok() {
                return Ok(());
            }
            if index == 0 {
                first = outcome;
            }
        }
        first
    }

    /// Whether the owner of the key is testing.
    pub(super) fn is_testing(&self) -> bool {
        self.0.as_ref().is_ok_and(|keys| keys.iter().any(|key| key.is_testing))
    }

    /// Whether verifying takes long, as it does with large RSA keys, or with several that are tried in turn.
    pub(super) fn are_slow(&self) -> bool {
        self.0.as_ref().is_ok_and(|keys| keys.len() > 1 || keys.iter().any(|key| key.bits > QUICK_RSA_BITS))
    }

    /// What is wrong with the keys themselves where no signature is verified with them.
    pub(super) fn broken(&self) -> Option<Flaw> {
        let keys = self.0.as_ref().ok()?;
        (!keys.iter().any(|key| key.is_short() || key.is_readable())).then_some(Flaw::BadKey)
    }

    /// Why there is no key.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.0.as_ref().err().copied()
    }
}

impl Key {
    fn is_short(&self) -> bool {
        self.is_rsa && self.bits < MIN_RSA_BITS
    }

    /// Whether p= is a public key at all.
    fn is_readable(&self) -> bool {
        self.parsed.is_some()
    }

    fn verify(
        &self,
        signature: &[u8],
        algorithm: Algorithm,
        identity_is_below: bool,
        canonicalization: Canonicalization,
        fields: &[(&[u8], &[u8])],
    ) -> Result<(), Flaw> {
        if self.is_rsa != (algorithm != Algorithm::Ed25519Sha256) {
            return Err(Flaw::KeyType);
        }
        if self.is_strict && identity_is_below {
            return Err(Flaw::KeyStrict);
        }
        if self.is_short() {
            return Err(Flaw::ShortKey);
        }
        let holds = self.holds(signature, algorithm, canonicalization, fields);
        if holds { Ok(()) } else { Err(if self.is_readable() { Flaw::Signature } else { Flaw::BadKey }) }
    }

    /// The mathematics.
    fn holds(
        &self,
        signature: &[u8],
        algorithm: Algorithm,
        canonicalization: Canonicalization,
        fields: &[(&[u8], &[u8])],
    ) -> bool {
        let Some(key) = &self.parsed else {
            // mail-auth is more patient with what is wrapped around a key.
            return self.inner.p.verify(&mut fields.iter().copied(), signature, canonicalization, algorithm).is_ok();
        };
        let room = fields.iter().map(|(name, value)| name.len() + value.len() + 1).sum();
        let mut signed = Vec::with_capacity(room);
        canonicalization.canonicalize_headers(fields.iter().copied(), &mut signed);
        match algorithm {
            Algorithm::RsaSha256 => key.verify_sig(&signed, signature).is_ok(),
            // RFC 8463 §3: the hash is what is signed.
            Algorithm::Ed25519Sha256 => key.verify_sig(digest(&SHA256, &signed).as_ref(), signature).is_ok(),
            // RFC 8301 §3.1; such signatures are refused before it comes to this.
            Algorithm::RsaSha1 => false,
        }
    }
}

/// The name of a key record; a domain in UTF-8 (RFC 8616 §5) is asked for by its A-labels.
fn key_name(selector: &str, domain: &str) -> Option<DnsName> {
    let name = format!("{selector}._domainkey.{domain}");
    if name.is_ascii() {
        return DnsName::parse(name);
    }
    idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::EMPTY)
        .ok()
        .and_then(|name| DnsName::parse(name.as_bytes()))
}

fn usable(known: &KnownKeys, records: &[Vec<u8>]) -> Result<Vec<Arc<Key>>, Flaw> {
    let mut keys = Vec::with_capacity(1);
    let mut flaw = Flaw::NoKey;
    for record in records.iter().take(MAX_RECORDS) {
        match known.read(record, read) {
            Ok(key) => keys.push(key),
            Err(why) => flaw = why,
        }
    }
    if keys.is_empty() { Err(flaw) } else { Ok(keys) }
}

/// One record (RFC 6376 §3.6.1).
fn read(record: &[u8]) -> Result<Key, Flaw> {
    let tags = TagList::parse_record(record).map_err(|_| Flaw::BadKey)?;
    if tags.get("v").is_some_and(|version| version != b"DKIM1" || !tags.is_first("v")) {
        return Err(Flaw::BadKey);
    }
    if tags.get("p").is_some_and(<[u8]>::is_empty) {
        return Err(Flaw::Revoked);
    }
    let octets = tags.base64("p").ok_or(Flaw::BadKey)?;
    let public_key = tags.compact("p").ok_or(Flaw::BadKey)?;
    if tags.elements("h").is_some_and(|hashes| !hashes.iter().any(|hash| hash == "sha256")) {
        return Err(Flaw::KeyHash);
    }
    if tags.elements("s").is_some_and(|services| !services.iter().any(|service| service == "*" || service == "email")) {
        return Err(Flaw::KeyService);
    }
    let kind = tags.text("k").unwrap_or("rsa");
    let is_rsa = match kind {
        "rsa" => true,
        "ed25519" => false,
        _ => return Err(Flaw::BadKey),
    };
    // mail-auth gets a record of our own making, so that the two of us can't read it differently.
    let plain = [b"k=", kind.as_bytes(), b"; p=", &public_key].concat();
    let inner = DomainKey::parse(&plain).map_err(|_| Flaw::BadKey)?;
    let bits = if is_rsa { modulus_bits(&octets).unwrap_or_else(|| inner.p.public_key_bits()) } else { 0 };
    if bits > MAX_RSA_BITS {
        return Err(Flaw::BadKey);
    }
    let kind: &'static dyn VerificationAlgorithm =
        if is_rsa { &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY } else { &ED25519 };
    let parsed = ParsedPublicKey::new(kind, &octets).ok();
    let flags = tags.elements("t").unwrap_or_default();
    let has_flag = |flag: &str| flags.iter().any(|known| known == flag);
    Ok(Key { inner, parsed, is_rsa, bits, is_testing: has_flag("y"), is_strict: has_flag("s") })
}

/// Bits of the modulus of an RSA key in DER: `RSAPublicKey` (RFC 8017 §A.1.1), alone or in a `SubjectPublicKeyInfo` (RFC 5280
/// §4.1).
fn modulus_bits(der: &[u8]) -> Option<usize> {
    const INTEGER: u8 = 2;
    const BIT_STRING: u8 = 3;
    const SEQUENCE: u8 = 0x30;
    let (key, _) = element(der, SEQUENCE)?;
    let key = match element(key, SEQUENCE) {
        Some((_, rest)) => {
            let (bits, _) = element(rest, BIT_STRING)?;
            element(bits.get(1..)?, SEQUENCE)?.0
        }
        None => key,
    };
    let (modulus, _) = element(key, INTEGER)?;
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    let modulus = modulus.get(zeros..)?;
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}

/// The content of a DER element that has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length.checked_sub(0x80) {
        None => (usize::from(*length), rest),
        Some(octets) => {
            let (long, rest) = rest.split_at_checked(usize::from(octets))?;
            if long.len() > 4 {
                return None;
            }
            (long.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
    };
    rest.split_at_checked(length).filter(|_| *first == tag)
}
