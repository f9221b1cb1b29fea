//! Retries, as the [OTLP specification](https://opentelemetry.io/docs/specs/otlp/#failures)
//! asks for: with a growing pause, and not before the collector wants them.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    thread,
    time::{Duration, Instant},
};

/// The policy of the SDK's exporters.
const RETRIES: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1_600);
const LONGEST_JITTER_MS: u64 = 100;

/// The longest pause that a collector may ask for.
const LONGEST_THROTTLE: Duration = Duration::from_secs(30);

/// An attempt that failed.
pub(super) struct Failed {
    pub(super) text: String,
    pub(super) retry: Retry,
}

/// Whether another attempt may succeed.
pub(super) enum Retry {
    Never,
    AfterPause,
    /// The collector asks for a pause of this length.
    AfterThrottle(Duration),
}

/// Runs `attempt` until it succeeds, for at most `limit` including the pauses. Blocks.
pub(super) fn with_backoff<T>(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, Failed>,
) -> Result<T, String> {
    let start = Instant::now();
    let (mut pause, mut longest) = (FIRST_PAUSE, LONGEST_PAUSE);
    for _ in 0..RETRIES {
        let failed = match attempt() {
            Ok(result) => return Ok(result),
            Err(failed) => failed,
        };
        match failed.retry {
            Retry::Never => return Err(failed.text),
            Retry::AfterPause => {}
            Retry::AfterThrottle(wanted) => {
                let wanted = wanted.min(LONGEST_THROTTLE);
                if wanted > longest {
                    longest = LONGEST_THROTTLE;
                }
                pause = pause.max(wanted);
            }
        }
        let this_pause = (pause + jitter()).min(longest);
        if start.elapsed() + this_pause >= limit {
            return Err(failed.text);
        }
        thread::sleep(this_pause);
        pause = (pause * 2).min(longest);
    }
    attempt().map_err(|failed| failed.text)
}

/// Keeps the workers of a service from retrying all at once.
fn jitter() -> Duration {
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(random % (LONGEST_JITTER_MS + 1))
}
