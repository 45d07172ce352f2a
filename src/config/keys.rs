//! Every key of gatepost.toml, declared once: its kind, default, bounds and meaning. What is read, what counts as unknown, the
//! defaults, the keys that need a restart and the documentation all come from this table.

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A domain name.
    Domain,
    /// `name@domain` of a mailbox here.
    Mailbox,
    /// The name of a mailbox of the domain.
    MailboxName,
    /// A list of mailbox names, or `{ file = "..." }`.
    MailboxNames,
    /// A table: a name and where it leads, a string or a list of strings.
    Aliases,
    /// An address with its port.
    Listener,
    /// A list of addresses with ports.
    Listeners,
    /// A list of DNS servers: an address, or `tls://` or `https://` with an address and the name on its certificate.
    Servers,
    /// A list of networks or single addresses.
    Networks,
    /// `true` or `false`.
    Boolean,
    /// A path, relative to the file.
    Path,
    /// A list of tables of two paths.
    Certificates,
    /// Bytes: `"50 MB"` or a number.
    Size,
    /// Bytes, or 0 for no bound: `"2 GB"`.
    Quota,
    /// A time with its unit: `"300s"`, `"14d"`.
    Duration,
    /// A whole number.
    Count,
    /// The name of a user or group of this machine.
    Account,
    /// What becomes of recipients whose verdicts may differ.
    Mixed,
    /// Whether a layer of confinement is asked for.
    Layer,
    /// What a DNS list is asked about.
    ListKind,
    /// A table: answers of a DNS list and what they are called.
    ListCodes,
    /// What a DNS list is probed with.
    ListProbe,
}

impl Kind {
    /// What it is, as it stands in a sentence after "must be".
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Domain => "a domain name",
            Kind::Mailbox => "the address of a mailbox here",
            Kind::MailboxName => "the name of a mailbox",
            Kind::MailboxNames => "a list of mailbox names or { file = \"...\" }",
            Kind::Aliases => "a table of names and where they lead",
            Kind::Listener => "an address with its port",
            Kind::Listeners => "a list of addresses with their ports",
            Kind::Servers => "a list of DNS servers",
            Kind::Networks => "a list of networks",
            Kind::Boolean => "true or false",
            Kind::Path => "a path",
            Kind::Certificates => "a list of { certificate, key }",
            Kind::Size => "a size such as \"50 MB\"",
            Kind::Quota => "a size such as \"2 GB\", or 0",
            Kind::Duration => "a time such as \"300s\" or \"14d\"",
            Kind::Count => "a whole number",
            Kind::Account => "a name",
            Kind::Mixed => "\"split\" or \"quarantine\"",
            Kind::Layer => "\"on\", \"off\" or \"require\"",
            Kind::ListKind => "\"address\" or \"domain\"",
            Kind::ListCodes => "a table of answers and what they are called",
            Kind::ListProbe => "an address, or a domain where the list is of domains",
        }
    }
}

