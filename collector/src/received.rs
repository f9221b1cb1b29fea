//! The received telemetry, as tests query it.

mod record;
mod series;

use std::collections::BTreeMap;

use crate::{Signal, instance::Instance};

pub use self::{
    record::{ReceivedLog, ReceivedSpan},
    series::ReceivedSeries,
};

/// A snapshot of what a collector has received.
#[derive(Clone, Debug)]
pub struct Received {
    pub(crate) requests: [u64; 3],
    pub(crate) refused: u64,
    pub(crate) held: usize,
    pub(crate) data_points: u64,
    pub(crate) overflowed: u64,
    pub(crate) series: Vec<ReceivedSeries>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) logs: Vec<ReceivedLog>,
    pub(crate) spans: Vec<ReceivedSpan>,
}

impl Received {
    /// Number of export requests of a signal that were accepted.
    pub fn requests(&self, signal: Signal) -> u64 {
        self.requests[signal as usize]
    }

    /// Number of requests that were answered with an error, including simulated ones.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Number of requests that [`crate::Fault::Hang`] currently holds.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Number of metric data points received.
    pub fn data_points(&self) -> u64 {
        self.data_points
    }

    /// Number of data points left out because there were too many series or their attributes were
    /// too long.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The series of a metric that have all the given attributes. `&[]` selects all series.
    pub fn series<'a>(
        &'a self,
        metric: &'a str,
        attributes: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a ReceivedSeries> {
        self.series.iter().filter(move |series| {
            series.metric == metric
                && attributes
                    .iter()
                    .all(|(key, value)| series.attribute(key) == Some(value))
        })
    }

    /// Sum over all these series and all instances, 0 if there is none. For a histogram, the sum of
    /// the observed values.
    pub fn sum(&self, metric: &str, attributes: &[(&str, &str)]) -> f64 {
        // The sum of an empty iterator is -0.0.
        self.series(metric, attributes)
            .fold(0.0, |sum, series| sum + series.sum)
    }

    /// Number of observations of a histogram over all these series and all instances.
    pub fn count(&self, metric: &str, attributes: &[(&str, &str)]) -> u64 {
        self.series(metric, attributes)
            .map(|series| series.count)
            .sum()
    }

    /// Total of each instance, by [`Instance::id`]. For a histogram, its number of observations.
    pub fn per_instance(&self, metric: &str, attributes: &[(&str, &str)]) -> BTreeMap<String, f64> {
        let mut totals = BTreeMap::new();
        for series in self.series(metric, attributes) {
            for (instance, value) in &series.per_instance {
                *totals.entry(instance.clone()).or_default() += value;
            }
        }
        totals
    }

    /// All senders of any signal, with their resource attributes.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The kept log records, in the order of arrival.
    pub fn logs(&self) -> &[ReceivedLog] {
        &self.logs
    }

    /// The kept spans, in the order of arrival.
    pub fn spans(&self) -> &[ReceivedSpan] {
        &self.spans
    }
}
