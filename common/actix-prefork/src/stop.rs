//! How a worker learns that it has to stop, and how gently.

use std::{io, time::Duration};

use nix::sys::signal::{SigSet, Signal as NixSignal};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How long a `SIGTERM` that comes again is the same one: timeout(1) for example
/// sends it to a program and then to its whole group, which is one wish to stop.
pub(crate) const ECHO: Duration = Duration::from_millis(50);

/// Signals that tell a worker to stop. They are blocked while it boots, if a master has
/// started it, so that they do not end it.
pub(crate) const HELD: [NixSignal; 2] = [NixSignal::SIGTERM, NixSignal::SIGQUIT];

/// How a worker stops. A later variant is more urgent than an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It does not: it serves.
    #[default]
    Not,
    /// This worker alone stops. What waits in its socket's queue is left to the
    /// worker that comes after it on the same socket.
    Worker,
    /// There is to be one worker less: nothing new comes to its socket, and nobody
    /// comes after, so what waits in the queue is served first.
    Slot,
    /// The whole server stops: nobody comes after, so what waits in the queue is
    /// served first.
    Server,
    /// Connections are cut.
    Quick,
}

/// A future that is ready when a worker is told to stop; [`Worker::stopping`] creates it.
///
/// [`Worker::stopping`]: crate::Worker::stopping
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<Stop>);

impl Stopping {
    pub(crate) fn new(request: &StopRequest) -> Self {
        Self(request.0.subscribe())
    }

    /// Waits until the worker is told to stop.
    pub async fn wait(&self) {
        // It fails when nobody is left who could tell.
        let _ = self.0.clone().wait_for(|stop| *stop > Stop::Not).await;
    }
}

/// The requested stop, which only ever becomes more urgent.
#[derive(Clone)]
pub(crate) struct StopRequest(watch::Sender<Stop>);

impl StopRequest {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Stop::Not))
    }

    pub(crate) fn raise(&self, stop: Stop) {
        self.0.send_if_modified(|current| {
            let more_urgent = stop > *current;
            if more_urgent {
                *current = stop;
            }
            more_urgent
        });
    }

    pub(crate) fn current(&self) -> Stop {
        *self.0.borrow()
    }

    /// Waits until a stop at least as urgent as `stop` is requested.
    pub(crate) async fn at_least(&self, stop: Stop) {
        // It fails only when the last sender is gone, and `self` is one.
        let _ = self
            .0
            .subscribe()
            .wait_for(|current| *current >= stop)
            .await;
    }

    /// Raises the request on signals, as `meaning` reads them, until the process ends.
    ///
    /// # Errors
    ///
    /// Fails where the process may not install signal handlers.
    pub(crate) fn listen_to_signals(
        &self,
        meaning: impl Fn(Signal, Stop) -> Stop + 'static,
    ) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        // Whatever mask this process has inherited.
        let held: SigSet = HELD.into_iter().chain([NixSignal::SIGINT]).collect();
        held.thread_unblock()?;
        let request = self.clone();
        actix_web::rt::spawn(async move {
            loop {
                let signal = tokio::select! {
                    _ = terminate.recv() => Signal::Terminate,
                    _ = interrupt.recv() => Signal::Interrupt,
                    _ = quit.recv() => Signal::Quit,
                };
                request.raise(meaning(signal, request.current()));
            }
        });
        Ok(())
    }
}

/// The signals that stop a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// `SIGTERM`.
    Terminate,
    /// `SIGINT`, which a terminal sends to the whole process group on Ctrl-C.
    Interrupt,
    /// `SIGQUIT`.
    Quit,
}
