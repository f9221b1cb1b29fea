//! Waiting for a condition, with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Timeout for things that take milliseconds on an idle machine. It is long enough for a slow and busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Pause between two checks of the condition.
const STEP: Duration = Duration::from_millis(5);

/// Calls `condition` until it returns a value.
///
/// `what` completes the error message "waited 30s for ...".
///
/// # Errors
///
/// Returns an error if there is no value after `within`.
pub fn poll<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if began.elapsed() >= within {
            bail!("waited {within:?} for {what}");
        }
        thread::sleep(STEP);
    }
}
