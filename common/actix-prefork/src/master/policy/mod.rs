//! Decides what the master does. It is told what happened and what time it is, and
//! answers with actions: it starts nothing, sends nothing and reads no clock.

mod action;
mod backoff;
mod outcome;
mod process;
mod rollover;
mod slot;
mod slots;
mod stopping;
#[cfg(test)]
mod tests;
mod watch;

use std::time::{Duration, Instant};

use log::Level;
use nix::sys::signal::Signal;

use self::{
    action::Actions,
    rollover::Rollover,
    slot::{Ended, Slot},
    slots::Slots,
    stopping::{Stopping, Urgency, is_echo},
    watch::Watch,
};
pub(crate) use self::{
    action::{Action, Line},
    outcome::End,
    process::{Process, Report},
    slots::Queues,
};
use super::{hooks::SpawnReason, wording::counted};
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
    out: Actions,
}

/// Lifecycle stage of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The first workers boot. One that fails ends everything.
    Starting,
    /// Workers that end are replaced.
    Serving,
    /// As `Serving`, for the time of `--drain-delay` before a stop.
    Delaying { since: Instant, until: Instant },
    /// No worker is replaced; those that are left at the deadline are killed.
    Stopping(Stopping),
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
            out: Actions::default(),
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
        closed || matches!(self.stage, Stage::Stopping(_))
    }

    /// What has been decided since the last call.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.out.0)
    }

    /// When something is due for which nothing but time is missing.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
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

    /// The master was run later than it asked for.
    pub(crate) fn overslept(&mut self, by: Duration, now: Instant) {
        self.watch.overslept(by, now);
    }

    /// What the scoreboard says of a process.
    pub(crate) fn report(&mut self, row: u16, report: &Report, now: Instant) {
        if let Some((slot, replaced)) = self.slots.report(row, report, now, &mut self.out) {
            self.rollover.note_ready(slot, replaced);
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
    pub(crate) fn not_started(&mut self, row: u16, error: &str, passes: bool, now: Instant) {
        let Some(process) = self.processes().find(|process| process.row == row) else {
            return;
        };
        let (slot, reason) = (process.slot, process.reason);
        let text = format!("cannot start worker {slot}: {error}");
        let (pause, is_news) = self.slots.get_mut(slot).not_started(row, now);
        if passes {
            if is_news {
                let text = format!("{text}; retrying until it succeeds, next in {pause:?}");
                self.out.log(Level::Error, "worker.not_started", text);
            }
        } else if self.stage == Stage::Starting {
            self.out.push(Action::Say(format!("error: {text}")));
            self.fail(now);
        } else if reason == SpawnReason::Reload {
            self.rollover
                .fail(&text, &mut self.slots, now, &mut self.out);
        } else {
            let text = format!("{text}; retrying in {pause:?}");
            self.out.log(Level::Error, "worker.not_started", text);
        }
    }

    /// A process has ended. Returns what it was.
    pub(crate) fn ended(&mut self, row: u16, end: &End<'_>, now: Instant) -> Option<Process> {
        let Ended { process, outcome } = self.slots.ended(row, end.success, now)?;
        let never_ready = process.ready.is_none();
        match self.stage {
            Stage::Starting if never_ready && process.reason == SpawnReason::Boot => {
                if !end.told {
                    let text = format!("error: {} {} before it was ready", process.name(), end.how);
                    self.out.push(Action::Say(text));
                }
                self.fail(now);
            }
            Stage::Stopping(_) => {
                // One that was still booting had nothing to finish.
                self.failed |= !end.success && !never_ready;
                let bad = !end.success && !never_ready;
                let level = if bad { Level::Warn } else { Level::Debug };
                let text = format!("{} during the stop", end.how);
                self.out.log_of(&process, level, "worker.exit", &text);
            }
            Stage::Starting | Stage::Serving | Stage::Delaying { .. } => {
                outcome.log(&process, end, &mut self.out);
                let crashed = outcome.is_loss() && !end.success;
                let failed = self
                    .rollover
                    .note_ended(&process, end.success, crashed, end.cut);
                if let Some(why) = failed {
                    let why = format!("{} {} {why}", process.name(), end.how);
                    self.rollover
                        .fail(&why, &mut self.slots, now, &mut self.out);
                }
                self.rollover.log_report(&mut self.out);
            }
        }
        Some(process)
    }

    /// The master got a signal.
    pub(crate) fn signal(&mut self, signal: Signal, now: Instant) {
        if let Some(text) = explain(signal) {
            let text = format!("{signal}: {text}");
            return self.out.log(Level::Info, "signal", text);
        }
        match signal {
            Signal::SIGCHLD => {}
            Signal::SIGHUP | Signal::SIGTTIN | Signal::SIGTTOU => match self.stage {
                Stage::Starting => self.deferred.push(signal),
                Stage::Serving => self.change(signal, now),
                Stage::Delaying { .. } | Stage::Stopping(_) => {}
            },
            _ => self.stop_signal(signal, now),
        }
    }

    fn change(&mut self, signal: Signal, now: Instant) {
        let out = &mut self.out;
        match signal {
            Signal::SIGTTIN => {
                if let Some(slot) = self.slots.add(now, out) {
                    self.note_opened(slot);
                }
            }
            Signal::SIGTTOU => {
                if let Some(slot) = self.slots.remove(now, out) {
                    self.rollover.closed(slot);
                }
            }
            _ => self.rollover.ask(out),
        }
    }

    /// There is a socket for one more slot.
    pub(crate) fn opened(&mut self, now: Instant) {
        let slot = self.slots.append(now);
        self.note_opened(slot);
    }

    fn note_opened(&mut self, slot: u16) {
        self.rollover.opened(slot);
        let workers = counted(u32::from(slot) + 1, "worker");
        let text = format!("SIGTTIN: now {workers}");
        self.out.log(Level::Info, "scale.added", text);
    }

    /// The program that is on disk now was opened.
    pub(crate) fn reload(&mut self, now: Instant) {
        self.rollover.begin(&self.slots, now);
    }

    // Stopping.

    fn stop_signal(&mut self, signal: Signal, now: Instant) {
        let delay = self.options.drain_delay;
        let current = match &self.stage {
            Stage::Serving if signal == Signal::SIGTERM && !delay.is_zero() => {
                let until = now + delay;
                self.stage = Stage::Delaying { since: now, until };
                let text = format!("{signal}: stopping in {delay:?} (--drain-delay)");
                return self.out.log(Level::Info, "stop.delayed", text);
            }
            Stage::Delaying { since, .. } if signal == Signal::SIGTERM && is_echo(*since, now) => {
                return;
            }
            Stage::Starting | Stage::Serving | Stage::Delaying { .. } => None,
            Stage::Stopping(stop) => Some(stop),
        };
        if let Some(urgency) = Urgency::of(signal, current, now) {
            let text = format!("{signal}: {}", urgency.describe());
            self.out.log(Level::Info, "stop", text);
            self.stop(urgency, now);
        }
    }

    fn stop(&mut self, urgency: Urgency, now: Instant) {
        let before = match &self.stage {
            Stage::Stopping(stop) => Some(stop),
            Stage::Starting | Stage::Serving | Stage::Delaying { .. } => None,
        };
        let (slots, out) = (&mut self.slots, &mut self.out);
        let stop = Stopping::begin(urgency, before, slots, self.options, now, out);
        self.stage = Stage::Stopping(stop);
    }

    /// Stops after an error during the start, which has been printed.
    fn fail(&mut self, now: Instant) {
        self.failed = true;
        self.stop(Urgency::Quick, now);
    }

    // What is due.

    /// Decides what is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        let (slots, out) = (&mut self.slots, &mut self.out);
        self.watch.judge_all(slots, now, out);
        for process in slots.processes_mut() {
            process.kill_overdue(self.options, now, out);
        }
        match &mut self.stage {
            Stage::Stopping(stop) => {
                stop.advance(slots, now, out);
                if stop.deadline <= now {
                    let text = "killing workers that did not stop in time";
                    out.log(Level::Warn, "stop.overdue", text);
                    self.failed = true;
                    self.stop(Urgency::Kill, now);
                }
                return;
            }
            Stage::Delaying { until, .. } if *until <= now => {
                return self.stop(Urgency::Graceful, now);
            }
            Stage::Starting | Stage::Serving | Stage::Delaying { .. } => {}
        }
        let runs_new = |slot, reason| self.rollover.runs_new(slot, reason);
        slots.heed_requests(self.options, runs_new, now, out);
        slots.fill(self.stage == Stage::Starting, runs_new, now, out);
        if self.stage == Stage::Starting {
            return self.finish_start(now);
        }
        self.watch.advance(slots, runs_new, now, out);
        self.rollover.advance(slots, now, out);
        slots.steer(out);
    }

    fn finish_start(&mut self, now: Instant) {
        if self.slots.all.iter().all(Slot::is_ready) {
            self.stage = Stage::Serving;
            self.out.push(Action::SayReady);
            for signal in std::mem::take(&mut self.deferred) {
                self.change(signal, now);
            }
        }
    }
}

/// What the master says to signals that mean something to gunicorn, and nothing here.
fn explain(signal: Signal) -> Option<&'static str> {
    match signal {
        Signal::SIGUSR1 => Some("nothing to do, logs go to stderr and need no reopening"),
        Signal::SIGUSR2 => {
            Some("ignored; send HUP to replace the workers with the program that is on disk now")
        }
        Signal::SIGWINCH => Some("ignored; send TTOU to remove a worker, or TERM to stop"),
        _ => None,
    }
}
