//! Waiting for a condition, with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// A deadline for what takes milliseconds on an idle machine, generous enough for a slow and busy one.
pub const SOON: Duration = Duration::from_secs(30);

/// How often the condition is looked at.
const STEP: Duration = Duration::from_millis(5);

/// Calls `condition` until it gives a value.
///
/// `what` completes the sentence "waited 30s for ..." of the error.
///
/// # Errors
///
/// When `within` has passed without a value.
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
