//! Every fact that a rule can read, declared once: its name (the path in the decision record), type, words, the stages at
//! which it is known, its meaning, the RFC it comes from, and how it is got from [`Facts`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;

use super::word::{
    self, ArcResult, DmarcPolicy, DmarcResult, GreylistKey, GreylistResult, HeloKind, HeloResult, IprevResult,
    ListKind, MethodResult, Mx, ReverseMxResult, Role, Stage, Weekday,
};
use super::{Attachment, BlockList, Clock, Dkim, Facts, HeaderField};

pub use super::value::{Mistake, Type, Value};

/// How many entries of a list a rule gets to see; what comes after them is not looked at.
pub const LIST_BOUND: usize = 100;

/// One fact's declaration.
#[derive(Debug)]
pub struct Fact {
    /// Its name, and its path in the decision record.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// The first stage at which it is known.
    pub stage: Stage,
    /// The last stage at which it is known; `data` for all but those of one recipient.
    pub until: Stage,
    /// The least and the greatest it can be, where it is a whole number.
    pub range: Option<(i64, i64)>,
    /// What it says, in a sentence without a full stop.
    pub meaning: &'static str,
    /// Where it comes from; empty where no RFC speaks of it.
    pub rfc: &'static str,
    /// How it is read.
    pub get: for<'a> fn(&'a Facts) -> Value<'a>,
}

impl Fact {
    /// Whether a rule of this stage can read it.
    pub fn known_at(&self, stage: Stage) -> bool {
        self.stage <= stage && stage <= self.until
    }
}

/// Where the values of facts come from while rules are judged.
pub trait FactSource: Send + Sync {
    /// The value of one fact, of the fact's type; its empty value where it is not known.
    fn value<'a>(&'a self, fact: &'static Fact) -> Value<'a>;

    /// The value of one fact, `None` where it is not known. Of a message that is being received every fact is known; a record of
    /// one that came earlier may lack some.
    fn find<'a>(&'a self, fact: &'static Fact) -> Option<Value<'a>> {
        Some(self.value(fact))
    }

    /// Whether every fact is known.
    fn is_whole(&self) -> bool {
        true
    }

    /// Whether what this fact, a [`Type::RecordMap`], does not hold is empty; else it is not known.
    fn fills(&self, fact: &'static Fact) -> bool {
        let _ = fact;
        true
    }
}

impl FactSource for Facts {
    fn value<'a>(&'a self, fact: &'static Fact) -> Value<'a> {
        (fact.get)(self)
    }
}

/// Facts of a test: what was given, over the empty values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    values: HashMap<&'static str, Value<'static>>,
}

impl Given {
    /// Nothing given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a fact a value.
    ///
    /// # Errors
    /// The [`Mistake`], if there is no such fact or the value doesn't fit it; nothing is changed then.
    pub fn set(&mut self, name: &str, value: Value<'static>) -> Result<(), Mistake> {
        let fact = find(name).ok_or_else(|| Mistake::UnknownFact(name.to_owned()))?;
        self.values.insert(fact.name, fact.ty.take(value)?);
        Ok(())
    }

    /// Gives one number of a fact that is [`Type::Counts`].
    ///
    /// # Errors
    /// As [`Given::set`].
    pub fn set_count(&mut self, name: &str, key: &str, count: Value<'static>) -> Result<(), Mistake> {
        let fact = find(name).ok_or_else(|| Mistake::UnknownFact(name.to_owned()))?;
        let count = Type::Int.take(count)?;
        if let Value::Map(counts) = self.values.entry(fact.name).or_insert_with(|| fact.ty.empty()) {
            counts.retain(|(known, _)| known != key);
            counts.push((Cow::Owned(key.to_owned()), count));
        }
        Ok(())
    }

