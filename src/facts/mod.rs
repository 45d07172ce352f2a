//! The vocabulary: what is known about a connection, a transaction and a message when rules are judged.
//!
//! A fact's name is its path in the decision record, so the structs here serialize to exactly that record (see [`record`]).
//! Every fact always has a value of its type: `''`, `0`, `false`, `[]` or `none` where there is nothing.

mod clock;
pub mod header;
pub mod hidden;
pub mod rate;
pub mod record;
pub mod recorded;
pub mod table;
pub mod value;
pub mod word;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

pub use crate::message::mime::{Attachment, Mime};
pub use clock::Clock;
pub use header::{HeaderField, Headers};
pub use word::{
    ArcResult, DmarcPolicy, DmarcResult, GreylistKey, GreylistResult, HeloKind, HeloResult, IprevResult, ListKind,
    MethodResult, Mx, ReverseMxResult, Role, Stage, Weekday,
};

/// All facts of one transaction, filled stage by stage; what is not known yet has its empty value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Who is connected.
    pub client: Client,
    /// When the transaction began; `None` in a record of a version that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// The argument of EHLO or HELO, as text; empty before it.
    pub helo: String,
    /// Whether it was EHLO.
    #[serde(default)]
    pub esmtp: bool,
    /// What that argument is, and whether it leads to the client.
    #[serde(default)]
    pub helo_check: HeloCheck,
    /// TLS of the session, `None` in clear.
    pub tls: Option<Box<Tls>>,
    /// The reverse-path.
    pub mail_from: Address,
    /// The recipient being judged (stage rcpt); at data only what all recipients of the transaction share.
    #[serde(skip_serializing_if = "Rcpt::is_empty", default)]
    pub rcpt: Rcpt,
    /// The message as it came.
    pub message: Message,
    /// The header fields that the policies name.
    #[serde(default, serialize_with = "header::withheld")]
    pub headers: Headers,
    /// What it is made of; `None` where no rule reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<Mime>,
    /// The author, RFC 5322 From.
    pub from: From,
    /// RFC 5322 Reply-To.
    pub reply_to: ReplyTo,
    /// The client's reverse name, RFC 8601 §2.7.3.
    pub iprev: Iprev,
    /// SPF, RFC 7208.
    pub spf: SpfBoth,
    /// One entry a DKIM signature, RFC 6376, top down (the author domain's first where there are too many).
    pub dkim: Vec<Dkim>,
    /// DMARC, RFC 9989.
    pub dmarc: Dmarc,
    /// The ARC chain, RFC 8617.
    pub arc: Arc,
    /// By zone: the DNS block and allow lists that were asked (RFC 5782).
    pub block_lists: BTreeMap<String, BlockList>,
    /// Whether the client is a mail exchanger of the four names.
    pub reverse_mx: ReverseMxFour,
    /// What greylisting remembers of who sends to whom.
    #[serde(default, skip_serializing_if = "Greylist::is_empty")]
    pub greylist: Greylist,
    /// By `key/window`, as in `client/10m`: how often it was so before, see [`rate::Rate`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, u64>,
    /// The sum of the scores of the rules that matched so far.
    pub score: f64,
}

/// The SMTP client at the other end of the connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its address; an IPv4-mapped IPv6 address is given as IPv4.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its confirmed reverse name (iprev pass), lower case, else empty.
    pub name: String,
    /// Whether it is in `smtp.trusted`.
    pub trusted: bool,
    /// Whether it spoke before the greeting; looked for where `smtp.greet_pause` is not 0.
    #[serde(default)]
    pub early_talker: bool,
}

/// What the argument of EHLO or HELO is worth (RFC 5321 §4.1.1.1, §4.1.4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeloCheck {
    /// domain, literal or invalid; empty where it was not looked at.
    pub kind: HeloKind,
    /// none, pass, fail, temperror, permerror.
    pub result: HeloResult,
    /// Whether it is one of the client's PTR names.
    pub matches_ptr: bool,
}

