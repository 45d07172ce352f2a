//! The sections of gatepost.toml except `[domains]` and the policies.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::reader::{Placed, Reader, Section};
use super::value::{self, Fault, parse_listener, parse_network};
use super::{Config, Http, Journal, Maildir, Security, Smtp, Stamp, State, files};
use crate::problem::{Problems, Source};
use crate::smtp::address::Domain;

/// What mends a certificate or key that is not there.
const NO_CERTIFICATE: &str = "get one (deploy/certbot-hook), or take out [smtp.tls]: then STARTTLS is not offered";

/// A certificate chain and its private key, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Whether a layer of confinement is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layer {
    /// Where the kernel has it.
    #[default]
    On,
    /// Not at all.
    Off,
    /// Without it the server does not start.
    Require,
}

/// `[smtp.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// What is shown to clients that ask for no name, or for one that no other certificate has.
    pub first: CertificateFiles,
    /// Chosen by the name that the client asks for (RFC 6066 §3).
    pub more: Vec<CertificateFiles>,
}

/// What the files of a certificate hold. Not shown by `Debug`: one of them is a secret.
pub struct Pem {
    /// Where it came from.
    pub files: CertificateFiles,
    /// The chain.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
    /// Both files as they were before they were read.
    pub stamps: [Option<Stamp>; 2],
}

impl TlsFiles {
    /// Reads all files, the first certificate's first. That is done when the server starts or reloads and not when the configuration is
    /// checked, which may be done by someone who cannot read the key.
    ///
    /// # Errors
    /// Every file that cannot be read.
    pub fn read(&self, config: &Config) -> Result<Vec<Pem>, Problems> {
        let mut problems = Problems::new();
        let mut all = Vec::new();
        for files in std::iter::once(&self.first).chain(&self.more) {
            let mut bytes = |path: &PathBuf, key| match files::read_bytes(path) {
                Ok(bytes) => bytes,
                Err(cause) => {
                    let mend = files::mend(&cause, NO_CERTIFICATE);
                    problems.push(config.problem(key, format!("{path:?} {cause}"), mend));
                    Vec::new()
                }
            };
            let keys = if std::ptr::eq(files, &self.first) {
                ("smtp.tls.certificate", "smtp.tls.key")
            } else {
                ("smtp.tls.more", "smtp.tls.more")
            };
            // before they are read: what is written meanwhile must count as a change
            let stamps = [Stamp::of(&files.certificate), Stamp::of(&files.key)];
            let certificate = bytes(&files.certificate, keys.0);
            let key = bytes(&files.key, keys.1);
            all.push(Pem { files: files.clone(), certificate, key, stamps });
        }
        problems.into_result().map(|()| all)
    }
}

/// A domain name.
pub(super) fn domain(value: &DeValue<'_>) -> Result<Domain, Fault> {
    parse_domain(&value::string(value)?)
}

/// A domain name from its text.
pub(super) fn parse_domain(text: &str) -> Result<Domain, Fault> {
    let mend = "write it as \"mx1.example.com\": letters, digits and hyphens, with dots between";
    let wrong = || Fault::new(format!("{text:?} is not a domain name"), mend);
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Err(wrong());
    }
    if let Some(without) = text.strip_suffix('.')
        && Domain::parse(without).is_ok()
    {
        return Err(Fault::new("a domain name is written without a dot at its end", format!("write {without:?}")));
    }
    Domain::parse(text).map_err(|_| wrong())
}

fn address(value: &DeValue<'_>) -> Result<SocketAddr, Fault> {
    parse_listener(&value::string(value)?)
}

pub(super) fn smtp(reader: &mut Reader, smtp: &Section<'_>) -> Smtp {
    let listen = smtp.list(reader, "listen", parse_listener);
    if let Some(value) = smtp.raw("listen")
        && value.get_ref().as_array().is_some_and(|list| list.is_empty())
    {
        reader.problem(
            Some(value.span()),
            "smtp.listen",
            Fault::new("names no address: no mail could come in", "write [\"[::]:25\"]"),
        );
    }
    note_same_port(reader, &listen);
    Smtp {
        listen: values(listen),
        trusted: values(smtp.list(reader, "trusted", parse_network)),
        proxy_from: values(smtp.list(reader, "proxy_from", parse_network)),
        xclient_from: values(smtp.list(reader, "xclient_from", parse_network)),
        greet_pause: Duration::from_secs(smtp.number(reader, "greet_pause")),
        tarpit: Duration::from_secs(smtp.number(reader, "tarpit")),
        soft_reject: smtp.read(reader, "soft_reject", value::boolean).is_some_and(|placed| placed.value),
    }
}