    /// Gives one field of one entry of a fact that is a [`Type::RecordMap`]; what is not given of the entry stays as it is.
    ///
    /// # Errors
    /// As [`Given::set`].
    pub fn set_field(&mut self, name: &str, key: &str, field: &str, value: Value<'static>) -> Result<(), Mistake> {
        let fact = find(name).ok_or_else(|| Mistake::UnknownFact(name.to_owned()))?;
        let one = Value::Map(vec![(Cow::Owned(field.to_owned()), value)]);
        let Value::Map(taken) = fact.ty.take(Value::Map(vec![(Cow::Owned(key.to_owned()), one)]))? else {
            return Err(Mistake::WrongType { wanted: fact.ty.name(), got: "record" });
        };
        let Value::Map(entries) = self.values.entry(fact.name).or_insert_with(|| fact.ty.empty()) else {
            return Ok(());
        };
        match (entries.iter_mut().find(|(known, _)| known == key), taken.into_iter().next()) {
            (Some((_, Value::Map(there))), Some((_, Value::Map(given)))) => {
                let changed = given.into_iter().filter(|(name, _)| name == field);
                for (name, value) in changed {
                    there.iter_mut().filter(|(known, _)| *known == name).for_each(|(_, slot)| *slot = value.clone());
                }
            }
            (None, Some(entry)) => entries.push(entry),
            _ => {}
        }
        Ok(())
    }
}

impl FactSource for Given {
    fn value<'a>(&'a self, fact: &'static Fact) -> Value<'a> {
        self.values.get(fact.name).cloned().unwrap_or_else(|| fact.ty.empty())
    }
}

/// A set of facts; of the block lists it also knows which kinds are meant, because they are known at different times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FactSet {
    facts: u128,
    lists: u8,
}

// A set is one word of 128 bits.
const _: () = assert!(TABLE.len() <= 128);

impl FactSet {
    /// Adds a fact of the table.
    pub fn insert(&mut self, fact: &'static Fact) {
        if let Some(index) = INDEX.get(fact.name) {
            self.facts |= 1 << index;
        }
    }

    /// Adds `block_lists`, of which only lists of this kind are meant.
    pub fn insert_lists(&mut self, kind: ListKind) {
        if let Some(fact) = find("block_lists") {
            self.insert(fact);
        }
        self.lists |= 1 << kind as u8;
    }

    /// Whether block lists of this kind are meant.
    pub fn asks_lists(&self, kind: ListKind) -> bool {
        self.lists & (1 << kind as u8) != 0
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: FactSet) {
        self.facts |= other.facts;
        self.lists |= other.lists;
    }

    /// Whether the fact of this name is in it.
    pub fn contains(&self, name: &str) -> bool {
        INDEX.get(name).is_some_and(|index| self.facts & (1 << index) != 0)
    }

    /// Whether the fact of this name, or any fact below it (`spf` has `spf.helo.result`), is in it.
    pub fn touches(&self, group: &str) -> bool {
        self.iter()
            .any(|fact| fact.name.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.facts == 0
    }

    /// The facts in it, in the table's order.
    pub fn iter(&self) -> impl Iterator<Item = &'static Fact> + '_ {
        TABLE.iter().enumerate().filter(|(index, _)| self.facts & (1 << index) != 0).map(|(_, fact)| fact)
    }
}

static INDEX: LazyLock<HashMap<&'static str, usize>> =
    LazyLock::new(|| TABLE.iter().enumerate().map(|(index, fact)| (fact.name, index)).collect());

/// The place in [`TABLE`] of the fact of this name.
pub fn index(name: &str) -> Option<usize> {
    INDEX.get(name).copied()
}

/// The fact of this name.
pub fn find(name: &str) -> Option<&'static Fact> {
    INDEX.get(name).and_then(|index| TABLE.get(*index))
}

/// The names of all facts, in the table's order.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|fact| fact.name)
}

