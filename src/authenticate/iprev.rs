//! The client's reverse name (RFC 8601 §2.7.3): its PTR names, each of which must have the client's address.

use std::net::IpAddr;

use futures_util::future::join_all;

use super::Authenticator;
use super::resolver::{Answer, DnsName, Resolver, Share};
use crate::facts::{Iprev, IprevResult};

/// PTR names that are looked at; whoever holds an address can publish thousands (RFC 7208 §4.6.4 has the same bound).
pub(super) const NAMES: usize = 10;

impl Authenticator {
    /// iprev: pass where one of the PTR names has the client's address, permerror where there is no PTR name, temperror where
    /// the DNS couldn't tell. The name is the confirmed one, else the first.
    pub async fn iprev(&self, ip: IpAddr) -> Iprev {
        let resolver = self.resolver().on(Share::Client);
        let checked = tokio::time::timeout(self.check_deadline(), check(&resolver, ip.to_canonical()));
        checked.await.unwrap_or(Iprev { result: IprevResult::TempError, name: String::new() })
    }
}

async fn check(resolver: &Resolver, ip: IpAddr) -> Iprev {
    let without_name = |result| Iprev { result, name: String::new() };
    let mut names = match resolver.ptr(ip).await {
        Answer::Found(names) => names,
        Answer::NoData | Answer::NxDomain => return without_name(IprevResult::PermError),
        Answer::Trouble(_) => return without_name(IprevResult::TempError),
    };
    names.truncate(NAMES);
    let look_ups: Vec<_> = names.iter().map(|name| resolver.addresses(name, ip)).collect();
    let answers = join_all(look_ups).await;
    let confirms = |answer: &Answer<IpAddr>| matches!(answer, Answer::Found(addresses) if addresses.contains(&ip));
    let confirmed = names.iter().zip(&answers).find(|(_, answer)| confirms(answer));
    let result = if confirmed.is_some() {
        IprevResult::Pass
    } else if answers.iter().any(|answer| matches!(answer, Answer::Trouble(_))) {
        IprevResult::TempError
    } else {
        IprevResult::Fail
    };
    let name = confirmed.map(|(name, _)| name).or(names.first());
    Iprev { result, name: name.map(DnsName::to_string).unwrap_or_default() }
}
