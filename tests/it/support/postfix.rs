//! A real Postfix as the client: its queue manager and SMTP client, from private directories, sending everything to one port of
//! loopback. Nothing is installed and no user is made: it runs as `mail` and `news`, which every Debian has.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Group, Pid, User, chown, geteuid};

use super::programs::{command, left_out, program};
use super::site::{Client, wait_for};

/// A running Postfix.
pub struct Postfix {
    addr: SocketAddr,
    master: Child,
    directory: tempfile::TempDir,
}

impl Postfix {
    /// Sends all mail to `relay`; what is deferred is tried again after two seconds. `None` where it can't be run: it isn't there, or we
    /// are not root, whom its master has to be.
    pub fn sending_to(relay: SocketAddr) -> Option<Postfix> {
        let (master, postconf) = (program("master"), program("postconf"));
        let mut command = command("master")?;
        let (user, group) = (User::from_name("mail").unwrap(), Group::from_name("news").unwrap());
        let (Some(master), Some(postconf), Some(user), Some(group)) = (master, postconf, user, group) else {
            left_out("Postfix needs postconf, the user mail and the group news");
            return None;
        };
        if !geteuid().is_root() {
            left_out("Postfix's master has to be root");
            return None;
        }
        let directory = tempfile::Builder::new().prefix("gatepost-postfix-").tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        queue(directory.path(), &user, &group);
        let conf = directory.path().join("conf");
        fs::create_dir(&conf).unwrap();
        fs::write(conf.join("main.cf"), main_cf(directory.path(), relay, &master, &postconf)).unwrap();
        fs::write(conf.join("master.cf"), format!("127.0.0.1:{} inet n - n - - smtpd\n{SERVICES}", free.port()))
            .unwrap();
        let said = fs::File::create(directory.path().join("said")).unwrap();
        command.arg("-c").arg(&conf).arg("-d").env("MAIL_CONFIG", &conf).stdin(Stdio::null());
        // a group of its own: it ends its daemons by it
        let master = command.stdout(said.try_clone().unwrap()).stderr(said).process_group(0).spawn().unwrap();
        let postfix = Postfix { addr: free, master, directory };
        wait_for("Postfix to listen", || std::net::TcpStream::connect(free).ok());
        Some(postfix)
    }

    /// Puts a message into its queue.
    #[track_caller]
    pub fn send(&self, from: &str, recipients: &[&str], message: &str) {
        let mut client = Client::connect(self.addr, Ipv4Addr::LOCALHOST);
        client.reply().is("220");
        client.expect("EHLO user.example", "250");
        client.expect(&format!("MAIL FROM:<{from}>"), "250");
        for recipient in recipients {
            client.expect(&format!("RCPT TO:<{recipient}>"), "250");
        }
        client.data(message).is("250");
        client.expect("QUIT", "221");
    }

    /// What became of each delivery so far: the lines of its log that have `status=`.
    pub fn deliveries(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("status=")).map(str::to_owned).collect()
    }

    /// Its delivery to a recipient with this status, once there is one.
    #[track_caller]
    pub fn delivery(&self, recipient: &str, status: &str) -> String {
        let (to, status) = (format!("to=<{recipient}>"), format!("status={status} "));
        let find = || self.deliveries().into_iter().find(|line| line.contains(&to) && line.contains(&status));
        wait_for(&format!("{to} {status}"), find)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.master.id().cast_signed()), Signal::SIGTERM);
        let _ = self.master.wait();
    }
}

/// The directories of its queue, with the owners that it wants.
fn queue(directory: &Path, user: &User, group: &Group) {
    let make = |name: &str, mode: u32, owner: bool, of_group: bool| {
        let path = directory.join(name);
        fs::create_dir_all(&path).unwrap();
        chown(&path, owner.then_some(user.uid), of_group.then_some(group.gid)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    make("queue", 0o755, false, false);
    make("queue/pid", 0o755, false, false);
    make("data", 0o755, true, false);
    for name in
        ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"]
    {
        make(&format!("queue/{name}"), 0o700, true, false);
    }
    make("queue/maildrop", 0o730, true, true);
    make("queue/public", 0o710, true, true);
}

fn main_cf(directory: &Path, relay: SocketAddr, master: &Path, postconf: &Path) -> String {
    let (directory, daemons) = (directory.display(), master.parent().unwrap().display());
    let commands = postconf.parent().unwrap().display();
    format!(
        "compatibility_level = 3.6\nmail_owner = mail\nsetgid_group = news\n\
         config_directory = {directory}/conf\nmeta_directory = {directory}/conf\nqueue_directory = {directory}/queue\n\
         data_directory = {directory}/data\ndaemon_directory = {daemons}\ncommand_directory = {commands}\nshlib_directory = no\n\
         maillog_file = {directory}/log\nmaillog_file_prefixes = {directory}\n\
         import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH\n\
         myhostname = sender.example\nmydestination =\nmynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
         relayhost = [{}]:{}\ndisable_dns_lookups = yes\nsmtp_host_lookup = native\nalias_maps =\nalias_database =\n\
         local_recipient_maps =\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
         minimal_backoff_time = 2s\nmaximal_backoff_time = 4s\nqueue_run_delay = 2s\n",
        relay.ip(),
        relay.port()
    )
}

const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
";
