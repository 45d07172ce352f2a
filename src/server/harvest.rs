//! How many recipients that are nobody here a client network has asked for of late, and how often its mistakes have ended a session. It is forgiven evenly, over an hour, and by what it
//! delivers: behind one address there may be an honest host and another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::receive::network;

/// How long it takes until a whole budget is forgiven.
const FORGIVEN: Duration = Duration::from_secs(3600);
/// Unknown recipients that each message in an inbox forgives.
const PER_MESSAGE: f64 = 10.0;
/// Unknown recipients that a session counts for which ended by its mistakes.
const PER_BLUNDERER: f64 = 10.0;
/// Networks that are remembered at most, about 80 octets each.
const MOST: usize = 65_536;

/// The budgets of all client networks: one IPv4 address or one IPv6 /64 each.
#[derive(Debug)]
pub struct Harvest {
    budget: u32,
    networks: Mutex<HashMap<IpAddr, Level>>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    /// Those that are not forgiven yet, as they were at that time.
    asked: f64,
    at: Instant,
    /// When a message of it came into an inbox last.
    delivered: Option<Instant>,
}

impl Level {
    fn now(self, budget: u32, now: Instant) -> f64 {
        let share = now.saturating_duration_since(self.at).as_secs_f64() / FORGIVEN.as_secs_f64();
        (self.asked - share * f64::from(budget)).max(0.0)
    }
}

impl Harvest {
    /// `budget` unknown recipients an hour for each network.
    pub fn new(budget: u32) -> Self {
        Harvest { budget, networks: Mutex::default() }
    }

    /// Counts one more; whether that is over the budget.
    pub fn note(&self, client: IpAddr, now: Instant) -> bool {
        self.add(client, 1.0, now)
    }

    /// A session of this client was ended because of its mistakes: it counts for ten unknown recipients.
    pub fn blundered(&self, client: IpAddr, now: Instant) {
        self.add(client, PER_BLUNDERER, now);
    }

    /// Counts so many more; whether that is over the budget.
    fn add(&self, client: IpAddr, more: f64, now: Instant) -> bool {
        let budget = f64::from(self.budget);
        self.change(client, now, |level| {
            let asked = level.now(self.budget, now) + more;
            // what is over the budget is not counted: who stops is forgiven in an hour, however long it went on
            *level = Level { asked: asked.min(budget), at: now, ..*level };
            asked > budget
        })
    }

    /// A message of this client has come into an inbox.
    pub fn delivered(&self, client: IpAddr, now: Instant) {
        self.change(client, now, |level| {
            let asked = (level.now(self.budget, now) - PER_MESSAGE).max(0.0);
            *level = Level { asked, at: now, delivered: Some(now) };
        });
    }

    /// Whether a network has used its budget up.
    pub fn is_spent(&self, client: IpAddr, now: Instant) -> bool {
        self.networks().get(&network(client)).is_some_and(|level| self.is_over(*level, now))
    }

    /// Whether a network has used its budget up and is to come again later. One that has delivered within the hour may come in all the
    /// same: what it delivers next forgives it, and the next unknown recipient ends its session.
    pub fn turns_away(&self, client: IpAddr, now: Instant) -> bool {
        let has_delivered =
            |level: &Level| level.delivered.is_some_and(|at| now.saturating_duration_since(at) < FORGIVEN);
        let networks = self.networks();
        networks.get(&network(client)).is_some_and(|level| self.is_over(*level, now) && !has_delivered(level))
    }

    fn is_over(&self, level: Level, now: Instant) -> bool {
        level.now(self.budget, now) + 1.0 > f64::from(self.budget)
    }

    /// Changes what is remembered of a client's network.
    fn change<T>(&self, client: IpAddr, now: Instant, change: impl FnOnce(&mut Level) -> T) -> T {
        let mut networks = self.networks();
        let client = network(client);
        if networks.len() >= MOST && !networks.contains_key(&client) {
            forget_the_least(&mut networks, self.budget, now);
        }
        change(networks.entry(client).or_insert(Level { asked: 0.0, at: now, delivered: None }))
    }

    /// Networks that are remembered.
    pub fn len(&self) -> usize {
        self.networks().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<IpAddr, Level>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room: those who asked least go, never those who asked most.
fn forget_the_least(networks: &mut HashMap<IpAddr, Level>, budget: u32, now: Instant) {
    let mut levels: Vec<f64> = networks.values().map(|level| level.now(budget, now)).collect();
    let middle = levels.len() / 2;
    let (_, median, _) = levels.select_nth_unstable_by(middle, f64::total_cmp);
    let median = *median;
    networks.retain(|_, level| level.now(budget, now) > median);
}
