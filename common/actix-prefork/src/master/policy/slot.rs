//! A slot: who serves from its socket, who replaces or helps that worker, who leaves.

use std::time::Instant;

use super::{
    action::Turn,
    backoff::{Backoff, HelpPause},
    process::Process,
};
use crate::{
    master::reason::{SpawnReason, StopReason},
    stop::Stop,
};

/// A place for workers on one socket.
#[derive(Debug)]
pub(crate) struct Slot {
    seat: Seat,
    /// A replacement, which takes the seat when it is ready, or a helper.
    second: Option<Process>,
    /// Were told to go.
    leaving: Vec<Process>,
    backoff: Backoff,
    /// When the next one may be started, after one that failed.
    retry: Instant,
    help: HelpPause,
    /// Connections in the queue of its socket, when that was looked at.
    pub(crate) queued: u32,
    /// Whether its worker runs the program of the reload under way.
    pub(crate) renewed: bool,
    /// A start was refused, and none has succeeded since.
    refused: bool,
}

/// Whom new connections are meant for.
#[derive(Debug)]
enum Seat {
    /// Nobody: there are to be fewer workers.
    Closed,
    /// A worker is due at that time.
    Vacant { due: Instant, reason: SpawnReason },
    /// A worker, which may still boot.
    Taken(Process),
}

impl Slot {
    /// An open slot, for which a worker is due.
    pub(crate) fn new(now: Instant, reason: SpawnReason) -> Self {
        Self {
            seat: Seat::Vacant { due: now, reason },
            second: None,
            leaving: Vec::new(),
            backoff: Backoff::default(),
            retry: now,
            help: HelpPause::new(now),
            queued: 0,
            renewed: false,
            refused: false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.seat, Seat::Closed)
    }

    pub(crate) fn current(&self) -> Option<&Process> {
        match &self.seat {
            Seat::Taken(process) => Some(process),
            Seat::Closed | Seat::Vacant { .. } => None,
        }
    }

    /// Whether the current worker was ready at some time.
    pub(crate) fn is_ready(&self) -> bool {
        self.current()
            .is_some_and(|process| process.ready.is_some())
    }

    pub(crate) fn second(&self) -> Option<&Process> {
        self.second.as_ref()
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        let current = self.current().into_iter();
        current.chain(&self.second).chain(&self.leaving)
    }

