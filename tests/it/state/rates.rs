//! Rates: sliding, bounded, and never forgetting early.

use gatepost::facts::Facts;
use proptest::prelude::*;

use super::{DAY, HOUR, MINUTE, START, at_once, counts, rate, sent, state};

fn client(ip: &str) -> Facts {
    sent(ip, "a@sender.example", "alice@local.example")
}

#[test]
fn a_rate_says_what_was_before_and_slides() {
    let (state, facts, rate) = (state(1000), client("192.0.2.7"), rate("client", "1h"));
    let at = |now| at_once(state.rates(&facts, &[rate], now))["client/1h"];
    for n in 0..10 {
        assert_eq!(counts(&state, &facts, rate, START + n * MINUTE), n, "before this one");
    }
    assert_eq!(at(START + HOUR - 1), 10);
    assert_eq!(at(START + HOUR), 10, "nothing goes before its time");
    assert_eq!(at(START + HOUR + 5 * MINUTE), 5, "five minutes' worth go at once");
    assert_eq!(at(START + HOUR + 15 * MINUTE), 0, "all within a twelfth of the time more");
    assert_eq!(at_once(state.rates(&client("192.0.2.8"), &[rate], START + HOUR))["client/1h"], 0, "another client");
}

#[test]
fn times_and_keys_are_counted_apart() {
    let (state, facts) = (state(1000), client("192.0.2.7"));
    let (short, long, network) = (rate("client", "10s"), rate("client", "30d"), rate("client.network", "10s"));
    for _ in 0..3 {
        at_once(state.count(&facts, &[short, long, network], START));
    }
    at_once(state.count(&client("192.0.2.8"), &[short, long, network], START));
    let rates = |now| at_once(state.rates(&facts, &[short, long, network], now));
    assert_eq!(
        rates(START),
        [("client/10s", 3), ("client/30d", 3), ("client.network/10s", 4)].map(|(k, n)| (k.into(), n)).into()
    );
    assert_eq!(
        rates(START + DAY),
        [("client/10s", 0), ("client/30d", 3), ("client.network/10s", 0)].map(|(k, n)| (k.into(), n)).into()
    );
    let keys = sent("192.0.2.7", "", "alice@local.example");
    assert_eq!(counts(&state, &keys, rate("mail_from.domain", "1h"), START), 0);
    assert_eq!(counts(&state, &keys, rate("mail_from.domain", "1h"), START), 0, "a bounce has no domain to count by");
}

#[test]
fn counts_are_bounded_a_rate_and_one_rate_pushes_nothing_out_of_another() {
    let state = state(100);
    let (few, many) = (rate("client", "1h"), rate("mail_from.address", "30d"));
    at_once(state.count(&client("192.0.2.7"), &[few], START));
    for n in 0..1000 {
        let facts = sent("192.0.2.7", &format!("u{n}@b.example"), "");
        at_once(state.count(&facts, &[many], START + n));
    }
    assert_eq!(state.entries(), [0, 0, 101]);
    assert_eq!(at_once(state.rates(&client("192.0.2.7"), &[few], START))["client/1h"], 1);
    let newest = sent("192.0.2.7", "u999@b.example", "");
    assert_eq!(at_once(state.rates(&newest, &[many], START + 1000))["mail_from.address/30d"], 1);
}

#[test]
fn all_rates_together_are_bounded() {
    let state = state(100);
    let rates: Vec<_> = (0..20).map(|n| rate("mail_from.address", &format!("{}s", 1_000 + n))).collect();
    for n in 0..100 {
        at_once(state.count(&sent("192.0.2.7", &format!("u{n}@b.example"), ""), &rates, START + n));
    }
    assert_eq!(state.entries(), [0, 0, 800], "and not 2,000");
    assert_eq!(state.pushed_out(), 1_200);
    let newest = sent("192.0.2.7", "u99@b.example", "");
    let counts = at_once(state.rates(&newest, &rates, START + 100));
    assert!(counts.values().all(|count| *count == 1), "the newest is there: {counts:?}");
}

#[test]
fn a_clock_set_back_loses_no_count() {
    let (state, facts, rate) = (state(10), client("192.0.2.7"), rate("client", "1h"));
    assert_eq!(counts(&state, &facts, rate, START + DAY), 0);
    assert_eq!(counts(&state, &facts, rate, START), 1);
    assert_eq!(counts(&state, &facts, rate, START), 2);
}

#[test]
fn what_was_counted_before_a_clock_was_set_back_ages_from_then_on() {
    let (state, facts) = (state(10), client("192.0.2.7"));
    let rates = [rate("client", "1m"), rate("client", "1d")];
    // of the day and of the minute
    let at = |now| at_once(state.rates(&facts, &rates, now)).into_values().collect::<Vec<u64>>();
    for n in 0..3 {
        at_once(state.count(&facts, &rates, START + 365 * DAY + n * 20_000));
    }
    // the clock is right again, and the client comes once more
    assert_eq!(at(START), [3, 3]);
    at_once(state.count(&facts, &rates, START));
    assert_eq!(at(START), [4, 4], "nothing is lost");
    assert_eq!(at(START + 30_000), [4, 3], "the first is more than a minute ago");
    assert_eq!(at(START + 70_000), [4, 0], "a twelfth after its time");
    assert_eq!(at(START + 26 * HOUR + 1), [0, 0]);
    assert_eq!(counts(&state, &facts, rates[0], START + 80_000), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Between the exact count of the time and that of the time and a twelfth.
    #[test]
    fn a_count_is_never_less_than_the_time_holds_and_hardly_more(
        seconds in 10u64..100_000,
        steps in proptest::collection::vec(0u64..3_000, 1..60),
    ) {
        let (state, facts) = (state(10), client("192.0.2.7"));
        let rate = rate("client", &format!("{seconds}s"));
        let (mut now, mut past) = (START, Vec::new());
        for step in steps {
            // thousandths of the time
            now += step * seconds / 10;
            let count = counts(&state, &facts, rate, now);
            let within = |millis: u64| past.iter().filter(|at| **at + millis > now).count() as u64;
            let time = seconds * 1000;
            prop_assert!(count >= within(time), "{count} < {}", within(time));
            prop_assert!(count <= within(time + time.div_ceil(12) + 20), "{count}");
            past.push(now);
        }
    }
}
