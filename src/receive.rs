//! The order of the stages, and nothing else: what each of them does stands in its own room.
//!
//! ```text
//! connect(client) -> helo -> mail(reverse_path) -> recipient(forward_path) -> content(header, body) -> message -> reply
//! ```
//!
//! An [`Inquiry`] is one session's way through them. Look-ups begin as soon as what they ask about is known, and go on while
//! the client talks: the connection's task polls [`Inquiry::progress`]. A stage waits only for what its rules name. The rules of
//! connect and mail are judged when the first recipient is named, for only then is it known whose policy judges.

mod account;
mod asked;
mod carry_out;
mod deferred;
mod ending;
mod evidence;
mod failing;
mod incoming;
mod judge;
mod limits;
mod lookups;
mod outage;
mod quota;
mod reading;
mod remember;
mod transaction;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_util::future::join;
use ipnet::IpNet;
use jiff::{Timestamp, Zoned};

use crate::authenticate::{AuthenticateError, Authenticator};
use crate::facts::record::Record;
use crate::facts::table::FactSet;
use crate::facts::word::Action;
use crate::facts::{Facts, Message, Stage};
use crate::message::author::{Author, read_author, read_reply_to};
use crate::message::content::Content;
use crate::message::header::Header;
use crate::message::reference::reference;
use crate::observe::journal::Journal;
use crate::observe::metrics::Metrics;
use crate::policy::Grounds;
use crate::recipients::Directory;
use crate::smtp::address::{ForwardPath, ReversePath};
use crate::smtp::data::DataDefect;
use crate::smtp::reply::{self, Reply};

pub use crate::authenticate::Dns;
pub use crate::authenticate::block_lists::{Code, ListSetup};
pub use crate::authenticate::resolver::{DnsName, Server as DnsServer, Transport as DnsTransport};
pub use crate::facts::{ListKind, Tls};
pub use crate::message::ledger::{Ledger as Memory, network, wide_network};
pub use crate::state::{Settings as Remembering, State};
use account::{End, Watch};
use asked::Asked;
pub use carry_out::Carrier;
use ending::by_protocol;
use evidence::{start_domain_lists, start_reverse_mx};
use incoming::{Arrived, Incoming};
pub use limits::Limits;
use lookups::{About, Found, Lookups, Panicked};
pub use reading::read_time_zone;
pub use transaction::Policies;
use transaction::Transaction;

/// Copies that recipients of one transaction may lead to: more are asked to come again. One alias may have more.
const MOST_COPIES: usize = 1000;
/// Author domains that lists are asked about; a message of several is refused by the shipped policies, whatever they are.
const MOST_AUTHORS: usize = 4;

/// What all sessions of one configuration share.
#[derive(Clone)]
pub struct Receiver {
    /// Our name, in Received.
    pub hostname: String,
    /// Who vouches in Authentication-Results (RFC 8601 §2.5).
    pub authserv_id: String,
    /// Networks of our own.
    pub trusted: Vec<IpNet>,
    /// Every 5yz becomes 4yz.
    pub soft_reject: bool,
    /// More Received fields than this are a loop (RFC 5321 §6.3).
    pub most_received: usize,
    /// Whom we accept mail for.
    pub directory: Arc<Directory>,
    /// Outlives a reload: a transaction takes the newest at MAIL.
    pub policies: Arc<ArcSwap<Policies>>,
    /// Gathers the evidence.
    pub authenticator: Authenticator,
    /// Where copies go.
    pub carrier: Carrier,
    /// Where decision records go; without one nothing can be discarded.
    pub journal: Option<Arc<Journal>>,
    /// What is remembered between messages; a rehearsal recalls and notes nothing.
    pub state: Option<State>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What messages may hold in memory.
    pub memory: Arc<Memory>,
    /// The bounds of one message.
    pub limits: Limits,
}

/// What gathers the evidence, asking the DNS so. Nothing is asked yet.
///
/// # Errors
/// The system's DNS configuration, or a file that this one names, can't be used.
pub fn authenticator(dns: &Dns) -> Result<Authenticator, AuthenticateError> {
    Authenticator::new(dns)
}

