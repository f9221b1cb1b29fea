//! Which instances still export metrics. OTLP has no goodbye, so one that misses several exports
//! counts as ended.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How many of its own intervals an instance may be silent.
const MISSED: u32 = 3;

/// An instance counts as alive for this time at least: an export may be retried.
const SHORTEST: Duration = Duration::from_secs(10);

/// An instance that exported once may have an interval of a minute, which is the SDKs' default.
const UNKNOWN: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Activity(HashMap<u64, Exports>);

struct Exports {
    last: Instant,
    /// The longest time between two exports so far.
    interval: Option<Duration>,
}

impl Activity {
    /// Notes an export of an instance, by its number.
    pub(crate) fn saw(&mut self, instance: u64, now: Instant) {
        let exports = self.0.entry(instance).or_insert(Exports {
            last: now,
            interval: None,
        });
        let gap = now.saturating_duration_since(exports.last);
        if !gap.is_zero() {
            exports.interval = exports.interval.max(Some(gap));
        }
        exports.last = now;
    }

    pub(crate) fn forget(&mut self, instance: u64) {
        self.0.remove(&instance);
    }

    pub(crate) fn is_alive(&self, instance: u64, now: Instant) -> bool {
        self.0.get(&instance).is_some_and(|exports| {
            let interval = exports.interval.unwrap_or(UNKNOWN);
            let patience = interval.saturating_mul(MISSED).max(SHORTEST);
            now.saturating_duration_since(exports.last) <= patience
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_misses_three_exports_has_ended() {
        let (mut activity, start) = (Activity::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        activity.saw(1, start);
        assert!(activity.is_alive(1, after(180)));
        assert!(!activity.is_alive(1, after(181)));
        activity.saw(1, after(5));
        activity.saw(1, after(10));
        assert!(activity.is_alive(1, after(25)));
        assert!(!activity.is_alive(1, after(26)));
        activity.saw(2, after(10));
        activity.saw(2, after(11));
        assert!(activity.is_alive(2, after(21)));
        assert!(!activity.is_alive(2, after(22)));
    }
}
