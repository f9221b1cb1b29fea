//! When a stalled worker gets a helper, and when that one goes.

use std::time::{Duration, Instant};

use super::{Process, Slot, Turn};
use crate::master::reason::StopReason;

/// A worker that is stalled for so long gets a helper, however often it needed one before:
/// somebody may wait in its queue.
const LONG_STALL: Duration = Duration::from_millis(1500);

/// How long a worker has to be well until its helper goes.
pub(super) const CONVALESCENCE: Duration = Duration::from_secs(1);

impl Slot {
    /// When a helper may be started, if the current worker is stalled.
    fn help_due(&self) -> Option<Instant> {
        let stalled = self.current().filter(|process| process.stalled)?;
        Some(self.help.next().min(stalled.turned + LONG_STALL))
    }

    /// Whether the current worker is stalled, and a helper may be started now.
    pub(crate) fn needs_helper(&self, now: Instant) -> bool {
        // A slot with two stalled workers would not fare better with a third.
        let is_first = !self.leaving.iter().any(|process| process.stalled);
        let is_due = self.help_due().is_some_and(|due| due <= now);
        is_due && is_first && self.may_replace(now)
    }

    /// When it is time to look whether a helper is needed, or not any more.
    pub(super) fn next_help(&self) -> Option<Instant> {
        match &self.second {
            None => self.help_due(),
            Some(_) => self.current().map(|process| process.turned + CONVALESCENCE),
        }
    }

    /// Lets a helper go that is not needed any more. Returns whether it did.
    pub(crate) fn recover(&mut self, turn: &mut Turn) -> bool {
        let is_helped = self.second.as_ref().is_some_and(Process::is_helper);
        let well = |process: &Process| {
            process.is_well() && turn.now.saturating_duration_since(process.turned) >= CONVALESCENCE
        };
        let recovers = is_helped && self.current().is_some_and(well) && self.asks().is_none();
        if recovers {
            self.dismiss(StopReason::Recovery, turn);
        }
        recovers
    }
}
