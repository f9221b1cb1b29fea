//! The lesson: a meter provider that pushes over OTLP.
//!
//! Each worker process builds its own after it was started, since a provider has
//! threads.

use std::time::Duration;

use common::telemetry;
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
};

/// Short, so that a first run shows something soon. In production every export costs,
/// and 15 seconds or a minute is usual: `OTEL_METRIC_EXPORT_INTERVAL`.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3);

/// Who sends the metrics: `service.name`, `service.version`, `service.instance.id`.
pub(crate) fn resource() -> Resource {
    telemetry::resource(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

/// Builds the provider of this process, as `OTEL_METRICS_EXPORTER` and
/// `OTEL_EXPORTER_OTLP_*` say.
pub(crate) fn init() -> SdkMeterProvider {
    let mut provider = SdkMeterProvider::builder()
        .with_resource(resource())
        .with_view(telemetry::histogram_view());
    for exporter in telemetry::metric_exporters() {
        let interval = telemetry::metric_export_interval(INTERVAL);
        let reader = PeriodicReader::builder(exporter).with_interval(interval);
        provider = provider.with_reader(reader.build());
    }
    provider.build()
}
