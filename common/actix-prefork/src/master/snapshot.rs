//! What master and workers have counted and how they do, at one moment.

use std::{
    fmt,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    reason::SpawnReason,
    scoreboard::{ROWS, Row, Scoreboard, State},
    tally::{ExitKind, Tally},
    usage::{self, Usage},
};
use crate::{clock::monotonic, stop::Stop};

/// Takes snapshots, in the master and in workers.
///
/// It reads shared memory and `/proc`, so it never waits for another process.
#[derive(Clone)]
pub struct Snapshots(Arc<Scoreboard>);

impl Snapshots {
    pub(crate) fn new(board: Scoreboard) -> Self {
        Self(Arc::new(board))
    }

    /// Takes a snapshot.
    pub fn take(&self) -> Snapshot {
        let board = &*self.0;
        let [reloads, failed_reloads] = board.reloads().map(u64::from);
        let slots = (0..crate::MAX_WORKERS).filter(|slot| board.tally(*slot).is_used());
        Snapshot {
            slots: slots.map(|slot| SlotSnapshot::take(board, slot)).collect(),
            reloads,
            failed_reloads,
            master: Usage::of(board.master()),
        }
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Snapshots")
    }
}

/// Counters and state of the master and its workers at one moment.
///
/// [`HARNESS_METRICS`](crate::HARNESS_METRICS) turns it into metrics. Counters start
/// with the master and keep their values when a worker ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Every slot that has had a worker.
    pub slots: Vec<SlotSnapshot>,
    /// Reloads that replaced every worker.
    pub reloads: u64,
    /// Reloads that failed.
    pub failed_reloads: u64,
    /// What the master uses of the machine; `None` if it has ended.
    pub master: Option<Usage>,
}

/// One slot in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SlotSnapshot {
    /// The slot, from 0.
    pub slot: u16,
    /// Whether the slot has a worker that serves.
    pub up: bool,
    /// The process id of that worker.
    pub pid: Option<u32>,
    /// The process ids of all its processes: one that serves, those that boot or drain.
    pub pids: Vec<u32>,
    /// What all its processes use of the machine.
    pub usage: Usage,
    /// Processes started, by reason, in the order of [`SpawnReason::ALL`].
    pub spawns: [u64; SpawnReason::ALL.len()],
    /// Processes ended: with exit status 0, with another status, by a signal.
    pub exits: [u64; ExitKind::ALL.len()],
    /// Processes that are booting, serving, draining.
    pub processes: [u64; 3],
    /// Time since all serving threads of the worker were last known to run; of the
    /// stalled one where a worker has a helper.
    pub heartbeat_age: Option<Duration>,
    /// Open connections.
    pub connections: u64,
    /// Requests answered.
    pub requests: u64,
    /// Connections, including idle ones, that were open when their worker ended.
    pub cut_connections: u64,
    /// Time from start to ready of the last worker that became ready.
    pub boot: Option<Duration>,
    /// Drain time of the last worker that drained.
    pub drain: Option<Duration>,
    /// Connections waiting to be accepted, sampled every second. If all slots share a
    /// socket, only the first slot has this value. It is `None` for a Unix domain
    /// socket.
    pub accept_queue: Option<u32>,
}

impl SlotSnapshot {
    fn take(board: &Scoreboard, slot: u16) -> Self {
        let tally = board.tally(slot);
        tally.read(|| {
            let mut found = Self::of_tally(slot, tally);
            let rows = (0..ROWS).map(|number| board.row(number));
            for row in rows.filter(|row| row.pid() != 0 && row.slot() == slot) {
                found.add(row);
            }
            found
        })
    }

    /// What the tally holds, without any process.
    fn of_tally(slot: u16, tally: &Tally) -> Self {
        let load = |count: &AtomicU32| count.load(Relaxed);
        let time = |ms: &AtomicU32| {
            let ms = NonZero::new(load(ms))?;
            Some(Duration::from_millis(ms.get().into()))
        };
        Self {
            slot,
            up: false,
            pid: None,
            pids: Vec::new(),
            usage: Usage {
                cpu: usage::time(tally.cpu.load(Relaxed)),
                ..Usage::default()
            },
            spawns: tally.spawns.each_ref().map(|count| load(count).into()),
            exits: tally.exits.each_ref().map(|count| load(count).into()),
            processes: [0; 3],
            heartbeat_age: None,
            connections: 0,
            requests: tally.requests.load(Relaxed),
            cut_connections: tally.cut.load(Relaxed),
            boot: time(&tally.boot_ms),
            drain: time(&tally.drain_ms),
            accept_queue: load(&tally.accept_queue).checked_sub(1),
        }
    }

    fn add(&mut self, row: &Row) {
        self.connections += u64::from(row.activity.connections());
        self.requests += row.activity.requests();
        self.pids.push(row.pid());
        // The master has written down what one used that the kernel no longer knows.
        let ended = || Usage {
            cpu: usage::time(row.cpu()),
            ..Usage::default()
        };
        self.usage.add(Usage::of(row.pid()).unwrap_or_else(ended));
        let state = match row.state() {
            State::Booting => 0,
            State::Ready if row.told() == Stop::Not => {
                self.up = true;
                let age = Some(monotonic().saturating_sub(row.activity.last_beat()));
                // A stalled worker may have a helper.
                if age >= self.heartbeat_age {
                    (self.heartbeat_age, self.pid) = (age, Some(row.pid()));
                }
                1
            }
            State::Ready | State::Draining | State::Failed => 2,
        };
        self.processes[state] += 1;
    }
}
