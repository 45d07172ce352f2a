//! The DNS that all systems ask.

use gatepost::demo::dns::Zone;

use super::cage;
use super::payload::{Authors, domain};

/// The authors' domains with SPF, keys and DMARC, the client hosts with their names, and the receiving domain.
pub fn zone(authors: &Authors) -> Zone {
    let mut zone = Zone::new().ttl(3_600).mx("gate.example", 10, "mx.gate.example").a("mx.gate.example", cage::SERVER);
    for client in cage::clients() {
        let name = format!("mail{}.sender.example", client.octets()[3]);
        zone = zone.a(&name, client).ptr(client, &name).a("mail.sender.example", client);
    }
    for (number, signer) in authors.signers().iter().enumerate() {
        let domain = domain(number);
        zone = zone
            .mx(&domain, 10, "mail.sender.example")
            .txt(&domain, "v=spf1 ip4:192.0.2.0/24 -all")
            .txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject; adkim=s; aspf=s")
            .txt(&signer.key_name(), &signer.key_record());
    }
    zone
}
