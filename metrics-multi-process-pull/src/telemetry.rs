//! The lesson: metrics in a directory that all processes of the service share.

use std::sync::Arc;

use common::{
    multiprocess::{Counter, Directory, Store, StoreMeterProvider},
    telemetry::{
        self, OtelHttpMetrics,
        pull::{self, Exposition},
    },
    workers::{Snapshots, Start},
};
use opentelemetry::global;
use prometheus::Opts;

/// Prepares the directory, in the master: that of `PROMETHEUS_MULTIPROC_DIR`, else a
/// private one that is removed when the last worker has ended.
pub(crate) fn prepare(start: &mut Start) -> anyhow::Result<Arc<Directory>> {
    let resource = telemetry::resource(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    pull::prepare(start, &resource)
}

/// The metrics of a worker: those of the `prometheus` crate, and instruments of
/// OpenTelemetry. Adding to one is an atomic addition to a file in memory.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `/`.
    pub(crate) requests: Counter,
    /// Internal errors.
    pub(crate) errors: Counter,
    /// Duration and number of all requests, for the middleware.
    pub(crate) http: OtelHttpMetrics,
}

impl Metrics {
    pub(crate) fn register(store: &Store) -> Result<Self, prometheus::Error> {
        // Instruments that a library makes with the global meter count in the store, too.
        global::set_meter_provider(StoreMeterProvider::new(store));
        Ok(Self {
            requests: store.counter(Opts::new("num_requests", "Number of requests"))?,
            errors: store.counter(Opts::new("error_count", "Number of errors"))?,
            http: OtelHttpMetrics::new(&global::meter(env!("CARGO_PKG_NAME"))),
        })
    }
}

/// What answers a scrape, in any process of the service: the sum over the files of
/// all, and what the harness counts.
pub(crate) fn exposition(
    store: &Store,
    snapshots: Option<Snapshots>,
) -> anyhow::Result<Exposition> {
    Ok(pull::exposition(store.collector()?, snapshots))
}
