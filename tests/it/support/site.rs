//! The real server in this process, with a DNS of its own, a directory of its own, and clients that say what a test tells them.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost::config::Config;
use gatepost::facts::record::Record;
use gatepost::problem::Source;
use gatepost::server::{self, Running};
use tokio::runtime::Runtime;

use super::dns::{DnsServer, Zone, serve};

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Takes everything: for tests that are not about rules.
pub const OPEN: &str = "description = \"takes everything\"\n";

/// What a test wants to be different.
pub struct Setup<'a> {
    pub zone: Zone,
    /// `policy.toml`.
    pub policy: &'a str,
    /// More lines of `[smtp]`.
    pub smtp: &'a str,
    /// More lines of `[policy]`.
    pub judging: &'a str,
    /// The `[domains...]` tables.
    pub domains: &'a str,
    /// More tables.
    pub more: &'a str,
    /// More files beside the configuration.
    pub files: &'a [(&'a str, &'a str)],
    /// `limits.session`, where it is to be shorter than the configuration takes it.
    pub session: Option<Duration>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            zone: Zone::new(),
            policy: OPEN,
            smtp: "postmaster = \"alice@local.example\"",
            judging: "",
            domains: "[domains.\"local.example\"]\nmailboxes = [\"alice\", \"bob\", \"carol\"]\n",
            more: "",
            files: &[],
            session: None,
        }
    }
}

/// A running server.
pub struct Site {
    pub smtp: SocketAddr,
    pub http: SocketAddr,
    pub dns: DnsServer,
    pub running: Option<Running>,
    pub runtime: Runtime,
    directory: tempfile::TempDir,
}

impl Site {
    pub fn start(setup: Setup) -> Site {
        let directory = tempfile::Builder::new().prefix("gatepost-").tempdir().unwrap();
        for (name, text) in setup.files.iter().chain(&[("policy.toml", setup.policy)]) {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dns = runtime.block_on(serve(setup.zone));
        let text = format!(
            "hostname = \"mx.local.example\"\n\
             [smtp]\nlisten = [\"127.0.0.1:0\"]\n{}\n\
             [dns]\nservers = [\"{}\"]\n\
             [maildir]\nroot = \"mail\"\n\
             {}\n\
             [policy]\nfile = \"policy.toml\"\n{}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [journal]\ndirectory = \"journal\"\n{}",
            setup.smtp,
            dns.addr(),
            setup.domains,
            setup.judging,
            setup.more
        );
        let source = Arc::new(Source { name: "gatepost.toml".to_owned(), text });
        let mut config = Config::parse(source, directory.path()).unwrap_or_else(|problems| panic!("{problems}"));
        config.limits.session = setup.session.unwrap_or(config.limits.session);
        let bound = server::bind(&config).unwrap_or_else(|error| panic!("{error}"));
        let running = server::start(bound, config, None, runtime.handle()).unwrap_or_else(|error| panic!("{error}"));
        let (smtp, http) = (running.smtp()[0], running.http());
        Site { smtp, http, dns, running: Some(running), runtime, directory }
    }

    /// A server that takes everything, with this DNS.
    pub fn open(zone: Zone) -> Site {
        Site::start(Setup { zone, ..Setup::default() })
    }

    /// A server with this policy and DNS.
    pub fn judging(policy: &str, zone: Zone) -> Site {
        Site::start(Setup { zone, policy, ..Setup::default() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A client at 127.0.0.1 that has heard the greeting.
    pub fn dial(&self) -> Client {
        self.dial_from(Ipv4Addr::LOCALHOST)
    }

    /// A client at an address of 127.0.0.0/8 that has heard the greeting.
    pub fn dial_from(&self, ip: impl Into<Ipv4Addr>) -> Client {
        let mut client = Client::connect(self.smtp, ip.into());
        let greeting = client.reply();
        assert_eq!(greeting.code, 220, "{greeting:?}");
        client
    }

    /// The Maildir of a mailbox, `local.example/alice`, or of its folder.
    pub fn maildir(&self, mailbox: &str) -> PathBuf {
        self.path("mail").join(mailbox)
    }

    /// The messages in `new/` of a mailbox, sorted by file name.
    pub fn delivered(&self, mailbox: &str) -> Vec<Vec<u8>> {
        files(&self.maildir(mailbox).join("new")).iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// The one message in a mailbox, as text.
    #[track_caller]
    pub fn only(&self, mailbox: &str) -> String {
        let mut all = self.delivered(mailbox);
        assert_eq!(all.len(), 1, "messages in {mailbox}");
        String::from_utf8_lossy(&all.remove(0)).into_owned()
    }

    /// Every message file below the Maildir root, in whatever folder.
    pub fn all_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.path("mail"), &mut found);
        found
    }

    /// The journal's record of the transaction that a reply names; waited for, the journal is written behind the reply.
    #[track_caller]
    pub fn record(&self, reply: &Reply) -> Record {
        let reference = reply.reference();
        let find = || self.journal().into_iter().find(|record| record.reference == reference);
        wait_for(&format!("{reference} in the journal"), find)
    }

    /// The records so far.
    pub fn journal(&self) -> Vec<Record> {
        let texts = files(&self.path("journal"))
            .into_iter()
            .filter(|path| is_day(path))
            .map(|day| fs::read_to_string(day).unwrap());
        let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The records once there are so many.
    #[track_caller]
    pub fn records(&self, count: usize) -> Vec<Record> {
        wait_for(&format!("{count} records"), || Some(self.journal()).filter(|records| records.len() >= count))
    }

    /// A page of the HTTP listener.
    pub fn page(&self, path: &str) -> String {
        get(self.http, path)
    }

    /// The sum of a metric's series whose line holds all these label texts.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.page("/metrics");
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} is no metric");
        let own = page.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(|label| rest.contains(label))
        });
        own.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits until a metric has this value.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, labels: &[&str], value: f64) {
        let reached = || ((self.metric(name, labels) - value).abs() < 0.5).then_some(());
        wait_for(&format!("{name}{labels:?} = {value}"), reached);
    }

