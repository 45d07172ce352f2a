//! The Internet of the demo: who is where, and what its DNS says.

use std::net::{IpAddr, Ipv4Addr};

use super::dns::Zone;
use crate::authenticate::sign::{SignError, Signer};

/// The domain that mail is received for.
pub const LOCAL: &str = "gate.example";
/// The name of the receiving host.
pub const HOST: &str = "mx.gate.example";
/// Who tries from this machine without more ado has this name: 127.0.0.1.
pub const YOU: &str = "you.example";

/// The mail host of acme.example, whose mail is as it should be.
pub const ACME: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// A forwarder: what it passes on comes from an address that the author's domain does not know.
pub const FORWARDER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);
/// Somebody's machine at an access provider, from which forgeries come.
pub const FORGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 13);
/// The host of a mailing list.
pub const LISTS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 14);
/// A host without reverse name.
pub const NAMELESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 15);
/// All addresses that samples are sent from.
pub const SENDERS: [Ipv4Addr; 5] = [ACME, FORWARDER, FORGER, LISTS, NAMELESS];
/// Mail hosts that are named in the DNS and send nothing here.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 20);

/// Those who sign.
pub struct Signers {
    /// Ed25519.
    pub acme: Signer,
    /// RSA.
    pub shop: Signer,
    /// Ed25519.
    pub bank: Signer,
}

impl Signers {
    /// New keys.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> Result<Signers, SignError> {
        Ok(Signers {
            acme: Signer::new_ed25519("acme.example", "demo")?,
            shop: Signer::new_rsa("shop.example", "demo")?,
            bank: Signer::new_ed25519("bank.example", "demo")?,
        })
    }
}

/// All of the DNS.
pub fn zone(signers: &Signers) -> Zone {
    let mut zone = Zone::new();
    for signer in [&signers.acme, &signers.shop, &signers.bank] {
        zone = zone.txt(&signer.key_name(), &signer.key_record());
    }
    zone = host(zone, HOST, Ipv4Addr::LOCALHOST).mx(LOCAL, 10, HOST);
    // not the PTR of 127.0.0.1: the tries that are printed come from there as this one
    zone = named(zone, YOU, Ipv4Addr::LOCALHOST).mx(YOU, 10, YOU).txt(YOU, "v=spf1 ip4:127.0.0.1 -all");
    zone = named(zone, "mail.acme.example", ACME);
    zone = sender(zone, "acme.example", "v=spf1 mx -all", "reject");
    zone = named(zone, "mail.uni.example", FORWARDER);
    zone = host(zone, "mail.shop.example", ELSEWHERE);
    zone = sender(zone, "shop.example", "v=spf1 mx -all", "reject");
    zone = host(zone, "mail.bank.example", ELSEWHERE);
    zone = sender(zone, "bank.example", "v=spf1 mx -all", "reject");
    zone = host(zone, "mail.store.example", ELSEWHERE);
    zone = sender(zone, "store.example", "v=spf1 mx ~all", "quarantine");
    zone = host(zone, "mail.blog.example", ELSEWHERE);
    zone = sender(zone, "blog.example", "v=spf1 mx -all", "none");
    zone = named(zone, "dsl13.isp.example", FORGER);
    zone = host(zone, "mail.isp.example", ELSEWHERE).mx("isp.example", 10, "mail.isp.example");
    zone = named(zone, "lists.club.example", LISTS).mx("lists.club.example", 10, "lists.club.example");
    zone = zone.txt("lists.club.example", "v=spf1 mx -all");
    zone = zone.mx("quiet.example", 0, ".").txt("quiet.example", "v=spf1 -all");
    host(zone, "mail.garage.example", ELSEWHERE).mx("garage.example", 10, "mail.garage.example")
}

/// Domains that a person can claim to be in tries of their own.
pub const KNOWN: &str = "you, acme, shop, bank, store, blog, isp, garage and quiet.example";

fn host(zone: Zone, name: &str, address: Ipv4Addr) -> Zone {
    zone.a(name, address)
}

/// A host whose address has its name.
fn named(zone: Zone, name: &str, address: Ipv4Addr) -> Zone {
    host(zone, name, address).ptr(IpAddr::V4(address), name)
}

/// A domain that sends, with its exchanger `mail.` below it.
fn sender(zone: Zone, domain: &str, spf: &str, policy: &str) -> Zone {
    zone.mx(domain, 10, &format!("mail.{domain}"))
        .txt(domain, spf)
        .txt(&format!("_dmarc.{domain}"), &format!("v=DMARC1; p={policy}"))
}
