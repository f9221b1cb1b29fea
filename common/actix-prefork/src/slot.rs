//! A place for workers: who serves from its socket, who takes over, who finishes.
//!
//! It starts nothing and sends nothing: it is told what happened, and says what
//! follows from it.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::{
    SpawnReason,
    backoff::Backoff,
    process::{Process, Pulse, Retired},
    scoreboard::Role,
};

/// A place for workers on one socket.
#[derive(Debug)]
pub(crate) struct Slot {
    seat: Seat,
    /// Boots, and takes the seat when it is ready.
    replacement: Option<Process>,
    /// Had the seat once, and are to finish.
    retired: Vec<Process>,
    backoff: Backoff,
    /// After a failed replacement, when the next one may be tried.
    replaceable: Instant,
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

/// What became of a process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) process: Process,
    pub(crate) role: Role,
    /// The pause until the next try, where there is one.
    pub(crate) pause: Duration,
}

impl Slot {
    /// An open slot, for which a worker is due.
    pub(crate) fn new(now: Instant, reason: SpawnReason) -> Self {
        Self {
            seat: Seat::Vacant { due: now, reason },
            replacement: None,
            retired: Vec::new(),
            backoff: Backoff::default(),
            replaceable: now,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.seat, Seat::Closed)
    }

    /// Whether the slot has no worker, not even one that boots.
    pub(crate) fn is_vacant(&self) -> bool {
        matches!(self.seat, Seat::Vacant { .. })
    }

    pub(crate) fn current(&self) -> Option<&Process> {
        match &self.seat {
            Seat::Taken(process) => Some(process),
            Seat::Closed | Seat::Vacant { .. } => None,
        }
    }

    pub(crate) fn replacement(&self) -> Option<&Process> {
        self.replacement.as_ref()
    }

    pub(crate) fn replacement_mut(&mut self) -> Option<&mut Process> {
        self.replacement.as_mut()
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        let current = self.current().into_iter();
        current.chain(&self.replacement).chain(&self.retired)
    }

