//! Tests of lines that come seldom: how many a minute, and what each says of those that did not.

use std::time::{Duration, Instant};

use gatepost::observe::seldom::Seldom;

/// What is due at these seconds.
fn due(seldom: &Seldom, began: Instant, seconds: &[u64]) -> Vec<Option<u64>> {
    seconds.iter().map(|second| seldom.due(began + Duration::from_secs(*second))).collect()
}

#[test]
fn the_first_is_told_and_the_next_after_a_minute_with_their_count() {
    let (seldom, began) = (Seldom::once(), Instant::now());
    assert_eq!(due(&seldom, began, &[0, 0, 30, 59, 60, 61, 200]), [Some(1), None, None, None, Some(4), None, Some(2)]);
}

#[test]
fn several_a_minute_are_told_one_by_one() {
    let (seldom, began) = (Seldom::times(3), Instant::now());
    let told = due(&seldom, began, &[0, 1, 2, 3, 4, 60, 61, 62, 63, 120]);
    assert_eq!(told, [Some(1), Some(1), Some(1), None, None, Some(3), Some(1), Some(1), None, Some(2)]);
}

#[test]
fn a_time_before_the_last_is_no_trouble() {
    let (seldom, began) = (Seldom::once(), Instant::now() + Duration::from_secs(100));
    assert_eq!(seldom.due(began), Some(1));
    assert_eq!(seldom.due(began - Duration::from_secs(90)), None);
}
