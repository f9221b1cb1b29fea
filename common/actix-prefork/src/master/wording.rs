//! Words of log lines.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use nix::sys::signal::Signal;

/// A number and a noun: `1 connection`, `2 connections`.
pub(crate) fn counted(number: u32, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// How a process ended: `exited with status 3`, `was killed by SIGKILL`.
pub(crate) fn end(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => format!("ended: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_every_other_number_is_plural() {
        assert_eq!(counted(0, "connection"), "0 connections");
        assert_eq!(counted(1, "connection"), "1 connection");
        assert_eq!(counted(2, "worker"), "2 workers");
    }

    #[test]
    fn the_end_of_a_process_is_its_status_or_its_signal() {
        assert_eq!(end(ExitStatus::from_raw(3 << 8)), "exited with status 3");
        assert_eq!(end(ExitStatus::from_raw(9)), "was killed by SIGKILL");
        assert_eq!(end(ExitStatus::from_raw(64)), "was killed by signal 64");
    }
}
