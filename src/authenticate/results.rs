//! Why a signature is no pass, and which of RFC 8601's words that is: the one table.

use crate::facts::MethodResult;

/// Why a signature (or the key that it names) isn't good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Flaw {
    /// The field is no tag list (RFC 6376 §3.2).
    Syntax,
    /// A tag stands there twice (RFC 6376 §3.2).
    DuplicateTag,
    /// A required tag is missing or its value can't be read (RFC 6376 §3.5).
    Tags,
    /// v= is not 1.
    Version,
    /// a=, c= or q= asks for what nobody defined.
    Unknown,
    /// i= is not within d= (RFC 6376 §6.1.1).
    Identity,
    /// h= does not name From (RFC 6376 §5.4).
    FromUnsigned,
    /// a=rsa-sha1 (RFC 8301 §3.1).
    Sha1,
    /// l= ends before the body does: what follows the signed part could be anybody's.
    BodyLength,
    /// l= is more than there is of the body (RFC 6376 §3.5).
    BodyTooShort,
    /// The message has no From that could be signed (RFC 6376 §5.4).
    NoFrom,
    /// More names in h= than are worth their time.
    TooManyNames,
    /// More signatures than are worth their time.
    TooMany,
    /// t= lies in the future (RFC 6376 §3.5).
    Future,
    /// x= has passed.
    Expired,
    /// The DNS can't say now.
    Dns,
    /// There is no key record.
    NoKey,
    /// The key record can't be used.
    BadKey,
    /// p= is empty (RFC 6376 §3.6.1).
    Revoked,
    /// k= is not what a= needs.
    KeyType,
    /// The key's h= leaves out sha256.
    KeyHash,
    /// The key's s= leaves out email.
    KeyService,
    /// t=s, and i= names a subdomain.
    KeyStrict,
    /// RSA under 1024 bits (RFC 8301 §3.2).
    ShortKey,
    /// The body is not the one that was signed.
    Body,
    /// The signature does not verify.
    Signature,
}

impl Flaw {
    /// Result and reason. A field that is no tag list is neutral, as RFC 8601 §2.7.1 has it; one that can be read and says what
    /// RFC 6376 §6.1.1 forbids is permerror, its PERMFAIL.
    pub(super) const fn words(self) -> (MethodResult, &'static str) {
        use MethodResult::{Fail, Neutral, PermError, Policy, TempError};
        match self {
            Flaw::Syntax => (Neutral, "the signature field can't be read"),
            Flaw::DuplicateTag => (Neutral, "a tag stands twice in the signature field"),
            Flaw::Tags => (PermError, "a required tag is missing or malformed"),
            Flaw::Version => (PermError, "the signature has an unknown version"),
            Flaw::Unknown => (PermError, "the signature asks for an unknown algorithm"),
            Flaw::Identity => (PermError, "i= is not within d="),
            Flaw::FromUnsigned => (PermError, "From is not signed"),
            Flaw::Sha1 => (Policy, "rsa-sha1 proves nothing any more"),
            Flaw::BodyLength => (Policy, "only a part of the body is signed (l=)"),
            Flaw::BodyTooShort => (PermError, "l= is more than there is of the body"),
            Flaw::NoFrom => (PermError, "there is no From"),
            Flaw::TooManyNames => (Policy, "too many names in h="),
            Flaw::TooMany => (Policy, "too many signatures, this one was not looked at"),
            Flaw::Future => (Policy, "the signature is from the future"),
            Flaw::Expired => (Fail, "the signature has expired"),
            Flaw::Dns => (TempError, "the key can't be looked up now"),
            Flaw::NoKey => (PermError, "there is no key"),
            Flaw::BadKey => (PermError, "the key record can't be used"),
            Flaw::Revoked => (PermError, "the key was revoked"),
            Flaw::KeyType => (PermError, "the key is of another type than the signature"),
            Flaw::KeyHash => (PermError, "the key is not for sha256"),
            Flaw::KeyService => (PermError, "the key is not for mail"),
            Flaw::KeyStrict => (PermError, "the key is not for subdomains (t=s)"),
            Flaw::ShortKey => (Policy, "the RSA key is shorter than 1024 bits"),
            Flaw::Body => (Fail, "the body was changed"),
            Flaw::Signature => (Fail, "the signature does not verify"),
        }
    }

    /// Its result.
    pub(super) const fn result(self) -> MethodResult {
        self.words().0
    }
}

/// What is added to the reason where the key's owner is only testing (RFC 6376 §3.6.1 t=y).
pub(super) const TESTING: &str = "; the key's owner is testing (t=y)";
