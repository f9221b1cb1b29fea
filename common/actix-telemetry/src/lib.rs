//! OpenTelemetry for actix-web services: metrics, logs and traces.
//!
//! One middleware observes each request for all signals, so that they agree on its route, status,
//! duration and error. Exporters are set up as the `OTEL_*` variables say, never delay a request,
//! and count exactly what was lost. One shutdown flushes everything.
//!
//! ```
//! # #[cfg(all(feature = "metrics", feature = "logs", feature = "traces"))]
//! # async fn serve() {
//! use actix_telemetry::Telemetry;
//! use actix_web::{App, web};
//!
//! // Where the process begins to serve.
//! let telemetry = Telemetry::builder("shop", "1.2.0").metrics().logs().traces().build();
//! let observe = telemetry.observe().skip(["/healthz"]);
//!
//! // For `HttpServer::new`, or the `Worker` of `actix-prefork`.
//! let app = move || {
//!     App::new()
//!         .route("/", web::get().to(|| async { "Hello" }))
//!         .wrap(observe.clone())
//! };
//! # let _ = app;
//!
//! // After the last request.
//! telemetry.shutdown().await;
//! # }
//! ```
//!
//! [`Telemetry`] is made of pieces that are public here too, for services that want only some of them.
//!
//! # Layout
//!
//! - Who sends: [`resource`].
//! - Where it goes, as the `OTEL_*` variables say: [`metric_exporters`],
//!   [`log_processors`], [`span_processors`], [`sampler`].
//! - Which variables there are: [`environment`].
//! - What happens to a request: [`Observe`], one middleware for the whole
//!   application, and [`HttpMetrics`] for the metrics library behind it.
//! - Where a trace comes from and goes to: [`propagation`], [`client`].
//! - What a person reads: [`console`], [`logger`], [`panics`], [`Exception`].
//! - The end of a process: [`shutdown`].
//! - All of it in a few lines: [`Telemetry`].
//! - `/metrics` for Prometheus: [`pull`].
//! - In the master of worker processes: [`prefork`].

pub mod console;
mod emit;
mod env;
#[doc = include_str!("../ENVIRONMENT.md")]
pub mod environment {}
mod exception;
#[cfg(any(feature = "logs", feature = "tracing"))]
mod feedback;
#[cfg(feature = "logs")]
mod limit;
mod observe;
pub mod panics;
mod process;
pub mod propagation;
mod query;
mod resource;
mod stderr;
mod text;
#[cfg(all(test, feature = "metrics", feature = "logs", feature = "traces"))]
mod variables;
mod warn;

#[cfg(any(feature = "logs", feature = "traces"))]
mod batch;
#[cfg(any(feature = "logs", feature = "traces"))]
mod delivery;
#[cfg(any(feature = "logs", feature = "traces"))]
mod encode;
#[cfg(any(feature = "logs", feature = "traces"))]
mod json;
#[cfg(feature = "logs")]
pub mod logger;
#[cfg(feature = "logs")]
mod logs;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "export")]
mod otlp;
#[cfg(feature = "export")]
mod shutdown;
#[cfg(feature = "store-push")]
mod store_push;
#[cfg(feature = "export")]
mod telemetry;
#[cfg(feature = "traces")]
mod traces;

#[cfg(feature = "client")]
pub mod client;
#[cfg(all(feature = "prefork", feature = "metrics"))]
pub mod prefork;
#[cfg(feature = "pull")]
pub mod pull;
#[cfg(feature = "tracing")]
pub mod tracing;

#[cfg(feature = "logs")]
pub use crate::logs::{LogProcessor, RequestContext, log_processors};
#[cfg(feature = "metrics")]
pub use crate::metrics::{
    MetricExporter, histogram_view, metric_export_interval, metric_exporters,
};
#[cfg(feature = "traces")]
pub use crate::traces::{SpanProcessor, sampler, span_limits, span_processors};
pub use crate::{
    env::sdk_disabled,
    exception::Exception,
    observe::{
        DURATION_BOUNDS, Finished, HttpMetrics, IdGenerator, Method, Observe, OtelHttpMetrics,
        RecordErrors, Scheme,
    },
    propagation::install_propagators,
    resource::resource,
};
#[cfg(feature = "export")]
pub use crate::{
    shutdown::{Provider, SHUTDOWN_TIMEOUT, shutdown},
    telemetry::{Builder, Telemetry},
};
