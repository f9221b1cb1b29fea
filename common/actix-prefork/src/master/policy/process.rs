//! One worker process, as the policy knows it.

use std::time::{Duration, Instant};

use log::Level;
use nix::sys::signal::Signal;

use super::action::{Action, Turn};
use crate::{
    Options,
    master::{
        line::Line,
        reason::{SpawnReason, StopReason},
        scoreboard::State,
    },
    stop::Stop,
};

/// The time that a worker gets after the graceful timeout: 5 seconds, for example to
/// flush its telemetry. Then the master kills it.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The time that an aborted process gets to write a core dump.
const ABORT_TIME: Duration = Duration::from_secs(2);

/// How long a process is spared after a debugger was last seen to hold it.
const DEBUGGER_GRACE: Duration = Duration::from_secs(1);

/// A worker process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Its row in the scoreboard, which names it for as long as it lives.
    pub(crate) row: u16,
    /// 0 until it was started.
    pub(crate) pid: u32,
    pub(crate) slot: u16,
    pub(crate) reason: SpawnReason,
    pub(crate) started: Instant,
    pub(crate) ready: Option<Instant>,
    pub(crate) life: Life,
    /// What it was told. It only becomes more urgent.
    pub(crate) told: Stop,
    /// Why it leaves, if it does.
    pub(crate) leaves: Option<StopReason>,
    /// When it was first seen to ask for its replacement, because of a `SIGTERM`.
    pub(crate) asked: Option<Instant>,
    /// It accepts no more, by its own word.
    pub(crate) drains: bool,
    /// When all its serving threads were last known to run.
    pub(crate) beat: Instant,
    /// Whether a serving thread does not run.
    pub(crate) stalled: bool,
    /// When that last changed.
    pub(crate) turned: Instant,
    /// It is not aborted before, because a debugger holds it.
    pub(crate) spared_until: Instant,
    pub(crate) requests: u64,
    /// Open connections.
    pub(crate) connections: u32,
    /// It has as many as it may have.
    pub(crate) full: bool,
    /// The number of requests after which it is replaced.
    pub(crate) limit: Option<u64>,
}

/// The life of a process. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Booting,
    Serving,
    /// It was told to go, or will leave as soon as it has booted.
    Leaving {
        since: Instant,
        /// It was stalled then, and has not responded since: its time has not begun.
        unheard: bool,
    },
    /// It got `SIGABRT`, which may leave a core dump. That has no effect on a stopped
    /// process; `SIGKILL` follows.
    Aborted {
        since: Instant,
    },
    Killed,
}

/// What the scoreboard says of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) asked: bool,
    /// Time since the last heartbeat.
    pub(crate) silent: Duration,
    pub(crate) requests: u64,
    pub(crate) connections: u32,
    pub(crate) debugged: bool,
    pub(crate) full: bool,
}

impl Process {
    pub(crate) fn new(slot: u16, row: u16, reason: SpawnReason, now: Instant) -> Self {
        Self {
            row,
            pid: 0,
            slot,
            reason,
            started: now,
            ready: None,
            life: Life::Booting,
            told: Stop::Not,
            leaves: None,
            asked: None,
            drains: false,
            beat: now,
            stalled: false,
            turned: now,
            spared_until: now,
            requests: 0,
            connections: 0,
            full: false,
            limit: None,
        }
    }

    /// `worker 2 (pid 4711)`.
    pub(crate) fn name(&self) -> String {
        format!("worker {} (pid {})", self.slot, self.pid)
    }

    /// Logs something about it: `worker 2 (pid 4711)` and the text.
    pub(crate) fn log(&self, level: Level, event: &'static str, text: &str, turn: &mut Turn) {
        turn.push(Action::Log(Line {
            level,
            text: format!("{} {text}", self.name()),
            fields: vec![
                ("event", event.into()),
                ("slot", self.slot.into()),
                ("pid", self.pid.into()),
            ],
        }));
    }

    /// Whether it serves new connections.
    pub(crate) fn is_well(&self) -> bool {
        self.life == Life::Serving && !self.stalled && !self.drains
    }

    /// Whether it accepts from its queue, or will when it has booted.
    pub(crate) fn accepts(&self) -> bool {
        let lives = !matches!(self.life, Life::Aborted { .. } | Life::Killed);
        lives && !self.stalled && !self.drains
    }

    pub(crate) fn is_booting(&self) -> bool {
        self.ready.is_none() && self.life != Life::Killed
    }

    /// A helper serves beside a stalled worker; other processes replace one.
    pub(crate) fn is_helper(&self) -> bool {
        self.reason == SpawnReason::Hang
    }

