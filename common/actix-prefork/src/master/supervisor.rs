//! What the master does while its workers run: one loop on one thread, which wakes up
//! for signals, for news from the scoreboard and for deadlines. It tells the policy what
//! happened, and does what the policy decides.

use std::{
    any::Any,
    os::unix::process::ExitStatusExt as _,
    process::{self, ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use super::{
    binary::Program,
    events::Events,
    fleet::{self, Fleet},
    hooks::{Environment, Exit, Hooks, OnStart, Ready, Spawn, Start, Stop, call},
    inherit::Place,
    notify::{Notifier, Phase},
    policy::{Action, End, Policy, Stage},
    reason::SpawnReason,
    scoreboard::State,
    sockets::Sockets,
    wording::{self, counted},
};
use crate::{BoxError, Options, cli::say, error::Context as _, worker};

/// How often the accept queues are looked at.
const SAMPLE: Duration = Duration::from_secs(1);

/// The master at work.
pub(crate) struct Supervisor<'a> {
    policy: Policy<'a>,
    fleet: Fleet<'a>,
    sockets: Sockets,
    events: Events,
    hooks: Hooks<'a>,
    program: Program,
    notes: Vec<String>,
    notifier: Notifier,
    sampled: Option<Instant>,
    /// Connections that were cut in the stop.
    cut: u32,
    /// What the start hooks returned, dropped after the last worker.
    kept: Vec<Box<dyn Any>>,
}

impl<'a> Supervisor<'a> {
    /// Opens the port and whatever else the workers will need, and calls the start hooks.
    pub(crate) fn start(
        options: &'a Options,
        on_start: Vec<OnStart<'a>>,
        mut hooks: Hooks<'a>,
    ) -> Result<Self, BoxError> {
        // First, since it keeps descriptors free that workers get.
        let mut fleet = Fleet::new(options)?;
        let sockets = Sockets::listen(&options.server, options.workers)?;
        let events = Events::listen()?;
        let mut start = Start {
            environment: Environment::new(),
            notes: Vec::new(),
            snapshots: fleet.snapshots()?,
            on_exit: Vec::new(),
        };
        let mut kept = Vec::new();
        for hook in on_start {
            // The last one is dropped first.
            kept.insert(0, hook(&mut start)?);
        }
        fleet.environment = start.environment;
        for hook in start.on_exit {
            hooks.on_exit.push(hook);
        }
        Ok(Self {
            policy: Policy::new(options, sockets.queues(), Instant::now()),
            fleet,
            sockets,
            events,
            hooks,
            program: Program::current().context("open /proc/self/exe, this program")?,
            notes: start.notes,
            notifier: Notifier::from_env(),
            sampled: None,
            cut: 0,
            kept,
        })
    }

    /// Works until the last worker has ended after a stop.
    pub(crate) fn supervise(mut self) -> ExitCode {
        loop {
            self.observe();
            self.act();
            self.notify();
            if self.policy.is_done() {
                break;
            }
            let due = self.policy.next_due().into_iter();
            let due = due.chain(self.notifier.next_beat());
            let due = due.chain([Instant::now() + SAMPLE]);
            let happened = self.events.wait(due.min());
            self.policy.set_time(Instant::now());
            self.policy.overslept(happened.late);
            for signal in happened.signals {
                self.policy.signal(signal);
                // What one signal asks for is done before the next one is read.
                self.act();
            }
        }
        self.kept.clear();
        let cut = match self.cut {
            0 => String::new(),
            cut => format!(", {} cut", counted(cut, "connection")),
        };
        log::info!(event = "stopped", connections = self.cut; "stopped{cut}");
        ExitCode::from(u8::from(self.policy.has_failed()))
    }

    // What happened.

    /// Tells the policy what the workers say and which of them have ended.
    fn observe(&mut self) {
        let now = Instant::now();
        self.policy.set_time(now);
        // A queue that is empty before a worker is ready was not emptied by it.
        self.look_at_queues(now);
        // The end of a worker comes after its last words.
        let ended = self.fleet.reap();
        let rows: Vec<_> = self.policy.processes().map(|process| process.row).collect();
        for row in rows {
            self.policy.report(row, &self.fleet.report(row));
        }
        for (row, status) in ended {
            self.ended(row, status, now);
        }
    }

    fn ended(&mut self, row: u16, status: ExitStatus, now: Instant) {
        let memory = self.fleet.board.row(row);
        let end = End {
            success: status.success(),
            how: &wording::end(status),
            killed: status.signal().is_some(),
            told: memory.state() == State::Failed,
            cut: fleet::cut(memory),
        };
        let stops = self.policy.stage().is_stopping();
        let Some(process) = self.policy.ended(row, &end) else {
            return;
        };
        let drained = process.drained(now);
        let cut = self.fleet.take_over(row, process.slot, status, drained);
        self.cut += if stops { cut } else { 0 };
        let exit = Exit {
            slot: process.slot,
            pid: process.pid,
            was_ready: process.ready.is_some(),
            status,
            cut,
        };
        call(&mut self.hooks.on_exit, &exit);
    }

    /// Looks at the queues often where nobody may be there to serve them.
    fn look_at_queues(&mut self, now: Instant) {
        let is_due = self.sampled.is_none_or(|last| now >= last + SAMPLE);
        if !is_due && !self.policy.minds_queues() {
            return;
        }
        self.sampled = Some(now);
        for slot in 0..self.sockets.count() {
            let length = self.sockets.queue_length(slot).unwrap_or_default();
            self.policy.queued(slot, length);
            let tally = self.fleet.board.tally(slot);
            tally.record_accept_queue(self.sockets.exact_queue_length(slot));
        }
    }

    // What follows.

    /// Does what the policy decides, until it has nothing more to say.
    fn act(&mut self) {
        loop {
            self.policy.set_time(Instant::now());
            self.policy.advance();
            let actions = self.policy.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.perform(action);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start {
                slot,
                row,
                reason,
                new_program,
            } => self.start_worker(Place { slot, row }, reason, new_program),
            Action::Ready { row } => self.ready(row),
            Action::Tell { row, stop, first } => {
                let process = self.policy.processes().find(|process| process.row == row);
                if let (Some(process), Some(reason)) = (process, first) {
                    let (slot, pid) = (process.slot, process.pid);
                    call(&mut self.hooks.on_stop, &Stop { slot, pid, reason });
                }
                self.fleet.tell(row, stop);
            }
            Action::Send { row, signal } => self.fleet.send(row, signal),
            Action::Steer(targets) => self.sockets.steer(&targets),
            Action::AddSocket { targets } => match self.sockets.add(&targets) {
                Ok(()) => self.policy.opened(),
                Err(error) => {
                    log::error!(event = "scale.failed"; "SIGTTIN: cannot add a worker: {error}");
                }
            },
            Action::SayReady => self.say_ready(),
            Action::OpenProgram => self.open_program(),
            Action::EndReload { success } => {
                self.fleet.board.count_reload(success);
                self.program.end_reload(success);
            }
            Action::IgnoreNewConnections => self.sockets.ignore_new_connections(),
            Action::ClosePort => self.cut += self.sockets.close(),
            Action::Log(line) => line.write(),
            Action::Say(line) => say(format_args!("{line}")),
        }
    }

    fn start_worker(&mut self, place: Place, reason: SpawnReason, new_program: bool) {
        let binary = self.program.binary(new_program);
        let http = self.sockets.descriptors(place.slot);
        match self
            .fleet
            .start(place, reason, binary, &http, self.events.wake())
        {
            Ok(pid) => {
                let limit = self.fleet.draw_limit();
                self.policy.started(place.row, pid, limit);
                let slot = place.slot;
                call(&mut self.hooks.on_spawn, &Spawn { slot, pid, reason });
            }
            Err(error) => {
                let (text, passes) = (error.to_string(), fleet::is_shortage(&error));
                self.policy.not_started(place.row, &text, passes);
            }
        }
    }

    fn ready(&mut self, row: u16) {
        let Some(process) = self.policy.processes().find(|process| process.row == row) else {
            return;
        };
        let (slot, pid) = (process.slot, process.pid);
        let tally = self.fleet.board.tally(slot);
        tally.record_boot(process.started.elapsed());
        log::debug!(event = "worker.ready", slot, pid; "worker {slot} (pid {pid}) is ready");
        call(&mut self.hooks.on_ready, &Ready { slot, pid });
    }

    fn say_ready(&self) {
        let mut workers = "workers".to_owned();
        for process in self.policy.processes() {
            workers += &format!(" {}", process.pid);
        }
        let notes = [format!("master {}", process::id()), workers];
        worker::say_ready(self.sockets.addresses(), notes.iter().chain(&self.notes));
    }

    fn open_program(&mut self) {
        self.notifier.tell(Phase::Reloading);
        match self.program.open_next() {
            Ok(path) => {
                let path = path.display();
                log::info!(event = "reload"; "SIGHUP: replacing workers one by one with {path}");
                self.policy.reload();
            }
            Err(error) => {
                self.fleet.board.count_reload(false);
                log::error!(event = "reload.failed"; "cannot reload: {error}");
            }
        }
    }

    /// Reports the lifecycle stage to the service manager.
    fn notify(&mut self) {
        let phase = match self.policy.stage() {
            Stage::Starting => Phase::Starting,
            Stage::Serving if self.policy.is_reloading() => Phase::Reloading,
            Stage::Serving => Phase::Serving {
                workers: self.policy.open_slots(),
            },
            Stage::Delaying { .. } | Stage::Stopping(_) => Phase::Stopping,
        };
        if phase != self.notifier.told() {
            self.notifier.tell(phase);
        }
        self.notifier.beat(Instant::now());
    }
}
