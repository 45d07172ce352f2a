//! Crashes: kills, power cuts and calls that fail, against the real program. What was answered 250 is there, whole and once, after each.
//!
//! `make test` runs each family in its short form. `make crash` runs all of them in the long form, one after another
//! (docs/delivery.md). `CRASH_SEED` gives the same random moments again; what the server makes of them is up to the machine.

mod chance;
mod client;
mod faults;
mod host;
mod kill;
mod ledger;
mod mutants;
mod power;
mod trace;
mod volume;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Connections that send at once.
const CONNECTIONS: usize = 20;

/// How much of it.
pub struct Sizes {
    /// Whether every call is killed, and fails in every way.
    is_long: bool,
    /// Kills at random moments.
    kills: usize,
    /// Power cuts in each mode of the file system.
    cuts: usize,
}

/// For `make test`.
const SHORT: Sizes = Sizes { is_long: false, kills: 10, cuts: 3 };
/// For `make crash`.
const LONG: Sizes = Sizes { is_long: true, kills: 1_000, cuts: 250 };

/// Panics where something does not hold.
type Family = fn(&Sizes);

/// All families.
const FAMILIES: &[(&str, Family)] = &[
    ("mutants", |_| mutants::both()),
    ("faults", faults::every_call),
    ("disk", |_| faults::a_failing_disk()),
    ("beside", |_| faults::the_files_beside()),
    ("calls", kill::every_call),
    ("power", power::cuts),
    ("moments", kill::random_moments),
];

#[test]
fn a_kill_at_any_call_of_a_delivery_loses_nothing() {
    kill::every_call(&SHORT);
}

#[test]
fn a_kill_at_any_moment_under_load_loses_nothing() {
    kill::random_moments(&SHORT);
}

#[test]
fn a_power_cut_right_after_a_250_loses_nothing() {
    power::cuts(&SHORT);
}

#[test]
fn whatever_is_wrong_in_a_maildir_is_seen() {
    mutants::by_hand();
}

#[test]
fn a_server_without_fsyncs_is_caught() {
    mutants::both();
}

#[test]
fn a_call_that_fails_costs_its_message_a_4yz_and_no_other() {
    faults::every_call(&SHORT);
}

#[test]
fn a_disk_that_fails_is_suspect_until_a_write_succeeds() {
    faults::a_failing_disk();
}

#[test]
fn mail_goes_on_while_the_journal_and_the_state_fail() {
    faults::the_files_beside();
}

/// The long form. `CRASH_ONLY=power,moments` chooses families; `CRASH_COUNT=100` is how many kills and cuts.
#[test]
#[ignore = "takes half an hour: make crash"]
fn all_in_the_long_form() {
    let only = std::env::var("CRASH_ONLY").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    for name in &only {
        assert!(FAMILIES.iter().any(|(known, _)| known == name), "there is no family {name}");
    }
    let count = std::env::var("CRASH_COUNT").ok().map(|count| count.parse().expect("CRASH_COUNT is a number"));
    let sizes = Sizes { kills: count.unwrap_or(LONG.kills), cuts: count.unwrap_or(LONG.cuts), ..LONG };
    let mut failed = Vec::new();
    for (name, family) in FAMILIES.iter().filter(|(name, _)| only.is_empty() || only.contains(name)) {
        let began = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| family(&sizes))).is_err() {
            failed.push(*name);
        }
        println!("{name}: {} s", began.elapsed().as_secs());
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}
