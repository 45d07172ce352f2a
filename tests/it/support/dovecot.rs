//! Dovecot reads what was delivered.
//!
//! Its IMAP server is run without its login and master processes: this side listens on loopback and carries each connection to
//! the standard input and output of an `imap` process that is already logged in. So no daemon, no password and no fixed path
//! is needed, and root is neither needed nor in the way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::programs::{command, left_out, program, succeed};
use super::server::{mail_user, wait_for};

/// Dovecot's IMAP server for one mailbox.
pub struct Dovecot {
    pub addr: SocketAddr,
    listener: TcpListener,
    directory: tempfile::TempDir,
    imap: Command,
}

impl Dovecot {
    /// For the Maildir of one mailbox; `None` where Dovecot isn't there (or isn't of the 2.3 series, whose settings these are).
    pub fn of(maildir: &Path) -> Option<Dovecot> {
        Dovecot::with(maildir, "")
    }

    /// The same with more settings.
    pub fn with(maildir: &Path, more: &str) -> Option<Dovecot> {
        let version = succeed(command("dovecot")?.arg("--version"));
        if !version.starts_with("2.3.") {
            left_out(&format!("the settings in this test are of Dovecot 2.3, here is {}", version.trim()));
            return None;
        }
        let (doveconf, imap) = (command("doveconf")?, program("imap")?);
        let directory = tempfile::Builder::new().prefix("gatepost-dovecot-").tempdir().unwrap();
        let config = directory.path().join("dovecot.conf");
        // its plugins are beside it, wherever it was unpacked
        let modules = imap.with_file_name("modules");
        let plugins =
            if modules.is_dir() { format!("mail_plugin_dir = {}\n", modules.display()) } else { String::new() };
        std::fs::write(&config, settings(directory.path()) + &plugins + more).unwrap();
        if let Some((user, _)) = mail_user() {
            nix::unistd::chown(directory.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let mut command = doveconf;
        command.arg("-c").arg(&config).args(["-m", "imap", "-f", "service=imap", "-e"]).arg(imap);
        command.env("USER", "alice").env("HOME", maildir);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Some(Dovecot { addr: listener.local_addr().unwrap(), listener, directory, imap: command })
    }

    /// Serves one connection from `client`, which is started with the port as its last argument, and gives what it printed.
    pub fn serve(&mut self, client: &mut Command) -> String {
        client.arg(self.addr.port().to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        self.listener.set_nonblocking(true).unwrap();
        // a client that has ended or never comes must not be waited for
        let connection = wait_for("the client's connection", || match self.listener.accept() {
            Ok((connection, _)) => Some(Some(connection)),
            Err(_) => client.try_wait().unwrap().map(|_| None),
        });
        let Some(connection) = connection else {
            let output = client.wait_with_output().unwrap();
            panic!("the client did not connect: {}", String::from_utf8_lossy(&output.stderr));
        };
        connection.set_nonblocking(false).unwrap();
        let errors = std::fs::File::create(self.directory.path().join("errors")).unwrap();
        let mut imap = self.imap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        bridge(connection, &mut imap);
        let output = client.wait_with_output().unwrap();
        // its client is gone: it ends by itself, and is ended by its id if not
        let _ = imap.kill();
        let _ = imap.wait();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What Dovecot had to say.
    pub fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        format!("{}{}", read("log"), read("errors"))
    }
}

/// Carries octets both ways until either side closes (`imap` refuses to have a socket as its standard input).
fn bridge(connection: TcpStream, imap: &mut Child) {
    let (mut from_client, mut to_client) = (connection.try_clone().unwrap(), connection);
    let (mut to_imap, mut from_imap) = (imap.stdin.take().unwrap(), imap.stdout.take().unwrap());
    std::thread::spawn(move || {
        carry(&mut from_client, &mut to_imap);
    });
    std::thread::spawn(move || {
        carry(&mut from_imap, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// Not `io::copy`: it splices, and the kernel then holds a short answer back in the hope of more.
fn carry(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 8192];
    while let Ok(octets @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..octets]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

fn settings(directory: &Path) -> String {
    let directory = directory.display();
    let user = mail_user().map_or_else(
        || format!("mail_uid = {}\nmail_gid = {}\nfirst_valid_uid = 1\n", nix::unistd::getuid(), nix::unistd::getgid()),
        |(user, _)| format!("mail_uid = {}\nmail_gid = {}\n", user.uid, user.gid),
    );
    format!(
        "base_dir = {directory}/run\nstate_dir = {directory}/state\nlog_path = {directory}/log\nssl = no\n{user}\
         mail_location = maildir:~\n\
         namespace inbox {{\n  inbox = yes\n  separator = .\n  mailbox Junk {{\n    auto = subscribe\n    special_use = \\Junk\n  }}\n}}\n"
    )
}
