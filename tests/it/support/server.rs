//! The real program, `gatepost serve`, in a directory of its own with ports of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Group, Pid, Uid, User, chown};

use super::dns::{DnsServer, Zone};

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a start is tried again because somebody took the port between its choice and its use.
const STARTS: usize = 3;

/// What a test wants to be different.
#[derive(Default)]
pub struct Setup {
    /// What DNS says; nothing but the root if not given.
    pub zone: Zone,
    /// The text of the policy file; without it the default policy judges.
    pub policy: Option<&'static str>,
    /// Files beside it, such as lists: name and text.
    pub files: &'static [(&'static str, &'static str)],
    /// Whether STARTTLS is offered, with a certificate for `mx.receiver.example` that signs itself.
    pub tls: bool,
    /// The largest file that it may write, in blocks of 512 octets: what is larger finds the disk full.
    pub file_blocks: Option<u64>,
    /// How many files it may open before it asks for more.
    pub soft_files: Option<u64>,
    /// How many it may open at all.
    pub hard_files: Option<u64>,
}

/// What few tests want to be different.
#[derive(Default)]
pub struct More<'a> {
    /// More lines of `[domains."receiver.example"]`; with `mailboxes` among them they stand in place of alice and bob.
    pub domain: &'static str,
    /// More lines of `[journal]`.
    pub journal: &'static str,
    /// More lines of `[security]`.
    pub security: &'static str,
    /// Variables of its environment.
    pub environment: &'a [(&'static str, String)],
    /// Where mail goes; not given, into `mail` of the server's directory.
    pub maildir: Option<&'a Path>,
    /// A process in whose mount namespace it runs.
    pub mounts_of: Option<u32>,
}

/// A running server. Dropping it asks it to stop and waits.
pub struct Server {
    pub smtp: SocketAddr,
    pub http: SocketAddr,
    directory: tempfile::TempDir,
    child: Option<Child>,
    dns: SocketAddr,
    tls: bool,
    policy: bool,
    domain: &'static str,
    journal: &'static str,
    security: &'static str,
    environment: Vec<(&'static str, String)>,
    maildir: PathBuf,
    mounts_of: Option<u32>,
    file_blocks: Option<u64>,
    soft_files: Option<u64>,
    hard_files: Option<u64>,
    _answering: Answering,
}

/// DNS for as long as the server runs.
struct Answering {
    _server: DnsServer,
    _runtime: tokio::runtime::Runtime,
}

/// Who owns mail when root runs the tests: the server becomes that user, and Dovecot reads as it (Dovecot never reads as root).
pub fn mail_user() -> Option<(User, Group)> {
    if !Uid::effective().is_root() {
        return None;
    }
    let user = User::from_name("nobody").unwrap().expect("every system has nobody");
    let group = Group::from_gid(user.gid).unwrap().expect("the group of nobody");
    Some((user, group))
}

impl Server {
    /// Starts `gatepost serve` for receiver.example (mailboxes alice and bob) and waits until /readyz says 200.
    pub fn start(setup: Setup) -> Server {
        Server::start_with(setup, &More::default())
    }

    /// As [`Server::start`], with more.
    pub fn start_with(setup: Setup, more: &More<'_>) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dns = runtime.block_on(super::dns::serve(setup.zone));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server {
            smtp: nowhere,
            http: nowhere,
            directory: tempfile::Builder::new().prefix("gatepost-").tempdir().unwrap(),
            child: None,
            dns: dns.addr(),
            tls: setup.tls,
            policy: setup.policy.is_some(),
            domain: more.domain,
            journal: more.journal,
            security: more.security,
            environment: more.environment.to_vec(),
            maildir: more.maildir.unwrap_or(Path::new("mail")).to_owned(),
            mounts_of: more.mounts_of,
            file_blocks: setup.file_blocks,
            soft_files: setup.soft_files,
            hard_files: setup.hard_files,
            _answering: Answering { _server: dns, _runtime: runtime },
        };
        if let Some(policy) = setup.policy {
            std::fs::write(server.path("policy.toml"), policy).unwrap();
        }
        for (name, text) in setup.files {
            server.write(name, text);
        }
        if setup.tls {
            server.write_certificate();
        }
        server.start_elsewhere();
        server
    }

    /// Starts a process, after the last has ended, on ports that are free now: those that a process had another may have taken meanwhile.
    pub fn start_elsewhere(&mut self) {
        for attempt in 1..=STARTS {
            self.choose_ports();
            self.write_config(self.domain);
            self.spawn();
            if self.wait_until_ready() {
                return;
            }
            assert!(attempt < STARTS, "gatepost serve did not become ready:\n{}", self.log());
        }
    }

