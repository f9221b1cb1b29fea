//! What the master does while its workers run: one loop on one thread, which
//! wakes up for signals, for news from the scoreboard and for deadlines.

use std::{
    any::Any,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    process::{self, ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, pipe2},
};

use super::{
    BoxError, Exit, Master, Spawn, SpawnReason, Start,
    error::Context as _,
    inherit::{Binary, Passed, ReservedNumbers},
    scoreboard::{Scoreboard, State},
    slot::{Process, Slot},
    sockets::Sockets,
    stop::ECHO,
    worker::program_name,
};
use crate::cli::say;

/// How long a worker may take to become ready.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a worker gets for the rest of its work, a last flush of telemetry for
/// example, when its connections are closed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The master at work.
pub(super) struct Supervisor<'a> {
    master: Master<'a>,
    /// What the start hook added.
    additions: Start,
    sockets: Sockets,
    slots: Vec<Slot>,
    board: Scoreboard,
    shared: Shared,
    binary: Binary,
    signals: SignalFd,
    stage: Stage,
    failed: bool,
    /// Connections that were cut in the stop.
    cut: u32,
    /// What the start hook returned, dropped after the last worker.
    kept: Option<Box<dyn Any>>,
    _reserved: ReservedNumbers,
}

/// Descriptors that every worker gets.
struct Shared {
    scoreboard: OwnedFd,
    /// The read end of a pipe of which only the master holds the write end.
    lifeline: OwnedFd,
    _held: OwnedFd,
    wake: EventFd,
}

/// What the master is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first workers boot. One that fails ends everything.
    Starting,
    /// Workers that end are replaced.
    Serving,
    /// No worker is replaced; those that are left at the deadline are killed.
    Stopping {
        urgency: Urgency,
        since: Instant,
        deadline: Instant,
        port_open: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Graceful,
    Quick,
    Kill,
}

