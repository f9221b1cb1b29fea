//! One directory to copy, and one dependency: a table of contents of four crates.
//!
//! It is for actix-web services that run as one process or as several, and want logs, metrics and
//! traces. Each crate is useful by itself; this one keeps their versions and features together.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use actix_web::{App, web};
//! use common::workers::{Error, Master, Options, Worker};
//!
//! #[derive(clap::Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     workers: Options,
//! }
//!
//! fn main() -> ExitCode {
//!     let cli: Cli = common::cli::parse();
//!     Master::new(&cli.workers).run(serve)
//! }
//!
//! async fn serve(worker: Worker) -> Result<(), Error> {
//!     let app = || App::new().route("/", web::get().to(|| async { "Hello" }));
//!     worker.serve(app).await
//! }
//! ```
//!
//! - [`workers`] is `actix-prefork`: a master that keeps worker processes serving on
//!   one port, and what a worker needs to stop without losing a request. [`cli`] is
//!   its command line.
//! - `multiprocess` (feature of that name) is `prometheus-multiprocess`: Prometheus
//!   metrics that processes share through a directory. With `multiprocess-opentelemetry`
//!   the instruments of OpenTelemetry count in them, too.
//! - `telemetry` (features `metrics`, `logs`, `traces`, `client`, `pull`, `tracing`)
//!   is `actix-telemetry`: OpenTelemetry for actix-web.
//! - `exposition` (features `multiprocess`, `pull`) is `prometheus-exposition`: an
//!   answer in the format that a scraper asks for.

pub use actix_prefork as workers;
pub use actix_prefork::cli;
#[cfg(feature = "telemetry")]
pub use actix_telemetry as telemetry;
#[cfg(any(feature = "multiprocess", feature = "pull"))]
pub use prometheus_exposition as exposition;
#[cfg(feature = "multiprocess")]
pub use prometheus_multiprocess as multiprocess;
