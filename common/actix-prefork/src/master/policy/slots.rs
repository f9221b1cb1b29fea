//! All slots: which of them need a process, and where new connections are sent.

use std::time::Instant;

use log::Level;

use super::{
    action::{Action, Turn},
    outcome::Ended,
    process::{Process, Report},
    slot::Slot,
};
use crate::{
    MAX_WORKERS, Options,
    master::{
        reason::{SpawnReason, StopReason},
        scoreboard::ROWS,
        wording::counted,
    },
    stop::Stop,
};

/// What connections wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queues {
    /// A queue for each slot.
    Own,
    /// One queue for all slots.
    Shared,
    /// One queue, which outlives this server: a service manager holds it.
    Kept,
}

/// All slots.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) all: Vec<Slot>,
    pub(crate) queues: Queues,
    /// Where new connections are sent.
    targets: Vec<u32>,
}

impl Slots {
    pub(crate) fn new(count: u16, queues: Queues, now: Instant) -> Self {
        Self {
            all: (0..count)
                .map(|_| Slot::new(now, SpawnReason::Boot))
                .collect(),
            queues,
            targets: (0..count.into()).collect(),
        }
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.all.iter().flat_map(Slot::processes)
    }

    pub(crate) fn processes_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        self.all.iter_mut().flat_map(Slot::processes_mut)
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Slot> {
        self.all.iter().filter(|slot| slot.is_open())
    }

    /// The first slot of which this holds.
    pub(crate) fn find(&self, wanted: impl Fn(&Slot) -> bool) -> Option<u16> {
        self.all.iter().position(wanted).map(|slot| slot as u16)
    }

    pub(crate) fn numbers(&self) -> std::ops::Range<u16> {
        0..self.all.len() as u16
    }

    pub(crate) fn get(&self, slot: u16) -> &Slot {
        &self.all[usize::from(slot)]
    }

    pub(crate) fn get_mut(&mut self, slot: u16) -> &mut Slot {
        &mut self.all[usize::from(slot)]
    }

    // What happened.

    /// What the scoreboard says of a process. If a reload has brought it and it has become
    /// ready, returns whether another one leaves for it.
    pub(crate) fn report(&mut self, row: u16, report: &Report, turn: &mut Turn) -> Option<bool> {
        let process = self.processes_mut().find(|process| process.row == row)?;
        let (slot, reason) = (process.slot, process.reason);
        let was_asked = process.asked.is_some();
        let is_ready = process.take_up(report, turn.now);
        if !was_asked && process.asked.is_some() && process.leaves.is_none() {
            let text = "got SIGTERM, replacing it";
            process.log(Level::Info, "worker.asked", text, turn);
        }
        if !is_ready {
            return None;
        }
        turn.push(Action::Ready { row });
        let replaced = self.get_mut(slot).ready(row, turn);
        let is_new = reason == SpawnReason::Reload;
        self.get_mut(slot).renewed |= is_new;
        is_new.then_some(replaced)
    }

    /// Notes that a process was started, and returns it.
    pub(crate) fn started(&mut self, row: u16) -> Option<&mut Process> {
        self.all.iter_mut().find_map(|slot| slot.started(row))
    }

    /// Takes out a process that has ended.
    pub(crate) fn ended(&mut self, row: u16, success: bool, now: Instant) -> Option<Ended> {
        let mut slots = self.all.iter_mut();
        slots.find_map(|slot| slot.ended(row, success, now))
    }

    // Starting.

    /// Starts the workers that are due, and those that serve what waits for a closed
    /// slot. At the start of the server the first slot goes ahead: an error that each
    /// worker would meet is met, and told, once.
    pub(crate) fn fill(&mut self, starting: bool, turn: &mut Turn) {
        for slot in self.numbers() {
            if let Some(reason) = self.get(slot).due(turn.now) {
                self.start(slot, reason, turn);
            } else if !self.get(slot).is_open() && self.queues == Queues::Own {
                self.rescue(slot, (Stop::Slot, StopReason::Scale), turn);
            }
            if starting && !self.get(0).is_ready() {
                return;
            }
        }
    }

    /// Starts a process in a slot. Without a row for it nothing happens: as many
    /// processes as there are rows are still draining, and each of them ends.
    pub(crate) fn start(&mut self, slot: u16, reason: SpawnReason, turn: &mut Turn) {
        if let Some(process) = self.create(slot, reason, turn) {
            self.get_mut(slot).place(process);
        }
    }

    fn create(&self, slot: u16, reason: SpawnReason, turn: &mut Turn) -> Option<Process> {
        let mut used = [false; ROWS as usize];
        for process in self.processes() {
            used[usize::from(process.row)] = true;
        }
        let row = (0..ROWS).find(|row| !used[usize::from(*row)])?;
        turn.push(Action::Start {
            slot,
            row,
            reason,
            new_program: reason == SpawnReason::Reload || self.get(slot).renewed,
        });
        Some(Process::new(slot, row, reason, turn.now))
    }

