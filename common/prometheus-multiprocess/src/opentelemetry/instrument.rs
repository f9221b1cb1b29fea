//! One instrument: its series, and what a measurement does to one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use opentelemetry::{
    Context, KeyValue,
    metrics::{AsyncInstrument, BoundSyncInstrument, SyncInstrument},
    trace::TraceContextExt as _,
};

use super::series::Series;
use crate::{
    exemplar::SpanIds,
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
    /// Whether measurements within a sampled span have exemplars.
    pub(super) exemplars: bool,
}

struct Bound<M, F> {
    metric: M,
    record: F,
    exemplars: bool,
}

/// What is done with a measurement, and with the span to which it belongs.
pub(super) trait Record<M>:
    Fn(&M, f64, Option<SpanIds>) + Copy + Send + Sync + 'static
{
}

impl<M, F: Fn(&M, f64, Option<SpanIds>) + Copy + Send + Sync + 'static> Record<M> for F {}

/// The current span, if it is sampled: the default of the [specification], `trace_based`.
///
/// [specification]: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#exemplarfilter
#[inline]
fn sampled_span() -> Option<SpanIds> {
    Context::map_current(|context| {
        if !context.has_active_span() {
            return None;
        }
        let span = context.span();
        let ids = span.span_context();
        (ids.is_sampled() && ids.is_valid()).then(|| SpanIds {
            trace_id: ids.trace_id().to_bytes(),
            span_id: ids.span_id().to_bytes(),
        })
    })
}

impl<T: Number, M: Metric, F: Record<M>> SyncInstrument<T> for Instrument<M, F> {
    fn measure(&self, measurement: T, attributes: &[KeyValue]) {
        let span = self.exemplars.then(sampled_span).flatten();
        let record = |metric: &M| (self.record)(metric, measurement.as_f64(), span);
        self.series.with(attributes, record);
    }

    fn bind(&self, attributes: &[KeyValue]) -> Box<dyn BoundSyncInstrument<T> + Send + Sync> {
        let metric = self.series.get(attributes);
        Box::new(Bound {
            metric,
            record: self.record,
            exemplars: self.exemplars,
        })
    }
}

impl<T: Number, M: Metric, F: Record<M>> AsyncInstrument<T> for Instrument<M, F> {
    fn observe(&self, measurement: T, attributes: &[KeyValue]) {
        self.measure(measurement, attributes);
    }
}

impl<T: Number, M: Metric, F: Record<M>> BoundSyncInstrument<T> for Bound<M, F> {
    fn measure(&self, measurement: T) {
        let span = self.exemplars.then(sampled_span).flatten();
        (self.record)(&self.metric, measurement.as_f64(), span);
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
    pub(super) fn observe(&self, total: f64, _: Option<SpanIds>) {
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
