//! A world for the policy to act on: simulated processes, queues and time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use clap::Parser;
use nix::sys::signal::Signal;

use super::super::{Action, End, FLUSH_TIMEOUT, Policy, Queues, Report, Stage, Urgency};
use crate::{
    Options,
    master::{
        reason::{SpawnReason, StopReason},
        scoreboard::{ROWS, State},
    },
    serve::heart::BEAT,
    stop::Stop,
};

/// How often the supervisor looks at the queues.
const SAMPLE: Duration = Duration::from_secs(1);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

pub(super) fn options(arguments: &[&str]) -> &'static Options {
    let cli = Cli::parse_from([&["test"], arguments].concat());
    Box::leak(Box::new(cli.options))
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn ms(&mut self, limit: u64) -> Duration {
        Duration::from_millis(1 + self.below(limit))
    }
}

/// A simulated process.
#[derive(Debug)]
pub(super) struct Simulated {
    pub(super) slot: u16,
    reason: SpawnReason,
    /// When it becomes ready, if it does.
    boots: Option<Instant>,
    pub(super) state: State,
    told: Stop,
    told_at: Instant,
    asked: bool,
    pub(super) frozen: Option<Instant>,
    beat: Instant,
    /// When it ends by itself or of a signal.
    ends: Option<Instant>,
    killed: bool,
    /// It got `SIGABRT` while it was stopped, which ends it when it goes on.
    aborted: bool,
}

impl Simulated {
    fn accepts(&self) -> bool {
        self.state == State::Ready && self.frozen.is_none()
    }
}

pub(super) struct World {
    pub(super) policy: Policy<'static>,
    options: &'static Options,
    queues_are: Queues,
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) processes: BTreeMap<u16, Simulated>,
    pub(super) queues: Vec<u32>,
    /// When each slot last had somebody who accepts, or who boots.
    served: Vec<Instant>,
    sampled: Instant,
    targets: Vec<u32>,
    /// Per cent of starts that are refused, crash, or never become ready.
    pub(super) trouble: u64,
    pub(super) starts: BTreeMap<&'static str, u32>,
    pub(super) log: Vec<String>,
    ignores_new: bool,
    port_closed: bool,
    pub(super) reloads: [u32; 2],
}

impl World {
    pub(super) fn new(options: &'static Options, queues: Queues, seed: u64) -> Self {
        let now = Instant::now() + Duration::from_secs(1000);
        let count = usize::from(options.workers);
        Self {
            policy: Policy::new(options, queues, now),
            options,
            queues_are: queues,
            random: Random::new(seed),
            now,
            processes: BTreeMap::new(),
            queues: vec![0; count],
            served: vec![now; count],
            sampled: now,
            targets: (0..options.workers.into()).collect(),
            trouble: 0,
            starts: BTreeMap::new(),
            log: Vec::new(),
            ignores_new: false,
            port_closed: false,
            reloads: [0; 2],
        }
    }

