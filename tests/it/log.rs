//! Tests of the log: one event is one line, whatever a client puts into it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::observe::log::{LINES, Log, Look, VALUE_CHARACTERS};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What is logged while `events` runs.
fn logged(filter: &str, look: Look, events: impl FnOnce()) -> String {
    let kept = Kept::default();
    let log = Log::to(Box::new(kept.clone()));
    tracing::subscriber::with_default(log.subscriber(EnvFilter::new(filter), look), events);
    kept.text()
}

fn plain(events: impl FnOnce()) -> String {
    logged("info", Look { systemd: true, colour: false }, events)
}

#[test]
fn a_line_has_level_place_message_and_fields() {
    let text = plain(|| tracing::info!(reference = "01ABC", port = 25, "mail was accepted"));
    assert_eq!(text, "<6>INFO  it::log: mail was accepted reference=\"01ABC\" port=25\n");
}

#[test]
fn time_stands_in_front_where_nobody_adds_it() {
    let text = logged("info", Look::default(), || tracing::info!("x"));
    let (time, rest) = text.split_once(' ').unwrap();
    assert_eq!(rest, "INFO  it::log: x\n");
    assert_eq!(time.len(), "2026-11-22T10:11:12.345Z".len(), "{time}");
    time.parse::<jiff::Timestamp>().unwrap();
}

#[test]
fn the_level_is_kept() {
    let text = logged("warn,it=error", Look { systemd: true, colour: false }, || {
        tracing::warn!("no");
        tracing::error!("yes");
    });
    assert_eq!(text, "<3>ERROR it::log: yes\n");
}

#[test]
fn nothing_that_a_client_sent_acts_on_a_terminal_or_forges_a_line() {
    let hostile =
        "a\r\n INFO gatepost: forged\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}moc.knab\u{2028}\u{0}\u{7f}\u{200b}";
    let text = plain(|| {
        let error = io::Error::other(hostile);
        tracing::info!(text = hostile, "as a string");
        tracing::info!(text = %hostile, "as display");
        tracing::info!(text = ?hostile, "as debug");
        tracing::info!(error = &error as &dyn std::error::Error, "as an error");
        tracing::info!("{hostile}");
        let span = tracing::info_span!("session", helo = %hostile);
        let _entered = span.enter();
        tracing::info!("in a span");
    });
    assert_eq!(text.lines().count(), 6, "{text}");
    for character in text.chars() {
        let bad = character.is_control() && character != '\n';
        assert!(!bad && !"\u{202e}\u{2028}\u{200b}".contains(character), "{character:?} in {text}");
    }
    assert!(text.contains("\\u{1b}") && text.contains("\\r\\n"), "{text}");
}

#[test]
fn a_value_can_not_go_on_with_fields_of_its_own() {
    let text = plain(|| tracing::info!(helo = %"x action=accept", reply = %"say \"hi\"", port = %25, "x"));
    assert_eq!(text, "<6>INFO  it::log: x helo=\"x action=accept\" reply=\"say \\\"hi\\\"\" port=25\n");
}

#[test]
fn a_value_with_quotes_of_its_own_can_not_either() {
    let text = plain(|| tracing::info!(helo = %r#""x" action=accept rule="y""#, after = 1, "x"));
    assert_eq!(text, "<6>INFO  it::log: x helo=\"\\\"x\\\" action=accept rule=\\\"y\\\"\" after=1\n");
    let text = plain(|| tracing::info!(helo = %r"a b\", after = %" action=accept", "x"));
    assert_eq!(text, "<6>INFO  it::log: x helo=\"a b\\\\\" after=\" action=accept\"\n");
}

#[test]
fn a_long_value_is_cut() {
    let text = plain(|| tracing::info!(helo = "y".repeat(1_000_000), "x"));
    assert!(text.chars().count() < VALUE_CHARACTERS + 100, "{}", text.len());
    assert!(text.contains('…'));
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    assert!(!plain(|| tracing::error!("x")).contains('\u{1b}'));
    let coloured = logged("info", Look { colour: true, systemd: true }, || tracing::error!(helo = "\u{1b}[31m", "x"));
    assert!(coloured.starts_with("<3>\u{1b}[31mERROR\u{1b}[0m "), "{coloured:?}");
    assert!(coloured.contains("helo=\"\\u{1b}[31m\""), "{coloured:?}");
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal that nobody reads until it is released.
struct Stuck {
    released: Receiver<()>,
    kept: Kept,
}

impl Write for Stuck {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        // Stays released once the sender is gone.
        let _ = self.released.recv();
        self.kept.write(octets)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_is_stuck_holds_nobody_up_and_what_is_lost_is_counted() {
    let (release, released) = channel();
    let kept = Kept::default();
    let log = Log::to(Box::new(Stuck { released, kept: kept.clone() }));
    log.start().unwrap();
    tracing::subscriber::with_default(log.subscriber(EnvFilter::new("info"), Look::default()), || {
        for number in 0..3 * LINES {
            tracing::info!(number, "x");
        }
        let dropped = log.dropped() as usize;
        assert!((LINES..=2 * LINES).contains(&dropped), "{dropped}");
        drop(release);
        log.close(PATIENCE);
        assert_eq!(kept.text().lines().count(), 3 * LINES - dropped);
        tracing::info!("after the end");
    });
    let text = kept.text();
    assert!(text.lines().next().unwrap().ends_with("number=0"), "order is kept");
    assert!(text.ends_with("after the end\n"), "lines after the close are written directly");
}

#[test]
fn closing_a_log_that_is_stuck_ends_all_the_same() {
    let (_release, released) = channel();
    let log = Log::to(Box::new(Stuck { released, kept: Kept::default() }));
    log.start().unwrap();
    tracing::subscriber::with_default(log.subscriber(EnvFilter::new("info"), Look::default()), || {
        tracing::info!("x");
    });
    log.close(Duration::from_millis(10));
}
