//! `gatepost demo`: the real server on loopback, a DNS of its own, and samples that are sent to it over SMTP.
//!
//! ```text
//! directory, keys -> DNS -> server -> each sample: client -> journal -> row of the table -> (serve, show what others send, until Ctrl-C)
//! ```

pub mod client;
pub mod directory;
pub mod dns;
pub mod expected;
pub mod follow;
pub mod report;
pub mod samples;
pub mod site;
pub mod table;
pub mod zone;

use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::authenticate::sign::SignError;
use crate::facts::record::Record;
use crate::observe::journal;
use crate::observe::log::Log;
use crate::server::{self, StartError};

use client::send;
use directory::Directory;
use dns::DnsServer;
use expected::Seen;
use follow::{Follower, show_others};
use report::Tally;
use samples::Sample;
use site::Site;
use zone::Signers;

/// How long the journal may take to have a record.
const JOURNAL_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked for meanwhile.
const JOURNAL_PAUSE: Duration = Duration::from_millis(5);

/// How the demo is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether it ends after the samples.
    pub once: bool,
    /// How this program is called, for the commands that are printed.
    pub program: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All samples were sent.
    Ran(Tally),
    /// A signal ended it before.
    Interrupted,
}

/// Why it can't be run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A sender's address is not to be had.
    #[error(
        "the samples are sent from 127.0.0.11 to 127.0.0.15, and this host can't use {0}: {1} (on macOS: sudo ifconfig lo0 alias {0})"
    )]
    Sender(Ipv4Addr, io::Error),
    /// The directory of temporary files is of no use.
    #[error("a directory for the demo's files can't be made or written: {0}")]
    Files(io::Error),
    /// No port is free.
    #[error("no port of 127.0.0.1 can be had: {0}")]
    Port(io::Error),
    /// The DNS server can't listen.
    #[error("the demo's DNS server can't be started: {0}")]
    Dns(io::Error),
    /// No key, or no signature.
    #[error("{0}")]
    Sign(#[from] SignError),
    /// Signals can't be listened for.
    #[error("signals can't be listened for: {0}")]
    Signals(io::Error),
    /// The server can't be started.
    #[error("{0}")]
    Start(#[from] StartError),
}

/// Runs it. The table goes to `out`, with colour; that nobody reads it is no error.
///
/// # Errors
/// What is missing to run it.
pub fn run(options: &Options, log: Option<Log>, out: &mut dyn Write) -> Result<Outcome, DemoError> {
    let began = Instant::now();
    site::check_senders()?;
    let mut directory = Directory::new(&std::env::temp_dir()).map_err(DemoError::Files)?;
    let signers = Signers::new()?;
    let samples = samples::samples(&signers, Timestamp::now())?;
    let runtime = server::runtime()?;
    let mut signals = {
        let _in_runtime = runtime.enter();
        Signals::new().map_err(DemoError::Signals)?
    };
    let dns = DnsServer::start(zone::zone(&signers), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let dns = runtime.block_on(dns).map_err(DemoError::Dns)?;
    let site = Site::start(directory.path(), dns.addr(), log, runtime.handle())?;
    show(out, &report::opening(&site, (!options.once).then_some(directory.path())));

    let outcome = runtime.block_on(async {
        let tally = tokio::select! {
            tally = play(&site, &samples, out) => tally,
            () = signals.next() => {
                site.running.stop().await;
                return Outcome::Interrupted;
            }
        };
        show(out, &(table::legend() + "\n" + &report::summary(&tally, began.elapsed())));
        if !options.once {
            directory.keep();
            show(out, &report::tries(&site, &options.program, &tally));
            tokio::select! {
                () = signals.next() => {}
                () = show_others(Follower::new(&site.journal), tally.total(), out) => {}
            }
            show(out, &report::closing(directory.path()));
        }
        // whoever asks twice does not wait for sessions that are still open
        tokio::select! {
            () = site.running.stop() => {}
            () = signals.next() => {}
        }
        Outcome::Ran(tally)
    });
    drop(dns);
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(outcome)
}

/// Sends one sample after the other, and shows what came of each as soon as it is known.
async fn play(site: &Site, samples: &[Sample], out: &mut dyn Write) -> Tally {
    let mut tally = Tally::default();
    show(out, &table::head());
    for (index, sample) in samples.iter().enumerate() {
        let number = index + 1;
        match send_and_look(site, sample).await {
            Ok(seen) => {
                let differences = sample.expected.differences(&seen);
                let record = &seen.record;
                tally.count(record.decision.action, differences.is_empty(), &record.reference);
                show(out, &table::row(number, sample.title, &seen, &differences));
            }
            Err(trouble) => {
                tally.count_unknown();
                show(out, &table::failed_row(number, sample.title, &trouble));
            }
        }
    }
    tally
}

async fn send_and_look(site: &Site, sample: &Sample) -> Result<Seen, String> {
    let answer = send(site.smtp, &sample.letter).await.map_err(|error| format!("it could not be sent: {error}"))?;
    let Some(reference) = answer.reference() else { return Err(format!("the answer has no ref: {}", answer.line)) };
    match recorded(&site.journal, reference, JOURNAL_DEADLINE).await {
        Ok(Some(record)) => Ok(Seen { answer, record }),
        Ok(None) => Err(format!("the journal does not tell of {reference}")),
        Err(error) => Err(format!("the journal can't be read: {error}")),
    }
}

/// The record of a transaction that has just ended: the journal has it a moment later.
async fn recorded(directory: &Path, reference: &str, deadline: Duration) -> io::Result<Option<Record>> {
    let until = Instant::now() + deadline;
    loop {
        let (directory, reference) = (directory.to_owned(), reference.to_owned());
        let found = tokio::task::spawn_blocking(move || journal::find(&directory, &reference));
        let found = found.await.map_err(io::Error::other)??;
        if found.is_some() || Instant::now() >= until {
            return Ok(found);
        }
        tokio::time::sleep(JOURNAL_PAUSE).await;
    }
}

fn show(out: &mut dyn Write, text: &str) {
    // the samples are judged whether somebody reads the table or not
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What ends the demo: Ctrl-C, SIGTERM, and the terminal's end.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Signals> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [int, term, hup] = kinds.map(signal);
        Ok(Signals([int?, term?, hup?]))
    }

    fn next(&mut self) -> impl Future<Output = ()> {
        let Signals([int, term, hup]) = self;
        async move {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
        }
    }
}
