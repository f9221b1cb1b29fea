//! The end of a process, and what follows from it.

use std::time::Duration;

use log::Level;

use super::{action::Turn, process::Process};
use crate::master::wording::counted;

/// How a process ended, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) success: bool,
    /// `exited with status 3`.
    pub(crate) how: &'a str,
    /// Whether a signal ended it.
    pub(crate) killed: bool,
    /// Whether it has printed its error.
    pub(crate) told: bool,
    /// Connections that were open.
    pub(crate) cut: u32,
}

/// A process that has ended, and what follows.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) process: Process,
    pub(crate) outcome: Outcome,
}

/// What follows from the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was told to go.
    Gone,
    /// It was a second one. The current one keeps serving.
    Kept,
    /// Its second has taken its place.
    TakenOver,
    /// Another one is started after this pause.
    Restart(Duration),
}

impl Outcome {
    /// Whether the process was to go on.
    pub(crate) fn is_loss(self) -> bool {
        matches!(self, Self::Restart(_) | Self::TakenOver)
    }

    /// Logs the end of a process while the server runs.
    pub(crate) fn log(self, process: &Process, end: &End<'_>, turn: &mut Turn) {
        let (how, cut) = (end.how, counted(end.cut, "connection"));
        let severe = if end.success {
            Level::Info
        } else {
            Level::Error
        };
        let (level, text) = match self {
            Self::Gone if end.success && end.cut == 0 => (Level::Debug, how.to_owned()),
            Self::Gone => (Level::Warn, format!("{how}, {cut} cut")),
            Self::Kept if process.ready.is_none() => {
                let text = format!("{how} before it was ready, the old worker keeps serving");
                (Level::Error, text)
            }
            Self::Kept => (
                severe,
                format!("{how}, it was the helper of another worker"),
            ),
            Self::TakenOver => (severe, format!("{how}, another one has taken its place")),
            Self::Restart(_) if end.success => (severe, format!("{how}, {cut} cut, restarting")),
            Self::Restart(Duration::ZERO) => (severe, format!("{how}, restarting")),
            Self::Restart(pause) => (
                severe,
                format!("{how}, crash loop, restarting in {pause:?}"),
            ),
        };
        process.log(level, "worker.exit", &text, turn);
    }
}
