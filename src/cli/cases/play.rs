//! Brings a case through the stages: the same as in serving, over a DNS server of this process that has the case's zone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Bench;
use super::case::Case;
use crate::authenticate::Dns;
use crate::cli::try_::send;
use crate::config::Config;
use crate::demo::dns::DnsServer;
use crate::facts::Tls;
use crate::facts::record::Record;
use crate::observe::metrics::Metrics;
use crate::policy::Policy;
use crate::receive::{Carrier, Inquiry, Limits, Memory, Policies, Receiver, authenticator};
use crate::recipients::{Directory, DirectoryBuilder};
use crate::server::block_lists;
use crate::smtp::address::{Domain, ForwardPath, Host};

/// How long an answer of the DNS may take: it is here or does not come.
const ANSWER: Duration = Duration::from_secs(2);
/// Our name, where there is no configuration.
const HOSTNAME: &str = "mx.gatepost.example";

/// The record that a case leaves.
///
/// # Errors
/// Why it can't be played, in words.
pub(super) async fn play(case: &Case, bench: &Bench) -> Result<Record, String> {
    let dns = DnsServer::start(case.zone.clone(), IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
    let dns = dns.map_err(|error| format!("its DNS server can't be started: {error}"))?;
    let receiver = Arc::new(receiver(case, bench, dns.addr())?);
    let limit = bench.config.as_ref().map_or(u64::MAX, |config| config.limits.message);
    let mut inquiry = Inquiry::connect(receiver, SocketAddr::new(case.client, 0));
    inquiry.remembering(case.remembered.greylist.clone(), case.remembered.rates.clone());
    if let Some(moment) = &case.moment {
        inquiry.at(moment.clone());
    }
    if let Some(version) = &case.tls {
        inquiry.helo(&case.helo, true);
        let (cipher, group) = ("TLS_AES_256_GCM_SHA384".to_owned(), "X25519MLKEM768".to_owned());
        inquiry.secured(Tls { version: version.clone(), cipher, group, ..Tls::default() });
    }
    inquiry.helo(&case.helo, true);
    inquiry.mail(case.reverse_path.clone(), true);
    let mut accepted = false;
    for path in &case.forward_paths {
        accepted |= inquiry.recipient(path.clone()).await.code() / 100 == 2;
    }
    match &case.message {
        // without a recipient DATA is refused, and the client sends nothing
        Some(message) if accepted => {
            inquiry.data();
            let defect = send(&mut inquiry, message, limit);
            inquiry.message(defect).await;
        }
        _ => {
            inquiry.settle().await;
            inquiry.end_transaction();
        }
    }
    inquiry.last_record().ok_or_else(|| "it left no record".to_owned())
}

fn receiver(case: &Case, bench: &Bench, dns: SocketAddr) -> Result<Receiver, String> {
    let config = bench.config.as_ref();
    let asking = Dns { servers: vec![dns.into()], timeout: ANSWER, attempts: 1, ..Dns::default() };
    let authenticator = authenticator(&asking).map_err(|error| format!("dns: {error}"))?;
    let authenticator = authenticator.with_block_lists(config.map(lists).unwrap_or_default());
    // a case's zone has what the case is about, and no test entries
    authenticator.trust_block_lists();
    let hostname = config.map_or(HOSTNAME, |config| config.hostname.as_str()).to_owned();
    let of = Arc::clone(&bench.policy);
    let policies = Policies::new(Arc::clone(&bench.policy), &[], move |_| Arc::clone(&of));
    Ok(Receiver {
        authserv_id: config.map_or_else(|| hostname.clone(), |config| config.authserv_id.clone()),
        hostname,
        trusted: config.map(|config| config.smtp.trusted.clone()).unwrap_or_default(),
        soft_reject: false,
        most_received: config.map_or(100, |config| config.limits.received),
        directory: match config {
            Some(config) => Arc::clone(&config.directory),
            None => Arc::new(directory(&case.forward_paths, &bench.policy)?),
        },
        policies: Arc::new(ArcSwap::from_pointee(policies)),
        authenticator,
        carrier: Carrier::Nowhere,
        journal: None,
        state: None,
        metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")).map_err(|error| error.to_string())?),
        memory: Memory::new(u64::MAX, u64::MAX),
        limits: Limits::default(),
    })
}

fn lists(config: &Config) -> Vec<crate::authenticate::block_lists::ListSetup> {
    block_lists(config)
}

/// Every domain that a recipient, or a redirect of the policy, names: it takes all mail.
fn directory(recipients: &[ForwardPath], policy: &Policy) -> Result<Directory, String> {
    let mut builder = DirectoryBuilder::new();
    let named = recipients.iter().filter_map(|path| match path {
        ForwardPath::Mailbox(mailbox) => match &mailbox.host {
            Host::Name(domain) => Some(domain.clone()),
            _ => None,
        },
        ForwardPath::Postmaster => None,
    });
    let redirects = policy.redirects().filter_map(|address| Domain::parse(address.rsplit_once('@')?.1).ok());
    let mut domains: Vec<Domain> = named.chain(redirects).collect();
    domains.sort();
    domains.dedup();
    for domain in &domains {
        builder.add_mailbox(domain.clone(), "postmaster").catch_all(domain.clone(), "postmaster");
    }
    if let Some(first) = domains.first() {
        builder.postmaster(format!("postmaster@{}", first.as_str()));
    }
    builder.build().map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
