//! `/metrics` for Prometheus: on the application's port or on a port of its own.

mod exposition;
mod labels;
#[cfg(all(feature = "multiprocess", feature = "prefork"))]
mod store;

#[cfg(all(feature = "multiprocess", feature = "prefork"))]
pub use self::store::{exposition, prepare};
pub use self::{
    exposition::{Exposition, MetricsPort},
    labels::with_label_names,
};
