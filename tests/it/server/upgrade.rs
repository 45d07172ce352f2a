//! A new process in place of the old: by systemd's sockets, by the handover, and what systemd is told. All with the real program.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;

use crate::support::server::{More, PATIENCE, Server, Setup, mail_user, wait_for};
use crate::support::site::{Client, message};

const HANDOVER: More = More {
    domain: "",
    journal: "",
    security: "handover = \"handover.sock\"\n",
    environment: &[],
    maildir: None,
    mounts_of: None,
};

/// Sends messages one after another, a session each, until it is told to stop; gives how many were acknowledged.
fn sending(smtp: SocketAddr, stop: &Arc<AtomicBool>, sent: &Arc<AtomicUsize>) -> JoinHandle<usize> {
    let (stop, sent) = (Arc::clone(stop), Arc::clone(sent));
    std::thread::spawn(move || {
        let mut acknowledged = 0;
        while !stop.load(Ordering::SeqCst) {
            let mut client = Client::connect(smtp, Ipv4Addr::LOCALHOST);
            client.reply().is("220");
            client.begin("a@sender.example", &["alice@receiver.example"]);
            client.data(message("a@sender.example")).is("250 2.0.0");
            acknowledged += 1;
            sent.fetch_add(1, Ordering::SeqCst);
            client.expect("QUIT", "221");
        }
        acknowledged
    })
}

