//! How many recipients that are nobody here a client network has asked for of late. It is forgiven evenly, over an hour.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::receive::network;

/// How long it takes until a whole budget is forgiven.
const FORGIVEN: Duration = Duration::from_secs(3600);
/// Networks that are remembered at most, about 50 octets each.
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
        let budget = f64::from(self.budget);
        let mut networks = self.networks();
        let client = network(client);
        if networks.len() >= MOST && !networks.contains_key(&client) {
            forget_the_least(&mut networks, self.budget, now);
        }
        let level = networks.entry(client).or_insert(Level { asked: 0.0, at: now });
        let asked = level.now(self.budget, now) + 1.0;
        // what is over the budget is not counted: who stops is forgiven in an hour, however long it went on
        *level = Level { asked: asked.min(budget), at: now };
        asked > budget
    }

    /// Whether a network has used its budget up, and is to come again later.
    pub fn is_spent(&self, client: IpAddr, now: Instant) -> bool {
        let networks = self.networks();
        let level = networks.get(&network(client));
        level.is_some_and(|level| level.now(self.budget, now) + 1.0 > f64::from(self.budget))
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
