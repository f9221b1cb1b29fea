//! A place for one worker: who has it, and when the next one gets it.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::SpawnReason;

/// How long a worker has to have served for its end to count as a first one.
const HEALTHY: Duration = Duration::from_secs(5);

/// The first pause of a crash loop; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause where workers die before they are ready.
const LONGEST_BOOT_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause where they did serve for a while: one that can serve is
/// worth more than a quiet log.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Ends in a row that are answered at once: workers that never became ready, and
/// workers that did.
const FREE_BOOT_FAILURES: u32 = 1;
const FREE_FAILURES: u32 = 3;

/// A place for one worker.
#[derive(Debug)]
pub(super) enum Slot {
    /// A worker is due at that time.
    Vacant {
        due: Instant,
        failures: u32,
        reason: SpawnReason,
    },
    /// A worker has it.
    Occupied(Process),
}

/// The worker of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) started: Instant,
    /// When it said that it was ready.
    pub(super) ready: Option<Instant>,
    /// Short lives in a row before this one.
    failures: u32,
}

impl Slot {
    pub(super) fn new(now: Instant) -> Self {
        Self::Vacant {
            due: now,
            failures: 0,
            reason: SpawnReason::Boot,
        }
    }

    pub(super) fn process(&self) -> Option<Process> {
        match self {
            Self::Occupied(process) => Some(*process),
            Self::Vacant { .. } => None,
        }
    }

    pub(super) fn occupy(&mut self, pid: Pid, now: Instant) {
        let failures = match self {
            Self::Vacant { failures, .. } => *failures,
            Self::Occupied(process) => process.failures,
        };
        *self = Self::Occupied(Process {
            pid,
            started: now,
            ready: None,
            failures,
        });
    }

    /// Notes that the worker ended, or could not be started, and returns the
    /// pause until the next one.
    pub(super) fn vacate(&mut self, now: Instant, reason: SpawnReason) -> Duration {
        let (before, ready) = match self {
            Self::Vacant { failures, .. } => (*failures, None),
            Self::Occupied(process) => (process.failures, process.ready),
        };
        let healthy = ready.is_some_and(|ready| now.duration_since(ready) >= HEALTHY);
        let failures = if healthy { 1 } else { before.saturating_add(1) };
        let pause = if ready.is_some() {
            pause(failures, FREE_FAILURES, LONGEST_PAUSE)
        } else {
            pause(failures, FREE_BOOT_FAILURES, LONGEST_BOOT_PAUSE)
        };
        *self = Self::Vacant {
            due: now + pause,
            failures,
            reason,
        };
        pause
    }
}

fn pause(failures: u32, free: u32, longest: Duration) -> Duration {
    match failures.saturating_sub(free) {
        0 => Duration::ZERO,
        n => 2_u32
            .checked_pow(n - 1)
            .and_then(|factor| FIRST_PAUSE.checked_mul(factor))
            .map_or(longest, |pause| pause.min(longest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(slot: &mut Slot, count: usize, ready: bool, lifetime: Duration) -> Vec<u128> {
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..count {
            slot.occupy(Pid::from_raw(1), now);
            if let Slot::Occupied(process) = slot {
                process.ready = ready.then_some(now);
            }
            now += lifetime;
            pauses.push(slot.vacate(now, SpawnReason::Crash).as_millis());
        }
        pauses
    }

    #[test]
    fn a_worker_that_never_becomes_ready_is_tried_ever_more_rarely() {
        let mut slot = Slot::new(Instant::now());
        let pauses = lives(&mut slot, 12, false, Duration::ZERO);
        assert_eq!(
            pauses,
            [
                0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000
            ]
        );
        assert_eq!(lives(&mut slot, 40, false, Duration::ZERO)[39], 30000);
    }

    #[test]
    fn a_worker_that_was_ready_is_waited_for_a_second_at_most() {
        let mut slot = Slot::new(Instant::now());
        let pauses = lives(&mut slot, 9, true, Duration::from_millis(1));
        assert_eq!(pauses, [0, 0, 0, 100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn a_worker_that_served_for_a_while_ends_the_row() {
        let mut slot = Slot::new(Instant::now());
        lives(&mut slot, 9, true, Duration::from_millis(1));
        assert_eq!(lives(&mut slot, 3, true, HEALTHY), [0, 0, 0]);
    }
}
