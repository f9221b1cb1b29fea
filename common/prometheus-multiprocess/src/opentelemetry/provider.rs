//! The meter provider.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{Meter, MeterProvider},
};
use prometheus::Error;

use super::{
    meter::{Shared, StoreMeter},
    names,
    observers::Observers,
};
use crate::{
    definition::GaugeOpts,
    format::{GaugeMode, Kind},
    periodic::Periodic,
    store::Store,
};

/// How often observable instruments are read by default.
const INTERVAL: Duration = Duration::from_secs(1);

/// A meter provider whose instruments count in the files of a [`Store`].
///
/// Every library that is instrumented with OpenTelemetry then counts over all worker processes, and
/// a `kill -9` loses nothing. Any process answers a scrape with the sum, see [`Store::collector`].
///
/// | instrument | merged over processes |
/// |---|---|
/// | counter, histogram | the sum over all processes, ended ones included |
/// | up-down counter | the sum over the living processes |
/// | gauge | the value that a living process set last |
/// | observable ones | the same; a thread reads them every second |
///
/// Names, units and attributes are translated as the specification's page on [Prometheus
/// compatibility] says: `http.server.request.duration` in seconds is
/// `http_server_request_duration_seconds`. Above the limit of series
/// ([`Store::with_series_limit`]) an instrument counts in a series with the label
/// `otel_metric_overflow="true"`. An instrument that cannot be registered, for example because
/// another one of that name is a gauge, is logged and does nothing.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
/// # let store = directory.store();
/// use opentelemetry::{KeyValue, metrics::MeterProvider};
/// use prometheus_multiprocess::StoreMeterProvider;
///
/// let provider = StoreMeterProvider::builder(store).build();
/// let orders = provider.meter("shop").u64_counter("shop.orders").build();
/// orders.add(2, &[KeyValue::new("order.kind", "new")]);
///
/// let mut text = String::new();
/// store.collector()?.encode_text(&mut text)?;
/// assert!(text.contains("shop_orders_total{order_kind=\"new\"} 2.0\n"));
/// # Ok(())
/// # }
/// ```
///
/// [Prometheus compatibility]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
#[derive(Clone)]
pub struct StoreMeterProvider {
    shared: Arc<Shared>,
    scope_labels: bool,
}

/// Options of a [`StoreMeterProvider`].
#[derive(Debug)]
pub struct StoreMeterProviderBuilder {
    store: Store,
    resource: Vec<KeyValue>,
    bounds: HashMap<String, Vec<f64>>,
    scope_labels: bool,
    exemplars: bool,
    interval: Duration,
}

impl StoreMeterProviderBuilder {
    /// Shows these attributes as labels of `target_info`. Pass those that all processes of the
    /// service share: each other value is one more series.
    pub fn with_resource(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.resource = attributes.into_iter().collect();
        self
    }

    /// Sets the bucket bounds of the histogram with this name, whatever its library advises. They
    /// have to increase.
    pub fn with_boundaries(mut self, instrument: impl Into<String>, bounds: Vec<f64>) -> Self {
        self.bounds.insert(instrument.into(), bounds);
        self
    }

    /// Gives each series the labels `otel_scope_name` and `otel_scope_version` of its meter. By
    /// default instruments of one name in several meters are one metric.
    pub fn with_scope_labels(mut self) -> Self {
        self.scope_labels = true;
        self
    }

    /// Sets whether a measurement of a counter or a histogram within a sampled span has that span as
    /// an exemplar, which a scrape in OpenMetrics shows. It does by default, as the [specification]
    /// says.
    ///
    /// [specification]: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#exemplarfilter
    pub fn with_exemplars(mut self, exemplars: bool) -> Self {
        self.exemplars = exemplars;
        self
    }

    /// Sets how often observable instruments are read; the default is a second.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Builds the provider.
    pub fn build(self) -> StoreMeterProvider {
        let observers = Arc::new(Observers::default());
        let observed = Arc::clone(&observers);
        let thread = Periodic::start("observe", self.interval, move || observed.run());
        if let Err(error) = &thread {
            log::warn!("cannot start the thread that reads observable instruments: {error}");
        }
        if !self.resource.is_empty()
            && let Err(error) = target_info(&self.store, &self.resource)
        {
            log::warn!("cannot show the resource as target_info: {error}");
        }
        StoreMeterProvider {
            shared: Arc::new(Shared {
                store: self.store,
                bounds: self.bounds,
                observers,
                exemplars: self.exemplars,
                _thread: thread.ok(),
            }),
            scope_labels: self.scope_labels,
        }
    }
}

fn target_info(store: &Store, resource: &[KeyValue]) -> Result<(), Error> {
    let opts = GaugeOpts::new("target_info", "Target metadata").mode(GaugeMode::LiveMax);
    let labels = names::labels(resource, Kind::Gauge(opts.mode));
    let names: Vec<&str> = labels.keys().map(String::as_str).collect();
    let values: Vec<&String> = labels.values().collect();
    let info = store.gauge_vec(opts, &names)?;
    info.get_metric_with_label_values(&values)?.set(1.0);
    Ok(())
}

impl StoreMeterProvider {
    /// A provider with default options.
    pub fn new(store: &Store) -> Self {
        Self::builder(store).build()
    }

    /// Sets options.
    pub fn builder(store: &Store) -> StoreMeterProviderBuilder {
        StoreMeterProviderBuilder {
            store: store.clone(),
            resource: Vec::new(),
            bounds: HashMap::new(),
            scope_labels: false,
            exemplars: true,
            interval: INTERVAL,
        }
    }

    /// Reads all observable instruments now, for example at the end of a process.
    pub fn observe(&self) {
        self.shared.observers.run();
    }
}

impl fmt::Debug for StoreMeterProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreMeterProvider")
            .field(&self.shared.store)
            .finish()
    }
}

impl MeterProvider for StoreMeterProvider {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        let labels = [
            ("otel_scope_name", Some(scope.name())),
            ("otel_scope_version", scope.version()),
        ];
        let label =
            |(name, value): (&str, Option<&str>)| Some((name.to_owned(), value?.to_owned()));
        let labels = labels
            .into_iter()
            .filter(|_| self.scope_labels)
            .filter_map(label);
        Meter::new(Arc::new(StoreMeter {
            shared: Arc::clone(&self.shared),
            scope: labels.collect(),
        }))
    }
}
