//! The DMARC policy record (RFC 9989 §4.7, §4.8).

use crate::facts::DmarcPolicy;

/// Octets of a record that are read.
const MAX_RECORD: usize = 8192;

/// psd=
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Psd {
    /// The domain is a public suffix.
    Yes,
    /// It is an organizational domain.
    No,
    /// It does not say.
    Unknown,
}

/// A value that is absent, good or not one of those allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stated {
    Absent,
    Policy(DmarcPolicy),
    Invalid,
}

/// A policy record; what it does not say has its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    domain: Stated,
    subdomain: Stated,
    nonexistent: Stated,
    has_reporting_uri: bool,
    /// adkim=s
    pub(super) strict_dkim: bool,
    /// aspf=s
    pub(super) strict_spf: bool,
    pub(super) psd: Psd,
    /// t=y
    pub(super) is_testing: bool,
}

/// The policies of a record, each with what stands in for it where it is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policies {
    /// p=
    pub(super) domain: DmarcPolicy,
    /// sp=, else p=
    pub(super) subdomain: DmarcPolicy,
    /// np=, else sp=, else p=
    pub(super) nonexistent: DmarcPolicy,
}

impl Record {
    /// Reads a TXT record. `None` where it is none of DMARC: the first tag must be v=DMARC1, in that case. Unknown tags, and
    /// what is no tag, are passed over (§4.7).
    pub(super) fn parse(text: &[u8]) -> Option<Record> {
        let text = std::str::from_utf8(text.get(..text.len().min(MAX_RECORD))?).ok()?;
        let mut tags = text.split(';').map(|tag| tag.split_once('=').map(|(name, value)| (trim(name), trim(value))));
        let (name, version) = tags.next()??;
        if !name.eq_ignore_ascii_case("v") || version != "DMARC1" {
            return None;
        }
        let mut record = Record {
            domain: Stated::Absent,
            subdomain: Stated::Absent,
            nonexistent: Stated::Absent,
            has_reporting_uri: false,
            strict_dkim: false,
            strict_spf: false,
            psd: Psd::Unknown,
            is_testing: false,
        };
        for (name, value) in tags.flatten() {
            let is = |word: &str| value.eq_ignore_ascii_case(word);
            match name.to_ascii_lowercase().as_str() {
                "p" => record.domain = policy(value),
                "sp" => record.subdomain = policy(value),
                "np" => record.nonexistent = policy(value),
                "rua" => record.has_reporting_uri = value.split(',').any(is_uri),
                "adkim" => record.strict_dkim = is("s"),
                "aspf" => record.strict_spf = is("s"),
                "t" => record.is_testing = is("y"),
                "psd" if is("y") => record.psd = Psd::Yes,
                "psd" if is("n") => record.psd = Psd::No,
                _ => {}
            }
        }
        Some(record)
    }

    /// The policies (§4.10.1). A record without a valid p=, or with an sp= or np= that is not valid, counts as p=none where
    /// reports are asked for; otherwise DMARC does not apply: `None`.
    pub(super) fn policies(&self) -> Option<Policies> {
        let invalid = [self.subdomain, self.nonexistent].contains(&Stated::Invalid);
        match self.domain {
            Stated::Policy(domain) if !invalid => {
                let or = |stated, default| if let Stated::Policy(policy) = stated { policy } else { default };
                let subdomain = or(self.subdomain, domain);
                Some(Policies { domain, subdomain, nonexistent: or(self.nonexistent, subdomain) })
            }
            _ if self.has_reporting_uri => {
                let none = DmarcPolicy::None;
                Some(Policies { domain: none, subdomain: none, nonexistent: none })
            }
            _ => None,
        }
    }
}

fn policy(value: &str) -> Stated {
    DmarcPolicy::from_word(&value.to_ascii_lowercase()).map_or(Stated::Invalid, Stated::Policy)
}

/// Whether a text has the form of a URI: a scheme (RFC 3986 §3.1) and something behind it; an address for mailto.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = trim(text).split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let is_mail = scheme.eq_ignore_ascii_case("mailto");
    let has_address = rest.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    is_scheme && !rest.is_empty() && !rest.contains(char::is_whitespace) && (!is_mail || has_address)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
