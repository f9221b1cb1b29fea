//! All processes of the workers, and what they share.

use std::{
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    process::ExitStatus,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, pipe2},
};

use crate::{
    Environment, Error, Exit, Hooks, Options, Snapshots, Spawn, SpawnReason,
    binary::Binary,
    error::Context as _,
    events::Events,
    inherit::{self, Passed, Place, ReservedNumbers},
    process::Process,
    rollover::draw_limit,
    scoreboard::{ROWS, Role, Scoreboard, State},
    slot::Slot,
    sockets::Sockets,
    wording,
};

/// All processes of the workers, and what they share.
pub(crate) struct Fleet<'a> {
    pub(crate) slots: Vec<Slot>,
    pub(crate) sockets: Sockets,
    pub(crate) board: Scoreboard,
    pub(crate) events: Events,
    pub(crate) hooks: Hooks<'a>,
    options: &'a Options,
    /// Variables that the workers get besides those of the master.
    pub(crate) environment: Environment,
    scoreboard: OwnedFd,
    /// The read end of a pipe of which only the master holds the write end.
    lifeline: OwnedFd,
    _held: OwnedFd,
    _reserved: ReservedNumbers,
}

/// A worker that has become ready.
pub(crate) struct Ready {
    pub(crate) slot: u16,
    pub(crate) process: Process,
    /// The one that it takes over from.
    pub(crate) before: Option<Process>,
}

/// A worker that has ended.
pub(crate) struct Ended {
    pub(crate) slot: u16,
    pub(crate) process: Process,
    pub(crate) role: Role,
    pub(crate) status: ExitStatus,
    /// How far it had come, by its own word.
    pub(crate) state: State,
    /// Connections that were still open.
    pub(crate) cut: u32,
    /// The pause until the next try, where there is one.
    pub(crate) pause: Duration,
}

impl Ended {
    /// How it ended, for a log line: `worker 2 (pid 4711) exited with status 3`.
    pub(crate) fn describe(&self) -> String {
        let (slot, pid) = (self.slot, self.process.pid);
        format!("worker {slot} (pid {pid}) {}", wording::end(self.status))
    }
}

impl<'a> Fleet<'a> {
    /// Opens the port and whatever else the workers will need.
    pub(crate) fn open(options: &'a Options, hooks: Hooks<'a>) -> Result<Self, Error> {
        let reserved = ReservedNumbers::take().context("open /dev/null")?;
        let sockets = Sockets::listen(&options.server, options.workers)?;
        let (board, scoreboard) = Scoreboard::create().context("create the scoreboard")?;
        let (lifeline, held) = pipe2(OFlag::O_CLOEXEC).context("create the lifeline")?;
        let now = Instant::now();
        let slots = 0..options.workers;
        Ok(Self {
            slots: slots.map(|_| Slot::new(now, SpawnReason::Boot)).collect(),
            sockets,
            board,
            events: Events::listen()?,
            hooks,
            options,
            environment: Environment::new(),
            scoreboard,
            lifeline,
            _held: held,
            _reserved: reserved,
        })
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = (u16, &Slot)> {
        (0..).zip(&self.slots)
    }

    pub(crate) fn slot(&self, slot: u16) -> &Slot {
        &self.slots[usize::from(slot)]
    }

    pub(crate) fn slot_mut(&mut self, slot: u16) -> &mut Slot {
        &mut self.slots[usize::from(slot)]
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.slots.iter().flat_map(Slot::processes)
    }

    /// Starts a worker: in a slot without one as the current one, else as its
    /// replacement.
    pub(crate) fn start(
        &mut self,
        slot: u16,
        reason: SpawnReason,
        binary: &Binary,
    ) -> std::io::Result<Pid> {
        let number = self.free_row().ok_or_else(|| {
            std::io::Error::other(
                "too many old workers are still draining; lower --graceful-timeout",
            )
        })?;
        let row = self.board.row(number);
        row.reset(slot, self.slot(slot).next_role());
        if !self.slot(slot).is_open() && !self.sockets.are_shared() {
            row.set_last();
        }
        let passed = Passed {
            http: self.sockets.slot(slot).as_fd(),
            scoreboard: self.scoreboard.as_fd(),
            lifeline: self.lifeline.as_fd(),
            wake: self.events.wake(),
        };
        let place = Place { slot, row: number };
        let pid = inherit::start(binary, place, &passed, &self.environment)
            .inspect_err(|_| row.set_role(Role::None))?;
        row.set_pid(pid);
        self.board.tally(slot).count_spawn(reason);
        let limit = draw_limit(self.options);
        let process = Process::new(pid, number, reason, limit, Instant::now());
        self.slot_mut(slot).started(process);
        let pid_number = pid.as_raw().cast_unsigned();
        (self.hooks.on_spawn)(&Spawn {
            slot,
            pid: pid_number,
            reason,
        });
        Ok(pid)
    }

    /// What a program may see of it.
    pub(crate) fn snapshots(&self) -> Result<Snapshots, Error> {
        let memory = self.scoreboard.try_clone();
        let board = memory.and_then(Scoreboard::open);
        Ok(Snapshots::new(board.context("open the scoreboard")?))
    }

    /// Notes how many connections wait in the queue of each slot.
    pub(crate) fn record_accept_queues(&self) {
        let own = if self.sockets.are_shared() {
            1
        } else {
            self.slots.len()
        };
        for slot in 0..own as u16 {
            let length = self.sockets.slot(slot).exact_queue_length();
            self.board.tally(slot).record_accept_queue(length);
        }
    }

    fn free_row(&self) -> Option<u16> {
        let mut used = [false; ROWS as usize];
        for process in self.processes() {
            used[usize::from(process.row)] = true;
        }
        (0..ROWS).find(|row| !used[usize::from(*row)])
    }

    /// The workers that have become ready since the last call.
    pub(crate) fn notice_ready(&mut self) -> Vec<Ready> {
        let now = Instant::now();
        let board = &self.board;
        let says_ready = |process: &&Process| {
            let state = board.row(process.row).state();
            process.ready.is_none() && matches!(state, State::Ready | State::Draining)
        };
        let mut found = Vec::new();
        for (slot, place) in (0..).zip(&mut self.slots) {
            let pids = place
                .processes()
                .filter(says_ready)
                .map(|process| process.pid);
            for pid in pids.collect::<Vec<_>>() {
                let before = place.ready(pid, now);
                let process = place.processes().find(|process| process.pid == pid);
                found.extend(process.map(|process| Ready {
                    slot,
                    process: *process,
                    before,
                }));
            }
        }
        for ready in &found {
            self.record_ready(ready);
        }
        found
    }

    fn record_ready(&mut self, ready: &Ready) {
        let process = &ready.process;
        let boot = self.board.tally(ready.slot);
        boot.record_boot(process.started.elapsed());
        if process.retired.is_none() {
            self.board.row(process.row).set_role(Role::Current);
        }
        if let Some(before) = &ready.before {
            self.board.row(before.row).set_role(Role::Retired);
        }
        (self.hooks.on_ready)(ready.slot);
        log::debug!("worker {} (pid {}) is ready", ready.slot, process.pid);
    }

    /// Collects every child that has ended: as process 1, strangers too.
    pub(crate) fn reap(&mut self) -> Vec<Ended> {
        let mut all = Vec::new();
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
                Ok(WaitStatus::Signaled(pid, signal, core)) => {
                    (pid, signal as i32 | i32::from(core) << 7)
                }
                Err(Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return all,
                Ok(_) => continue,
            };
            all.extend(self.ended(pid, ExitStatus::from_raw(status)));
        }
    }

