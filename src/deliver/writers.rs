//! The writers: a few threads behind a queue that is bounded in deliveries and in octets. Large deliveries are made by
//! half of them at most, and helped with by who has nothing else to do.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::clean::{Cleaned, clean_spool};
use super::commit::Committer;
use super::counters::{Counters, count};
use super::disk::{Disk, Unwatched, Witness};
use super::queue::{Job, Queue, Room};
use super::quota::{self, Quota};
use super::space::{self, Space};
use super::spool::{Spooling, Work};
use super::spooled::{Reserved, Spooled};
use super::steps::{Crew, Steps, Wanted};
use super::suspect::Suspect;
use super::{DeliverError, Delivery, Stored, lock};

/// The grain in which the queue's octets are counted.
const GRAIN_OCTETS: usize = 1024;

/// Stack of a writer: it holds no message and recurses nowhere; a panic's backtrace wants most of it.
const STACK_OCTETS: usize = 1024 * 1024;

/// The bounds of the writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Writer threads; at least 1.
    pub threads: usize,
    /// Octets in memory of the deliveries, and parts of bodies, that wait or are being written. A larger delivery goes alone.
    pub queue_bytes: usize,
    /// Deliveries, and parts of bodies, that wait or are being written.
    pub queue_deliveries: usize,
    /// How long [`Writers::store`] waits, for room in the queue and for the disk together.
    pub patience: Duration,
}

impl Default for Limits {
    /// 12 threads, 128 MB, 4,096 deliveries, and 2 minutes: a client must wait 10 for the answer (RFC 5321 §4.5.3.2.6).
    fn default() -> Self {
        Limits { threads: 12, queue_bytes: 128 << 20, queue_deliveries: 4096, patience: Duration::from_secs(120) }
    }
}

/// Stores messages durably. Threads exist from [`Writers::start`] on, and end after what is queued when this is dropped.
pub struct Writers {
    shared: Arc<Shared>,
    grains: Arc<Semaphore>,
    most_grains: usize,
    places: Arc<Semaphore>,
    limits: Limits,
    started: AtomicBool,
}

struct Shared {
    root: PathBuf,
    committer: Committer,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Told when the queue is closed.
    closed: Condvar,
    space: Arc<Space>,
    spooled: Arc<Spooled>,
    quota: Arc<Quota>,
    suspect: Arc<Suspect>,
}

impl Writers {
    /// Writers below `root` with the default limits but for these two. No thread starts yet and nothing is touched.
    pub fn new(root: PathBuf, threads: usize, queue_bytes: usize) -> Self {
        Self::with(root, Limits { threads, queue_bytes, ..Limits::default() }, Arc::new(Unwatched))
    }

    /// Writers with all limits given, whose every step on the file system `witness` is told of.
    pub fn with(root: PathBuf, limits: Limits, witness: Arc<dyn Witness>) -> Self {
        let counters = Arc::new(Counters::default());
        let (space, suspect) = (Arc::<Space>::default(), Arc::<Suspect>::default());
        let disk = Disk::new(witness, &root, suspect.clone());
        let most_grains = (limits.queue_bytes / GRAIN_OCTETS).clamp(1, u32::MAX as usize);
        Writers {
            shared: Arc::new(Shared {
                committer: Committer::new(root.clone(), disk, space.clone(), counters.clone()),
                quota: Quota::new(root.clone(), counters.clone()),
                root,
                counters,
                queue: Mutex::new(Queue::of(limits.threads)),
                changed: Condvar::new(),
                closed: Condvar::new(),
                spooled: Spooled::new(space.clone()),
                space,
                suspect,
            }),
            grains: Arc::new(Semaphore::new(most_grains)),
            most_grains,
            places: Arc::new(Semaphore::new(most_places(&limits) as usize)),
            limits,
            started: AtomicBool::new(false),
        }
    }

    /// Starts the threads; a second call does nothing.
    ///
    /// # Errors
    /// A thread could not be started; none runs then, and nothing can be stored.
    pub fn start(&self) -> io::Result<()> {
        if self.started.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        for number in 0..self.limits.threads.max(1) {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name(format!("writer-{number}")).stack_size(STACK_OCTETS);
            if let Err(error) = thread.spawn(move || shared.work()) {
                self.close();
                return Err(error);
            }
        }
        self.shared.space.look(&self.shared.root);
        self.shared.suspect.expect_root(&self.shared.root);
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("space".to_owned()).stack_size(STACK_OCTETS);
        thread.spawn(move || shared.watch_space()).map(drop).inspect_err(|_| self.close())
    }

