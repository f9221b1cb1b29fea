//! A histogram: observations in buckets.

use std::sync::Arc;

use super::{NOT_FINITE, sealed};
use crate::{cell, exemplar::SpanIds, exemplars::Place, map::Cell, state::MetricState};

/// Counts observations in buckets and sums them.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
/// # let store = directory.store();
/// let opts = prometheus::HistogramOpts::new("request_duration_seconds", "Time taken");
/// let duration = store.histogram(opts.buckets(vec![0.1, 1.0]))?;
/// duration.observe(0.02);
/// duration.observe(3.0);
/// assert_eq!(duration.get_sample_count(), 2);
/// assert_eq!(duration.get_sample_sum(), 3.02);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Debug)]
struct HistogramCells {
    sum: Cell,
    /// One for each bound; not cumulative.
    buckets: Box<[Cell]>,
    exemplars: Box<[Place]>,
    state: Arc<MetricState>,
}

impl Histogram {
    /// Adds an observation. A number that is not finite is ignored, counted in
    /// `multiprocess_incidents_total`, and logged once: the sum could never be finite again.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.count(value);
    }

    /// Like [`Histogram::observe`], and keeps the span as the exemplar of the bucket, in the place of
    /// the one before. Pass the span of the request if its trace is sampled.
    ///
    /// A scrape shows the newest exemplar of all processes, in OpenMetrics alone, and also those of
    /// processes that have ended. If the disk is full, exemplars are dropped and the observation
    /// counts.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
    /// # let store = directory.store();
    /// use prometheus_multiprocess::SpanIds;
    ///
    /// let opts = prometheus::HistogramOpts::new("request_duration_seconds", "Time taken");
    /// let duration = store.histogram(opts)?;
    /// let span = SpanIds { trace_id: [1; 16], span_id: [2; 8] };
    /// duration.observe_with_exemplar(0.02, span);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn observe_with_exemplar(&self, value: f64, span: SpanIds) {
        self.record(value, Some(span));
    }

    #[inline]
    pub(crate) fn record(&self, value: f64, span: Option<SpanIds>) {
        if let Some(bucket) = self.count(value)
            && let Some(span) = span
        {
            let cells = &*self.0;
            let (cell, place) = (&cells.buckets[bucket], &cells.exemplars[bucket]);
            cells.state.put_exemplar(cell, place, span, value);
        }
    }

    /// Adds an observation and returns its bucket.
    #[inline]
    fn count(&self, value: f64) -> Option<usize> {
        let cells = &*self.0;
        let mut bounds = cells.state.bounds().iter();
        let bucket = bounds.position(|&bound| value <= bound);
        let bucket = bucket.filter(|_| value.is_finite());
        match bucket {
            Some(bucket) => {
                cell::add(cells.buckets[bucket].value(), 1.0);
                cell::add(cells.sum.value(), value);
            }
            None => cells.state.invalid_update(value, NOT_FINITE),
        }
        bucket
    }

    /// The number of observations.
    pub fn get_sample_count(&self) -> u64 {
        self.0
            .buckets
            .iter()
            .map(|bucket| cell::get(bucket.value()) as u64)
            .sum()
    }

    /// The sum of the observations.
    pub fn get_sample_sum(&self) -> f64 {
        cell::get(self.0.sum.value())
    }
}

impl sealed::FromCells for Histogram {
    fn from_cells(cells: &[Cell], state: &Arc<MetricState>) -> Histogram {
        Histogram(Arc::new(HistogramCells {
            sum: cells[0].clone(),
            buckets: cells[1..].into(),
            exemplars: cells[1..].iter().map(|_| Place::default()).collect(),
            state: Arc::clone(state),
        }))
    }
}
