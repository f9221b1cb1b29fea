//! Prometheus metrics that several processes share through a directory.
//!
//! Each process writes its own files, and any of them answers a scrape with the sum over all.
//! The files are those of Python's `prometheus_client` in multiprocess mode, to the byte:
//! a Flask application under gunicorn and an actix-web application can share one directory, and the
//! `/metrics` of either shows both.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use prometheus_multiprocess::{Directory, GaugeMode, GaugeOpts, Store};
//! use prometheus::{HistogramOpts, Opts};
//!
//! // The master, once. It passes `directory.path()` on in PROMETHEUS_MULTIPROC_DIR.
//! let directory = Directory::prepare(None)?;
//!
//! // Each worker process.
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
//! // `/metrics`, in any of them. More text can stand before and after, for example what
//! // `prometheus::TextEncoder` makes of a registry with metrics of this process alone.
//! let mut text = String::new();
//! store.collector()?.encode_text(&mut text)?;
//! assert!(text.contains("requests_total{method=\"GET\"} 1.0\n"));
//! # Ok(())
//! # }
//! ```
//!
//! # What is kept, and what is not
//!
//! A process has an identifier: the lowest free `worker-N`, or `master`. A respawned worker takes
//! the identifier of the one it replaces and goes on from its values, so counters never go
//! backwards and the files are as many as processes ever ran at once. What was counted is in the
//! file already when a process is killed. Gauges with a live mode count only as long as their
//! process lives; other gauges keep the last value until a process takes the identifier again.
//!
//! Files of other programs in the directory are read and never changed. That holds for live gauges
//! of Python processes as well: they are shown until `mark_process_dead` removes them. A Python
//! process must not be given an identifier of the form `worker-N` or `master`.
//!
//! # The limits of Python's mode, and which of them are lifted here
//!
//! | `prometheus_client` in multiprocess mode | here |
//! |---|---|
//! | files grow with every process that ever ran, and scrapes with them | as many files as processes ran at once |
//! | an empty, truncated or corrupt file fails every scrape | the rest is served, `multiprocess_bad_files` names the file and the reason |
//! | processes in two containers with the same pid corrupt a shared file | an identifier is held by a lock |
//! | live gauges stay when no hook ran (SIGKILL, OOM) | gone with the next scrape |
//! | a full disk kills the process (SIGBUS) | an error, counted in `multiprocess_incidents_total` |
//! | overlapping scrapes each merge anew | they share one |
//! | no process metrics | CPU, memory, open files and start time of each process, by `worker` |
//! | the directory is created, set and wiped by hand | [`Directory::prepare`] |
//! | any number of series | a limit for each metric, [`Store::with_series_limit`] |
//! | order of series by chance | families by name, series by labels |
//! | removed files are lost with their values | put back by whoever sees it first |
//! | `remove` and `clear` do nothing | refused with an error: the format is append only |
//! | a gauge with `mostrecent` is absent until it is set | the same |
//! | different bucket bounds in two processes are merged by guess | the same |
//! | no exemplars, `Info`, `Enum` | the same: the format has no place for them |

#[cfg(not(target_os = "linux"))]
compile_error!("the store needs Linux, for its open-file-description locks");

use std::sync::{Mutex, MutexGuard, PoisonError, atomic};

mod cell;
mod collector;
mod context;
mod definition;
mod directory;
mod error;
mod family;
mod file;
mod format;
mod hash;
mod identity;
mod key;
mod merge;
mod metric;
mod number;
mod process;
mod protobuf;
mod scan;
mod store;
mod sweeper;
mod text;
mod vec;

pub use self::{
    collector::{CONTENT_TYPE, MultiProcessCollector},
    definition::GaugeOpts,
    directory::Directory,
    error::DirectoryError,
    format::GaugeMode,
    metric::{Counter, Gauge, Histogram, Metric, Summary},
    store::Store,
    sweeper::Sweeper,
    vec::{CounterVec, GaugeVec, HistogramVec, MetricVec, SummaryVec},
};

/// The variable that names the directory, for Python's client as well.
pub const DIRECTORY_VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";

/// The value of every label of the series that stands for all above the limit.
pub const OVERFLOW: &str = "_overflow";

/// Locks; what a panicking thread left behind a mutex of this module is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