/// TLS of the session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// The suite's IANA name.
    pub cipher: String,
    /// The key exchange: `X25519MLKEM768` (which a quantum computer does not break), `X25519`, `secp256r1`, `secp384r1`.
    #[serde(default)]
    pub group: String,
    /// The host name that the client asked for (RFC 6066 §3); may be empty.
    #[serde(default)]
    pub sni: String,
}

/// A reverse-path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Address {
    /// `local@domain`, empty for the null reverse-path.
    pub address: String,
    /// The local-part without its quoting.
    #[serde(default)]
    pub local: String,
    /// The domain as A-labels in lower case; empty for the null reverse-path, an address literal keeps its brackets.
    pub domain: String,
    /// Whether SMTPUTF8 was asked for (RFC 6531).
    #[serde(default)]
    pub smtputf8: bool,
}

/// The forward-path being judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rcpt {
    /// As the client gave it.
    pub address: String,
    /// Its local-part without quoting.
    #[serde(default)]
    pub local: String,
    /// Its domain, one of ours.
    pub domain: String,
    /// `postmaster`, `abuse` or ``.
    pub role: Role,
    /// Recipients that were accepted so far; at data, all of the transaction.
    #[serde(default)]
    pub count: u64,
}

impl Rcpt {
    /// Whether nothing is known of a recipient.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The message as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Message {
    /// Octets of the message as received: CRLF line ends, dots unstuffed.
    pub bytes: u64,
    /// Octets of its header, line ends included.
    #[serde(default)]
    pub header_bytes: u64,
    /// Fields of its header.
    #[serde(default)]
    pub fields: u64,
    /// Received fields: the hosts that it says to have come through.
    #[serde(default)]
    pub received: u64,
    /// Octets of its longest line, header or body, CRLF included.
    #[serde(default)]
    pub longest_line: u64,
    /// Message-ID, cut to 250 characters.
    pub message_id: String,
}

/// The author as our strict reader of RFC 5322 §3.6.2 sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct From {
    /// `local@domain` of each mailbox in From.
    pub addresses: Vec<String>,
    /// The author domain (A-labels, lower case); empty where there is none or more than one.
    pub domain: String,
    /// What is wrong with it, in words of [`word::FROM_DEFECTS`].
    pub defects: Vec<String>,
}

/// RFC 5322 Reply-To.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The domain of its first mailbox (A-labels, lower case), else empty.
    pub domain: String,
}

/// The reverse name of the client (RFC 8601 §2.7.3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Iprev {
    /// No PTR is permerror, PTR names without a matching address are fail.
    pub result: IprevResult,
    /// The confirmed name where it passed, else the first PTR name, lower case without trailing dot; may be empty.
    pub name: String,
}

/// SPF of both identities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpfBoth {
    /// The HELO identity (RFC 7208 §2.3).
    pub helo: Spf,
    /// The MAIL FROM identity (RFC 7208 §2.4); none for the null reverse-path.
    pub mail_from: Spf,
}

/// SPF of one identity.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spf {
    /// In RFC 8601's words.
    pub result: MethodResult,
    /// The domain that was asked.
    pub domain: String,
    /// Whether DNSSEC vouches for every answer that the result rests on.
    #[serde(default)]
    pub secure: bool,
}

/// One DKIM signature.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dkim {
    /// In RFC 8601's words.
    pub result: MethodResult,
    /// d=
    pub domain: String,
    /// s=
    pub selector: String,
    /// a=
    pub algorithm: String,
    /// Why it isn't a pass; empty where it is.
    pub reason: String,
    /// Whether DNSSEC vouches for the key record, or its absence.
    #[serde(default)]
    pub secure: bool,
}

