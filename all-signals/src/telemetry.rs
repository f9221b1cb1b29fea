//! The lesson: all signals with one resource, one middleware and one shutdown, behind
//! the `tracing` crate.

use std::time::Duration;

use common::telemetry::{
    Telemetry,
    tracing::{console, exported},
};
use opentelemetry::global;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::options::Sink;

/// Short, so that a first run shows something soon; in production a minute is usual.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3);

/// In the master: the console alone.
pub(crate) fn init_console() {
    tracing_subscriber::registry().with(console()).init();
}

/// In each worker, after it was started: the providers, and a subscriber that sends
/// spans and events to them.
pub(crate) fn init(sink: Sink) -> Telemetry {
    let builder = Telemetry::builder(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let builder = builder.logs().traces();
    let telemetry = match sink {
        Sink::Push => builder.metrics_every(INTERVAL).build(),
        Sink::PushSum | Sink::Pull => builder.build(),
    };
    let tracer = global::tracer(env!("CARGO_PKG_NAME"));
    let logs = telemetry
        .logger_provider()
        .map(OpenTelemetryTracingBridge::new);
    tracing_subscriber::registry()
        .with(console())
        // Spans of `#[instrument]`ed functions, below the span of their request.
        .with(
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_filter(exported()),
        )
        // Events as log records. After the spans, whose ids they carry.
        .with(logs.with_filter(exported()))
        .init();
    telemetry
}
