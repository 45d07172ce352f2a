//! How far a long command is: a line on standard error, where that is a terminal, of what takes longer than two seconds.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Nothing is shown of what takes no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the line changes.
const PACE: Duration = Duration::from_millis(200);
/// Characters of the bar.
const BAR: usize = 30;

/// A bar on the terminal. It is gone when it is dropped.
pub(super) struct Progress {
    bar: Bar,
    started: Instant,
}

impl Progress {
    /// Of so many octets nothing is done yet.
    pub fn of(total: u64) -> Progress {
        Progress::new(total, None)
    }

    /// Of so many things nothing is done yet.
    pub fn of_things(total: u64, unit: &'static str) -> Progress {
        Progress::new(total, Some(unit))
    }

    fn new(total: u64, unit: Option<&'static str>) -> Progress {
        Progress { bar: Bar::new(total, unit, io::stderr().is_terminal()), started: Instant::now() }
    }

    /// So many more are done.
    pub fn advance(&mut self, more: u64) {
        if let Some(text) = self.bar.advance(more, self.started.elapsed()) {
            let _ = write!(anstream::stderr().lock(), "{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(text) = self.bar.end() {
            let _ = write!(anstream::stderr().lock(), "{text}");
        }
    }
}

/// What a bar writes, and when: it knows neither the terminal nor the clock.
#[derive(Debug)]
pub struct Bar {
    total: u64,
    /// What is counted; `None`: octets.
    unit: Option<&'static str>,
    done: u64,
    /// When the line last changed, from the beginning.
    shown: Option<Duration>,
    on_terminal: bool,
}

impl Bar {
    /// Of so many things, or octets, nothing is done yet. Where there is no terminal nothing is ever written.
    pub fn new(total: u64, unit: Option<&'static str>, on_terminal: bool) -> Bar {
        Bar { total, unit, done: 0, shown: None, on_terminal }
    }

    /// So many more are done, so long after the beginning: what is to be written now, if anything.
    pub fn advance(&mut self, more: u64, elapsed: Duration) -> Option<String> {
        self.done = self.done.saturating_add(more);
        let due = self.shown.map_or(PATIENCE, |shown| shown.saturating_add(PACE));
        if !self.on_terminal || elapsed < due {
            return None;
        }
        self.shown = Some(elapsed);
        let of = match self.unit {
            Some(unit) => format!("{} {unit}", self.total),
            None => format!("{} MB", self.total / 1_000_000),
        };
        Some(format!("\r{}\x1b[K", line(self.done, self.total, &of, elapsed)))
    }

    /// What takes the line away, where one was shown.
    pub fn end(&mut self) -> Option<String> {
        self.shown.take().map(|_| "\r\x1b[K".to_owned())
    }
}

/// The bar, how much of it is full, and how long it will take.
fn line(done: u64, total: u64, of: &str, elapsed: Duration) -> String {
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) };
    // truncated on purpose: a bar that is full has ended
    let full = ((BAR as f64 * share) as usize).min(BAR);
    let left = if share > 0.0 { elapsed.as_secs_f64() * (1.0 - share) / share } else { 0.0 };
    format!("[{}{}] {:3.0} % of {of}, {left:.0} s left", "#".repeat(full), ".".repeat(BAR - full), share * 100.0)
}
