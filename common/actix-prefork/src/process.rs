//! A worker process, as the master knows it.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::SpawnReason;

/// A worker process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    /// Its row in the scoreboard.
    pub(crate) row: u16,
    pub(crate) reason: SpawnReason,
    pub(crate) started: Instant,
    /// When it said that it was ready.
    pub(crate) ready: Option<Instant>,
    /// The number of requests after which another takes over.
    pub(crate) limit: Option<u64>,
    pub(crate) pulse: Pulse,
    /// When a debugger was last seen to hold it.
    pub(crate) debugged: Option<Instant>,
    /// Since when it is to finish.
    pub(crate) retired: Option<Retired>,
    /// How far the master has gone to end it.
    pub(crate) force: Force,
}

/// What a process's heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pulse {
    /// Its serving threads run.
    Fine,
    /// One of them has not run for a moment: it may be busy.
    Late,
    /// It is past the soft limit: another takes over its socket.
    Hung,
    /// It is past the hard limit: it is ended.
    Lost,
}

/// Why a process is to finish, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retired {
    pub(crate) since: Instant,
    pub(crate) reason: SpawnReason,
}

/// How far the master has gone to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    None,
    /// It got `SIGABRT`, which may leave a core dump, at that time.
    Aborted(Instant),
    Killed,
}

impl Process {
    pub(crate) fn new(
        pid: Pid,
        row: u16,
        reason: SpawnReason,
        limit: Option<u64>,
        now: Instant,
    ) -> Self {
        Self {
            pid,
            row,
            reason,
            started: now,
            ready: None,
            limit,
            pulse: Pulse::Fine,
            debugged: None,
            retired: None,
            force: Force::None,
        }
    }

    pub(crate) fn serves(&self) -> bool {
        self.ready.is_some() && self.pulse == Pulse::Fine
    }

    /// When it has to be killed, unless its heartbeat decides: a booting worker
    /// after `boot`, one that is to finish after `finish`.
    pub(crate) fn deadline(&self, boot: Duration, finish: Duration) -> Option<Instant> {
        match (self.force, self.retired, self.ready) {
            (Force::Killed, ..) => None,
            (Force::Aborted(at), ..) => Some(at + ABORT_TIME),
            (Force::None, Some(retired), Some(_)) if self.pulse < Pulse::Hung => {
                Some(retired.since + finish)
            }
            (Force::None, _, None) => Some(self.started + boot),
            (Force::None, ..) => None,
        }
    }

    pub(crate) fn send(&self, signal: Signal) {
        // One that has just ended is reaped next.
        let _ = kill(self.pid, signal);
    }

    /// Whether a debugger holds it, as somebody does who looks for the reason why
    /// it hangs. [proc_pid_status(5)] has the tracer.
    ///
    /// [proc_pid_status(5)]: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    pub(crate) fn is_debugged(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let mut lines = status.lines();
        let tracer = lines.find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|tracer| tracer.trim() != "0")
    }

    /// `SIGABRT`, which leaves a core dump where the system is set up for it. It
    /// has no effect on a stopped process; `SIGKILL` follows.
    pub(crate) fn abort(&mut self, now: Instant) {
        self.force = Force::Aborted(now);
        self.send(Signal::SIGABRT);
    }

    pub(crate) fn kill(&mut self) {
        self.force = Force::Killed;
        self.send(Signal::SIGKILL);
    }
}

/// What an aborted process gets to write a core dump.
const ABORT_TIME: Duration = Duration::from_secs(2);
