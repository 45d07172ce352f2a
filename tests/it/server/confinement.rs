//! What a process that was broken into can still do: tried from inside, on a thread that is confined as the server is, and looked up of
//! the real program. (Landlock, seccomp and capabilities are the thread's own, so that the tests beside it keep theirs.)

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use gatepost::config::Config;
use gatepost::observe::metrics::label::SandboxLayer;
use gatepost::problem::Source;
use gatepost::server::{Sandbox, confine_thread};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::support::server::{More, Server, Setup, mail_user, wait_for};

/// The configuration of a server in a directory, whose DNS is on that port.
fn config(directory: &Path, dns: u16, security: &str) -> Config {
    for name in ["mail/a/tmp", "mail/a/new", "journal", "state"] {
        std::fs::create_dir_all(directory.join(name)).unwrap();
    }
    let text = format!(
        "hostname = \"mx.local.example\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\npostmaster = \"a@local.example\"\n\
         [dns]\nservers = [\"127.0.0.1:{dns}\"]\n[maildir]\nroot = \"mail\"\n\
         [domains.\"local.example\"]\nmailboxes = [\"a\"]\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [journal]\ndirectory = \"journal\"\n[state]\ndirectory = \"state\"\n[security]\n{security}"
    );
    let name = directory.join("gatepost.toml").display().to_string();
    std::fs::write(&name, &text).unwrap();
    Config::parse(Arc::new(Source { name, text }), directory).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Runs it on a confined thread; `false` where the kernel does not have the layer, which CI must.
fn confined(config: Config, layer: SandboxLayer, try_it: impl FnOnce() + Send + 'static) -> bool {
    let tried = std::thread::spawn(move || {
        let sandbox: Sandbox = confine_thread(&config).unwrap_or_else(|error| panic!("{error}"));
        if !sandbox.has(layer) {
            println!("left out: {}", sandbox.line());
            assert!(std::env::var_os("CI").is_none(), "{}", sandbox.line());
            return false;
        }
        try_it();
        true
    });
    tried.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn denied<T>(what: &str, tried: io::Result<T>) {
    match tried {
        Ok(_) => panic!("{what}: it was done"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}"),
    }
}

#[test]
fn only_maildirs_journal_and_state_can_be_written() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(directory.path(), 53, "");
    let own = directory.path().to_owned();
    std::fs::write(own.join("script"), "#!/bin/sh\n").unwrap();
    let other = elsewhere.path().to_owned();
    std::fs::write(other.join("secret"), "x").unwrap();
    confined(config, SandboxLayer::Landlock, move || {
        for below in ["mail/a", "journal", "state"] {
            let file = own.join(below).join("file");
            std::fs::write(&file, "x").unwrap();
            OpenOptions::new().write(true).truncate(true).open(&file).unwrap();
            std::fs::create_dir(own.join(below).join("folder")).unwrap();
            std::fs::remove_file(&file).unwrap();
            denied("a link", std::os::unix::fs::symlink("/etc/passwd", own.join(below).join("link")));
            denied("a socket", std::os::unix::net::UnixListener::bind(own.join(below).join("socket")).map(drop));
        }
        // from tmp/ to new/, as messages go, and without a name as large ones come
        std::fs::write(own.join("mail/a/tmp/1"), "x").unwrap();
        std::fs::rename(own.join("mail/a/tmp/1"), own.join("mail/a/new/1")).unwrap();
        let mut nameless = OpenOptions::new();
        nameless.read(true).write(true).custom_flags(nix::fcntl::OFlag::O_TMPFILE.bits());
        nameless.open(own.join("mail/a/tmp")).unwrap().write_all(b"x").unwrap();
        denied("out of the Maildirs", std::fs::rename(own.join("mail/a/new/1"), own.join("1")));
        denied("the configuration", OpenOptions::new().append(true).open(own.join("gatepost.toml")));
        denied("a file beside it", File::create(own.join("new")));
        denied("a file elsewhere", File::create(other.join("new")));
        denied("a file's end", OpenOptions::new().append(true).open(other.join("secret")));
        denied("removing", std::fs::remove_file(other.join("secret")));
        denied("a directory", std::fs::create_dir(other.join("folder")));
        // reading: what a reload needs, and nothing of other people
        std::fs::read_to_string(own.join("gatepost.toml")).unwrap();
        denied("another's file", std::fs::read(other.join("secret")));
        denied("the accounts", std::fs::read("/etc/passwd"));
        denied("a list of files", std::fs::read_dir("/etc").map(drop));
        denied("memory of others", File::open("/proc/1/environ"));
    });
}

#[test]
fn no_port_can_be_bound_and_only_the_dns_be_called() {
    let directory = tempfile::tempdir().unwrap();
    let (dns, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (dns_at, other_at) = (dns.local_addr().unwrap(), other.local_addr().unwrap());
    confined(config(directory.path(), dns_at.port(), ""), SandboxLayer::Landlock, move || {
        denied("a listener", TcpListener::bind("127.0.0.1:0"));
        denied("another port", TcpStream::connect(other_at));
        TcpStream::connect(dns_at).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", dns_at).unwrap();
        // what was bound before goes on
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.accept().map(drop).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn programs_processes_and_the_kernel_are_out_of_reach() {
    let directory = tempfile::tempdir().unwrap();
    // without Landlock, which would deny some of it as well
    confined(config(directory.path(), 53, "landlock = \"off\"\n"), SandboxLayer::Seccomp, || {
        let no_such: &std::ffi::CStr = c"/no/such/program";
        assert_eq!(nix::unistd::execve::<&std::ffi::CStr, &std::ffi::CStr>(no_such, &[], &[]), Err(Errno::EPERM));
        denied("a program", Command::new("/bin/true").spawn());
        assert_eq!(nix::sys::ptrace::attach(Pid::parent()), Err(Errno::EPERM));
        let remote = nix::sys::uio::RemoteIoVec { base: 0x1000, len: 1 };
        let mut buffer = [0];
        let local = &mut [io::IoSliceMut::new(&mut buffer)];
        assert_eq!(nix::sys::uio::process_vm_readv(Pid::parent(), local, &[remote]), Err(Errno::EPERM));
        assert_eq!(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
        let nothing: Option<&str> = None;
        let mount = nix::mount::mount(nothing, "/no/such/place", Some("tmpfs"), nix::mount::MsFlags::empty(), nothing);
        assert_eq!(mount, Err(Errno::EPERM));
        assert_eq!(nix::mount::umount("/no/such/place"), Err(Errno::EPERM));
        assert_eq!(nix::unistd::chroot("/no/such/place"), Err(Errno::EPERM));
        // ways around the rules for TCP ports: without a name, by another protocol, to another host of the machine
        let new = |domain, protocol| socket2::Socket::new(domain, socket2::Type::STREAM, protocol);
        denied("MPTCP", new(socket2::Domain::IPV4, Some(socket2::Protocol::from(262))));
        denied("VSOCK", new(socket2::Domain::VSOCK, None));
        denied("SCTP", new(socket2::Domain::IPV6, Some(socket2::Protocol::from(132))));
        denied("SCTP by its type", nix_socket(nix::libc::AF_INET, socket2::Type::SEQPACKET));
        for family in [nix::libc::AF_PACKET, nix::libc::AF_ALG, nix::libc::AF_TIPC, 21, 43] {
            denied("another family", nix_socket(family, socket2::Type::STREAM));
        }
        let tcp = new(socket2::Domain::IPV4, None).unwrap();
        denied("listening without a port", tcp.listen(1));
        let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9)).into();
        let fast_open = nix::libc::MSG_FASTOPEN;
        denied("fast open", tcp.send_to_with_flags(b"x", &anywhere, fast_open));
        let root = rustix::thread::Uid::ROOT;
        assert_eq!(rustix::thread::set_thread_res_uid(root, root, root), Err(rustix::io::Errno::PERM));
        // threads are made as ever, and are as confined
        std::thread::spawn(|| denied("a program of a thread", Command::new("/bin/true").spawn())).join().unwrap();
        assert!(rustix::thread::no_new_privs().unwrap());
    });
}

fn nix_socket(family: i32, kind: socket2::Type) -> io::Result<socket2::Socket> {
    socket2::Socket::new(socket2::Domain::from(family), kind, None)
}

/// What a program of the filter answers to a call: the kernel's words of classic BPF that such programs are made of.
fn answer(program: &seccompiler::BpfProgram, architecture: u32, call: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [call, architecture, 0, 0].to_vec();
    data.extend(arguments.iter().flat_map(|argument| [*argument as u32, (*argument >> 32) as u32]));
    let (mut at, mut word) = (0, 0_u32);
    for _ in 0..100_000 {
        let step = &program[at];
        at += 1;
        let holds = match step.code {
            // load, and, jump always, answer
            0x20 => {
                word = data[step.k as usize / 4];
                continue;
            }
            0x54 => {
                word &= step.k;
                continue;
            }
            0x05 => {
                at += step.k as usize;
                continue;
            }
            0x06 => return step.k,
            // equal, greater, at least
            0x15 => word == step.k,
            0x25 => word > step.k,
            0x35 => word >= step.k,
            other => panic!("a word that is not known: {other:#x}"),
        };
        at += usize::from(if holds { step.jt } else { step.jf });
    }
    panic!("it does not end");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn every_call_of_x32_is_denied_and_no_other_architecture_lives() {
    use nix::libc;
    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;
    const KILL: u32 = 0x8000_0000;
    let programs = gatepost::server::filters().unwrap();
    // the strictest holds: kill, then an error, then go on
    let all = |architecture, call: u32, arguments| {
        let mut answers: Vec<u32> =
            programs.iter().map(|program| answer(program, architecture, call, arguments)).collect();
        answers.sort_by_key(|answer| if *answer == KILL { 0 } else { *answer });
        answers[0]
    };
    let error = |number: i32| 0x0005_0000 | number.cast_unsigned();
    let (eperm, allowed) = (error(libc::EPERM), 0x7fff_0000);
    // as it would be by its own number: memory that is read and written, a TCP socket, a write
    for call in [libc::SYS_mmap, libc::SYS_socket, libc::SYS_sendto, libc::SYS_write, libc::SYS_openat, libc::SYS_clone]
    {
        let call = u32::try_from(call).unwrap();
        let harmless = match i64::from(call) {
            libc::SYS_mmap => [0, 4096, 3, 0x22, u64::MAX, 0],
            libc::SYS_socket => [2, 1, 0, 0, 0, 0],
            libc::SYS_clone => [0x10000, 0, 0, 0, 0, 0],
            _ => [0; 6],
        };
        assert_eq!(all(X86_64, call, harmless), allowed, "{call}");
    }
    for call in 0..2_000 {
        for arguments in [[0; 6], [2, 1, 0, 0, 0, 0], [0x10000, 4096, 3, 0x22, u64::MAX, 0]] {
            assert_eq!(all(X86_64, 0x4000_0000 | call, arguments), eperm, "{call}");
        }
        assert_eq!(all(I386, call, [0; 6]), KILL, "{call}");
    }
    assert_eq!(all(X86_64, u32::MAX, [0; 6]), eperm);
    for (call, arguments, expected) in [
        (libc::SYS_execve, [0; 6], eperm),
        (libc::SYS_clone3, [0; 6], error(libc::ENOSYS)),
        (libc::SYS_mmap, [0, 4096, 5, 0x22, u64::MAX, 0], eperm),
        (libc::SYS_clone, [0; 6], eperm),
        (libc::SYS_socket, [2, 1, 262, 0, 0, 0], eperm),
        (libc::SYS_socket, [2, 5, 0, 0, 0, 0], eperm),
        (libc::SYS_socket, [16, 0x8_0003, 0, 0, 0, 0], allowed),
        (libc::SYS_socket, [1, 0x8_0002, 0, 0, 0, 0], allowed),
        (libc::SYS_socket, [10, 0x8_0802, 17, 0, 0, 0], allowed),
        (libc::SYS_socket, [40, 1, 0, 0, 0, 0], eperm),
    ] {
        assert_eq!(all(X86_64, u32::try_from(call).unwrap(), arguments), expected, "{call} {arguments:?}");
    }
}

/// The fields of /proc/PID/status, of every thread.
fn statuses(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn every_thread_of_the_server_is_confined_and_the_log_and_metrics_say_so() {
    let server = Server::start(Setup::default());
    let statuses = statuses(server.process());
    assert!(statuses.len() > 3, "{} threads", statuses.len());
    let root = mail_user();
    for status in &statuses {
        assert_eq!((field(status, "NoNewPrivs"), field(status, "Seccomp")), ("1", "2"), "{status}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(status, set), "0000000000000000", "{status}");
        }
        if let Some((user, group)) = &root {
            assert_eq!(field(status, "CapBnd"), "0000000000000000", "{status}");
            assert_eq!(field(status, "Groups"), "", "{status}");
            let four = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
            assert_eq!(field(status, "Uid"), four(user.uid.as_raw()), "{status}");
            assert_eq!(field(status, "Gid"), four(group.gid.as_raw()), "{status}");
        }
    }
    let line = server.log().lines().find(|line| line.contains("confined")).map(str::to_owned).unwrap_or_default();
    for layer in SandboxLayer::ALL {
        assert!(line.contains(&format!("{} on (", layer.as_str())), "{line}");
        let label = format!("layer=\"{}\"", layer.as_str());
        assert!((server.metric("gatepost_sandbox", &[&label]) - 1.0).abs() < 0.5, "{label}");
    }
}

#[test]
fn a_reload_reads_no_file_elsewhere_and_says_what_to_do() {
    let server = Server::start(Setup::default());
    let elsewhere = tempfile::tempdir().unwrap();
    let list = elsewhere.path().join("mailboxes");
    std::fs::write(&list, "alice\nbob\n").unwrap();
    for path in [elsewhere.path(), &list] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    server.write_config(&format!("mailboxes = {{ file = {list:?} }}"));
    server.signal(Signal::SIGHUP);
    wait_for("the refusal", || server.log().contains("the configuration was NOT reloaded").then_some(()));
    assert!(server.log().contains("may not be read by this user"), "{}", server.log());
    assert!(server.log().contains("where a new file lies elsewhere, restart"), "{}", server.log());
    // a new one in a directory that is known is fine
    server.write("mailboxes", "alice\nbob\n");
    server.write_config("mailboxes = { file = \"mailboxes\" }");
    server.signal(Signal::SIGHUP);
    wait_for("the reload", || server.log().contains("the configuration was reloaded").then_some(()));
}

#[test]
fn a_layer_can_be_switched_off_and_that_is_said() {
    let more = More { security: "landlock = \"off\"\nseccomp = \"off\"\n", ..More::default() };
    let server = Server::start_with(Setup::default(), &more);
    assert!(server.log().contains("landlock OFF (switched off), seccomp OFF (switched off)"), "{}", server.log());
    assert!(statuses(server.process()).iter().all(|status| field(status, "Seccomp") == "0"));
    assert!(server.metric("gatepost_sandbox", &["landlock"]) < 0.5);
    assert!(server.metric("gatepost_sandbox", &["no_new_privs"]) > 0.5, "that is never off");
}

/// A kernel without these calls, as far as this thread and what it starts can tell.
fn kernel_without(calls: &[nix::libc::c_long]) {
    use seccompiler::{SeccompAction, SeccompFilter, TargetArch, apply_filter};
    rustix::thread::set_no_new_privs(true).unwrap();
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let missing = SeccompAction::Errno(nix::libc::ENOSYS.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, architecture).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}

#[test]
fn what_is_required_and_can_not_be_had_ends_the_start_and_what_is_only_wanted_is_said() {
    use nix::libc::{SYS_landlock_create_ruleset, SYS_seccomp};
    let directory = tempfile::tempdir().unwrap();
    for (key, layer, calls, why) in [
        ("landlock", SandboxLayer::Landlock, &[SYS_landlock_create_ruleset][..], "this kernel has no Landlock"),
        ("seccomp", SandboxLayer::Seccomp, &[SYS_seccomp], "this kernel has no seccomp"),
    ] {
        let confined = |word: &str| {
            // the other one off, so that this one alone is tried
            let other = if key == "landlock" { "seccomp" } else { "landlock" };
            let config = config(directory.path(), 53, &format!("{key} = \"{word}\"\n{other} = \"off\"\n"));
            let tried = std::thread::spawn(move || {
                kernel_without(calls);
                confine_thread(&config).map_err(|error| error.to_string())
            });
            tried.join().unwrap()
        };
        let refusal = confined("require").unwrap_err();
        let says = [format!("security.{key}: it is required, and {why}"), "write \"on\" to do without".to_owned()];
        assert!(says.iter().all(|words| refusal.contains(words)), "{refusal}");
        let without = confined("on").unwrap();
        assert!(!without.has(layer) && without.line().contains(&format!("{key} OFF ({why}")), "{}", without.line());
    }
    // the program itself
    let server =
        Server::start_with(Setup::default(), &More { security: "landlock = \"require\"\n", ..More::default() });
    let program = std::thread::spawn(move || {
        kernel_without(&[SYS_landlock_create_ruleset]);
        let mut other = std::fs::read_to_string(server.path("gatepost.toml")).unwrap();
        other = other.replace(&server.smtp.to_string(), "127.0.0.1:0").replace(&server.http.to_string(), "127.0.0.1:0");
        server.write("other.toml", &other);
        server.refused(&["serve", "--config", "other.toml"])
    });
    let said = program.join().unwrap();
    assert!(said.contains("security.landlock: it is required"), "{said}");
}
