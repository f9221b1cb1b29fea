//! What the harness counts of its workers: pushed once, from the master, which
//! outlives them all.

use common::workers::{HARNESS_METRICS, HarnessMetric, Point, Snapshots, Start};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use crate::telemetry::{Provider, Settings};

/// The master's provider; dropped after the last worker, it pushes once more.
pub(crate) struct Supervision(Option<Provider>);

impl Supervision {
    /// Begins to push.
    ///
    /// Not to the embedded collector: that one is there to look at what the
    /// service counts, and the harness would fill the screen.
    ///
    /// # Errors
    ///
    /// If the exporter cannot be built from its variables.
    pub(crate) fn begin(start: &Start, settings: &Settings) -> anyhow::Result<Self> {
        let embedded = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
        if start.environment.contains_key(embedded) {
            return Ok(Self(None));
        }
        // The workers get this variable where no proxy is to be on the way. It is
        // too late for the master to get it.
        let straight = start.environment.contains_key("NO_PROXY");
        let provider = Provider::build(settings, straight)?;
        register(&provider.meter(), &start.snapshots);
        Ok(Self(Some(provider)))
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            provider.shutdown();
        }
    }
}

fn register(meter: &Meter, snapshots: &Snapshots) {
    for metric in &HARNESS_METRICS {
        let snapshots = snapshots.clone();
        let points = move || metric.points(&snapshots.take());
        if metric.is_counter {
            let observe = move |instrument: &dyn AsyncInstrument<u64>| {
                for point in points() {
                    instrument.observe(point.value as u64, &attributes(metric, &point));
                }
            };
            let builder = meter.u64_observable_counter(metric.name);
            builder
                .with_description(metric.description)
                .with_unit(metric.unit)
                .with_callback(observe)
                .build();
        } else {
            let observe = move |instrument: &dyn AsyncInstrument<f64>| {
                for point in points() {
                    instrument.observe(point.value, &attributes(metric, &point));
                }
            };
            let builder = meter.f64_observable_gauge(metric.name);
            builder
                .with_description(metric.description)
                .with_unit(metric.unit)
                .with_callback(observe)
                .build();
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
