//! One instrument: its series, and what a measurement does to one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, BoundSyncInstrument, SyncInstrument},
};

use super::series::Series;
use crate::{
    map::Cell,
    metric::{Counter, Metric, sealed::FromCells},
    state::MetricState,
};

/// A number of an instrument.
pub(super) trait Number: Copy + Send + Sync + 'static {
    fn as_f64(self) -> f64;
}

impl Number for f64 {
    fn as_f64(self) -> f64 {
        self
    }
}

impl Number for i64 {
    fn as_f64(self) -> f64 {
        self as f64
    }
}

impl Number for u64 {
    fn as_f64(self) -> f64 {
        self as f64
    }
}

pub(super) struct Instrument<M, F> {
    pub(super) series: Series<M>,
    pub(super) record: F,
}

struct Bound<M, F> {
    metric: M,
    record: F,
}

/// What is done with a measurement.
pub(super) trait Record<M>: Fn(&M, f64) + Copy + Send + Sync + 'static {}

impl<M, F: Fn(&M, f64) + Copy + Send + Sync + 'static> Record<M> for F {}

impl<T: Number, M: Metric, F: Record<M>> SyncInstrument<T> for Instrument<M, F> {
    fn measure(&self, measurement: T, attributes: &[KeyValue]) {
        let record = |metric: &M| (self.record)(metric, measurement.as_f64());
        self.series.with(attributes, record);
    }

    fn bind(&self, attributes: &[KeyValue]) -> Box<dyn BoundSyncInstrument<T> + Send + Sync> {
        let metric = self.series.get(attributes);
        let record = self.record;
        Box::new(Bound { metric, record })
    }
}

impl<T: Number, M: Metric, F: Record<M>> AsyncInstrument<T> for Instrument<M, F> {
    fn observe(&self, measurement: T, attributes: &[KeyValue]) {
        self.measure(measurement, attributes);
    }
}

impl<T: Number, M: Metric, F: Record<M>> BoundSyncInstrument<T> for Bound<M, F> {
    fn measure(&self, measurement: T) {
        (self.record)(&self.metric, measurement.as_f64());
    }
}

/// A counter of which this process observes its own total.
#[derive(Clone)]
pub(super) struct Total {
    counter: Counter,
    last: Arc<AtomicU64>,
}

impl Total {
    /// Adds what came since the last observation. A smaller total begins anew.
    pub(super) fn observe(&self, total: f64) {
        let last = f64::from_bits(self.last.swap(total.to_bits(), Relaxed));
        self.counter
            .inc_by(if total >= last { total - last } else { total });
    }
}

impl FromCells for Total {
    fn from_cells(cells: &[Cell], state: &Arc<MetricState>) -> Self {
        Self {
            counter: Counter::from_cells(cells, state),
            last: Arc::default(),
        }
    }
}
