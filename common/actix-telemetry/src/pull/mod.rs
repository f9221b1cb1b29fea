//! `/metrics` for Prometheus: on the application's port or on a port of its own.

mod exposition;
#[cfg(feature = "multiprocess")]
mod store;

pub use self::exposition::{Exposition, MetricsPort};
#[cfg(feature = "multiprocess")]
pub use self::store::StoreHttpMetrics;
#[cfg(all(feature = "multiprocess", feature = "prefork"))]
pub use self::store::{exposition, prepare};
