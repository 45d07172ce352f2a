//! Load, over loopback, against the real program: what must hold while thousands of clients, good and bad, want something of it.
//!
//! `make test` runs each scenario in its short form, which asserts counts and bounds and never times. `make stress` runs all of them in
//! the long form, one after another, and prints a table of what was asked and what was measured (docs/limits.md).

mod change;
mod client;
mod crowd;
mod host;
mod idle;
mod large;
mod measure;
mod message;
mod silent_dns;
mod sizes;
mod slow;
mod soak;

use std::panic::{AssertUnwindSafe, catch_unwind};

use measure::{Row, table};
use sizes::{LONG, SHORT, Sizes};

/// A scenario: gives what it measured, and panics where something does not hold.
type Scenario = fn(&Sizes) -> Vec<Row>;

/// All of them. The longest stands last.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("idle", idle::run),
    ("slow", slow::run),
    ("large", large::run),
    ("crowd", crowd::run),
    ("silent-dns", silent_dns::run),
    ("reloads", change::reloads),
    ("restarts", change::restarts),
    ("soak", soak::run),
];

/// Files that the long form has open, and the server that it starts.
const FILES: u64 = 40_000;

fn short(scenario: Scenario) {
    println!("{}", table(&scenario(&SHORT)));
}

#[test]
fn idle_connections_cost_little() {
    short(idle::run);
}

#[test]
fn slow_senders_starve_nobody() {
    short(slow::run);
}

#[test]
fn large_messages_fit_into_little_memory() {
    short(large::run);
}

#[test]
fn without_descriptors_clients_hear_421_and_it_recovers() {
    short(crowd::run);
}

#[test]
fn dns_that_does_not_answer_holds_nothing_up_for_good() {
    short(silent_dns::run);
}

#[test]
fn reloads_under_load_lose_nothing() {
    short(change::reloads);
}

#[test]
fn restarts_under_load_lose_nothing() {
    short(change::restarts);
}

#[test]
fn honest_mail_passes_through_hostile_traffic() {
    short(soak::run);
}

/// The long form. `STRESS_ONLY=idle,slow` chooses scenarios.
#[test]
#[ignore = "takes half an hour: make stress"]
fn all_in_the_long_form() {
    host::allow_more_files(FILES);
    let only = std::env::var("STRESS_ONLY").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    for name in &only {
        assert!(SCENARIOS.iter().any(|(known, _)| known == name), "there is no scenario {name}");
    }
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| only.is_empty() || only.contains(name)) {
        println!("{name} ...");
        match catch_unwind(AssertUnwindSafe(|| scenario(&LONG))) {
            Ok(measured) => rows.extend(measured),
            Err(_) => {
                rows.push(Row::new(name, "see above", "FAILED"));
                failed.push(*name);
            }
        }
    }
    println!("\n{}", table(&rows));
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}
