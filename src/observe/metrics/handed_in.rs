//! A counter or gauge that somebody else keeps, read at every scrape.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::MetricsError;
use super::declared::{self, Kind};

/// One series of a counter or a gauge.
pub struct HandedIn {
    kind: Kind,
    desc: Desc,
    labels: Vec<LabelPair>,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl HandedIn {
    /// A series of a metric that is declared as such; `labels` must be the declared ones, in any order.
    pub fn new(
        kind: Kind,
        name: &str,
        labels: &[(&str, &str)],
        read: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, MetricsError> {
        let undeclared = || MetricsError::Undeclared(name.to_owned());
        let declared = declared::find(name).filter(|declared| declared.kind == kind).ok_or_else(undeclared)?;
        if labels.len() != declared.labels.len() {
            return Err(undeclared());
        }
        let mut pairs = Vec::new();
        let mut constant = HashMap::new();
        for label in declared.labels {
            let (_, value) = labels.iter().find(|(name, _)| name == label).ok_or_else(undeclared)?;
            let mut pair = LabelPair::default();
            pair.set_name((*label).to_owned());
            pair.set_value((*value).to_owned());
            pairs.push(pair);
            constant.insert((*label).to_owned(), (*value).to_owned());
        }
        let desc = Desc::new(declared.name.to_owned(), declared.meaning.to_owned(), Vec::new(), constant)?;
        Ok(HandedIn { kind, desc, labels: pairs, read })
    }
}

impl Collector for HandedIn {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Prometheus' numbers are doubles.
        let value = (self.read)() as f64;
        let mut metric = Metric::from_label(self.labels.clone());
        let kind = if self.kind == Kind::Gauge {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
            MetricType::GAUGE
        } else {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
            MetricType::COUNTER
        };
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
