//! Where we say something else than a suite expects, and why. `docs/conformance.md` is held to this list.

/// One case of a suite.
pub struct Deviation {
    pub suite: &'static str,
    /// As the suite names it.
    pub case: &'static str,
    /// What we say.
    pub ours: &'static str,
    pub reason: &'static str,
}

const fn by(suite: &'static str, case: &'static str, ours: &'static str, reason: &'static str) -> Deviation {
    Deviation { suite, case, ours, reason }
}

const LENGTH: &str = "RFC 6376 §8.2: text was added behind what l= covers, and it would stand under the signer's name";
const TESTING: &str = "RFC 6376 §3.6.1: the key has t=y, so a failure is as if there were no signature";
const SHA1: &str = "RFC 8301 §3.1: rsa-sha1 must not be verified; nothing else about the signature is looked at";
const ORGANIZATION: &str = "RFC 9989 §4.10.2: a tree walk, not the public suffix list. mom.za.org publishes nothing, so my.mom.za.org \
                            is an organization of its own";
const PCT: &str = "RFC 9989 §A.6: pct= is historic and changes nothing";

/// All of them.
pub const ALL: &[Deviation] = &[
    by(
        "address-flanker",
        "bob@under_scope",
        "refused as a path",
        "RFC 5321 §2.3.5: a host's name has no underscore; in From it is taken",
    ),
    by(
        "address-flanker",
        "Bill Gates <\"billy\"@retired.Micr!osoft99.com>",
        "bad-domain",
        "RFC 1035 §2.3.1: no name that mail could go to or a policy stand at",
    ),
    by(
        "address-flanker",
        "partially.\"quoted\"@sld.com",
        "taken in From",
        "RFC 5322 §4.4: obs-local-part joins words with dots",
    ),
    by(
        "address-flanker",
        "first.\"\".last@iana.org",
        "taken in From",
        "RFC 5322 §4.4: obs-local-part joins words with dots",
    ),
    by(
        "address-flanker",
        "a local-part over 64 octets",
        "taken in From",
        "RFC 5322 §3.4.1 has no bound; RFC 5321 §4.5.3.1.1 bounds the envelope",
    ),
    by(
        "dkim-chasquid",
        "02-too_many_headers",
        "pass pass pass pass pass pass pass",
        "our bound is ten signatures, theirs five (RFC 6376 §6.1 leaves it to us)",
    ),
    by("dkim-chasquid", "09-limited_body", "policy pass pass", LENGTH),
    by("dkim-opendkim", "opendkim-28", "policy", LENGTH),
    by("dkim-opendkim", "opendkim-29", "policy", LENGTH),
    by("dkim-opendkim", "opendkim-30", "policy", LENGTH),
    by("dkim-opendkim", "opendkim-31", "policy", LENGTH),
    by("dkim-opendkim", "opendkim-35", "none", TESTING),
    by("dkim-opendkim", "opendkim-48", "none", TESTING),
    by("dkim-opendkim", "opendkim-70", "none", TESTING),
    by("dkim-opendkim", "opendkim-63", "policy", SHA1),
    by("dkim-opendkim", "opendkim-66", "policy", SHA1),
    by("dkim-opendkim", "opendkim-82", "policy", SHA1),
    by("dkim-opendkim", "opendkim-95", "policy", SHA1),
    by("dkim-opendkim", "opendkim-98", "policy", SHA1),
    by("dkim-opendkim", "opendkim-102", "policy", SHA1),
    by("dkim-opendkim", "opendkim-103", "policy", SHA1),
    by("dkim-opendkim", "opendkim-104", "policy", SHA1),
    by("dkim-opendkim", "opendkim-125", "policy", SHA1),
    by(
        "dkim-opendkim",
        "opendkim-76",
        "permerror",
        "RFC 6376 §6.1.1: b= is required, a signature without it is there and is PERMFAIL",
    ),
    by(
        "dmarc-rfc9989",
        "does not inherit the org policy when the author domain publishes multiple records (§4.10 step 2)",
        "fail",
        "RFC 9989 §4.10 steps 2 and 6: several records at a name are all discarded, and §4.10.1 goes on with the walk where the first \
         query found no valid record",
    ),
    by("e2e-rspamd", "DMARC SUBDOMAIN PASS DKIM RELAXED ALIGNMENT", "DMARC_POLICY_REJECT", ORGANIZATION),
    by("e2e-rspamd", "DMARC SUBDOMAIN PASS SPF RELAXED ALIGNMENT", "DMARC_POLICY_REJECT", ORGANIZATION),
    by("e2e-rspamd", "DMARC PCT ZERO REJECT", "DMARC_POLICY_REJECT", PCT),
    by("e2e-rspamd", "DMARC PCT ZERO SP QUARANTINE", "DMARC_POLICY_QUARANTINE", PCT),
    by(
        "e2e-rspamd",
        "SPF FAIL UNRESOLVEABLE INCLUDE",
        "R_SPF_PERMFAIL",
        "RFC 7208 §5.2: an include whose target has no record is permerror",
    ),
    by(
        "e2e-rspamd",
        "SPF ALLOW DNS REQUESTS AT LIMIT",
        "R_SPF_PERMFAIL",
        "RFC 7208 §4.6.4: ten terms that ask the DNS, not thirty requests",
    ),
    by(
        "e2e-rspamd",
        "DKIM Unparseable Signatures Count Towards Limit",
        "R_DKIM_ALLOW",
        "our bound is ten signatures, theirs five (RFC 6376 §6.1 leaves it to us)",
    ),
    by(
        "e2e-rspamd",
        "ARC ALLOW CHECK",
        "ARC_INVALID",
        "RFC 8617 §5.2: the data lacks the sealers' keys, which rspamd's test asks the real DNS for",
    ),
    by(
        "spf-pyspf-extra",
        "default-modifier",
        "neutral",
        "RFC 7208 §6: default= is unknown, and unknown modifiers are ignored; the case asks for pyspf's lax mode",
    ),
    by(
        "spf-pyspf-extra",
        "default-modifier-harsh",
        "neutral",
        "RFC 7208 §6: as above, for a mode that warns; there is no result \"ambiguous\"",
    ),
];

/// What we say where it is not what the suite says.
pub fn ours(suite: &str, case: &str) -> Option<&'static str> {
    ALL.iter().find(|one| one.suite == suite && one.case == case).map(|one| one.ours)
}

/// The cases of one suite in the list: each has to be met by the suite's test.
pub fn cases(suite: &str) -> Vec<&'static str> {
    ALL.iter().filter(|one| one.suite == suite).map(|one| one.case).collect()
}
