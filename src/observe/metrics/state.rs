//! What is remembered between messages, read at every scrape.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, MetricFamily, MetricType};

use super::MetricsError;
use super::block_lists::Family;
use super::label::Remembered;

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateCount {
    /// Whether it reaches the disk, or need not.
    pub up: bool,
    /// How much of each kind, in the order of [`Remembered`].
    pub entries: [usize; Remembered::ALL.len()],
}

/// Collects it.
pub(super) struct State {
    up: Family,
    entries: Family,
    read: Box<dyn Fn() -> StateCount + Send + Sync>,
}

impl State {
    pub(super) fn new(read: impl Fn() -> StateCount + Send + Sync + 'static) -> Result<Self, MetricsError> {
        let (up, entries) = (Family::new("gatepost_state_up")?, Family::new("gatepost_state_entries")?);
        Ok(State { up, entries, read: Box::new(read) })
    }
}

impl Collector for State {
    fn desc(&self) -> Vec<&Desc> {
        vec![self.up.desc(), self.entries.desc()]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let StateCount { up, entries } = (self.read)();
        let gauge = |family: &Family, labels: &[&str], value: f64| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut series = family.series(labels);
            series.set_gauge(gauge);
            series
        };
        let up = vec![gauge(&self.up, &[], f64::from(u8::from(up)))];
        // Prometheus' numbers are doubles.
        let entries = Remembered::ALL.iter().zip(entries);
        let entries = entries.map(|(kind, count)| gauge(&self.entries, &[kind.as_str()], count as f64)).collect();
        [self.up.with(MetricType::GAUGE, up), self.entries.with(MetricType::GAUGE, entries)]
            .into_iter()
            .flatten()
            .collect()
    }
}
