//! What is remembered between messages: greylisting and rates, in memory, on disk, over sessions and over the end of a process.

mod disk;
mod leaps;
mod memory;
mod pages;
mod process;
mod rates;
mod sessions;

use std::time::Duration;

use futures_util::FutureExt;
use gatepost::facts::rate::Rate;
use gatepost::facts::word::{GreylistKey, GreylistResult, MethodResult};
use gatepost::facts::{Facts, Greylist};
use gatepost::state::{Settings, State};

/// A minute, an hour, a day in milliseconds.
pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
/// When the tests begin, in milliseconds since 1970.
pub const START: u64 = 20_000 * DAY;

/// An answer of memory, which nobody waits for.
pub fn at_once<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("memory answers at once")
}

/// Five minutes, two days, 36 days.
pub fn state(most: usize) -> State {
    State::in_memory(Settings::default(), most)
}

pub fn sent(ip: &str, reverse_path: &str, forward_path: &str) -> Facts {
    let mut facts = Facts::new(ip.parse().unwrap(), 25, false);
    facts.mail_from.address = reverse_path.to_owned();
    facts.mail_from.domain = reverse_path.split_once('@').map_or("", |(_, domain)| domain).to_owned();
    facts.rcpt.address = forward_path.to_owned();
    facts
}

/// The same with an SPF pass.
pub fn vouched(facts: Facts) -> Facts {
    let mut facts = facts;
    facts.spf.mail_from.result = MethodResult::Pass;
    facts.spf.mail_from.domain = facts.mail_from.domain.clone();
    facts
}

/// Tries at RCPT: what is recalled is noted.
pub fn tries(state: &State, facts: &Facts, now: u64) -> Greylist {
    let paths = [facts.rcpt.address.as_str()];
    let greylist = at_once(state.greylist(facts, &paths, now));
    let judged = Facts { greylist: greylist.clone(), ..facts.clone() };
    at_once(state.note_stranger(&judged, &paths, now));
    greylist
}

/// The word of a try.
pub fn word(state: &State, facts: &Facts, now: u64) -> GreylistResult {
    tries(state, facts, now).result
}

pub fn accepted(state: &State, facts: &Facts, now: u64) {
    at_once(state.note_accepted(facts, now));
}

pub fn greylist(result: GreylistResult, key: GreylistKey, wait: u64) -> Greylist {
    Greylist { result, key, wait }
}

pub fn rate(key: &str, window: &str) -> Rate {
    Rate::parse(key, window).unwrap()
}

/// How often it was so before, then counted once more.
pub fn counts(state: &State, facts: &Facts, rate: Rate, now: u64) -> u64 {
    let before = at_once(state.rates(facts, &[rate], now))[&rate.to_string()];
    at_once(state.count(facts, &[rate], now));
    before
}

/// Long enough for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);
