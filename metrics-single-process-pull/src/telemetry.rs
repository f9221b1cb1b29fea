//! The lesson: one registry for the instruments of OpenTelemetry, the metrics of
//! actix-web-prom and those of the process.

use common::telemetry::{
    self,
    pull::{Exposition, with_label_names},
};
use opentelemetry::metrics::{Counter, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use crate::{check, http::HttpMetrics};

/// The metrics of this process, and what shows them.
#[derive(Clone)]
pub(crate) struct Telemetry {
    pub(crate) metrics: Metrics,
    pub(crate) http: HttpMetrics,
    pub(crate) exposition: Exposition,
    /// Dropping it would end the instruments.
    _provider: SdkMeterProvider,
}

/// The OpenTelemetry instruments of the service.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `/`.
    pub(crate) requests: Counter<u64>,
    /// Internal errors.
    pub(crate) errors: Counter<u64>,
}

impl Telemetry {
    /// Builds the registry and all that is in it.
    ///
    /// # Errors
    ///
    /// If two metrics share a name.
    pub(crate) fn init() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // Or every line would carry the name of the meter.
            .scope_info_enabled(false)
            .build()?;
        let resource = telemetry::resource(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let provider = SdkMeterProvider::builder()
            .with_resource(with_label_names(&resource))
            .with_reader(exporter)
            .build();
        let metrics = Metrics::new(&provider.meter(env!("CARGO_PKG_NAME")));
        let http = HttpMetrics::register(&registry)?;
        register_process_metrics(&registry)?;
        check::no_name_twice(&registry.gather())?;
        Ok(Self {
            metrics,
            http,
            exposition: Exposition::new(move || {
                Ok(TextEncoder::new().encode_to_string(&registry.gather())?)
            }),
            _provider: provider,
        })
    }
}

impl Metrics {
    fn new(meter: &Meter) -> Self {
        let counter = |name, description, unit| {
            let builder = meter.u64_counter(name).with_description(description);
            let counter = builder.with_unit(unit).build();
            // An instrument appears with its first measurement. One that is there from
            // the start can be checked, and `rate()` sees its first increase.
            counter.add(0, &[]);
            counter
        };
        Self {
            requests: counter("num_requests", "Number of requests", "{request}"),
            errors: counter("error_count", "Number of errors", "{error}"),
        }
    }
}

/// CPU time, memory, file descriptors, threads and the start of the process. Only
/// Linux has /proc to read them from.
fn register_process_metrics(registry: &Registry) -> prometheus::Result<()> {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    let _ = registry;
    Ok(())
}