impl Receiver {
    /// Whether the address is of our own networks.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&ip.to_canonical()))
    }

    /// Whose share of the disk a client's messages take: its wide network's, but a host of our own has one for itself, since its
    /// neighbours need not be ours.
    pub fn sharer_of_disk(&self, ip: IpAddr) -> IpAddr {
        if self.trusts(ip) { ip.to_canonical() } else { wide_network(ip) }
    }

    /// The same of memory, where others have one by their network.
    pub fn sharer_of_memory(&self, ip: IpAddr) -> IpAddr {
        if self.trusts(ip) { ip.to_canonical() } else { network(ip) }
    }
}

/// One session's way through the stages.
pub struct Inquiry {
    receiver: Arc<Receiver>,
    /// Bounds what is looked up about the client and its HELO.
    authenticator: Authenticator,
    /// What is known of the client; each transaction begins with a copy.
    session: Box<Facts>,
    extended: bool,
    client_lookups: Lookups,
    helo_lookups: Lookups,
    /// Boxed: most of a connection's time there is none.
    transaction: Option<Box<Transaction>>,
    /// A check about the client panicked: what it would have found is missing for the whole session, whose messages get a 451.
    panicked: bool,
    /// The last recipient was nobody here.
    nobody: bool,
    /// The last message was accepted for an inbox.
    welcome: bool,
    /// When a rehearsal takes place; `None`: now.
    moment: Option<Zoned>,
    /// The record of the last transaction of a rehearsal. Boxed: in a session there is none.
    last: Option<Box<Record>>,
}

impl Inquiry {
    /// A client has connected: what its address tells is looked up from now on.
    pub fn connect(receiver: Arc<Receiver>, client: SocketAddr) -> Self {
        let ip = client.ip().to_canonical();
        let trusted = receiver.trusts(ip);
        let authenticator = receiver.authenticator.for_session();
        let mut client_lookups = Lookups::default();
        if !trusted {
            let of_client = authenticator.clone();
            client_lookups.start(About::Client, async move { vec![Found::Iprev(of_client.iprev(ip).await)] });
            evidence::start_client_lists(&mut client_lookups, &authenticator, ip);
        }
        Inquiry {
            receiver,
            authenticator,
            session: Box::new(Facts::new(ip, client.port(), trusted)),
            extended: false,
            client_lookups,
            helo_lookups: Lookups::default(),
            transaction: None,
            panicked: false,
            nobody: false,
            welcome: false,
            moment: None,
            last: None,
        }
    }

    /// A rehearsal takes place at this moment: the time of day is what clocks show in its zone, and signatures are judged by it.
    pub fn at(&mut self, moment: Zoned) {
        self.moment = Some(moment);
    }

    /// Another client is at the other end than it seemed (XCLIENT): all that was known is forgotten but TLS. It has not greeted us.
    pub fn introduced(&mut self, ip: Option<IpAddr>, port: Option<u16>) {
        self.end_transaction();
        let was = &self.session;
        let client = SocketAddr::new(ip.unwrap_or(was.client.ip), port.unwrap_or(was.client.port));
        let (tls, moment) = (was.tls.clone(), self.moment.clone());
        *self = Inquiry::connect(Arc::clone(&self.receiver), client);
        (self.session.tls, self.moment) = (tls, moment);
    }

    /// The client's address.
    pub fn client(&self) -> IpAddr {
        self.session.client.ip
    }

    /// Whether the client is of our own networks.
    pub fn is_trusted(&self) -> bool {
        self.session.client.trusted
    }

    /// The client spoke before it was greeted.
    pub fn talked_early(&mut self) {
        self.session.client.early_talker = true;
    }

    /// Whether the recipient who was asked for last is nobody here: of no domain of ours, or no mailbox.
    pub fn was_nobody(&self) -> bool {
        self.nobody
    }

    /// Whether the message that came last was accepted for everybody it was for, and quarantined or discarded for nobody.
    pub fn was_welcome(&self) -> bool {
        self.welcome
    }

