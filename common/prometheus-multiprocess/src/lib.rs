//! Prometheus metrics that several processes share through a directory.
//!
//! Each process counts in its own files, and any of them answers a scrape with the sum over all.
//! The files are byte-compatible with the multiprocess mode of Python's `prometheus_client`: a Flask
//! application under gunicorn and a Rust service can share one directory, and `/metrics` of either
//! shows both.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use prometheus::{HistogramOpts, Opts};
//! use prometheus_multiprocess::{Directory, GaugeMode, GaugeOpts, Store};
//!
//! // In the master. Pass `directory.path()` to the workers in PROMETHEUS_MULTIPROC_DIR.
//! let directory = Directory::prepare(None)?;
//!
//! // In each worker process.
//! let store = Store::open(directory.path())?;
//! let requests = store.counter_vec(Opts::new("requests", "Number of requests"), &["method"])?;
//! let active = GaugeOpts::new("active_requests", "Requests in progress").mode(GaugeMode::LiveSum);
//! let active = store.gauge(active)?;
//! let duration = store.histogram(HistogramOpts::new("request_duration_seconds", "Time taken"))?;
//!
//! active.inc();
//! requests.with_label_values(&["GET"]).inc();
//! duration.observe(0.012);
//! active.dec();
//!
//! // `/metrics`, in any process. Keep the collector. You may append more text, for example of a
//! // `prometheus::TextEncoder` with metrics of this process only.
//! let mut text = String::new();
//! store.collector()?.encode_text(&mut text)?;
//! assert!(text.contains("requests_total{method=\"GET\"} 1.0\n"));
//! # Ok(())
//! # }
//! ```
//!
//! # Identifiers
//!
//! Each process holds an identifier by a lock: the lowest free `worker-N`, or `master`. Its files are
//! in a directory of that name, and Python finds them by links such as `counter_worker-0.db`. When
//! a process ends, for whatever reason, the kernel releases the lock. The next process takes the
//! identifier and continues from its values, so counters do not go backwards, and there are as many
//! sets of files as processes ran at once. An update is in the file at once, so it survives a
//! kill of the process. Live gauges count only while their process lives. Other gauges keep their last value
//! until a process takes the identifier again; with the modes `all` and `sum` they do not count if
//! a newer process has the gauge too.
//!
//! The store reads files of other programs in the directory and never changes them. Live gauges of
//! Python processes stay until `mark_process_dead` removes them. Do not give a Python process an
//! identifier of the form `worker-N` or `master`.
//!
//! # Failures
//!
//! Metrics never stop the service. If the disk is full or the directory is gone, the store counts in
//! memory, and writes the counts when that works again. A bad file does not fail a
//! scrape: the rest is served, and `multiprocess_bad_files` names the file and the reason. Refused
//! updates and repaired files are counted in `multiprocess_incidents_total` and logged once. The
//! README compares all of this with Python.

#[cfg(not(target_os = "linux"))]
compile_error!("the store needs Linux, for its open-file-description locks");

use std::sync::{Mutex, MutexGuard, PoisonError, atomic};

mod cell;
mod collected;
mod collector;
mod copied;
mod declared;
mod definition;
mod directory;
mod error;
mod exemplar;
mod exemplar_index;
mod exemplars;
mod families;
mod family;
mod file;
mod files;
mod format;
mod home;
mod identity;
mod key;
mod keys;
mod learned;
mod links;
mod list;
mod map;
mod merge;
mod metric;
mod number;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
mod periodic;
mod read;
mod registry;
mod scrape;
mod sort;
mod source;
mod state;
mod store;
mod sweeper;
mod temporary;
mod text;
mod vec;

#[cfg(feature = "opentelemetry")]
pub use self::opentelemetry::{StoreMeterProvider, StoreMeterProviderBuilder};
pub use self::{
    collected::{CollectedFamily, CollectedSeries, CollectedValue, MetricKind},
    collector::{CONTENT_TYPE, MultiProcessCollector},
    definition::GaugeOpts,
    directory::Directory,
    error::DirectoryError,
    exemplar::{Exemplar, SpanIds},
    format::GaugeMode,
    metric::{Counter, Gauge, Histogram, Metric, Summary},
    store::Store,
    sweeper::Sweeper,
    vec::{CounterVec, GaugeVec, HistogramVec, MetricVec, SummaryVec},
};

/// The environment variable with the path of the directory; Python's client reads it, too.
pub const DIRECTORY_VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";

/// The value of every label of the series that counts for all series above the limit.
pub const OVERFLOW: &str = "_overflow";

/// Locks; what a panicking thread left behind a mutex of this module is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
