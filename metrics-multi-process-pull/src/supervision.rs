//! What the master knows of its workers, in the same scrape as the rest.
//!
//! It counts, so that the numbers hold over the death of any worker.

use std::{cell::OnceCell, process::ExitStatus, sync::Arc, thread, time::Duration};

use common::{
    multiprocess::{CounterVec, Directory, Gauge, GaugeMode, GaugeOpts},
    workers::{Exit, Spawn},
};
use prometheus::Opts;

use crate::target;

/// How often files are put back that another program removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

/// The numbers, from the start of the server on.
#[derive(Default)]
pub(crate) struct Supervision(OnceCell<Numbers>);

struct Numbers {
    directory: Arc<Directory>,
    up: Gauge,
    spawns: CounterVec,
    exits: CounterVec,
    _target: Gauge,
}

impl Supervision {
    /// Begins to count, and to clear up after workers.
    ///
    /// # Errors
    ///
    /// If the metrics cannot be written.
    pub(crate) fn begin(&self, directory: &Arc<Directory>) -> anyhow::Result<()> {
        let store = directory.store();
        let up = GaugeOpts::new("worker_up", "Worker processes that are ready");
        let spawns = Opts::new("worker_spawns", "Worker processes started, by reason");
        let exits = Opts::new("worker_exits", "Worker processes ended, by kind and value");
        let _ = self.0.set(Numbers {
            up: store.gauge(up.mode(GaugeMode::LiveSum))?,
            spawns: store.counter_vec(spawns, &["reason"])?,
            exits: store.counter_vec(exits, &["kind", "value"])?,
            _target: target::info(store)?,
            directory: directory.clone(),
        });
        let swept = Arc::downgrade(directory);
        thread::Builder::new()
            .name("sweep".to_owned())
            .spawn(move || {
                loop {
                    thread::sleep(SWEEP_INTERVAL);
                    match swept.upgrade() {
                        Some(directory) => sweep(&directory),
                        None => return,
                    }
                }
            })?;
        Ok(())
    }

    pub(crate) fn spawned(&self, spawn: &Spawn) {
        if let Some(numbers) = self.0.get() {
            numbers
                .spawns
                .with_label_values(&[spawn.reason.as_str()])
                .inc();
        }
    }

    pub(crate) fn ready(&self) {
        if let Some(numbers) = self.0.get() {
            numbers.up.inc();
        }
    }

    pub(crate) fn exited(&self, exit: &Exit) {
        if let Some(numbers) = self.0.get() {
            let (kind, value) = kind(exit.status);
            numbers.exits.with_label_values(&[kind, &value]).inc();
            if exit.was_ready {
                numbers.up.dec();
            }
            sweep(&numbers.directory);
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

fn sweep(directory: &Directory) {
    if let Err(error) = directory.sweep() {
        log::warn!("{error}");
    }
}