/// The same address in two notations, or `[::]` beside an IPv4 address of the same port: `[::]` takes IPv4 too, so that the second
/// could not be bound.
fn note_same_port(reader: &mut Reader, listen: &[Placed<SocketAddr>]) {
    for (at, second) in listen.iter().enumerate() {
        for first in listen.iter().take(at) {
            let (a, b) = (first.value, second.value);
            let any_v6 = |address: SocketAddr| address.is_ipv6() && address.ip().is_unspecified();
            if a.port() == 0 || a.port() != b.port() {
                continue;
            }
            if a == b || any_v6(a) || any_v6(b) {
                let cause = format!("{b} is covered by {a} already");
                let cause = if any_v6(b) && a != b { format!("{b} covers {a}, which stands here too") } else { cause };
                reader.problem(second.span.clone(), "smtp.listen", Fault::new(cause, "leave one out"));
                break;
            }
        }
    }
}

/// Whether only one of two can be bound: the same port, and the same address or one that holds the other. `[::]` takes IPv4 too.
fn share(a: SocketAddr, b: SocketAddr) -> bool {
    let holds = |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || holds(a, b) || holds(b, a))
}

/// Warns where what is remembered lies among the journal's files.
pub(super) fn hold_directories(reader: &mut Reader, top: &Section<'_>, state: &State, journal: &Journal) {
    if state.directory == journal.directory {
        let span = |name| top.raw(name)?.get_ref().as_table()?.get("directory").map(|value| value.span());
        let mend = "give each a directory of its own";
        let fault = Fault::new("is journal.directory: the journal's files are not alone there", mend);
        reader.warning(span("state").or(span("journal")), "state.directory", fault);
    }
}

pub(super) fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

pub(super) fn tls(reader: &mut Reader, smtp: &Section<'_>) -> Option<TlsFiles> {
    let tls = smtp.section(reader, "tls");
    if !tls.present() {
        return None;
    }
    let certificate = file(reader, &tls, "certificate");
    let key = file(reader, &tls, "key");
    for (name, other) in [("certificate", "key"), ("key", "certificate")] {
        if tls.raw(name).is_none() && !tls.misspelt(name) {
            let mend = format!("a {other} without its {name} is of no use; for no TLS leave out [smtp.tls]");
            reader.problem(tls.span.clone(), &tls.key(name), Fault::new("this key is missing", mend));
        }
    }
    let more = more_certificates(reader, &tls);
    Some(TlsFiles { first: CertificateFiles { certificate: certificate?, key: key? }, more })
}

fn more_certificates(reader: &mut Reader, tls: &Section<'_>) -> Vec<CertificateFiles> {
    let mut more = Vec::new();
    for pair in tls.items(reader, "more") {
        if let (Some(certificate), Some(key)) = (file(reader, &pair, "certificate"), file(reader, &pair, "key")) {
            more.push(CertificateFiles { certificate, key });
        }
    }
    more
}

/// A path to a file that is there. One in a directory that this user may not enter is taken: who serves may be another user.
pub(super) fn file(reader: &mut Reader, section: &Section<'_>, name: &str) -> Option<PathBuf> {
    let written = section.read(reader, name, value::string)?;
    let path = reader.file(&written.value);
    let hidden = path.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if !hidden && let Err(cause) = files::check_file(&path) {
        let key = section.key(name);
        let missing = if key.starts_with("smtp.tls") { NO_CERTIFICATE } else { "name a file that is there" };
        let mend = files::mend(&cause, missing);
        reader.problem(written.span, &key, Fault::new(format!("{path:?} {cause}"), mend));
        return None;
    }
    Some(path)
}

pub(super) fn maildir(reader: &mut Reader, top: &Section<'_>) -> Option<Maildir> {
    let maildir = top.section(reader, "maildir");
    let quota = maildir.quota(reader, "quota").unwrap_or(0);
    let root = maildir.read(reader, "root", value::string)?;
    Some(Maildir { root: reader.path(&root.value), quota })
}

