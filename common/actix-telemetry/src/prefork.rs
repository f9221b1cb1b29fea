//! What the master of worker processes does for telemetry.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    env,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_prefork::{
    HARNESS_METRICS, HarnessMetric, MetricKind, Point, Snapshot, Snapshots, Start,
};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};

#[cfg(feature = "store-push")]
pub use crate::store_push::{StorePush, push_store};
use crate::{
    env::Env,
    metrics,
    resource::{hand_on, resource},
    shutdown::{Provider, SHUTDOWN_TIMEOUT, shutdown_blocking},
    warn::mute,
};

// What a worker does after the last request has to fit in what the master allows.
const _: () = assert!(SHUTDOWN_TIMEOUT.as_millis() < actix_prefork::FLUSH_TIMEOUT.as_millis());

/// The master's provider. Dropped after the last worker, it pushes once more.
#[derive(Debug)]
pub struct HarnessMetrics(Option<SdkMeterProvider>);

/// Where an embedded collector tells the workers to push metrics.
const EMBEDDED: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

/// How often an embedded collector gets the metrics, so that it shows at once what happens to a
/// worker.
const EMBEDDED_INTERVAL: Duration = Duration::from_secs(1);

/// Pushes the metrics of the harness from the master, which outlives every worker.
///
/// Call it in the master's `on_start` hook. A collector that an earlier hook embedded
/// gets them every second.
///
/// # Errors
///
/// Never.
pub fn push_harness_metrics(
    start: &mut Start,
    resource: Resource,
    interval: Duration,
) -> Result<HarnessMetrics, Infallible> {
    hand_on(&mut start.environment);
    // The first worker reads the same variables and reports what is wrong with them.
    mute();
    let interval = match start.environment.contains_key(EMBEDDED) {
        true => EMBEDDED_INTERVAL,
        false => metrics::metric_export_interval(interval),
    };
    let of_worker = |name: &str| start.environment.get(name).cloned();
    let lookup = |name: &str| of_worker(name).or_else(|| env::var(name).ok());
    let mut provider = SdkMeterProvider::builder().with_resource(resource);
    for exporter in metrics::exporters(Env(&lookup)) {
        let reader = PeriodicReader::builder(exporter).with_interval(interval);
        provider = provider.with_reader(reader.build());
    }
    let provider = provider.build();
    register(&provider.meter("actix-prefork"), &start.snapshots);
    Ok(HarnessMetrics(Some(provider)))
}

/// Pushes the metrics of the harness to the collector that an earlier hook embedded, if any.
///
/// This is for a service that exports no metrics itself: the collector can then show its workers.
/// `name` and `version` are those of the service.
///
/// # Errors
///
/// Never.
pub fn show_workers(
    start: &mut Start,
    name: &str,
    version: &str,
) -> Result<HarnessMetrics, Infallible> {
    match start.environment.contains_key(EMBEDDED) {
        true => push_harness_metrics(start, resource(name, version), EMBEDDED_INTERVAL),
        false => Ok(HarnessMetrics(None)),
    }
}

impl Drop for HarnessMetrics {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            shutdown_blocking(Provider::Metrics(provider));
        }
    }
}

/// One snapshot for all metrics of a collection, since taking it reads `/proc`.
struct Shared {
    snapshots: Snapshots,
    /// The last snapshot, and which metrics have been read from it.
    last: Mutex<Option<(Snapshot, BTreeSet<&'static str>)>>,
}

impl Shared {
    /// A collection reads each metric once: one that is read again begins the next collection.
    fn points(&self, metric: &'static HarnessMetric) -> Vec<Point> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.take().filter(|(_, read)| !read.contains(metric.name));
        let (snapshot, read) =
            last.insert(known.unwrap_or_else(|| (self.snapshots.take(), BTreeSet::new())));
        read.insert(metric.name);
        metric.points(snapshot)
    }
}

fn register(meter: &Meter, snapshots: &Snapshots) {
    let shared = Arc::new(Shared {
        snapshots: snapshots.clone(),
        last: Mutex::default(),
    });
    for metric in &HARNESS_METRICS {
        let shared = shared.clone();
        let points = move || shared.points(metric);
        let observe = move |instrument: &dyn AsyncInstrument<f64>| {
            for point in points() {
                instrument.observe(point.value, &attributes(metric, &point));
            }
        };
        let (name, unit, description) = (metric.name, metric.unit, metric.description);
        macro_rules! build {
            ($instrument:ident) => {{
                let instrument = meter.$instrument(name).with_unit(unit);
                let instrument = instrument.with_description(description);
                instrument.with_callback(observe).build();
            }};
        }
        match metric.kind {
            MetricKind::Counter => build!(f64_observable_counter),
            MetricKind::UpDownCounter => build!(f64_observable_up_down_counter),
            MetricKind::Gauge => build!(f64_observable_gauge),
        }
    }
}

fn attributes(metric: &HarnessMetric, point: &Point) -> Vec<KeyValue> {
    let slot = point
        .slot
        .map(|slot| KeyValue::new("slot", i64::from(slot)));
    let other = metric.attribute.zip(point.attribute);
    let other = other.map(|(name, value)| KeyValue::new(name, value));
    slot.into_iter().chain(other).collect()
}