/// What happens where a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// A problem.
    Required,
    /// This TOML value is taken.
    Default(&'static str),
    /// What it would bring is not there; the text says what that means.
    Means(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its path; `*` stands for a name that the administrator chooses.
    pub path: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What happens where it is absent.
    pub absent: Absent,
    /// The least and the greatest value of a size (bytes), a time (seconds) or a count; `None` for other kinds.
    pub bounds: Option<(u64, u64)>,
    /// Whether a change is heeded only by a restart.
    pub restart: bool,
    /// What it is for, a sentence or two.
    pub doc: &'static str,
    /// The RFC section that the key or its least value comes from; may be empty.
    pub rfc: &'static str,
}

/// The greatest number of connections that a configuration can have.
pub const MOST_CONNECTIONS: u64 = 100_000;

const fn key(path: &'static str, kind: Kind, absent: Absent, doc: &'static str) -> Key {
    Key { path, kind, absent, bounds: None, restart: false, doc, rfc: "" }
}

impl Key {
    const fn rfc(self, rfc: &'static str) -> Key {
        Key { rfc, ..self }
    }
    const fn bounds(self, least: u64, most: u64) -> Key {
        Key { bounds: Some((least, most)), ..self }
    }
    const fn restart(self) -> Key {
        Key { restart: true, ..self }
    }
    /// The path of the table that it stands in; empty for the top.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }
    /// Its name within its table.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

use Absent::{Default, Means, Required};

/// All keys, in the order in which an example shows them.
#[rustfmt::skip]
pub static TABLE: &[Key] = &[
    key("hostname", Kind::Domain, Required, "The name of this host as its MX record says it. It stands in the greeting and in Received.").rfc("RFC 5321 §4.1.1.1"),
    key("authserv_id", Kind::Domain, Means("the hostname"), "Who vouches in Authentication-Results; the same on all MX hosts of a domain.").rfc("RFC 8601 §2.5"),
    key("smtp.listen", Kind::Listeners, Default(r#"["[::]:25"]"#), "Where mail comes in. [::] takes IPv4 too.").restart(),
    key("smtp.postmaster", Kind::Mailbox, Means("the first domain's own postmaster"), "Where mail to <postmaster> without a domain goes; must be a mailbox here.").rfc("RFC 5321 §4.5.1"),
    key("smtp.trusted", Kind::Networks, Default("[]"), "Networks of our own (relays, scanners, cron): not checked for SPF, reverse name, reverse MX and HELO, and not looked up in block lists."),
    key("smtp.soft_reject", Kind::Boolean, Default("false"), "Every permanent refusal becomes a temporary one: for the first days."),
    key("smtp.proxy_from", Kind::Networks, Default("[]"), "Networks of load balancers that begin every connection with a PROXY header (version 1 or 2): the client is whom it names."),
    key("smtp.xclient_from", Kind::Networks, Default("[]"), "Networks of hosts that may say by XCLIENT for which client they speak: filters of our own, tests."),
    key("smtp.greet_pause", Kind::Duration, Default(r#""0s""#), "How long the greeting waits for clients that do not: who speaks before it is the fact client.early_talker. 0s: nobody waits.").bounds(0, 60).rfc("RFC 5321 §3.1"),
    key("smtp.tarpit", Kind::Duration, Default(r#""2s""#), "How long the reply waits, each time, once a session has asked for half of limits.unknown_recipients.").bounds(0, 60),
    key("smtp.tls.certificate", Kind::Path, Means("STARTTLS is not offered"), "The certificate chain, PEM.").rfc("RFC 3207"),
    key("smtp.tls.key", Kind::Path, Means("STARTTLS is not offered"), "Its private key, PEM."),
    key("smtp.tls.more", Kind::Certificates, Default("[]"), "More certificates, chosen by the name that the client asks for (SNI).").rfc("RFC 6066 §3"),
    key("smtp.tls.more.*.certificate", Kind::Path, Required, "The chain of one of them, PEM."),
    key("smtp.tls.more.*.key", Kind::Path, Required, "Its private key, PEM."),
    key("dns.servers", Kind::Servers, Means("the system's servers"), "Resolvers to ask; a validating one on this host is best. \"127.0.0.1:53\", \"tls://9.9.9.9#dns.quad9.net\" or \"https://9.9.9.9/dns-query#dns.quad9.net\".").rfc("RFC 7858, RFC 8484").restart(),
    key("dns.roots", Kind::Path, Means("the system's certificates"), "Certificates of the authorities (PEM) that vouch for servers over tls:// and https://.").restart(),
    key("dns.validate", Kind::Boolean, Default("false"), "Whether DNSSEC is validated here; else the word (AD) of a server on loopback or over tls:// or https:// is taken.").rfc("RFC 4035").restart(),
    key("dns.trust_anchors", Kind::Path, Means("the keys of the root, which are built in"), "DNSKEY records, as a zone file has them, that validation starts from.").rfc("RFC 4033 §2").restart(),
    key("dns.canary", Kind::Domain, Means("the root"), "A name that is asked to see whether the servers work: while it isn't answered, what needs the DNS is 451.").restart(),
    key("dns.cache", Kind::Count, Default("32768"), "Answers that are kept in memory, about 1 kB each.").bounds(1_024, 16_777_216).restart(),
    key("maildir.root", Kind::Path, Default(r#""/var/vmail""#), "Where mail is stored: root/<domain>/<mailbox>/ is a Maildir, Junk is its folder .Junk.").restart(),
    key("maildir.quota", Kind::Quota, Means("no bound"), "How much mail each mailbox may hold, all folders together (Maildir++: the file maildirsize, which Dovecot reads too); 0: as much as there is room for. Over it, 452 4.2.2.").bounds(65_536, 1_000_000_000_000_000),
    key("domains.*.mailboxes", Kind::MailboxNames, Default("[]"), "The domain's mailboxes, or { file = \"...\" } with a name a line."),
    key("domains.*.aliases", Kind::Aliases, Default("{}"), "Other names: to mailboxes or aliases of any local domain, never abroad."),
    key("domains.*.catch_all", Kind::MailboxName, Means("unknown names are refused"), "Where mail to unknown names of the domain goes."),
    key("domains.*.policy", Kind::Path, Means("policy.file"), "The domain's own policy."),
    key("domains.*.quota", Kind::Quota, Means("maildir.quota"), "The same for each mailbox of the domain; 0: no bound.").bounds(65_536, 1_000_000_000_000_000),
    key("domains.*.mailbox.*.policy", Kind::Path, Means("the domain's policy"), "The mailbox's own policy."),
    key("domains.*.mailbox.*.quota", Kind::Quota, Means("the domain's quota"), "The same for this mailbox; 0: no bound.").bounds(65_536, 1_000_000_000_000_000),
    key("policy.file", Kind::Path, Means("the default policy that is built in"), "The rules that decide."),
    key("policy.mixed", Kind::Mixed, Default(r#""split""#), "Where recipients' policies may refuse differently: split answers 452 to later ones, whose copies come again minutes later; quarantine takes all, and puts what some refuse into their Junk.").rfc("RFC 5321 §4.1.1.4"),
    key("block_lists.*.zone", Kind::Domain, Required, "The zone of a DNS block or allow list. Rules name it: block_lists['zen.example'].listed.").rfc("RFC 5782"),
    key("block_lists.*.kind", Kind::ListKind, Required, "What it is asked about: address (the client's) or domain (of HELO, reverse name, reverse-path and author)."),
    key("block_lists.*.codes", Kind::ListCodes, Means("every answer but 127.0.0.1 lists, and is its own name"), "What its answers are called; what is not here does not list.").rfc("RFC 5782 §2.3"),
    key("block_lists.*.listed_probe", Kind::ListProbe, Means("127.0.0.2 and ::FFFF:7F00:2; TEST where it is of domains"), "What it must list, else it is switched off.").rfc("RFC 5782 §5"),
    key("block_lists.*.unlisted_probe", Kind::ListProbe, Means("127.0.0.1 and ::FFFF:7F00:1; INVALID where it is of domains"), "What it must not list, else it is switched off.").rfc("RFC 5782 §5"),
    key("http.listen", Kind::Listener, Default(r#""127.0.0.1:9125""#), "Where /metrics, /healthz and /readyz are answered. Nobody is asked for a password: keep it on loopback.").restart(),
    key("journal.directory", Kind::Path, Default(r#""/var/lib/gatepost/journal""#), "Where every decision is written down: JSON lines, a file a day (UTC), mode 0600.").restart(),
    key("journal.keep", Kind::Duration, Default(r#""14d""#), "How long a day's file is kept.").bounds(86_400, 3_660 * 86_400).restart(),
    key("journal.pseudonymise", Kind::Boolean, Default("false"), "Whether local-parts stand under pseudonyms and addresses of hosts are cut to their network, here and in the log (docs/privacy.md).").restart(),
    key("journal.audit.keep", Kind::Duration, Default(r#""400d""#), "How long a month's audit is kept: which configuration and policies were loaded when.").bounds(30 * 86_400, 3_660 * 86_400).restart(),
    key("state.directory", Kind::Path, Default(r#""/var/lib/gatepost/state""#), "Where greylisting and rates remember what they have seen: one file, mode 0600. Not made where no policy asks for either.").restart(),
    key("state.entries", Kind::Count, Default("100000"), "The most strangers, known senders, and counts of each rate that are remembered, about 150 bytes each.").bounds(1_000, 10_000_000).restart(),
    key("state.greylist_delay", Kind::Duration, Default(r#""5min""#), "A stranger who comes again sooner is early: greylist.result is early.").bounds(1, 86_400).rfc("RFC 6647 §2.4"),
    key("state.greylist_window", Kind::Duration, Default(r#""2d""#), "A stranger who comes again later is new.").bounds(600, 30 * 86_400).rfc("RFC 6647 §2.4"),
    key("state.greylist_known", Kind::Duration, Default(r#""36d""#), "How long a sender is known after its last accepted message.").bounds(3_600, 400 * 86_400).rfc("RFC 6647 §2.4"),
    key("security.user", Kind::Account, Means("the user who started it"), "Whom we become after binding: Dovecot's mail_uid. Needed where root starts a server that isn't on loopback only.").restart(),
    key("security.group", Kind::Account, Means("the user's own group"), "The group that goes with it.").restart(),
    key("security.landlock", Kind::Layer, Default(r#""on""#), "Whether the kernel holds us to the files and ports that we need (Landlock): on where the kernel has it, require refuses to start without it.").restart(),
    key("security.seccomp", Kind::Layer, Default(r#""on""#), "Whether the kernel denies us the system calls that a mail server never makes (seccomp): on where the kernel has it, require refuses to start without it.").restart(),
    key("security.handover", Kind::Path, Means("no process can take over"), "A Unix socket, made with mode 0600, by which serve --take-over gets our listening sockets for an upgrade that loses no connection.").restart(),
    key("limits.command_line", Kind::Size, Default("2048"), "The longest command line, with its CRLF.").bounds(512, 65_536).rfc("RFC 5321 §4.5.3.1.4"),
    key("limits.message", Kind::Size, Default(r#""50 MB""#), "The largest message; told to clients by SIZE.").bounds(65_536, 2_000_000_000).rfc("RFC 5321 §4.5.3.1.7"),
    key("limits.header", Kind::Size, Default(r#""256 KiB""#), "The largest header of a message.").bounds(16_384, 262_144),
    key("limits.header_fields", Kind::Count, Default("1000"), "Fields of a message's header.").bounds(100, 1_000),
    key("limits.memory_body", Kind::Size, Default(r#""128 kB""#), "A larger body goes to disk while it comes in.").bounds(16_384, 1_000_000),
    key("limits.memory", Kind::Size, Default(r#""256 MB""#), "What messages may hold in memory, over all sessions; an eighth of it for one IPv4 address or IPv6 /64.").bounds(4_000_000, 1_000_000_000_000),
    key("limits.spool", Kind::Size, Default(r#""8 GB""#), "What large messages may hold of the disk while they come in, over all sessions; never more than half of what is free above limits.free_disk.").bounds(4_000_000, 1_000_000_000_000_000),
    key("limits.spool_per_network", Kind::Size, Default(r#""1 GB""#), "The same of one IPv4 /24 or IPv6 /64; never more than an eighth of that half. One message always fits.").bounds(1_000_000, 1_000_000_000_000_000),
    key("limits.recipients", Kind::Count, Default("1000"), "Accepted recipients a transaction; told to clients by LIMITS RCPTMAX.").bounds(100, 100_000).rfc("RFC 5321 §4.5.3.1.8"),
    key("limits.errors", Kind::Count, Default("10"), "Wrong commands a session, then it is closed.").bounds(1, 10_000).rfc("RFC 5321 §7.8"),
    key("limits.commands", Kind::Count, Default("100000"), "Commands a session, then it is closed.").bounds(200, 10_000_000).rfc("RFC 5321 §7.8"),
    key("limits.transactions", Kind::Count, Default("10000"), "Transactions a session, then it is closed.").bounds(1, 1_000_000).rfc("RFC 5321 §7.8"),
    key("limits.received", Kind::Count, Default("100"), "Received fields of a message: more are a loop, 554 5.4.6.").bounds(100, 1_000).rfc("RFC 5321 §6.3"),
    key("limits.unknown_recipients", Kind::Count, Default("20"), "Recipients that are nobody here that a session may ask for without sending a message that is taken, then it is closed.").bounds(1, 10_000).rfc("RFC 5321 §7.3"),
    key("limits.unknown_recipients_per_address", Kind::Count, Default("500"), "The same of all sessions of one IPv4 address or IPv6 /64 within an hour, then it is turned away for a while.").bounds(1, 1_000_000).restart(),
    key("limits.connections", Kind::Count, Default("1000"), "Connections at a time.").bounds(1, MOST_CONNECTIONS),
    key("limits.connections_per_address", Kind::Count, Default("50"), "Connections at a time from one address.").bounds(1, MOST_CONNECTIONS),
    key("limits.connections_per_network", Kind::Count, Default("200"), "Connections at a time from one IPv4 /24 or IPv6 /64.").bounds(1, MOST_CONNECTIONS),
    key("limits.session", Kind::Duration, Default(r#""30min""#), "The longest session; a transaction in flight is finished.").bounds(60, 86_400),
    key("limits.idle", Kind::Duration, Default(r#""300s""#), "How long a client may say nothing. The RFC asks for 5 minutes.").bounds(1, 3_600).rfc("RFC 5321 §4.5.3.2.7"),
    key("limits.stress", Kind::Count, Default("80"), "Percent of limits.connections, of limits.memory, of what large messages may hold of the disk, and of open files, from which on the server is under stress: waits are short, clients that have behaved are preferred.").bounds(10, 100),
    key("limits.stress_idle", Kind::Duration, Default(r#""10s""#), "How long a client may say nothing under stress.").bounds(1, 3_600),
    key("limits.stress_rate", Kind::Size, Default("500"), "Under stress a message must come with so many bytes a second.").bounds(1, 1_000_000),
    key("limits.free_disk", Kind::Size, Default(r#""100 MB""#), "With less free on the Maildir's file system no mail is taken.").bounds(0, 1_000_000_000_000_000),
    key("limits.free_inodes", Kind::Count, Default("1000"), "With fewer files to be made there no mail is taken.").bounds(0, 1_000_000_000),
];

/// Keys that the design names and this version does not have, with what to do instead.
pub static LATER: &[(&str, &str)] =
    &[("log", "set GATEPOST_LOG in the environment for now"), ("scan", "leave it out for now")];

/// The key of a path, in which chosen names stand as `*`.
pub fn find(path: &str) -> Option<&'static Key> {
    TABLE.iter().find(|key| key.path == path)
}

/// The names that may stand in a section (its keys and the tables below it), in the table's order, each once; a `*` among them
/// means that any name may.
pub fn within(section: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in TABLE {
        let rest = match section {
            "" => Some(key.path),
            _ => key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(name) = rest.and_then(|rest| rest.split('.').next()) else { continue };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
