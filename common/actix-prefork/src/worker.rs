//! A process that serves: a worker of a master, or a single process.

use std::{
    env,
    future::Future,
    io, iter,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use actix_web::rt::System;

use crate::cli::say;
use crate::{
    Address, BoxError, Error, Stopping,
    error::Context as _,
    serve::{self, Settings, Shared, Threads, application::Create, heart::Heart},
    stop::{Signal, Stop, StopRequest},
};

/// How long a worker that leaves accepts what was queued for it alone.
const QUEUE_PATIENCE: Duration = Duration::from_secs(2);

/// The process that serves requests.
///
/// [`Master::run`](crate::Master::run) and [`serve_alone`](crate::serve_alone) hand it to the body of the
/// program.
pub struct Worker {
    pub(crate) slot: u16,
    pub(crate) shared: Shared,
    pub(crate) settings: Settings,
    pub(crate) graceful_timeout: Duration,
    pub(crate) stop: StopRequest,
    /// What the ready line says besides the address, where there is no master.
    pub(crate) notes: Vec<String>,
    /// Where there is a master that counts.
    #[cfg(feature = "master")]
    pub(crate) snapshots: Option<crate::Snapshots>,
    pub(crate) report: Report,
}

/// Tells whoever watches over a worker how far it has come, with its notes.
type Report = Box<dyn Fn(Phase, &[String])>;

/// What a worker tells whoever watches over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Requests are answered.
    Ready,
    /// New connections are to be ignored; what waits in the queue is served.
    Emptying,
    /// New connections are no longer accepted; those that are open finish.
    Draining,
}

impl Worker {
    /// The slot of the worker, from 0. The replacement of a worker has the same slot.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// The address that the worker listens on, with the actual port if port 0 was
    /// configured; the first one if there are several.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not return it.
    pub fn address(&self) -> Result<Address, Error> {
        let address = self.shared.listeners[0].address();
        address.context("read the address of the socket")
    }

    /// Snapshots of what the master and all its workers count; `None` without a master.
    #[cfg(feature = "master")]
    pub fn snapshots(&self) -> Option<crate::Snapshots> {
        self.snapshots.clone()
    }

    /// Adds a note to the ready line of a process without a master. A worker ignores
    /// it, because the master prints the ready line.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// A future that is ready when the worker is told to stop.
    ///
    /// A response that lasts, such as a websocket or an event stream, should end then.
    /// Otherwise it holds the stop until the graceful timeout. Clones can be part of the
    /// application's data.
    pub fn stopping(&self) -> Stopping {
        Stopping::new(&self.stop)
    }

    /// Duplicates of the sockets that the worker accepts from, non-blocking, for a server
    /// that is not HTTP.
    ///
    /// The server calls [`ready`](Self::ready) when it serves, and stops accepting when
    /// [`stopping`](Self::stopping) is ready.
    ///
    /// # Errors
    ///
    /// Fails if the operating system refuses a file descriptor.
    pub fn listeners(&self) -> Result<Vec<OwnedFd>, Error> {
        let all = self.shared.listeners.iter();
        all.map(|listener| listener.as_fd().try_clone_to_owned())
            .collect::<io::Result<_>>()
            .context("share the socket")
    }

    /// Tells the master that the worker serves. [`serve`](Self::serve) does so itself.
    ///
    /// From then on nothing may block the runtime that calls this for longer than
    /// `--hang-timeout`.
    pub fn ready(&self) {
        if self.shared.beats {
            let heart = Heart::new(1, self.shared.activity);
            heart.beat(0);
            actix_web::rt::spawn(async move { heart.keep_beating(0).await });
        }
        (self.report)(Phase::Ready, &self.notes);
    }

    /// Serves by what `creator` makes until the worker is stopped, and then drains.
    pub(crate) async fn run_threads(
        &self,
        settings: &Settings,
        creator: impl Fn() -> Box<Create>,
    ) -> Result<(), Error> {
        let threads = Threads::start(&self.shared, settings, creator).await?;
        (self.report)(Phase::Ready, &self.notes);
        threads.accept();

        self.stop.at_least(Stop::Worker).await;
        tokio::select! {
            () = self.drain(&threads) => {}
            () = self.stop.at_least(Stop::Quick) => {}
        }
        self.shared.activity.record_cut();
        Ok(())
    }

    /// Lets open connections finish; at the timeout the rest is cut.
    async fn drain(&self, threads: &Threads) {
        let drain = async {
            threads.announce_close();
            if self.stop.current() < Stop::Server {
                if self.stop.current() == Stop::Slot {
                    // It fills again if there is to be a worker after all, and if
                    // it does not, the master sees to what is left.
                    let emptied = serve::empty_queue(&self.shared.listeners);
                    let _ = tokio::time::timeout(QUEUE_PATIENCE, emptied).await;
                }
                threads.stop_accepting();
                (self.report)(Phase::Draining, &self.notes);
                tokio::select! {
                    () = threads.finish_connections() => return,
                    // A signal to the whole process group reaches the worker
                    // before the master says what it means.
                    _ = self.stop.at_least(Stop::Server) => threads.announce_close(),
                }
            }
            if self.stop.current() == Stop::Server {
                (self.report)(Phase::Emptying, &self.notes);
            }
            serve::empty_queue(&self.shared.listeners).await;
            threads.stop_accepting();
            (self.report)(Phase::Draining, &self.notes);
            threads.finish_connections().await;
        };
        let _ = tokio::time::timeout(self.graceful_timeout, drain).await;
    }
}

/// Runs what a worker does on a runtime of its own.
pub(crate) fn run<F, R, E>(
    worker: Worker,
    meaning: impl Fn(Signal, Stop) -> Stop + 'static,
    body: F,
) -> Result<(), BoxError>
where
    F: FnOnce(Worker) -> R,
    R: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    System::new().block_on(async {
        let signals = worker.stop.listen_to_signals(meaning);
        signals.context("install signal handlers")?;
        body(worker).await.map_err(Into::into)
    })
}

/// Prints where the program answers, and what else there is to know.
pub(crate) fn say_ready<'a>(
    addresses: impl Iterator<Item = &'a Address>,
    notes: impl Iterator<Item = &'a String>,
) {
    let parts: Vec<_> = addresses
        .map(Address::to_string)
        .chain(notes.cloned())
        .collect();
    let name = program_name();
    say(format_args!("{name}: ready on {}", parts.join(", ")));
}

/// Prints an error with its chain of causes on one line.
pub(crate) fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let causes = iter::successors(Some(error), |error| error.source());
    let chain: Vec<_> = causes.map(ToString::to_string).collect();
    say(format_args!("error: {}", chain.join(": ")));
    ExitCode::FAILURE
}

/// The program as it was called, for messages.
pub(crate) fn program_name() -> String {
    let path = env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
