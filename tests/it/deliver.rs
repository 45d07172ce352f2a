//! Durable delivery to Maildir: what is on disk at every moment, and what happens when a step fails.
//!
//! The steps on the file system are watched (and made to fail) through a [`Script`]; [`durability`] is a model of a disk that forgets
//! whatever was not fsynced.

mod corpus;
mod durability;
mod fairness;
mod faults;
mod help;
mod housekeeping;
mod processes;
mod queue;
mod room;
mod spool;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gatepost::deliver::{Copy, DeliverError, Delivery, Folder, Limits, Payload, Step, Stored, Witness, Writers};
use gatepost::recipients::MailboxName;
use gatepost::smtp::address::Domain;

/// What a [`Script`] saw, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// A step is about to be made.
    Begun(Step, PathBuf),
    /// A step was made; the new path of a rename.
    Done(Step, PathBuf, Option<PathBuf>),
    /// `store` returned these files, relative to the root.
    Acknowledged(Vec<PathBuf>),
}

/// What a step does instead of being made.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Errno(i32),
    Panic,
    /// Waits until [`Script::release`], then is made.
    Wait,
    /// Waits until [`Script::fail_now`], then fails.
    Late(i32),
}

/// Watches the steps and carries out faults.
#[derive(Default)]
struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// Each is carried out at the n-th step of its kind, counted from 0, and then gone.
    faults: Vec<(Step, usize, Fault)>,
    /// Whether one was met.
    met: bool,
    released: bool,
    fails: bool,
}

impl Script {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn failing(step: Step, nth: usize, fault: Fault) -> Arc<Self> {
        Self::failing_at(&[(step, nth, fault)])
    }

    fn failing_at(faults: &[(Step, usize, Fault)]) -> Arc<Self> {
        let script = Self::default();
        script.state.lock().unwrap().faults = faults.to_vec();
        Arc::new(script)
    }

    fn events(&self) -> Vec<Event> {
        self.state.lock().unwrap().events.clone()
    }

    /// The next step of this kind fails.
    fn fail(&self, step: Step, fault: Fault) {
        self.state.lock().unwrap().faults.push((step, 0, fault));
    }

    /// So does the one after so many.
    fn fail_at(&self, step: Step, nth: usize, fault: Fault) {
        self.state.lock().unwrap().faults.push((step, nth, fault));
    }

    fn forget(&self) {
        self.state.lock().unwrap().events.clear();
    }

    fn note(&self, event: Event) {
        self.state.lock().unwrap().events.push(event);
    }

    fn met(&self) -> bool {
        self.state.lock().unwrap().met
    }

    /// Blocks until the fault is met.
    fn wait_until_met(&self) {
        let state = self.changed.wait_while(self.state.lock().unwrap(), |state| !state.met);
        drop(state.unwrap());
    }

    fn release(&self) {
        self.state.lock().unwrap().released = true;
        self.changed.notify_all();
    }

    fn fail_now(&self) {
        self.state.lock().unwrap().fails = true;
        self.changed.notify_all();
    }

    fn done(&self, step: Step) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Done(done, ..) if *done == step)).count()
    }
}

impl Witness for Script {
    fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.events.push(Event::Begun(step, path.to_owned()));
        let Some(at) = state.faults.iter().position(|(wanted, ..)| *wanted == step) else { return Ok(()) };
        if state.faults[at].1 > 0 {
            state.faults[at].1 -= 1;
            return Ok(());
        }
        let (_, _, fault) = state.faults.remove(at);
        state.met = true;
        self.changed.notify_all();
        match fault {
            Fault::Errno(code) => Err(io::Error::from_raw_os_error(code)),
            Fault::Panic => {
                drop(state);
                panic!("a panic that the test wants at {step:?}");
            }
            Fault::Wait => {
                drop(self.changed.wait_while(state, |state| !state.released).unwrap());
                Ok(())
            }
            Fault::Late(code) => {
                drop(self.changed.wait_while(state, |state| !state.fails).unwrap());
                Err(io::Error::from_raw_os_error(code))
            }
        }
    }

    fn done(&self, step: Step, path: &Path, to: Option<&Path>) {
        self.note(Event::Done(step, path.to_owned(), to.map(Path::to_owned)));
    }
}

/// Of whom all deliveries come where it does not matter.
const NETWORK: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 3, 0));

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn copy(address: &str, folder: Folder) -> Copy {
    let (name, home) = address.split_once('@').unwrap();
    let mailbox = MailboxName { domain: domain(home), name: name.to_owned() };
    Copy { mailbox, folder, prefix: format!("Delivered-To: {address}\r\n").into_bytes(), header: None }
}

fn payload(body: &str) -> Arc<Payload> {
    Arc::new(Payload { header: b"Subject: Test\r\n\r\n".to_vec(), body: body.as_bytes().to_vec().into() })
}

fn delivery(body: &str, copies: Vec<Copy>) -> Delivery {
    Delivery { payload: payload(body), copies, network: NETWORK }
}

/// Alice and Bob of different domains, and Alice's Junk.
fn three() -> Delivery {
    let copies = vec![
        copy("alice@example.com", Folder::Inbox),
        copy("bob@example.org", Folder::Inbox),
        copy("alice@example.com", Folder::Junk),
    ];
    delivery("three\r\n", copies)
}

fn one(body: &str) -> Delivery {
    delivery(body, vec![copy("alice@example.com", Folder::Inbox)])
}

fn limits(threads: usize) -> Limits {
    Limits { threads, ..Limits::default() }
}

fn writers(root: &Path, threads: usize, script: &Arc<Script>) -> Arc<Writers> {
    with_limits(root, limits(threads), script)
}

fn with_limits(root: &Path, limits: Limits, script: &Arc<Script>) -> Arc<Writers> {
    let writers = Arc::new(Writers::with(root.to_owned(), limits, script.clone()));
    writers.start().unwrap();
    writers
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn store(writers: &Writers, delivery: Delivery) -> Result<Stored, DeliverError> {
    block_on(writers.store(delivery))
}

/// A fresh root: on a file system in memory where many files are wanted and fsync is not what is tested.
fn root_in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Files below `root` whose directory is called `name`, relative to it.
fn files_in(root: &Path, name: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                waiting.push(path);
            } else if directory.file_name().is_some_and(|last| last == name) {
                found.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found
}

fn paths(stored: &Stored) -> Vec<PathBuf> {
    stored.files().iter().map(|file| file.path().to_owned()).collect()
}

/// Whether a program that a test needs is there. Where it isn't, that is printed, and fails under CI.
fn program(name: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(name).is_file()));
    if !found {
        println!("left out: {name} is not installed");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not leave out what {name} tests");
    }
    found
}

/// Calls `store`, and drops the call once the script's fault is met and `meanwhile` is done. Returns what it returned before that.
fn abandoned(
    writers: &Arc<Writers>,
    script: &Script,
    delivery: Delivery,
    meanwhile: impl FnOnce(),
) -> Option<Result<Stored, DeliverError>> {
    let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
    let caller = std::thread::spawn({
        let writers = writers.clone();
        move || {
            block_on(async {
                tokio::select! {
                    result = writers.store(delivery) => Some(result),
                    _ = cancelled => None,
                }
            })
        }
    });
    script.wait_until_met();
    meanwhile();
    let _ = cancel.send(());
    caller.join().unwrap()
}

/// A patience that is over soon: for calls that wait for what never comes.
const SHORT: Duration = Duration::from_millis(50);
