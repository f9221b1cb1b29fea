//! What becomes of a slot when one of its processes has ended.

use std::time::{Duration, Instant};

use super::{Process, Seat, Slot, SpawnReason, Turn};
use crate::master::policy::outcome::{Ended, Outcome};

impl Slot {
    /// Takes out a process that has ended, if it is one of this slot.
    pub(crate) fn ended(&mut self, row: u16, success: bool, now: Instant) -> Option<Ended> {
        let is_it = |process: &Process| process.row == row;
        if let Some(index) = self.leaving.iter().position(is_it) {
            let process = self.leaving.swap_remove(index);
            if !success {
                self.retry = now + self.backoff.after_end(process.ready, now);
            }
            let outcome = Outcome::Gone;
            return Some(Ended { process, outcome });
        }
        if let Some(process) = self.second.take_if(|process| is_it(process)) {
            if process.is_helper() {
                self.help.end(now);
            }
            self.retry = now + self.backoff.after_end(process.ready, now);
            let outcome = Outcome::Kept;
            return Some(Ended { process, outcome });
        }
        self.current().filter(|process| is_it(process))?;
        let pause = self.backoff.after_end(self.current()?.ready, now);
        let reason = match success {
            true => SpawnReason::Exit,
            false => SpawnReason::Crash,
        };
        let Seat::Taken(process) = self.vacate(reason, now + pause) else {
            return None;
        };
        let outcome = match self.second.is_some() {
            true => {
                self.take_over(&mut Turn::at(now));
                Outcome::TakenOver
            }
            false => Outcome::Restart(pause),
        };
        Some(Ended { process, outcome })
    }

    /// Takes out a process that could not be started. Returns the pause, and whether
    /// this is news.
    pub(crate) fn not_started(&mut self, row: u16, now: Instant) -> (Duration, bool) {
        let Ended { process, .. } = match self.ended(row, false, now) {
            Some(ended) => ended,
            None => return (Duration::ZERO, false),
        };
        let pause = match &mut self.seat {
            Seat::Vacant { due, reason } => {
                *reason = process.reason;
                due.saturating_duration_since(now)
            }
            Seat::Closed | Seat::Taken(_) => self.retry.saturating_duration_since(now),
        };
        (pause, !std::mem::replace(&mut self.refused, true))
    }
}
