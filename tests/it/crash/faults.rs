//! System calls that fail: each of a delivery in turn, the file system for a while, and the files beside it.

use super::Sizes;
use super::client::Client;
use super::host::{MAILBOXES, host};
use super::kill::goes_on;
use super::ledger::{After, Answer, Ledger};
use super::trace::{Call, Tracer, threads};
use crate::support::server::{Server, wait_for};

/// What may fail of a delivery.
const CALLS: &[&str] = &["fsync", "write", "rename", "openat", "copy_file_range"];
/// How.
const ERRORS: &[&str] = &["EIO", "ENOSPC", "EDQUOT", "EMFILE"];
/// In the short form each call fails in the way that is likely.
const SHORT: &[(&str, &str)] = &[("fsync", "EIO"), ("write", "ENOSPC"), ("rename", "EDQUOT"), ("openat", "EMFILE")];
/// Lines of a message that is spooled, and of one that is not.
const LINES: [usize; 2] = [2_000, 40];

/// Each call of a delivery that touches the Maildirs fails in turn; the next message is taken.
pub fn every_call(sizes: &Sizes) {
    let (server, ledger) = (host(&[]), Ledger::default());
    let all: Vec<_> = CALLS.iter().flat_map(|call| ERRORS.iter().map(move |error| (*call, *error))).collect();
    let (cases, lines) = if sizes.is_long { (all.as_slice(), &LINES[..]) } else { (SHORT, &LINES[1..]) };
    for &lines in lines {
        goes_on(&server, &ledger);
        let Some(calls) = calls_of_a_delivery(&server, &ledger, lines) else { return };
        for (name, error) in cases {
            let places = places(&calls, name);
            assert!(!places.is_empty() || *name == "copy_file_range", "{name} is not called: {calls:#?}");
            for &place in &places {
                one_fault(&server, &ledger, lines, name, error, place);
            }
            println!("faults: {lines} lines: {error} at each of {} calls of {name}", places.len());
        }
    }
    let found = ledger.compare(&server.path("mail"), After::Faults);
    println!(
        "faults: {} answered 250, {} answered 4yz, nothing else",
        found.must_be_right().acknowledged,
        found.deferred
    );
}

/// What a writer calls for a message to two mailboxes.
fn calls_of_a_delivery(server: &Server, ledger: &Ledger, lines: usize) -> Option<Vec<Call>> {
    let tracer = Tracer::attach(&threads(server, &["writer"]), &["-e", &format!("trace={}", CALLS.join(","))])?;
    assert_eq!(send(server, ledger, lines).0, Answer::Stored);
    Some(tracer.detach())
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
    let message = ledger.begin(&MAILBOXES[..2], lines);
    let mut client = Client::open(server.smtp).unwrap();
    (client.send(ledger, &message), client.said)
}

fn one_fault(server: &Server, ledger: &Ledger, lines: usize, name: &str, error: &str, place: usize) {
    let inject = format!("inject={name}:error={error}:when={place}");
    let traced = format!("trace={}", CALLS.join(","));
    let Some(tracer) = Tracer::attach(&threads(server, &["writer"]), &["-e", &traced, "-e", &inject]) else { return };
    let (answer, said) = send(server, ledger, lines);
    let calls = tracer.detach();
    let what = format!("{error} at {name} {place} of a message of {lines} lines: {said}");
    let failed = calls.iter().position(|call| call.rest.contains("(INJECTED)"));
    let full = matches!(error, "ENOSPC" | "EDQUOT");
    // another file system may be a way out where the kernel doesn't copy, or makes no file without a name
    let is_spooled = lines == LINES[0] && matches!(name, "openat" | "copy_file_range");
    match (failed, answer) {
        (Some(_), Answer::Deferred(_)) if full && said.starts_with("452 4.3.1 ") => {}
        (Some(_), Answer::Deferred(_)) if !full && said.starts_with("451 4.3.0 ") => {}
        (Some(_), Answer::Stored) if is_spooled => {}
        // the parts of a spooled body went to other writers than before
        (None, Answer::Stored) if lines == LINES[0] => {}
        _ => panic!("{what}\n{calls:#?}"),
    }
    if let (Some(at), "fsync") = (failed, name) {
        let path = calls[at].path().expect("an fsync of something");
        // a rename names it from the working directory
        let is_again = |call: &&Call| call.path().is_some_and(|other| path.ends_with(other));
        let again =
            calls[at + 1..].iter().filter(|call| matches!(call.name.as_str(), "fsync" | "rename")).find(is_again);
        assert!(again.is_none(), "{what}: after a failed fsync comes {again:?}");
    }
    goes_on(server, ledger);
    let found = ledger.compare(&server.path("mail"), After::Faults);
    assert!(found.wrong.is_empty(), "{what}: {:#?}", found.wrong);
}

/// While no fsync succeeds, mail is deferred and everybody is told; it ends by itself, without mail.
pub fn a_failing_disk() {
    let (server, ledger) = (host(&[]), Ledger::default());
    goes_on(&server, &ledger);
    let suspect = || server.metric("gatepost_disk_suspect", &[]) > 0.5;
    assert!(!suspect());
    let Some(tracer) = failing(&server, &["writer", "space"], "fsync", "EIO") else { return };
    for _ in 0..3 {
        let (_, said) = send(&server, &ledger, LINES[1]);
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
