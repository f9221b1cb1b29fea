//! A worker process below a master.

use std::{future::Future, io, os::fd::OwnedFd, process::ExitCode};

use nix::unistd::write;

use super::{
    inherit::{self, Inherited},
    lifeline,
    scoreboard::{Row, Scoreboard, State},
    snapshot::Snapshots,
};
use crate::{
    BoxError, Error, ServerOptions, Worker,
    error::Context as _,
    serve::{Settings, Shared},
    stop::{Signal, Stop, StopRequest},
    worker::{self, Phase, fail},
};

/// Does what a worker does, and tells the master how far it has come.
pub(crate) fn work<F, R, E>(
    inherited: io::Result<Inherited>,
    options: &ServerOptions,
    body: F,
) -> ExitCode
where
    F: FnOnce(Worker) -> R,
    R: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let (worker, post) = match prepare(inherited, options) {
        Ok(prepared) => prepared,
        Err(error) => return fail(&error),
    };
    let meaning = |signal, current| match signal {
        Signal::Terminate => match post.row().told() {
            // Somebody else sent it. The worker goes on until another can take over.
            Stop::Not => {
                post.ask();
                current
            }
            told => told,
        },
        // Ctrl-C reaches the whole process group. The master says what follows.
        Signal::Interrupt => current,
        Signal::Quit => Stop::Quick,
    };
    match worker::run(worker, meaning, body) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            post.tell(State::Failed);
            fail(error.as_ref())
        }
    }
}

fn prepare(
    inherited: io::Result<Inherited>,
    options: &ServerOptions,
) -> Result<(Worker, &'static Post), Error> {
    let inherited = inherited.context("use the descriptors that the master passed")?;
    let memory = inherited.scoreboard.try_clone();
    let snapshots = memory.and_then(Scoreboard::open).map(Snapshots::new);
    let board = Scoreboard::open(inherited.scoreboard).context("open the scoreboard")?;
    // Both live as long as the process does.
    let post: &'static Post = Box::leak(Box::new(Post {
        board,
        row: inherited.place.row,
        wake: inherited.wake,
    }));
    inherit::handle_ignored_signals().context("install signal handlers")?;
    let stop = StopRequest::new();
    let orphaned = stop.clone();
    lifeline::watch(inherited.lifeline, move || orphaned.raise(Stop::Quick))
        .context("watch the master")?;
    let worker = Worker {
        slot: inherited.place.slot,
        shared: Shared {
            listeners: inherited.http,
            threads: options.threads,
            activity: &post.row().activity,
            beats: true,
        },
        settings: Settings::new(options),
        graceful_timeout: options.graceful_timeout,
        stop,
        notes: Vec::new(),
        snapshots: Some(snapshots.context("open the scoreboard")?),
        report: Box::new(move |phase, _| match phase {
            Phase::Ready => post.tell(State::Ready),
            // The master has done this before it told the worker.
            Phase::Emptying => {}
            Phase::Draining => post.tell(State::Draining),
        }),
    };
    Ok((worker, post))
}

/// How a worker talks to its master.
struct Post {
    board: Scoreboard,
    row: u16,
    wake: OwnedFd,
}

impl Post {
    fn row(&self) -> &Row {
        self.board.row(self.row)
    }

    fn tell(&self, state: State) {
        self.row().set(state);
        self.wake_master();
    }

    /// Asks the master for a replacement.
    fn ask(&self) {
        self.row().ask();
        self.wake_master();
    }

    fn wake_master(&self) {
        // The counter is full after 2^64 - 2 calls, and a master that is gone
        // needs no telling.
        let _ = write(&self.wake, &1_u64.to_ne_bytes());
    }
}
