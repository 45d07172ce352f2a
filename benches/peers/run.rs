//! One turn of one system: from its start to its end, in fresh directories.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatepost::demo::dns::DnsServer;
use tokio::runtime::Runtime;

use super::case::Case;
use super::load::{self, Outcome, Plan};
use super::payload::{Authors, Payloads};
use super::system::{self, Place, Running, System};
use super::{cage, delivered, zone};

/// Octets of different messages that are kept ready.
const READY: usize = 64 << 20;
/// Messages of each connection before anything is measured: they fill caches and start processes, as in a server that has run for a while.
const WARM: usize = 5;
/// One does it where messages have more octets than this.
const LARGE: usize = 2 << 20;
/// Octets that stay free: systems defer mail where little is left, and a file system that is nearly full is slow.
const FLOOR: u64 = 4_000_000_000;

/// What one turn gave.
pub struct Figures {
    pub outcome: Outcome,
    /// Seconds of CPU, until the last message was delivered.
    pub cpu: f64,
    /// From the last reply until the last message was in its Maildir.
    pub last: Duration,
    /// Memory before the first message, kB.
    pub rest: u64,
    /// Memory with idle connections, kB.
    pub idle: Option<u64>,
    /// Messages whose Authentication-Results don't say that all checks passed, and what one says.
    pub unchecked: (usize, String),
}

/// All that turns share.
pub struct Bench {
    directory: PathBuf,
    authors: Authors,
    payloads: HashMap<usize, Arc<Payloads>>,
    turns: usize,
    /// Runs the DNS server.
    _dns: Runtime,
}

impl Bench {
    /// Makes keys and starts the DNS server.
    pub fn new(directory: &Path) -> Bench {
        let authors = Authors::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server =
            runtime.block_on(DnsServer::start_at(zone::zone(&authors), SocketAddr::from((cage::DNS, 53)))).unwrap();
        runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(server);
        });
        spread(&directory.join("runs")).unwrap_or_else(|error| println!("turns may slow each other down: {error}"));
        Bench { directory: directory.to_owned(), authors, payloads: HashMap::new(), turns: 0, _dns: runtime }
    }

    fn payloads(&mut self, case: &Case) -> Arc<Payloads> {
        let distinct = (case.connections * case.messages).min(READY / case.size + 1);
        let of_size =
            self.payloads.entry(case.size).or_insert_with(|| Arc::new(self.authors.write(case.size, distinct)));
        if of_size.len() < distinct {
            *of_size = Arc::new(self.authors.write(case.size, distinct));
        }
        Arc::clone(of_size)
    }

    /// One turn of a system; `idle` connections are held at its end, if any.
    pub fn turn(&mut self, system: &System, case: &Case, idle: usize) -> Figures {
        let payloads = self.payloads(case);
        self.turns += 1;
        let name = format!("{}-{}-{}", std::process::id(), self.turns, system.name);
        let packages = self.directory.join("packages");
        let place = Place { directory: self.directory.join("runs").join(name), packages, case: case.clone() };
        settle();
        check_room(&self.directory, case);
        // one thread: what the load costs is little, and stays out of the way of what is measured
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let running = runtime.block_on(Running::start(system, &place));
        let running = running.unwrap_or_else(|error| panic!("{}: {error}", system.name));
        let plan = Plan { server: system::address(), clients: cage::clients(), case: case.clone() };
        let rest = running.memory();
        let warm = Plan { case: Case { messages: warm(case), ..case.clone() }, ..plan.clone() };
        let warm = runtime.block_on(load::run(&warm, &payloads));
        delivered::wait_for(&running.maildirs, copies(case, warm.accepted)).unwrap();
        let before = running.cpu();
        let outcome = runtime.block_on(load::run(&plan, &payloads));
        let last = delivered::wait_for(&running.maildirs, copies(case, warm.accepted + outcome.accepted)).unwrap();
        let cpu = running.cpu() - before;
        let idle = (idle > 0).then(|| runtime.block_on(with_idle(&running, idle)));
        let files = delivered::files(&running.maildirs).unwrap();
        let unchecked = delivered::unchecked(&files, system.checks).unwrap();
        Figures { outcome, cpu, last, rest, idle, unchecked }
    }
}

/// Lets what the turn before has left in memory go to disk: Postfix and its filters leave much there.
fn settle() {
    nix::unistd::sync();
    std::thread::sleep(Duration::from_secs(1));
}

fn warm(case: &Case) -> usize {
    if case.size > LARGE { 1 } else { WARM }
}

/// Nothing is deleted between turns: what a turn writes must have room, or it measures a full disk.
fn check_room(directory: &Path, case: &Case) {
    let found = nix::sys::statvfs::statvfs(directory).unwrap();
    let (free, octets) = (found.blocks_available() * found.fragment_size(), case.size.max(4096) as u64);
    let messages =
        (case.connections * (case.messages + warm(case)) * case.recipients + case.full * case.mailboxes) as u64;
    // a body may stand on the disk twice, a mailbox is four directories
    let wanted = FLOOR + messages * octets * 2 + case.mailboxes as u64 * 4 * 4096;
    let runs = directory.join("runs");
    assert!(
        free > wanted,
        "{} MB are free and the next turn wants {} MB: remove {} and wait five minutes, or make room",
        free / 1_000_000,
        wanted / 1_000_000,
        runs.display()
    );
}

/// Lets ext4 put each turn far from the others: for minutes after files were deleted, as Postfix does with those of its queue, it searches
/// long for an inode beside them, which the next in turn would pay for.
fn spread(runs: &Path) -> std::io::Result<()> {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    std::fs::create_dir_all(runs)?;
    let directory = std::fs::File::open(runs)?;
    Ok(ioctl_setflags(&directory, ioctl_getflags(&directory)? | IFlags::TOPDIR)?)
}

/// How many files there are then in the Maildirs.
fn copies(case: &Case, messages: u64) -> u64 {
    messages * case.recipients as u64 + (case.full * case.mailboxes) as u64
}

/// Memory of a system while so many connections have been greeted and say nothing, kB.
async fn with_idle(running: &Running, connections: usize) -> u64 {
    let clients = cage::clients();
    let mut open = Vec::new();
    for number in 0..connections {
        match load::Client::connect(system::address(), clients[number % clients.len()]).await {
            Ok(client) => open.push(client),
            Err(error) => {
                println!("{} of {connections} idle connections: {error}", open.len());
                break;
            }
        }
    }
    running.memory()
}
