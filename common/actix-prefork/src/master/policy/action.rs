//! What the policy asks the supervisor to do.

use std::time::Instant;

use log::Level;
use nix::sys::signal::Signal;

use crate::{
    master::{
        line::Line,
        reason::{SpawnReason, StopReason},
    },
    stop::Stop,
};

/// Something to do. Processes are named by their rows of the scoreboard.
#[derive(Debug)]
pub(crate) enum Action {
    /// Start a process, with the program that a reload brings or the one before, and say
    /// [`started`](super::Policy::started) or [`not_started`](super::Policy::not_started).
    Start {
        slot: u16,
        row: u16,
        reason: SpawnReason,
        new_program: bool,
    },
    /// A worker has become ready.
    Ready { row: u16 },
    /// Tell a worker how to stop; `first` has the reason if it was not told before.
    Tell {
        row: u16,
        stop: Stop,
        first: Option<StopReason>,
    },
    /// Send a signal that ends the process.
    Send { row: u16, signal: Signal },
    /// Send new connections to these slots alone.
    Steer(Vec<u32>),
    /// Open a socket for one more slot, while new connections go to these slots, and say
    /// [`opened`](super::Policy::opened).
    AddSocket { targets: Vec<u32> },
    /// Every first worker is ready: print the ready line.
    SayReady,
    /// Open the program that is on disk now, and say [`reload`](super::Policy::reload).
    OpenProgram,
    /// A reload is over.
    EndReload { success: bool },
    /// Ignore connections that clients begin from now on.
    IgnoreNewConnections,
    /// Refuse connections from now on.
    ClosePort,
    /// Write to the log.
    Log(Line),
    /// Print to stderr, because the start failed and the log may be off.
    Say(String),
}

/// What time it is, and what has been decided.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) now: Instant,
    pub(crate) actions: Vec<Action>,
}

impl Turn {
    pub(crate) fn at(now: Instant) -> Self {
        let actions = Vec::new();
        Self { now, actions }
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Logs something about the master.
    pub(crate) fn log(&mut self, level: Level, event: &'static str, text: impl Into<String>) {
        self.push(Action::Log(Line {
            level,
            text: text.into(),
            fields: vec![("event", event.into())],
        }));
    }
}