impl<'a> Supervisor<'a> {
    /// Opens the port and whatever else the workers will need, and calls the
    /// start hook.
    pub(super) fn start(mut master: Master<'a>) -> Result<Self, BoxError> {
        let reserved = ReservedNumbers::take().context("open /dev/null")?;
        let server = &master.options.server;
        let sockets = Sockets::listen(&server.host, server.port, master.options.workers)?;
        let (board, scoreboard) = Scoreboard::create().context("create the scoreboard")?;
        let (lifeline, held) =
            pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("create the lifeline")?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags).context("create an eventfd")?;
        let signals = listen_to_signals().context("listen to signals")?;
        let binary = Binary::current().context("open /proc/self/exe, this program")?;
        let mut start = Start::default();
        let hook = std::mem::replace(&mut master.on_start, Box::new(|_| Ok(Box::new(()))));
        let kept = hook(&mut start)?;
        let now = Instant::now();
        Ok(Self {
            slots: (0..master.options.workers)
                .map(|_| Slot::new(now))
                .collect(),
            master,
            additions: start,
            sockets,
            board,
            shared: Shared {
                scoreboard,
                lifeline,
                _held: held,
                wake,
            },
            binary,
            signals,
            stage: Stage::Starting,
            failed: false,
            cut: 0,
            kept: Some(kept),
            _reserved: reserved,
        })
    }

    /// Works until the last worker has ended after a stop.
    pub(super) fn supervise(mut self) -> ExitCode {
        loop {
            self.reap();
            self.notice_ready();
            match self.stage {
                Stage::Starting | Stage::Serving => self.start_due_workers(),
                Stage::Stopping { .. } => self.advance_stop(),
            }
            if matches!(self.stage, Stage::Stopping { .. }) && self.workers().next().is_none() {
                break;
            }
            for signal in self.wait() {
                self.handle(signal);
            }
        }
        drop(self.kept.take());
        match self.cut {
            0 => log::info!("stopped"),
            1 => log::info!("stopped; 1 connection was still open"),
            open => log::info!("stopped; {open} connections were still open"),
        }
        if self.failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    fn slots(&self) -> impl Iterator<Item = (u16, &Slot)> {
        (0..).zip(&self.slots)
    }

    /// The workers that live, by slot.
    fn workers(&self) -> impl Iterator<Item = (u16, Process)> {
        self.slots()
            .filter_map(|(slot, state)| Some((slot, state.process()?)))
    }

    // Starting workers.

    fn start_due_workers(&mut self) {
        let now = Instant::now();
        for slot in 0..self.master.options.workers {
            match self.slots[usize::from(slot)] {
                Slot::Vacant { due, reason, .. } if due <= now => self.start_worker(slot, reason),
                Slot::Occupied(process)
                    if process.ready.is_none() && process.started + BOOT_TIMEOUT <= now =>
                {
                    log::error!(
                        "worker {slot} (pid {}) was not ready within {BOOT_TIMEOUT:?}; killing it",
                        process.pid
                    );
                    send(process.pid, Signal::SIGKILL);
                }
                _ => {}
            }
            // At the start one worker goes ahead: an error that each of them
            // would meet is met, and told, once.
            let alone = self.stage == Stage::Starting && slot == 0;
            if alone
                && self.slots[0]
                    .process()
                    .is_none_or(|process| process.ready.is_none())
            {
                break;
            }
        }
        self.steer();
    }

    fn start_worker(&mut self, slot: u16, reason: SpawnReason) {
        self.board.row(slot).reset();
        let passed = Passed {
            http: self.sockets.slot(slot).as_fd(),
            scoreboard: self.shared.scoreboard.as_fd(),
            lifeline: self.shared.lifeline.as_fd(),
            wake: self.shared.wake.as_fd(),
        };
        let now = Instant::now();
        let place = &mut self.slots[usize::from(slot)];
        match self
            .binary
            .start(slot, &passed, &self.additions.environment)
        {
            Ok(pid) => {
                place.occupy(pid, now);
                let pid = pid.as_raw().cast_unsigned();
                (self.master.on_spawn)(&Spawn { slot, pid, reason });
            }
            Err(error) if self.stage == Stage::Starting => {
                say(format_args!("error: cannot start worker {slot}: {error}"));
                self.fail();
            }
            Err(error) => {
                let pause = place.vacate(now, reason);
                log::error!("cannot start worker {slot}: {error}; trying again in {pause:?}");
            }
        }
    }

    fn notice_ready(&mut self) {
        let now = Instant::now();
        for (slot, state) in (0..).zip(&mut self.slots) {
            if let Slot::Occupied(process) = state
                && process.ready.is_none()
                && matches!(self.board.row(slot).state(), State::Ready | State::Draining)
            {
                process.ready = Some(now);
                (self.master.on_ready)(slot);
                log::debug!("worker {slot} (pid {}) is ready", process.pid);
            }
        }
        let ready = self
            .workers()
            .filter(|(_, process)| process.ready.is_some())
            .count();
        if self.stage == Stage::Starting && ready == self.slots.len() {
            self.stage = Stage::Serving;
            self.say_ready();
        }
    }

    fn say_ready(&self) {
        let mut line = format!(
            "{}: ready on http://{}, master {}, workers",
            program_name(),
            self.sockets.address(),
            process::id()
        );
        for (_, process) in self.workers() {
            line += &format!(" {}", process.pid);
        }
        for note in &self.additions.notes {
            line += &format!(", {note}");
        }
        say(format_args!("{line}"));
    }

    /// Keeps new connections away from slots without a ready worker: behind one
    /// that crashes while it boots they would wait for long.
    fn steer(&mut self) {
        if self.stage == Stage::Serving {
            let ready = |slot: &Slot| {
                slot.process()
                    .is_some_and(|process| process.ready.is_some())
            };
            self.sockets.steer(self.slots.iter().map(ready).collect());
        }
    }

    // The end of a worker.

    /// Collects every child that has ended: as process 1, strangers too.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
                Ok(WaitStatus::Signaled(pid, signal, core)) => {
                    (pid, signal as i32 | i32::from(core) << 7)
                }
                Err(Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let of_worker =
                |(slot, process): (u16, Process)| (process.pid == pid).then_some((slot, process));
            let Some((slot, process)) = self.workers().find_map(of_worker) else {
                continue;
            };
            self.worker_ended(slot, process, ExitStatus::from_raw(status));
        }
    }

    fn worker_ended(&mut self, slot: u16, process: Process, status: ExitStatus) {
        let reason = if status.success() {
            SpawnReason::Exit
        } else {
            SpawnReason::Crash
        };
        let pause = self.slots[usize::from(slot)].vacate(Instant::now(), reason);
        self.tell_end(slot, process, status, pause);
        match self.stage {
            Stage::Starting => self.fail(),
            Stage::Stopping { .. } => {
                self.cut += self.board.row(slot).activity.cut();
                // One that was still booting had nothing to finish.
                self.failed |= !status.success() && process.ready.is_some();
            }
            Stage::Serving => {}
        }
        (self.master.on_exit)(&Exit {
            slot,
            pid: process.pid.as_raw().cast_unsigned(),
            was_ready: process.ready.is_some(),
            status,
        });
    }

    fn tell_end(&self, slot: u16, process: Process, status: ExitStatus, pause: Duration) {
        let row = self.board.row(slot);
        let pid = process.pid;
        match self.stage {
            // The worker has printed its error.
            Stage::Starting if row.state() == State::Failed => {}
            Stage::Starting => {
                say(format_args!(
                    "error: worker {slot} (pid {pid}) ended before it was ready: {status}"
                ));
            }
            Stage::Serving if status.success() => {
                let cut = row.activity.cut();
                log::info!(
                    "worker {slot} (pid {pid}) ended, {cut} connections cut; starting another"
                );
            }
            Stage::Serving if pause.is_zero() => {
                log::error!("worker {slot} (pid {pid}) ended: {status}; starting another");
            }
            Stage::Serving => log::error!(
                "worker {slot} (pid {pid}) ended: {status}; it crashes again and again, \
                 starting another in {pause:?}"
            ),
            Stage::Stopping { .. } if status.success() || process.ready.is_none() => {
                log::debug!("worker {slot} (pid {pid}) ended");
            }
            Stage::Stopping { .. } => log::warn!("worker {slot} (pid {pid}) ended: {status}"),
        }
    }

    // Stopping.

    /// Gives up: something at the start went wrong, and was told.
    fn fail(&mut self) {
        self.failed = true;
        self.stop(Urgency::Quick);
    }

    fn handle(&mut self, signal: Signal) {
        let urgency = match (signal, self.stage) {
            (Signal::SIGCHLD, _) => return,
            (Signal::SIGTERM, Stage::Stopping { since, .. }) if since.elapsed() < ECHO => return,
            (_, Stage::Stopping { urgency, .. }) if urgency >= Urgency::Quick => Urgency::Kill,
            (Signal::SIGTERM, Stage::Starting | Stage::Serving) => Urgency::Graceful,
            _ => Urgency::Quick,
        };
        log::info!("{signal}: {}", urgency.describe());
        self.stop(urgency);
    }

    fn stop(&mut self, urgency: Urgency) {
        let port_open = !matches!(
            self.stage,
            Stage::Stopping {
                port_open: false,
                ..
            }
        );
        let (signal, time) = match urgency {
            Urgency::Graceful => {
                let graceful = self.master.options.server.graceful_timeout;
                (Signal::SIGTERM, graceful + FLUSH_TIMEOUT)
            }
            Urgency::Quick => (Signal::SIGQUIT, FLUSH_TIMEOUT),
            Urgency::Kill => (Signal::SIGKILL, FLUSH_TIMEOUT),
        };
        self.board.set_stopping();
        self.sockets.ignore_new_connections();
        let now = Instant::now();
        self.stage = Stage::Stopping {
            urgency,
            since: now,
            deadline: now + time,
            port_open,
        };
        if urgency > Urgency::Graceful {
            self.close_port();
        }
        for (_, process) in self.workers() {
            // A worker that still boots has nothing to finish, and no handler yet
            // that keeps SIGQUIT from dumping core.
            let boots = process.ready.is_none() && urgency > Urgency::Graceful;
            send(process.pid, if boots { Signal::SIGKILL } else { signal });
        }
    }

    /// Closes the port as soon as no worker accepts any more, and kills what is
    /// left at the deadline.
    fn advance_stop(&mut self) {
        let accepts = |(slot, _)| self.board.row(slot).state() < State::Draining;
        if !self.workers().any(accepts) {
            self.close_port();
        }
        if let Stage::Stopping { deadline, .. } = self.stage
            && deadline <= Instant::now()
        {
            log::warn!("killing the workers that did not stop in time");
            self.failed = true;
            self.stop(Urgency::Kill);
        }
    }

    fn close_port(&mut self) {
        if let Stage::Stopping { port_open, .. } = &mut self.stage
            && std::mem::take(port_open)
        {
            self.cut += self.sockets.close();
        }
    }

    // Waiting.

    /// Waits for a signal, news or a deadline, and returns the signals.
    fn wait(&self) -> Vec<Signal> {
        let timeout = self.next_deadline().map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up, or it would wake up just too early.
            let left = left + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut descriptors = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN),
        ];
        if let Err(error) = poll(&mut descriptors, timeout)
            && error != Errno::EINTR
        {
            log::error!("cannot wait for events: {error}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.shared.wake.read();
        let mut signals = Vec::new();
        while let Ok(Some(info)) = self.signals.read_signal() {
            signals.extend(Signal::try_from(info.ssi_signo.cast_signed()));
        }
        signals
    }

    fn next_deadline(&self) -> Option<Instant> {
        if let Stage::Stopping { deadline, .. } = self.stage {
            return Some(deadline);
        }
        let now = Instant::now();
        let of_slot = |(_, slot): (u16, &Slot)| match slot {
            // One that was due before waits for something else than time.
            Slot::Vacant { due, .. } => (*due > now).then_some(*due),
            Slot::Occupied(process) if process.ready.is_none() => {
                Some(process.started + BOOT_TIMEOUT)
            }
            Slot::Occupied(_) => None,
        };
        self.slots().filter_map(of_slot).min()
    }
}

impl Urgency {
    fn describe(self) -> &'static str {
        match self {
            Self::Graceful => "stopping; open connections finish first",
            Self::Quick => "stopping quickly; open connections are cut",
            Self::Kill => "killing the workers",
        }
    }
}

/// Blocks the signals that mean something to a master, and reads them instead.
fn listen_to_signals() -> nix::Result<SignalFd> {
    let signals: SigSet = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGCHLD,
    ]
    .into_iter()
    .collect();
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

fn send(pid: Pid, signal: Signal) {
    // A worker that has just ended is reaped next.
    let _ = kill(pid, signal);
}
