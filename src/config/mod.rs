//! gatepost.toml to [`Config`]: typed and checked whole, every problem at once.
//!
//! What is checked here is what the file says and what the files that it names hold. What depends on the machine (accounts, ports,
//! whether a key fits its certificate, whether a directory can be written) is checked where it is used: [`Config::account`] and
//! [`Config::privilege_problem`] at start, the rest in `server/` and `deliver/`.

mod account;
mod block_lists;
pub mod dns;
mod domains;
mod files;
pub mod keys;
mod limits;
mod policies;
mod reader;
mod sections;
mod stamp;
pub mod value;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

pub use account::Account;
pub use block_lists::{BlockList, ListCode, parse_code, zones_of};
pub use dns::Dns;
pub use files::NOT_READABLE;
pub use limits::Limits;
pub use policies::{ListFile, Policies, default_source, list_reader, policy_source, redirect_problems};
pub use sections::{CertificateFiles, Layer, Pem, TlsFiles};
pub use stamp::Stamp;

use crate::policy::Zones;
use crate::problem::{Problem, Problems, Source};
use crate::recipients::{Directory, Loss, Quotas};
use crate::smtp::address::Domain;
use reader::{Reader, Section};
use value::Fault;

/// What the built-in configuration is: it serves a trial on loopback, out of the current directory.
const BUILT_IN: &str = r#"hostname = "localhost"
[smtp]
listen = ["127.0.0.1:2525"]
postmaster = "postmaster@localhost"
[maildir]
root = "mail"
[domains."localhost"]
mailboxes = ["postmaster"]
catch_all = "postmaster"
[http]
listen = "127.0.0.1:9125"
[journal]
directory = "journal"
[state]
directory = "state"
"#;

/// A configuration in which nothing is wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, for problems that show only later.
    pub source: Arc<Source>,
    /// The name of this host: greeting, Received.
    pub hostname: Domain,
    /// Who vouches in Authentication-Results (RFC 8601 §2.5).
    pub authserv_id: String,
    /// `[smtp]`
    pub smtp: Smtp,
    /// `[smtp.tls]`; without it STARTTLS is not offered.
    pub tls: Option<TlsFiles>,
    /// `[dns]`
    pub dns: Dns,
    /// `[maildir]`
    pub maildir: Maildir,
    /// Whom we accept mail for, from `[domains]` and `smtp.postmaster`.
    pub directory: Arc<Directory>,
    /// What mailboxes may hold.
    pub quotas: Quotas,
    /// The rules that decide, for each mailbox.
    pub policies: Policies,
    /// `[[block_lists]]`, no zone twice.
    pub block_lists: Vec<BlockList>,
    /// `[http]`
    pub http: Http,
    /// `[journal]`
    pub journal: Journal,
    /// `[state]`
    pub state: State,
    /// `[security]`
    pub security: Security,
    /// `[limits]`
    pub limits: Limits,
    /// The files that it names, read or to be read: policies and their lists, lists of mailboxes, certificates and keys.
    pub files: Vec<PathBuf>,
    /// What can be served, and makes little sense.
    pub warnings: Problems,
}

/// `[smtp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Where mail comes in; never empty.
    pub listen: Vec<SocketAddr>,
    /// Networks of our own.
    pub trusted: Vec<IpNet>,
    /// Whose connections begin with a PROXY header.
    pub proxy_from: Vec<IpNet>,
    /// Who may say XCLIENT.
    pub xclient_from: Vec<IpNet>,
    /// Every 5yz becomes a 4yz.
    pub soft_reject: bool,
    /// How long the greeting waits.
    pub greet_pause: Duration,
    /// How long the reply about an unknown recipient waits where there were many.
    pub tarpit: Duration,
}

/// `[maildir]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildir {
    /// A mailbox is `root/<domain>/<name>/`.
    pub root: PathBuf,
    /// Octets that a mailbox may hold whose domain has no quota of its own; 0: no bound.
    pub quota: u64,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where `/metrics`, `/healthz` and `/readyz` are answered.
    pub listen: SocketAddr,
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// Where its files lie.
    pub directory: PathBuf,
    /// How long a day's file is kept.
    pub keep: Duration,
    /// Whether local-parts and addresses stand in it, and in the log, under pseudonyms.
    pub pseudonymise: bool,
    /// `[journal.audit]`: how long a month's audit is kept.
    pub keep_audit: Duration,
}

