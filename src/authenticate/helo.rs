//! The argument of EHLO or HELO: is it a name or an address literal, and does it lead to the client? RFC 5321 §4.1.4 forbids to refuse
//! mail for a name that does not, so this is evidence like any other.

use std::net::IpAddr;

use futures_util::future::join;

use super::Authenticator;
use super::iprev::NAMES;
use super::resolver::{Answer, DnsName, Share};
use crate::facts::{HeloCheck, HeloKind, HeloResult};
use crate::smtp::address::{Domain, Host};

impl Authenticator {
    /// Looks at the argument of EHLO or HELO.
    ///
    /// A name passes where one of its addresses is the client's, fails where it has others only, and is a permerror where it has none at
    /// all. Nothing is looked up for an empty or invalid one.
    pub async fn helo(&self, ip: IpAddr, helo: &str) -> HeloCheck {
        let ip = ip.to_canonical();
        let check = |kind, result| HeloCheck { kind, result, matches_ptr: false };
        match read(helo) {
            None if helo.is_empty() => HeloCheck::default(),
            None => check(HeloKind::Invalid, HeloResult::None),
            Some(Host::Literal(literal)) if literal.to_canonical() == ip => check(HeloKind::Literal, HeloResult::Pass),
            Some(Host::Literal(_)) => check(HeloKind::Literal, HeloResult::Fail),
            Some(Host::Name(domain)) => {
                let checked = tokio::time::timeout(self.check_deadline(), self.helo_name(ip, &domain)).await;
                checked.unwrap_or(check(HeloKind::Domain, HeloResult::TempError))
            }
        }
    }

    async fn helo_name(&self, ip: IpAddr, domain: &Domain) -> HeloCheck {
        let Some(name) = DnsName::parse(domain.as_str()) else {
            return HeloCheck { kind: HeloKind::Invalid, ..HeloCheck::default() };
        };
        let resolver = self.resolver().on(Share::Client);
        let addresses = join(resolver.a(&name), resolver.aaaa(&name));
        let (addresses, reverse) = join(addresses, resolver.ptr(ip)).await;
        let of_client = match ip {
            IpAddr::V4(ip) => matches!(&addresses.0, Answer::Found(found) if found.contains(&ip)),
            IpAddr::V6(ip) => matches!(&addresses.1, Answer::Found(found) if found.contains(&ip)),
        };
        let found = matches!(addresses.0, Answer::Found(_)) || matches!(addresses.1, Answer::Found(_));
        // what is not known of the other family takes nothing away from what is known of the client's
        let trouble = match ip {
            IpAddr::V4(_) => matches!(addresses.0, Answer::Trouble(_)),
            IpAddr::V6(_) => matches!(addresses.1, Answer::Trouble(_)),
        };
        let other_trouble = matches!(addresses.0, Answer::Trouble(_)) || matches!(addresses.1, Answer::Trouble(_));
        let result = if of_client {
            HeloResult::Pass
        } else if trouble {
            HeloResult::TempError
        } else if found {
            HeloResult::Fail
        } else if other_trouble {
            HeloResult::TempError
        } else {
            HeloResult::PermError
        };
        let matches_ptr =
            matches!(&reverse, Answer::Found(names) if names.iter().take(NAMES).any(|other| *other == name));
        HeloCheck { kind: HeloKind::Domain, result, matches_ptr }
    }
}

/// The domain or address literal; `None` for anything else. A single label is no fully-qualified name (RFC 5321 §2.3.5), and what
/// ends in a label of digits is an address that lacks its brackets.
fn read(helo: &str) -> Option<Host> {
    let host = Host::parse(helo).ok()?;
    if let Host::Name(domain) = &host {
        let (_, last) = domain.as_str().rsplit_once('.')?;
        if last.bytes().all(|octet| octet.is_ascii_digit()) {
            return None;
        }
    }
    Some(host)
}
