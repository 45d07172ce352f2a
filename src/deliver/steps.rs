//! The steps of one delivery that don't hang on each other, its copies, say: its own writer makes them, and writers that have nothing else to
//! do help. Who helps makes one step and looks for deliveries first before the next.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::DeliverError;
use super::commit::Committer;

/// Makes the step of this number.
type Make = dyn Fn(&Committer, usize) -> Result<(), DeliverError> + Send + Sync;

/// Whether the client still waits.
pub(super) type Wanted = Arc<dyn Fn() -> bool + Send + Sync>;

/// So many steps, to be made in any order.
pub(super) struct Steps {
    count: usize,
    wanted: Wanted,
    state: Mutex<State>,
    /// Told when the last step that was begun has ended.
    quiet: Condvar,
}

struct State {
    /// `None` when no step is to be begun any more. Who makes one holds it only while it does, so that nothing of the delivery outlives
    /// [`Steps::finish`].
    make: Option<Arc<Make>>,
    begun: usize,
    under_way: usize,
    /// Of the first step that failed.
    failed: Option<DeliverError>,
    has_panicked: bool,
}

impl Steps {
    pub fn new(
        count: usize,
        wanted: Wanted,
        make: impl Fn(&Committer, usize) -> Result<(), DeliverError> + Send + Sync + 'static,
    ) -> Arc<Steps> {
        let make: Arc<Make> = Arc::new(make);
        let state = State { make: Some(make), begun: 0, under_way: 0, failed: None, has_panicked: false };
        Arc::new(Steps { count, wanted, state: Mutex::new(state), quiet: Condvar::new() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Makes one of them, unless the client is gone. Whether there was one to be made.
    pub fn help(&self, committer: &Committer) -> bool {
        let Some((number, make)) = self.begin() else { return false };
        let made = catch_unwind(AssertUnwindSafe(|| make(committer, number)));
        drop(make);
        let mut state = self.lock();
        state.under_way -= 1;
        state.has_panicked |= made.is_err();
        if let Err(error) = made.unwrap_or_else(|_panic| Err(io::Error::other("a writer panicked").into())) {
            state.fail(error);
        }
        if state.under_way == 0 {
            self.quiet.notify_all();
        }
        true
    }

    /// Makes those that nobody else makes, and returns when all that were begun have ended.
    ///
    /// # Errors
    /// Of the first that failed; [`DeliverError::Busy`] where the client is gone.
    pub fn finish(&self, committer: &Committer) -> Result<(), DeliverError> {
        while self.help(committer) {}
        let waited = self.quiet.wait_while(self.lock(), |state| state.under_way > 0);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.make = None;
        if state.has_panicked {
            committer.note_panic();
        }
        state.failed.take().map_or(Ok(()), Err)
    }

    fn begin(&self) -> Option<(usize, Arc<Make>)> {
        let is_wanted = (self.wanted)();
        let mut state = self.lock();
        if state.begun == self.count {
            return None;
        }
        if !is_wanted {
            state.fail(DeliverError::Busy);
        }
        let make = state.make.clone()?;
        let number = state.begun;
        state.begun += 1;
        state.under_way += 1;
        Some((number, make))
    }

    fn has_more(&self) -> bool {
        let state = self.lock();
        state.make.is_some() && state.begun < self.count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// No step is begun after one that failed.
    fn fail(&mut self, error: DeliverError) {
        self.make = None;
        self.failed.get_or_insert(error);
    }
}

/// The other writers, as the one of a delivery sees them.
pub(super) trait Crew {
    /// From now on they may help with these.
    fn offer(&self, steps: &Arc<Steps>);
    /// No longer.
    fn withdraw(&self, steps: &Arc<Steps>);
}

/// The steps that may be helped with.
pub(super) struct OpenSteps {
    /// Deliveries take turns.
    open: VecDeque<Arc<Steps>>,
    /// So many writers are left for who comes next.
    spare: usize,
}

impl OpenSteps {
    /// For so many writers, of which a quarter help nobody.
    pub fn of(writers: usize) -> Self {
        OpenSteps { open: VecDeque::new(), spare: writers.div_ceil(4) }
    }

    /// Opens these. How many of so many idle writers are to be woken for them.
    pub fn offer(&mut self, steps: &Arc<Steps>, idle: usize) -> usize {
        self.open.push_back(steps.clone());
        idle.saturating_sub(self.spare).min(steps.count().saturating_sub(1))
    }

    pub fn withdraw(&mut self, steps: &Arc<Steps>) {
        self.open.retain(|other| !Arc::ptr_eq(other, steps));
    }

    /// Steps of which to make one, where so many writers have nothing to do, who asks included.
    pub fn next(&mut self, idle: usize) -> Option<Arc<Steps>> {
        if idle <= self.spare {
            return None;
        }
        self.open.retain(|steps| steps.has_more());
        let steps = self.open.pop_front()?;
        self.open.push_back(steps.clone());
        Some(steps)
    }
}
