//! The clocks that limits and heartbeats are measured with.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time on a clock that every process of the machine reads alike, and that
/// stands still while the machine is suspended.
pub(crate) fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// The same time in steps of a few milliseconds. Each request reads it twice for timeouts
/// of seconds, and it costs a fifth of the exact time.
pub(crate) fn coarse() -> Duration {
    #[cfg(target_os = "linux")]
    return read(ClockId::CLOCK_MONOTONIC_COARSE);
    #[cfg(not(target_os = "linux"))]
    monotonic()
}

fn read(clock: ClockId) -> Duration {
    // It fails only for a clock that the system does not know. POSIX requires the first one,
    // and Linux has had the second since 2.6.32.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
