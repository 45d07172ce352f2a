//! An ext4 file system in a file, whose power can be cut: mounted in a mount namespace of its own, which goes with its last process.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::unistd::Uid;

use crate::support::programs::{command, left_out, program, run, succeed};
use crate::support::server::mail_user;

/// Large enough for what is sent until it is made anew.
const BYTES: u64 = 256 << 20;
/// Mounting looks for a free loop device, which another may take meanwhile.
const TRIES: usize = 5;

/// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: from now on nothing reaches the disk, not even the journal of the file system.
const CUT: &str = r#"
import fcntl, os, struct, sys
directory = os.open(sys.argv[1], os.O_RDONLY)
print("ready", flush=True)
sys.stdin.readline()
fcntl.ioctl(directory, 0x8004587d, struct.pack("I", 2))
print("cut", flush=True)
"#;

/// How the file system's journal takes data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Data before the entries that lead to it: the default.
    Ordered,
    /// Data in the journal, too.
    Journal,
}

impl Mode {
    /// As mount has it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Ordered => "data=ordered",
            Mode::Journal => "data=journal",
        }
    }
}

/// The volume. Dropped, it is unmounted and gone.
pub struct Volume {
    directory: tempfile::TempDir,
    image: tempfile::NamedTempFile,
    /// Its mount namespace is ours to mount in.
    holder: Child,
    mode: Mode,
    /// Loop devices are few.
    _alone: MutexGuard<'static, ()>,
}

impl Volume {
    /// An empty one, not yet mounted; `None`, which is said, where there can be none.
    pub fn new(mode: Mode) -> Option<Volume> {
        static ALONE: Mutex<()> = Mutex::new(());
        if let Some(why) = obstacle() {
            left_out(&format!("power cuts: {why}"));
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let image = tempfile::Builder::new().prefix("gatepost-power-").tempfile_in(place).unwrap();
        image.as_file().set_len(BYTES).unwrap();
        let mut holder = command("unshare")?;
        // it ends with us: its input does
        holder.args(["-m", "--propagation", "private", "sh", "-c", "echo ready; read line"]);
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut told).unwrap();
        let directory = tempfile::Builder::new().prefix("gatepost-power-").tempdir().unwrap();
        let volume = Volume { directory, image, holder, mode, _alone: alone };
        if told != "ready\n" {
            left_out("power cuts: no mount namespace may be made");
            return None;
        }
        volume.format();
        if !volume.mounts() {
            left_out("power cuts: no loop device can be mounted");
            return None;
        }
        volume.unmount();
        Some(volume)
    }

    /// In whose mount namespace it is.
    pub fn process(&self) -> u32 {
        self.holder.id()
    }

    /// Where it is mounted, as seen in there. The Maildirs' root is the root of the file system.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The same seen from here.
    pub fn seen(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process()));
        root.join(self.path().strip_prefix("/").unwrap())
    }

    /// Makes the file system anew.
    pub fn format(&self) {
        let mut mkfs = command("mkfs.ext4").unwrap();
        let owner = mail_user().map_or((0, 0), |(user, group)| (user.uid.as_raw(), group.gid.as_raw()));
        mkfs.args(["-q", "-F", "-E", &format!("root_owner={}:{},lazy_itable_init=1", owner.0, owner.1)]);
        succeed(mkfs.arg(self.image.path()));
    }

    /// Mounts it, which replays the file system's journal.
    pub fn mount(&self) {
        assert!(self.mounts(), "it was mounted before");
    }

    fn mounts(&self) -> bool {
        (0..TRIES).any(|_| {
            let mut mount = self.inside("mount");
            mount.args(["-o", &format!("loop,{}", self.mode.name())]).arg(self.image.path()).arg(self.path());
            run(&mut mount).status.success()
        })
    }

    /// Unmounts it.
    pub fn unmount(&self) {
        succeed(self.inside("umount").arg(self.path()));
    }

    /// What the file system says of itself: nothing is wrong.
    pub fn check(&self) {
        succeed(command("fsck.ext4").unwrap().args(["-f", "-n"]).arg(self.image.path()));
    }

    /// Ready to cut the power of what is mounted now.
    pub fn blade(&self) -> Blade {
        let python = program("python3").unwrap();
        let mut child = self.inside(python.to_str().unwrap());
        child.args(["-I", "-S", "-c", CUT]).arg(self.path());
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut blade =
            Blade { input: child.stdin.take().unwrap(), output: BufReader::new(child.stdout.take().unwrap()), child };
        blade.hear("ready\n");
        blade
    }

    fn inside(&self, program: &str) -> Command {
        let mut inside = command("nsenter").unwrap();
        inside.args(["-t", &self.process().to_string(), "-m", program]);
        inside
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // what is mounted goes with the namespace
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Cuts the power once.
pub struct Blade {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Blade {
    /// Cuts; when it returns, nothing reaches the disk any more.
    pub fn cut(mut self) {
        self.input.write_all(b"\n").unwrap();
        self.hear("cut\n");
        drop(self.input);
        self.output.read_to_end(&mut Vec::new()).unwrap();
        self.child.wait().unwrap();
    }

    fn hear(&mut self, wanted: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, wanted);
    }
}

/// Why there can be no power cuts here.
fn obstacle() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("only root can mount".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices".to_owned());
    }
    let programs = ["unshare", "nsenter", "mount", "umount", "mkfs.ext4", "fsck.ext4", "python3"];
    programs.into_iter().find(|name| program(name).is_none()).map(|name| format!("{name} is not on this machine"))
}
