//! SIGKILL: at every system call of a delivery in turn, and at random moments under load.

use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::chance::Chance;
use super::client::{Client, Load, Moment};
use super::host::{MAILBOXES, fresh, host};
use super::ledger::{After, Answer, Found, Ledger, below};
use super::trace::{Call, Tracer, counts, threads};
use super::{CONNECTIONS, Sizes};
use crate::support::server::{Server, wait_for};

/// The calls by which a delivery changes what is on disk.
const CHANGING: &str = "openat,write,fsync,copy_file_range,?mkdir,?mkdirat,?chmod,?fchmodat,?rename,?renameat,?renameat2,?unlink,?unlinkat";
/// In which a thread that has more to call after the reply calls it; the journal and what is remembered gather what they write.
const GRACE: Duration = Duration::from_millis(300);
const GATHERED: Duration = Duration::from_millis(2_500);
/// Messages with fewer lines are not spooled.
const SMALL: usize = 40;
/// Messages with so many are.
const LARGE: usize = 2_000;

/// One delivery that is killed again and again.
struct Sweep {
    name: &'static str,
    /// Whose calls are counted.
    threads: &'static str,
    /// Which calls.
    calls: &'static str,
    lines: usize,
    to: To,
    /// Whether it comes behind the reply.
    is_behind: bool,
    /// Calls that there are at least.
    at_least: usize,
}

/// Whom it goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// Two mailboxes: one writer makes both copies.
    Two,
    /// Two that no message was for before.
    TwoNew,
    /// So many that writers help each other. Which of them makes which call is chance.
    All,
}

const WRITER: Sweep = Sweep {
    name: "writer, two mailboxes",
    threads: "writer",
    calls: "all",
    lines: SMALL,
    to: To::Two,
    is_behind: false,
    at_least: 30,
};

const SHORT: &[Sweep] =
    &[Sweep { name: "writer, two mailboxes, calls that change the disk", calls: CHANGING, at_least: 14, ..WRITER }];

const LONG: &[Sweep] = &[
    WRITER,
    Sweep { name: "writer, two new mailboxes", to: To::TwoNew, at_least: 60, ..WRITER },
    Sweep { name: "writers, eight mailboxes", to: To::All, ..WRITER },
    Sweep { name: "writer, spooled", lines: LARGE, ..WRITER },
    Sweep { name: "sessions, from the dot on", threads: "tokio", at_least: 3, ..WRITER },
    Sweep { name: "journal", threads: "journal", is_behind: true, at_least: 2, ..WRITER },
];

/// Kills at every call in turn.
pub fn every_call(sizes: &Sizes) {
    let (mut server, ledger) = (host(&[]), Ledger::default());
    for sweep in if sizes.is_long { LONG } else { SHORT } {
        let Some(killed) = sweep.run(&mut server, &ledger) else { return };
        assert!(killed >= sweep.at_least, "{}: {killed} calls", sweep.name);
    }
    clean_up(&mut server, &ledger);
}

impl Sweep {
    /// How many calls it was killed at. `None` where it is left out.
    fn run(&self, server: &mut Server, ledger: &Ledger) -> Option<usize> {
        let mut fresh = fresh();
        let mut mailboxes = || match self.to {
            To::Two => MAILBOXES[..2].to_vec(),
            To::TwoNew => fresh.by_ref().take(2).collect(),
            To::All => MAILBOXES.to_vec(),
        };
        let calls = self.once(server, ledger, &mailboxes(), &[])?.calls;
        let (mut killed, mut stored) = (0, 0);
        for (name, count) in counts(&calls) {
            for nth in 1..=count {
                let inject = format!("inject={name}:signal=KILL:when={nth}");
                let once = self.once(server, ledger, &mailboxes(), &["-e", &inject])?;
                if !once.was_killed {
                    // how often a thread waits is chance
                    assert_eq!(once.answer, Answer::Stored, "{}: {name} {nth}", self.name);
                    continue;
                }
                killed += 1;
                stored += usize::from(once.answer == Answer::Stored);
                server.wait();
                let found = ledger.compare(&server.path("mail"), After::Crash);
                assert!(found.wrong.is_empty(), "killed at {name} {nth}: {:#?}", found.wrong);
                server.start_elsewhere();
            }
        }
        println!("kill: {}: at each of {killed} calls, {stored} of them after the 250", self.name);
        Some(killed)
    }

