//! The block lists that are in force, read at every scrape: a reload changes which they are.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::MetricsError;
use super::declared::{self, Declaration};
use super::label::ListOutcome;

const UP: &str = "gatepost_block_list_up";
const QUERIES: &str = "gatepost_block_list_queries_total";

/// What is counted of one list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCount {
    /// Its zone, from the configuration.
    pub zone: String,
    /// Whether it is asked.
    pub up: bool,
    /// What was asked, by what it answered.
    pub queries: Vec<(ListOutcome, u64)>,
}

/// Collects them.
pub(super) struct BlockLists {
    up: Family,
    queries: Family,
    read: Box<dyn Fn() -> Vec<ListCount> + Send + Sync>,
}

/// A family whose series are read when somebody asks.
pub(super) struct Family {
    declared: &'static Declaration,
    desc: Desc,
}

impl Family {
    pub(super) fn new(name: &str) -> Result<Family, MetricsError> {
        let declared = declared::find(name).ok_or_else(|| MetricsError::Undeclared(name.to_owned()))?;
        let labels = declared.labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(declared.name.to_owned(), declared.meaning.to_owned(), labels, Default::default())?;
        Ok(Family { declared, desc })
    }

    pub(super) fn desc(&self) -> &Desc {
        &self.desc
    }

    pub(super) fn series(&self, values: &[&str]) -> Metric {
        let pair = |(label, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*label).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        Metric::from_label(self.declared.labels.iter().zip(values).map(pair).collect())
    }

    /// `None` without a series: Prometheus takes no empty family.
    pub(super) fn with(&self, kind: MetricType, series: Vec<Metric>) -> Option<MetricFamily> {
        if series.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(kind);
        family.set_metric(series);
        Some(family)
    }
}

impl BlockLists {
    pub(super) fn new(read: impl Fn() -> Vec<ListCount> + Send + Sync + 'static) -> Result<Self, MetricsError> {
        Ok(BlockLists { up: Family::new(UP)?, queries: Family::new(QUERIES)?, read: Box::new(read) })
    }
}

impl Collector for BlockLists {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.up.desc, &self.queries.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut up, mut queries) = (Vec::new(), Vec::new());
        for list in (self.read)() {
            let mut gauge = Gauge::default();
            gauge.set_value(f64::from(u8::from(list.up)));
            let mut series = self.up.series(&[&list.zone]);
            series.set_gauge(gauge);
            up.push(series);
            for (outcome, count) in &list.queries {
                let mut counter = Counter::default();
                // Prometheus' numbers are doubles.
                counter.set_value(*count as f64);
                let mut series = self.queries.series(&[&list.zone, outcome.as_str()]);
                series.set_counter(counter);
                queries.push(series);
            }
        }
        let up = self.up.with(MetricType::GAUGE, up);
        up.into_iter().chain(self.queries.with(MetricType::COUNTER, queries)).collect()
    }
}
