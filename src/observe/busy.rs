//! Whether lines come so fast that it pays to let some gather before they are written.

use std::time::{Duration, Instant};

/// How long lines gather then.
pub(super) const GATHER: Duration = Duration::from_millis(20);

/// So many lines within [`WINDOW`] are many: each would cost a turn of a thread and a system call.
const MANY: usize = 50;
const WINDOW: Duration = Duration::from_secs(1);

/// How many lines a thread has written of late.
pub(super) struct Busy {
    since: Instant,
    lines: usize,
}

impl Busy {
    pub(super) fn new() -> Self {
        Busy { since: Instant::now(), lines: 0 }
    }

    /// So many more were written; whether the next are to gather for [`GATHER`].
    pub(super) fn wrote(&mut self, lines: usize) -> bool {
        let now = Instant::now();
        let is_over = now.duration_since(self.since) > WINDOW;
        let was_busy = self.lines >= MANY;
        if is_over {
            (self.since, self.lines) = (now, 0);
        }
        self.lines = self.lines.saturating_add(lines);
        self.lines >= MANY || (is_over && was_busy)
    }
}
