//! strace on chosen threads of the server: what they call, and calls that fail or kill.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::programs::{command, left_out};
use crate::support::server::{Server, wait_for};

/// Threads of a server by the beginning of their names: `writer`, `journal`, `state`, `space`, `tokio`.
pub fn threads(server: &Server, names: &[&str]) -> Vec<u32> {
    // a thread takes its name when it runs
    wait_for(&format!("threads {names:?}"), || {
        let tasks = super::ledger::below(Path::new(&format!("/proc/{}/task", server.process())));
        let named = tasks.iter().map(|task| (task, std::fs::read_to_string(task.join("comm")).unwrap_or_default()));
        let named: Vec<_> = named.collect();
        let is_there = |wanted: &&str| named.iter().any(|(_, name)| name.starts_with(wanted));
        let wanted = named.iter().filter(|(_, name)| names.iter().any(|wanted| name.starts_with(wanted)));
        let numbers = wanted.map(|(task, _)| task.file_name().unwrap().to_str().unwrap().parse().unwrap());
        names.iter().all(is_there).then(|| numbers.collect())
    })
}

/// A strace that holds threads.
pub struct Tracer {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Tracer {
    /// Attaches to the threads, each of which counts its calls of each name from 1. `None`, which is said, where that may not be.
    pub fn attach(threads: &[u32], arguments: &[&str]) -> Option<Tracer> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut strace = command("strace")?;
        strace.args(["-y", "-s", "0"]).args(arguments).arg("-o").arg(log.path());
        for thread in threads {
            strace.args(["-p", &thread.to_string()]);
        }
        let mut child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut attached = 0;
        while attached < threads.len() {
            let mut line = String::new();
            if told.read_line(&mut line).unwrap() == 0 || line.contains("not permitted") {
                let _ = child.kill();
                let _ = child.wait();
                left_out(&format!("strace may not trace here: {line}"));
                return None;
            }
            attached += usize::from(line.contains("attached"));
        }
        // read on, so that strace never waits for a reader
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Some(Tracer { child, log })
    }

    /// Lets go of the threads, and gives what they called, a line each.
    pub fn detach(mut self) -> Vec<Call> {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT);
        self.child.wait().unwrap();
        let log = String::from_utf8_lossy(&std::fs::read(self.log.path()).unwrap()).into_owned();
        log.lines().filter_map(Call::read).collect()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT);
        let _ = self.child.wait();
    }
}

/// A call of the system, as strace tells of it.
#[derive(Debug, Clone)]
pub struct Call {
    pub thread: u32,
    pub name: String,
    /// Arguments and result.
    pub rest: String,
}

impl Call {
    fn read(line: &str) -> Option<Call> {
        // where there is one thread only it is not named
        let numbered = line.split_once(' ').and_then(|(thread, line)| Some((thread.parse().ok()?, line.trim_start())));
        let (thread, line) = numbered.unwrap_or((0, line));
        let (name, rest) = line.split_once('(')?;
        let is_name = !name.is_empty() && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
        is_name.then(|| Call { thread, name: name.to_owned(), rest: rest.to_owned() })
    }

    /// The path that it names: by its descriptor, or as it was said to the kernel.
    pub fn path(&self) -> Option<&str> {
        let descriptor = self.rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path);
        let is_by_descriptor = self.rest.starts_with(|first: char| first.is_ascii_digit());
        if is_by_descriptor { descriptor } else { self.rest.split('"').nth(1) }
    }
}

/// How often each call is made, by the thread that makes it most often.
pub fn counts(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut of_thread: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    for call in calls {
        *of_thread.entry((call.thread, &call.name)).or_default() += 1;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, name), count) in of_thread {
        let most = counts.entry(name.to_owned()).or_default();
        *most = count.max(*most);
    }
    counts
}