    pub(crate) fn processes_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        let current = match &mut self.seat {
            Seat::Taken(process) => Some(process),
            Seat::Closed | Seat::Vacant { .. } => None,
        };
        let current = current.into_iter();
        current
            .chain(&mut self.replacement)
            .chain(&mut self.retired)
    }

    // Starting.

    /// Why a worker has to be started now, if it has to.
    pub(crate) fn due(&self, now: Instant) -> Option<SpawnReason> {
        match self.seat {
            Seat::Vacant { due, reason } if due <= now => Some(reason),
            _ => None,
        }
    }

    /// When the next worker is due, where that is not yet.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        match self.seat {
            // One that was due before waits for something else than time.
            Seat::Vacant { due, .. } => (due > now).then_some(due),
            Seat::Taken(_) | Seat::Closed => (self.replaceable > now).then_some(self.replaceable),
        }
    }

    /// Whether a replacement may be started beside the current worker. A worker
    /// that hangs and one that hung before it are enough for one slot.
    pub(crate) fn may_replace(&self, now: Instant) -> bool {
        let hung = |process: &Process| process.pulse >= Pulse::Hung;
        self.current().is_some()
            && self.replacement.is_none()
            && self.replaceable <= now
            && !self.retired.iter().any(hung)
    }

    /// Whether nobody is there who could serve what is left in the socket's queue.
    pub(crate) fn is_abandoned(&self, now: Instant) -> bool {
        !self.is_open() && self.retired.is_empty() && self.replaceable <= now
    }

    /// What the next process that is started will be. In a closed slot it serves
    /// what is left in the queue, and goes.
    pub(crate) fn next_role(&self) -> Role {
        match self.seat {
            Seat::Taken(_) => Role::Replacement,
            Seat::Vacant { .. } => Role::Current,
            Seat::Closed => Role::Retired,
        }
    }

    pub(crate) fn started(&mut self, process: Process) {
        match self.seat {
            Seat::Taken(_) => self.replacement = Some(process),
            Seat::Vacant { .. } => self.seat = Seat::Taken(process),
            Seat::Closed => {
                self.retire(process, process.reason, process.started);
            }
        }
    }

    /// Notes that a worker could not be started, and returns the pause until the
    /// next try.
    pub(crate) fn not_started(&mut self, reason: SpawnReason, now: Instant) -> Duration {
        let pause = self.backoff.after_end(None, now);
        match self.seat {
            Seat::Vacant { .. } => self.vacate(reason, now + pause),
            Seat::Closed | Seat::Taken(_) => self.replaceable = now + pause,
        }
        pause
    }

    fn vacate(&mut self, reason: SpawnReason, due: Instant) {
        self.seat = Seat::Vacant { due, reason };
    }

    /// Notes that a process is ready. If it takes over, the one that it takes over
    /// from is returned: it is to finish.
    pub(crate) fn ready(&mut self, pid: Pid, now: Instant) -> Option<Process> {
        let mut processes = self.processes_mut();
        let process = processes.find(|process| process.pid == pid)?;
        process.ready = Some(now);
        drop(processes);
        let replacement = self.replacement.take_if(|process| process.pid == pid)?;
        let before = std::mem::replace(&mut self.seat, Seat::Taken(replacement));
        match before {
            Seat::Taken(process) => Some(self.retire(process, replacement.reason, now)),
            Seat::Closed | Seat::Vacant { .. } => None,
        }
    }

    fn retire(&mut self, mut process: Process, reason: SpawnReason, now: Instant) -> Process {
        process.retired = Some(Retired { since: now, reason });
        self.retired.push(process);
        process
    }

    // Ending.

    /// Takes out a process that has ended, if it is one of this slot.
    pub(crate) fn ended(&mut self, pid: Pid, success: bool, now: Instant) -> Option<Ended> {
        let is_it = |process: &Process| process.pid == pid;
        if let Some(index) = self.retired.iter().position(is_it) {
            let process = self.retired.swap_remove(index);
            if !success {
                self.replaceable = now + self.backoff.after_end(process.ready, now);
            }
            return Some(Ended {
                process,
                role: Role::Retired,
                pause: Duration::ZERO,
            });
        }
        if let Some(process) = self.replacement.take_if(|process| is_it(process)) {
            let pause = self.backoff.after_end(None, now);
            self.replaceable = now + pause;
            return Some(Ended {
                process,
                role: Role::Replacement,
                pause,
            });
        }
        let process = *self.current().filter(|process| is_it(process))?;
        let pause = self.current_ended(&process, success, now);
        Some(Ended {
            process,
            role: Role::Current,
            pause,
        })
    }

    fn current_ended(&mut self, process: &Process, success: bool, now: Instant) -> Duration {
        let pause = self.backoff.after_end(process.ready, now);
        if let Some(replacement) = self.replacement.take() {
            self.seat = Seat::Taken(replacement);
            return Duration::ZERO;
        }
        let reason = match success {
            true => SpawnReason::Exit,
            false => SpawnReason::Crash,
        };
        self.vacate(reason, now + pause);
        pause
    }

    /// Lets the slot have no worker any more. Returns those that are to finish.
    pub(crate) fn close(&mut self, now: Instant) -> Vec<Process> {
        let current = match std::mem::replace(&mut self.seat, Seat::Closed) {
            Seat::Taken(process) => Some(process),
            Seat::Closed | Seat::Vacant { .. } => None,
        };
        let leaving = current.into_iter().chain(self.replacement.take());
        let leaving: Vec<_> = leaving.collect();
        let retire = |process| self.retire(process, SpawnReason::Scale, now);
        leaving.into_iter().map(retire).collect()
    }

    /// Lets a closed slot have a worker again.
    pub(crate) fn open(&mut self, now: Instant) {
        if !self.is_open() {
            self.backoff = Backoff::default();
            self.vacate(SpawnReason::Scale, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, reason: SpawnReason, now: Instant) -> Process {
        Process::new(Pid::from_raw(pid), 0, reason, None, now)
    }

    /// A slot whose worker, with pid 1, is ready.
    fn serving(now: Instant) -> Slot {
        let mut slot = Slot::new(now, SpawnReason::Boot);
        assert_eq!(slot.due(now), Some(SpawnReason::Boot));
        slot.started(process(1, SpawnReason::Boot, now));
        assert_eq!(slot.due(now), None);
        assert!(slot.ready(Pid::from_raw(1), now).is_none());
        slot
    }

    fn pids(slot: &Slot) -> (Option<i32>, Option<i32>, Vec<i32>) {
        let pid = |process: &Process| process.pid.as_raw();
        let retired = slot.retired.iter().map(pid).collect();
        (
            slot.current().map(pid),
            slot.replacement().map(pid),
            retired,
        )
    }

    #[test]
    fn a_replacement_takes_over_when_it_is_ready_and_not_before() {
        let now = Instant::now();
        let mut slot = serving(now);
        assert!(slot.may_replace(now));
        slot.started(process(2, SpawnReason::Reload, now));
        assert!(!slot.may_replace(now));
        assert_eq!(pids(&slot), (Some(1), Some(2), vec![]));
        let old = slot.ready(Pid::from_raw(2), now).unwrap();
        assert_eq!(old.pid.as_raw(), 1);
        assert_eq!(pids(&slot), (Some(2), None, vec![1]));
        let ended = slot.ended(Pid::from_raw(1), true, now).unwrap();
        assert_eq!(ended.role, Role::Retired);
        assert_eq!(pids(&slot), (Some(2), None, vec![]));
        assert_eq!(slot.due(now), None);
    }

    #[test]
    fn a_replacement_that_fails_leaves_the_old_worker_and_the_next_try_waits() {
        let now = Instant::now();
        let mut slot = serving(now);
        let mut pause = Duration::ZERO;
        for pid in 2..5 {
            slot.started(process(pid, SpawnReason::Hang, now));
            let ended = slot.ended(Pid::from_raw(pid), false, now).unwrap();
            assert_eq!(ended.role, Role::Replacement);
            pause = ended.pause;
        }
        assert_eq!(pids(&slot), (Some(1), None, vec![]));
        assert!(!slot.may_replace(now));
        assert_eq!(slot.next_due(now), Some(now + pause));
        assert!(slot.may_replace(now + pause));
    }

    #[test]
    fn a_worker_that_dies_while_its_replacement_boots_is_not_started_twice() {
        let now = Instant::now();
        let mut slot = serving(now);
        slot.started(process(2, SpawnReason::Recycle, now));
        slot.ended(Pid::from_raw(1), false, now).unwrap();
        assert_eq!(pids(&slot), (Some(2), None, vec![]));
        assert_eq!(slot.due(now), None);
        slot.ended(Pid::from_raw(2), false, now).unwrap();
        assert!(slot.is_vacant());
    }

    #[test]
    fn a_slot_with_a_hung_worker_that_finishes_gets_no_further_replacement() {
        let now = Instant::now();
        let mut slot = serving(now);
        slot.processes_mut()
            .for_each(|process| process.pulse = Pulse::Hung);
        slot.started(process(2, SpawnReason::Hang, now));
        slot.ready(Pid::from_raw(2), now);
        assert!(!slot.may_replace(now));
        slot.ended(Pid::from_raw(1), false, now).unwrap();
        assert!(slot.may_replace(now));
    }

    #[test]
    fn a_closed_slot_starts_nothing_until_it_is_opened() {
        let now = Instant::now();
        let mut slot = serving(now);
        slot.started(process(2, SpawnReason::Reload, now));
        assert_eq!(slot.close(now).len(), 2);
        assert_eq!(pids(&slot), (None, None, vec![1, 2]));
        slot.ended(Pid::from_raw(2), false, now).unwrap();
        slot.ended(Pid::from_raw(1), true, now).unwrap();
        assert_eq!(slot.due(now), None);
        slot.open(now);
        assert_eq!(slot.due(now), Some(SpawnReason::Scale));
    }
}
