//! Stopping everything: how urgently, until when, and in which order.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::{
    process::Pulse,
    scoreboard::State,
    stop::ECHO,
    supervise::{Stage, Supervisor},
};

/// The time that a worker gets after the graceful timeout: 5 seconds, for example to
/// flush its telemetry. Then the master kills it.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// A stop that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopping {
    urgency: Urgency,
    since: Instant,
    /// When those that are left are killed.
    pub(crate) deadline: Instant,
    port_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    Graceful,
    Quick,
    Kill,
}

impl Urgency {
    /// What a signal asks for; nothing if it repeats what was asked just before.
    fn of(signal: Signal, current: Option<&Stopping>, now: Instant) -> Option<Self> {
        match (signal, current) {
            (Signal::SIGTERM, None) => Some(Self::Graceful),
            (_, None) => Some(Self::Quick),
            (Signal::SIGTERM, Some(stop)) if now.duration_since(stop.since) < ECHO => None,
            (_, Some(stop)) if stop.urgency >= Self::Quick => Some(Self::Kill),
            (_, Some(_)) => Some(Self::Quick),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Graceful => "stopping, waiting for open connections",
            Self::Quick => "stopping quickly, open connections are cut",
            Self::Kill => "killing all workers",
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Graceful => Signal::SIGTERM,
            Self::Quick => Signal::SIGQUIT,
            Self::Kill => Signal::SIGKILL,
        }
    }
}

impl Supervisor<'_> {
    /// Does what a signal asks for that stops the server.
    pub(crate) fn handle_stop(&mut self, signal: Signal) {
        let current = match &self.stage {
            Stage::Stopping(stop) => Some(stop),
            Stage::Starting | Stage::Serving => None,
        };
        if let Some(urgency) = Urgency::of(signal, current, Instant::now()) {
            log::info!("{signal}: {}", urgency.describe());
            self.stop(urgency);
        }
    }

    /// Tells every worker to stop, those that boot and those that finish included.
    pub(crate) fn stop(&mut self, urgency: Urgency) {
        let time = match urgency {
            Urgency::Graceful => self.options.server.graceful_timeout + FLUSH_TIMEOUT,
            Urgency::Quick | Urgency::Kill => FLUSH_TIMEOUT,
        };
        let port_open = match &self.stage {
            Stage::Stopping(stop) => stop.port_open,
            Stage::Starting | Stage::Serving => true,
        };
        if self.fleet.sockets.ignore_new_connections() {
            self.fleet.board.set_stopping();
        }
        let now = Instant::now();
        self.stage = Stage::Stopping(Stopping {
            urgency,
            since: now,
            deadline: now + time,
            port_open,
        });
        if urgency > Urgency::Graceful {
            self.close_port();
        }
        for slot in &self.fleet.slots {
            let replacement = slot.replacement().map(|process| process.pid);
            for process in slot.processes() {
                // A worker that still boots has nothing to finish, and no handler
                // yet that keeps SIGQUIT from dumping core. Where there is no other
                // it may still become ready and serve the queue.
                let is_other = Some(process.pid) == replacement || urgency > Urgency::Graceful;
                process.send(match process.ready.is_none() && is_other {
                    true => Signal::SIGKILL,
                    false => urgency.signal(),
                });
            }
        }
    }

    /// Closes the port as soon as no worker accepts any more, and kills what is
    /// left at the deadline.
    pub(crate) fn advance_stop(&mut self) {
        let board = &self.fleet.board;
        let accepts = self.fleet.processes().any(|process| {
            board.row(process.row).state() < State::Draining && process.pulse < Pulse::Hung
        });
        if !accepts {
            self.close_port();
        }
        if let Stage::Stopping(stop) = &self.stage
            && stop.deadline <= Instant::now()
        {
            log::warn!("killing workers that did not stop in time");
            self.failed = true;
            self.stop(Urgency::Kill);
        }
    }

    fn close_port(&mut self) {
        if let Stage::Stopping(stop) = &mut self.stage
            && std::mem::take(&mut stop.port_open)
        {
            self.cut += self.fleet.sockets.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_is_quick_and_a_third_kills_but_an_echo_is_neither() {
        let now = Instant::now();
        let stop = |urgency| Stopping {
            urgency,
            since: now,
            deadline: now,
            port_open: true,
        };
        let later = now + ECHO;
        let graceful = stop(Urgency::Graceful);
        let quick = stop(Urgency::Quick);
        let of = Urgency::of;
        assert_eq!(of(Signal::SIGTERM, None, now), Some(Urgency::Graceful));
        assert_eq!(of(Signal::SIGINT, None, now), Some(Urgency::Quick));
        assert_eq!(of(Signal::SIGTERM, Some(&graceful), now), None);
        let second = of(Signal::SIGTERM, Some(&graceful), later);
        assert_eq!(second, Some(Urgency::Quick));
        let int = of(Signal::SIGINT, Some(&graceful), now);
        assert_eq!(int, Some(Urgency::Quick));
        assert_eq!(of(Signal::SIGINT, Some(&quick), later), Some(Urgency::Kill));
    }
}
