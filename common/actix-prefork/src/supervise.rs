//! What the master does while its workers run: one loop on one thread, which
//! wakes up for signals, for news from the scoreboard and for deadlines.

use std::{
    any::Any,
    path::PathBuf,
    process::{self, ExitCode},
    rc::Rc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    BoxError, Environment, MAX_WORKERS, Master, Options, SpawnReason, Start,
    binary::{self, Binary},
    cli::say,
    error::Context as _,
    fleet::{Ended, Fleet, Ready},
    hang::Watch,
    notify::{Notifier, Phase},
    process::Process,
    rollover::Rollover,
    scoreboard::{Role, State},
    slot::Slot,
    stopping::{FLUSH_TIMEOUT, Stopping, Urgency},
    wording::counted,
    worker::program_name,
};

/// How often the accept queues are looked at.
const SAMPLE: Duration = Duration::from_secs(1);

/// The master at work.
pub(crate) struct Supervisor<'a> {
    pub(crate) options: &'a Options,
    pub(crate) fleet: Fleet<'a>,
    pub(crate) stage: Stage,
    /// What new workers run.
    pub(crate) binary: Rc<Binary>,
    /// Where it came from.
    pub(crate) path: Option<PathBuf>,
    pub(crate) rollover: Rollover,
    pub(crate) watch: Watch,
    /// Signals that wait until the first workers are ready.
    deferred: Vec<Signal>,
    notes: Vec<String>,
    notifier: Notifier,
    pub(crate) failed: bool,
    /// Connections that were cut in the stop.
    pub(crate) cut: u32,
    /// What the start hooks returned, dropped after the last worker.
    kept: Vec<Box<dyn Any>>,
}

/// Lifecycle stage of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The first workers boot. One that fails ends everything.
    Starting,
    /// Workers that end are replaced.
    Serving,
    /// No worker is replaced; those that are left at the deadline are killed.
    Stopping(Stopping),
}

impl<'a> Supervisor<'a> {
    /// Opens the port and whatever else the workers will need, and calls the
    /// start hook.
    pub(crate) fn start(master: Master<'a>) -> Result<Self, BoxError> {
        let options = master.options;
        let mut fleet = Fleet::open(options, master.hooks)?;
        let binary = Binary::current().context("open /proc/self/exe, this program")?;
        let mut start = Start {
            environment: Environment::new(),
            notes: Vec::new(),
            snapshots: fleet.snapshots()?,
            on_exit: Vec::new(),
        };
        let mut kept = Vec::new();
        for hook in master.on_start {
            // The last one is dropped first.
            kept.insert(0, hook(&mut start)?);
        }
        fleet.environment = start.environment;
        fleet.hooks.on_exit.extend(start.on_exit);
        Ok(Self {
            options,
            fleet,
            stage: Stage::Starting,
            binary: Rc::new(binary),
            path: binary::own_path(),
            rollover: Rollover::default(),
            watch: Watch::new(options, Instant::now()),
            deferred: Vec::new(),
            notes: start.notes,
            notifier: Notifier::from_env(),
            failed: false,
            cut: 0,
            kept,
        })
    }

