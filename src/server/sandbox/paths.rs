//! What of the file system and the network the server needs after it has started.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::dns::Transport;

/// Files of the system that are read at the start, or for the hours of rules.
const SYSTEM: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/usr/share/zoneinfo",
    "/usr/lib/zoneinfo",
    "/etc/zoneinfo",
    // how many cores we may use
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu/online",
    "/proc/sys/kernel/hostname",
    // names of functions in a backtrace
    "/proc/self/exe",
    "/proc/self/maps",
];

/// Where distributions keep the certificates of authorities, for DNS over TLS and HTTPS.
const AUTHORITIES: &[&str] = &[
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/pki",
    "/usr/lib/ssl",
    "/var/lib/ca-certificates",
];

/// The port of the DNS: servers of /etc/resolv.conf, and answers that UDP is too small for.
const DNS: u16 = 53;

/// What stays open.
pub(super) struct Allowed {
    /// Directories under which files are made, written and removed.
    pub write: Vec<PathBuf>,
    /// Files, and directories under which files are read.
    pub read: BTreeSet<PathBuf>,
    /// Ports that we connect to over TCP.
    pub connect: BTreeSet<u16>,
}

impl Allowed {
    pub(super) fn of(config: &Config) -> Allowed {
        let write = vec![config.maildir.root.clone(), config.journal.directory.clone(), config.state.directory.clone()];
        let mut read: BTreeSet<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        for file in config.files.iter().map(PathBuf::as_path).chain([Path::new(&config.source.name)]) {
            read.extend(directories(file));
        }
        let dns = &config.dns;
        for file in dns.roots.iter().chain(&dns.trust_anchors) {
            read.extend(directories(file));
        }
        if dns.servers.iter().any(|server| server.transport != Transport::Plain) {
            read.extend(AUTHORITIES.iter().map(PathBuf::from));
            let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(std::env::var_os);
            read.extend(named.map(PathBuf::from));
        }
        let connect = dns.servers.iter().map(|server| server.address.port()).chain([DNS]).collect();
        Allowed { write, read, connect }
    }
}

/// The directory of a file, and the one that a link leads to: who replaces a file makes a new one beside it, so that the right to read the
/// file alone would end there.
fn directories(file: &Path) -> impl Iterator<Item = PathBuf> {
    let of = |file: &Path| match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => file.to_owned(),
    };
    let real = file.canonicalize().ok().map(|file| of(&file));
    std::iter::once(of(file)).chain(real)
}
