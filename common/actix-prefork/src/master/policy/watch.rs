//! Judges heartbeats: whether a worker is stalled, and whether it has been for too long.

use std::time::{Duration, Instant};

use log::Level;

use super::{
    action::Turn,
    process::{Life, Process},
    slot::Slot,
    slots::Slots,
};
use crate::{
    Options,
    master::{reason::SpawnReason, wording::counted},
    serve::heart::BEAT,
};

/// The master was not run for so long that perhaps nobody was.
const ASLEEP: Duration = Duration::from_secs(1);

/// The master was late by so much that workers may be, too.
const LATE: Duration = Duration::from_millis(50);

/// How heartbeats are judged.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Without a heartbeat for so long, a worker is stalled.
    stall: Option<Duration>,
    /// Whether a stalled worker gets a helper.
    helps: bool,
    /// Without a heartbeat for so long, a worker is aborted.
    abort: Option<Duration>,
    /// Missed heartbeats before this time do not count.
    forgiven: Instant,
    /// No worker becomes stalled before this time.
    patient_until: Instant,
}

impl Watch {
    pub(crate) fn new(options: &Options, now: Instant) -> Self {
        let some = |time: Duration| (!time.is_zero()).then_some(time);
        // A heartbeat may be that old although every thread runs.
        let stall = some(options.hang_timeout).map(|time| time.max(2 * BEAT));
        let abort = some(options.timeout).map(|time| time.max(2 * BEAT));
        Self {
            helps: stall.is_some(),
            stall: stall.into_iter().chain(abort).min(),
            abort,
            forgiven: now,
            patient_until: now,
        }
    }

    /// Notes that the master was run later than it asked for. Gives every worker a
    /// fresh period if that was long, and a moment to show a heartbeat if it was not.
    pub(crate) fn overslept(&mut self, by: Duration, now: Instant) {
        if by > ASLEEP {
            self.forgiven = now;
        }
        if by > LATE {
            self.patient_until = now + 2 * BEAT;
        }
    }

    /// Judges every process.
    pub(crate) fn judge_all(&self, slots: &mut Slots, turn: &mut Turn) {
        for process in slots.processes_mut() {
            self.judge(process, turn);
        }
    }

    /// Starts helpers for stalled workers, lets those go that are not needed any more,
    /// and aborts workers that have been stalled for too long.
    pub(crate) fn advance(&self, slots: &mut Slots, turn: &mut Turn) {
        for slot in &mut slots.all {
            slot.recover(turn);
        }
        // One at a time: if all of them are stalled, for want of a disk for example, new
        // ones would not fare better.
        let boots = |process: &Process| process.is_helper() && process.is_booting();
        if self.helps && !slots.processes().any(boots) {
            let due = slots.find(|slot| slot.needs_helper(turn.now));
            if let Some(slot) = due {
                slots.start(slot, SpawnReason::Hang, turn);
            }
        }
        self.abort_lost(slots, turn);
    }

    /// Aborts those that are past the hard limit. If no worker and no helper serves, one
    /// is ended at a time: to end them all would help nobody.
    fn abort_lost(&self, slots: &mut Slots, turn: &mut Turn) {
        let somebody_serves = slots.processes().any(Process::is_well);
        let stays = |slot: &Slot| {
            let stalled = |process: &Process| process.stalled && process.life == Life::Serving;
            let second = slot.second();
            slot.current().is_some_and(stalled) && second.is_none_or(stalled)
        };
        let mut may_end = slots.open().all(stays) || somebody_serves;
        for process in slots.processes_mut() {
            let leaves = process.leaves.is_some();
            if !self.is_lost(process, turn.now) || !(leaves || may_end) {
                continue;
            }
            may_end = somebody_serves;
            let text = format!(
                "has not responded for {:?} (--timeout), aborting it, {} cut",
                self.abort.unwrap_or_default(),
                counted(process.connections, "connection")
            );
            process.log(Level::Error, "worker.aborted", &text, turn);
            process.abort(turn);
        }
    }

