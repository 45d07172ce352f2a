//! Whether the host's clock is believed where what is remembered is let go by it.
//!
//! A clock that leaps forward, be it for a minute, would have every known sender forgotten for good. So nothing is let go while the clock
//! has gone on by more than time did, for a day at most: who meant it has only to wait. What is past its time is told to nobody
//! meanwhile, and how much there is has its bound, so that waiting costs room alone.

use std::time::Duration;

/// Milliseconds by which a clock may be corrected without having leapt.
const SLACK: u64 = 60_000;
/// Milliseconds that a clock may be ahead of what was last written when the process begins.
const SILENCE: u64 = 2 * 86_400_000;
/// How long nothing is let go after a leap.
const HOLD: Duration = Duration::from_secs(86_400);

/// Whether the host's clock is believed.
#[derive(Debug)]
pub struct Clock {
    /// When the process began, by the clock that was believed last, in milliseconds since 1970.
    begun: u64,
    /// How long the process had run when the clock leapt, and when it began by the clock since then.
    leapt: Option<(Duration, u64)>,
}

impl Clock {
    /// The clock of a process that begins at `now`; `written`: when what is remembered was last written. Both in milliseconds since 1970.
    pub fn since(written: Option<u64>, now: u64) -> Clock {
        let silent = written.filter(|written| now.saturating_sub(*written) > SILENCE);
        Clock { begun: silent.unwrap_or(now), leapt: None }
    }

    /// Looks at the clock: it says `now`, in milliseconds since 1970, and the process has run for `run`. False where nothing may be let go;
    /// that is said once in the log.
    pub fn is_believed(&mut self, now: u64, run: Duration) -> bool {
        let begun = now.saturating_sub(super::millis(run));
        let leapt_from = |before: u64| begun > before.saturating_add(SLACK);
        if !leapt_from(self.begun) {
            *self = Clock { begun, leapt: None };
            return true;
        }
        match self.leapt {
            Some((since, after)) if !leapt_from(after) => {
                if run.saturating_sub(since) >= HOLD {
                    *self = Clock { begun, leapt: None };
                }
            }
            _ => {
                self.leapt = Some((run, begun));
                tracing::warn!(
                    seconds = begun.saturating_sub(self.begun) / 1_000,
                    "the clock leapt forward, or nothing was written for long: what greylisting and rates remember is not let go for a day; if the clock is wrong, set it"
                );
            }
        }
        self.leapt.is_none()
    }
}