#[test]
fn twenty_handovers_under_load_refuse_nothing_and_lose_nothing() {
    let policy = Some("description = \"takes\"\n");
    let mut server = Server::start_with(Setup { policy, ..Setup::default() }, &HANDOVER);
    let mode = std::fs::metadata(server.path("handover.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..3).map(|_| sending(server.smtp, &stop, &sent)).collect();
    let mut processes = vec![server.process()];
    for _ in 0..20 {
        // each process has its share
        let before = sent.load(Ordering::SeqCst);
        wait_for("mail", || (sent.load(Ordering::SeqCst) >= before + 3).then_some(()));
        let ended = server.take_over();
        assert!(ended.success(), "the old one ended with {ended}");
        processes.push(server.process());
    }
    let before = sent.load(Ordering::SeqCst);
    wait_for("mail", || (sent.load(Ordering::SeqCst) >= before + 3).then_some(()));
    stop.store(true, Ordering::SeqCst);
    let acknowledged: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(server.delivered("alice").len(), acknowledged);
    assert!(acknowledged > 60, "{acknowledged}");
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 21);
    assert_eq!(server.log().matches("another process accepts mail now").count(), 20);
}

#[test]
fn a_session_of_the_old_process_goes_on_to_its_end() {
    let mut server =
        Server::start_with(Setup { policy: Some("description = \"takes\"\n"), ..Setup::default() }, &HANDOVER);
    let mut session = Client::connect(server.smtp, Ipv4Addr::LOCALHOST);
    session.reply().is("220");
    session.expect("EHLO client.example", "250");
    let old = server.process();
    let ended = server.begin_take_over();
    wait_for("the handover", || server.log().contains("another process accepts mail now").then_some(()));
    assert_ne!(server.process(), old);
    let mut other = server.dial();
    other.expect("EHLO client.example", 250);
    // between two messages, too: nobody is told to come again
    for _ in 0..2 {
        session.mail("a@sender.example", &["alice@receiver.example"]);
        session.data(message("a@sender.example")).is("250 2.0.0");
    }
    session.expect("QUIT", "221");
    assert!(ended.join().unwrap().success());
    assert_eq!(server.delivered("alice").len(), 2);
    other.expect("NOOP", 250);
}

#[test]
fn stress_that_the_old_process_had_ends_there_too() {
    let limits = "[limits]\nmemory = \"4 MB\"\nmemory_body = \"1 MB\"\nstress_idle = \"2min\"\n";
    let mut server = Server::start_with(
        Setup { policy: Some("description = \"takes\"\n"), ..Setup::default() },
        &More { journal: limits, ..HANDOVER },
    );
    let mut session = Client::connect(server.smtp, Ipv4Addr::new(127, 0, 0, 9));
    session.reply().is("220");
    let holding: Vec<Client> = [1, 1, 2, 2]
        .map(|last| {
            let mut client = Client::connect(server.smtp, Ipv4Addr::new(127, 0, 0, last));
            client.reply().is("220");
            client.begin("a@sender.example", &["alice@receiver.example"]);
            client.expect("DATA", "354");
            client.send(format!("From: <a@sender.example>\r\n\r\n{}", format!("{}\r\n", "x".repeat(998)).repeat(900)));
            client
        })
        .into();
    wait_for("stress", || (server.metric("gatepost_stress", &[]) > 0.5).then_some(()));
    let ended = server.begin_take_over();
    wait_for("the handover", || server.log().contains("another process accepts mail now").then_some(()));
    assert_eq!(server.log().matches("the stress is over").count(), 0);
    drop(holding);
    wait_for("its end", || server.log().contains("the stress is over").then_some(()));
    session.expect("QUIT", "221");
    assert!(ended.join().unwrap().success());
}

#[test]
fn a_new_process_that_fails_leaves_the_old_one_serving() {
    let mut server =
        Server::start_with(Setup { policy: Some("description = \"takes\"\n"), ..Setup::default() }, &HANDOVER);
    // somebody who takes the sockets and goes
    drop(UnixStream::connect(server.path("handover.sock")).unwrap());
    wait_for("the failure", || server.log().contains("the sockets were not handed over").then_some(()));
    server.write("policy.toml", "no policy");
    let output = server.gatepost(&["serve", "--config", "gatepost.toml", "--take-over"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let mut client = server.dial();
    client.expect("QUIT", 221);
    server.write("policy.toml", "description = \"takes\"\n");
    assert!(server.take_over().success());
}

#[test]
fn who_takes_the_sockets_and_says_nothing_is_given_up_for_the_next() {
    let policy = Some("description = \"takes\"\n");
    let mut server = Server::start_with(Setup { policy, ..Setup::default() }, &HANDOVER);
    let mut silent = UnixStream::connect(server.path("handover.sock")).unwrap();
    wait_for("the first", || server.log().contains("another process asks for the sockets").then_some(()));
    assert!(server.take_over().success());
    assert!(server.log().contains("says nothing, another has them now"), "{}", server.log());
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut silent, &mut said).expect("it is hung up on");
    assert!(said.ends_with(b"taken\n"), "and told why: {said:?}");
    server.dial().expect("QUIT", 221);
}

#[test]
fn where_nobody_answers_it_says_so_and_not_what_the_system_calls_it() {
    let server = Server::start_with(Setup::default(), &HANDOVER);
    replace(&server, "handover.sock", "silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(server.path("silent.sock")).unwrap();
    let said = server.refused(&["serve", "--config", "gatepost.toml", "--take-over"]);
    for words in ["silent.sock: no answer within 10 s", "another take-over may be under way", "try again"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("os error"), "{said}");
}

/// The text of the configuration, one part of it replaced.
fn replace(server: &Server, this: &str, by: &str) {
    let text = std::fs::read_to_string(server.path("gatepost.toml")).unwrap();
    assert!(text.contains(this), "{this} in {text}");
    server.write("gatepost.toml", &text.replace(this, by));
}

fn inode(server: &Server) -> u64 {
    std::fs::metadata(server.path("handover.sock")).unwrap().ino()
}

#[test]
fn the_socket_of_the_handover_is_handed_over_too_and_outlives_who_fails() {
    let policy = Some("description = \"takes\"\n");
    let mut server = Server::start_with(Setup { policy, ..Setup::default() }, &HANDOVER);
    let socket = inode(&server);
    // it has all sockets when it finds that mail can't be stored
    replace(&server, "root = \"mail\"", "root = \"policy.toml\"");
    assert!(server.refused(&["serve", "--config", "gatepost.toml", "--take-over"]).contains("maildir.root"));
    wait_for("the failure", || server.log().contains("the sockets were not handed over").then_some(()));
    replace(&server, "root = \"policy.toml\"", "root = \"mail\"");
    // a plain start beside it takes nothing away either, whatever it listens on
    let mut other = std::fs::read_to_string(server.path("gatepost.toml")).unwrap();
    other = other.replace(&server.smtp.to_string(), "127.0.0.1:0").replace(&server.http.to_string(), "127.0.0.1:0");
    server.write("other.toml", &other);
    let said = server.refused(&["serve", "--config", "other.toml"]);
    assert!(said.contains("security.handover") && said.contains("--take-over"), "{said}");
    for _ in 0..2 {
        assert!(server.take_over().success());
        assert_eq!(inode(&server), socket);
    }
    assert_eq!(server.log().matches("another process accepts mail now").count(), 2, "{}", server.log());
}

/// Somebody at the path who hands over these.
fn hands(path: &std::path::Path, letters: &'static [u8], sockets: Vec<OwnedFd>) -> JoinHandle<UnixStream> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    if let Some((user, _)) = mail_user() {
        nix::unistd::chown(path, Some(user.uid), None).unwrap();
    }
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let handed: Vec<_> = sockets.iter().map(std::os::fd::AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&handed)));
        sendmsg(&stream, &[std::io::IoSlice::new(letters)], &mut control, SendFlags::NOSIGNAL).unwrap();
        stream
    })
}

