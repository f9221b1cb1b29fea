//! The lesson: a tracer provider that pushes over OTLP, and the propagators.
//!
//! Each worker process builds its own after it was started, since a provider has
//! threads.

use std::sync::LazyLock;

use common::telemetry;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry_sdk::trace::SdkTracerProvider;

/// Builds the provider of this process, as `OTEL_TRACES_SAMPLER`,
/// `OTEL_TRACES_EXPORTER`, `OTEL_EXPORTER_OTLP_*` and `OTEL_BSP_*` say, and makes it that
/// of the process.
pub(crate) fn init() -> SdkTracerProvider {
    let resource = telemetry::resource(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let mut provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(telemetry::sampler())
        .with_id_generator(telemetry::IdGenerator::default())
        .with_span_limits(telemetry::span_limits());
    for processor in telemetry::span_processors() {
        provider = provider.with_span_processor(processor);
    }
    let provider = provider.build();
    if !telemetry::sdk_disabled() {
        global::set_tracer_provider(provider.clone());
    }
    // The headers that carry a trace from one service to the next.
    telemetry::install_propagators();
    provider
}

/// The tracer of this service, looked up once: that costs more than a span.
/// Call it after [`init`].
pub(crate) fn tracer() -> &'static BoxedTracer {
    static TRACER: LazyLock<BoxedTracer> = LazyLock::new(|| global::tracer(env!("CARGO_PKG_NAME")));
    &TRACER
}
