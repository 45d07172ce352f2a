//! Reverse MX: whether the client's address belongs to one of a domain's mail exchangers.
//!
//! The domain's exchangers are found as a sender of mail would find them: MX records, null MX (RFC 7505), the domain itself
//! where it has no MX but an address (RFC 5321 §5.1). Big senders send from hosts that are no exchangers of theirs, so a
//! fail alone says little; a pass says that whoever sends also receives for that domain.

use std::collections::HashSet;
use std::future::Future;
use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::Authenticator;
use super::resolver::{Answer, DnsName, Exchanger, Resolver, Share, Trouble};
use crate::facts::{Mx, ReverseMx, ReverseMxResult};

/// Exchangers of a domain that are looked at, those first that senders prefer.
const EXCHANGERS: usize = 50;
/// Look-ups of exchangers that are under way at once.
const SIDE_BY_SIDE: usize = 10;
/// Exchangers of a domain that are asked for on reverse MX's own share; the others are asked for while there are look-ups left.
const PREFERRED: usize = 2;

impl Authenticator {
    /// Reverse MX of `domain` (A-labels) for the client `ip`. Nothing is asked for an empty domain, an address literal or a
    /// text that is no name: result none, and how mail goes there is not known.
    pub async fn reverse_mx(&self, domain: &str, ip: IpAddr) -> ReverseMx {
        let asked = DnsName::parse(domain).filter(|name| name.as_address().is_none());
        let Some(name) = asked else { return ReverseMx { domain: domain.to_owned(), ..ReverseMx::default() } };
        let (resolver, secured) = self.resolver().on(Share::Exchangers).secured();
        let (more, deadline) = (resolver.on(Share::MoreExchangers), Instant::now() + self.check_deadline());
        let check = Check { resolver: &resolver, more: &more, ip: ip.to_canonical(), deadline };
        let (result, mx) = check.run(&name).await;
        ReverseMx { domain: domain.to_owned(), result, mx, secure: secured.holds() }
    }
}

struct Check<'a> {
    resolver: &'a Resolver,
    /// Asks for the exchangers beyond the preferred ones.
    more: &'a Resolver,
    ip: IpAddr,
    deadline: Instant,
}

impl Check<'_> {
    async fn run(&self, domain: &DnsName) -> (ReverseMxResult, Mx) {
        match self.in_time(self.resolver.mx(domain)).await {
            Answer::Found(exchangers) => self.explicit(exchangers).await,
            Answer::NoData => self.implicit(domain).await,
            Answer::NxDomain => (ReverseMxResult::None, Mx::Missing),
            Answer::Trouble(_) => (ReverseMxResult::TempError, Mx::Unknown),
        }
    }

    /// RFC 5321 §5.1: without MX records the domain is its own exchanger, if it has an address of either family.
    async fn implicit(&self, domain: &DnsName) -> (ReverseMxResult, Mx) {
        let (v4, v6) =
            futures_util::future::join(self.in_time(self.resolver.a(domain)), self.in_time(self.resolver.aaaa(domain)))
                .await;
        let has_address = matches!(v4, Answer::Found(_)) || matches!(v6, Answer::Found(_));
        let trouble = matches!(v4, Answer::Trouble(_)) || matches!(v6, Answer::Trouble(_));
        let of_ours = match self.ip {
            IpAddr::V4(ip) => v4.records().map(|addresses| addresses.contains(&ip)),
            IpAddr::V6(ip) => v6.records().map(|addresses| addresses.contains(&ip)),
        };
        match of_ours {
            Ok(true) => (ReverseMxResult::Pass, Mx::Implicit),
            Ok(false) if has_address => (ReverseMxResult::Fail, Mx::Implicit),
            Ok(false) if trouble => (ReverseMxResult::TempError, Mx::Unknown),
            Ok(false) => (ReverseMxResult::None, Mx::Missing),
            Err(_) => (ReverseMxResult::TempError, if has_address { Mx::Implicit } else { Mx::Unknown }),
        }
    }

    /// A match outweighs everything; then trouble, since the exchanger in trouble may be the client; then what keeps us from
    /// saying that every exchanger was looked at.
    async fn explicit(&self, mut exchangers: Vec<Exchanger>) -> (ReverseMxResult, Mx) {
        // RFC 7505 §3: a null MX stands alone; beside others it says nothing.
        exchangers.retain(|exchanger| !exchanger.name.is_root());
        if exchangers.is_empty() {
            return (ReverseMxResult::None, Mx::Null);
        }
        exchangers.sort_by_key(|exchanger| exchanger.preference);
        if exchangers.len() > 1 {
            let mut seen = HashSet::new();
            exchangers.retain(|exchanger| seen.insert(exchanger.name.clone()));
        }
        let too_many = exchangers.len() > EXCHANGERS;
        exchangers.truncate(EXCHANGERS);

        // RFC 5321 §5.1: an exchanger is a name. An address in its place looks like one and leads nowhere.
        let names = exchangers.into_iter().map(|exchanger| exchanger.name);
        let (addresses, names): (Vec<DnsName>, Vec<DnsName>) = names.partition(|name| name.as_address().is_some());
        let result = match self.any_is_the_client(names).await {
            Ok(true) => ReverseMxResult::Pass,
            Err(_) => ReverseMxResult::TempError,
            Ok(false) if too_many || !addresses.is_empty() => ReverseMxResult::PermError,
            Ok(false) => ReverseMxResult::Fail,
        };
        (result, Mx::Explicit)
    }

    /// Whether one of these has the client's address; else whether there was trouble.
    async fn any_is_the_client(&self, names: Vec<DnsName>) -> Result<bool, Trouble> {
        let is_client = async |(place, name): (usize, DnsName)| {
            let resolver = if place < PREFERRED { self.resolver } else { self.more };
            let addresses = self.in_time(resolver.addresses(&name, self.ip)).await.records()?;
            Ok(addresses.contains(&self.ip))
        };
        // Most have one, which needs nobody to look after it.
        let names = match <[DnsName; 1]>::try_from(names) {
            Ok([only]) => return is_client((0, only)).await,
            Err(names) => names,
        };
        let mut answers = stream::iter(names.into_iter().enumerate()).map(is_client).buffer_unordered(SIDE_BY_SIDE);
        let mut outcome = Ok(false);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(true) => return answer,
                Ok(false) => {}
                Err(_) => outcome = answer,
            }
        }
        outcome
    }

    /// A look-up that is given up at the check's deadline.
    async fn in_time<T>(&self, look_up: impl Future<Output = Answer<T>>) -> Answer<T> {
        timeout_at(self.deadline, look_up).await.unwrap_or(Answer::Trouble(Trouble::Timeout))
    }
}
