//! What the master of worker processes does for telemetry.

use std::{convert::Infallible, time::Duration};

use actix_prefork::{HARNESS_METRICS, HarnessMetric, MetricKind, Point, Snapshots, Start};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};

use crate::{
    metrics,
    resource::hand_on,
    shutdown::{Provider, SHUTDOWN_TIMEOUT, shutdown_blocking},
    warn::mute,
};

// What a worker does after the last request has to fit in what the master allows.
const _: () = assert!(SHUTDOWN_TIMEOUT.as_millis() < actix_prefork::FLUSH_TIMEOUT.as_millis());

/// The master's provider. Dropped after the last worker, it pushes once more.
#[derive(Debug)]
pub struct HarnessMetrics(Option<SdkMeterProvider>);

/// Pushes the metrics of the harness from the master, which outlives every worker.
///
/// Call it in the master's `on_start` hook. Nothing is pushed to a collector that an
/// earlier hook embedded: that one is there to look at the service.
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
    let embedded = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    if start.environment.contains_key(embedded) {
        return Ok(HarnessMetrics(None));
    }
    // The first worker reads the same variables and reports what is wrong with them.
    mute();
    let mut provider = SdkMeterProvider::builder().with_resource(resource);
    let interval = metrics::metric_export_interval(interval);
    for exporter in metrics::metric_exporters() {
        let reader = PeriodicReader::builder(exporter).with_interval(interval);
        provider = provider.with_reader(reader.build());
    }
    let provider = provider.build();
    register(&provider.meter("actix-prefork"), &start.snapshots);
    Ok(HarnessMetrics(Some(provider)))
}

impl Drop for HarnessMetrics {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            shutdown_blocking(Provider::Metrics(provider));
        }
    }
}

fn register(meter: &Meter, snapshots: &Snapshots) {
    for metric in &HARNESS_METRICS {
        let snapshots = snapshots.clone();
        let points = move || metric.points(&snapshots.take());
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
