//! `/metrics` for Prometheus: on the application's port or on a port of its own.

mod exposition;
mod labels;
#[cfg(feature = "multiprocess")]
mod store;

#[cfg(feature = "multiprocess")]
pub use self::store::StoreHttpMetrics;
#[cfg(all(feature = "multiprocess", feature = "prefork"))]
pub use self::store::{exposition, prepare};
pub use self::{
    exposition::{Exposition, MetricsPort},
    labels::with_label_names,
};
