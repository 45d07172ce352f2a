//! The bar of a long command: when it is shown, what it says, and that nothing of it stays.

use std::time::Duration;

use gatepost::cli::progress::Bar;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn what_is_quick_shows_nothing_and_what_is_long_a_line_that_changes_now_and_then() {
    let mut bar = Bar::new(200, Some("cases"), true);
    assert_eq!(bar.advance(10, at(1_999)), None, "not before it is long");
    let line = bar.advance(40, at(2_000)).unwrap();
    assert_eq!(line, format!("\r[{}{}]  25 % of 200 cases, 6 s left\x1b[K", "#".repeat(7), ".".repeat(23)));
    assert_eq!(bar.advance(1, at(2_199)), None, "nor all the time");
    let line = bar.advance(49, at(2_200)).unwrap();
    assert!(line.starts_with("\r[") && line.contains(" 50 % of 200 cases, 2 s left"), "{line:?}");
    let line = bar.advance(1_000, at(5_000)).unwrap();
    assert_eq!(line, format!("\r[{}] 100 % of 200 cases, 0 s left\x1b[K", "#".repeat(30)), "no further than the end");
    assert_eq!(bar.end().as_deref(), Some("\r\x1b[K"), "the line is free again");
    assert_eq!(bar.end(), None);
}

#[test]
fn octets_are_told_in_megabytes_and_of_nothing_all_is_done() {
    let line = Bar::new(2_600_000_000, None, true).advance(26_000_000, at(3_000)).unwrap();
    assert!(line.contains("   1 % of 2600 MB, 297 s left"), "{line:?}");
    let line = Bar::new(0, None, true).advance(0, at(3_000)).unwrap();
    assert!(line.contains("100 % of 0 MB, 0 s left"), "{line:?}");
    let line = Bar::new(10, None, true).advance(0, at(3_000)).unwrap();
    assert!(line.contains("   0 %"), "{line:?}");
}

#[test]
fn where_there_is_no_terminal_nothing_is_written() {
    let mut bar = Bar::new(10, None, false);
    assert_eq!((1..100).filter_map(|n| bar.advance(1, at(n * 1_000))).count(), 0);
    assert_eq!(bar.end(), None, "nor taken away");
    let mut quick = Bar::new(10, None, true);
    assert_eq!((quick.advance(10, at(5)), quick.end()), (None, None));
}
