//! The master: it listens, starts the workers, and keeps them until it is stopped.

use std::{
    any::Any, collections::BTreeMap, future::Future, process::ExitCode, process::ExitStatus,
};

use super::{BoxError, Options, Worker, inherit, supervise::Supervisor, work::work, worker::fail};

/// Variables that the workers get besides those of the master.
pub type Environment = BTreeMap<String, String>;

/// How a worker ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exit {
    /// The worker's slot, from 0.
    pub slot: u16,
    /// Its process id, which the system may use again.
    pub pid: u32,
    /// Its exit code, or the signal that killed it.
    pub status: ExitStatus,
}

type OnStart<'a> = Box<dyn FnOnce(&mut Environment) -> Result<Box<dyn Any>, BoxError> + 'a>;
type OnExit<'a> = Box<dyn FnMut(&Exit) + 'a>;

/// Keeps worker processes that serve on one port.
///
/// See the [module](super) for an example.
#[must_use = "a master does nothing until it runs"]
pub struct Master<'a> {
    pub(super) options: &'a Options,
    pub(super) notes: Vec<String>,
    pub(super) on_start: OnStart<'a>,
    pub(super) on_exit: OnExit<'a>,
}

impl<'a> Master<'a> {
    /// A master with those options.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            notes: Vec::new(),
            on_start: Box::new(|_| Ok(Box::new(()))),
            on_exit: Box::new(|_| ()),
        }
    }

    /// Adds a note to the line that says that the workers are ready.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Calls `hook` in the master when the port is open and before the first
    /// worker starts.
    ///
    /// It may add to the environment of the workers. What it returns is kept
    /// until the last worker has ended, and dropped then. If it fails, the error
    /// is printed and no worker starts.
    pub fn on_start<F, T, E>(mut self, hook: F) -> Self
    where
        F: FnOnce(&mut Environment) -> Result<T, E> + 'a,
        T: 'static,
        E: Into<BoxError>,
    {
        self.on_start = Box::new(|environment| match hook(environment) {
            Ok(kept) => Ok(Box::new(kept)),
            Err(error) => Err(error.into()),
        });
        self
    }

    /// Calls `hook` in the master after each worker's end, however it ended.
    pub fn on_exit(mut self, hook: impl FnMut(&Exit) + 'a) -> Self {
        self.on_exit = Box::new(hook);
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
