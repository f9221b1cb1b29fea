//! Helpers for tests of several programs.

use std::borrow::BorrowMut;

use anyhow::Result;
use e2e::{Running, SOON, Signal, load::Report};

/// Stops a program gracefully. It flushes its telemetry.
pub(crate) fn stop(mut running: impl BorrowMut<Running>) -> Result<()> {
    let running = running.borrow_mut();
    running.signal(Signal::SIGTERM)?;
    let status = running.wait_exit(SOON)?;
    assert_eq!(status.code(), Some(0), "{}", running.console());
    running.wait_gone(SOON)
}

/// Asserts that every request was answered.
#[track_caller]
pub(crate) fn assert_all_answered(report: &Report, running: &Running) {
    assert_eq!(
        report.answered,
        report.total(),
        "{report}\n{}",
        running.console()
    );
}
