//! Detects unresponsive workers, replaces them, and ends those that stay unresponsive
//! for too long.

use std::time::{Duration, Instant};

use crate::{
    Options, SpawnReason,
    activity::monotonic,
    process::{Force, Process, Pulse},
    scoreboard::State,
    serve::heart::BEAT,
    supervise::Supervisor,
    wording::counted,
};

/// How long a serving thread may be busy before new connections go elsewhere.
const LATE: Duration = Duration::from_millis(500);

/// How heartbeats are judged.
pub(crate) struct Watch {
    limits: Option<Limits>,
    recycles: bool,
    /// Missed heartbeats before this time do not count.
    forgiven: Instant,
    /// When to look next.
    pub(crate) next: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Limits {
    late: Duration,
    soft: Duration,
    hard: Duration,
}

impl Limits {
    fn judge(&self, age: Duration) -> Pulse {
        match age {
            age if age >= self.hard => Pulse::Lost,
            age if age >= self.soft => Pulse::Hung,
            age if age >= self.late => Pulse::Late,
            _ => Pulse::Fine,
        }
    }
}

impl Watch {
    pub(crate) fn new(options: &Options, now: Instant) -> Self {
        let hard = options.timeout;
        // Begun before the limit, so that the other one serves when it is reached.
        let soft = (hard.min(options.hang_timeout) * 3 / 4).max(2 * BEAT);
        let limits = Limits {
            late: LATE.min(soft),
            soft,
            hard: hard.max(soft),
        };
        Self {
            limits: (!hard.is_zero()).then_some(limits),
            recycles: options.max_requests > 0,
            forgiven: now,
            next: None,
        }
    }

    /// Gives every worker a fresh period: the master was not run for a while, and
    /// so perhaps nobody was.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.forgiven = now;
    }

    /// How long ago the serving threads of a process were all known to run.
    fn age(&self, process: &Process, beat: Duration, now: Instant) -> Duration {
        let since = |start: Instant| now.saturating_duration_since(start);
        let started = process.ready.map_or(Duration::ZERO, since);
        let age = monotonic().saturating_sub(beat);
        age.min(started).min(since(self.forgiven))
    }
}

impl Supervisor<'_> {
    /// Looks at every heartbeat, and does what has to be done.
    pub(crate) fn watch_hearts(&mut self, now: Instant) {
        let looks = self.watch.limits.is_some() || self.watch.recycles;
        self.watch.next = looks.then(|| now + LATE);
        let Some(limits) = self.watch.limits else {
            return;
        };
        let mut next = now + limits.late;
        for (slot, place) in (0..).zip(&mut self.fleet.slots) {
            for process in place.processes_mut().filter(|process| is_watched(process)) {
                let row = self.fleet.board.row(process.row);
                let age = self.watch.age(process, row.activity.last_beat(), now);
                let finishes_unasked = process.retired.is_none() && row.state() != State::Ready;
                let pulse = match finishes_unasked {
                    true => Pulse::Fine,
                    false => limits.judge(age),
                };
                if pulse == Pulse::Lost && process.is_debugged() {
                    process.debugged = Some(now);
                }
                note(slot, process, pulse, age, now);
                next = next.min(match pulse {
                    Pulse::Fine => now + limits.late.saturating_sub(age),
                    _ => now + BEAT,
                });
            }
        }
        // Not at once again, whatever the limits.
        self.watch.next = Some(next.max(now + BEAT / 2));
        self.replace_hung(now);
        self.end_lost(limits, now);
    }

    /// Starts a replacement for a hung worker, one at a time: if all of them hang,
    /// for want of a disk for example, new ones would not fare better.
    fn replace_hung(&mut self, now: Instant) {
        let boots =
            |process: &Process| process.reason == SpawnReason::Hang && process.ready.is_none();
        if self.fleet.processes().any(boots) {
            return;
        }
        let hangs = |process: &Process| process.pulse >= Pulse::Hung;
        let mut slots = self.fleet.slots();
        let due =
            slots.find(|(_, slot)| slot.current().is_some_and(hangs) && slot.may_replace(now));
        let due = due.map(|(slot, _)| slot);
        drop(slots);
        if let Some(slot) = due {
            self.start_worker(slot, SpawnReason::Hang);
        }
    }

    /// Ends those that are past the hard limit.
    fn end_lost(&mut self, limits: Limits, now: Instant) {
        for (slot, lost) in self.lost(limits, now) {
            let pid = lost.pid;
            let open = self.fleet.board.row(lost.row).activity.connections();
            log::error!(
                "worker {slot} (pid {pid}) has not responded for {:?} (--timeout), \
                 aborting it, {} cut",
                self.options.timeout,
                counted(open, "connection")
            );
            let mut processes = self.fleet.slot_mut(slot).processes_mut();
            if let Some(process) = processes.find(|process| process.pid == pid) {
                process.abort(now);
            }
        }
    }

    /// One that nobody has taken over from stays where its end would help nobody:
    /// if no worker serves at all, one is ended and its slot tried at a time.
    fn lost(&self, limits: Limits, now: Instant) -> Vec<(u16, Process)> {
        let is_lost = |process: &&Process| {
            // One that a debugger has just let go needs a moment until its heart beats.
            let since = |held: Instant| now.saturating_duration_since(held);
            let is_spared = process
                .debugged
                .is_some_and(|held| since(held) < limits.soft);
            process.pulse == Pulse::Lost && process.force == Force::None && !is_spared
        };
        let somebody_serves = self.fleet.processes().any(Process::serves);
        let hangs =
            |process: &Process| process.pulse >= Pulse::Hung && process.force == Force::None;
        let open = || self.fleet.slots.iter().filter(|slot| slot.is_open());
        let all_hang = open().all(|slot| slot.current().is_some_and(hangs))
            && open().all(|slot| slot.replacement().is_none());
        let mut lost = Vec::new();
        for (slot, place) in self.fleet.slots() {
            for process in place.processes().filter(is_lost) {
                let first = lost.is_empty() && all_hang;
                if process.retired.is_some() || somebody_serves || first {
                    lost.push((slot, *process));
                }
            }
        }
        lost
    }
}