#[test]
fn a_socket_of_an_unknown_kind_is_refused_and_not_taken_for_mail() {
    let server = Server::start_with(Setup::default(), &HANDOVER);
    let path = server.path("other.sock");
    replace(&server, "handover.sock", "other.sock");
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    for (letters, sockets, says) in [
        (&b"sx\n"[..], vec![listener(), listener()], ["other.sock: ", "(x)", "start a version at least as new"]),
        (b"sh\n", vec![listener()], ["other.sock: ", "2 names for 1 sockets", "is that Gatepost's?"]),
        (b"u\n", vec![listener()], ["other.sock: ", "security.handover", "is that Gatepost's?"]),
    ] {
        let handing = hands(&path, letters, sockets);
        let said = server.refused(&["serve", "--config", "gatepost.toml", "--take-over"]);
        drop(handing.join().unwrap());
        assert!(says.iter().all(|word| said.contains(word)) && said.contains("security.handover"), "{said}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_process_that_was_given_up_meanwhile_does_not_serve() {
    let server = Server::start_with(Setup::default(), &HANDOVER);
    let path = server.path("other.sock");
    replace(&server, "handover.sock", "other.sock");
    let sockets = [server.smtp, server.http].map(|address| {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        replace(&server, &address.to_string(), &socket.local_addr().unwrap().to_string());
        OwnedFd::from(socket)
    });
    let handing = hands(&path, b"sh\n", sockets.into());
    let mut slow = server.gatepost(&["serve", "--config", "gatepost.toml", "--take-over"]);
    let slow = slow.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut old = handing.join().unwrap();
    old.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut word = [0; 6];
    if std::io::Read::read_exact(&mut old, &mut word).is_err() {
        panic!("{:?}", slow.wait_with_output());
    }
    assert_eq!(&word, b"ready\n");
    std::io::Write::write_all(&mut old, b"taken\n").unwrap();
    let ended = slow.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("another has taken the sockets over"), "{said}");
    assert!(said.contains("ended"), "in order: {said}");
}

const GREYLISTS: &str = "description = \"greylists\"\n[[rule]]\nname = \"stranger\"\nat = \"rcpt\"\nwhen = \"true\"\naction = \"greylist\"\n";

#[test]
fn what_greylisting_learns_on_either_side_of_a_handover_is_kept() {
    let mut server = Server::start_with(Setup { policy: Some(GREYLISTS), ..Setup::default() }, &HANDOVER);
    let asks = |client: &mut Client, from: &str| {
        client.expect(&format!("MAIL FROM:<{from}>"), "250");
        let code = client.say("RCPT TO:<alice@receiver.example>").code;
        client.expect("RSET", "250");
        code
    };
    let dial = |smtp| {
        let mut client = Client::connect(smtp, Ipv4Addr::LOCALHOST);
        client.reply().is("220");
        client.expect("EHLO client.example", "250");
        client
    };
    let mut old = dial(server.smtp);
    assert_eq!(asks(&mut old, "before@sender.example"), 451);
    let ended = server.begin_take_over();
    wait_for("the handover", || server.log().contains("another process accepts mail now").then_some(()));
    // the new process can't know yet whom the old one knows: nobody is asked to come again for that
    let mut new = dial(server.smtp);
    assert_eq!(asks(&mut new, "unknown@sender.example"), 250);
    assert!(server.metric("gatepost_state_up", &[]) < 0.5);
    assert!(server.log().contains("another process has the file of greylisting and rates"), "{}", server.log());
    assert_eq!(asks(&mut old, "meanwhile@sender.example"), 451);
    old.expect("QUIT", "221");
    assert!(ended.join().unwrap().success());
    wait_for("the file", || (server.metric("gatepost_state_up", &[]) > 0.5).then_some(()));
    assert_eq!(asks(&mut new, "unknown@sender.example"), 451);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    for from in ["before@sender.example", "meanwhile@sender.example", "unknown@sender.example"] {
        assert_eq!(asks(&mut new, from), 250, "{from} has come before");
    }
    new.expect("QUIT", "221");
    assert!(server.take_over().success());
    wait_for("the file", || (server.metric("gatepost_state_up", &[]) > 0.5).then_some(()));
    assert_eq!(asks(&mut dial(server.smtp), "meanwhile@sender.example"), 250);
}

#[test]
fn nobody_but_root_and_the_user_of_the_server_gets_the_sockets() {
    if mail_user().is_none() {
        crate::support::programs::left_out("only root can become somebody else");
        return;
    }
    let server = Server::start_with(Setup::default(), &HANDOVER);
    // as if the file's mode had not kept it out; root's own directories lie above it
    let everybody = |path: std::path::PathBuf, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    everybody(server.path("handover.sock"), 0o666);
    everybody(server.path(""), 0o755);
    let path = server.path("handover.sock");
    let stranger = std::thread::spawn(move || {
        // the thread's own, so that the tests beside it stay root
        let daemon = rustix::thread::Uid::from_raw(1);
        rustix::thread::set_thread_res_uid(daemon, daemon, daemon).unwrap();
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        std::io::Read::read(&mut stream, &mut [0; 64]).unwrap()
    });
    assert_eq!(stranger.join().unwrap(), 0, "it is hung up on");
    wait_for("the refusal", || server.log().contains("user 1 asked for them").then_some(()));
    let mut client = server.dial();
    client.expect("EHLO client.example", 250);
}

#[test]
fn where_nobody_is_there_it_binds_and_without_the_key_it_says_which() {
    let server = Server::start(Setup::default());
    let output = server.gatepost(&["serve", "--config", "gatepost.toml", "--take-over"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("security.handover") && said.contains("name a path"), "{said}");
    drop(server);
    let mut server = Server::start_with(Setup::default(), &HANDOVER);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    server.start_taking_over();
    assert!(server.log().contains("nobody is there to take over from"), "{}", server.log());
}

#[test]
fn the_sockets_of_systemd_are_used_in_place_of_the_configured_ones() {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (smtp, http) = (bind(), bind());
    let (smtp_at, http_at) = (smtp.local_addr().unwrap(), http.local_addr().unwrap());
    let server = Server::start(Setup { policy: Some("description = \"takes\"\n"), ..Setup::default() });
    let activated = Activated::start(&server, &smtp, &http);
    // what connected before it runs is served
    let mut client = Client::connect(smtp_at, Ipv4Addr::LOCALHOST);
    client.reply().is("220");
    client.begin("a@sender.example", &["bob@receiver.example"]);
    client.data(message("a@sender.example")).is("250 2.0.0");
    assert!(crate::support::site::get(http_at, "/readyz").starts_with("HTTP/1.1 200 "));
    let said = std::fs::read_to_string(server.path("activated.log")).unwrap();
    assert!(said.contains("systemd's sockets are used") && said.contains(&smtp_at.to_string()), "{said}");
    let missing = said.lines().find(|line| line.contains("nobody listens there")).expect(&said);
    assert!(missing.contains("ListenStream=") && missing.contains(&server.smtp.to_string()), "{missing}");
    drop(activated);
    // the sockets outlive it: whoever connects now waits for the next one
    drop(std::net::TcpStream::connect(smtp_at).unwrap());
    assert_eq!(server.delivered("bob").len(), 1);
    // what systemd's sockets have is not missed
    replace(&server, &server.smtp.to_string(), &smtp_at.to_string());
    let _activated = Activated::start(&server, &smtp, &http);
    Client::connect(smtp_at, Ipv4Addr::LOCALHOST).reply().is("220");
    let said = std::fs::read_to_string(server.path("activated.log")).unwrap();
    assert!(said.contains("systemd's sockets are used") && !said.contains("nobody listens there"), "{said}");
}

/// A process that ends with the test.
struct Activated(std::process::Child);

impl Activated {
    /// Starts it with these sockets as systemd does: descriptors from 3 on, their names, and for which process they are.
    fn start(server: &Server, smtp: &TcpListener, http: &TcpListener) -> Activated {
        let log = std::fs::File::create(server.path("activated.log")).unwrap();
        let script = "exec 3<&0 4<&1 >&2 </dev/null; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=smtp:http exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_gatepost"), "serve", "--config", "gatepost.toml"]);
        command.current_dir(server.path("")).stdin(Stdio::from(OwnedFd::from(smtp.try_clone().unwrap())));
        command.stdout(Stdio::from(OwnedFd::from(http.try_clone().unwrap()))).stderr(log);
        Activated(command.spawn().unwrap())
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let process = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::kill(process, Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// The next thing that systemd is told which is not just a sign of life.
fn told(systemd: &UnixDatagram) -> String {
    let mut octets = [0; 1024];
    loop {
        let length = systemd.recv(&mut octets).unwrap();
        let text = String::from_utf8_lossy(&octets[..length]).into_owned();
        if text.trim() != "WATCHDOG=1" {
            return text;
        }
    }
}

#[test]
fn systemd_is_told_of_the_start_a_reload_and_the_end() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.display().to_string()), ("WATCHDOG_USEC", "200000".to_owned())];
    let more = More { environment: &environment, ..More::default() };
    let mut server = Server::start_with(Setup::default(), &more);
    let ready = told(&systemd);
    assert!(ready.contains("READY=1\n") && ready.contains("STATUS=accepting mail on "), "{ready}");
    // it lives
    let mut octets = [0; 64];
    for _ in 0..3 {
        let length = systemd.recv(&mut octets).unwrap();
        assert_eq!(&octets[..length], b"WATCHDOG=1\n");
    }
    server.signal(Signal::SIGHUP);
    let reloading = told(&systemd);
    assert!(reloading.contains("RELOADING=1\n") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(told(&systemd).contains("READY=1\n"));
    server.signal(Signal::SIGTERM);
    assert!(told(&systemd).contains("STOPPING=1\n"));
    assert!(server.wait().success());
}
