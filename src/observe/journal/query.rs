//! What is looked for in the journal: filters that must all fit. Names are found as they may stand there, pseudonyms included.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::bytes::{Regex, RegexBuilder};

use super::brief::{Brief, looks_ours, time_of};
use super::keys::Spellings;
use super::subject::forms_of_domain;
use crate::facts::record::Recipient;
use crate::facts::word::{Action, Outcome};

/// Characters of what can be looked for.
const MOST: usize = 1_000;

/// Filters; what is not set fits all.
#[derive(Debug, Default)]
pub struct Query {
    /// Not older than this: RFC 3339, UTC, milliseconds; empty: all.
    pub since: String,
    /// Older than this; empty: all.
    pub until: String,
    /// A recipient, or a mailbox that it leads to.
    pub to: Option<Party>,
    /// The reverse-path or an author.
    pub from: Option<Party>,
    /// The client.
    pub client: Option<Who>,
    /// What was decided, of the message or of a recipient.
    pub action: Option<Action>,
    /// A rule that matched, whatever came of it.
    pub rule: Option<String>,
    /// A Message-ID.
    pub message_id: Option<MessageId>,
}

/// What a line is.
#[derive(Debug)]
pub enum Match {
    /// Nothing stands in it.
    Empty,
    /// A record that does not fit.
    Other,
    /// A record that fits.
    Found(Box<Brief>),
    /// Torn, or none of ours.
    Foreign,
}

impl Query {
    /// What a line is.
    pub fn look(&self, line: &[u8]) -> Match {
        if line.is_empty() {
            return Match::Empty;
        }
        if looks_ours(line) && (!time_of(line).is_none_or(|time| self.covers(time)) || !self.may_be_in(line)) {
            return Match::Other;
        }
        match serde_json::from_slice::<Brief>(line) {
            Err(_) => Match::Foreign,
            Ok(brief) if self.fits(&brief) => Match::Found(Box::new(brief)),
            Ok(_) => Match::Other,
        }
    }

    fn covers(&self, time: &str) -> bool {
        time >= self.since.as_str() && (self.until.is_empty() || time < self.until.as_str())
    }

    /// Whether every text that is sought stands somewhere in the line.
    fn may_be_in(&self, line: &[u8]) -> bool {
        let parties = [&self.to, &self.from].into_iter().flatten().map(|party| &party.quick);
        let quick = parties.chain(self.client.iter().map(|who| &who.quick));
        let quick = quick.chain(self.message_id.iter().map(|id| &id.quick));
        quick.flatten().all(|quick| quick.is_match(line))
    }

    fn fits(&self, brief: &Brief) -> bool {
        self.covers(&brief.time)
            && self.to.as_ref().is_none_or(|party| {
                let of = |to: &Recipient| party.is(&to.address) || to.mailboxes.iter().any(|mailbox| party.is(mailbox));
                brief.recipients.iter().any(of)
            })
            && self.from.as_ref().is_none_or(|party| {
                party.is(&brief.mail_from.address)
                    || party.is_domain(&brief.mail_from.domain)
                    || party.is_domain(&brief.from.domain)
                    || brief.from.addresses.iter().any(|address| party.is(address))
            })
            && self.client.as_ref().is_none_or(|who| who.is(brief))
            && self.action.is_none_or(|action| brief.actions().any(|own| own == action))
            && self.rule.as_ref().is_none_or(|rule| {
                let matched = |outcome| !matches!(outcome, Outcome::NotMatched);
                brief.decision.rule == *rule
                    || brief.rules.iter().any(|own| own.name == *rule && matched(own.outcome))
                    || brief.recipients.iter().filter_map(|own| own.decision.as_ref()).any(|own| own.rule == *rule)
            })
            && self.message_id.as_ref().is_none_or(|id| id.is(&brief.message.message_id))
    }
}

/// One of these texts as it stands in JSON, in any case.
fn quick(texts: &[String]) -> Option<Regex> {
    let in_json = |text: &String| serde_json::to_string(text).unwrap_or_default().trim_matches('"').to_owned();
    let any: Vec<String> = texts.iter().map(|text| regex::escape(&in_json(text))).collect();
    // without it every line is read: slower, and right
    RegexBuilder::new(&any.join("|")).case_insensitive(true).build().ok()
}

/// Names of domains, and whether those below them are meant too.
#[derive(Debug)]
struct Domains {
    forms: Vec<String>,
    below: bool,
}

impl Domains {
    fn parse(text: &str) -> Domains {
        let bare = text.strip_prefix('.').unwrap_or(text);
        Domains { forms: forms_of_domain(bare.trim_end_matches('.')), below: bare.len() < text.len() }
    }

    fn have(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.forms.iter().any(|form| {
            let front = name.strip_suffix(form.as_str());
            front.is_some_and(|front| front.is_empty() || self.below && front.ends_with('.'))
        })
    }
}

/// An address, or everybody of a domain.
#[derive(Debug)]
pub struct Party {
    meant: Meant,
    quick: Option<Regex>,
}

#[derive(Debug)]
enum Meant {
    Null,
    Addresses(Vec<String>),
    Domains(Domains),
}