/// DMARC (RFC 9989).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dmarc {
    /// none, pass, fail, temperror, permerror.
    pub result: DmarcResult,
    /// Where the policy record stands (the organizational domain or the author domain), else empty.
    pub domain: String,
    /// What applies after sp, np and t.
    pub policy: DmarcPolicy,
    /// What stands in the record's p=.
    pub published: DmarcPolicy,
    /// Whether an authenticated domain is aligned with the author domain.
    pub aligned: bool,
    /// Whether DNSSEC vouches for every answer that the result rests on.
    #[serde(default)]
    pub secure: bool,
}

/// The ARC chain (RFC 8617 §5.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Arc {
    /// none, pass, fail (and temperror for DNS trouble).
    pub result: ArcResult,
}

/// What one DNS block or allow list says (RFC 5782).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlockList {
    /// Whether it lists the client or a domain.
    pub listed: bool,
    /// Names of its return codes, sorted, each once.
    pub codes: Vec<String>,
    /// What it lists: the client's address, or domains; sorted, each once.
    #[serde(default)]
    pub names: Vec<String>,
    /// Whether it could not be asked for everything that it is asked about: DNS trouble, or the list's refusal.
    #[serde(default)]
    pub temperror: bool,
}

impl BlockList {
    /// Adds what the list says of something else.
    pub fn add(&mut self, other: &BlockList) {
        self.listed |= other.listed;
        self.temperror |= other.temperror;
        for (own, added) in [(&mut self.codes, &other.codes), (&mut self.names, &other.names)] {
            own.extend(added.iter().cloned());
            own.sort_unstable();
            own.dedup();
        }
    }
}

/// Reverse MX of the four names that a receiver can look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReverseMxFour {
    /// The reverse-path's domain.
    pub mail_from: ReverseMx,
    /// The author domain.
    pub from: ReverseMx,
    /// Reply-To's domain.
    pub reply_to: ReverseMx,
    /// The client's PTR name.
    pub ptr: ReverseMx,
}

/// Whether the client's address belongs to a mail exchanger of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReverseMx {
    /// The domain that was asked; empty where there was none.
    pub domain: String,
    /// pass, fail, none, temperror, permerror.
    pub result: ReverseMxResult,
    /// explicit, implicit, null, missing; empty where it is not known.
    pub mx: Mx,
    /// Whether DNSSEC vouches for every answer that the result rests on.
    #[serde(default)]
    pub secure: bool,
}

/// What greylisting remembers of who sends to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Greylist {
    /// new, early, pass, known; empty where no rule asks.
    pub result: GreylistResult,
    /// network, spf, dkim; empty where no rule asks.
    pub key: GreylistKey,
    /// Seconds until it is no longer too early; 0 where it is not.
    #[serde(default)]
    pub wait: u64,
}

impl Greylist {
    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Facts {
    /// The facts of a connection of which only the address is known.
    pub fn new(ip: IpAddr, port: u16, trusted: bool) -> Self {
        Facts {
            client: Client { ip: ip.to_canonical(), port, name: String::new(), trusted, early_talker: false },
            clock: None,
            helo: String::new(),
            esmtp: false,
            helo_check: HeloCheck::default(),
            tls: None,
            mail_from: Address::default(),
            rcpt: Rcpt::default(),
            message: Message::default(),
            headers: Headers::new(),
            mime: None,
            from: From::default(),
            reply_to: ReplyTo::default(),
            iprev: Iprev::default(),
            spf: SpfBoth::default(),
            dkim: Vec::new(),
            dmarc: Dmarc::default(),
            arc: Arc::default(),
            block_lists: BTreeMap::new(),
            reverse_mx: ReverseMxFour::default(),
            greylist: Greylist::default(),
            rates: BTreeMap::new(),
            score: 0.0,
        }
    }
}

/// The network that one sender commonly has: an IPv4 /24, an IPv6 /64.
pub fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("{}/24", Ipv4Addr::from(ip.to_bits() & 0xffff_ff00)),
        IpAddr::V6(ip) => format!("{}/64", Ipv6Addr::from(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Default for Facts {
    fn default() -> Self {
        Facts::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, false)
    }
}
