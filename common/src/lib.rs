//! Worker processes for actix-web, and Prometheus metrics shared between them.

#[cfg(feature = "multiprocess")]
pub mod multiprocess;