/// `[state]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where what is remembered outlives a restart.
    pub directory: PathBuf,
    /// The most strangers, known senders, and counts of each rate.
    pub entries: usize,
    /// Who comes again sooner is early.
    pub greylist_delay: Duration,
    /// Who comes again later is new; longer than the delay.
    pub greylist_window: Duration,
    /// How long a sender is known after its last accepted message.
    pub greylist_known: Duration,
}

/// `[security]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Whom we become after binding.
    pub user: Option<String>,
    /// The group that goes with it; `None`: the user's own.
    pub group: Option<String>,
    /// Files and ports that the kernel holds us to.
    pub landlock: Layer,
    /// System calls that the kernel denies us.
    pub seccomp: Layer,
    /// Where a new process asks for our listening sockets.
    pub handover: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a file, and the files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(path: &Path) -> Result<Config, Problems> {
        let name = path.display().to_string();
        let text = files::read_text(path).map_err(|cause| Problem::with_file(&name, "", cause, ""))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(Arc::new(Source { name, text }), base)
    }

    /// What runs without a file: 127.0.0.1:2525, the domain localhost, Maildirs under `./mail`.
    ///
    /// # Errors
    /// None, as a test shows.
    pub fn built_in() -> Result<Config, Problems> {
        let source = Source { name: "gatepost.toml (built in)".to_owned(), text: BUILT_IN.to_owned() };
        Self::parse(Arc::new(source), Path::new(""))
    }

    /// Checks a text whose relative paths are relative to `base`, and reads the files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn parse(source: Arc<Source>, base: &Path) -> Result<Config, Problems> {
        let text = Arc::clone(&source);
        let mut reader = Reader::new(source, base.to_owned());
        let (table, errors) = DeTable::parse_recoverable(&text.text);
        if reader.syntax(&errors) {
            return Err(reader.problems);
        }
        let config = read(&mut reader, table.get_ref());
        reader.problems.into_result()?;
        config.ok_or_else(|| Problem::with_file(&text.name, "", "cannot be understood", "").into())
    }

    /// Where a file says that the journal is, and how many problems there are: whoever asks the journal needs nothing else of it.
    ///
    /// # Errors
    /// Everything that is wrong, where it can't be told where the journal is.
    pub fn find_journal(path: &Path) -> Result<(PathBuf, usize), Problems> {
        let problems = match Self::load(path) {
            Ok(config) => return Ok((config.journal.directory, 0)),
            Err(problems) => problems,
        };
        let Ok(text) = files::read_text(path) else { return Err(problems) };
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let source = Arc::new(Source { name: path.display().to_string(), text });
        match sections::journal_directory(&source, base) {
            Some(directory) => Ok((directory, problems.len())),
            None => Err(problems),
        }
    }

    /// The lists that rules may name.
    pub fn zones(&self) -> Zones {
        block_lists::zones(&self.block_lists)
    }

    /// Whether an address is of our own networks (`smtp.trusted`).
    pub fn is_trusted(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.smtp.trusted.iter().any(|network| network.contains(&ip))
    }

    /// The guard of a reload: what `newer` loses of the recipients. Not empty: to be refused unless it is meant.
    pub fn losses(&self, newer: &Config) -> Vec<Loss> {
        self.directory.losses(&newer.directory)
    }

    /// The keys whose values differ in `newer` and are heeded only by a restart.
    pub fn restart_keys(&self, newer: &Config) -> Vec<&'static str> {
        let differs = |path: &str| match path {
            "smtp.listen" => self.smtp.listen != newer.smtp.listen,
            "dns.servers" => self.dns.servers != newer.dns.servers,
            "dns.roots" => self.dns.roots != newer.dns.roots,
            "dns.validate" => self.dns.validate != newer.dns.validate,
            "dns.trust_anchors" => self.dns.trust_anchors != newer.dns.trust_anchors,
            "dns.canary" => self.dns.canary != newer.dns.canary,
            "dns.cache" => self.dns.cache != newer.dns.cache,
            "maildir.root" => self.maildir.root != newer.maildir.root,
            "http.listen" => self.http != newer.http,
            "journal.directory" => self.journal.directory != newer.journal.directory,
            "journal.keep" => self.journal.keep != newer.journal.keep,
            "journal.pseudonymise" => self.journal.pseudonymise != newer.journal.pseudonymise,
            "journal.audit.keep" => self.journal.keep_audit != newer.journal.keep_audit,
            "state.directory" => self.state.directory != newer.state.directory,
            "state.entries" => self.state.entries != newer.state.entries,
            "security.user" => self.security.user != newer.security.user,
            "security.group" => self.security.group != newer.security.group,
            "security.landlock" => self.security.landlock != newer.security.landlock,
            "security.seccomp" => self.security.seccomp != newer.security.seccomp,
            "security.handover" => self.security.handover != newer.security.handover,
            "limits.unknown_recipients_per_address" => {
                self.limits.unknown_recipients_per_address != newer.limits.unknown_recipients_per_address
            }
            _ => false,
        };
        keys::TABLE.iter().filter(|key| key.restart && differs(key.path)).map(|key| key.path).collect()
    }
}