    /// Since when a serving thread of the process does not run, as far as that counts.
    fn heard(&self, process: &Process) -> Instant {
        process.beat.max(self.forgiven)
    }

    /// Notes whether a process is stalled.
    fn judge(&self, process: &mut Process, turn: &mut Turn) {
        let Some(limit) = self.stall.filter(|_| process.is_watched()) else {
            return;
        };
        let silent = turn.now.saturating_duration_since(self.heard(process));
        let stalled = silent >= limit && (process.stalled || turn.now >= self.patient_until);
        if stalled == process.stalled {
            return;
        }
        let since = turn.now.saturating_duration_since(process.turned);
        process.turn(stalled, turn.now);
        if stalled {
            let text = format!("hangs: a serving thread has not run for {silent:.1?}");
            process.log(Level::Warn, "worker.stalled", &text, turn);
        } else {
            let text = format!("responds again after {since:.1?}");
            process.log(Level::Info, "worker.recovered", &text, turn);
        }
    }

    /// Whether a process has been stalled for too long.
    fn is_lost(&self, process: &Process, now: Instant) -> bool {
        let silent = now.saturating_duration_since(self.heard(process));
        let lost = self.abort.is_some_and(|limit| silent >= limit);
        lost && process.stalled && process.is_watched() && process.spared_until <= now
    }

    /// When a process has to be looked at again.
    pub(crate) fn next_look(&self, process: &Process, now: Instant) -> Option<Instant> {
        let limit = self.stall.filter(|_| process.is_watched())?;
        Some(match process.stalled {
            // Its recovery is not announced.
            true => now + BEAT,
            false => (self.heard(process) + limit).max(self.patient_until),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(now: Instant) -> Watch {
        Watch {
            stall: Some(Duration::from_millis(200)),
            helps: true,
            abort: Some(Duration::from_secs(30)),
            forgiven: now,
            patient_until: now,
        }
    }

    fn ready(at: Instant) -> Process {
        let mut process = Process::new(0, 0, SpawnReason::Boot, at);
        (process.ready, process.life) = (Some(at), Life::Serving);
        process
    }

    fn is_stalled(watch: &Watch, process: &mut Process, now: Instant) -> bool {
        watch.judge(process, &mut Turn::at(now));
        process.stalled
    }

    #[test]
    fn a_worker_stalls_at_the_limit_and_recovers_with_the_next_heartbeat() {
        let began = Instant::now();
        let (watch, mut process) = (watch(began), ready(began));
        let at = |ms| began + Duration::from_millis(ms);
        assert!(!is_stalled(&watch, &mut process, at(199)));
        assert_eq!(watch.next_look(&process, at(199)), Some(at(200)));
        assert!(is_stalled(&watch, &mut process, at(200)));
        assert!(!watch.is_lost(&process, at(29_999)));
        assert!(watch.is_lost(&process, at(30_000)));
        process.beat = at(30_000);
        assert!(!is_stalled(&watch, &mut process, at(30_001)));
    }

    #[test]
    fn a_master_that_was_late_waits_for_a_heartbeat_before_it_judges() {
        let began = Instant::now();
        let (mut watch, mut process) = (watch(began), ready(began));
        let at = |ms| began + Duration::from_millis(ms);
        watch.overslept(Duration::from_millis(300), at(500));
        assert!(!is_stalled(&watch, &mut process, at(500)));
        assert!(is_stalled(&watch, &mut process, at(600)));
    }

    #[test]
    fn a_master_that_slept_for_long_forgives_every_worker() {
        let began = Instant::now();
        let (mut watch, mut process) = (watch(began), ready(began));
        let at = |ms| began + Duration::from_millis(ms);
        watch.overslept(Duration::from_secs(100), at(100_000));
        assert!(!is_stalled(&watch, &mut process, at(100_199)));
        assert!(is_stalled(&watch, &mut process, at(100_200)));
    }
}
