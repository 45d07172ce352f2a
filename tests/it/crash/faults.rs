//! System calls that fail: each of a delivery in turn, the file system for a while, and the files beside it.

use std::cell::Cell;

use super::Sizes;
use super::client::Client;
use super::host::{MAILBOXES, fresh, host};
use super::kill::goes_on;
use super::ledger::{After, Answer, Ledger};
use super::trace::{Call, Tracer, threads};
use crate::support::server::{Server, wait_for};

/// What may fail of a delivery; some architectures have only the second of two names.
const CALLS: &[&str] =
    &["fsync", "write", "rename", "renameat", "openat", "mkdir", "mkdirat", "chmod", "fchmodat", "copy_file_range"];
/// How.
const ERRORS: &[&str] = &["EIO", "ENOSPC", "EDQUOT", "EMFILE"];
/// In the short form each call fails in the way that is likely.
const LIKELY: &[(&str, &str)] = &[("fsync", "EIO"), ("write", "ENOSPC"), ("rename", "EDQUOT"), ("openat", "EMFILE")];

/// A message to two mailboxes, a call of whose delivery fails.
struct Kind {
    name: &'static str,
    lines: usize,
    /// Whether its body is written while it comes in, by whichever writers.
    is_spooled: bool,
    /// Whether its mailboxes never had mail.
    is_fresh: bool,
}

const SMALL: Kind = Kind { name: "two mailboxes", lines: 40, is_spooled: false, is_fresh: false };
const KINDS: &[Kind] = &[
    SMALL,
    Kind { name: "two new mailboxes", is_fresh: true, ..SMALL },
    Kind { name: "spooled", lines: 2_000, is_spooled: true, ..SMALL },
];

/// Who meets the faults.
struct Host {
    server: Server,
    ledger: Ledger,
    /// Mailboxes that had mail.
    used: Cell<usize>,
}

/// Each call of a delivery that touches the Maildirs fails in turn; the next message is taken.
pub fn every_call(sizes: &Sizes) {
    let host = Host { server: host(&[]), ledger: Ledger::default(), used: Cell::new(0) };
    let all: Vec<_> = CALLS.iter().flat_map(|call| ERRORS.iter().map(move |error| (*call, *error))).collect();
    let (cases, kinds) = if sizes.is_long { (all.as_slice(), KINDS) } else { (LIKELY, &KINDS[..1]) };
    for kind in kinds {
        goes_on(&host.server, &host.ledger);
        let Some(calls) = host.calls_of_a_delivery(kind) else { return };
        for (name, error) in cases {
            let places = places(&calls, name);
            let met = places.iter().filter(|place| host.meets(kind, name, error, **place)).count();
            assert!(met > 0 || places.is_empty(), "{}: {error} of {name} was never met", kind.name);
            if met > 0 {
                println!("faults: {}: {error} at {met} of {} calls of {name}", kind.name, places.len());
            }
        }
    }
    let found = host.ledger.compare(&host.server.path("mail"), After::Faults);
    let found = found.must_be_right();
    println!("faults: {} answered 250, {} answered 4yz, nothing else", found.acknowledged, found.deferred);
    assert!(found.deferred >= cases.len());
}

impl Host {
    /// What a writer calls.
    fn calls_of_a_delivery(&self, kind: &Kind) -> Option<Vec<Call>> {
        let tracer = self.tracer(&[])?;
        assert_eq!(self.send(kind).0, Answer::Stored);
        Some(tracer.detach())
    }

    fn tracer(&self, inject: &[&str]) -> Option<Tracer> {
        let traced = format!("trace=?{}", CALLS.join(",?"));
        Tracer::attach(&threads(&self.server, &["writer"]), &[&["-e", &traced], inject].concat())
    }

    /// What a message is answered, and its words.
    fn send(&self, kind: &Kind) -> (Answer, String) {
        if !kind.is_fresh {
            return send(&self.server, &self.ledger, kind.lines);
        }
        let mailboxes: Vec<&str> = fresh().skip(self.used.replace(self.used.get() + 2)).take(2).collect();
        send_to(&self.server, &self.ledger, &mailboxes, kind.lines)
    }

    /// One delivery whose call fails; whether it came to that call.
    fn meets(&self, kind: &Kind, name: &str, error: &str, place: usize) -> bool {
        let inject = format!("inject={name}:error={error}:when={place}");
        let Some(tracer) = self.tracer(&["-e", &inject]) else { return false };
        let (answer, said) = self.send(kind);
        let calls = tracer.detach();
        let what = format!("{}: {error} at {name} {place}: {said}", kind.name);
        let failed = calls.iter().position(|call| call.rest.contains("(INJECTED)"));
        let full = matches!(error, "ENOSPC" | "EDQUOT");
        // there is another way where the kernel does not copy, or makes no file without a name
        let has_another_way = kind.is_spooled && matches!(name, "openat" | "copy_file_range");
        match (failed, answer) {
            (Some(_), Answer::Deferred(_)) if full && said.starts_with("452 4.3.1 ") => {}
            (Some(_), Answer::Deferred(_)) if !full && said.starts_with("451 4.3.0 ") => {}
            (Some(_), Answer::Stored) if has_another_way => {}
            // the parts of the body went to other writers than before
            (None, Answer::Stored) if kind.is_spooled => {}
            _ => panic!("{what}\n{calls:#?}"),
        }
        if let (Some(at), "fsync") = (failed, name) {
            let path = calls[at].path().expect("an fsync of something");
            // a rename names it from the working directory
            let is_again = |call: &&Call| call.path().is_some_and(|other| path.ends_with(other));
            let mut later = calls[at + 1..].iter().filter(|call| matches!(call.name.as_str(), "fsync" | "rename"));
            let again = later.find(is_again);
            assert!(again.is_none(), "{what}: after a failed fsync comes {again:?}");
        }
        goes_on(&self.server, &self.ledger);
        let found = self.ledger.compare(&self.server.path("mail"), After::Faults);
        assert!(found.wrong.is_empty(), "{what}: {:#?}", found.wrong);
        failed.is_some()
    }
}

