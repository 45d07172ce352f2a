//! `check_host()` (RFC 7208 §4 to §6): evaluates a domain's record for a client.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use futures_util::future::join_all;
use ipnet::IpNet;

use super::super::resolver::{Answer, DnsName, Resolver};
use super::macros::{MacroString, Target, Values};
use super::record::{Directive, DualCidr, Mechanism, Record, Selected, select};
use crate::facts::MethodResult;

/// Terms of one evaluation that ask the DNS (RFC 7208 §4.6.4).
const LOOK_UPS: u32 = 10;
/// Terms of one evaluation to which the DNS had nothing to say (RFC 7208 §4.6.4).
const VOID_LOOK_UPS: u32 = 2;
/// Exchangers of one `mx`, names of one `ptr` (RFC 7208 §4.6.4).
const NAMES: usize = 10;
/// Octets of records that are read in one go; then others have their turn.
const IN_ONE_GO: usize = 8 * 1024;

/// One evaluation; the limits hold for all of it, includes and redirects too.
pub(super) struct Check<'a> {
    resolver: &'a Resolver,
    ip: IpAddr,
    local: &'a str,
    sender_domain: &'a str,
    helo: &'a str,
    look_ups: u32,
    void_look_ups: u32,
    /// Octets of records since others had their turn.
    read: usize,
    /// The client's PTR names that have its address, once they were asked for.
    validated: Option<Vec<DnsName>>,
}

/// temperror or permerror: ends the evaluation wherever it is.
struct Broken(MethodResult);

const TEMP_ERROR: Broken = Broken(MethodResult::TempError);
const PERM_ERROR: Broken = Broken(MethodResult::PermError);

type Evaluation<'c, T> = Pin<Box<dyn Future<Output = Result<T, Broken>> + Send + 'c>>;