    /// One delivery. `None` where it is left out.
    fn once(&self, server: &Server, ledger: &Ledger, mailboxes: &[&str], inject: &[&str]) -> Option<Once> {
        let mut client = Client::open(server.smtp).unwrap();
        // so that the threads of a session have done what they do once
        client.send(ledger, &ledger.begin(&MAILBOXES[..1], 1));
        let message = ledger.begin(mailboxes, self.lines);
        let traced = format!("trace={}", self.calls);
        let attach = || Tracer::attach(&threads(server, &[self.threads]), &[&["-e", &traced], inject].concat());
        // a large body is written while it comes in
        let before_the_body = if self.lines == LARGE { Some(attach()?) } else { None };
        let early = client.up_to_the_dot(&message);
        let tracer = if let Some(tracer) = before_the_body { tracer } else { attach()? };
        let answer = early.and_then(|early| early.map_or_else(|| client.dot(), Ok)).unwrap_or(Answer::Nothing);
        ledger.note(&message, answer);
        let grace = if self.is_behind { GATHERED } else { GRACE };
        let was_killed = ends_within(server, grace);
        Some(Once { answer, was_killed, calls: tracer.detach() })
    }
}

/// What came of one delivery.
struct Once {
    answer: Answer,
    was_killed: bool,
    calls: Vec<Call>,
}

/// Whether the process ends; who waits for it later still can.
fn ends_within(server: &Server, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    let pid = Pid::from_raw(server.process().cast_signed());
    let has_ended = || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(pid), flags), Ok(nix::sys::wait::WaitStatus::StillAlive))
    };
    while Instant::now() < until {
        if has_ended() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    has_ended()
}

/// Kills at random moments under load, and starts again each time.
pub fn random_moments(sizes: &Sizes) {
    let (mut server, ledger, mut chance) = (host(&[]), Ledger::default(), Chance::new());
    let mut all = Found::default();
    for kill in 0..sizes.kills {
        // so that a comparison costs as much in the end as in the beginning
        if kill % 20 == 19 {
            all.add(forget(&mut server, &ledger));
            println!("kill: {kill} random moments: {} messages answered 250", all.acknowledged);
        }
        let moment = Moment { after: 1 + chance.below(150), pause: Duration::from_micros(chance.below(20_000) as u64) };
        let load = Load { smtp: server.smtp, ledger: &ledger, mailboxes: MAILBOXES, connections: CONNECTIONS, moment };
        load.run(&mut chance, || server.signal(Signal::SIGKILL));
        server.wait();
        ledger.compare(&server.path("mail"), After::Crash).must_be_right();
        server.start_elsewhere();
    }
    goes_on(&server, &ledger);
    clean_up(&mut server, &ledger);
    all.add(ledger.compare(&server.path("mail"), After::Crash));
    println!("kill: {} random moments under load: {}", sizes.kills, told(all.must_be_right()));
}

/// What a comparison found, in words.
pub fn told(found: &Found) -> String {
    format!(
        "{} messages answered 250, all whole and there once; {} answered 4yz, {} unanswered, of which {} whole copies stayed",
        found.acknowledged, found.deferred, found.unanswered, found.surplus
    )
}

/// The last comparison before the Maildirs are emptied.
fn forget(server: &mut Server, ledger: &Ledger) -> Found {
    let found = ledger.compare(&server.path("mail"), After::Crash);
    std::fs::remove_dir_all(server.path("mail/receiver.example")).unwrap();
    ledger.forget();
    crash(server);
    found
}

fn crash(server: &mut Server) {
    server.signal(Signal::SIGKILL);
    server.wait();
    server.start_elsewhere();
}

/// The next message is taken.
pub fn goes_on(server: &Server, ledger: &Ledger) {
    let message = ledger.begin(MAILBOXES, SMALL);
    assert_eq!(Client::open(server.smtp).unwrap().send(ledger, &message), Answer::Stored);
}

/// What crashes left in `tmp/` is removed when it is 36 hours old, and nothing else goes.
fn clean_up(server: &mut Server, ledger: &Ledger) {
    let before = ledger.compare(&server.path("mail"), After::Crash);
    let leftovers = || -> Vec<_> {
        let mailboxes = below(&server.path("mail/receiver.example"));
        mailboxes.iter().flat_map(|mailbox| below(&mailbox.join("tmp"))).collect()
    };
    let old = SystemTime::now() - Duration::from_secs(37 * 3600);
    for file in leftovers() {
        let times = std::fs::FileTimes::new().set_modified(old).set_accessed(old);
        std::fs::File::options().write(true).open(file).unwrap().set_times(times).unwrap();
    }
    crash(server);
    let after = wait_for("the clean-up", || {
        Some(ledger.compare(&server.path("mail"), After::Crash)).filter(|found| found.leftovers == 0)
    });
    println!("kill: {} files that were left in tmp/ are removed in time", before.leftovers);
    assert_eq!(after.must_be_right().acknowledged, before.acknowledged);
}
