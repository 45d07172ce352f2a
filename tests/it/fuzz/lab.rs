//! Runs a target without instruments: seeds, random changes to what led somewhere new, and a report of what fails.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use super::targets::mutator::{Random, mutate};
use super::targets::{Target, project};

/// How many inputs that led somewhere new are kept.
const KEPT: usize = 2000;
/// How often a failing input is tried shorter.
const SHORTER: usize = 3000;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a target on one input: its outcome, or the panic that it came to, one that something caught included.
pub fn run(target: &Target, input: &[u8]) -> Result<u64, String> {
    listen();
    WATCHED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    WATCHED.set(false);
    match PANIC.take() {
        Some(panic) => Err(panic),
        None => outcome.map_err(|_| "a panic without words".to_owned()),
    }
}

/// Keeps the panics of this thread while it runs a target; those of all others go where they went.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if WATCHED.get() {
                PANIC.set(Some(panic.to_string()));
            } else {
                before(panic);
            }
        }));
    });
}

/// The files of a target's seeds, sorted.
pub fn seeds(target: &Target) -> Vec<PathBuf> {
    let mut files = Vec::new();
    target.seeds.iter().for_each(|seed| collect(&project().join(seed), &mut files));
    files.sort();
    files
}

/// And what stands in them.
pub fn read_seeds(target: &Target) -> Vec<Vec<u8>> {
    seeds(target).iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        return into.push(path.to_owned());
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.for_each(|entry| collect(&entry.unwrap().path(), into));
}

/// What a run found.
pub struct Run {
    /// Inputs that were tried.
    pub executions: usize,
    /// Outcomes that differ.
    pub outcomes: usize,
    /// The first input that failed, made shorter, and how.
    pub failure: Option<(Vec<u8>, String)>,
}

/// Runs a target on what it begins with and on changes of it, so many inputs in all, the same ones for the same seed.
pub fn explore(target: &Target, begin: &[Vec<u8>], seed: u64, executions: usize) -> Run {
    let mut random = Random::new(seed);
    let (mut known, mut kept) = (HashSet::new(), Vec::<Vec<u8>>::new());
    let mut begin = begin.iter().cloned().chain([Vec::new()]);
    for executed in 1..=executions {
        let input = begin.next().unwrap_or_else(|| {
            // more often one of the first: later ones tend to be broken early
            let among = random.below(kept.len()) + 1;
            let mut input = kept.get(random.below(among)).cloned().unwrap_or_default();
            let other = random.pick(&kept).cloned().unwrap_or_default();
            mutate(&mut input, &other, target.words, target.longest, &mut random);
            input
        });
        match run(target, &input) {
            Ok(outcome) if known.insert(outcome) && kept.len() < KEPT => kept.push(input),
            Ok(_) => {}
            Err(panic) => {
                let failure = Some(shortest(target, input, panic));
                return Run { executions: executed, outcomes: known.len(), failure };
            }
        }
    }
    Run { executions, outcomes: known.len(), failure: None }
}

/// A failing input without what it does not need to fail: halves, quarters, and so on to single octets.
fn shortest(target: &Target, mut input: Vec<u8>, mut panic: String) -> (Vec<u8>, String) {
    let (mut length, mut tries) = (input.len() / 2, 0);
    while length > 0 && tries < SHORTER {
        let mut at = 0;
        while at < input.len() && tries < SHORTER {
            let mut without = input.clone();
            without.drain(at..(at + length).min(without.len()));
            tries += 1;
            match run(target, &without) {
                Err(still) => (input, panic) = (without, still),
                Ok(_) => at += length,
            }
        }
        length /= 2;
    }
    (input, panic)
}

/// Writes a failing input into a file named by its digest and says all about it.
pub fn report(target: &Target, input: &[u8], panic: &str) -> String {
    let folder = project().join("target/fuzz/findings");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{}-{:016x}", target.name, digest(input)));
    std::fs::write(&file, input).unwrap();
    format!("{}: {panic}\ninput: \"{}\"\nwritten to {}", target.name, input.escape_ascii(), file.display())
}

/// FNV-1a: a name for a file, the same everywhere.
fn digest(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}
