//! A clock that leaps: what is remembered outlives it.

use std::time::Duration;

use gatepost::state::store::{Entry, Shelf, Store};
use gatepost::state::{Clock, Local};

use super::{DAY, HOUR, MINUTE, START, at_once};

fn run(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Somebody who is known for 36 days from the start.
fn with_a_friend() -> Local {
    let local = Local::new(1000);
    let entry = Entry { since: START, until: START + 36 * DAY, origin: 0 };
    at_once(local.put(Shelf::Known, [1; 16], entry, START)).unwrap();
    local
}

#[test]
fn a_clock_that_leapt_and_was_set_back_had_nobody_forgotten() {
    let (local, mut clock) = (with_a_friend(), Clock::since(None, START));
    local.expire_if_believed(&mut clock, START + MINUTE, run(MINUTE));
    for minutes in 2..10 {
        local.expire_if_believed(&mut clock, START + 365 * DAY, run(minutes * MINUTE));
    }
    local.expire_if_believed(&mut clock, START + 10 * MINUTE, run(10 * MINUTE));
    assert!(at_once(local.get(Shelf::Known, [1; 16], START + 10 * MINUTE)).unwrap().is_some());
    // as time goes
    local.expire_if_believed(&mut clock, START + 36 * DAY, run(36 * DAY));
    assert_eq!(local.entries(), [0, 0, 0]);
}

#[test]
fn a_clock_that_leapt_and_was_meant_so_is_waited_for_a_day() {
    let (local, mut clock) = (with_a_friend(), Clock::since(None, START));
    for hours in [1, 2, 24] {
        local.expire_if_believed(&mut clock, START + 365 * DAY + hours * HOUR, run(hours * HOUR));
        assert_eq!(local.entries(), [0, 1, 0], "{hours}");
    }
    local.expire_if_believed(&mut clock, START + 365 * DAY + 25 * HOUR, run(25 * HOUR));
    assert_eq!(local.entries(), [0, 0, 0]);
    assert!(clock.is_believed(START + 365 * DAY + 26 * HOUR, run(26 * HOUR)));
    // another leap is waited for anew, also while one is waited for
    assert!(!clock.is_believed(START + 400 * DAY, run(27 * HOUR)));
    assert!(!clock.is_believed(START + 500 * DAY, run(50 * HOUR)));
    assert!(!clock.is_believed(START + 500 * DAY + 23 * HOUR, run(73 * HOUR)));
    assert!(clock.is_believed(START + 500 * DAY + 24 * HOUR, run(74 * HOUR)));
}

#[test]
fn small_corrections_are_no_leap_and_a_start_after_long_silence_is() {
    let mut clock = Clock::since(Some(START - DAY), START);
    for minutes in 1..100 {
        // ten seconds a minute too fast, then set back by an hour
        assert!(clock.is_believed(START + minutes * 70_000, run(minutes * MINUTE)), "{minutes}");
    }
    assert!(clock.is_believed(START + 40 * MINUTE, run(100 * MINUTE)));
    let mut clock = Clock::since(Some(START - 3 * DAY), START);
    assert!(!clock.is_believed(START, run(1)));
    assert!(!clock.is_believed(START + 23 * HOUR, run(23 * HOUR)));
    assert!(clock.is_believed(START + 25 * HOUR, run(25 * HOUR)));
}
