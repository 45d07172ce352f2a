//! Figures of the runs, as people read them.

use std::time::Duration;

use super::load::{Client, Outcome};
use super::system::{self, Running, System};
use super::cage;

/// What one turn of a system gave.
pub struct Figures {
    pub outcome: Outcome,
    /// Seconds of CPU, until the last message was delivered.
    pub cpu: f64,
    /// From the last reply until the last message was in its Maildir.
    pub last: Duration,
    /// Memory before the first message, kB.
    pub rest: u64,
    /// Memory with idle connections, kB.
    pub idle: Option<u64>,
    /// Messages in the Maildirs.
    pub delivered: usize,
    /// Messages whose Authentication-Results don't say that all checks passed, and what one says.
    pub unchecked: (usize, String),
}

impl Figures {
    fn cpu_per_thousand(&self) -> f64 {
        self.cpu / self.outcome.accepted as f64 * 1e3
    }
}

/// Memory of a system while so many connections have been greeted and say nothing, kB.
pub async fn with_idle(running: &Running, connections: usize) -> u64 {
    let clients = cage::clients();
    let mut open = Vec::new();
    for number in 0..connections {
        match Client::connect(system::address(), clients[number % clients.len()]).await {
            Ok(client) => open.push(client),
            Err(error) => {
                println!("{} of {connections} idle connections: {error}", open.len());
                break;
            }
        }
    }
    running.memory()
}

/// One turn in a line.
pub fn line(system: &System, figures: &Figures) -> String {
    let outcome = &figures.outcome;
    let mut line = format!(
        "{:<12} {:>7.0}/s  cpu {:>6.3} s/1000  p50 {:>7.2} p99 {:>7.2} p99.9 {:>7.2} ms  last {:>6.2} s  rest {:>6} kB",
        system.name,
        outcome.rate(),
        figures.cpu_per_thousand(),
        outcome.latency(0.5),
        outcome.latency(0.99),
        outcome.latency(0.999),
        figures.last.as_secs_f64(),
        figures.rest,
    );
    if let Some(idle) = figures.idle {
        line.push_str(&format!("  idle {idle} kB"));
    }
    if outcome.failed > 0 {
        line.push_str(&format!("  FAILED {}: {:?}", outcome.failed, outcome.troubles));
    }
    if figures.unchecked.0 > 0 {
        line.push_str(&format!("  NOT CHECKED {}: {}", figures.unchecked.0, figures.unchecked.1));
    }
    line
}

/// The middle of some figures.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All systems with their medians and, pair by pair, how many times theirs is the first one's.
pub fn table(systems: &[&System], all: &[(&str, Figures)]) -> String {
    let of = |name: &str| all.iter().filter(|(system, _)| *system == name).map(|(_, figures)| figures).collect::<Vec<_>>();
    let first = of(systems[0].name);
    let mut table = format!("{:<46}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}\n", "", "msg/s", "CPU s/1k", "p50 ms", "p99 ms", "ratio", "CPU ratio");
    for system in systems {
        let mine = of(system.name);
        let middle = |figure: &dyn Fn(&Figures) -> f64| median(mine.iter().map(|figures| figure(figures)).collect());
        let ratio = |figure: &dyn Fn(&Figures) -> f64| {
            median(first.iter().zip(&mine).map(|(first, mine)| figure(first) / figure(mine)).collect())
        };
        table.push_str(&format!(
            "{:<46}{:>10.0}{:>10.3}{:>10.2}{:>10.2}{:>12.2}{:>12.3}\n",
            system.title,
            middle(&|figures| figures.outcome.rate()),
            middle(&Figures::cpu_per_thousand),
            middle(&|figures| figures.outcome.latency(0.5)),
            middle(&|figures| figures.outcome.latency(0.99)),
            ratio(&|figures| figures.outcome.rate()),
            ratio(&Figures::cpu_per_thousand),
        ));
    }
    table
}
