//! The latest exemplars of metrics: measurements with the span in which they were made.

use std::collections::{BTreeMap, VecDeque};

use crate::{points::Example, totals::Change};

/// Metrics with exemplars, and exemplars of each, that are remembered.
const MAX_METRICS: usize = 500;
const MAX_EXAMPLES: usize = 3;

#[derive(Default)]
pub(super) struct Examples(BTreeMap<String, VecDeque<Example>>);

impl Examples {
    pub(super) fn note(&mut self, change: &Change) {
        let Some(example) = &change.example else {
            return;
        };
        let is_known = self.0.contains_key(&change.metric);
        if !is_known && self.0.len() >= MAX_METRICS {
            return;
        }
        let examples = self.0.entry(change.metric.clone()).or_default();
        if examples.contains(example) {
            return;
        }
        examples.push_front(example.clone());
        examples.truncate(MAX_EXAMPLES);
    }

    /// Those of a metric, the latest first.
    pub(super) fn of(&self, metric: &str) -> impl Iterator<Item = &Example> {
        self.0.get(metric).into_iter().flatten()
    }
}