impl<'a> Check<'a> {
    /// An evaluation for this client and sender.
    pub fn new(resolver: &'a Resolver, ip: IpAddr, local: &'a str, sender_domain: &'a str, helo: &'a str) -> Check<'a> {
        let ip = ip.to_canonical();
        Check { resolver, ip, local, sender_domain, helo, look_ups: 0, void_look_ups: 0, read: 0, validated: None }
    }

    /// The result for `domain`, which must be a name of several labels (RFC 7208 §4.3).
    pub async fn run(mut self, name: &DnsName, domain: &str) -> MethodResult {
        match self.check_host(name, domain).await {
            Ok(result) | Err(Broken(result)) => result,
        }
    }

    /// RFC 7208 §4.4 to §4.7. Boxed because includes and redirects call it again; the limit of look-ups bounds the depth.
    fn check_host<'c>(&'c mut self, name: &'c DnsName, domain: &'c str) -> Evaluation<'c, MethodResult> {
        Box::pin(async move {
            let records = match self.resolver.txt(name).await {
                Answer::Found(records) => records,
                Answer::NoData | Answer::NxDomain => return Ok(MethodResult::None),
                Answer::Trouble(_) => return Err(TEMP_ERROR),
            };
            let record = match select(&records) {
                Selected::Missing => return Ok(MethodResult::None),
                Selected::Several => return Err(PERM_ERROR),
                Selected::One(record) => {
                    self.make_way(record.len()).await;
                    Record::parse(record).map_err(|_| PERM_ERROR)?
                }
            };
            for Directive { result, mechanism } in &record.directives {
                if self.matches(mechanism, name, domain).await? {
                    return Ok(*result);
                }
            }
            match &record.redirect {
                Some(target) => self.redirect(target, domain).await,
                None => Ok(MethodResult::Neutral),
            }
        })
    }

    /// RFC 7208 §6.1: the target's result is the result, but one without a record is permerror.
    async fn redirect(&mut self, target: &MacroString, domain: &str) -> Result<MethodResult, Broken> {
        self.count_look_up()?;
        let Target::Name(name, text) = self.expand(target, domain).await else { return Err(PERM_ERROR) };
        match self.check_host(&name, &text).await? {
            MethodResult::None => Err(PERM_ERROR),
            result => Ok(result),
        }
    }

    async fn matches(&mut self, mechanism: &Mechanism, name: &DnsName, domain: &str) -> Result<bool, Broken> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network) => Ok(IpNet::V4(*network).contains(&self.ip)),
            Mechanism::Ip6(network) => Ok(IpNet::V6(*network).contains(&self.ip)),
            Mechanism::Include(target) => self.include(target, domain).await,
            Mechanism::A(target, cidr) => {
                self.count_look_up()?;
                let Some(target) = self.target_or(target.as_ref(), name, domain).await else { return Ok(false) };
                let answer = self.resolver.addresses(&target, self.ip).await;
                self.count_void(answer.is_void())?;
                let addresses = answer.records().map_err(|_| TEMP_ERROR)?;
                Ok(addresses.iter().any(|address| cidr.covers(*address, self.ip)))
            }
            Mechanism::Mx(target, cidr) => {
                self.count_look_up()?;
                let Some(target) = self.target_or(target.as_ref(), name, domain).await else { return Ok(false) };
                self.mx(&target, *cidr).await
            }
            Mechanism::Ptr(target) => {
                self.count_look_up()?;
                let Some(target) = self.target_or(target.as_ref(), name, domain).await else { return Ok(false) };
                let void = self.validate_names().await;
                self.count_void(void)?;
                Ok(self.validated.iter().flatten().any(|name| name.is_within(&target)))
            }
            Mechanism::Exists(target) => {
                self.count_look_up()?;
                let Target::Name(target, _) = self.expand(target, domain).await else { return Ok(false) };
                // RFC 7208 §5.7: type A, whatever the client's family.
                let answer = self.resolver.a(&target).await;
                self.count_void(answer.is_void())?;
                Ok(!answer.records().map_err(|_| TEMP_ERROR)?.is_empty())
            }
        }
    }

    /// RFC 7208 §5.2: only a pass matches; a target without a record, or that is no name, is permerror.
    async fn include(&mut self, target: &MacroString, domain: &str) -> Result<bool, Broken> {
        self.count_look_up()?;
        let (name, text) = match self.expand(target, domain).await {
            Target::Name(name, text) => (name, text),
            Target::NeverMatches => return Ok(false),
            Target::Malformed => return Err(PERM_ERROR),
        };
        match self.check_host(&name, &text).await? {
            MethodResult::Pass => Ok(true),
            MethodResult::None => Err(PERM_ERROR),
            _ => Ok(false),
        }
    }

    /// RFC 7208 §5.4. The exchangers are looked up side by side; one that matches outweighs trouble with another.
    async fn mx(&mut self, target: &DnsName, cidr: DualCidr) -> Result<bool, Broken> {
        let exchangers = self.resolver.mx(target).await;
        let void = exchangers.is_void();
        let exchangers = exchangers.records().map_err(|_| TEMP_ERROR)?;
        if exchangers.len() > NAMES {
            return Err(PERM_ERROR);
        }
        let named = exchangers.iter().filter(|exchanger| !exchanger.name.is_root());
        let answers = join_all(named.map(|exchanger| self.resolver.addresses(&exchanger.name, self.ip))).await;
        // A term counts as void once, and where it came to nothing at all: hosts of the other family alone are common.
        self.count_void(void || (!answers.is_empty() && answers.iter().all(|answer| *answer == Answer::NxDomain)))?;
        let mut trouble = false;
        for answer in answers {
            match answer.records() {
                Ok(addresses) if addresses.iter().any(|address| cidr.covers(*address, self.ip)) => return Ok(true),
                Ok(_) => {}
                Err(_) => trouble = true,
            }
        }
        if trouble { Err(TEMP_ERROR) } else { Ok(false) }
    }

    /// Finds the client's names that have its address (RFC 7208 §5.5), once an evaluation. Trouble means that there is none.
    /// Tells whether the DNS had no name at all.
    async fn validate_names(&mut self) -> bool {
        if self.validated.is_some() {
            return false;
        }
        let answer = self.resolver.ptr(self.ip).await;
        let void = answer.is_void();
        let mut names = answer.records().unwrap_or_default();
        names.truncate(NAMES);
        let confirmed = join_all(names.iter().map(|name| self.resolver.addresses(name, self.ip))).await;
        let confirmed = names.into_iter().zip(confirmed).filter_map(|(name, answer)| {
            let addresses = answer.records().unwrap_or_default();
            addresses.contains(&self.ip).then_some(name)
        });
        self.validated = Some(confirmed.collect());
        void
    }

    /// The value of `%{p}` (RFC 7208 §7.3): the domain itself, else a name below it, else any, else `unknown`.
    async fn validated_name(&mut self, domain: &str) -> String {
        self.validate_names().await;
        let domain = DnsName::parse(domain);
        let names = self.validated.as_deref().unwrap_or_default();
        let the_domain = names.iter().find(|name| Some(*name) == domain.as_ref());
        let below = || names.iter().find(|name| domain.as_ref().is_some_and(|domain| name.is_within(domain)));
        the_domain.or_else(below).or(names.first()).map_or_else(|| "unknown".to_owned(), DnsName::to_string)
    }

    async fn expand(&mut self, target: &MacroString, domain: &str) -> Target {
        let validated = if target.needs_validated_name() { self.validated_name(domain).await } else { String::new() };
        target.target(&Values {
            local: self.local,
            sender_domain: self.sender_domain,
            domain,
            ip: self.ip,
            validated_name: &validated,
            helo: self.helo,
        })
    }

    /// The name that a mechanism speaks of; without a `domain-spec` the current one. `None`: nothing that could match
    /// (RFC 7208 §4.8 leaves a malformed name undefined; like most we say that the mechanism doesn't match).
    async fn target_or(&mut self, target: Option<&MacroString>, current: &DnsName, domain: &str) -> Option<DnsName> {
        let Some(target) = target else { return Some(current.clone()) };
        match self.expand(target, domain).await {
            Target::Name(name, _) => Some(name),
            Target::Malformed | Target::NeverMatches => None,
        }
    }

    /// Lets others have their turn before so many octets more are read than one goes on with: all records may be in the cache.
    async fn make_way(&mut self, octets: usize) {
        self.read += octets;
        if self.read > IN_ONE_GO {
            self.read = octets;
            tokio::task::yield_now().await;
        }
    }

    fn count_look_up(&mut self) -> Result<(), Broken> {
        self.look_ups += 1;
        if self.look_ups > LOOK_UPS { Err(PERM_ERROR) } else { Ok(()) }
    }

    fn count_void(&mut self, void: bool) -> Result<(), Broken> {
        self.void_look_ups += u32::from(void);
        if self.void_look_ups > VOID_LOOK_UPS { Err(PERM_ERROR) } else { Ok(()) }
    }
}

impl DualCidr {
    /// Whether `ip` is in the network of `address` (RFC 7208 §5.3); never across families.
    fn covers(self, address: IpAddr, ip: IpAddr) -> bool {
        let length = if address.is_ipv4() { self.v4 } else { self.v6 };
        IpNet::new(address, length).is_ok_and(|network| network.contains(&ip))
    }
}