    pub(crate) fn processes_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        let current = match &mut self.seat {
            Seat::Taken(process) => Some(process),
            Seat::Closed | Seat::Vacant { .. } => None,
        };
        let others = self.second.iter_mut().chain(&mut self.leaving);
        current.into_iter().chain(others)
    }

    /// Whether new connections are answered soon.
    pub(crate) fn serves(&self) -> bool {
        self.current()
            .into_iter()
            .chain(&self.second)
            .any(|process| process.is_well() && !process.full)
    }

    // Starting.

    /// Why a worker has to be started for the seat now, if it has to.
    pub(crate) fn due(&self, now: Instant) -> Option<SpawnReason> {
        match self.seat {
            Seat::Vacant { due, reason } if due <= now => Some(reason),
            _ => None,
        }
    }

    /// Whether a replacement may be started now.
    pub(crate) fn may_replace(&self, now: Instant) -> bool {
        self.current().is_some() && self.second.is_none() && self.retry <= now
    }

    /// Whether a reload may go on with this slot now.
    pub(crate) fn may_reload(&self, now: Instant) -> bool {
        match self.seat {
            // A crash loop may be what the reload mends.
            Seat::Vacant { due, .. } => !self.refused || due <= now,
            Seat::Taken(_) | Seat::Closed => self.may_replace(now),
        }
    }

    /// Whether the current worker asks for its replacement.
    pub(crate) fn asks(&self) -> Option<Instant> {
        let current = self.current().filter(|process| process.leaves.is_none());
        current.filter(|process| process.ready.is_some())?.asked
    }

    /// Whether somebody accepts from the queue, or will.
    pub(crate) fn has_acceptor(&self) -> bool {
        self.processes().any(Process::accepts)
    }

    /// Whether somebody may be started now who does nothing but serve the queue.
    pub(crate) fn may_rescue(&self, now: Instant) -> bool {
        let due = match self.seat {
            Seat::Vacant { due, .. } => due.max(self.retry),
            Seat::Closed | Seat::Taken(_) => self.retry,
        };
        due <= now
    }

    /// Adds a process that is being started: to the seat if it is vacant, else beside
    /// the current one. A closed slot has no place.
    pub(crate) fn place(&mut self, process: Process) {
        if process.is_helper() {
            self.help.begin(process.started);
        }
        match self.seat {
            Seat::Vacant { .. } => self.seat = Seat::Taken(process),
            Seat::Taken(_) => self.second = Some(process),
            Seat::Closed => self.leaving.push(process),
        }
    }

    /// Adds a process that serves the queue and goes.
    pub(crate) fn place_rescuer(&mut self, process: Process) {
        self.leaving.push(process);
    }

    /// Notes that a process was started, and returns it.
    pub(crate) fn started(&mut self, row: u16) -> Option<&mut Process> {
        let found = self.processes_mut().any(|process| process.row == row);
        self.refused &= !found;
        self.processes_mut().find(|process| process.row == row)
    }

    /// When something has to be done next for which nothing but time is missing.
    pub(crate) fn next_due(&self) -> [Option<Instant>; 3] {
        let vacant = match self.seat {
            Seat::Vacant { due, .. } => Some(due),
            Seat::Taken(_) | Seat::Closed => None,
        };
        [vacant, Some(self.retry), self.next_help()]
    }

    // Handing over.

    /// Notes that a process has become ready. Returns whether it has replaced another.
    pub(crate) fn ready(&mut self, row: u16, turn: &mut Turn) -> bool {
        let replaces = |second: &Process| second.row == row && !second.is_helper();
        match self.second.as_ref().is_some_and(replaces) {
            true => self.take_over(turn),
            false => false,
        }
    }

    /// Gives the seat to the second process. The current one leaves.
    pub(crate) fn take_over(&mut self, turn: &mut Turn) -> bool {
        let Some(second) = self.second.take() else {
            return false;
        };
        let reason = match second.reason {
            SpawnReason::Reload => StopReason::Reload,
            SpawnReason::Recycle => StopReason::Recycle,
            SpawnReason::Hang => StopReason::Hang,
            _ => StopReason::Exit,
        };
        if second.is_helper() {
            self.help.end(turn.now);
        }
        let old = std::mem::replace(&mut self.seat, Seat::Taken(second));
        match old {
            Seat::Taken(mut process) => {
                process.tell(Stop::Worker, reason, turn);
                self.leaving.push(process);
                true
            }
            Seat::Closed | Seat::Vacant { .. } => false,
        }
    }

    /// Lets the current worker go, though nobody is ready to take over.
    pub(crate) fn let_go(&mut self, turn: &mut Turn) {
        if self.second.is_some() {
            self.take_over(turn);
        } else if let Seat::Taken(mut process) = self.vacate(SpawnReason::Exit, turn.now) {
            process.tell(Stop::Worker, StopReason::Exit, turn);
            self.leaving.push(process);
        }
    }

    /// Lets the second process go.
    pub(crate) fn dismiss(&mut self, reason: StopReason, turn: &mut Turn) {
        if let Some(mut process) = self.second.take() {
            if process.is_helper() {
                self.help.end(turn.now);
            }
            process.tell(Stop::Worker, reason, turn);
            self.leaving.push(process);
        }
    }

    fn vacate(&mut self, reason: SpawnReason, due: Instant) -> Seat {
        std::mem::replace(&mut self.seat, Seat::Vacant { due, reason })
    }

    /// Lets the slot have no worker any more.
    pub(crate) fn close(&mut self) {
        if let Seat::Taken(process) = std::mem::replace(&mut self.seat, Seat::Closed) {
            self.leaving.push(process);
        }
        self.leaving.extend(self.second.take());
    }

    /// Lets a closed slot have a worker again.
    pub(crate) fn open(&mut self, now: Instant) {
        self.backoff = Backoff::default();
        self.renewed = false;
        self.vacate(SpawnReason::Scale, now);
    }
}

mod end;
mod help;
#[cfg(test)]
mod tests;
