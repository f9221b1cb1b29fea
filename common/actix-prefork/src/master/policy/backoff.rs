//! How long a slot waits for its next worker after one has failed, and for its next helper.

use std::time::{Duration, Instant};

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

/// Short lives in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes that a worker ended, or could not be started, and returns the pause
    /// until the next one. `ready` is when it had become ready, if it had.
    pub(crate) fn after_end(&mut self, ready: Option<Instant>, now: Instant) -> Duration {
        let healthy = ready.is_some_and(|ready| now.duration_since(ready) >= HEALTHY);
        self.failures = if healthy {
            1
        } else {
            self.failures.saturating_add(1)
        };
        match ready {
            Some(_) => pause(self.failures, FREE_FAILURES, LONGEST_PAUSE),
            None => pause(self.failures, FREE_BOOT_FAILURES, LONGEST_BOOT_PAUSE),
        }
    }
}

/// The pauses between two helpers of a slot: the first, the longest, and how long after
/// a pause a slot has to need none for the next to come at once.
const FIRST_HELP_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_HELP_PAUSE: Duration = Duration::from_secs(60);
const CALM: Duration = Duration::from_secs(60);

/// How long a slot waits for its next helper, so that a handler that blocks now and then
/// starts few.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HelpPause {
    next: Instant,
    pause: Duration,
}

impl HelpPause {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            next: now,
            pause: Duration::ZERO,
        }
    }

    /// When the next helper may be started.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// A helper is started.
    pub(crate) fn begin(&mut self, now: Instant) {
        if now > self.next + CALM {
            self.pause = Duration::ZERO;
        }
    }

    /// A helper goes, or has taken the place of the worker.
    pub(crate) fn end(&mut self, now: Instant) {
        self.pause = (2 * self.pause).clamp(FIRST_HELP_PAUSE, LONGEST_HELP_PAUSE);
        self.next = now + self.pause;
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

    fn lives(backoff: &mut Backoff, count: usize, ready: bool, lifetime: Duration) -> Vec<u128> {
        let start = Instant::now();
        let mut one = |_| backoff.after_end(ready.then_some(start), start + lifetime);
        (0..count)
            .map(&mut one)
            .map(|pause| pause.as_millis())
            .collect()
    }

    #[test]
    fn a_worker_that_never_becomes_ready_is_tried_ever_more_rarely() {
        let mut backoff = Backoff::default();
        let pauses = lives(&mut backoff, 12, false, Duration::ZERO);
        assert_eq!(
            pauses,
            [
                0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000
            ]
        );
        assert_eq!(lives(&mut backoff, 40, false, Duration::ZERO)[39], 30000);
    }

    #[test]
    fn a_worker_that_was_ready_is_waited_for_a_second_at_most() {
        let mut backoff = Backoff::default();
        let pauses = lives(&mut backoff, 9, true, Duration::from_millis(1));
        assert_eq!(pauses, [0, 0, 0, 100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn a_worker_that_served_for_a_while_ends_the_row() {
        let mut backoff = Backoff::default();
        lives(&mut backoff, 9, true, Duration::from_millis(1));
        assert_eq!(lives(&mut backoff, 3, true, HEALTHY), [0, 0, 0]);
    }
}