    /// Works until the last worker has ended after a stop.
    pub(crate) fn supervise(mut self) -> ExitCode {
        loop {
            for ended in self.fleet.reap() {
                self.worker_ended(&ended);
            }
            for ready in self.fleet.notice_ready() {
                self.worker_ready(&ready);
            }
            self.advance();
            self.notify();
            let stopping = matches!(self.stage, Stage::Stopping(_));
            if stopping && self.fleet.processes().next().is_none() {
                break;
            }
            let happened = self.fleet.events.wait(self.next_deadline());
            if happened.overslept {
                self.watch.forgive(Instant::now());
            }
            for signal in happened.signals {
                self.handle(signal);
            }
        }
        self.kept.clear();
        match self.cut {
            0 => log::info!("stopped"),
            cut => log::info!("stopped, {} cut", counted(cut, "connection")),
        }
        if self.failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Does what is due.
    fn advance(&mut self) {
        let now = Instant::now();
        match self.stage {
            Stage::Starting => {
                self.kill_overdue(now);
                self.start_due_workers(now);
            }
            Stage::Serving => {
                self.watch_hearts(now);
                self.kill_overdue(now);
                self.start_due_workers(now);
                self.roll_over(now);
                self.fleet.steer();
                self.fleet.record_accept_queues();
            }
            Stage::Stopping(_) => self.advance_stop(),
        }
    }

    fn handle(&mut self, signal: Signal) {
        match signal {
            Signal::SIGCHLD => {}
            Signal::SIGHUP | Signal::SIGTTIN | Signal::SIGTTOU => match self.stage {
                Stage::Starting => self.deferred.push(signal),
                Stage::Serving => self.change(signal),
                Stage::Stopping(_) => {}
            },
            _ => self.handle_stop(signal),
        }
    }

    fn change(&mut self, signal: Signal) {
        match signal {
            Signal::SIGHUP => {
                self.notifier.tell(Phase::Reloading);
                self.reload();
            }
            Signal::SIGTTIN => self.add_worker(),
            _ => self.remove_worker(),
        }
    }

    /// Reports the lifecycle stage to the service manager.
    fn notify(&mut self) {
        let phase = match self.stage {
            Stage::Starting => Phase::Starting,
            Stage::Serving if self.rollover.is_reloading() => Phase::Reloading,
            Stage::Serving => Phase::Serving {
                workers: self.open_slots(),
            },
            Stage::Stopping(_) => Phase::Stopping,
        };
        if phase != self.notifier.told() {
            self.notifier.tell(phase);
        }
        self.notifier.beat(Instant::now());
    }

    fn next_deadline(&self) -> Option<Instant> {
        let beat = self.notifier.next_beat();
        self.next_due().into_iter().chain(beat).min()
    }

    fn next_due(&self) -> Option<Instant> {
        if let Stage::Stopping(stop) = &self.stage {
            return Some(stop.deadline);
        }
        let now = Instant::now();
        let finish = self.options.server.graceful_timeout + FLUSH_TIMEOUT;
        let deadline = |process: &Process| process.deadline(self.options.boot_timeout, finish);
        let due = self
            .fleet
            .slots
            .iter()
            .filter_map(|slot| slot.next_due(now));
        let deadlines = self.fleet.processes().filter_map(deadline);
        let sample = [now + SAMPLE];
        due.chain(deadlines)
            .chain(self.watch.next)
            .chain(sample)
            .min()
    }

    // Starting workers.

    fn start_due_workers(&mut self, now: Instant) {
        for slot in 0..self.fleet.slots.len() as u16 {
            if let Some(reason) = self.fleet.slot(slot).due(now) {
                self.start_worker(slot, reason);
            } else if self.is_abandoned(slot, now) {
                self.start_worker(slot, SpawnReason::Scale);
            }
            // At the start one worker goes ahead: an error that each of them
            // would meet is met, and told, once.
            let first = self.fleet.slot(0).current();
            let is_ready = first.is_some_and(|process| process.ready.is_some());
            if self.stage == Stage::Starting && !is_ready {
                break;
            }
        }
    }

    /// Whether connections wait for a closed slot, and nobody will accept them.
    fn is_abandoned(&self, slot: u16, now: Instant) -> bool {
        let sockets = &self.fleet.sockets;
        !sockets.are_shared()
            && self.fleet.slot(slot).is_abandoned(now)
            && self.queue_length(slot) > 0
    }

    fn queue_length(&self, slot: u16) -> u32 {
        let socket = self.fleet.sockets.slot(slot);
        socket.queue_length().unwrap_or_default()
    }

    pub(crate) fn start_worker(&mut self, slot: u16, reason: SpawnReason) {
        let new = self.rollover.binary(slot, reason);
        let binary = new.unwrap_or(&self.binary).clone();
        match self.fleet.start(slot, reason, &binary) {
            Ok(_) => {}
            Err(error) if self.stage == Stage::Starting => {
                say(format_args!("error: cannot start worker {slot}: {error}"));
                self.fail();
            }
            Err(error) => {
                let place = self.fleet.slot_mut(slot);
                let pause = place.not_started(reason, Instant::now());
                if reason == SpawnReason::Reload {
                    return self.fail_reload(&format!("cannot start worker {slot}: {error}"));
                }
                log::error!("cannot start worker {slot}: {error}; retrying in {pause:?}");
            }
        }
    }

    fn worker_ready(&mut self, ready: &Ready) {
        if let Some(before) = &ready.before {
            before.send(Signal::SIGTERM);
        }
        if ready.process.retired.is_some() {
            ready.process.send(Signal::SIGTERM);
        }
        self.rollover.note_ready(ready);
        let is_ready = |slot: &Slot| slot.current().is_some_and(|worker| worker.ready.is_some());
        if self.stage == Stage::Starting && self.fleet.slots.iter().all(is_ready) {
            self.stage = Stage::Serving;
            self.say_ready();
            for signal in std::mem::take(&mut self.deferred) {
                self.change(signal);
            }
        }
    }

    fn say_ready(&self) {
        let mut line = format!(
            "{}: ready on {}, master {}, workers",
            program_name(),
            self.fleet.sockets.address(),
            process::id()
        );
        for process in self.fleet.processes() {
            line += &format!(" {}", process.pid);
        }
        for note in &self.notes {
            line += &format!(", {note}");
        }
        say(format_args!("{line}"));
    }

    // More and fewer workers.

    fn add_worker(&mut self) {
        let now = Instant::now();
        let open = self.open_slots();
        if open >= usize::from(MAX_WORKERS) {
            return log::warn!("SIGTTIN ignored: {open} workers are the maximum");
        }
        if open < self.fleet.slots.len() {
            self.fleet.slots[open].open(now);
        } else {
            if let Err(error) = self.fleet.sockets.add() {
                return log::error!("SIGTTIN: cannot add a worker: {error}");
            }
            self.fleet.slots.push(Slot::new(now, SpawnReason::Scale));
        }
        self.rollover.opened(open as u16);
        log::info!("SIGTTIN: now {}", counted(open as u32 + 1, "worker"));
    }

    fn remove_worker(&mut self) {
        let open = self.open_slots();
        if open <= 1 {
            return log::warn!("SIGTTOU ignored: 1 worker is the minimum");
        }
        // Always the last one, so that open slots are those below a number.
        let last = open as u16 - 1;
        self.fleet.close(last);
        self.rollover.closed(last);
        log::info!("SIGTTOU: now {}", counted(u32::from(last), "worker"));
    }

    fn open_slots(&self) -> usize {
        self.fleet
            .slots
            .iter()
            .filter(|slot| slot.is_open())
            .count()
    }

    // The end of a worker.

    fn kill_overdue(&mut self, now: Instant) {
        let boot = self.options.boot_timeout;
        let finish = self.options.server.graceful_timeout + FLUSH_TIMEOUT;
        for (slot, place) in (0..).zip(&mut self.fleet.slots) {
            for process in place.processes_mut() {
                if process.deadline(boot, finish).is_none_or(|due| due > now) {
                    continue;
                }
                let pid = process.pid;
                match process.ready {
                    None => log::error!(
                        "worker {slot} (pid {pid}) was not ready within {boot:?} (--boot-timeout), \
                         killing it"
                    ),
                    Some(_) => {
                        log::warn!("worker {slot} (pid {pid}) did not exit in time, killing it")
                    }
                }
                process.kill();
            }
        }
    }

    fn worker_ended(&mut self, ended: &Ended) {
        self.tell_end(ended);
        match self.stage {
            Stage::Starting => self.fail(),
            Stage::Stopping(_) => {
                self.cut += ended.cut;
                // One that was still booting had nothing to finish.
                self.failed |= !ended.status.success() && ended.process.ready.is_some();
            }
            Stage::Serving => self.rolled_over(ended),
        }
    }

    fn tell_end(&self, ended: &Ended) {
        let (what, pause) = (ended.describe(), ended.pause);
        let cut = counted(ended.cut, "connection");
        let success = ended.status.success();
        match self.stage {
            // The worker has printed its error.
            Stage::Starting if ended.state == State::Failed => {}
            Stage::Starting => say(format_args!("error: {what} before it was ready")),
            Stage::Serving if ended.role == Role::Retired && success && ended.cut == 0 => {
                log::debug!("{what}");
            }
            Stage::Serving if ended.role == Role::Retired => log::warn!("{what}, {cut} cut"),
            Stage::Serving if ended.role == Role::Replacement => {
                log::error!("{what} before it was ready, the old worker keeps serving");
            }
            Stage::Serving if success => log::info!("{what}, {cut} cut, restarting"),
            Stage::Serving if pause.is_zero() => log::error!("{what}, restarting"),
            Stage::Serving => log::error!("{what}, crash loop, restarting in {pause:?}"),
            Stage::Stopping(_) if success || ended.process.ready.is_none() => {
                log::debug!("{what}");
            }
            Stage::Stopping(_) => log::warn!("{what} during the stop"),
        }
    }

    /// Stops after an error during the start, which has been printed.
    fn fail(&mut self) {
        self.failed = true;
        self.stop(Urgency::Quick);
    }
}
