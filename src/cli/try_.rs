//! `gatepost try`

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{Exit, complain, configuration, print, tell};
use crate::config::Config;
use crate::facts::record::Record;
use crate::message::content::Content;
use crate::observe::explain::story_of_rehearsal;
use crate::observe::metrics::Metrics;
use crate::receive::{Carrier, Inquiry, Limits, Memory, Receiver, authenticator};
use crate::server::{asking, block_lists, policies};
use crate::smtp::address::{ForwardPath, Host, ReversePath};
use crate::smtp::data::{DataDefect, Frame, Framer};

/// Tell what would happen to a message, and why, without delivering it
///
/// The same checks and rules as in serving, without a network client
/// and without delivering. All evidence is gathered, whatever an early rule says. Without MESSAGE it goes up to the recipients.
/// A message whose lines end in LF is taken as if they ended in CRLF.
/// Where our own DNS servers do not work, standard error says so within seconds, and the decision is the 451 that serving would
/// answer. Exits 0 whatever the decision, 2 if the arguments are no SMTP.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  gatepost try --config gatepost.toml --ip 192.0.2.1 --mail-from a@example.net --rcpt b@example.com mail.eml
  gatepost try --config gatepost.toml --ip 2001:db8::1 --mail-from '' --json - < bounce.eml")]
pub struct Args {
    /// The configuration whose policy and domains are asked
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub ip: IpAddr,
    /// What the client says in EHLO [default: its address, as a literal]
    #[arg(long, value_name = "NAME")]
    pub helo: Option<String>,
    /// The reverse-path; '' is the null one [default: that of the message's Return-Path, else the null one]
    #[arg(long, value_name = "ADDR")]
    pub mail_from: Option<String>,
    /// A forward-path; may be given several times [default: the first mailbox of the configuration]
    #[arg(long, value_name = "ADDR")]
    pub rcpt: Vec<String>,
    /// Print the decision record as JSON
    #[arg(long)]
    pub json: bool,
    /// The message's file; - is standard input
    #[arg(value_name = "MESSAGE")]
    pub message: Option<PathBuf>,
}

/// What a rehearsal leaves out.
const NOT_REMEMBERED: &str = "\nThe policy asks for greylisting or rates. A rehearsal looks up and notes nothing that is remembered: greylist.result is\n'' here, and every rate 0.\n";

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    match attempt(args) {
        Ok(text) => {
            print(&text);
            Exit::Fine.into()
        }
        Err(exit) => exit.into(),
    }
}

fn attempt(args: &Args) -> Result<String, Exit> {
    let config = configuration(Some(&args.config)).map_err(|problems| tell(&problems))?;
    let message = args.message.as_deref().map(|path| read(path, config.limits.message)).transpose().map_err(usage)?;
    let told = Told::read(args, &config, message.as_deref()).map_err(usage)?;
    let receiver = Arc::new(receiver(&config).map_err(usage)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| usage(error.to_string()))?;
    let record = runtime.block_on(watched(receiver, told, message.as_deref(), config.limits.message));
    let record = record.ok_or_else(|| usage("the rehearsal left no record; please report this".to_owned()))?;
    if !args.json {
        let remembers = config.policies.all().iter().any(|policy| policy.remembers());
        return Ok(story_of_rehearsal(&record) + if remembers { NOT_REMEMBERED } else { "" });
    }
    serde_json::to_string(&record).map(|json| json + "\n").map_err(|error| usage(error.to_string()))
}

fn usage(line: String) -> Exit {
    complain(&line);
    Exit::Usage
}

/// What the client would say before DATA.
struct Told {
    client: SocketAddr,
    helo: String,
    reverse_path: ReversePath,
    forward_paths: Vec<ForwardPath>,
}

impl Told {
    fn read(args: &Args, config: &Config, message: Option<&[u8]>) -> Result<Told, String> {
        let helo = args.helo.clone().unwrap_or_else(|| Host::Literal(args.ip.to_canonical()).to_string());
        if helo.is_empty() || helo.len() > 255 || !helo.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(
                "--helo: EHLO takes a domain or an address literal, in printable ASCII without spaces".to_owned()
            );
        }
        let reverse_path = match args.mail_from.as_deref() {
            Some("" | "<>") => ReversePath::Null,
            Some(given) => ReversePath::parse(given, true).map_err(|error| format!("--mail-from {given}: {error}"))?,
            None => message.map_or(ReversePath::Null, return_path),
        };
        let given = args.rcpt.iter().map(|given| {
            let path = ForwardPath::parse(given, true);
            path.map_err(|error| format!("--rcpt {given}: {error}"))
        });
        let mut forward_paths = given.collect::<Result<Vec<_>, _>>()?;
        if forward_paths.is_empty() {
            let first = config.directory.mailboxes().next().map(ToString::to_string).unwrap_or_default();
            forward_paths.push(ForwardPath::parse(&first, true).unwrap_or(ForwardPath::Postmaster));
        }
        Ok(Told { client: SocketAddr::new(args.ip, 0), helo, reverse_path, forward_paths })
    }
}