pub(super) fn http(reader: &mut Reader, top: &Section<'_>, mail: &[SocketAddr]) -> Option<Http> {
    let http = top.section(reader, "http");
    let listen = http.read(reader, "listen", address)?;
    if let Some(taken) = mail.iter().find(|mail| share(**mail, listen.value)) {
        let cause = format!("{} is taken by smtp.listen ({taken})", listen.value);
        reader.problem(listen.span.clone(), "http.listen", Fault::new(cause, "choose another port"));
    }
    Some(Http { listen: listen.value })
}

pub(super) fn journal(reader: &mut Reader, top: &Section<'_>) -> Option<Journal> {
    let journal = top.section(reader, "journal");
    let directory = journal.read(reader, "directory", value::string);
    let keep = Duration::from_secs(journal.number(reader, "keep"));
    let pseudonymise = journal.read(reader, "pseudonymise", value::boolean);
    let audit = journal.section(reader, "audit");
    let keep_audit = Duration::from_secs(audit.number(reader, "keep"));
    let directory = reader.path(&directory?.value);
    Some(Journal { directory, keep, pseudonymise: pseudonymise.is_some_and(|placed| placed.value), keep_audit })
}

/// Only `journal.directory`, whatever else is wrong. `None` where it is wrong itself, or stands under a name that is nearly its own.
pub(super) fn journal_directory(source: &Arc<Source>, base: PathBuf) -> Option<PathBuf> {
    let mut reader = Reader::new(Arc::clone(source), base);
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return None;
    }
    let top = Section::top(table.get_ref(), &mut reader);
    let journal = top.section(&mut reader, "journal");
    let is_told = top.raw("journal").is_none_or(|value| value.get_ref().is_table());
    if !is_told || (!journal.present() && top.misspelt("journal")) || journal.misspelt("directory") {
        return None;
    }
    let directory = journal.read(&mut reader, "directory", value::string)?;
    Some(reader.path(&directory.value))
}

pub(super) fn state(reader: &mut Reader, top: &Section<'_>) -> Option<State> {
    let state = top.section(reader, "state");
    let directory = state.read(reader, "directory", value::string);
    let mut number = |name| state.number(reader, name);
    let entries = usize::try_from(number("entries")).unwrap_or(usize::MAX);
    let [delay, window, known] =
        ["greylist_delay", "greylist_window", "greylist_known"].map(|name| Duration::from_secs(number(name)));
    if delay >= window && !window.is_zero() {
        let span = state.raw("greylist_delay").or(state.raw("greylist_window")).map(|value| value.span());
        let fault =
            Fault::new("is not shorter than state.greylist_window", "nobody could come again in time: make it shorter");
        reader.problem(span, "state.greylist_delay", fault);
    }
    let directory = reader.path(&directory?.value);
    Some(State { directory, entries, greylist_delay: delay, greylist_window: window, greylist_known: known })
}

pub(super) fn security(reader: &mut Reader, top: &Section<'_>) -> Security {
    let security = top.section(reader, "security");
    let user = security.read(reader, "user", value::string);
    let group = security.read(reader, "group", value::string);
    if let (None, Some(group)) = (security.raw("user"), &group) {
        let fault =
            Fault::new("a group without security.user is never taken on", "name the user too, or leave the group out");
        reader.problem(group.span.clone(), "security.group", fault);
    }
    let mut asked = |name| security.read(reader, name, layer).map(|placed| placed.value).unwrap_or_default();
    let (landlock, seccomp) = (asked("landlock"), asked("seccomp"));
    let handover = security.read(reader, "handover", value::string).map(|written| reader.path(&written.value));
    let (user, group) = (user.map(|placed| placed.value), group.map(|placed| placed.value));
    Security { user, group, landlock, seccomp, handover }
}

fn layer(value: &DeValue<'_>) -> Result<Layer, Fault> {
    match value::string(value)?.as_str() {
        "on" => Ok(Layer::On),
        "off" => Ok(Layer::Off),
        "require" => Ok(Layer::Require),
        other => Err(Fault::new(format!("{other:?} must be \"on\", \"off\" or \"require\""), "")),
    }
}
