//! Worker processes for actix-web services.
//!
//! A master process opens the port, starts worker processes, and replaces them when
//! they crash, hang or reach a limit of requests. Deploys, scaling and crashes of single
//! workers lose no queued connection. Flags and signals are those of gunicorn.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use actix_prefork::{Error, Master, Options, Worker};
//! use actix_web::{App, web};
//! use clap::Parser;
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     workers: Options,
//! }
//!
//! fn main() -> ExitCode {
//!     let cli: Cli = actix_prefork::cli::parse();
//!     Master::new(&cli.workers).run(serve)
//! }
//!
//! async fn serve(worker: Worker) -> Result<(), Error> {
//!     let app = || App::new().route("/", web::get().to(|| async { "Hello" }));
//!     worker.serve(app).await
//! }
//! ```
//!
//! ```console
//! $ hello --workers 4
//! hello: ready on http://127.0.0.1:5100, master 4710, workers 4711 4712 4713 4714
//! ```
//!
//! # How it works
//!
//! - The master executes the program again for each worker. `main` runs in both.
//!   [`Master::run`] supervises in the master, and calls its argument in a worker. Do not
//!   start threads or an async runtime before it.
//! - Each slot has its own listening socket in one `SO_REUSEPORT` group. The master
//!   holds the sockets, so the successor of a worker that ended serves the connections in
//!   its queue.
//! - A worker finds its slot, a number from 0, in the environment variable
//!   `WORKER_SLOT`.
//! - The master writes what it does to the [`log`] crate. Install a logger before
//!   [`Master::run`].
//!
//! # Signals
//!
//! | signal to the master | effect |
//! |---|---|
//! | `TERM` | graceful stop: open connections may finish within `--graceful-timeout` |
//! | `INT`, `QUIT`, `TERM` in a graceful stop | quick stop: open connections are cut |
//! | `HUP` | replace the workers one by one with the program that is on disk now |
//! | `TTIN`, `TTOU` | one worker more, one worker less |
//! | `USR1`, `USR2`, `WINCH` | only a line in the log |
//!
//! `TERM` to a worker replaces it. Other signals to a worker do nothing, except `QUIT`,
//! which ends it at once.
//!
//! # Stalled workers
//!
//! If a thread of a worker has not run for `--hang-timeout`, the worker gets no new
//! connections, and a helper: another process that accepts from its queue. A worker that
//! recovers keeps its connections, and the helper exits. At `--timeout` the worker is aborted.
//!
//! # One process
//!
//! [`serve_alone`] serves from one process and stops in the same way. With
//! `default-features = false` only [`serve_alone`] and [`cli`] are built, for every Unix. The
//! feature `master` needs Linux.

#[cfg(all(feature = "master", not(target_os = "linux")))]
compile_error!(
    "the feature `master` of `actix-prefork` needs Linux; \
     for a single process, set `default-features = false`"
);

mod activity;
mod address;
mod alone;
mod bind;
mod bound;
pub mod cli;
mod clock;
mod deaf;
mod descriptors;
mod error;
mod http;
mod listener;
mod options;
mod serve;
mod socket_file;
mod stop;
#[cfg(target_os = "linux")]
mod systemd;
mod worker;

#[cfg(feature = "master")]
mod master;

pub use address::Address;
pub use alone::serve_alone;
pub use bind::listen_beside;
pub use error::Error;
pub use http::Http;
#[cfg(feature = "master")]
pub use master::{
    Environment, Exit, FLUSH_TIMEOUT, HARNESS_METRICS, HarnessMetric, Master, MetricKind, Point,
    Ready, SlotSnapshot, Snapshot, Snapshots, Spawn, SpawnReason, Start, Stop, StopReason, Usage,
};
pub use options::{MAX_WORKERS, MetricsPortOption, Options, ServerOptions};
pub use stop::Stopping;
pub use worker::Worker;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
