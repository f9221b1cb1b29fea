//! Decides what the master does. It is told what happened and what time it is, and
//! answers with actions: it starts nothing, sends nothing and reads no clock.

mod action;
mod backoff;
mod outcome;
mod process;
mod rollover;
mod signals;
mod slot;
mod slots;
mod stage;
mod stopping;
#[cfg(test)]
mod tests;
mod watch;

use std::time::{Duration, Instant};

use log::Level;
use nix::sys::signal::Signal;

pub use self::process::FLUSH_TIMEOUT;
pub(crate) use self::{
    action::Action,
    outcome::End,
    process::{Process, Report},
    slots::Queues,
    stage::Stage,
};
use self::{
    action::Turn, outcome::Ended, process::Life, rollover::Rollover, slot::Slot, slots::Slots,
    stopping::Urgency, watch::Watch,
};
use super::reason::SpawnReason;
use crate::Options;

/// How often what is not announced is looked at: the number of requests of a worker
/// while it is limited, the queues of a server that stops.
const GLANCE: Duration = Duration::from_millis(500);
const STOP_GLANCE: Duration = Duration::from_millis(20);

/// What is decided, and what that rests on.
pub(crate) struct Policy<'a> {
    options: &'a Options,
    stage: Stage,
    slots: Slots,
    rollover: Rollover,
    watch: Watch,
    /// Signals that wait until the first workers are ready.
    deferred: Vec<Signal>,
    failed: bool,
    turn: Turn,
}

impl<'a> Policy<'a> {
    pub(crate) fn new(options: &'a Options, queues: Queues, now: Instant) -> Self {
        Self {
            options,
            stage: Stage::Starting,
            slots: Slots::new(options.workers, queues, now),
            rollover: Rollover::default(),
            watch: Watch::new(options, now),
            deferred: Vec::new(),
            failed: false,
            turn: Turn::at(now),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.rollover.is_reloading()
    }

    /// Whether the master has to exit with an error.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether the server has stopped: its port is closed and its workers have ended.
    pub(crate) fn is_done(&self) -> bool {
        let closed = matches!(&self.stage, Stage::Stopping(stop) if !stop.port_open);
        closed && self.processes().next().is_none()
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.slots.processes()
    }

    pub(crate) fn open_slots(&self) -> usize {
        self.slots.open().count()
    }

    /// Whether connections may wait in a queue that nobody serves.
    pub(crate) fn minds_queues(&self) -> bool {
        let closed = self.open_slots() < self.slots.all.len();
        closed || self.stage.is_stopping()
    }

    /// What has been decided since the last call.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.turn.actions)
    }