/// The numbers of a thread's calls of this name that touch the Maildirs: the others wake up whoever waits for the writer.
fn places(calls: &[Call], name: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut counts = std::collections::HashMap::new();
    for call in calls.iter().filter(|call| call.name == name) {
        let count = counts.entry(call.thread).or_insert(0_usize);
        *count += 1;
        // the server names them from its working directory
        let is_ours = call.path().is_some_and(|path| path.starts_with("mail") || path.contains("/mail/"));
        if is_ours && !found.contains(count) {
            found.push(*count);
        }
    }
    found
}

/// What a message to two mailboxes is answered, and its words.
fn send(server: &Server, ledger: &Ledger, lines: usize) -> (Answer, String) {
    send_to(server, ledger, &MAILBOXES[..2], lines)
}

fn send_to(server: &Server, ledger: &Ledger, mailboxes: &[&str], lines: usize) -> (Answer, String) {
    let message = ledger.begin(mailboxes, lines);
    let mut client = Client::open(server.smtp).unwrap();
    (client.send(ledger, &message), client.said)
}

/// While no fsync succeeds, mail is deferred and everybody is told; it ends by itself, without mail.
pub fn a_failing_disk() {
    let (server, ledger) = (host(&[]), Ledger::default());
    goes_on(&server, &ledger);
    let suspect = || server.metric("gatepost_disk_suspect", &[]) > 0.5;
    assert!(!suspect());
    let Some(tracer) = failing(&server, &["writer", "space"], "fsync", "EIO") else { return };
    for _ in 0..3 {
        let (_, said) = send(&server, &ledger, SMALL.lines);
        assert!(said.starts_with("451 4.3.0 "), "{said}");
    }
    let (status, page) = server.get("/readyz").unwrap();
    assert!(status == 503 && page.contains("suspect"), "{page}");
    assert!(suspect());
    wait_for("a line of the log", || server.log().contains("is suspect until a write succeeds").then_some(()));
    tracer.detach();
    wait_for("the trial", || (!suspect()).then_some(()));
    assert_eq!(server.get("/readyz").unwrap().0, 200);
    wait_for("a line of the log", || server.log().contains("takes mail again").then_some(()));
    goes_on(&server, &ledger);
    ledger.compare(&server.path("mail"), After::Faults).must_be_right();
}

/// All calls of these names fail on these threads.
fn failing(server: &Server, names: &[&str], calls: &str, error: &str) -> Option<Tracer> {
    let inject = format!("inject={calls}:error={error}");
    Tracer::attach(&threads(server, names), &["-e", &format!("trace={calls}"), "-e", &inject])
}

/// While the journal, or what is remembered, doesn't reach the disk, mail goes on and everybody is told.
pub fn the_files_beside() {
    let (server, ledger) = (host(&[]), Ledger::default());
    // before there is mail, which would make our client one that is known
    let Some(tracer) = failing(&server, &["state"], "pwrite64,write,fsync,fdatasync,ftruncate", "EIO") else { return };
    let mut stranger = server.dial();
    stranger.expect("EHLO stranger.example", 250);
    stranger.expect("MAIL FROM:<a@stranger.example>", 250);
    stranger.expect("RCPT TO:<alice@receiver.example>", 451);
    wait_for("an error of the state", || (server.metric("gatepost_state_up", &[]) < 0.5).then_some(()));
    goes_on(&server, &ledger);
    tracer.detach();
    goes_on(&server, &ledger);

    let Some(tracer) = failing(&server, &["journal"], "write,writev,pwrite64,openat", "ENOSPC") else { return };
    goes_on(&server, &ledger);
    wait_for("an error of the journal", || (server.metric("gatepost_journal_errors_total", &[]) > 0.5).then_some(()));
    let (status, page) = server.get("/readyz").unwrap();
    assert!(status == 503 && page.contains("the journal can't be written"), "{page}");
    goes_on(&server, &ledger);
    tracer.detach();
    let is_ready = || server.get("/readyz").is_some_and(|(status, _)| status == 200);
    wait_for("the journal", || {
        goes_on(&server, &ledger);
        is_ready().then_some(())
    });
    ledger.compare(&server.path("mail"), After::Faults).must_be_right();
}