    /// Starts a process that serves what waits in the queue of a slot, and goes, where
    /// nobody else will.
    pub(crate) fn rescue(
        &mut self,
        slot: u16,
        (stop, reason): (Stop, StopReason),
        turn: &mut Turn,
    ) {
        let is_shared = self.queues != Queues::Own;
        let has_acceptor = match is_shared {
            true => self.all.iter().any(Slot::has_acceptor),
            false => self.get(slot).has_acceptor(),
        };
        if has_acceptor || self.get(slot).queued == 0 || !self.get(slot).may_rescue(turn.now) {
            return;
        }
        let spawn = match reason {
            StopReason::Scale => SpawnReason::Scale,
            _ => SpawnReason::Crash,
        };
        if let Some(mut process) = self.create(slot, spawn, turn) {
            process.tell(stop, reason, turn);
            self.get_mut(slot).place_rescuer(process);
        }
    }

    /// Replaces workers that ask for it because of a `SIGTERM`. One that nobody has
    /// replaced within the boot timeout goes all the same.
    pub(crate) fn heed_requests(&mut self, options: &Options, turn: &mut Turn) {
        for slot in self.numbers() {
            let place = self.get_mut(slot);
            let helper_asks = place.second().is_some_and(|second| second.asked.is_some());
            if helper_asks && place.second().is_some_and(Process::is_helper) {
                place.dismiss(StopReason::Exit, turn);
            }
            let Some(since) = place.asks() else {
                continue;
            };
            let is_helped = place.second().is_some_and(Process::is_well);
            if is_helped || since + options.boot_timeout <= turn.now {
                place.let_go(turn);
            } else if place.may_replace(turn.now) {
                self.start(slot, SpawnReason::Exit, turn);
            }
        }
    }

    // Scaling.

    /// Opens a slot, a closed one if there is one.
    pub(crate) fn add(&mut self, turn: &mut Turn) {
        let open = self.open().count();
        if open >= usize::from(MAX_WORKERS) {
            let text = format!("SIGTTIN ignored: {open} workers are the maximum");
            turn.log(Level::Warn, "scale.ignored", text);
        } else if open < self.all.len() {
            self.open_next(turn);
        } else {
            let targets = self.targets.clone();
            turn.push(Action::AddSocket { targets });
        }
    }

    /// Takes a slot in, for which there is a socket now. Another one may have been closed
    /// meanwhile, and then it is that which opens.
    pub(crate) fn append(&mut self, turn: &mut Turn) {
        let mut slot = Slot::new(turn.now, SpawnReason::Scale);
        slot.close();
        self.all.push(slot);
        self.open_next(turn);
    }

    /// Opens the first closed slot, so that open slots are those below a number.
    fn open_next(&mut self, turn: &mut Turn) {
        if let Some(slot) = self.all.iter_mut().find(|slot| !slot.is_open()) {
            slot.open(turn.now);
            log_count("SIGTTIN", self.open().count() as u16, turn);
        }
    }

    /// Closes a slot, always the last one, so that open slots are those below a number.
    pub(crate) fn remove(&mut self, turn: &mut Turn) {
        let open = self.open().count();
        if open <= 1 {
            let text = "SIGTTOU ignored: 1 worker is the minimum";
            return turn.log(Level::Warn, "scale.ignored", text);
        }
        let last = open as u16 - 1;
        self.get_mut(last).close();
        log_count("SIGTTOU", last, turn);
        // Before they are told: what comes while a worker empties the queue would
        // never let it end.
        self.steer(turn);
        let stop = match self.queues {
            Queues::Own => Stop::Slot,
            Queues::Shared | Queues::Kept => Stop::Worker,
        };
        for process in self.get_mut(last).processes_mut() {
            process.tell(stop, StopReason::Scale, turn);
        }
    }

    /// Keeps new connections away from slots without a worker that serves: behind one
    /// that crashes while it boots, or is stalled, they would wait for long. Where nobody
    /// serves, a slot that has a process comes before one that has none.
    pub(crate) fn steer(&mut self, turn: &mut Turn) {
        let wanted: [fn(&Slot) -> bool; 3] =
            [Slot::serves, |slot| slot.current().is_some(), |_| true];
        let numbers = wanted.map(|wanted| -> Vec<u32> {
            let slots = (0..).zip(&self.all);
            let wanted = slots.filter(|(_, slot)| slot.is_open() && wanted(slot));
            wanted.map(|(number, _)| number).collect()
        });
        let targets = numbers.into_iter().find(|numbers| !numbers.is_empty());
        let targets = targets.unwrap_or_default();
        if self.queues == Queues::Own && targets != self.targets {
            turn.push(Action::Steer(targets.clone()));
            self.targets = targets;
        }
    }
}

fn log_count(signal: &str, workers: u16, turn: &mut Turn) {
    let text = format!("{signal}: now {}", counted(workers.into(), "worker"));
    turn.log(Level::Info, "scale", text);
}
