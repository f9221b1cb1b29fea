//! Makes the instruments of a meter.

use std::{collections::HashMap, sync::Arc};

use opentelemetry::metrics::{
    AsyncInstrumentBuilder, Callback, Counter as OtelCounter, Gauge as OtelGauge,
    Histogram as OtelHistogram, HistogramBuilder, InstrumentBuilder, InstrumentProvider,
    MeterProvider, NoopMeterProvider, ObservableCounter, ObservableGauge, ObservableUpDownCounter,
    SyncInstrument, UpDownCounter,
};
use prometheus::{HistogramOpts, Opts};

use super::{
    instrument::{Instrument, Number, Record, Total},
    names,
    observers::Observers,
    series::Series,
};
use crate::{
    definition::Definition,
    exemplar::SpanIds,
    format::{GaugeMode, Kind},
    metric::{Counter, Gauge, Histogram, Metric},
    periodic::Periodic,
    store::Store,
};

/// The default bucket bounds of the [specification].
///
/// [specification]: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#explicit-bucket-histogram-aggregation
const BOUNDS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10000.0,
];

/// What all meters of a provider share.
pub(super) struct Shared {
    pub(super) store: Store,
    /// Bucket bounds by the names of instruments.
    pub(super) bounds: HashMap<String, Vec<f64>>,
    pub(super) observers: Arc<Observers>,
    pub(super) exemplars: bool,
    /// Reads the observers.
    pub(super) _thread: Option<Periodic>,
}

/// Makes the instruments of one scope.
pub(super) struct StoreMeter {
    pub(super) shared: Arc<Shared>,
    pub(super) scope: Arc<[(String, String)]>,
}

/// What a builder says of its instrument.
struct Described<'a> {
    name: &'a str,
    unit: Option<&'a str>,
    description: Option<&'a str>,
}

impl StoreMeter {
    /// An instrument; `None`, and a log line, if there cannot be such a metric.
    fn instrument<M: Metric, F: Record<M>>(
        &self,
        kind: Kind,
        described: &Described<'_>,
        bounds: Option<Vec<f64>>,
        record: F,
    ) -> Option<Instrument<M, F>> {
        let name = names::metric(described.name, described.unit.unwrap_or_default(), kind);
        let opts = Opts::new(name, described.description.unwrap_or_default());
        let definition = match bounds {
            Some(mut bounds) => {
                // An empty list asks for a histogram without buckets.
                if bounds.is_empty() {
                    bounds.push(f64::INFINITY);
                }
                Definition::histogram(HistogramOpts::from(opts).buckets(bounds), &[])
            }
            None => Definition::new(kind, opts, &[]),
        };
        let registered = definition.and_then(|mut definition| {
            definition.is_open = true;
            self.shared.store.register(definition, Arc::clone)
        });
        match registered {
            Ok(state) => Some(Instrument {
                series: Series::new(state, Arc::clone(&self.scope)),
                record,
                exemplars: self.shared.exemplars && matches!(kind, Kind::Counter | Kind::Histogram),
            }),
            Err(error) => {
                log::warn!("instrument {:?} does nothing: {error}", described.name);
                None
            }
        }
    }

    fn counter<T: Number>(
        &self,
        described: &Described<'_>,
    ) -> Option<Arc<dyn SyncInstrument<T> + Send + Sync>> {
        let add = |counter: &Counter, amount, span| counter.add(amount, span);
        Some(Arc::new(self.instrument(
            Kind::Counter,
            described,
            None,
            add,
        )?))
    }

    fn up_down_counter<T: Number>(
        &self,
        described: &Described<'_>,
    ) -> Option<Arc<dyn SyncInstrument<T> + Send + Sync>> {
        let add = |gauge: &Gauge, amount, _| gauge.add(amount);
        Some(Arc::new(self.instrument(SUM, described, None, add)?))
    }

    fn gauge<T: Number>(
        &self,
        described: &Described<'_>,
    ) -> Option<Arc<dyn SyncInstrument<T> + Send + Sync>> {
        let set = |gauge: &Gauge, value, _| gauge.set(value);
        Some(Arc::new(self.instrument(
            MOST_RECENT,
            described,
            None,
            set,
        )?))
    }