impl Party {
    /// Reads `alice@example.com`, `example.com`, `.example.com` (those below it too), or `<>`, the null reverse-path.
    ///
    /// # Errors
    /// It is none of these; what would be.
    pub fn parse(text: &str, spellings: &Spellings) -> Result<Party, String> {
        let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
        if bare.len() > MOST || bare.contains(char::is_control) {
            return Err("write an address, as alice@example.com, or a domain, as example.com".to_owned());
        }
        let (local, domain) = bare.rsplit_once('@').unwrap_or(("", bare));
        let (meant, quick) = if bare.is_empty() {
            (Meant::Null, None)
        } else if bare.eq_ignore_ascii_case("postmaster") {
            (Meant::Addresses(vec![bare.to_lowercase()]), quick(&[bare.to_owned()]))
        } else if local.is_empty() {
            let domains = Domains::parse(domain);
            if domains.forms.iter().any(|form| form.is_empty() || form.contains(char::is_whitespace)) {
                return Err("write a domain as example.com, or as .example.com for those below it too".to_owned());
            }
            let quick = quick(&domains.forms);
            (Meant::Domains(domains), quick)
        } else {
            let clear = forms_of_domain(domain).into_iter().map(|domain| format!("{local}@{domain}"));
            let mut all: Vec<String> = clear.chain(spellings.address(bare)).map(|form| form.to_lowercase()).collect();
            all.sort_unstable();
            all.dedup();
            let quick = quick(&all);
            (Meant::Addresses(all), quick)
        };
        Ok(Party { meant, quick })
    }

    /// Whether nobody is meant: the null reverse-path.
    pub fn is_null(&self) -> bool {
        matches!(self.meant, Meant::Null)
    }

    fn is(&self, address: &str) -> bool {
        match &self.meant {
            Meant::Null => address.is_empty(),
            Meant::Addresses(all) => all.contains(&address.to_lowercase()),
            Meant::Domains(domains) => address.rsplit_once('@').is_some_and(|(_, domain)| domains.have(domain)),
        }
    }

    fn is_domain(&self, domain: &str) -> bool {
        matches!(&self.meant, Meant::Domains(domains) if domains.have(domain))
    }
}

/// A client: its address, its network, or its name.
#[derive(Debug)]
pub struct Who {
    networks: Vec<IpNet>,
    names: Option<Domains>,
    quick: Option<Regex>,
}

impl Who {
    /// Reads `192.0.2.1`, `192.0.2.0/24`, `mail.example.com` or `.example.com`.
    ///
    /// # Errors
    /// It is none of these; what would be.
    pub fn parse(text: &str, spellings: &Spellings) -> Result<Who, String> {
        let text = text.trim();
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = text.parse::<IpAddr>() {
            let all = spellings.ip(ip);
            let written: Vec<String> = all.iter().map(|ip| format!("\"ip\":\"{ip}\"")).collect();
            let any = written.iter().map(|text| regex::escape(text)).collect::<Vec<_>>().join("|");
            return Ok(Who {
                networks: all.into_iter().map(IpNet::from).collect(),
                names: None,
                quick: Regex::new(&any).ok(),
            });
        }
        if let Ok(network) = text.parse::<IpNet>() {
            // where addresses are cut, a network that is smaller is found by what is left of it
            let cut = spellings.ip(network.addr()).into_iter().skip(1).map(IpNet::from);
            return Ok(Who { networks: cut.chain([network.trunc()]).collect(), names: None, quick: None });
        }
        let names = Domains::parse(text);
        let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        // no domain's last label is a number (RFC 1123 §2.1): an address was meant
        let is_numeric = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
        let is_numeric = text.rsplit('.').next().is_some_and(is_numeric);
        if text.len() > MOST || is_numeric || names.forms.iter().any(|form| form.is_empty() || !form.chars().all(fine))
        {
            return Err("write an address, a network as 192.0.2.0/24, or a name as mail.example.com".to_owned());
        }
        let quick = quick(&names.forms);
        Ok(Who { networks: Vec::new(), names: Some(names), quick })
    }

    fn is(&self, brief: &Brief) -> bool {
        let names = [&brief.client.name, &brief.iprev.name];
        self.networks.iter().any(|network| network.contains(&brief.client.ip))
            || self.names.as_ref().is_some_and(|own| names.into_iter().any(|name| own.have(name)))
    }
}

/// A Message-ID.
#[derive(Debug)]
pub struct MessageId {
    forms: Vec<String>,
    quick: Option<Regex>,
}

impl MessageId {
    /// Characters of it that a record has at least, where it had more.
    const KEPT: usize = 200;

    /// Reads one, with its angle brackets or without.
    pub fn new(text: &str, spellings: &Spellings) -> MessageId {
        let text = text.trim();
        let bare = text.strip_prefix('<').unwrap_or(text);
        let bare = bare.strip_suffix('>').unwrap_or(bare);
        let forms = spellings.message_id(bare);
        let short: Vec<String> = forms.iter().map(|form| form.chars().take(Self::KEPT).collect()).collect();
        MessageId { quick: quick(&short), forms: forms.iter().map(|form| form.to_lowercase()).collect() }
    }

    fn is(&self, id: &str) -> bool {
        let id = id.to_lowercase();
        let bare = id.strip_prefix('<').unwrap_or(&id);
        let whole = bare.strip_suffix('>').unwrap_or(bare);
        let cut = bare.trim_end_matches('…');
        let long = cut.chars().count() >= Self::KEPT;
        self.forms.iter().any(|form| form == whole || long && form.starts_with(cut))
    }
}
