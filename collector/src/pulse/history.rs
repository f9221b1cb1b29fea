//! The sums of metrics at the last exports.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use crate::{ring::SECONDS, totals::Totals};

/// Metrics that are drawn at most.
const MAX_METRICS: usize = 500;

#[derive(Default)]
pub(super) struct History {
    /// Unix time in seconds, and sum.
    metrics: BTreeMap<String, VecDeque<(f64, f64)>>,
    /// Data points that had arrived at the last sample.
    sampled: u64,
}

impl History {
    /// Remembers all sums if something has arrived since the last time.
    pub(super) fn sample(&mut self, totals: &Totals, now: f64) {
        if self.sampled == totals.data_points() {
            return;
        }
        self.sampled = totals.data_points();
        let mut sums = BTreeMap::<&str, f64>::new();
        for (key, series) in totals.iter(Instant::now()) {
            let sum = series.sum().map_or(0.0, |sum| sum.amount().as_f64());
            *sums.entry(&key.metric).or_default() += sum;
        }
        for (metric, sum) in sums {
            if !self.metrics.contains_key(metric) && self.metrics.len() >= MAX_METRICS {
                continue;
            }
            let history = self.metrics.entry(metric.to_owned()).or_default();
            history.push_back((now, sum));
            if history.len() > SECONDS {
                history.pop_front();
            }
        }
    }

    pub(super) fn of(&self, metric: &str) -> Vec<(f64, f64)> {
        let history = self.metrics.get(metric);
        history.into_iter().flatten().copied().collect()
    }
}