impl Reader {
    fn new(source: Arc<Source>, base: PathBuf) -> Reader {
        let (problems, warnings) = (Problems::new(), Problems::new());
        Reader { source, base, problems, warnings, quotas: Vec::new(), files: Vec::new() }
    }

    /// Notes errors of TOML itself; true where the rest cannot be judged. One slip of syntax makes errors all over the lines after it,
    /// so only the first is told.
    fn syntax(&mut self, errors: &[toml::de::Error]) -> bool {
        let is_duplicate = |error: &&toml::de::Error| error.message().starts_with("duplicate key");
        for error in errors.iter().filter(is_duplicate) {
            self.problem(error.span(), "", Fault::new("this key is here twice", "leave one out"));
        }
        let end = self.source.text.len();
        let place = |error: &toml::de::Error| error.span().unwrap_or(end..end);
        let others = errors.iter().filter(|error| !is_duplicate(error));
        let Some(first) = others.min_by_key(|error| place(error).start) else { return false };
        let span = place(first);
        self.problem(
            Some(span),
            "",
            Fault::new(format!("this is not TOML: {}", first.message()), "see https://toml.io"),
        );
        true
    }
}

/// The whole file. `None` only where problems were noted.
fn read(reader: &mut Reader, table: &DeTable<'_>) -> Option<Config> {
    let top = Section::top(table, reader);
    let hostname = top.read(reader, "hostname", sections::domain);
    let authserv_id = top.read(reader, "authserv_id", sections::domain);
    let smtp = top.section(reader, "smtp");
    let (listen, tls) = (sections::smtp(reader, &smtp), sections::tls(reader, &smtp));
    let dns = dns::dns(reader, &top);
    let maildir = sections::maildir(reader, &top);
    let domains = domains::read(reader, &top, &smtp, maildir.as_ref().map_or(0, |maildir| maildir.quota));
    let block_lists = block_lists::read(reader, &top);
    let policies = policies::read(reader, &top, &domains, &block_lists::zones(&block_lists));
    let http = sections::http(reader, &top, &listen.listen);
    let journal = sections::journal(reader, &top);
    let state = sections::state(reader, &top);
    let security = sections::security(reader, &top);
    let limits = limits::read(reader, &top);
    limits::hold_quotas(reader, limits.message);
    if let (Some(state), Some(journal)) = (&state, &journal) {
        sections::hold_directories(reader, &top, state, journal);
    }
    let hostname = hostname?.value;
    let policies = policies?;
    let mut files = std::mem::take(&mut reader.files);
    files.extend(policies.list_files().map(|file| file.path.clone()));
    Some(Config {
        files,
        warnings: std::mem::take(&mut reader.warnings),
        source: Arc::clone(&reader.source),
        authserv_id: authserv_id.map_or_else(|| hostname.as_str().to_owned(), |id| id.value.as_str().to_owned()),
        hostname,
        smtp: listen,
        tls,
        dns,
        maildir: maildir?,
        directory: Arc::new(domains.directory?),
        quotas: domains.quotas,
        policies,
        block_lists,
        http: http?,
        journal: journal?,
        state: state?,
        security,
        limits,
    })
}
