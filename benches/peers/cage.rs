//! A network and mount namespace of the benchmark's own: nothing leaves this machine, and clients have public addresses, for several of
//! the peers skip their checks for loopback and private ones.

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Said to the process that is inside.
const INSIDE: &str = "GATEPOST_BENCH_INSIDE";

/// Where the namespace sees the control groups.
const HIERARCHY: &str = "/mnt/cgroup";

/// Where mail comes in.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where the DNS answers, on port 53.
pub const DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// The host that sends nearly everything; the others follow it.
const FIRST_CLIENT: u8 = 10;
/// How many hosts send.
const CLIENTS: u8 = 8;

/// The addresses that clients have.
pub fn clients() -> Vec<Ipv4Addr> {
    (FIRST_CLIENT..FIRST_CLIENT + CLIENTS).map(|host| Ipv4Addr::new(192, 0, 2, host)).collect()
}

/// Makes this process one that is inside, by starting it again. Ends it where that can't be had.
pub fn enter() {
    if std::env::var_os(INSIDE).is_some() {
        return match lay() {
            Ok(()) => (),
            Err(error) => leave(&format!("the namespace has no network of its own: {error}")),
        };
    }
    let error = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().expect("this program's path"))
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    leave(&format!("unshare (util-linux) could not be run: {error}"));
}

fn leave(why: &str) -> ! {
    let _ = writeln!(
        io::stderr(),
        "the comparison was left out: {why}\nit needs root, for namespaces of its own and for the peers"
    );
    exit(1);
}

/// The addresses, on the loopback device of this namespace, and the hierarchy of control groups.
fn lay() -> io::Result<()> {
    run("mount", &["-t", "tmpfs", "tmpfs", "/mnt"])?;
    fs::create_dir(HIERARCHY)?;
    run("mount", &["-t", "cgroup2", "none", HIERARCHY])?;
    run("ip", &["link", "set", "lo", "up"])?;
    for address in clients().into_iter().chain([SERVER]) {
        run("ip", &["address", "add", &format!("{address}/32"), "dev", "lo"])?;
    }
    Ok(())
}

fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("{program} {arguments:?}: {said}"))) }
}

/// A control group (version 2) of the benchmark's own: it says which processes a system has and what CPU they used, those that have ended
/// included.
pub struct Group(PathBuf);

impl Group {
    /// A new one, named after the system.
    pub fn new(name: &str) -> io::Result<Group> {
        // what one turn leaves behind for a moment is not in the way of the next
        static TURNS: AtomicUsize = AtomicUsize::new(0);
        let turn = TURNS.fetch_add(1, Ordering::Relaxed);
        let group = Path::new(HIERARCHY).join(format!("gatepost-bench-{}-{turn}-{name}", std::process::id()));
        fs::create_dir(&group)?;
        Ok(Group(group))
    }

    /// The file that a process writes its id to, to be in here.
    pub fn door(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// The processes in it.
    pub fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.door()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Seconds of CPU that all of its processes ever used.
    pub fn cpu(&self) -> f64 {
        let text = fs::read_to_string(self.0.join("cpu.stat")).unwrap_or_default();
        let micros =
            text.lines().find_map(|line| line.strip_prefix("usage_usec ")).and_then(|value| value.parse::<f64>().ok());
        micros.unwrap_or(f64::NAN) / 1e6
    }

    /// Memory of all its processes in kB, each page shared out among those who map it (PSS).
    pub fn memory(&self) -> u64 {
        let pss = |process: i32| -> Option<u64> {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches("kB").trim().parse().ok()
        };
        self.processes().into_iter().filter_map(pss).sum()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