/// A fact as `gatepost facts` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its type, in words.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// The words it can be; empty where it is not a word.
    pub values: &'static [&'static str],
    /// The fields of its records; empty where it is not a list of records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Row>,
    /// The stages at which rules can read it.
    pub stages: Vec<Stage>,
    /// What it says.
    pub meaning: &'static str,
    /// Where it comes from.
    pub rfc: &'static str,
}

/// The whole table as rows, in its order.
pub fn rows() -> Vec<Row> {
    TABLE.iter().map(row).collect()
}

fn row(fact: &Fact) -> Row {
    let stages: Vec<Stage> = Stage::ALL.iter().copied().filter(|stage| fact.known_at(*stage)).collect();
    let fields = match fact.ty {
        Type::RecordList(fields) | Type::RecordMap(fields) => fields
            .iter()
            .map(|(name, ty)| Row {
                name,
                ty: ty.name(),
                values: ty.words(),
                fields: Vec::new(),
                stages: stages.clone(),
                meaning: "",
                rfc: "",
            })
            .collect(),
        _ => Vec::new(),
    };
    Row {
        name: fact.name,
        ty: fact.ty.name(),
        values: fact.ty.words(),
        fields,
        stages,
        meaning: fact.meaning,
        rfc: fact.rfc,
    }
}

type Get = for<'a> fn(&'a Facts) -> Value<'a>;

const fn fact(name: &'static str, ty: Type, stage: Stage, rfc: &'static str, meaning: &'static str, get: Get) -> Fact {
    // A whole number is a count, unless something narrower is said.
    let range = if matches!(ty, Type::Int) { Some((0, i64::MAX)) } else { None };
    Fact { name, ty, stage, until: Stage::Data, range, meaning, rfc, get }
}

const fn from_to(least: i64, most: i64, fact: Fact) -> Fact {
    Fact { range: Some((least, most)), ..fact }
}

const fn only_at(stage: Stage, fact: Fact) -> Fact {
    Fact { until: stage, ..fact }
}

fn count(n: u64) -> Value<'static> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn texts(items: &[String]) -> Value<'_> {
    Value::List(items.iter().take(LIST_BOUND).map(|item| Value::text(item)).collect())
}

const DKIM_FIELDS: &[(&str, Type)] = &[
    ("result", Type::Word(MethodResult::WORDS)),
    ("domain", Type::String),
    ("selector", Type::String),
    ("algorithm", Type::String),
    ("reason", Type::String),
    ("secure", Type::Bool),
];

fn signature(d: &Dkim) -> Value<'_> {
    let texts = [d.result.as_str(), &d.domain, &d.selector, &d.algorithm, &d.reason];
    let values = texts.into_iter().map(Value::text).chain([Value::Bool(d.secure)]);
    Value::Map(DKIM_FIELDS.iter().zip(values).map(|((name, _), value)| (Cow::Borrowed(*name), value)).collect())
}

/// What stands in each entry of `block_lists`.
pub const BLOCK_LIST_FIELDS: &[(&str, Type)] =
    &[("listed", Type::Bool), ("codes", Type::StringList), ("names", Type::StringList), ("temperror", Type::Bool)];

fn list<'a>((zone, list): (&'a String, &'a BlockList)) -> (Cow<'a, str>, Value<'a>) {
    let values = [Value::Bool(list.listed), texts(&list.codes), texts(&list.names), Value::Bool(list.temperror)];
    let fields = BLOCK_LIST_FIELDS.iter().zip(values).map(|((name, _), value)| (Cow::Borrowed(*name), value));
    (Cow::Borrowed(zone.as_str()), Value::Map(fields.collect()))
}

/// What stands in each entry of `headers`.
pub const HEADER_FIELDS: &[(&str, Type)] =
    &[("present", Type::Bool), ("count", Type::Int), ("value", Type::String), ("last", Type::String)];

