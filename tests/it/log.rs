//! Tests of the log: one event is one line, whatever a client puts into it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use gatepost::observe::log::{Look, VALUE_CHARACTERS, subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

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

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Kept;
    fn make_writer(&'a self) -> Kept {
        self.clone()
    }
}

/// What is logged while `events` runs.
fn logged(filter: &str, look: Look, events: impl FnOnce()) -> String {
    let kept = Kept::default();
    tracing::subscriber::with_default(subscriber(EnvFilter::new(filter), kept.clone(), look), events);
    let octets = kept.0.lock().unwrap().clone();
    String::from_utf8(octets).unwrap()
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
