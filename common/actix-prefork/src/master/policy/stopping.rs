//! A stop of the server: how urgent it is, and until when it lasts.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    action::{Action, Turn},
    process::{FLUSH_TIMEOUT, Process},
    slots::{Queues, Slots},
};
use crate::{
    Options,
    master::reason::StopReason,
    stop::{ECHO, Stop},
};

/// How long a handshake may take that was under way when new connections began to be
/// ignored. Its connection is queued when it completes.
const SETTLE: Duration = Duration::from_millis(100);

/// A stop that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopping {
    pub(crate) urgency: Urgency,
    since: Instant,
    /// When those that are left are killed.
    pub(crate) deadline: Instant,
    pub(crate) port_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    Graceful,
    Quick,
    Kill,
}

impl Urgency {
    /// What a signal asks for; nothing if it repeats what was asked just before.
    pub(crate) fn of(signal: Signal, current: Option<&Stopping>, now: Instant) -> Option<Self> {
        match (signal, current) {
            (Signal::SIGTERM, None) => Some(Self::Graceful),
            (_, None) => Some(Self::Quick),
            (Signal::SIGTERM, Some(stop)) if is_echo(stop.since, now) => None,
            (_, Some(stop)) if stop.urgency >= Self::Quick => Some(Self::Kill),
            (_, Some(_)) => Some(Self::Quick),
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Graceful => "stopping, waiting for open connections",
            Self::Quick => "stopping quickly, open connections are cut",
            Self::Kill => "killing all workers",
        }
    }
}

/// Whether a `SIGTERM` repeats the one that came at `since`.
pub(crate) fn is_echo(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < ECHO
}

impl Stopping {
    /// Tells every process to stop, also those that boot and those that leave.
    pub(crate) fn begin(
        urgency: Urgency,
        port_open: bool,
        slots: &mut Slots,
        options: &Options,
        turn: &mut Turn,
    ) -> Self {
        let time = match urgency {
            Urgency::Graceful => options.server.graceful_timeout + FLUSH_TIMEOUT,
            Urgency::Quick | Urgency::Kill => FLUSH_TIMEOUT,
        };
        let mut stop = Self {
            urgency,
            since: turn.now,
            deadline: turn.now + time,
            port_open,
        };
        // First, since nobody comes after those that are told.
        match urgency {
            Urgency::Graceful => turn.push(Action::IgnoreNewConnections),
            Urgency::Quick | Urgency::Kill => stop.close_port(turn),
        }
        let told = stop.told(slots.queues);
        for process in slots.processes_mut() {
            // One that boots serves nothing yet, and would not be quick.
            if urgency == Urgency::Kill || urgency == Urgency::Quick && process.is_booting() {
                process.kill(turn);
            } else {
                process.tell(told, StopReason::Server, turn);
            }
        }
        stop
    }

    fn told(&self, queues: Queues) -> Stop {
        match self.urgency {
            // The next server serves what waits.
            Urgency::Graceful if queues == Queues::Kept => Stop::Worker,
            Urgency::Graceful => Stop::Server,
            Urgency::Quick | Urgency::Kill => Stop::Quick,
        }
    }

    /// Sees to it that every queue is served, ends those that boot for an empty queue,
    /// and closes the port when nobody accepts any more.
    pub(crate) fn advance(&mut self, slots: &mut Slots, turn: &mut Turn) {
        if self.urgency > Urgency::Graceful {
            return;
        }
        let queues = slots.queues;
        // With one queue for all, the first slot stands for it.
        let has_queue = |slot: u16| queues == Queues::Own || queues == Queues::Shared && slot == 0;
        let is_settled = turn.now.saturating_duration_since(self.since) >= SETTLE;
        for slot in slots.numbers() {
            let queued = match queues {
                Queues::Own => slots.get(slot).queued,
                Queues::Shared => slots.get(0).queued,
                Queues::Kept => 0,
            };
            if queued == 0 && is_settled {
                let booting = slots.get_mut(slot).processes_mut();
                let booting = booting.filter(|process| process.is_booting());
                booting.for_each(|process| process.kill(turn));
            }
            if has_queue(slot) && self.port_open {
                slots.rescue(slot, (Stop::Server, StopReason::Server), turn);
            }
        }
        let waits = slots
            .numbers()
            .any(|slot| has_queue(slot) && slots.get(slot).queued > 0);
        let accepts = slots.processes().any(Process::accepts);
        if is_settled && !waits && !accepts {
            self.close_port(turn);
        }
    }

    fn close_port(&mut self, turn: &mut Turn) {
        if std::mem::take(&mut self.port_open) {
            turn.push(Action::ClosePort);
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