    /// A path in the server's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The Maildir of a mailbox of receiver.example.
    pub fn maildir(&self, mailbox: &str) -> PathBuf {
        self.path("mail").join("receiver.example").join(mailbox)
    }

    /// The files in `new` of a mailbox, or of its folder (`alice/.Junk`).
    pub fn delivered(&self, mailbox: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.maildir(mailbox).join("new")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// What it wrote to its log so far; a thread of its own writes, so that what was logged just now is waited for until nothing comes.
    pub fn log(&self) -> String {
        let read = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let mut log = read();
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(40));
            let later = read();
            if later.len() == log.len() {
                break;
            }
            log = later;
        }
        log
    }

    /// `gatepost` with these arguments, from the server's directory.
    pub fn gatepost(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    /// What a process says that must not start, with these arguments.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let mut child = self.gatepost(arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        // one that serves is no use any more
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    }

    /// Writes the configuration; `more` are further lines of `[domains."receiver.example"]`.
    pub fn write_config(&self, more: &str) {
        let account = mail_user().map_or_else(String::new, |(user, group)| {
            format!("user = \"{}\"\ngroup = \"{}\"\n", user.name, group.name)
        });
        let security = format!("[security]\n{account}{}", self.security);
        let tls = if self.tls { "[smtp.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n" } else { "" };
        let policy = if self.policy { "[policy]\nfile = \"policy.toml\"\n" } else { "" };
        let mailboxes = if more.contains("mailboxes") { "" } else { "mailboxes = [\"alice\", \"bob\"]\n" };
        let text = format!(
            "hostname = \"mx.receiver.example\"\n\
             [smtp]\nlisten = [\"{}\"]\npostmaster = \"alice@receiver.example\"\n{tls}\
             [dns]\nservers = [\"{}\"]\n\
             [maildir]\nroot = \"{}\"\n\
             [domains.\"receiver.example\"]\n{mailboxes}{more}\n\
             {policy}[http]\nlisten = \"{}\"\n\
             [journal]\ndirectory = \"journal\"\n{}\n\
             [state]\ndirectory = \"state\"\ngreylist_delay = \"2s\"\n{security}",
            self.smtp,
            self.dns,
            self.maildir.display(),
            self.http,
            self.journal
        );
        self.write("gatepost.toml", &text);
    }

    /// Writes a file that the server may read after it became another user.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        if let Some((user, _)) = mail_user() {
            chown(&self.path(name), Some(user.uid), Some(user.gid)).unwrap();
        }
    }

    fn write_certificate(&self) {
        let certificate = rcgen::generate_simple_self_signed(vec!["mx.receiver.example".to_owned()]).unwrap();
        self.write("cert.pem", &certificate.cert.pem());
        self.write("key.pem", &certificate.signing_key.serialize_pem());
    }

    fn choose_ports(&mut self) {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (smtp, http) = (free(), free());
        self.smtp = smtp.local_addr().unwrap();
        self.http = http.local_addr().unwrap();
    }

    fn spawn(&mut self) {
        for name in ["mail", "journal"] {
            std::fs::create_dir_all(self.path(name)).unwrap();
        }
        if let Some((user, _)) = mail_user() {
            own_all(self.directory.path(), user.uid, user.gid);
        }
        File::create(self.path("log")).unwrap();
        self.child = Some(self.process_of(&["serve", "--config", "gatepost.toml"]));
    }

    /// A process of its own beside whatever runs; the log is gone on with.
    fn process_of(&self, serve: &[&str]) -> Child {
        let log = File::options().append(true).open(self.path("log")).unwrap();
        let blocks = self.file_blocks.map(|blocks| format!("ulimit -f {blocks}; "));
        let files = self.soft_files.map(|files| format!("ulimit -S -n {files}; "));
        let most = self.hard_files.map(|files| format!("ulimit -n {files}; "));
        let mut command = match blocks.into_iter().chain(files).chain(most).reduce(|all, one| all + &one) {
            None => self.gatepost(serve),
            Some(limits) => {
                // ignored, so that a file that is too large is an error and not the end
                let limited =
                    format!("trap '' XFSZ; {limits}exec {} {}", env!("CARGO_BIN_EXE_gatepost"), serve.join(" "));
                let mut shell = Command::new("sh");
                // the log is a file, too
                shell.args(["-c", &limited]).current_dir(self.directory.path()).env("GATEPOST_LOG", "warn");
                shell
            }
        };
        if let Some(process) = self.mounts_of {
            command = within(process, &command);
        }
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    /// Starts a process that takes over from the one that runs, and waits until that has ended; gives how.
    pub fn take_over(&mut self) -> ExitStatus {
        self.begin_take_over().join().unwrap()
    }

    /// Starts a process that takes over; the old one is waited for on a thread.
    pub fn begin_take_over(&mut self) -> std::thread::JoinHandle<ExitStatus> {
        let new = self.process_of(&["serve", "--config", "gatepost.toml", "--take-over"]);
        let mut old = self.child.replace(new).expect("it runs");
        std::thread::spawn(move || {
            let until = Instant::now() + PATIENCE;
            loop {
                if let Some(ended) = old.try_wait().unwrap() {
                    return ended;
                }
                if Instant::now() > until {
                    let _ = old.kill();
                    let _ = old.wait();
                    panic!("the old process did not end");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    }

    /// After the last process has ended, one that would take over if somebody were there.
    pub fn start_taking_over(&mut self) {
        self.child = Some(self.process_of(&["serve", "--config", "gatepost.toml", "--take-over"]));
        assert!(self.wait_until_ready(), "gatepost serve did not become ready:\n{}", self.log());
    }

    /// `false` where the program ended instead.
    fn wait_until_ready(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.exited().is_some() {
                return false;
            }
            if self.get("/readyz").is_some_and(|(status, _)| status == 200) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("not ready after {PATIENCE:?}:\n{}", self.log());
    }

    /// Kills the process, as a crash would, and starts another in the same directory.
    pub fn crash_and_start(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
        self.start_again();
    }

    /// Starts another process after the last has ended.
    pub fn start_again(&mut self) {
        self.spawn();
        assert!(self.wait_until_ready(), "gatepost serve did not become ready:\n{}", self.log());
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// A page of the HTTP listener: status and body; `None` where nobody listens.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        let (status, body) = self.get("/metrics").expect("the HTTP listener answers");
        assert_eq!(status, 200);
        body
    }

    /// The sum of a metric's series whose line holds all these label texts (`action="accept"`).
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.metrics();
        let own = page.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(|label| rest.contains(label))
        });
        own.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// All records of the journal so far.
    pub fn journal(&self) -> Vec<serde_json::Value> {
        let days = super::site::files(&self.path("journal")).into_iter().filter(|path| super::site::is_day(path));
        let texts = days.map(|day| std::fs::read_to_string(day).unwrap());
        let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The journal's record of a transaction, waited for: the journal is written behind the reply.
    pub fn record(&self, reference: &str) -> serde_json::Value {
        let found = || self.journal().into_iter().find(|record| record["ref"] == reference);
        wait_for(&format!("{reference} in the journal"), found)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends a signal to this process and no other.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + 2 * PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.exited() {
                self.child = None;
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not end:\n{}", self.log());
    }

    /// A connection of which nothing is read yet.
    pub fn connect(&self) -> Dialogue {
        let stream = TcpStream::connect(self.smtp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Dialogue { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// An SMTP dialogue; the greeting is read.
    pub fn dial(&self) -> Dialogue {
        let mut dialogue = self.connect();
        assert_eq!(code(&dialogue.reply()), 220);
        dialogue
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if child.try_wait().ok().flatten().is_none() {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        }
        let until = Instant::now() + 2 * PATIENCE;
        while child.try_wait().ok().flatten().is_none() {
            if Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if std::thread::panicking() {
            println!("the server's log:\n{}", self.log());
        }
    }
}

/// The same command in the mount namespace of a process, under the same pid that it would have without.
fn within(process: u32, command: &Command) -> Command {
    let mut inside = super::programs::command("nsenter").expect("whoever made the namespace looked for it");
    // the working directory is another one in there
    inside.args(["-t", &process.to_string(), "-m", "sh", "-c", r#"cd "$0" && exec "$@""#]);
    inside.arg(command.get_current_dir().unwrap()).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        inside.env(name, value.unwrap_or_default());
    }
    inside
}

fn own_all(path: &Path, user: Uid, group: Gid) {
    chown(path, Some(user), Some(group)).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            own_all(&entry.unwrap().path(), user, group);
        }
    }
}

/// What `look` finds, as soon as it finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An SMTP client that says what a test tells it to.
pub struct Dialogue {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Dialogue {
    /// Sends octets as they are.
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next reply, all its lines; empty when the server has closed.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let octets = self.reader.read_line(&mut line).unwrap();
            reply.push_str(&line);
            if octets == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// Sends a line and gives the reply.
    pub fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\r\n"));
        self.reply()
    }

    /// Sends a line, whose reply must have this code.
    #[track_caller]
    pub fn expect(&mut self, line: &str, expected: u16) -> String {
        let reply = self.say(line);
        assert_eq!(code(&reply), expected, "{line}: {reply}");
        reply
    }
}

/// A reply's code; 0 for none.
pub fn code(reply: &str) -> u16 {
    reply.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The ref in a reply or in what a client printed of it.
pub fn reference(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("ref=")?;
    let reference: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    (reference.len() == 16).then_some(reference)
}