    /// The room on the Maildir's file system.
    pub fn space(&self) -> &Arc<Space> {
        &self.shared.space
    }

    /// Whether it is to be trusted.
    pub fn suspect(&self) -> &Arc<Suspect> {
        &self.shared.suspect
    }

    /// What bodies that are spooled hold of it.
    pub fn spooled(&self) -> &Arc<Spooled> {
        &self.shared.spooled
    }

    /// What mailboxes may hold.
    pub fn quota(&self) -> &Arc<Quota> {
        &self.shared.quota
    }

    /// Stores all copies of a message durably, or none. Dropping the future gives the delivery up: it is taken back.
    ///
    /// # Errors
    /// See [`DeliverError`]; [`DeliverError::Busy`] also before [`Writers::start`] and after [`Writers::drain`].
    pub async fn store(&self, delivery: Delivery) -> Result<Stored, DeliverError> {
        let result = self.store_in_time(delivery).await;
        self.shared.counters.note(&result);
        result
    }

    async fn store_in_time(&self, delivery: Delivery) -> Result<Stored, DeliverError> {
        let began = Instant::now();
        if !self.started.load(Ordering::Acquire) {
            return Err(DeliverError::Busy);
        }
        let reserved = tokio::time::timeout(self.limits.patience, self.shared.quota.reserve(&delivery));
        let reserved = reserved.await.map_err(|_elapsed| DeliverError::Busy)??;
        let left = self.limits.patience.saturating_sub(began.elapsed());
        let room = tokio::time::timeout(left, self.room(delivery.weight()));
        let room = room.await.map_err(|_elapsed| DeliverError::Busy)??;
        let (answer, mut answered) = oneshot::channel();
        self.shared.push(Job::Deliver(delivery, reserved, answer, room))?;
        let left = self.limits.patience.saturating_sub(began.elapsed());
        let result = match tokio::time::timeout(left, &mut answered).await {
            Ok(result) => result.ok(),
            Err(_elapsed) => {
                // Closed first: an answer that came before counts, one that comes later finds nobody and is taken back.
                answered.close();
                answered.try_recv().ok()
            }
        };
        result.unwrap_or(Err(DeliverError::Busy))
    }

    /// A body that goes to disk while it comes in, from a client of this network, whose share of the disk it takes.
    pub fn spooling(self: &Arc<Self>, network: IpAddr) -> Spooling {
        Spooling::new(Arc::clone(self), network)
    }

    /// Hands a part of a body over, which holds so many octets in memory.
    pub(super) async fn spool(&self, work: Work, octets: usize) -> Result<(), DeliverError> {
        if !self.started.load(Ordering::Acquire) {
            return Err(DeliverError::Busy);
        }
        let room = tokio::time::timeout(self.limits.patience, self.room(octets));
        let room = room.await.map_err(|_elapsed| DeliverError::Busy)??;
        self.shared.push(Job::Spool(work, room))
    }

    /// Lets a writer close the file of a body: that of a large one takes its time.
    pub(super) fn close_file(&self, file: File, reserved: Reserved) {
        drop(self.shared.push(Job::Close(file, reserved)));
    }

    /// Removes what a crash left of bodies that were spooled on a file system without nameless files, and counts it. Blocks.
    ///
    /// # Errors
    /// Their directory is there and can't be read.
    pub fn clean_spool(&self) -> io::Result<Cleaned> {
        let cleaned = clean_spool(&self.shared.root)?;
        self.shared.counters.leftovers.fetch_add(cleaned.removed, Ordering::Relaxed);
        Ok(cleaned)
    }

    /// How long one waits for the disk.
    pub(super) fn patience(&self) -> Duration {
        self.limits.patience
    }

    async fn room(&self, octets: usize) -> Result<Room, DeliverError> {
        let grains = octets.div_ceil(GRAIN_OCTETS).clamp(1, self.most_grains);
        let grains = u32::try_from(grains).unwrap_or(u32::MAX);
        let place = self.places.clone().acquire_owned().await.map_err(|_closed| DeliverError::Busy)?;
        let octets = self.grains.clone().acquire_many_owned(grains).await.map_err(|_closed| DeliverError::Busy)?;
        Ok((place, octets))
    }

