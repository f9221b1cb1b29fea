//! The lifecycle stage of the master, and how signals move it towards a stop.

use std::time::Instant;

use log::Level;
use nix::sys::signal::Signal;

use super::{
    action::Turn,
    slots::Slots,
    stopping::{Stopping, Urgency, is_echo},
};
use crate::Options;

/// Lifecycle stage of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The first workers boot. One that fails ends everything.
    Starting,
    /// Workers that end are replaced.
    Serving,
    /// As `Serving`, for the time of `--drain-delay` before a stop.
    Delaying { since: Instant, until: Instant },
    /// No worker is replaced; those that are left at the deadline are killed.
    Stopping(Stopping),
}

impl Stage {
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping(_))
    }

    /// Takes up a signal that asks for a stop.
    pub(crate) fn signal(
        &mut self,
        signal: Signal,
        slots: &mut Slots,
        options: &Options,
        turn: &mut Turn,
    ) {
        let (now, delay) = (turn.now, options.drain_delay);
        let is_term = signal == Signal::SIGTERM;
        let current = match self {
            Self::Serving if is_term && !delay.is_zero() => {
                let until = now + delay;
                *self = Self::Delaying { since: now, until };
                let text = format!("{signal}: stopping in {delay:?} (--drain-delay)");
                return turn.log(Level::Info, "stop.delayed", text);
            }
            Self::Delaying { since, .. } if is_term && is_echo(*since, now) => return,
            Self::Starting | Self::Serving | Self::Delaying { .. } => None,
            Self::Stopping(stop) => Some(&*stop),
        };
        if let Some(urgency) = Urgency::of(signal, current, now) {
            let text = format!("{signal}: {}", urgency.describe());
            turn.log(Level::Info, "stop", text);
            self.stop(urgency, slots, options, turn);
        }
    }

    /// Begins a stop, or makes it more urgent.
    pub(crate) fn stop(
        &mut self,
        urgency: Urgency,
        slots: &mut Slots,
        options: &Options,
        turn: &mut Turn,
    ) {
        let port_open = !matches!(self, Self::Stopping(stop) if !stop.port_open);
        let stop = Stopping::begin(urgency, port_open, slots, options, turn);
        *self = Self::Stopping(stop);
    }
}