fn header<'a>((name, field): (&'a String, &'a HeaderField)) -> (Cow<'a, str>, Value<'a>) {
    let text = |text: &'a Option<String>| Value::text(text.as_deref().unwrap_or_default());
    let values = [Value::Bool(field.present), count(field.count), text(&field.value), text(&field.last)];
    let fields = HEADER_FIELDS.iter().zip(values).map(|((name, _), value)| (Cow::Borrowed(*name), value));
    (Cow::Borrowed(name.as_str()), Value::Map(fields.collect()))
}

const ATTACHMENT_FIELDS: &[(&str, Type)] = &[
    ("name", Type::String),
    ("extension", Type::String),
    ("type", Type::String),
    ("bytes", Type::Int),
    ("depth", Type::Int),
];

fn attachment(a: &Attachment) -> Value<'_> {
    let texts = [&a.name, &a.extension, &a.media_type];
    let values = texts.into_iter().map(|text| Value::text(text)).chain([count(a.bytes), count(a.depth)]);
    Value::Map(ATTACHMENT_FIELDS.iter().zip(values).map(|((name, _), value)| (Cow::Borrowed(*name), value)).collect())
}

fn clock(facts: &Facts, read: impl Fn(&Clock) -> u8) -> Value<'_> {
    Value::Int(facts.clock.as_ref().map_or(0, read).into())
}

const MAIL: Stage = Stage::Mail;
const DATA: Stage = Stage::Data;
const CONNECT: Stage = Stage::Connect;

