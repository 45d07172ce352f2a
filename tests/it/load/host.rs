//! The real program as a big site would run it: the test holds its sockets, as systemd would, so that it can be ended and started again
//! without refusing anybody.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, chown};
use socket2::{Domain, Socket, Type};

use super::client::AUTHOR;
use super::measure;
use crate::support::dns::{DnsServer, Zone};
use crate::support::server::{PATIENCE, mail_user, wait_for};

/// The program that is measured: `make stress` names the release build, so that the tests themselves need no such build.
fn program() -> PathBuf {
    std::env::var_os("STRESS_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_gatepost").into(), PathBuf::from)
}

/// How long a process may take to end: longer than it may take to drain.
const END: Duration = Duration::from_secs(90);
/// What a big site's socket unit says (Backlog=).
const BACKLOG: i32 = 4096;
/// Files that a test of the short form has open, and the server that it starts.
const FILES: u64 = 4_096;

/// What a scenario wants.
#[derive(Default)]
pub struct Options {
    /// `[limits]`
    pub limits: &'static str,
    /// How many files it may open, whatever it asks for.
    pub files: Option<u64>,
    /// What memory it may have.
    pub memory: Option<u64>,
    /// What DNS says.
    pub zone: Zone,
}

/// A running server. Dropping it asks it to stop and waits.
pub struct Host {
    pub smtp: SocketAddr,
    http: SocketAddr,
    sockets: [TcpListener; 2],
    directory: tempfile::TempDir,
    child: Option<Child>,
    pub dns: DnsServer,
    _answering: tokio::runtime::Runtime,
    files: Option<u64>,
    memory: Option<Memory>,
}

/// The domain of honest mail.
pub fn honest_zone() -> Zone {
    honest(Zone::new(), AUTHOR)
}

/// The author's domain can receive mail, and mail from loopback is its own.
pub fn honest(zone: Zone, author: &str) -> Zone {
    let (_, domain) = author.split_once('@').unwrap();
    let mx = format!("mx.{domain}");
    zone.txt(domain, "v=spf1 ip4:127.0.0.0/8 -all").mx(domain, 10, &mx).a(&mx, [127, 0, 0, 1])
}

impl Host {
    /// Starts it and waits until /readyz says 200.
    pub fn start(options: Options) -> Host {
        allow_files(FILES);
        let answering = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dns = answering.block_on(crate::support::dns::serve(options.zone));
        let sockets = [listening(), listening()];
        let at = |socket: &TcpListener| socket.local_addr().unwrap();
        let mut host = Host {
            smtp: at(&sockets[0]),
            http: at(&sockets[1]),
            sockets,
            directory: tempfile::Builder::new().prefix("gatepost-load-").tempdir().unwrap(),
            child: None,
            dns,
            _answering: answering,
            files: options.files,
            memory: options.memory.map(Memory::bounded),
        };
        for name in ["mail", "journal", "state", ""] {
            std::fs::create_dir_all(host.path(name)).unwrap();
            host.give_away(&host.path(name));
        }
        host.configure(options.limits);
        host.spawn(&[]);
        host.wait_until_ready();
        host
    }

    /// Writes the configuration with these limits.
    pub fn configure(&self, limits: &str) {
        let account = mail_user().map_or_else(String::new, |(user, group)| {
            format!("user = \"{}\"\ngroup = \"{}\"\n", user.name, group.name)
        });
        let text = format!(
            "hostname = \"mx.receiver.example\"\n\
             [smtp]\nlisten = [\"{}\"]\npostmaster = \"alice@receiver.example\"\n\
             [dns]\nservers = [\"{}\"]\n\
             [maildir]\nroot = \"mail\"\n\
             [domains.\"receiver.example\"]\nmailboxes = [\"alice\", \"bob\"]\n\
             [http]\nlisten = \"{}\"\n[journal]\ndirectory = \"journal\"\n[state]\ndirectory = \"state\"\n\
             [limits]\n{limits}\n[security]\nhandover = \"handover.sock\"\n{account}",
            self.smtp,
            self.dns.addr(),
            self.http
        );
        let path = self.path("gatepost.toml");
        std::fs::write(&path, text).unwrap();
        self.give_away(&path);
    }

