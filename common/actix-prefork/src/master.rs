//! The master: it listens, starts the workers, and replaces them when they end.

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    process::{ExitCode, ExitStatus},
};

use crate::{
    BoxError, Options, Snapshots, Worker, descriptors, inherit, supervise::Supervisor, work::work,
    worker::fail,
};

/// Environment variables of the workers, in addition to those of the master.
pub type Environment = BTreeMap<String, String>;

/// The state that a start hook can add to.
#[non_exhaustive]
pub struct Start {
    /// Environment variables of the workers, in addition to those of the master.
    pub environment: Environment,
    /// Notes that the master appends to its ready line.
    pub notes: Vec<String>,
    /// Takes snapshots of what the master and its workers count.
    pub snapshots: Snapshots,
    pub(crate) on_exit: Vec<OnExit<'static>>,
}

impl Start {
    /// Calls `hook` in the master after each worker has ended, as [`Master::on_exit`] does.
    pub fn on_exit(&mut self, hook: impl FnMut(&Exit) + 'static) {
        self.on_exit.push(Box::new(hook));
    }
}

/// A worker that was started.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Spawn {
    /// The worker's slot, from 0.
    pub slot: u16,
    /// Its process id.
    pub pid: u32,
    /// Why it was started.
    pub reason: SpawnReason,
}

/// Why a worker was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(usize)]
pub enum SpawnReason {
    /// The server started.
    Boot,
    /// The previous worker failed or was killed.
    Crash,
    /// The previous worker exited with status 0, for example because of a `SIGTERM`.
    Exit,
    /// `SIGHUP`: it replaces a worker that runs the old program.
    Reload,
    /// It replaces a worker that reached its request limit.
    Recycle,
    /// It replaces an unresponsive worker.
    Hang,
    /// `SIGTTIN` added a worker.
    Scale,
}

impl SpawnReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Boot,
        Self::Crash,
        Self::Exit,
        Self::Reload,
        Self::Recycle,
        Self::Hang,
        Self::Scale,
    ];

    /// The reason as the value of a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Crash => "crash",
            Self::Exit => "exit",
            Self::Reload => "reload",
            Self::Recycle => "recycle",
            Self::Hang => "hang",
            Self::Scale => "scale",
        }
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exit {
    /// The worker's slot, from 0.
    pub slot: u16,
    /// Its process id, which the operating system may already have reused.
    pub pid: u32,
    /// Whether it had become ready.
    pub was_ready: bool,
    /// Its exit code, or the signal that killed it.
    pub status: ExitStatus,
    /// Connections, including idle ones, that were open when it ended.
    pub cut: u32,
}

type OnStart<'a> = Box<dyn FnOnce(&mut Start) -> Result<Box<dyn Any>, BoxError> + 'a>;
type OnSpawn<'a> = Box<dyn FnMut(&Spawn) + 'a>;
type OnReady<'a> = Box<dyn FnMut(u16) + 'a>;
pub(crate) type OnExit<'a> = Box<dyn FnMut(&Exit) + 'a>;

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
    pub(crate) options: &'a Options,
    pub(crate) on_start: Vec<OnStart<'a>>,
    pub(crate) hooks: Hooks<'a>,
}

/// What the master calls while it runs.
pub(crate) struct Hooks<'a> {
    pub(crate) on_spawn: OnSpawn<'a>,
    pub(crate) on_ready: OnReady<'a>,
    pub(crate) on_exit: Vec<OnExit<'a>>,
}

impl<'a> Master<'a> {
    /// Creates a master with these options.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            on_start: Vec::new(),
            hooks: Hooks {
                on_spawn: Box::new(|_| ()),
                on_ready: Box::new(|_| ()),
                on_exit: Vec::new(),
            },
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
        self.hooks.on_spawn = Box::new(hook);
        self
    }

    /// Calls `hook` in the master, with the slot, when a worker has become ready.
    pub fn on_ready(mut self, hook: impl FnMut(u16) + 'a) -> Self {
        self.hooks.on_ready = Box::new(hook);
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
    /// `#[actix_web::main]`). The exit code is 0 if the master was stopped and every
    /// worker exited by itself, else 1. An error is printed on one line.
    pub fn run<F, R, E>(self, body: F) -> ExitCode
    where
        F: FnOnce(Worker) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        if let Some(inherited) = inherit::take() {
            return work(inherited, &self.options.server, body);
        }
        // Workers inherit it.
        descriptors::raise_limit();
        match Supervisor::start(self) {
            Ok(supervisor) => supervisor.supervise(),
            Err(error) => fail(error.as_ref()),
        }
    }
}
