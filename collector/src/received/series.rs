//! Received metrics, summed over all instances.

use std::{collections::BTreeMap, time::Instant};

use crate::{attribute, totals::Totals, value::Value};

/// One metric of one scope and service with one set of attributes, over all instances.
#[derive(Clone, Debug)]
pub struct ReceivedSeries {
    /// `service.name`.
    pub service: String,
    /// The name of the instrumentation scope.
    pub scope: String,
    /// The name of the metric.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// The attributes of the data points as text, sorted by key.
    pub attributes: Vec<(String, String)>,
    /// Sum over all instances; of a gauge or up-down counter over those that still export. For a
    /// histogram, the sum of the observed values.
    pub sum: f64,
    /// Number of observations over all instances. 0 unless it is a histogram or summary.
    pub count: u64,
    /// Total of each instance, by [`Instance::id`](crate::Instance::id). For a histogram, its number of observations.
    pub per_instance: BTreeMap<String, f64>,
}

impl ReceivedSeries {
    /// An attribute's value as text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        attribute::find_text(&self.attributes, key)
    }

    pub(crate) fn all(totals: &Totals) -> Vec<Self> {
        totals
            .iter(Instant::now())
            .filter_map(|(key, series)| {
                let (sum, count) = match series.sum()? {
                    Value::Number(number) => (number.as_f64(), 0),
                    Value::Distribution(distribution) => {
                        (distribution.sum.unwrap_or_default(), distribution.count)
                    }
                };
                let mut per_instance = BTreeMap::new();
                for (instance, value) in series.per_instance() {
                    *per_instance.entry(instance.id().to_owned()).or_default() +=
                        value.amount().as_f64();
                }
                Some(Self {
                    service: key.service.clone(),
                    scope: key.scope.name.clone(),
                    metric: key.metric.clone(),
                    unit: key.unit.clone(),
                    attributes: key.attributes.clone(),
                    sum,
                    count,
                    per_instance,
                })
            })
            .collect()
    }
}