    fn ended(&mut self, pid: Pid, status: ExitStatus) -> Option<Ended> {
        let now = Instant::now();
        let success = status.success();
        let mut slots = (0..).zip(&mut self.slots);
        let (slot, ended) =
            slots.find_map(|(slot, place)| Some((slot, place.ended(pid, success, now)?)))?;
        drop(slots);
        let process = ended.process;
        let row = self.board.row(process.row);
        // One that finished has written down what it cut; another one had no time.
        let cut = row.activity.cut().max(row.activity.connections());
        let tally = self.board.tally(slot);
        tally.take_over(&row.activity, status, cut, || row.set_role(Role::None));
        if let Some(promoted) = self.slot(slot).current() {
            self.board.row(promoted.row).set_role(Role::Current);
        }
        if let Some(retired) = process.retired {
            tally.record_drain(now.duration_since(retired.since));
        }
        let exit = Exit {
            slot,
            pid: pid.as_raw().cast_unsigned(),
            was_ready: process.ready.is_some(),
            status,
            cut,
        };
        self.hooks.on_exit.iter_mut().for_each(|hook| hook(&exit));
        Some(Ended {
            slot,
            process,
            role: ended.role,
            status,
            state: row.state(),
            cut,
            pause: ended.pause,
        })
    }

    /// Ends the replacements that were started for that reason.
    pub(crate) fn kill_replacements(&mut self, reason: SpawnReason) {
        let replacements = self.slots.iter_mut().filter_map(Slot::replacement_mut);
        replacements
            .filter(|process| process.reason == reason)
            .for_each(Process::kill);
    }

    /// Lets the slot have no worker any more.
    pub(crate) fn close(&mut self, slot: u16) {
        let leaving = self.slot_mut(slot).close(Instant::now());
        // Before the signal: what comes while the worker empties the queue would
        // never let it end.
        self.steer();
        // One that boots ends at the signal. If it is the only one, it has to
        // serve the queue first.
        let spared = match leaving.iter().any(|process| process.ready.is_some()) {
            true => None,
            false => leaving.last().map(|process| process.pid),
        };
        for process in &leaving {
            let row = self.board.row(process.row);
            if !self.sockets.are_shared() {
                row.set_last();
            }
            row.set_role(Role::Retired);
            if Some(process.pid) != spared {
                process.send(Signal::SIGTERM);
            }
        }
    }

    /// Keeps new connections away from slots without a worker that serves: behind
    /// one that crashes while it boots, or hangs, they would wait for long.
    pub(crate) fn steer(&mut self) {
        let serves = |slot: &Slot| {
            let is_full = |process: &Process| self.board.row(process.row).activity.is_full();
            slot.current()
                .is_some_and(|process| process.serves() && !is_full(process))
        };
        let numbers = |wanted: &dyn Fn(&Slot) -> bool| -> Vec<u32> {
            let slots = (0..).zip(&self.slots);
            let wanted = slots.filter(|(_, slot)| wanted(slot));
            wanted.map(|(number, _)| number).collect()
        };
        let mut targets = numbers(&serves);
        if targets.is_empty() {
            targets = numbers(&Slot::is_open);
        }
        self.sockets.steer(targets);
    }
}
