//! The lesson: a logger provider behind the `log` crate.
//!
//! Each worker process builds its own after it was started, since a provider has
//! threads.

use common::telemetry::{self, RequestContext, logger};
use opentelemetry_sdk::logs::SdkLoggerProvider;

/// Builds the provider of this process, as `OTEL_LOGS_EXPORTER`, `OTEL_EXPORTER_OTLP_*`
/// and `OTEL_BLRP_*` say, and sends records of the `log` crate to it.
pub(crate) fn init() -> SdkLoggerProvider {
    let resource = telemetry::resource(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let mut provider = SdkLoggerProvider::builder()
        .with_resource(resource)
        // Method, path and route of the request, on each record that it causes.
        .with_log_processor(RequestContext);
    for processor in telemetry::log_processors() {
        provider = provider.with_log_processor(processor);
    }
    let provider = provider.build();
    logger::connect(&provider);
    // The trace of the caller, whose ids each record carries.
    telemetry::install_propagators();
    provider
}
