//! What waits for a writer, in the order of its coming, but that large deliveries wait until fewer than half of the writers make such:
//! one client with large messages to many mailboxes would have all of them.

use std::collections::VecDeque;
use std::fs::File;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::spool::Work;
use super::spooled::Reserved;
use super::{DeliverError, Delivery, Stored};

/// What waits for a writer, with its room in the queue, which is given back when it is done.
pub(super) enum Job {
    Deliver(Delivery, oneshot::Sender<Result<Stored, DeliverError>>, Room),
    Spool(Work, Room),
    /// A spooled body that is done with. One a session at most.
    Close(File, Reserved),
}

/// A place in the queue, and octets.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

pub(super) struct Queue {
    /// Each with its number.
    jobs: VecDeque<(u64, Job)>,
    /// Large deliveries.
    large: VecDeque<(u64, Job)>,
    next: u64,
    /// Large deliveries that are being made, and how many may be.
    under_way: usize,
    most: usize,
    pub closed: bool,
}

impl Queue {
    /// For so many writers.
    pub fn of(writers: usize) -> Self {
        let most = (writers / 2).max(1);
        Queue { jobs: VecDeque::new(), large: VecDeque::new(), next: 0, under_way: 0, most, closed: false }
    }

    pub fn push(&mut self, job: Job) {
        let is_large = matches!(&job, Job::Deliver(delivery, ..) if delivery.is_large());
        let queue = if is_large { &mut self.large } else { &mut self.jobs };
        queue.push_back((self.next, job));
        self.next = self.next.wrapping_add(1);
    }

    /// The job that came first of those that may be made now. After a large one [`Queue::large_is_done`] is to be called.
    pub fn pop(&mut self) -> Option<Job> {
        let number = |queue: &VecDeque<(u64, Job)>| queue.front().map(|(number, _)| *number);
        let large = number(&self.large).filter(|_| self.under_way < self.most);
        let takes_large = large.is_some_and(|large| number(&self.jobs).is_none_or(|other| large < other));
        let queue = if takes_large { &mut self.large } else { &mut self.jobs };
        let (_, job) = queue.pop_front()?;
        self.under_way += usize::from(takes_large);
        Some(job)
    }

    pub fn large_is_done(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}
