//! The part to take into your own service: one registry for the instruments of
//! OpenTelemetry, the metrics of actix-web-prom and those of the process.

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;

use crate::{check, exposition::Exposition, http::HttpMetrics, metrics::Metrics, resource};

/// The metrics of this process, and what shows them.
pub(crate) struct Telemetry {
    metrics: Metrics,
    http: HttpMetrics,
    exposition: Exposition,
    /// Dropping it would end the instruments.
    _provider: SdkMeterProvider,
}

impl Telemetry {
    /// Builds the registry and all that is in it.
    ///
    /// # Errors
    ///
    /// If two metrics share a name, or one cannot be shown in the text format.
    pub(crate) fn init() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // Or every line would carry the name of the meter.
            .scope_info_enabled(false)
            .build()?;
        let provider = SdkMeterProvider::builder()
            .with_resource(resource::of_this_process(env!("CARGO_PKG_NAME")))
            .with_reader(exporter)
            .build();
        let metrics = Metrics::new(&provider.meter(env!("CARGO_PKG_NAME")));
        // Nothing else is registered yet, so this is what OpenTelemetry shows.
        let instruments = registry.gather();

        let http = HttpMetrics::register(&registry)?;
        register_process_metrics(&registry)?;

        check::instruments(&instruments, &Metrics::FAMILIES)?;
        check::reserve_names(&Metrics::FAMILIES, &registry)?;
        check::families(&registry.gather())?;
        Ok(Self {
            metrics,
            http,
            exposition: Exposition::of(registry),
            _provider: provider,
        })
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn http(&self) -> &HttpMetrics {
        &self.http
    }

    pub(crate) fn exposition(&self) -> Exposition {
        self.exposition.clone()
    }
}

/// CPU time, memory, file descriptors, threads and the start of the process.
#[cfg(target_os = "linux")]
fn register_process_metrics(registry: &Registry) -> prometheus::Result<()> {
    use prometheus::process_collector::ProcessCollector;

    registry.register(Box::new(ProcessCollector::for_self()))
}

/// Other systems have no /proc to read them from.
#[cfg(not(target_os = "linux"))]
fn register_process_metrics(_: &Registry) -> prometheus::Result<()> {
    Ok(())
}