    fn histogram<T: Number>(
        &self,
        described: &Described<'_>,
        advice: Option<Vec<f64>>,
    ) -> Option<Arc<dyn SyncInstrument<T> + Send + Sync>> {
        let view = self.shared.bounds.get(described.name).cloned();
        let bounds = view.or(advice).unwrap_or_else(|| BOUNDS.to_vec());
        let observe = |histogram: &Histogram, value, span| histogram.record(value, span);
        Some(Arc::new(self.instrument(
            Kind::Histogram,
            described,
            Some(bounds),
            observe,
        )?))
    }

    fn observe<T: Number, M: Metric, F: Record<M>>(
        &self,
        kind: Kind,
        described: &Described<'_>,
        callbacks: Vec<Callback<T>>,
        record: F,
    ) {
        if let Some(instrument) = self.instrument(kind, described, None, record) {
            self.shared.observers.add(move || {
                for callback in &callbacks {
                    callback(&instrument);
                }
            });
        }
    }
}

/// Sets a gauge to what was observed.
fn set(gauge: &Gauge, value: f64, _: Option<SpanIds>) {
    gauge.set(value);
}

/// How an up-down counter is merged.
const SUM: Kind = Kind::Gauge(GaugeMode::LiveSum);
/// How a gauge is merged.
const MOST_RECENT: Kind = Kind::Gauge(GaugeMode::LiveMostRecent);

/// [`Described`] of a builder.
macro_rules! described {
    ($builder:expr) => {
        &Described {
            name: &$builder.name,
            unit: $builder.unit.as_deref(),
            description: $builder.description.as_deref(),
        }
    };
}

macro_rules! sync_instrument {
    ($method:ident, $make:ident, $instrument:ident<$number:ty>) => {
        fn $method(
            &self,
            builder: InstrumentBuilder<'_, $instrument<$number>>,
        ) -> $instrument<$number> {
            match self.$make(described!(builder)) {
                Some(instrument) => $instrument::new(instrument),
                None => NoopMeterProvider::new()
                    .meter("")
                    .$method(builder.name)
                    .build(),
            }
        }
    };
}

macro_rules! histogram {
    ($method:ident, $number:ty) => {
        fn $method(
            &self,
            builder: HistogramBuilder<'_, OtelHistogram<$number>>,
        ) -> OtelHistogram<$number> {
            match self.histogram(described!(builder), builder.boundaries.clone()) {
                Some(instrument) => OtelHistogram::new(instrument),
                None => NoopMeterProvider::new()
                    .meter("")
                    .$method(builder.name)
                    .build(),
            }
        }
    };
}

macro_rules! observable {
    ($method:ident, $kind:expr, $record:expr, $instrument:ident<$number:ty>) => {
        fn $method(
            &self,
            builder: AsyncInstrumentBuilder<'_, $instrument<$number>, $number>,
        ) -> $instrument<$number> {
            let described = described!(builder);
            self.observe($kind, described, builder.callbacks, $record);
            $instrument::new()
        }
    };
}

impl InstrumentProvider for StoreMeter {
    sync_instrument!(u64_counter, counter, OtelCounter<u64>);
    sync_instrument!(f64_counter, counter, OtelCounter<f64>);
    sync_instrument!(i64_up_down_counter, up_down_counter, UpDownCounter<i64>);
    sync_instrument!(f64_up_down_counter, up_down_counter, UpDownCounter<f64>);
    sync_instrument!(u64_gauge, gauge, OtelGauge<u64>);
    sync_instrument!(i64_gauge, gauge, OtelGauge<i64>);
    sync_instrument!(f64_gauge, gauge, OtelGauge<f64>);
    histogram!(u64_histogram, u64);
    histogram!(f64_histogram, f64);
    observable!(
        u64_observable_counter,
        Kind::Counter,
        Total::observe,
        ObservableCounter<u64>
    );
    observable!(
        f64_observable_counter,
        Kind::Counter,
        Total::observe,
        ObservableCounter<f64>
    );
    observable!(
        i64_observable_up_down_counter,
        SUM,
        set,
        ObservableUpDownCounter<i64>
    );
    observable!(
        f64_observable_up_down_counter,
        SUM,
        set,
        ObservableUpDownCounter<f64>
    );
    observable!(u64_observable_gauge, MOST_RECENT, set, ObservableGauge<u64>);
    observable!(i64_observable_gauge, MOST_RECENT, set, ObservableGauge<i64>);
    observable!(f64_observable_gauge, MOST_RECENT, set, ObservableGauge<f64>);
}
