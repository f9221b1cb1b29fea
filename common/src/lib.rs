//! Worker processes for actix-web, and Prometheus metrics shared between them.
//!
//! # Layout
//!
//! - [`workers`]: a master that keeps worker processes serving on one port, and
//!   what a worker needs to serve and to stop without losing a request.
//! - `multiprocess` (feature of that name): Prometheus metrics that processes share
//!   through a directory, which Python's `prometheus_client` reads and writes too.
//! - [`measure`]: a middleware that tells when a request begins and ends.
//! - [`CatchPanic`]: a middleware that answers 500 where a handler panics.
//! - [`cli`]: a command line whose mistakes are one clear line each.

#[cfg(all(
    any(feature = "master", feature = "multiprocess"),
    not(target_os = "linux")
))]
compile_error!(
    "worker processes need Linux (memfd, SO_REUSEPORT groups, open-file-description locks); \
     for a single process build `common` with `default-features = false`"
);

mod catch_panic;
pub mod cli;
pub mod measure;
#[cfg(feature = "multiprocess")]
pub mod multiprocess;
pub mod workers;

pub use catch_panic::CatchPanic;
