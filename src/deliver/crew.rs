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

/// So many steps, to be made in any order.
pub(super) struct Task {
    make: Box<Make>,
    count: usize,
    state: Mutex<State>,
    /// Told when the last step that was begun has ended.
    quiet: Condvar,
}

#[derive(Default)]
struct State {
    begun: usize,
    under_way: usize,
    /// Of the first step that failed: none is begun after it.
    failed: Option<DeliverError>,
}

impl Task {
    pub fn new(
        count: usize,
        make: impl Fn(&Committer, usize) -> Result<(), DeliverError> + Send + Sync + 'static,
    ) -> Arc<Task> {
        Arc::new(Task { make: Box::new(make), count, state: Mutex::default(), quiet: Condvar::new() })
    }

    /// How many steps it has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Makes one step. Whether there was one to be made. After a panic in it the step has failed.
    pub fn help(&self, committer: &Committer) -> bool {
        let Some(number) = self.begin() else { return false };
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)(committer, number)));
        self.end(made.unwrap_or_else(|_panic| {
            committer.note_panic();
            Err(io::Error::other("a writer panicked").into())
        }));
        true
    }

    /// Makes the steps that nobody else makes, and returns when all that were begun have ended. `wanted` is asked before each.
    ///
    /// # Errors
    /// Of the first step that failed, or of `wanted`.
    pub fn finish(
        &self,
        committer: &Committer,
        wanted: &dyn Fn() -> Result<(), DeliverError>,
    ) -> Result<(), DeliverError> {
        loop {
            if let Err(error) = wanted() {
                self.lock().failed.get_or_insert(error);
            }
            if !self.help(committer) {
                break;
            }
        }
        let waited = self.quiet.wait_while(self.lock(), |state| state.under_way > 0);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.begun = self.count;
        state.failed.take().map_or(Ok(()), Err)
    }

    fn begin(&self) -> Option<usize> {
        let mut state = self.lock();
        if state.begun == self.count || state.failed.is_some() {
            return None;
        }
        let number = state.begun;
        state.begun += 1;
        state.under_way += 1;
        Some(number)
    }

    fn end(&self, result: Result<(), DeliverError>) {
        let mut state = self.lock();
        if let Err(error) = result {
            state.failed.get_or_insert(error);
        }
        state.under_way -= 1;
        if state.under_way == 0 {
            self.quiet.notify_all();
        }
    }

    fn has_more(&self) -> bool {
        let state = self.lock();
        state.begun < self.count && state.failed.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who lets others help with a task.
pub(super) trait Helpers {
    /// From now on.
    fn offer(&self, task: &Arc<Task>);
    /// No longer.
    fn withdraw(&self, task: &Arc<Task>);
}

/// The tasks that may be helped with.
pub(super) struct Crew {
    /// They take turns.
    open: VecDeque<Arc<Task>>,
    /// So many writers are left for who comes next.
    spare: usize,
}

impl Crew {
    /// Of so many writers, of which a quarter help nobody.
    pub fn of(writers: usize) -> Self {
        Crew { open: VecDeque::new(), spare: writers.div_ceil(4) }
    }

    pub fn offer(&mut self, task: &Arc<Task>) {
        self.open.push_back(task.clone());
    }

    pub fn withdraw(&mut self, task: &Arc<Task>) {
        self.open.retain(|other| !Arc::ptr_eq(other, task));
    }

    /// A task to make one step of, where so many writers have nothing to do, who asks included.
    pub fn next(&mut self, idle: usize) -> Option<Arc<Task>> {
        if idle <= self.spare {
            return None;
        }
        self.open.retain(|task| task.has_more());
        let task = self.open.pop_front()?;
        self.open.push_back(task.clone());
        Some(task)
    }
}
