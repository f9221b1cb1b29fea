//! Shared code of the fuzz targets: initial inputs, and real collectors whose output is checked.
//!
//! A target uses a collector over loopback like any client, so every finding can happen in practice. Both run in the
//! fuzzer's process, so that it detects panics and new code coverage in the collector.

#[cfg(feature = "collector")]
mod collectors;
#[cfg(feature = "collector")]
mod messages;
pub mod seeds;

#[cfg(feature = "collector")]
pub use self::{collectors::collectors, messages::messages};
