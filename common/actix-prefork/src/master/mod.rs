//! The master: it opens the port, starts the workers, and replaces them when they end.
//!
//! [`policy`] decides and [`supervisor`] acts. [`work`] is the other end: a worker below
//! a master.

mod binary;
mod events;
mod exposition;
mod fleet;
mod group;
mod harness_metrics;
mod hooks;
mod inherit;
mod lifeline;
mod line;
mod notify;
mod policy;
mod reason;
mod scoreboard;
mod snapshot;
mod sockets;
mod steering;
mod supervisor;
mod tally;
mod usage;
mod wording;
mod work;

use std::{future::Future, process::ExitCode};

pub use self::{
    harness_metrics::{HARNESS_METRICS, HarnessMetric, MetricKind, Point},
    hooks::{Environment, Exit, Ready, Spawn, Start, Stop},
    policy::FLUSH_TIMEOUT,
    reason::{SpawnReason, StopReason},
    snapshot::{SlotSnapshot, Snapshot, Snapshots},
    usage::Usage,
};
use self::{
    hooks::{Hooks, OnStart},
    supervisor::Supervisor,
};
use crate::{BoxError, Error, Options, Worker, descriptors, error::Context as _, worker::fail};

/// Runs worker processes that serve on one port.
///
/// The [crate documentation](crate) explains what the master does.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use actix_web::{App, web};
/// use clap::Parser;
/// use actix_prefork::{Error, Master, Options, Worker};
///
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     workers: Options,
/// }
///
/// fn main() -> ExitCode {
///     let cli: Cli = actix_prefork::cli::parse();
///     Master::new(&cli.workers).run(serve)
/// }
///
/// async fn serve(worker: Worker) -> Result<(), Error> {
///     let app = || App::new().route("/", web::get().to(|| async { "Hello" }));
///     worker.serve(app).await
/// }
/// ```
#[must_use = "a master does nothing until it runs"]
pub struct Master<'a> {
    options: &'a Options,
    on_start: Vec<OnStart<'a>>,
    hooks: Hooks<'a>,
}

impl<'a> Master<'a> {
    /// Creates a master with these options.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            on_start: Vec::new(),
            hooks: Hooks::default(),
        }
    }

    /// Calls `hook` in the master after the port is open and before the first worker
    /// starts.
    ///
    /// The master keeps the returned value until the last worker has ended, and then
    /// drops it. If the hook fails, the master prints the error and starts no worker.
    /// Several hooks run in the order in which they were added; their values are
    /// dropped in reverse order.
    pub fn on_start<F, T, E>(mut self, hook: F) -> Self
    where
        F: FnOnce(&mut Start) -> Result<T, E> + 'a,
        T: 'static,
        E: Into<BoxError>,
    {
        self.on_start.push(Box::new(|start| match hook(start) {
            Ok(kept) => Ok(Box::new(kept)),
            Err(error) => Err(error.into()),
        }));
        self
    }

    /// Calls `hook` in the master after it has started a worker.
    pub fn on_spawn(mut self, hook: impl FnMut(&Spawn) + 'a) -> Self {
        self.hooks.on_spawn.push(Box::new(hook));
        self
    }

    /// Calls `hook` in the master when a worker has become ready.
    pub fn on_ready(mut self, hook: impl FnMut(&Ready) + 'a) -> Self {
        self.hooks.on_ready.push(Box::new(hook));
        self
    }

    /// Calls `hook` in the master before it tells a worker to stop, once for each
    /// worker. A worker that crashes or is killed was not told.
    pub fn on_stop(mut self, hook: impl FnMut(&Stop) + 'a) -> Self {
        self.hooks.on_stop.push(Box::new(hook));
        self
    }

    /// Calls `hook` in the master after a worker has ended, for whatever reason.
    pub fn on_exit(mut self, hook: impl FnMut(&Exit) + 'a) -> Self {
        self.hooks.on_exit.push(Box::new(hook));
        self
    }

    /// Runs the master; in a worker process, runs `body`.
    ///
    /// `body` gets the [`Worker`], calls [`Worker::serve`], and returns when it has
    /// cleaned up, for example after a last flush of telemetry. It has
    /// [`FLUSH_TIMEOUT`](crate::FLUSH_TIMEOUT) after the graceful timeout.
    ///
    /// Call this from the main thread, without an async runtime (no
    /// `#[actix_web::main]`): inside one it refuses to start. The exit code is 0 if the master was stopped and every
    /// worker exited by itself, else 1. An error is printed on one line.
    pub fn run<F, R, E>(self, body: F) -> ExitCode
    where
        F: FnOnce(Worker) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        if let Some(inherited) = inherit::take() {
            return work::work(inherited, &self.options.server, body);
        }
        match self.start() {
            Ok(supervisor) => supervisor.supervise(),
            Err(error) => fail(error.as_ref()),
        }
    }

    fn start(self) -> Result<Supervisor<'a>, BoxError> {
        // Before anything else, so that no signal has its default action.
        events::hold_signals().context("hold signals")?;
        // Workers inherit it.
        descriptors::raise_limit();
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(Error::Runtime.into());
        }
        Supervisor::start(self.options, self.on_start, self.hooks)
    }
}
