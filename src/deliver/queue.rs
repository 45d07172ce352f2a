//! What waits for a writer, in the order of its coming, but that large deliveries wait until fewer than half of the writers make such:
//! one client with large messages to many mailboxes would have all of them. Among themselves the networks of these take turns, and
//! none has all writers that are left. Who has nothing to do helps with a delivery that is being made, a step at a time.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::quota::Reserved;
use super::spool::Work;
use super::spooled;
use super::steps::{OpenSteps, Steps};
use super::{DeliverError, Delivery, Stored};

/// What waits for a writer, with its room in the queue, which is given back when it is done.
pub(super) enum Job {
    Deliver(Delivery, Reserved, oneshot::Sender<Result<Stored, DeliverError>>, Room),
    Spool(Work, Room),
    /// A spooled body that is done with. One a session at most.
    Close(File, spooled::Reserved),
    /// One step of another writer's delivery.
    Help(Arc<Steps>),
}

/// A place in the queue, and octets.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

pub(super) struct Queue {
    /// Each with its number.
    jobs: VecDeque<(u64, Job)>,
    large: Large,
    pub steps: OpenSteps,
    /// Writers that have nothing to do.
    pub idle: usize,
    next: u64,
    pub closed: bool,
}

impl Queue {
    /// For so many writers.
    pub fn of(writers: usize) -> Self {
        let large = Large::of((writers / 2).max(1));
        Queue { jobs: VecDeque::new(), large, steps: OpenSteps::of(writers), idle: 0, next: 0, closed: false }
    }

    pub fn push(&mut self, job: Job) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        match &job {
            Job::Deliver(delivery, ..) if delivery.is_large() => self.large.push(delivery.network, number, job),
            _ => self.jobs.push_back((number, job)),
        }
    }

    /// The job that came first of those that may be made now, or else a step of a delivery that is being made, for a writer that is counted in
    /// `idle`. After a large one [`Queue::large_is_done`] is to be called.
    pub fn pop(&mut self) -> Option<Job> {
        let large = self.large.next().map(|(_, number)| number);
        let other = self.jobs.front().map(|(number, _)| *number);
        if large.is_some_and(|large| other.is_none_or(|other| large < other)) {
            return self.large.pop();
        }
        let job = self.jobs.pop_front().map(|(_, job)| job);
        // once it is closed nobody comes for whom a writer would be kept free
        let idle = if self.closed { usize::MAX } else { self.idle };
        job.or_else(|| self.steps.next(idle).map(Job::Help))
    }

    /// Whether another large delivery may be made now.
    pub fn has_large(&self) -> bool {
        self.large.next().is_some()
    }

    /// One of this network.
    pub fn large_is_done(&mut self, network: IpAddr) {
        self.large.is_done(network);
    }
}

/// Large deliveries, by the networks of their clients.
struct Large {
    /// None of them is empty. Each delivery with its number.
    waiting: HashMap<IpAddr, VecDeque<(u64, Job)>>,
    /// The networks that wait, each once; whose turn is next comes first.
    turns: VecDeque<IpAddr>,
    /// How many are being made, in all and of each network, and how many may be.
    under_way: usize,
    of_network: HashMap<IpAddr, usize>,
    most: usize,
}

impl Large {
    fn of(most: usize) -> Self {
        Large { waiting: HashMap::new(), turns: VecDeque::new(), under_way: 0, of_network: HashMap::new(), most }
    }

    fn push(&mut self, network: IpAddr, number: u64, job: Job) {
        let waiting = self.waiting.entry(network).or_default();
        if waiting.is_empty() {
            self.turns.push_back(network);
        }
        waiting.push_back((number, job));
    }

    /// How many one network may have: half where others wait, too, else nearly all, so that who comes next finds one.
    fn share(&self) -> usize {
        if self.turns.len() > 1 { self.most.div_ceil(2) } else { self.most - self.most / 4 }
    }

    /// The place among those that wait of the network whose turn it is, and the number of its next delivery. At most two networks have
    /// their share, so that few places are looked at.
    fn next(&self) -> Option<(usize, u64)> {
        if self.under_way >= self.most {
            return None;
        }
        let share = self.share();
        let has_room = |network: &IpAddr| self.of_network.get(network).is_none_or(|under_way| *under_way < share);
        let (place, network) = self.turns.iter().enumerate().find(|(_, network)| has_room(network))?;
        let (number, _) = self.waiting.get(network)?.front()?;
        Some((place, *number))
    }

    fn pop(&mut self) -> Option<Job> {
        let (place, _) = self.next()?;
        let network = self.turns.remove(place)?;
        let waiting = self.waiting.get_mut(&network)?;
        let (_, job) = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        *self.of_network.entry(network).or_insert(0) += 1;
        self.under_way += 1;
        Some(job)
    }

    fn is_done(&mut self, network: IpAddr) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(count) = self.of_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_network.remove(&network);
            }
        }
    }
}
