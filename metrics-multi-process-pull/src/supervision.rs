//! What the master knows of its workers, in the same scrape as the rest.
//!
//! It counts, so that the numbers hold over the death of any worker.

use std::{cell::OnceCell, process::ExitStatus, sync::Arc};

use common::{
    multiprocess::{CounterVec, Directory, Gauge, GaugeMode, GaugeOpts},
    workers::{Exit, Spawn, SpawnReason},
};
use prometheus::Opts;

use crate::{sweeper::Sweeper, target};

/// The numbers, from the start of the server on.
#[derive(Default)]
pub(crate) struct Supervision(OnceCell<Numbers>);

struct Numbers {
    up: Gauge,
    spawns: CounterVec,
    exits: CounterVec,
    sweeper: Sweeper,
}

impl Supervision {
    /// Begins to count, and to clear up after workers.
    ///
    /// # Errors
    ///
    /// If the metrics cannot be written.
    pub(crate) fn begin(&self, directory: &Arc<Directory>) -> anyhow::Result<()> {
        let store = directory.store();
        target::store_info(store)?;
        let up = GaugeOpts::new("worker_up", "Worker processes that are ready");
        let spawns = Opts::new("worker_spawns", "Worker processes started, by reason");
        let exits = Opts::new("worker_exits", "Worker processes ended, by kind and value");
        let spawns = store.counter_vec(spawns, &["reason"])?;
        // From zero on: a series that begins with its first crash would hide that
        // one from `increase()`.
        for reason in SpawnReason::ALL {
            spawns.with_label_values(&[reason.as_str()]);
        }
        let _ = self.0.set(Numbers {
            up: store.gauge(up.mode(GaugeMode::LiveSum))?,
            spawns,
            exits: store.counter_vec(exits, &["kind", "value"])?,
            sweeper: Sweeper::start(directory.clone())?,
        });
        Ok(())
    }

    /// Counts a worker that was started.
    pub(crate) fn spawned(&self, spawn: &Spawn) {
        if let Some(numbers) = self.0.get() {
            let reason = spawn.reason.as_str();
            numbers.spawns.with_label_values(&[reason]).inc();
        }
    }

    /// Counts a worker that has become ready.
    pub(crate) fn ready(&self) {
        if let Some(numbers) = self.0.get() {
            numbers.up.inc();
        }
    }

    /// Counts a worker that has ended, and has its live gauges removed.
    pub(crate) fn exited(&self, exit: &Exit) {
        if let Some(numbers) = self.0.get() {
            let (kind, value) = kind(exit.status);
            numbers.exits.with_label_values(&[kind, &value]).inc();
            if exit.was_ready {
                numbers.up.dec();
            }
            numbers.sweeper.wake();
        }
    }
}

/// How a worker ended, as labels: `clean`, or its exit `code`, or the `signal`
/// that killed it.
fn kind(status: ExitStatus) -> (&'static str, String) {
    use std::os::unix::process::ExitStatusExt as _;

    match (status.code(), status.signal()) {
        (Some(0), _) => ("clean", "0".to_owned()),
        (Some(code), _) => ("code", code.to_string()),
        (None, signal) => ("signal", signal.unwrap_or_default().to_string()),
    }
}
