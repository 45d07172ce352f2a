//! A counter that somebody else keeps, read at every scrape.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

use super::MetricsError;
use super::declared::{self, Kind};

/// One series of a counter.
pub struct HandedIn {
    desc: Desc,
    labels: Vec<LabelPair>,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl HandedIn {
    /// A series of a declared counter; `labels` must be the declared ones, in any order.
    pub fn new(
        name: &str,
        labels: &[(&str, &str)],
        read: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, MetricsError> {
        let undeclared = || MetricsError::Undeclared(name.to_owned());
        let declared = declared::find(name).filter(|declared| declared.kind == Kind::Counter).ok_or_else(undeclared)?;
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
        Ok(HandedIn { desc, labels: pairs, read })
    }
}

impl Collector for HandedIn {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut counter = Counter::default();
        // Prometheus' numbers are doubles.
        counter.set_value((self.read)() as f64);
        let mut metric = Metric::from_label(self.labels.clone());
        metric.set_counter(counter);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::COUNTER);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