    /// Ends the server as SIGTERM does.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

/// A page of an HTTP server.
pub fn get(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Whether a file of the journal's directory is a day's decisions.
pub fn is_day(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// The files of a directory, sorted; none where there is no directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in files(directory) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.file_name().is_some_and(|name| name != "maildirfolder") {
            found.push(path);
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
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A reply as a client sees it.
#[derive(Debug, Clone)]
pub struct Reply {
    /// 0 where the connection ended instead.
    pub code: u16,
    /// All lines, joined by LF.
    pub text: String,
}

impl Reply {
    /// Whether it begins with this, `550 5.1.1`.
    #[track_caller]
    pub fn is(&self, codes: &str) -> &Reply {
        assert!(self.text.starts_with(codes), "{codes} expected: {}", self.text);
        self
    }

    /// The ref that it ends in.
    #[track_caller]
    pub fn reference(&self) -> String {
        let (_, reference) = self.text.rsplit_once("ref=").unwrap_or_else(|| panic!("no ref in {}", self.text));
        assert!(reference.len() == 16 && reference.bytes().all(|c| c.is_ascii_alphanumeric()), "{}", self.text);
        reference.to_owned()
    }
}

trait Stream: Read + Write + Send {
    /// Says that nothing more comes, in the words of TLS (close_notify), where it is under TLS.
    fn say_goodbye(&mut self) {}
}
impl Stream for TcpStream {}
impl Stream for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn say_goodbye(&mut self) {
        self.conn.send_close_notify();
        self.flush().unwrap();
    }
}

/// An SMTP client that says what a test tells it to.
pub struct Client {
    /// In clear; TLS goes over a clone of it.
    tcp: TcpStream,
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects from an address of 127.0.0.0/8; nothing is read yet.
    pub fn connect(server: SocketAddr, from: Ipv4Addr) -> Client {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((IpAddr::V4(from), 0)).into()).unwrap();
        socket.connect(&server.into()).unwrap();
        let tcp = TcpStream::from(socket);
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = Box::new(tcp.try_clone().unwrap());
        Client { tcp, stream: BufReader::new(stream) }
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        let stream = self.stream.get_mut();
        stream.write_all(octets.as_ref()).unwrap();
        stream.flush().unwrap();
    }

    /// The next reply; code 0 where the server has closed.
    pub fn reply(&mut self) -> Reply {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if !matches!(self.stream.read_line(&mut line), Ok(1..)) {
                return Reply { code: 0, text };
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            text.push_str(line.trim_end_matches(['\r', '\n']));
            if last {
                return Reply { code: text.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0), text };
            }
            text.push('\n');
        }
    }