    /// The session is under TLS now: what the client said before is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self, tls: Tls) {
        self.end_transaction();
        self.helo("", false);
        self.session.tls = Some(Box::new(tls));
    }

    /// The client has said who it is.
    pub fn helo(&mut self, name: &str, extended: bool) {
        self.extended = extended;
        self.helo_lookups = Lookups::default();
        self.session.helo = name.to_owned();
        self.session.esmtp = extended && !name.is_empty();
        self.session.spf.helo = Default::default();
        self.session.helo_check = Default::default();
        if !name.is_empty() && !self.session.client.trusted {
            let (authenticator, ip, name) = (self.authenticator.clone(), self.session.client.ip, name.to_owned());
            let (again, its_name) = (authenticator.clone(), name.clone());
            let lookup = async move { vec![Found::SpfHelo(authenticator.spf_helo(ip, &name).await)] };
            self.helo_lookups.start(About::SpfHelo, lookup);
            let check = async move { vec![Found::Helo(again.helo(ip, &its_name).await)] };
            self.helo_lookups.start(About::Helo, check);
        }
    }

    /// A transaction begins, unless the disk has no room for mail.
    pub fn mail(&mut self, reverse_path: ReversePath, smtputf8: bool) -> Reply {
        match &self.receiver.carrier {
            Carrier::Maildirs(writers) if writers.space().is_low() => {
                self.refused_mail(reverse_path, reply::disk_full())
            }
            _ => self.begin(reverse_path, smtputf8),
        }
    }

    /// Whether a message of so many octets (RFC 1870) would have to be deferred because it would have to be spooled and there is no
    /// room for it.
    pub fn has_no_room_for(&self, size: u64) -> bool {
        let is_large = size > self.receiver.limits.memory_body as u64;
        match &self.receiver.carrier {
            Carrier::Maildirs(writers) if is_large => {
                writers.spooled().check(self.receiver.sharer_of_disk(self.session.client.ip), size).is_err()
            }
            _ => false,
        }
    }

    /// What the reverse-path tells is looked up from now on.
    fn begin(&mut self, reverse_path: ReversePath, smtputf8: bool) -> Reply {
        self.end_transaction();
        let mail_from = reading::reverse_path(&reverse_path, smtputf8);
        let domain = mail_from.domain.clone();
        let authenticator = self.authenticator.for_message();
        let mut lookups = Lookups::default();
        if !self.session.client.trusted {
            let (ip, helo) = (self.session.client.ip, self.session.helo.clone());
            let (spf, path) = (authenticator.clone(), reverse_path.clone());
            lookups.start(About::SpfMailFrom, async move {
                vec![Found::SpfMailFrom(spf.spf_mail_from(ip, &helo, &path).await)]
            });
            start_reverse_mx(&authenticator, ip, &mut lookups, About::MxMailFrom, &domain, Found::MxMailFrom);
            start_domain_lists(&authenticator, &mut lookups, vec![self.session.helo.clone(), domain.clone()]);
        }
        self.transaction = Some(Box::new(Transaction {
            reference: new_reference(),
            started: Instant::now(),
            policies: self.receiver.policies.load_full(),
            reverse_path,
            smtputf8,
            size: None,
            facts: Facts { mail_from, clock: Some(reading::clock(self.moment.as_ref())), ..(*self.session).clone() },
            authenticator,
            lookups,
            counted: false,
            put_off: false,
            greylist_of_message: false,
            accepted: Vec::new(),
            tried: Vec::new(),
            tried_more: 0,
            refused: None,
            incoming: None,
            author: Author::default(),
            waited: Default::default(),
            panicked: self.panicked,
        }));
        reply::mail_ok()
    }

    /// A forward-path: is it a recipient of ours, and do the rules take mail for it?
    pub async fn recipient(&mut self, path: ForwardPath) -> Reply {
        let watch = Watch::start();
        self.count_transaction().await;
        let asked = Asked::of(&path, &self.receiver.directory);
        self.nobody = match &asked {
            Ok(asked) => !asked.exists,
            Err(refused) => refused.for_good,
        };
        let Asked { local, exists } = match asked {
            Ok(asked) => asked,
            Err(refused) => return self.refuse_by_protocol(&path, refused.reply),
        };
        let told = exists.then_some(&local);
        let Some(transaction) = &self.transaction else { return reply::internal_error() };
        let policy = transaction.policies.of(&local.mailboxes);
        let mut needs = FactSet::default();
        for stage in [Stage::Connect, Stage::Mail, Stage::Rcpt] {
            needs.extend(*policy.needs(stage));
        }
        self.until(remember::with_what_recalling_needs(needs)).await;
        let Some(transaction) = &mut self.transaction else { return reply::internal_error() };
        if transaction.panicked {
            // rules would take what is missing for what was found
            return self.refuse_recipient(&path, told, by_protocol(Stage::Rcpt, reply::internal_error()));
        }
        transaction.facts.rcpt = reading::forward_path(&path, &local, transaction.accepted.len());
        self.recall_recipient(&policy).await;
        let Some(transaction) = &self.transaction else { return reply::internal_error() };
        let judged = judge::recipient(&policy, &transaction.facts, transaction.authenticator.met_outage());
        self.note_recipient_seen().await;
        self.receiver.metrics.stage(Stage::Rcpt, watch.read());
        let Some(transaction) = &self.transaction else { return reply::internal_error() };
        match judged {
            Err(refusal) => self.refuse_recipient(&path, told, *refusal),
            Ok(_) if !exists => self.refuse_by_protocol(&path, reply::no_such_mailbox()),
            Ok(standing) if !transaction.goes_with(&standing) => {
                self.refuse_recipient(&path, Some(&local), by_protocol(Stage::Rcpt, reply::differs_send_again()))
            }
            Ok(_) if !transaction.has_room_for(local.mailboxes.len()) => {
                self.refuse_recipient(&path, Some(&local), by_protocol(Stage::Rcpt, reply::too_many_recipients()))
            }
            Ok(standing) => match self.room_for(&local).await {
                Ok(scarce) => self.accept_recipient(&path, local, standing, scarce),
                Err(refusal) => self.refuse_recipient(&path, Some(&local), *refusal),
            },
        }
    }

    /// DATA: the message comes now.
    pub fn data(&mut self) -> Reply {
        let Some(transaction) = &mut self.transaction else { return reply::internal_error() };
        let client = self.session.client.ip;
        transaction.incoming = Some(Incoming::new(
            self.receiver.memory.of(self.receiver.sharer_of_memory(client)),
            self.receiver.sharer_of_disk(client),
            self.receiver.limits.memory_body,
        ));
        reply::start_data()
    }

    /// The next octets of the message.
    pub fn content(&mut self, octets: &[u8]) {
        let Some(transaction) = &mut self.transaction else { return };
        let Some(incoming) = &mut transaction.incoming else { return };
        match catch_unwind(AssertUnwindSafe(|| incoming.push(octets))) {
            Ok(None) => {}
            Ok(Some(header)) => self.header(&header),
            Err(_) => self.note(Err(Panicked)),
        }
    }

    /// The header is complete: what it tells is looked up while the body still comes in.
    fn header(&mut self, header: &Header) {
        let Some(transaction) = &self.transaction else { return };
        let named = transaction.headers_named();
        let read = || {
            let headers = reading::headers(header, named.into_iter());
            (read_author(header), read_reply_to(header), reading::message(header), headers)
        };
        let Ok((author, reply_to, message, headers)) = catch_unwind(AssertUnwindSafe(read)) else {
            return self.note(Err(Panicked));
        };
        let Some(mut transaction) = self.transaction.take() else { return };
        let facts = &mut transaction.facts;
        (facts.message, facts.headers) =
            (Message { bytes: facts.message.bytes, longest_line: facts.message.longest_line, ..message }, headers);
        facts.from.addresses.clone_from(&author.addresses);
        facts.from.domain = author.domain().map(|domain| domain.as_str().to_owned()).unwrap_or_default();
        facts.from.defects = author.defects.iter().map(|defect| (*defect).to_owned()).collect();
        facts.reply_to.domain = reply_to.map(|domain| domain.as_str().to_owned()).unwrap_or_default();
        let (ip, authenticator) = (facts.client.ip, transaction.authenticator.clone());
        if !facts.client.trusted {
            let authors = author.domains.iter().take(MOST_AUTHORS).map(|domain| domain.as_str().to_owned()).collect();
            let (from, reply_to) = (&facts.from.domain, &facts.reply_to.domain);
            let lookups = &mut transaction.lookups;
            start_domain_lists(&authenticator, lookups, authors);
            start_reverse_mx(&authenticator, ip, lookups, About::MxFrom, from, Found::MxFrom);
            start_reverse_mx(&authenticator, ip, lookups, About::MxReplyTo, reply_to, Found::MxReplyTo);
        }
        if let Some(keys) = transaction.incoming.as_ref().and_then(Incoming::dkim_keys) {
            let its_author = author.clone();
            transaction.lookups.start(About::Cache, async move {
                join(authenticator.fetch_dkim_keys(&keys), authenticator.fetch_dmarc_policy(&its_author)).await;
                vec![Found::Warmed]
            });
        }
        transaction.author = author;
        self.transaction = Some(transaction);
    }

    /// The end of the message: what becomes of it?
    pub async fn message(&mut self, defect: Option<DataDefect>) -> Reply {
        self.welcome = false;
        let watch = Watch::start();
        let Arrived { content, hasher, held: _held } = match self.arrived(defect).await {
            Ok(arrived) => arrived,
            Err(refusal) => return self.refuse_message(refusal),
        };
        if self.evidence(&hasher.finish()).await.is_err() {
            return self.refuse_message(reply::internal_error());
        }
        let content = match self.looked_through(content).await {
            Ok(content) => content,
            Err(refusal) => return self.refuse_message(refusal),
        };
        self.recall_message().await;
        let Some(mut transaction) = self.transaction.take() else { return reply::internal_error() };
        transaction.face_message();
        let mut end = self.decide_and_carry_out(&transaction, content).await;
        let reply = self.worded(end.reply.take().unwrap_or_else(reply::internal_error), &transaction.reference);
        end.reply = Some(reply.clone());
        self.welcome = end.is_welcome();
        self.note_message_seen(&transaction, &end).await;
        self.receiver.metrics.stage(Stage::Data, watch.read());
        self.account(*transaction, end);
        reply
    }

    /// The record of the last transaction, where no journal took it: a rehearsal's.
    pub fn last_record(&mut self) -> Option<Record> {
        self.last.take().map(|record| *record)
    }

    /// The policy decides (pure), the decision is carried out, and the outcome makes the reply.
    async fn decide_and_carry_out(&self, transaction: &Transaction, content: Content) -> End {
        let watch = Watch::start();
        let judged = judge::message(transaction);
        let mut end = self.end_of(transaction, &judged);
        end.decide = watch.read();
        if end.reply.is_some() {
            return end;
        }
        let watch = Watch::start();
        match self.carry_out(transaction, content, &judged, &end).await {
            Ok(acknowledged) => {
                end.reply = Some(acknowledged.reply(&transaction.reference));
                end.journalled = acknowledged.is_discarded();
                end.delivery = acknowledged.records();
            }
            Err(trouble) => {
                (end.action, end.rule, end.reply) = (Action::Defer, String::new(), Some(trouble.reply));
                (end.grounds, end.by_recipient) = (Grounds::default(), Vec::new());
                (end.changes, end.changes_by_recipient) = (None, Vec::new());
                end.trouble = trouble.cause;
            }
        }
        end.deliver = watch.read();
        end
    }
}

/// A ref for a transaction that begins now.
fn new_reference() -> String {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    // without randomness the time alone still tells transactions apart, mostly
    reference(now, getrandom::u32().unwrap_or_else(|_| Timestamp::now().subsec_nanosecond().unsigned_abs()))
}
