//! One directory to copy, and one dependency: a table of contents of three crates.
//!
//! - [`workers`] is `actix-prefork`: a master that keeps worker processes serving on
//!   one port, and what a worker needs to stop without losing a request. [`cli`] is
//!   its command line.
//! - `multiprocess` (feature of that name) is `prometheus-multiprocess`: Prometheus
//!   metrics that processes share through a directory.
//! - `telemetry` (features `metrics`, `logs`, `traces`, `client`, `pull`, `tracing`)
//!   is `actix-telemetry`: OpenTelemetry for actix-web.

pub use actix_prefork as workers;
pub use actix_prefork::cli;
#[cfg(feature = "telemetry")]
pub use actix_telemetry as telemetry;
#[cfg(feature = "multiprocess")]
pub use prometheus_multiprocess as multiprocess;
