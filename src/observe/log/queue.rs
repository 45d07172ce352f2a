//! Lines on their way to stderr.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::observe::busy::{Busy, GATHER};

/// How many lines wait at most.
pub const LINES: usize = 8_192;
/// How many octets of lines wait at most.
const OCTETS: usize = 4 * 1024 * 1024;
/// Octets that go out in one write at most, or one line.
const WRITE_OCTETS: usize = 64 * 1024;

/// A queue in front of a writer that may be slow. Without its thread it writes directly.
pub struct Queue {
    waiting: Mutex<Waiting>,
    work: Condvar,
    ended: Condvar,
    out: Mutex<Box<dyn Write + Send>>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    octets: usize,
    running: bool,
    closing: bool,
    /// Whether the thread waits for a line.
    idle: bool,
}

impl Queue {
    pub fn new(out: Box<dyn Write + Send>) -> Queue {
        Queue {
            waiting: Mutex::new(Waiting::default()),
            work: Condvar::new(),
            ended: Condvar::new(),
            out: Mutex::new(out),
            dropped: AtomicU64::new(0),
        }
    }

    pub fn start(queue: &Arc<Queue>) -> io::Result<()> {
        let mut waiting = queue.lock();
        if waiting.running {
            return Ok(());
        }
        let writer = Arc::clone(queue);
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        waiting.running = true;
        waiting.closing = false;
        Ok(())
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn close(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        let mut waiting = self.lock();
        waiting.closing = true;
        self.work.notify_all();
        while waiting.running {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = self.ended.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut busy = Busy::new();
        while let Some(lines) = self.take() {
            let count = lines.len();
            let mut gathered = Vec::new();
            for line in lines {
                if gathered.len() + line.len() > WRITE_OCTETS && !gathered.is_empty() {
                    self.write_out(&mem::take(&mut gathered));
                }
                gathered.extend_from_slice(&line);
            }
            self.write_out(&gathered);
            if busy.wrote(count) {
                self.gather();
            }
        }
    }

    /// The lines that wait; `None` at the end.
    fn take(&self) -> Option<VecDeque<Vec<u8>>> {
        let mut waiting = self.lock();
        while waiting.lines.is_empty() {
            if waiting.closing {
                waiting.running = false;
                drop(waiting);
                self.ended.notify_all();
                return None;
            }
            waiting.idle = true;
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.idle = false;
        waiting.octets = 0;
        Some(mem::take(&mut waiting.lines))
    }

    fn gather(&self) {
        let waiting = self.lock();
        let not_closing = |waiting: &mut Waiting| !waiting.closing;
        drop(self.work.wait_timeout_while(waiting, GATHER, not_closing));
    }

    fn write_out(&self, lines: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere left to say that the log can't be written.
        if out.write_all(lines).is_err() {
            let lost = memchr::memchr_iter(b'\n', lines).count();
            self.dropped.fetch_add(lost as u64, Ordering::Relaxed);
        }
    }
}

/// Each write is one line.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lock();
        if !waiting.running || waiting.closing {
            drop(waiting);
            self.write_out(line);
        } else if waiting.lines.len() >= LINES || waiting.octets + line.len() > OCTETS {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.octets += line.len();
            waiting.lines.push_back(line.to_vec());
            let idle = mem::take(&mut waiting.idle);
            drop(waiting);
            if idle {
                self.work.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
