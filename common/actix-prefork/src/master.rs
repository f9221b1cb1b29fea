//! The master: it listens, starts the workers, and keeps them until it is stopped.

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    process::{ExitCode, ExitStatus},
};

use crate::{
    BoxError, Options, Snapshots, Worker, inherit, supervise::Supervisor, work::work, worker::fail,
};

/// Variables that the workers get besides those of the master.
pub type Environment = BTreeMap<String, String>;

/// What a start hook may still add.
#[non_exhaustive]
pub struct Start {
    /// Variables that the workers get besides those of the master.
    pub environment: Environment,
    /// Notes in the line that says that the workers are ready.
    pub notes: Vec<String>,
    /// What the master and its workers count, whenever it is asked for.
    pub snapshots: Snapshots,
    pub(crate) on_exit: Vec<OnExit<'static>>,
}

impl Start {
    /// Calls `hook` in the master after each worker's end, as [`Master::on_exit`] does.
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
    /// The worker before it failed, or was killed.
    Crash,
    /// The worker before it ended by itself, as it does when it gets a `SIGTERM`.
    Exit,
    /// `SIGHUP`: it takes over from a worker that runs what the file held before.
    Reload,
    /// It takes over from a worker that has answered its number of requests.
    Recycle,
    /// It takes over from a worker whose serving threads do not run.
    Hang,
    /// `SIGTTIN`: there is to be one worker more.
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
    /// Its process id, which the system may use again.
    pub pid: u32,
    /// Whether it had been ready.
    pub was_ready: bool,
    /// Its exit code, or the signal that killed it.
    pub status: ExitStatus,
    /// Connections that were open when it ended, idle ones included.
    pub cut: u32,
}

type OnStart<'a> = Box<dyn FnOnce(&mut Start) -> Result<Box<dyn Any>, BoxError> + 'a>;
type OnSpawn<'a> = Box<dyn FnMut(&Spawn) + 'a>;
type OnReady<'a> = Box<dyn FnMut(u16) + 'a>;
pub(crate) type OnExit<'a> = Box<dyn FnMut(&Exit) + 'a>;

/// Keeps worker processes that serve on one port.
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
    /// A master with those options.
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

    /// Calls `hook` in the master when the port is open and before the first
    /// worker starts.
    ///
    /// What it returns is kept until the last worker has ended, and dropped then. If
    /// it fails, the error is printed and no worker starts. Several hooks are called in
    /// the order in which they were added, and what they returned is dropped in the
    /// reverse order.
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

    /// Calls `hook` in the master after the start of each worker.
    pub fn on_spawn(mut self, hook: impl FnMut(&Spawn) + 'a) -> Self {
        self.hooks.on_spawn = Box::new(hook);
        self
    }

    /// Calls `hook` in the master, with the slot, when a worker is ready.
    pub fn on_ready(mut self, hook: impl FnMut(u16) + 'a) -> Self {
        self.hooks.on_ready = Box::new(hook);
        self
    }

    /// Calls `hook` in the master after each worker's end, however it ended.
    pub fn on_exit(mut self, hook: impl FnMut(&Exit) + 'a) -> Self {
        self.hooks.on_exit.push(Box::new(hook));
        self
    }

    /// Runs the master, or in a worker process the worker.
    ///
    /// `body` is what a worker does: it gets the [`Worker`], calls
    /// [`Worker::serve`], and returns when everything is done, after a last flush
    /// of telemetry for example. It may take 5 seconds for what comes after the
    /// graceful timeout.
    ///
    /// To be called from `main`, before there are other threads that start
    /// processes: a worker is sent a signal when the thread that started it ends.
    /// What goes wrong is printed on one line. The exit code is 0 after a stop in
    /// which each worker ended by itself, else 1.
    pub fn run<F, R, E>(self, body: F) -> ExitCode
    where
        F: FnOnce(Worker) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        if let Some(inherited) = inherit::take() {
            return work(inherited, &self.options.server, body);
        }
        match Supervisor::start(self) {
            Ok(supervisor) => supervisor.supervise(),
            Err(error) => fail(error.as_ref()),
        }
    }
}