/// One that finishes is watched if it was hung when it was told to.
fn is_watched(process: &Process) -> bool {
    process.ready.is_some() && (process.retired.is_none() || process.pulse >= Pulse::Hung)
}

/// Notes how a process does, and tells it where that has changed.
fn note(slot: u16, process: &mut Process, pulse: Pulse, age: Duration, now: Instant) {
    if let Some(retired) = &mut process.retired
        && pulse < Pulse::Hung
    {
        // It has woken up, and gets the time that others get to finish.
        retired.since = now;
    }
    if std::mem::replace(&mut process.pulse, pulse) == pulse {
        return;
    }
    let pid = process.pid;
    match pulse {
        Pulse::Fine => log::debug!("worker {slot} (pid {pid}) responds again"),
        Pulse::Late => log::debug!("worker {slot} (pid {pid}) has not responded for {age:?}"),
        Pulse::Hung => log::warn!(
            "worker {slot} (pid {pid}) hangs: a serving thread has not run for {age:.1?}, \
             replacing it"
        ),
        Pulse::Lost => {}
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::Pid;

    use super::*;

    fn watch(now: Instant) -> Watch {
        let limits = Limits {
            late: LATE,
            soft: Duration::from_secs(2),
            hard: Duration::from_secs(30),
        };
        Watch {
            limits: Some(limits),
            recycles: false,
            forgiven: now,
            next: None,
        }
    }

    fn ready(at: Instant) -> Process {
        let mut process = Process::new(Pid::from_raw(1), 0, SpawnReason::Boot, None, at);
        process.ready = Some(at);
        process
    }

    #[test]
    fn the_limits_are_late_then_hung_then_lost() {
        let limits = watch(Instant::now()).limits.unwrap();
        let judge = |ms| limits.judge(Duration::from_millis(ms));
        assert_eq!(judge(499), Pulse::Fine);
        assert_eq!(judge(500), Pulse::Late);
        assert_eq!(judge(2_000), Pulse::Hung);
        assert_eq!(judge(30_000), Pulse::Lost);
    }

    #[test]
    fn a_worker_has_a_whole_period_from_when_it_is_ready() {
        let began = Instant::now();
        let now = began + Duration::from_secs(100);
        let process = ready(now - Duration::from_millis(10));
        let age = watch(began).age(&process, Duration::ZERO, now);
        assert_eq!(age, Duration::from_millis(10));
    }

    #[test]
    fn what_was_before_the_master_slept_is_held_against_nobody() {
        let began = Instant::now();
        let now = began + Duration::from_secs(100);
        let mut watch = watch(began);
        // A beat of long ago, whatever the clock says now.
        let age = watch.age(&ready(began), Duration::ZERO, now);
        assert!(age > Duration::ZERO);
        watch.forgive(now);
        assert_eq!(
            watch.age(&ready(began), Duration::ZERO, now),
            Duration::ZERO
        );
    }
}
