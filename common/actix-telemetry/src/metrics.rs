//! Metrics by push: exporters for the SDK's periodic reader.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use opentelemetry_otlp::MetricExporter as OtlpExporter;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        Aggregation, Instrument, InstrumentKind, Stream, Temporality, data::ResourceMetrics,
        exporter::PushMetricExporter,
    },
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
    exporters(Env::process())
}

pub(crate) fn exporters(env: Env<'_>) -> Vec<MetricExporter> {
    let exporters = Exporter::all(env, Signal::Metrics);
    let temporality = temporality(env);
    exporters
        .into_iter()
        .filter_map(|exporter| MetricExporter::new(exporter, temporality))
        .collect()
}

/// The time between two exports: `OTEL_METRIC_EXPORT_INTERVAL` in milliseconds, from
/// 1 to a day, else `default`.
pub fn metric_export_interval(default: Duration) -> Duration {
    read_interval(Env::process(), default)
}

pub(crate) fn read_interval(env: Env<'_>, default: Duration) -> Duration {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let default = u64::try_from(default.as_millis()).unwrap_or(DAY);
    Duration::from_millis(env.number("OTEL_METRIC_EXPORT_INTERVAL", 1..=DAY, default))
}

/// How histograms are aggregated: a [view] for those of the SDK's builder.
/// `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION` makes all of them
/// exponential (`base2_exponential_bucket_histogram`) or leaves each its own buckets
/// (`explicit_bucket_histogram`, the default).
///
/// ```
/// use opentelemetry_sdk::metrics::SdkMeterProvider;
///
/// let provider = SdkMeterProvider::builder().with_view(actix_telemetry::histogram_view());
/// # let _ = provider;
/// ```
///
/// [view]: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#view
pub fn histogram_view() -> impl Fn(&Instrument) -> Option<Stream> + Send + Sync + 'static {
    let exponential = is_exponential(Env::process());
    move |instrument| {
        if !exponential || instrument.kind() != InstrumentKind::Histogram {
            return None;
        }
        let aggregation = Aggregation::Base2ExponentialHistogram {
            // The defaults of the specification.
            max_size: 160,
            max_scale: 20,
            record_min_max: true,
        };
        Stream::builder().with_aggregation(aggregation).build().ok()
    }
}

pub(crate) fn is_exponential(env: Env<'_>) -> bool {
    const NAME: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    const NAMES: [&str; 2] = [
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
    ];
    let Some(variable) = env.variable(NAME) else {
        return false;
    };
    if !NAMES.iter().any(|name| variable.is(name)) {
        variable.reject(&format!("expected {} or {}", NAMES[0], NAMES[1]), NAMES[0]);
    }
    variable.is(NAMES[1])
}

/// Whether exports have totals or increases.
pub(crate) fn temporality(env: Env<'_>) -> Temporality {
    let Some(variable) = env.variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE") else {
        return Temporality::Cumulative;
    };
    match variable.value.to_ascii_lowercase().as_str() {
        "cumulative" => Temporality::Cumulative,
        "delta" => Temporality::Delta,
        "lowmemory" => Temporality::LowMemory,
        _ => {
            variable.reject("expected cumulative, delta or lowmemory", "cumulative");
            Temporality::Cumulative
        }
    }
}

/// What is lost if totals do not arrive.
pub(crate) const NOT_LOST: &str = "Nothing is lost yet: the next export carries the totals.";

/// An exporter that logs once when metrics stop arriving and once when they arrive
/// again. The SDK would log it twice at each export.
pub struct MetricExporter {
    exporter: Kind,
    arrival: Arrival,
}

/// Whether the last export arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    failing: AtomicBool,
}

impl Arrival {
    /// Logs that metrics do not arrive, and what is lost, or that they arrive again.
    pub(crate) fn report<T, E: Display>(&self, to: &Destination, result: Result<T, E>, lost: &str) {
        let failed_before = self.failing.swap(result.is_err(), Relaxed);
        match result {
            Err(error) if !failed_before => log::warn!(
                "metrics do not arrive at {to}: {error}; {}. {lost}",
                to.advice()
            ),
            Ok(_) if failed_before => log::info!("metrics arrive again at {to}"),
            _ => {}
        }
    }
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
    fn new(exporter: Exporter, temporality: Temporality) -> Option<Self> {
        let exporter = match exporter {
            Exporter::Otlp(to) => Kind::Otlp(to.metric_exporter(temporality)?, to),
            Exporter::Console => Kind::Console(ConsoleExporter::default()),
        };
        let arrival = Arrival::default();
        Some(Self { exporter, arrival })
    }
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        match &self.exporter {
            Kind::Otlp(exporter, to) => {
                let result = exporter.export(metrics).await;
                let lost = match self.temporality() {
                    Temporality::Delta => "Counts since the last export are lost.",
                    _ => NOT_LOST,
                };
                self.arrival.report(to, result.as_ref(), lost);
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