/// The reverse-path that an earlier host has kept.
fn return_path(message: &[u8]) -> ReversePath {
    let content = Content::parse(message);
    let kept = content.header.named("return-path").next().map(|field| field.unfolded());
    let kept = kept.and_then(|value| ReversePath::parse(value.trim_ascii(), true).ok());
    kept.unwrap_or(ReversePath::Null)
}

/// The stages of serving, but nothing is delivered, counted or journalled.
fn receiver(config: &Config) -> Result<Receiver, String> {
    Ok(Receiver {
        hostname: config.hostname.as_str().to_owned(),
        authserv_id: config.authserv_id.clone(),
        trusted: config.smtp.trusted.clone(),
        soft_reject: config.smtp.soft_reject,
        most_received: config.limits.received,
        directory: Arc::clone(&config.directory),
        policies: Arc::new(ArcSwap::from_pointee(policies(&config.policies))),
        authenticator: authenticator(&asking(config))
            .map_err(|error| format!("dns: {error}"))?
            .with_block_lists(block_lists(config)),
        carrier: Carrier::Nowhere,
        journal: None,
        state: None,
        metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")).map_err(|error| error.to_string())?),
        memory: Memory::new(u64::MAX, u64::MAX),
        limits: Limits::default(),
    })
}

/// Rehearses with an eye on the DNS, as in serving: in an outage of ours look-ups end at once, and people hear of it at once.
async fn watched(receiver: Arc<Receiver>, told: Told, message: Option<&[u8]>, limit: u64) -> Option<Record> {
    let authenticator = receiver.authenticator.clone();
    let known = Notify::new();
    let watching = authenticator.watch(|found| {
        known.notify_one();
        if let Err(error) = found {
            complain(&format!(
                "dns: {error}; until the DNS works, what needs it can't be told, and serving would answer it 451: check dns.servers or \
                 /etc/resolv.conf"
            ));
        }
    });
    let rehearsal = async {
        known.notified().await;
        rehearse(receiver, told, message, limit).await
    };
    tokio::select! {
        record = rehearsal => record,
        () = watching => None,
    }
}

async fn rehearse(receiver: Arc<Receiver>, told: Told, message: Option<&[u8]>, limit: u64) -> Option<Record> {
    // a list that fails its probe is not asked, here as in serving
    receiver.authenticator.probe_block_lists().await;
    let mut inquiry = Inquiry::connect(receiver, told.client);
    inquiry.helo(&told.helo, true);
    inquiry.mail(told.reverse_path, true);
    for path in told.forward_paths {
        inquiry.recipient(path).await;
    }
    match message {
        Some(message) => {
            inquiry.data();
            let defect = send(&mut inquiry, message, limit);
            inquiry.message(defect).await;
        }
        None => {
            inquiry.settle().await;
            inquiry.end_transaction();
        }
    }
    inquiry.last_record()
}

/// Brings the message through the framing that a client's octets go through.
pub(super) fn send(inquiry: &mut Inquiry, message: &[u8], limit: u64) -> Option<DataDefect> {
    let data = stuffed(message);
    let mut framer = Framer::new(limit);
    let mut rest = data.as_slice();
    loop {
        let (taken, frame) = framer.next(rest);
        rest = rest.get(taken..).unwrap_or_default();
        match frame {
            Frame::Content(octets) => inquiry.content(octets),
            Frame::End | Frame::NeedInput => return framer.defect(),
        }
    }
}

/// A message as it goes over the wire (RFC 5321 §4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(message.len().saturating_add(64));
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line.first() == Some(&b'.') {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    if !data.is_empty() && !data.ends_with(b"\r\n") {
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}

/// The message, with CRLF line ends where it has none of them.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut message = Vec::new();
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(File::open(path).map_err(|error| format!("{}: {error}", path.display()))?),
    };
    // one octet more than the limit shows that it is too large
    let read = source.take(limit.saturating_add(1)).read_to_end(&mut message);
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    if message.windows(2).any(|pair| pair == b"\r\n") {
        return Ok(message);
    }
    let mut converted = Vec::with_capacity(message.len().saturating_add(message.len() / 32));
    for octet in message {
        if octet == b'\n' {
            converted.push(b'\r');
        }
        converted.push(octet);
    }
    Ok(converted)
}