    /// Lets the time pass, and everybody act.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.tick();
        while self.now < end && !self.policy.is_done() {
            let due = self.policy.next_due();
            let next = self.next_event().into_iter().chain(due);
            let next = next.chain([self.sampled + SAMPLE, end]).min().unwrap();
            assert!(next > self.now || next == end, "the master would spin");
            self.now = next.max(self.now + Duration::from_micros(100));
            self.tick();
        }
    }

    /// When something happens in the world next.
    fn next_event(&self) -> Option<Instant> {
        let events = self.processes.values().flat_map(|process| {
            let boots = process.boots.filter(|_| process.frozen.is_none());
            [boots, process.ends]
        });
        events.flatten().filter(|at| *at > self.now).min()
    }

    fn tick(&mut self) {
        self.policy.set_time(self.now);
        self.live();
        self.tell_policy();
        for _ in 0..100 {
            self.policy.advance();
            let actions = self.policy.take_actions();
            if actions.is_empty() {
                return self.check();
            }
            for action in actions {
                self.perform(action);
            }
        }
        panic!("the policy finds no end: {:?}", self.log.last());
    }

    /// The queue that a slot accepts from.
    fn queue_of(&self, slot: u16) -> usize {
        match self.queues_are {
            Queues::Own => slot.into(),
            Queues::Shared | Queues::Kept => 0,
        }
    }

    /// The processes act.
    fn live(&mut self) {
        let now = self.now;
        let has_own = self.queues_are == Queues::Own;
        let queue_of = |slot: u16| if has_own { usize::from(slot) } else { 0 };
        for process in self.processes.values_mut() {
            if process.frozen.is_some() {
                continue;
            }
            if process.boots.is_some_and(|at| at <= now) {
                (process.boots, process.state) = (None, State::Ready);
            }
            // Some moment within the last beat.
            process.beat = now - BEAT / 2;
            if process.state == State::Ready && process.told != Stop::Not {
                let empties = process.told == Stop::Server || process.told == Stop::Slot;
                let queue = &mut self.queues[queue_of(process.slot)];
                *queue = if empties { 0 } else { *queue };
                process.state = State::Draining;
                let time = match self.random.below(10) {
                    // The graceful timeout ends it.
                    0 => self.options.server.graceful_timeout,
                    _ => self
                        .random
                        .ms(2_000)
                        .min(self.options.server.graceful_timeout),
                };
                let ends = now + time;
                process.ends = Some(process.ends.map_or(ends, |at| at.min(ends)));
            }
            if process.told == Stop::Quick && process.state > State::Booting {
                let ends = now + Duration::from_millis(5);
                process.ends = Some(process.ends.map_or(ends, |at| at.min(ends)));
            }
            if process.accepts() {
                self.queues[queue_of(process.slot)] = 0;
            }
        }
    }

    fn tell_policy(&mut self) {
        let now = self.now;
        for (row, process) in &self.processes {
            let report = Report {
                state: process.state,
                asked: process.asked,
                silent: now.saturating_duration_since(process.beat),
                requests: 0,
                connections: 0,
                debugged: false,
                full: false,
            };
            self.policy.report(*row, &report);
        }
        let ended: Vec<_> = self
            .processes
            .iter()
            .filter_map(|(row, process)| {
                let killed = process.killed || process.frozen.is_none();
                (process.ends.is_some_and(|at| at <= now) && killed).then_some(*row)
            })
            .collect();
        for row in ended {
            let process = self.processes.remove(&row).unwrap();
            let success = !process.killed && process.state == State::Draining;
            let end = End {
                success,
                how: "ended",
                killed: process.killed,
                told: false,
                cut: 0,
            };
            self.policy.ended(row, &end).expect("the policy knows it");
        }
        if self.policy.minds_queues() || now >= self.sampled + SAMPLE {
            self.sampled = now;
            for (slot, length) in (0..).zip(&self.queues) {
                self.policy.queued(slot, *length);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Start {
                slot, row, reason, ..
            } => self.start(slot, row, reason),
            Action::Tell { row, stop, first } => self.tell(row, stop, first),
            Action::Send { row, signal } => {
                let stopping = self.policy.stage().is_stopping();
                let process = self.processes.get_mut(&row).expect("a signal has a target");
                let serves = process.accepts() && process.told == Stop::Not;
                assert!(
                    !serves || stopping,
                    "{signal} to a worker that serves: {process:?}"
                );
                process.aborted = true;
                if signal == Signal::SIGKILL || process.frozen.is_none() {
                    process.killed = true;
                    process.ends = Some(now + Duration::from_millis(1));
                }
            }
            Action::Steer(targets) => {
                assert!(!targets.is_empty());
                self.targets = targets;
            }
            Action::AddSocket { .. } => {
                self.queues.push(0);
                self.served.push(now);
                self.policy.opened();
            }
            Action::OpenProgram => self.policy.reload(),
            Action::EndReload { success } => self.reloads[usize::from(!success)] += 1,
            Action::IgnoreNewConnections => self.ignores_new = true,
            Action::ClosePort => {
                self.port_closed = true;
                // A quick stop cuts connections, and where starts fail the deadline does.
                let Stage::Stopping(stop) = self.policy.stage() else {
                    panic!("the port is closed while the server does not stop");
                };
                let may_cut = match stop.urgency {
                    Urgency::Graceful => false,
                    Urgency::Quick => true,
                    Urgency::Kill => self.trouble > 0,
                };
                if self.queues_are != Queues::Kept && !may_cut {
                    let lost: u32 = self.queues.iter().sum();
                    assert_eq!(lost, 0, "queued connections are lost: {:?}", self.queues);
                }
            }
            Action::Log(line) => self.log.push(line.text),
            Action::Say(line) => self.log.push(line),
            Action::Ready { .. } | Action::SayReady => {}
        }
    }

    fn start(&mut self, slot: u16, row: u16, reason: SpawnReason) {
        let now = self.now;
        *self.starts.entry(reason.as_str()).or_default() += 1;
        assert!(
            row < ROWS && !self.processes.contains_key(&row),
            "row {row} is taken"
        );
        let trouble = self.random.below(100) < self.trouble;
        let kind = if trouble { self.random.below(4) } else { 9 };
        if kind == 0 {
            let error = "Resource temporarily unavailable";
            return self.policy.not_started(row, error, true);
        }
        let boots = now + self.random.ms(40);
        let process = Simulated {
            slot,
            reason,
            boots: (kind > 2).then_some(boots),
            state: State::Booting,
            told: Stop::Not,
            told_at: now,
            asked: false,
            frozen: None,
            beat: now,
            ends: (kind == 1).then_some(boots),
            killed: kind == 1,
            aborted: false,
        };
        self.processes.insert(row, process);
        self.policy.started(row, 1000 + u32::from(row), None);
        let helps = |process: &&Simulated| {
            let boots = process.state == State::Booting && process.told == Stop::Not;
            process.reason == SpawnReason::Hang && boots && !process.killed
        };
        let helpers = self.processes.values().filter(helps).count();
        assert!(helpers <= 1, "{helpers} helpers boot at once");
        let stays = |process: &&Simulated| process.slot == slot && process.told == Stop::Not;
        let stay = self.processes.values().filter(stays).count();
        assert!(stay <= 3, "{stay} processes in slot {slot}");
    }

    fn tell(&mut self, row: u16, stop: Stop, first: Option<StopReason>) {
        // It may have been refused meanwhile.
        let Some(process) = self.processes.get(&row) else {
            return;
        };
        assert!(
            stop > process.told,
            "told {stop:?} after {:?}",
            process.told
        );
        assert_eq!(first.is_some(), process.told == Stop::Not);
        let (slot, is_booting) = (process.slot, process.state == State::Booting);
        if matches!(
            first,
            Some(StopReason::Reload | StopReason::Recycle | StopReason::Recovery)
        ) {
            let mut others = self.processes.iter().filter(|(other, _)| **other != row);
            let takes_over = others.any(|(_, other)| {
                other.slot == slot && other.told == Stop::Not && other.state == State::Ready
            });
            assert!(
                takes_over || is_booting,
                "{first:?}: nobody takes over from {row}"
            );
        }
        let process = self.processes.get_mut(&row).unwrap();
        if process.told == Stop::Not {
            process.told_at = self.now;
        }
        process.told = stop;
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        let now = self.now;
        for process in self.processes.values() {
            let slot = usize::from(process.slot);
            let boots = process.state == State::Booting && !process.killed;
            if process.accepts() || boots {
                self.served[slot] = now;
            }
        }
        let open = self.policy.open_slots();
        let serves = matches!(self.policy.stage(), Stage::Serving | Stage::Delaying { .. });
        for (slot, served) in self.served.iter_mut().enumerate() {
            let is_needed = slot < open || self.queues[slot] > 0;
            if !serves || !is_needed {
                *served = now;
            }
            // The longest pauses: for a helper, and for two stalled workers.
            let limit = Duration::from_secs(60) + 2 * self.options.timeout + SAMPLE;
            let alone = now.duration_since(*served);
            assert!(alone <= limit, "slot {slot} had no acceptor for {alone:?}");
        }
        for (row, process) in &self.processes {
            let options = self.options;
            let finish = options.server.graceful_timeout + FLUSH_TIMEOUT;
            let limit = options.boot_timeout + 2 * finish + 2 * options.timeout;
            let age = now.duration_since(process.told_at);
            let is_told = process.told != Stop::Not;
            assert!(
                !is_told || age <= limit,
                "row {row} is there {age:?} after it was told"
            );
        }
    }

    // What happens to it.

    /// A row of a process, if there is one.
    pub(super) fn any_row(&mut self) -> Option<u16> {
        let rows: Vec<_> = self.processes.keys().copied().collect();
        let index = self.random.below(rows.len().max(1) as u64) as usize;
        rows.get(index).copied()
    }

    pub(super) fn kill(&mut self, row: u16) {
        let process = self.processes.get_mut(&row).unwrap();
        process.killed = true;
        process.ends = Some(self.now);
    }

    /// Somebody sends `SIGTERM` to a worker.
    pub(super) fn terminate(&mut self, row: u16) {
        let process = self.processes.get_mut(&row).unwrap();
        process.asked |= process.told == Stop::Not;
    }

    pub(super) fn freeze(&mut self, row: u16) {
        let now = self.now;
        let process = self.processes.get_mut(&row).unwrap();
        process.frozen.get_or_insert(now);
    }

    pub(super) fn thaw(&mut self) {
        for process in self.processes.values_mut() {
            process.frozen = None;
            if process.aborted {
                (process.killed, process.ends) = (true, Some(self.now));
            }
        }
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals(&[signal]);
    }

    /// Signals that the master reads at once.
    pub(super) fn signals(&mut self, signals: &[Signal]) {
        self.policy.set_time(self.now);
        for signal in signals {
            self.policy.signal(*signal);
        }
        self.tick();
    }

    /// Clients connect to a slot, or where the master sends them.
    pub(super) fn connect(&mut self, count: u32) {
        if !self.ignores_new && !self.port_closed {
            let index = self.random.below(self.targets.len() as u64) as usize;
            let queue = self.queue_of(self.targets[index] as u16);
            self.queues[queue] += count;
        }
    }

    /// Rows of the workers that serve, by slot.
    pub(super) fn serving(&self) -> BTreeMap<u16, u16> {
        let serving = self
            .processes
            .iter()
            .filter(|(_, process)| process.state == State::Ready && process.told == Stop::Not);
        serving.map(|(row, process)| (process.slot, *row)).collect()
    }

    pub(super) fn rows(&self) -> BTreeSet<u16> {
        self.processes.keys().copied().collect()
    }
}