    /// Sends a line and gives the reply.
    pub fn say(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// Sends a line, whose reply must begin with these codes.
    #[track_caller]
    pub fn expect(&mut self, line: &str, codes: &str) -> Reply {
        let reply = self.say(line);
        assert!(reply.text.starts_with(codes), "{line}: {codes} expected: {}", reply.text);
        reply
    }

    /// Sends an octet now and then, on a thread of its own, until the server has closed or the time is over.
    pub fn drip(&self, octet: u8, every: Duration, until: Instant) -> std::thread::JoinHandle<()> {
        let mut tcp = self.tcp.try_clone().unwrap();
        std::thread::spawn(move || {
            while Instant::now() < until && tcp.write_all(&[octet]).is_ok() {
                std::thread::sleep(every);
            }
        })
    }

    /// EHLO, MAIL and the recipients, all of which must be taken.
    #[track_caller]
    pub fn begin(&mut self, reverse_path: &str, recipients: &[&str]) -> &mut Client {
        self.expect("EHLO client.example", "250");
        self.mail(reverse_path, recipients)
    }

    /// MAIL and the recipients, all of which must be taken.
    #[track_caller]
    pub fn mail(&mut self, reverse_path: &str, recipients: &[&str]) -> &mut Client {
        self.expect(&format!("MAIL FROM:<{reverse_path}>"), "250 2.1.0");
        for recipient in recipients {
            self.expect(&format!("RCPT TO:<{recipient}>"), "250 2.1.5");
        }
        self
    }

    /// DATA and a message (CRLF lines, not yet dot-stuffed); the answer to it.
    #[track_caller]
    pub fn data(&mut self, message: impl AsRef<[u8]>) -> Reply {
        self.expect("DATA", "354");
        self.send(stuffed(message.as_ref()));
        self.reply()
    }

    /// So many octets, as they come.
    #[track_caller]
    pub fn read_exactly(&mut self, octets: &mut [u8]) {
        self.stream.read_exact(octets).unwrap();
    }

    /// Whether the server has closed, nothing more said.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let reply = self.reply();
        assert_eq!((reply.code, reply.text.as_str()), (0, ""));
    }

    /// Sends the same again and again, on a thread of its own, until the server takes no more.
    pub fn flood(&self, octets: &str) -> std::thread::JoinHandle<()> {
        let (mut tcp, octets) = (self.tcp.try_clone().unwrap(), octets.to_owned());
        std::thread::spawn(move || while tcp.write_all(octets.as_bytes()).is_ok() {})
    }

    /// Whether the server has closed in order: what it said last can't be lost to a reset.
    pub fn ends_in_order(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 64]), Ok(0))
    }

    /// Ends without a word.
    pub fn hang_up(self) {
        let _ = self.tcp.shutdown(std::net::Shutdown::Both);
    }

    /// Sends no more; what the server says can still be read.
    pub fn half_close(&self) {
        self.tcp.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Says by close_notify that it sends no more; the connection stays open below.
    pub fn close_notify(&mut self) {
        self.stream.get_mut().say_goodbye();
    }

    /// The handshake; from then on all is said under TLS.
    ///
    /// # Errors
    /// What it ended with.
    pub fn secure(&mut self, config: rustls::ClientConfig, name: &str) -> io::Result<Shown> {
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tls = rustls::StreamOwned::new(connection, self.tcp.try_clone()?);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        let certificate = tls.conn.peer_certificates().and_then(|chain| chain.first()).unwrap().to_vec();
        let version = format!("{:?}", tls.conn.protocol_version().unwrap());
        self.stream = BufReader::new(Box::new(tls));
        Ok(Shown { certificate, version })
    }
}

/// What a handshake showed.
pub struct Shown {
    pub certificate: Vec<u8>,
    pub version: String,
}

/// A message as it goes over the wire: dots stuffed (RFC 5321 §4.5.2), the final dot added.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// LF lines as CRLF lines, the last one ended.
pub fn crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A short message by that author.
pub fn message(from: &str) -> String {
    format!("From: <{from}>\r\nTo: <alice@local.example>\r\nSubject: hello\r\n\r\nhello\r\n")
}