/// Every fact.
#[rustfmt::skip]
pub static TABLE: &[Fact] = &[
    fact("client.ip", Type::Address, CONNECT, "", "the client's IP address; IPv4-mapped IPv6 is given as IPv4",
        |f| Value::String(Cow::Owned(f.client.ip.to_string()))),
    from_to(0, 65_535, fact("client.port", Type::Int, CONNECT, "", "the client's port",
        |f| Value::Int(f.client.port.into()))),
    fact("client.name", Type::String, CONNECT, "RFC 8601 §2.7.3", "the client's reverse name where iprev confirmed it, else ''",
        |f| Value::text(&f.client.name)),
    fact("client.trusted", Type::Bool, CONNECT, "", "the client is in smtp.trusted; SPF, iprev, reverse MX, HELO and block lists are not looked up then",
        |f| Value::Bool(f.client.trusted)),
    fact("client.early_talker", Type::Bool, CONNECT, "RFC 5321 §3.1", "the client spoke before it was greeted; looked for where smtp.greet_pause is not 0",
        |f| Value::Bool(f.client.early_talker)),
    from_to(0, 23, fact("clock.hour", Type::Int, CONNECT, "", "the hour of the day when the transaction began, 0 to 23 in the host's time zone",
        |f| clock(f, |clock| clock.hour))),
    from_to(0, 59, fact("clock.minute", Type::Int, CONNECT, "", "the minute of that hour, 0 to 59",
        |f| clock(f, |clock| clock.minute))),
    fact("clock.weekday", Type::Word(Weekday::WORDS), CONNECT, "", "the day of the week when the transaction began",
        |f| Value::text(f.clock.as_ref().map_or("", |clock| clock.weekday.as_str()))),
    from_to(1, 31, fact("clock.day", Type::Int, CONNECT, "", "the day of the month, 1 to 31",
        |f| clock(f, |clock| clock.day))),
    from_to(1, 12, fact("clock.month", Type::Int, CONNECT, "", "the month, 1 to 12",
        |f| clock(f, |clock| clock.month))),
    fact("iprev.result", Type::Word(IprevResult::WORDS), CONNECT, "RFC 8601 §2.7.3",
        "pass: a reverse name has the client's address; fail: none of them has; permerror: there is no reverse name",
        |f| Value::text(f.iprev.result.as_str())),
    fact("iprev.name", Type::String, CONNECT, "RFC 8601 §2.7.3", "the confirmed reverse name, else the first unconfirmed one, else ''",
        |f| Value::text(&f.iprev.name)),
    fact("reverse_mx.ptr.domain", Type::String, CONNECT, "", "the client's reverse name, as asked for its mail exchangers",
        |f| Value::text(&f.reverse_mx.ptr.domain)),
    fact("reverse_mx.ptr.result", Type::Word(ReverseMxResult::WORDS), CONNECT, "",
        "whether the client is a mail exchanger of its own reverse name",
        |f| Value::text(f.reverse_mx.ptr.result.as_str())),
    fact("reverse_mx.ptr.mx", Type::Word(Mx::WORDS), CONNECT, "RFC 5321 §5.1, RFC 7505", "how the reverse name says where its mail goes",
        |f| Value::text(f.reverse_mx.ptr.mx.as_str())),
    fact("reverse_mx.ptr.secure", Type::Bool, CONNECT, "RFC 4035", "DNSSEC vouches for every answer that the result rests on",
        |f| Value::Bool(f.reverse_mx.ptr.secure)),
    fact("block_lists", Type::RecordMap(BLOCK_LIST_FIELDS), CONNECT, "RFC 5782",
        "what DNS block and allow lists say, as in block_lists['zen.example'].listed; lists of domains from stage mail on",
        |f| Value::Map(f.block_lists.iter().map(list).collect())),
    fact("helo", Type::String, MAIL, "RFC 5321 §4.1.1.1", "the argument of EHLO or HELO",
        |f| Value::text(&f.helo)),
    fact("esmtp", Type::Bool, MAIL, "RFC 5321 §3.2", "the client said EHLO, not HELO",
        |f| Value::Bool(f.esmtp)),
    fact("helo_check.kind", Type::Word(HeloKind::WORDS), MAIL, "RFC 5321 §4.1.1.1",
        "what the argument of EHLO or HELO is; invalid: neither a full domain name nor an address literal",
        |f| Value::text(f.helo_check.kind.as_str())),
    fact("helo_check.result", Type::Word(HeloResult::WORDS), MAIL, "RFC 5321 §4.1.4",
        "pass: the name or literal has the client's address; fail: it has others; permerror: the name has none",
        |f| Value::text(f.helo_check.result.as_str())),
    fact("helo_check.matches_ptr", Type::Bool, MAIL, "", "the name in EHLO or HELO is a reverse name of the client, confirmed or not",
        |f| Value::Bool(f.helo_check.matches_ptr)),
    fact("tls.version", Type::String, MAIL, "RFC 3207", "TLSv1.2 or TLSv1.3; '' in clear",
        |f| Value::text(f.tls.as_ref().map_or("", |tls| &tls.version))),
    fact("tls.cipher", Type::String, MAIL, "RFC 3207", "the cipher suite; '' in clear",
        |f| Value::text(f.tls.as_ref().map_or("", |tls| &tls.cipher))),
    fact("tls.group", Type::String, MAIL, "RFC 8446 §4.2.7", "the key exchange, such as X25519MLKEM768 or X25519; '' in clear",
        |f| Value::text(f.tls.as_ref().map_or("", |tls| &tls.group))),
    fact("tls.sni", Type::String, MAIL, "RFC 6066 §3", "the host name that the client asked for; '' where it asked for none, and in clear",
        |f| Value::text(f.tls.as_ref().map_or("", |tls| &tls.sni))),
    fact("mail_from.address", Type::String, MAIL, "RFC 5321 §4.1.1.2", "the reverse-path; '' where it is null",
        |f| Value::text(&f.mail_from.address)),
    fact("mail_from.local", Type::String, MAIL, "RFC 5321 §4.1.2", "the reverse-path's local-part, without its quoting",
        |f| Value::text(&f.mail_from.local)),
    fact("mail_from.domain", Type::String, MAIL, "RFC 5321 §4.1.1.2", "the reverse-path's domain; '' where it is null",
        |f| Value::text(&f.mail_from.domain)),
    fact("mail_from.smtputf8", Type::Bool, MAIL, "RFC 6531 §3.4", "the client asked for SMTPUTF8",
        |f| Value::Bool(f.mail_from.smtputf8)),
    fact("spf.helo.result", Type::Word(MethodResult::WORDS), MAIL, "RFC 7208 §2.3", "SPF of the name in EHLO or HELO",
        |f| Value::text(f.spf.helo.result.as_str())),
    fact("spf.helo.domain", Type::String, MAIL, "RFC 7208 §2.3", "the name that was asked",
        |f| Value::text(&f.spf.helo.domain)),
    fact("spf.helo.secure", Type::Bool, MAIL, "RFC 4035", "DNSSEC vouches for every answer that the result rests on",
        |f| Value::Bool(f.spf.helo.secure)),
    fact("spf.mail_from.result", Type::Word(MethodResult::WORDS), MAIL, "RFC 7208 §2.4", "SPF of the reverse-path's domain",
        |f| Value::text(f.spf.mail_from.result.as_str())),
    fact("spf.mail_from.domain", Type::String, MAIL, "RFC 7208 §2.4", "the domain that was asked",
        |f| Value::text(&f.spf.mail_from.domain)),
    fact("spf.mail_from.secure", Type::Bool, MAIL, "RFC 4035", "DNSSEC vouches for every answer that the result rests on",
        |f| Value::Bool(f.spf.mail_from.secure)),
    fact("reverse_mx.mail_from.domain", Type::String, MAIL, "", "the reverse-path's domain, as asked for its mail exchangers",
        |f| Value::text(&f.reverse_mx.mail_from.domain)),
    fact("reverse_mx.mail_from.result", Type::Word(ReverseMxResult::WORDS), MAIL, "",
        "whether the client is a mail exchanger of the reverse-path's domain",
        |f| Value::text(f.reverse_mx.mail_from.result.as_str())),
    fact("reverse_mx.mail_from.mx", Type::Word(Mx::WORDS), MAIL, "RFC 5321 §5.1, RFC 7505",
        "how the reverse-path's domain says where its mail goes; '' where it is not known",
        |f| Value::text(f.reverse_mx.mail_from.mx.as_str())),
    fact("reverse_mx.mail_from.secure", Type::Bool, MAIL, "RFC 4035", "DNSSEC vouches for every answer that the result rests on",
        |f| Value::Bool(f.reverse_mx.mail_from.secure)),
    only_at(Stage::Rcpt, fact("rcpt.address", Type::String, Stage::Rcpt, "RFC 5321 §4.1.1.3", "the recipient as the client gave it",
        |f| Value::text(&f.rcpt.address))),
    only_at(Stage::Rcpt, fact("rcpt.local", Type::String, Stage::Rcpt, "RFC 5321 §4.1.2", "the recipient's local-part, without its quoting",
        |f| Value::text(&f.rcpt.local))),
    only_at(Stage::Rcpt, fact("rcpt.domain", Type::String, Stage::Rcpt, "RFC 5321 §4.1.1.3", "the recipient's domain, one of ours",
        |f| Value::text(&f.rcpt.domain))),
    fact("rcpt.role", Type::Word(Role::WORDS), Stage::Rcpt, "RFC 5321 §4.5.1, RFC 2142",
        "postmaster, abuse or ''; at data the role that all recipients of the message share",
        |f| Value::text(f.rcpt.role.as_str())),
    fact("rcpt.count", Type::Int, Stage::Rcpt, "RFC 5321 §4.5.3.1.8",
        "the recipients accepted before this one; at data, all recipients of the transaction",
        |f| count(f.rcpt.count)),
    fact("greylist.result", Type::Word(GreylistResult::WORDS), Stage::Rcpt, "RFC 6647",
        "new: never seen; early: seen, but back too soon; pass: back in time; known: accepted before, or never greylisted",
        |f| Value::text(f.greylist.result.as_str())),
    fact("greylist.key", Type::Word(GreylistKey::WORDS), Stage::Rcpt, "RFC 6647",
        "by what the sender is remembered: its network, or the domain that SPF or (at data) DKIM passed for",
        |f| Value::text(f.greylist.key.as_str())),
    fact("greylist.wait", Type::Int, Stage::Rcpt, "RFC 6647", "seconds until it is no longer too early",
        |f| count(f.greylist.wait)),
    fact("rates", Type::Counts, CONNECT, "",
        "how often it was so before, by key and time; rules ask with rate('client', '10m')",
        |f| Value::Map(f.rates.iter().map(|(name, n)| (Cow::Borrowed(name.as_str()), count(*n))).collect())),
    fact("message.bytes", Type::Int, DATA, "", "the size of the message as it came",
        |f| count(f.message.bytes)),
    fact("message.header_bytes", Type::Int, DATA, "RFC 5322 §2.2", "the size of its header",
        |f| count(f.message.header_bytes)),
    fact("message.fields", Type::Int, DATA, "RFC 5322 §2.2", "the number of fields in its header",
        |f| count(f.message.fields)),
    fact("message.received", Type::Int, DATA, "RFC 5321 §4.4", "the number of Received fields, before ours: the hosts it came through",
        |f| count(f.message.received)),
    fact("message.longest_line", Type::Int, DATA, "RFC 5321 §4.5.3.1.6", "octets of its longest line, CRLF included; the RFC allows 1,000",
        |f| count(f.message.longest_line)),
    fact("message.message_id", Type::String, DATA, "RFC 5322 §3.6.4", "Message-ID, cut to 250 characters",
        |f| Value::text(&f.message.message_id)),
    fact("headers", Type::RecordMap(HEADER_FIELDS), DATA, "RFC 5322 §3.6, RFC 2047",
        "a header field by its name in lower case, as in headers['list-id'].present; texts decoded, cut to 1,000 characters",
        |f| Value::Map(f.headers.iter().map(header).collect())),
    from_to(0, 1_000, fact("mime.parts", Type::Int, DATA, "RFC 2046", "the parts of the message, itself and those of messages within it included; at most 1,000",
        |f| count(f.mime.as_ref().map_or(0, |mime| mime.parts)))),
    from_to(0, 20, fact("mime.depth", Type::Int, DATA, "RFC 2046", "how deep the deepest part lies: 0 for a plain text; at most 20",
        |f| count(f.mime.as_ref().map_or(0, |mime| mime.depth)))),
    fact("mime.truncated", Type::Bool, DATA, "", "a bound was hit: the message has more than these facts tell",
        |f| Value::Bool(f.mime.as_ref().is_some_and(|mime| mime.truncated))),
    fact("mime.defects", Type::WordList(word::MIME_DEFECTS), DATA, "RFC 2045, RFC 2046", "what mail programs may disagree about in its parts and names",
        |f| Value::List(f.mime.iter().flat_map(|mime| &mime.defects).map(|word| Value::text(word)).collect())),
    fact("mime.attachments", Type::RecordList(ATTACHMENT_FIELDS), DATA, "RFC 2183",
        "the files and messages in the message, once for each name that one may be shown under, as in mime.attachments.exists(a, a.extension == 'exe')",
        |f| Value::List(f.mime.iter().flat_map(|mime| &mime.attachments).take(LIST_BOUND).map(attachment).collect())),
    fact("from.addresses", Type::StringList, DATA, "RFC 5322 §3.6.2", "the addresses of From",
        |f| texts(&f.from.addresses)),
    fact("from.domain", Type::String, DATA, "RFC 9989", "the author domain; '' where there is none or more than one",
        |f| Value::text(&f.from.domain)),
    fact("from.defects", Type::WordList(word::FROM_DEFECTS), DATA, "RFC 5322 §3.6.2", "what is wrong with From",
        |f| texts(&f.from.defects)),
    fact("reply_to.domain", Type::String, DATA, "RFC 5322 §3.6.2", "the domain of the first mailbox in Reply-To",
        |f| Value::text(&f.reply_to.domain)),
    fact("dkim", Type::RecordList(DKIM_FIELDS), DATA, "RFC 6376",
        "the DKIM signatures, as in dkim.exists(d, d.result == 'pass')",
        |f| Value::List(f.dkim.iter().take(LIST_BOUND).map(signature).collect())),
    fact("dmarc.result", Type::Word(DmarcResult::WORDS), DATA, "RFC 9989", "whether an identifier aligned with the author domain passed",
        |f| Value::text(f.dmarc.result.as_str())),
    fact("dmarc.domain", Type::String, DATA, "RFC 9989", "where the DMARC record stands",
        |f| Value::text(&f.dmarc.domain)),
    fact("dmarc.policy", Type::Word(DmarcPolicy::WORDS), DATA, "RFC 9989", "the policy that applies, after sp, np and t",
        |f| Value::text(f.dmarc.policy.as_str())),
    fact("dmarc.published", Type::Word(DmarcPolicy::WORDS), DATA, "RFC 9989", "the policy as published, p=",
        |f| Value::text(f.dmarc.published.as_str())),
    fact("dmarc.aligned", Type::Bool, DATA, "RFC 9989", "an authenticated domain is aligned with the author domain",
        |f| Value::Bool(f.dmarc.aligned)),
    fact("dmarc.secure", Type::Bool, DATA, "RFC 4035", "DNSSEC vouches for every answer that the result rests on",
        |f| Value::Bool(f.dmarc.secure)),
    fact("arc.result", Type::Word(ArcResult::WORDS), DATA, "RFC 8617", "the state of the ARC chain",
        |f| Value::text(f.arc.result.as_str())),
    fact("reverse_mx.from.domain", Type::String, DATA, "", "the author domain, as asked for its mail exchangers",
        |f| Value::text(&f.reverse_mx.from.domain)),
    fact("reverse_mx.from.result", Type::Word(ReverseMxResult::WORDS), DATA, "",
        "whether the client is a mail exchanger of the author domain",
        |f| Value::text(f.reverse_mx.from.result.as_str())),
    fact("reverse_mx.from.mx", Type::Word(Mx::WORDS), DATA, "RFC 5321 §5.1, RFC 7505", "how the author domain says where its mail goes",
        |f| Value::text(f.reverse_mx.from.mx.as_str())),
    fact("reverse_mx.from.secure", Type::Bool, DATA, "RFC 4035", "DNSSEC vouches for every answer that the result rests on",
        |f| Value::Bool(f.reverse_mx.from.secure)),
    fact("reverse_mx.reply_to.domain", Type::String, DATA, "", "Reply-To's domain, as asked for its mail exchangers",
        |f| Value::text(&f.reverse_mx.reply_to.domain)),
    fact("reverse_mx.reply_to.result", Type::Word(ReverseMxResult::WORDS), DATA, "",
        "whether the client is a mail exchanger of Reply-To's domain",
        |f| Value::text(f.reverse_mx.reply_to.result.as_str())),
    fact("reverse_mx.reply_to.mx", Type::Word(Mx::WORDS), DATA, "RFC 5321 §5.1, RFC 7505", "how Reply-To's domain says where its mail goes",
        |f| Value::text(f.reverse_mx.reply_to.mx.as_str())),
    fact("reverse_mx.reply_to.secure", Type::Bool, DATA, "RFC 4035", "DNSSEC vouches for every answer that the result rests on",
        |f| Value::Bool(f.reverse_mx.reply_to.secure)),
    fact("score", Type::Double, CONNECT, "", "the sum of the scores of the rules that matched before",
        |f| Value::Double(f.score)),
];
