//! OpenTelemetry instruments that count in the store.

mod instrument;
mod meter;
mod names;
mod observers;
mod provider;
mod series;

pub use self::provider::{StoreMeterProvider, StoreMeterProviderBuilder};
