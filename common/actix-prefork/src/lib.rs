//! Worker processes that serve HTTP on one port, and the master that keeps them.
//!
//! A program hands its options and what a worker does to a `Master`, which has an
//! example. It needs the feature `master`, which is on by default.
//!
//! The master listens, starts the program again for each worker, and hands it
//! the worker's socket. It holds the sockets for life: a connection that waits in
//! a queue survives the worker that it was queued for. Words and signals are
//! gunicorn's: `TERM` stops gracefully; `INT`, `QUIT` and a second `TERM` stop
//! quickly; `HUP` replaces the workers one by one, by the program that is on disk
//! now; `TTIN` and `TTOU` make it one worker more or fewer.
//!
//! A program that serves from one process calls [`serve_alone`] instead, and
//! stops in the same way.
//!
//! A worker finds its slot, a number from 0, in the environment variable `WORKER_SLOT`.

#[cfg(all(feature = "master", not(target_os = "linux")))]
compile_error!(
    "worker processes need Linux (memfd, SO_REUSEPORT groups, open-file-description locks); \
     for a single process build `actix-prefork` with `default-features = false`"
);

mod activity;
mod address;
mod application;
mod bound;
pub mod cli;
mod deaf;
mod error;
mod heart;
mod listener;
mod options;
mod serve;
mod socket_file;
mod stop;
#[cfg(target_os = "linux")]
mod systemd;
mod worker;

#[cfg(feature = "master")]
mod backoff;
#[cfg(feature = "master")]
mod binary;
#[cfg(feature = "master")]
mod events;
#[cfg(feature = "master")]
mod exposition;
#[cfg(feature = "master")]
mod fleet;
#[cfg(feature = "master")]
mod hang;
#[cfg(feature = "master")]
mod harness_metrics;
#[cfg(feature = "master")]
mod inherit;
#[cfg(feature = "master")]
mod lifeline;
#[cfg(feature = "master")]
mod master;
#[cfg(feature = "master")]
mod notify;
#[cfg(feature = "master")]
mod process;
#[cfg(feature = "master")]
mod rollover;
#[cfg(feature = "master")]
mod scoreboard;
#[cfg(feature = "master")]
mod slot;
#[cfg(feature = "master")]
mod snapshot;
#[cfg(feature = "master")]
mod sockets;
#[cfg(feature = "master")]
mod stopping;
#[cfg(feature = "master")]
mod supervise;
#[cfg(feature = "master")]
mod tally;
#[cfg(feature = "master")]
mod wording;
#[cfg(feature = "master")]
mod work;

pub use address::Address;
pub use error::Error;
#[cfg(feature = "master")]
pub use harness_metrics::{HARNESS_METRICS, HarnessMetric, Point};
pub use listener::listen_beside;
#[cfg(feature = "master")]
use master::Hooks;
#[cfg(feature = "master")]
pub use master::{Environment, Exit, Master, Spawn, SpawnReason, Start};
pub use options::{MAX_WORKERS, MetricsPortOption, Options, ServerOptions};
#[cfg(feature = "master")]
pub use snapshot::{SlotSnapshot, Snapshot, Snapshots};
#[cfg(feature = "master")]
pub use stopping::FLUSH_TIMEOUT;
pub use worker::{Worker, serve_alone};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
