//! The receiving host of the demo: its configuration, as a file that the other subcommands take too, and its server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use crate::config::Config;
use crate::observe::log::Log;
use crate::server::{self, Bound, Running, StartError};

use super::DemoError;
use super::zone::{HOST, LOCAL, SENDERS};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Where mail is accepted unless somebody else listens there.
const SMTP_PORT: u16 = 2525;
/// Where metrics are unless somebody else listens there.
const HTTP_PORT: u16 = 9125;
/// A port that was free can be taken before it is bound.
const ATTEMPTS: usize = 5;

/// A server that accepts mail for the demo's domain.
pub struct Site {
    /// The server.
    pub running: Running,
    /// Where it accepts mail.
    pub smtp: SocketAddr,
    /// The DNS that it asks.
    pub dns: SocketAddr,
    /// Its configuration.
    pub file: PathBuf,
    /// Where its journal is.
    pub journal: PathBuf,
    /// Where its Maildirs are.
    pub maildirs: PathBuf,
}

impl Site {
    /// Starts it, with all that it writes in `directory`.
    ///
    /// # Errors
    /// Ports, threads or files can't be had.
    pub fn start(directory: &Path, dns: SocketAddr, log: Option<Log>, runtime: &Handle) -> Result<Site, DemoError> {
        let file = directory.join("gatepost.toml");
        let (bound, config) = bound(&file, dns)?;
        let (journal, maildirs) = (config.journal.directory.clone(), config.maildir.root.clone());
        let running = server::start(bound, config, log, runtime)?;
        let smtp = running.smtp().first().copied().unwrap_or_else(|| SocketAddr::new(LOOPBACK, SMTP_PORT));
        Ok(Site { running, smtp, dns, file, journal, maildirs })
    }

    /// Which of the usual ports were taken, each with the one that stands in for it.
    pub fn stand_ins(&self) -> Vec<(u16, SocketAddr)> {
        let used = [(SMTP_PORT, self.smtp), (HTTP_PORT, self.running.http())];
        used.into_iter().filter(|(usual, address)| address.port() != *usual).collect()
    }
}

/// Writes the configuration and binds what it names.
fn bound(file: &Path, dns: SocketAddr) -> Result<(Bound, Config), DemoError> {
    let mut attempt = 1;
    loop {
        let smtp = free(SMTP_PORT, 0)?;
        let text = configuration(smtp, free(HTTP_PORT, smtp)?, dns);
        std::fs::write(file, text).map_err(DemoError::Files)?;
        let config = Config::load(file).map_err(StartError::Problems)?;
        match server::bind(&config) {
            Ok(bound) => return Ok((bound, config)),
            Err(StartError::Machine(_)) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The usual port if nobody listens there, else one that the kernel chooses, other than `taken`.
fn free(usual: u16, taken: u16) -> Result<u16, DemoError> {
    let port = |wanted| -> io::Result<u16> { Ok(TcpListener::bind((LOOPBACK, wanted))?.local_addr()?.port()) };
    let mut found = port(usual).or_else(|_| port(0)).map_err(DemoError::Port)?;
    while found == taken {
        found = port(0).map_err(DemoError::Port)?;
    }
    Ok(found)
}

fn configuration(smtp: u16, http: u16, dns: SocketAddr) -> String {
    format!(
        r#"# Made by `gatepost demo`. Paths are relative to this file.
hostname = "{HOST}"
authserv_id = "{LOCAL}"
[smtp]
listen = ["{LOOPBACK}:{smtp}"]
postmaster = "alice@{LOCAL}"
[dns]
servers = ["{dns}"]
[maildir]
root = "mail"
[domains."{LOCAL}"]
mailboxes = ["alice", "bob"]
aliases = {{ postmaster = "alice", abuse = "alice", team = ["alice", "bob"] }}
[http]
listen = "{LOOPBACK}:{http}"
[journal]
directory = "journal"
[state]
directory = "state"
"#
    )
}

/// Whether the samples can be sent from addresses of their own.
///
/// # Errors
/// Which address this host does not have.
pub fn check_senders() -> Result<(), DemoError> {
    for address in SENDERS {
        // nothing is sent: connecting only asks for the way
        let way = UdpSocket::bind((address, 0)).and_then(|socket| socket.connect((LOOPBACK, SMTP_PORT)));
        way.map_err(|error| DemoError::Sender(address, error))?;
    }
    Ok(())
}