    /// Whether its heartbeat counts: its serving threads ought to run.
    pub(crate) fn is_watched(&self) -> bool {
        let unheard = matches!(self.life, Life::Leaving { unheard: true, .. });
        let lives = matches!(self.life, Life::Serving | Life::Leaving { .. });
        self.ready.is_some() && lives && (unheard || !self.drains)
    }

    /// Takes up a report. Returns whether the process has become ready.
    pub(crate) fn take_up(&mut self, report: &Report, now: Instant) -> bool {
        let beat = now.checked_sub(report.silent).unwrap_or(self.started);
        self.beat = self.beat.max(beat);
        self.requests = report.requests;
        self.connections = report.connections;
        self.full = report.full;
        self.drains = report.state == State::Draining;
        if report.asked && self.asked.is_none() {
            self.asked = Some(now);
        }
        if report.debugged {
            self.spared_until = now + DEBUGGER_GRACE;
        }
        let answers = matches!(report.state, State::Ready | State::Draining);
        if self.ready.is_some() || !answers {
            return false;
        }
        self.ready = Some(now);
        // It has a whole period from here.
        self.beat = now;
        match &mut self.life {
            Life::Booting => self.life = Life::Serving,
            Life::Leaving { since, .. } => *since = now,
            Life::Serving | Life::Aborted { .. } | Life::Killed => {}
        }
        true
    }

    /// Notes whether its serving threads run.
    pub(crate) fn turn(&mut self, stalled: bool, now: Instant) {
        self.stalled = stalled;
        self.turned = now;
        if !stalled && let Life::Leaving { unheard: true, .. } = self.life {
            // It gets the time that others get to finish.
            self.life = Life::Leaving {
                since: now,
                unheard: false,
            };
        }
    }

    /// Tells it how to stop, unless it knows.
    pub(crate) fn tell(&mut self, stop: Stop, reason: StopReason, turn: &mut Turn) {
        let first = self.leaves.is_none();
        self.leaves.get_or_insert(reason);
        if matches!(self.life, Life::Booting | Life::Serving) {
            self.life = Life::Leaving {
                since: turn.now,
                unheard: self.stalled,
            };
        }
        if stop > self.told && matches!(self.life, Life::Leaving { .. }) {
            self.told = stop;
            turn.push(Action::Tell {
                row: self.row,
                stop,
                first: first.then_some(reason),
            });
        }
    }

    /// When it has to be killed: one that boots after the boot timeout, one that leaves
    /// after the graceful timeout, unless its heartbeat decides.
    pub(crate) fn deadline(&self, options: &Options) -> Option<Instant> {
        let heartbeat_decides = self.stalled && !options.timeout.is_zero();
        match self.life {
            Life::Killed => None,
            Life::Aborted { since } => Some(since + ABORT_TIME),
            _ if self.ready.is_none() => Some(self.started + options.boot_timeout),
            Life::Leaving { unheard: true, .. } if heartbeat_decides => None,
            Life::Leaving { since, .. } => {
                Some(since + options.server.graceful_timeout + FLUSH_TIMEOUT)
            }
            Life::Booting | Life::Serving => None,
        }
    }

    /// Kills it if its time is over.
    pub(crate) fn kill_overdue(&mut self, options: &Options, turn: &mut Turn) {
        if self.deadline(options).is_none_or(|due| due > turn.now) {
            return;
        }
        if self.ready.is_none() {
            let text = format!(
                "was not ready within {:?} (--boot-timeout), killing it",
                options.boot_timeout
            );
            self.log(Level::Error, "worker.boot_timeout", &text, turn);
        } else {
            let text = "did not exit in time, killing it";
            self.log(Level::Warn, "worker.overdue", text, turn);
        }
        self.kill(turn);
    }

    /// How long it has been leaving, by itself.
    pub(crate) fn drained(&self, now: Instant) -> Option<Duration> {
        match self.life {
            Life::Leaving { since, .. } => Some(now.saturating_duration_since(since)),
            _ => None,
        }
    }

    pub(crate) fn abort(&mut self, turn: &mut Turn) {
        self.life = Life::Aborted { since: turn.now };
        self.send(Signal::SIGABRT, turn);
    }

    pub(crate) fn kill(&mut self, turn: &mut Turn) {
        if self.life != Life::Killed {
            self.life = Life::Killed;
            self.send(Signal::SIGKILL, turn);
        }
    }

    fn send(&self, signal: Signal, turn: &mut Turn) {
        let row = self.row;
        turn.push(Action::Send { row, signal });
    }
}
