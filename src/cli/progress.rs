//! How far a long command is: a line on standard error, where that is a terminal, of what takes longer than two seconds.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Nothing is shown of what takes no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the line changes.
const PACE: Duration = Duration::from_millis(200);
/// Characters of the bar.
const BAR: usize = 30;

/// A bar that fills. It is gone when it is dropped.
pub struct Progress {
    total: u64,
    /// What is counted; `None`: octets.
    unit: Option<&'static str>,
    done: u64,
    started: Instant,
    shown: Option<Instant>,
    on_terminal: bool,
}

impl Progress {
    /// Of so many octets nothing is done yet.
    pub fn of(total: u64) -> Progress {
        let on_terminal = io::stderr().is_terminal();
        Progress { total, unit: None, done: 0, started: Instant::now(), shown: None, on_terminal }
    }

    /// Of so many things nothing is done yet.
    pub fn of_things(total: u64, unit: &'static str) -> Progress {
        let mut progress = Progress::of(total);
        progress.unit = Some(unit);
        progress
    }

    /// So many more are done.
    pub fn advance(&mut self, more: u64) {
        self.done = self.done.saturating_add(more);
        let since = self.shown.map_or_else(|| self.started.elapsed(), |shown| shown.elapsed());
        let wait = if self.shown.is_some() { PACE } else { PATIENCE };
        if self.on_terminal && since >= wait {
            self.shown = Some(Instant::now());
            let _ = write!(anstream::stderr().lock(), "\r{}\x1b[K", self.line());
        }
    }
}

impl Progress {
    fn line(&self) -> String {
        let of = match self.unit {
            Some(unit) => format!("{} {unit}", self.total),
            None => format!("{} MB", self.total / 1_000_000),
        };
        line(self.done, self.total, &of, self.started.elapsed())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(anstream::stderr().lock(), "\r\x1b[K");
        }
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