    fn give_away(&self, path: &Path) {
        if let Some((user, group)) = mail_user() {
            chown(path, Some(user.uid), Some(group.gid)).unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where mail is.
    pub fn mail(&self) -> PathBuf {
        self.path("mail")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Its memory, in octets.
    pub fn pss(&self) -> u64 {
        measure::pss(self.process())
    }

    fn spawn(&mut self, more: &[&str]) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        // as systemd does: descriptors from 3 on, their names, and for which process they are
        let files = self.files.map_or_else(String::new, |files| format!("ulimit -n {files}; "));
        let memory = self.memory.as_ref().map_or_else(String::new, Memory::script);
        let script = format!(
            "exec 3<&0 4<&1 >&2 </dev/null; {files}{memory}\
             LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=smtp:http exec \"$@\""
        );
        let handed = |socket: &TcpListener| Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(program()).args(["serve", "--config", "gatepost.toml"]);
        command.args(more).current_dir(self.directory.path());
        command.stdin(handed(&self.sockets[0])).stdout(handed(&self.sockets[1])).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it answers that it is ready.
    pub fn wait_until_ready(&mut self) {
        let until = Instant::now() + END;
        while !self.is_ready() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none() && Instant::now() < until, "not ready ({ended:?}):\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether /readyz says 200.
    pub fn is_ready(&self) -> bool {
        // a process that never answers has its connections in the queue of a socket that we hold
        self.get("/readyz", Duration::from_secs(2)).is_ok_and(|page| page.starts_with("HTTP/1.1 200 "))
    }

    fn get(&self, path: &str, patience: Duration) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.http)?;
        stream.set_read_timeout(Some(patience))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The sum of a metric's series that have all these labels.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.get("/metrics", PATIENCE).unwrap();
        let own = page.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(|label| rest.contains(label))
        });
        own.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits until nobody is connected any more.
    pub fn wait_until_alone(&self) {
        wait_for("the end of all sessions", || (self.metric("gatepost_connections", &[]) == 0.0).then_some(()));
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process().cast_signed()), signal).unwrap();
    }

    /// Ends it and starts another on the same sockets.
    pub fn restart(&mut self) {
        self.signal(Signal::SIGTERM);
        let ended = ending(self.child.take().expect("it runs"));
        assert!(ended.success(), "it ended with {ended}:\n{}", self.log());
        self.spawn(&[]);
    }

    /// Starts another that takes over, and waits for the end of the old one.
    pub fn take_over(&mut self) {
        let old = self.child.take().expect("it runs");
        self.spawn(&["--take-over"]);
        let ended = ending(old);
        assert!(ended.success(), "the old one ended with {ended}:\n{}", self.log());
    }

    /// Whether the process runs, never having been killed for want of memory.
    pub fn is_unharmed(&mut self) -> bool {
        let runs = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none());
        runs && self.memory.as_ref().is_none_or(|memory| memory.kills() == 0)
    }

    /// The most memory that it had, where that is known.
    pub fn most_memory(&self) -> String {
        self.memory.as_ref().map_or_else(String::new, Memory::told)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            ending(child);
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().filter(|line| !line.contains("INFO")).take(40).collect();
            println!("the end of the server's log, the last first:\n{}", lines.join("\n"));
        }
    }
}

fn ending(mut child: Child) -> ExitStatus {
    let until = Instant::now() + END;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            return child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn listening() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(BACKLOG).unwrap();
    socket.into()
}

/// Lets this process, and the servers that it starts, open so many files, as far as that is allowed.
pub fn allow_files(wanted: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let reachable = wanted.min(hard);
    if soft < reachable {
        setrlimit(Resource::RLIMIT_NOFILE, reachable, hard).unwrap();
    }
}

/// The same, beyond the hard limit where we are root.
pub fn allow_more_files(wanted: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_err() {
        allow_files(wanted);
    }
}

/// A bound of a server's memory, page cache and all: a control group of its own below ours, or else a bound of what it allocates.
enum Memory {
    Group(PathBuf),
    Data(u64),
}

impl Memory {
    fn bounded(octets: u64) -> Memory {
        match Memory::group(octets) {
            Ok(group) => group,
            Err(why) => {
                println!("no memory control group ({why}): RLIMIT_DATA bounds what the server allocates instead");
                Memory::Data(octets)
            }
        }
    }

    fn group(octets: u64) -> Result<Memory, String> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let own = groups.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
        let own = own.ok_or("the memory controller of version 1 is not mounted")?;
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gatepost-load-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new("/sys/fs/cgroup/memory").join(own.trim_start_matches('/')).join(name);
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir(&path).map_err(told)?;
        std::fs::write(path.join("memory.limit_in_bytes"), octets.to_string()).map_err(told)?;
        Ok(Memory::Group(path))
    }

    /// What the shell does before it becomes the server.
    fn script(&self) -> String {
        match self {
            Memory::Group(path) => format!("echo $$ >{}/cgroup.procs; ", path.display()),
            Memory::Data(octets) => format!("ulimit -d {}; ", octets / 1024),
        }
    }

    fn read(&self, file: &str) -> Option<String> {
        let Memory::Group(path) = self else { return None };
        Some(std::fs::read_to_string(path.join(file)).unwrap())
    }

    fn kills(&self) -> u64 {
        let Some(control) = self.read("memory.oom_control") else { return 0 };
        let line = control.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.map_or(0, |count| count.trim().parse().unwrap())
    }

    fn told(&self) -> String {
        let Some(stat) = self.read("memory.stat") else { return "bounded by RLIMIT_DATA".to_owned() };
        let value = |name: &str| -> u64 {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map_or(0, |value| value.parse().unwrap())
        };
        format!("{} anonymous, {} of cache", measure::megabytes(value("rss")), measure::megabytes(value("cache")))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Group(path) = self {
            // its process has ended
            let _ = std::fs::remove_dir(path);
        }
    }
}
