//! A whole evaluation of one message, in the order of the session: what the client, the envelope, the header and the body tell.

use std::net::IpAddr;

use futures_util::future::{join, join3};
use gatepost::authenticate::Authenticator;
use gatepost::authenticate::body::Signed;
use gatepost::facts::{Facts, SpfBoth};
use gatepost::message::author::{read_author, read_reply_to};
use gatepost::message::content::Content;
use gatepost::smtp::address::ReversePath;

/// Who sends, as the session knows it. Without an address nothing that depends on the client is asked.
pub struct Envelope {
    pub ip: Option<IpAddr>,
    pub helo: String,
    pub mail_from: ReversePath,
}

impl Envelope {
    /// From text; what is no mailbox is the null reverse-path.
    pub fn new(ip: Option<&str>, helo: &str, mail_from: &str) -> Envelope {
        let path = format!("<{}>", mail_from.trim_matches(['<', '>']));
        let mail_from = ReversePath::parse(path, true).unwrap_or(ReversePath::Null);
        Envelope { ip: ip.map(|ip| ip.parse().expect("an address")), helo: helo.to_owned(), mail_from }
    }
}

/// All evidence about a message at `now`, seconds since 1970.
pub async fn evaluate(authenticator: &Authenticator, envelope: &Envelope, message: &[u8], now: u64) -> Facts {
    let ip = envelope.ip.unwrap_or(IpAddr::from([192, 0, 2, 250]));
    let content = Content::parse(message);
    let signed = Signed::of(&content.header, &content.body.memory());
    let author = read_author(&content.header);
    let mut facts = Facts::new(ip, 4711, envelope.ip.is_none());
    facts.helo.clone_from(&envelope.helo);
    facts.mail_from.address = envelope.mail_from.to_string();
    facts.mail_from.domain = envelope.mail_from.domain_text();
    facts.from.addresses.clone_from(&author.addresses);
    facts.from.domain = author.domain().map(|domain| domain.as_str().to_owned()).unwrap_or_default();
    facts.from.defects = author.defects.iter().map(|defect| (*defect).to_owned()).collect();
    facts.reply_to.domain = read_reply_to(&content.header).map(|d| d.as_str().to_owned()).unwrap_or_default();
    if envelope.ip.is_some() {
        let (mail_from, helo) = join(
            authenticator.spf_mail_from(ip, &envelope.helo, &envelope.mail_from),
            authenticator.spf_helo(ip, &envelope.helo),
        )
        .await;
        facts.spf = SpfBoth { helo, mail_from };
        facts.iprev = authenticator.iprev(ip).await;
        let reverse = join3(
            authenticator.reverse_mx(&facts.mail_from.domain, ip),
            authenticator.reverse_mx(&facts.from.domain, ip),
            authenticator.reverse_mx(&facts.reply_to.domain, ip),
        );
        (facts.reverse_mx.mail_from, facts.reverse_mx.from, facts.reverse_mx.reply_to) = reverse.await;
        facts.reverse_mx.ptr = authenticator.reverse_mx(&facts.iprev.name, ip).await;
    }
    (facts.dkim, facts.arc) = join(authenticator.dkim(&signed, now), authenticator.arc(&signed, now)).await;
    facts.dmarc = authenticator.dmarc(&author, &facts.spf, &envelope.mail_from, &facts.dkim).await;
    facts
}
