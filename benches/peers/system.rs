//! A system under load: how it is started in directories of its own, what it costs, how it is ended.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cage::{self, Group};
use super::case::Case;
use super::load::Client;

/// How long a system may take until it greets.
const START: Duration = Duration::from_secs(120);
/// How long it may take to end before it is killed.
const END: Duration = Duration::from_secs(10);
/// Where all of them listen, one at a time.
pub const PORT: u16 = 2525;

/// What there is to compare.
pub struct System {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    /// What is on disk before its 250.
    pub durable: &'static str,
    /// What the Authentication-Results of each message that it delivers must say.
    pub checks: &'static [&'static str],
    /// Writes its configuration and gives the shell script that runs it in the foreground.
    pub prepare: fn(&Place) -> io::Result<String>,
    /// Where its Maildirs are, under the directory of its run.
    pub maildirs: &'static str,
}

/// The directory of one run.
pub struct Place {
    /// All that is written is in here.
    pub directory: PathBuf,
    /// Where the peers' packages are unpacked.
    pub packages: PathBuf,
    /// What the run is like.
    pub case: Case,
}

impl Place {
    /// A path in it.
    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    /// A configuration of `etc/`, with what is in `{braces}` filled in.
    pub fn fill(&self, template: &str) -> String {
        let packages = self.packages.to_string_lossy();
        template
            .replace("{dir}", &self.directory.to_string_lossy())
            .replace("{packages}", &packages)
            .replace("{server}", &cage::SERVER.to_string())
            .replace("{port}", &PORT.to_string())
            .replace("{dns}", &cage::DNS.to_string())
    }

    /// Writes a file of configuration.
    pub fn write(&self, name: &str, template: &str) -> io::Result<()> {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().expect("a directory"))?;
        fs::write(path, self.fill(template))
    }

    /// A directory that belongs to a user of the run's own /etc/passwd.
    pub fn owned(&self, name: &str, user: u32, mode: u32) -> io::Result<()> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path)?;
        std::os::unix::fs::chown(&path, Some(user), Some(user))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    }
}

/// A system that runs.
pub struct Running {
    group: Group,
    child: Child,
    /// Where its Maildirs are.
    pub maildirs: PathBuf,
    /// What it writes to its standard output and error.
    said: PathBuf,
}

/// Where mail is sent to.
pub fn address() -> SocketAddr {
    SocketAddr::from((cage::SERVER, PORT))
}

impl Running {
    /// Starts it and waits until it greets.
    pub async fn start(system: &System, place: &Place) -> io::Result<Running> {
        fs::create_dir_all(&place.directory)?;
        fs::set_permissions(&place.directory, fs::Permissions::from_mode(0o755))?;
        let group = Group::new(system.name)?;
        let script = (system.prepare)(place)?;
        let said = place.directory.join("said");
        let log = fs::File::create(&said)?;
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-euc"])
            .arg(format!("echo $$ > {}\n{script}", group.door().display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let maildirs = place.directory.join(system.maildirs);
        let mut running = Running { group, child, maildirs, said };
        running.greeted().await?;
        Ok(running)
    }

    async fn greeted(&mut self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            let error = match Client::connect(address(), cage::clients()[0]).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if self.child.try_wait()?.is_some() || began.elapsed() > START {
                let said = fs::read_to_string(&self.said).unwrap_or_default();
                return Err(io::Error::other(format!("it does not greet ({error}); it said:\n{said}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Seconds of CPU that it used since it was started, over all its processes.
    pub fn cpu(&self) -> f64 {
        self.group.cpu()
    }

    /// Its memory in kB (PSS), over all its processes.
    pub fn memory(&self) -> u64 {
        self.group.memory()
    }
}

impl Drop for Running {
    /// Ends all of its processes, by their ids.
    fn drop(&mut self) {
        let began = Instant::now();
        loop {
            let processes = self.group.processes();
            if processes.is_empty() {
                break;
            }
            let signal = if began.elapsed() > END { Signal::SIGKILL } else { Signal::SIGTERM };
            for process in processes {
                let _ = kill(Pid::from_raw(process), signal);
            }
            let _ = self.child.try_wait();
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.wait();
    }
}
