//! Lines that clients or the machine can cause without end: the log has a few of them a minute, and how many there were.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long so many lines last.
const WHILE: Duration = Duration::from_secs(60);

/// What is told now and then.
#[derive(Debug)]
pub struct Seldom {
    lines: u32,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    /// When this minute began.
    began: Option<Instant>,
    /// Lines that it has.
    lines: u32,
    /// How often it happened since the last line.
    since: u64,
}

impl Seldom {
    /// Told once a minute at most.
    pub const fn once() -> Self {
        Seldom::times(1)
    }

    /// Told so many times a minute at most.
    pub const fn times(lines: u32) -> Self {
        Seldom { lines, told: Mutex::new(Told { began: None, lines: 0, since: 0 }) }
    }

    /// It has happened. Where that is to be told now: how often it has since it was told last, this time included.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.since = told.since.saturating_add(1);
        if told.began.is_none_or(|began| now.duration_since(began) >= WHILE) {
            (told.began, told.lines) = (Some(now), 0);
        }
        if told.lines >= self.lines {
            return None;
        }
        told.lines = told.lines.saturating_add(1);
        Some(std::mem::take(&mut told.since))
    }
}