    /// When something is due for which nothing but time is missing.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let now = self.turn.now;
        let slots = self.slots.all.iter().flat_map(Slot::next_due).flatten();
        let asks = self.slots.all.iter().filter_map(Slot::asks);
        let processes = self.processes().flat_map(|process| {
            let look = self.watch.next_look(process, now);
            [process.deadline(self.options), look]
        });
        let stage = match self.stage {
            Stage::Starting | Stage::Serving => None,
            Stage::Delaying { until, .. } => Some(until),
            Stage::Stopping(stop) => Some(stop.deadline.min(now + STOP_GLANCE)),
        };
        let glance = (self.options.max_requests > 0).then_some(now + GLANCE);
        let all = slots
            .chain(asks.map(|since| since + self.options.boot_timeout))
            .chain(processes.flatten())
            .chain(stage)
            .chain(glance);
        // What was due before waits for something else than time.
        all.filter(|due| *due > now).min()
    }

    // What happened.

    /// The time is `now`.
    pub(crate) fn set_time(&mut self, now: Instant) {
        self.turn.now = now;
    }

    /// The master was run later than it asked for.
    pub(crate) fn overslept(&mut self, by: Duration) {
        self.watch.overslept(by, self.turn.now);
    }

    /// What the scoreboard says of a process.
    pub(crate) fn report(&mut self, row: u16, report: &Report) {
        if let Some(replaced) = self.slots.report(row, report, &mut self.turn) {
            self.rollover.note_ready(replaced);
        }
    }

    /// How many connections wait in the queue of a slot.
    pub(crate) fn queued(&mut self, slot: u16, length: u32) {
        if let Some(slot) = self.slots.all.get_mut(usize::from(slot)) {
            slot.queued = length;
        }
    }

    /// A process was started. It is replaced after `limit` requests.
    pub(crate) fn started(&mut self, row: u16, pid: u32, limit: Option<u64>) {
        if let Some(process) = self.slots.started(row) {
            (process.pid, process.limit) = (pid, limit);
        }
    }

    /// A process could not be started. `passes` says whether that may pass: processes,
    /// descriptors or memory were refused.
    pub(crate) fn not_started(&mut self, row: u16, error: &str, passes: bool) {
        let now = self.turn.now;
        let Some(process) = self.processes().find(|process| process.row == row) else {
            return;
        };
        let (slot, reason) = (process.slot, process.reason);
        let (pause, is_news) = self.slots.get_mut(slot).not_started(row, now);
        let mut text = format!("cannot start worker {slot}: {error}");
        if !passes && self.stage == Stage::Starting {
            self.turn.push(Action::Say(format!("error: {text}")));
            self.fail();
        } else if !passes && reason == SpawnReason::Reload {
            let (slots, turn) = (&mut self.slots, &mut self.turn);
            self.rollover.fail(&text, slots, turn);
        } else if is_news {
            text += "; retrying until it succeeds";
            if !pause.is_zero() {
                text += &format!(", next in {pause:?}");
            }
            self.turn.log(Level::Error, "worker.not_started", text);
        }
    }

    /// A process has ended. Returns what it was.
    pub(crate) fn ended(&mut self, row: u16, end: &End<'_>) -> Option<Process> {
        let now = self.turn.now;
        let Ended { process, outcome } = self.slots.ended(row, end.success, now)?;
        let was_ready = process.ready.is_some();
        // Beside a worker that is ready, whoever killed this one is no fault of the program.
        let is_misfortune =
            end.killed && process.life != Life::Killed && self.slots.all.iter().any(Slot::is_ready);
        let is_first = !was_ready && process.reason == SpawnReason::Boot;
        let (slots, turn) = (&mut self.slots, &mut self.turn);
        match self.stage {
            Stage::Starting if is_first && !is_misfortune => {
                if !end.told {
                    let text = format!("error: {} {} before it was ready", process.name(), end.how);
                    turn.push(Action::Say(text));
                }
                self.fail();
            }
            Stage::Stopping(_) => {
                // One that was still booting had nothing to finish.
                let bad = !end.success && was_ready;
                self.failed |= bad;
                let level = if bad { Level::Warn } else { Level::Debug };
                let text = format!("{} during the stop", end.how);
                process.log(level, "worker.exit", &text, turn);
            }
            Stage::Starting | Stage::Serving | Stage::Delaying { .. } => {
                outcome.log(&process, end, turn);
                let crashed = outcome.is_loss() && !end.success;
                self.rollover
                    .note_ended(&process, end, crashed, slots, turn);
            }
        }
        Some(process)
    }

    /// There is a socket for one more slot.
    pub(crate) fn opened(&mut self) {
        self.slots.append(&mut self.turn);
    }

    /// The program that is on disk now was opened.
    pub(crate) fn reload(&mut self) {
        self.rollover.begin(&mut self.slots, self.turn.now);
    }

    /// Stops after an error during the start, which has been printed.
    fn fail(&mut self) {
        self.failed = true;
        self.stop(Urgency::Quick);
    }

    fn stop(&mut self, urgency: Urgency) {
        let (slots, turn) = (&mut self.slots, &mut self.turn);
        self.stage.stop(urgency, slots, self.options, turn);
    }

    // What is due.

    /// Decides what is due.
    pub(crate) fn advance(&mut self) {
        let (slots, turn) = (&mut self.slots, &mut self.turn);
        self.watch.judge_all(slots, turn);
        for process in slots.processes_mut() {
            process.kill_overdue(self.options, turn);
        }
        match &mut self.stage {
            Stage::Stopping(stop) => {
                stop.advance(slots, turn);
                if stop.deadline <= turn.now {
                    let text = "killing workers that did not stop in time";
                    turn.log(Level::Warn, "stop.overdue", text);
                    self.failed = true;
                    self.stop(Urgency::Kill);
                }
                return;
            }
            Stage::Delaying { until, .. } if *until <= turn.now => {
                return self.stop(Urgency::Graceful);
            }
            Stage::Starting | Stage::Serving | Stage::Delaying { .. } => {}
        }
        slots.heed_requests(self.options, turn);
        slots.fill(self.stage == Stage::Starting, turn);
        if self.stage == Stage::Starting {
            return self.finish_start();
        }
        self.watch.advance(slots, turn);
        self.rollover.advance(slots, turn);
        slots.steer(turn);
    }

    fn finish_start(&mut self) {
        if self.slots.all.iter().all(Slot::is_ready) {
            self.stage = Stage::Serving;
            self.turn.push(Action::SayReady);
            for signal in std::mem::take(&mut self.deferred) {
                self.change(signal);
            }
        }
    }
}
