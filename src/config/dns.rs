//! `[dns]`: who is asked, over what, and who vouches for them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::reader::{Reader, Section};
use super::sections::{domain, file, parse_domain, values};
use super::value::{self, Fault};
use crate::smtp::address::Domain;

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The servers to ask; empty: the system's.
    pub servers: Vec<Server>,
    /// Certificates that vouch for servers over TLS and HTTPS; `None`: the system's.
    pub roots: Option<PathBuf>,
    /// Whether DNSSEC is validated here.
    pub validate: bool,
    /// DNSKEY records that validation starts from; `None`: the root's.
    pub trust_anchors: Option<PathBuf>,
    /// What is asked to see whether the servers work; `None`: the root.
    pub canary: Option<Domain>,
    /// Answers that are kept in memory at most.
    pub cache: u64,
}

/// A recursive resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its address and port.
    pub address: SocketAddr,
    /// How it is talked to.
    pub transport: Transport,
}

/// How a server is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// UDP and TCP.
    Plain,
    /// RFC 7858.
    Tls {
        /// The name on its certificate.
        name: String,
    },
    /// RFC 8484.
    Https {
        /// The name on its certificate.
        name: String,
        /// With its slash.
        path: String,
    },
}

/// Ports of RFC 1035, RFC 7858 and RFC 8484.
const PLAIN_PORT: u16 = 53;
const TLS_PORT: u16 = 853;
const HTTPS_PORT: u16 = 443;
/// What most servers have (RFC 8484 §4.1.1).
const PATH: &str = "/dns-query";

pub(super) fn dns(reader: &mut Reader, top: &Section<'_>) -> Dns {
    let dns = top.section(reader, "dns");
    let servers = values(dns.list(reader, "servers", parse_server));
    if let Some(value) = dns.raw("servers")
        && value.get_ref().as_array().is_some_and(|list| list.is_empty())
    {
        let mend = "for the system's servers leave the key out";
        reader.problem(Some(value.span()), "dns.servers", Fault::new("names no server", mend));
    }
    let roots = file(reader, &dns, "roots");
    let is_certified = |server: &Server| server.transport != Transport::Plain;
    if let (Some(value), false) = (dns.raw("roots"), servers.iter().any(is_certified)) {
        let fault = Fault::new("is of no use: no server of dns.servers shows a certificate", "leave the key out");
        reader.problem(Some(value.span()), "dns.roots", fault);
    }
    let validate = dns.read(reader, "validate", value::boolean).is_some_and(|placed| placed.value);
    let trust_anchors = file(reader, &dns, "trust_anchors");
    if let (Some(value), false) = (dns.raw("trust_anchors"), validate) {
        let fault = Fault::new("is of no use without dns.validate", "write validate = true, or leave the key out");
        reader.problem(Some(value.span()), "dns.trust_anchors", fault);
    }
    Dns {
        servers,
        roots,
        validate,
        trust_anchors,
        canary: dns.read(reader, "canary", domain).map(|placed| placed.value),
        cache: dns.number(reader, "cache"),
    }
}

/// A DNS server: `127.0.0.1:53` (port 53 if none is said), `tls://9.9.9.9#dns.quad9.net`, `https://9.9.9.9/dns-query#dns.quad9.net`.
///
/// # Errors
/// Anything else.
pub fn parse_server(text: &str) -> Result<Server, Fault> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let address = parse_address(text, PLAIN_PORT).ok_or_else(|| {
            let mend = "write it as \"127.0.0.1:53\", \"[::1]:53\" or \"tls://9.9.9.9#dns.quad9.net\"";
            Fault::new(format!("{text:?} is not the address of a server"), mend)
        })?;
        return Ok(Server { address, transport: Transport::Plain });
    };
    let port = match scheme {
        "tls" => TLS_PORT,
        "https" => HTTPS_PORT,
        _ => {
            let mend = "write \"tls://\" or \"https://\", or only the address";
            return Err(Fault::new(format!("{text:?}: DNS is not asked over {scheme:?} here"), mend));
        }
    };
    let (place, name) = rest.split_once('#').unwrap_or((rest, ""));
    let (host, path) = place.find('/').map_or((place, ""), |slash| place.split_at(slash));
    let Some(address) = parse_address(host, port) else {
        let mend = format!("write \"{scheme}://ADDRESS#{}\"", if name.is_empty() { host } else { name });
        return Err(Fault::new(format!("{text:?} needs the server's address: its name can't be looked up yet"), mend));
    };
    if name.is_empty() {
        let mend = format!("write \"{scheme}://{place}#dns.example.net\"");
        return Err(Fault::new(format!("{text:?} does not say which name the server's certificate must have"), mend));
    }
    let name = parse_domain(name)?.as_str().to_owned();
    let transport = match (scheme, path) {
        ("https", "") => Transport::Https { name, path: PATH.to_owned() },
        ("https", path) if path.bytes().all(|octet| octet.is_ascii_graphic()) && !path.contains(['?', '{']) => {
            Transport::Https { name, path: path.to_owned() }
        }
        ("tls", "") => Transport::Tls { name },
        _ => {
            let mend = format!("write \"{scheme}://{host}#{name}\"");
            return Err(Fault::new(format!("{path:?} in {text:?} is no path that can be asked"), mend));
        }
    };
    Ok(Server { address, transport })
}

fn parse_address(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = || text.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, port));
    text.parse().or_else(|_| bare()).ok().filter(|address| address.port() != 0)
}
