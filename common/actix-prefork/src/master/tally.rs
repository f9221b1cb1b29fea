//! What the master counts for each slot. It holds over the death of any worker.

use std::{
    process::ExitStatus,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
    time::Duration,
};

use super::{reason::SpawnReason, scoreboard::Row};

/// Counters of one slot, which only ever rise, and its last times. They lie in
/// shared memory; the master alone writes them.
#[derive(Default)]
#[repr(C, align(128))]
pub(crate) struct Tally {
    /// Odd while the master changes what has to be read together.
    changes: AtomicU32,
    /// How long the last worker that became ready took, in milliseconds.
    pub(crate) boot_ms: AtomicU32,
    /// How long the last worker that was told to finish took, in milliseconds.
    pub(crate) drain_ms: AtomicU32,
    pub(crate) spawns: [AtomicU32; SpawnReason::ALL.len()],
    pub(crate) exits: [AtomicU32; ExitKind::ALL.len()],
    /// Connections that were open when their worker ended.
    pub(crate) cut: AtomicU64,
    /// Requests that workers answered which have ended since.
    pub(crate) requests: AtomicU64,
    /// CPU time of workers that have ended, in clock ticks.
    pub(crate) cpu: AtomicU64,
    /// One more than the connections that wait to be accepted; 0 if that is not known.
    pub(crate) accept_queue: AtomicU32,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitKind {
    /// With exit code 0.
    Clean,
    /// With another exit code.
    Code,
    /// By a signal.
    Signal,
}

impl ExitKind {
    pub(crate) const ALL: [Self; 3] = [Self::Clean, Self::Code, Self::Signal];

    /// The kind as the value of a label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Code => "code",
            Self::Signal => "signal",
        }
    }

    pub(crate) fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::Clean,
            Some(_) => Self::Code,
            None => Self::Signal,
        }
    }
}

impl Tally {
    /// Whether the slot ever had a worker.
    pub(crate) fn is_used(&self) -> bool {
        self.spawns.iter().any(|count| count.load(Relaxed) > 0)
    }

    pub(crate) fn record_accept_queue(&self, length: Option<u32>) {
        let stored = length.map_or(0, |length| length.saturating_add(1));
        self.accept_queue.store(stored, Relaxed);
    }

    pub(crate) fn count_spawn(&self, reason: SpawnReason) {
        self.spawns[reason as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn record_boot(&self, time: Duration) {
        self.boot_ms.store(milliseconds(time), Relaxed);
    }

    pub(crate) fn record_drain(&self, time: Duration) {
        self.drain_ms.store(milliseconds(time), Relaxed);
    }

    /// Takes over what an ended worker had counted, and frees its row, so that whoever
    /// adds tallies and rows up counts it once.
    pub(crate) fn take_over(&self, row: &Row, status: ExitStatus, cut: u32) {
        self.changes.fetch_add(1, Relaxed);
        fence(Release);
        self.exits[ExitKind::of(status) as usize].fetch_add(1, Relaxed);
        self.cut.fetch_add(cut.into(), Relaxed);
        self.requests.fetch_add(row.activity.requests(), Relaxed);
        self.cpu.fetch_add(row.cpu(), Relaxed);
        row.set_pid(0);
        self.changes.fetch_add(1, Release);
    }

    /// Reads tally and rows of the slot together, as they are between two changes.
    pub(crate) fn read<T>(&self, read: impl Fn() -> T) -> T {
        // A master that was killed in the middle of a change never ends it.
        const TRIES: usize = 1000;
        for _ in 0..TRIES {
            let before = self.changes.load(Acquire);
            let value = read();
            fence(Acquire);
            if before.is_multiple_of(2) && self.changes.load(Relaxed) == before {
                return value;
            }
            std::hint::spin_loop();
        }
        read()
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
