//! Metrics by push: exporters for the SDK's periodic reader.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use opentelemetry_otlp::MetricExporter as OtlpExporter;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use opentelemetry_stdout::MetricExporter as ConsoleExporter;

use crate::{
    env::Env,
    otlp::{Destination, Exporter, Signal},
};

/// The exporters that `OTEL_METRICS_EXPORTER` lists: `otlp` (the default), `console`
/// or `none`. Give each of them a periodic reader:
///
/// ```
/// use std::time::Duration;
///
/// use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
///
/// let mut provider = SdkMeterProvider::builder();
/// for exporter in actix_telemetry::metric_exporters() {
///     let interval = actix_telemetry::metric_export_interval(Duration::from_secs(60));
///     let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
///     provider = provider.with_reader(reader);
/// }
/// let provider = provider.build();
/// # let _ = provider;
/// ```
///
/// Where they push to is what the variables of the [OTLP exporter] say. A value that
/// cannot be used is logged and replaced by the default.
///
/// [OTLP exporter]: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
pub fn metric_exporters() -> Vec<MetricExporter> {
    let exporters = Exporter::all(Env::process(), Signal::Metrics);
    exporters
        .into_iter()
        .filter_map(MetricExporter::new)
        .collect()
}

/// The time between two exports: `OTEL_METRIC_EXPORT_INTERVAL` in milliseconds, from
/// 1 to a day, else `default`.
pub fn metric_export_interval(default: Duration) -> Duration {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let default = u64::try_from(default.as_millis()).unwrap_or(DAY);
    let interval = Env::process().number("OTEL_METRIC_EXPORT_INTERVAL", 1..=DAY, default);
    Duration::from_millis(interval)
}

/// An exporter that logs once when metrics stop arriving and once when they arrive
/// again. The SDK would log it twice at each export.
pub struct MetricExporter {
    exporter: Kind,
    failing: AtomicBool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them in a process"
)]
enum Kind {
    Otlp(OtlpExporter, Box<Destination>),
    Console(ConsoleExporter),
}

impl MetricExporter {
    fn new(exporter: Exporter) -> Option<Self> {
        let exporter = match exporter {
            Exporter::Otlp(destination) => Kind::Otlp(destination.metric_exporter()?, destination),
            Exporter::Console => Kind::Console(ConsoleExporter::default()),
        };
        let failing = AtomicBool::new(false);
        Some(Self { exporter, failing })
    }

    fn report(&self, to: &Destination, result: &OTelSdkResult) {
        let failed = result.is_err();
        let failed_before = self.failing.swap(failed, Relaxed);
        match result {
            Err(error) if !failed_before => log::warn!(
                "metrics do not arrive at {to}: {error}; {}. {}",
                to.advice(),
                match self.temporality() {
                    Temporality::Delta => "Counts since the last export are lost.",
                    _ => "Nothing is lost yet: the next export carries the totals.",
                }
            ),
            Ok(()) if failed_before => log::info!("metrics arrive again at {to}"),
            _ => {}
        }
    }
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        match &self.exporter {
            Kind::Otlp(exporter, to) => {
                let result = exporter.export(metrics).await;
                self.report(to, &result);
                result
            }
            Kind::Console(exporter) => exporter.export(metrics).await,
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        match &self.exporter {
            Kind::Otlp(exporter, _) => exporter.force_flush(),
            Kind::Console(exporter) => exporter.force_flush(),
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        match &self.exporter {
            Kind::Otlp(exporter, _) => exporter.shutdown_with_timeout(timeout),
            Kind::Console(exporter) => exporter.shutdown_with_timeout(timeout),
        }
    }

    fn temporality(&self) -> Temporality {
        match &self.exporter {
            Kind::Otlp(exporter, _) => exporter.temporality(),
            Kind::Console(exporter) => exporter.temporality(),
        }
    }
}