    /// Takes no more deliveries and waits, at most as long as `store` would, until those taken are done. Whether they are.
    pub async fn drain(&self) -> bool {
        self.close();
        let all = self.places.acquire_many(most_places(&self.limits));
        matches!(tokio::time::timeout(self.limits.patience, all).await, Ok(Ok(_)))
    }

    fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        self.shared.closed.notify_all();
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The same, to be kept by the metrics.
    pub fn shared_counters(&self) -> Arc<Counters> {
        self.shared.counters.clone()
    }
}

fn most_places(limits: &Limits) -> u32 {
    u32::try_from(limits.queue_deliveries).unwrap_or(u32::MAX).max(1)
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<(), DeliverError> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(DeliverError::Busy);
        }
        queue.push(job);
        // who is busy looks for more before it sleeps
        let somebody_sleeps = queue.idle > 0;
        drop(queue);
        if somebody_sleeps {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The next job; `None` once the queue is closed and there is none: what large ones are left is for those who make such.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        queue.idle += 1;
        loop {
            if let Some(job) = queue.pop() {
                queue.idle -= 1;
                if queue.has_large() {
                    // it may have waited for its turn, and who was woken for it sleeps again
                    self.changed.notify_one();
                }
                return Some(job);
            }
            if queue.closed {
                queue.idle -= 1;
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Looks at the disk now and then, its room and whether it works again, until the queue is closed.
    fn watch_space(&self) {
        let mut queue = self.lock();
        while !queue.closed {
            let woken = self.closed.wait_timeout(queue, space::EVERY);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            if !queue.closed {
                drop(queue);
                self.space.look(&self.root);
                self.suspect.look(&self.root);
                queue = self.lock();
            }
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            match job {
                Job::Deliver(delivery, reserved, answer, room) => {
                    let delivery = Arc::new(delivery);
                    let large_of = delivery.is_large().then_some(delivery.network);
                    self.deliver(&delivery, reserved, answer);
                    drop((delivery, room));
                    if let Some(network) = large_of {
                        self.lock().large_is_done(network);
                        // another may begin, though this thread may find something older to do
                        self.changed.notify_one();
                    }
                }
                Job::Spool(work, room) => {
                    // the answer is dropped unsent, which whoever waits for it takes for a failure
                    if catch_unwind(AssertUnwindSafe(|| self.committer.spool(work))).is_err() {
                        count(&self.counters.panics);
                    }
                    drop(room);
                }
                Job::Close(file, reserved) => {
                    drop(file);
                    drop(reserved);
                }
                Job::Help(steps) => {
                    steps.help(&self.committer);
                }
            }
        }
    }

    fn deliver(
        &self,
        delivery: &Arc<Delivery>,
        mut reserved: quota::Reserved,
        answer: oneshot::Sender<Result<Stored, DeliverError>>,
    ) {
        let answer = Arc::new(Mutex::new(Some(answer)));
        let asked = answer.clone();
        let is_open = move || lock(&asked).as_ref().is_some_and(|answer| !answer.is_closed());
        let wanted: Wanted = Arc::new(is_open);
        let commit = || self.committer.commit(delivery, self, &wanted);
        // What a panic interrupts cleans up after itself when it is dropped; shared state is only locks that tolerate it.
        let result = catch_unwind(AssertUnwindSafe(commit)).unwrap_or_else(|_panic| {
            count(&self.counters.panics);
            Err(DeliverError::Io(io::Error::other("a writer panicked")))
        });
        // before the sender is told: the next message finds what is there now
        match &result {
            Ok(stored) => self.quota.settle(&mut reserved, stored),
            Err(_) => reserved = quota::Reserved::default(),
        }
        let answer = lock(&answer).take();
        if let Some(Err(Ok(unheard))) = answer.map(|answer| answer.send(result)) {
            self.committer.take_back(&unheard);
            self.quota.take_back(&mut reserved, &unheard);
        }
    }
}

impl Crew for Shared {
    fn offer(&self, steps: &Arc<Steps>) {
        let mut queue = self.lock();
        let idle = queue.idle;
        let to_wake = queue.steps.offer(steps, idle);
        drop(queue);
        (0..to_wake).for_each(|_| self.changed.notify_one());
    }

    fn withdraw(&self, steps: &Arc<Steps>) {
        self.lock().steps.withdraw(steps);
    }
}
