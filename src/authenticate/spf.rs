//! SPF (RFC 7208), whole and our own: mail-auth's differs from the RFC in too many places to be mended from outside (two
//! records, syntax errors beside other TXT records, void look-ups, `%{p}` that isn't validated, includes within includes).
//!
//! `exp=` is checked for its syntax and never fetched: its text is whatever the sender's domain wants read.

mod check;
mod macros;
mod record;

use std::net::IpAddr;

use check::Check;

use super::Authenticator;
use super::resolver::DnsName;
use crate::facts::{MethodResult, Spf};
use crate::smtp::address::{Host, ReversePath};

impl Authenticator {
    /// SPF of the HELO identity (RFC 7208 §2.3): none where the argument of EHLO or HELO is no domain name.
    pub async fn spf_helo(&self, ip: IpAddr, helo: &str) -> Spf {
        match helo_domain(helo) {
            Some(domain) => self.check_host(ip, &domain, "", helo).await,
            None => Spf::default(),
        }
    }

    /// SPF of the MAIL FROM identity (RFC 7208 §2.4): none for the null reverse-path (whose HELO identity is judged on its
    /// own) and for an address literal.
    pub async fn spf_mail_from(&self, ip: IpAddr, helo: &str, mail_from: &ReversePath) -> Spf {
        match mail_from {
            ReversePath::Mailbox(mailbox) => match &mailbox.host {
                Host::Name(domain) => self.check_host(ip, domain.as_str(), &mailbox.local, helo).await,
                Host::Literal(_) => Spf::default(),
            },
            ReversePath::Null => Spf::default(),
        }
    }

    /// RFC 7208 §4.1, with `local_part@domain` as the sender. An empty local-part is `postmaster` (§4.3). Ends with temperror
    /// at the check's deadline.
    // DEVIATES RFC 7208 §4.6.4: 10 s where it suggests 20, because all evidence of a message has to be there within 30.
    pub async fn check_host(&self, ip: IpAddr, domain: &str, local_part: &str, helo: &str) -> Spf {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let Some(name) = DnsName::parse(domain).filter(|name| domain.contains('.') && name.as_address().is_none())
        else {
            return Spf::default();
        };
        let local_part = if local_part.is_empty() { "postmaster" } else { local_part };
        let check = Check::new(self.resolver(), ip, local_part, domain, helo).run(&name, domain);
        let result = tokio::time::timeout(self.check_deadline(), check).await.unwrap_or(MethodResult::TempError);
        Spf { result, domain: domain.to_ascii_lowercase() }
    }
}

/// The domain of an EHLO argument as A-labels: no address literal, no text that isn't a host name. An underscore is let
/// pass, as many hosts have one.
fn helo_domain(helo: &str) -> Option<String> {
    let domain = if helo.is_ascii() { helo.to_ascii_lowercase() } else { idna::domain_to_ascii(helo).ok()? };
    let domain = domain.strip_suffix('.').unwrap_or(&domain);
    let named = domain.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
    named.then(|| domain.to_owned())
}
