//! The time for limits of seconds, which each request takes twice.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A clock that advances every few milliseconds, with the timer interrupt. To read it takes a
/// fifth of the time that the exact one takes.
#[cfg(target_os = "linux")]
const COARSE: ClockId = ClockId::CLOCK_MONOTONIC_COARSE;
#[cfg(not(target_os = "linux"))]
const COARSE: ClockId = ClockId::CLOCK_MONOTONIC;

/// The time since some moment in the past.
pub(super) fn coarse() -> Duration {
    // It fails for a clock that the system does not know, and Linux has it since 2.6.32.
    clock_gettime(COARSE).map_or(Duration::ZERO, Duration::from)
}
