//! The store that worker processes share: its set-up, and what answers a scrape.

use std::{fmt::Write as _, sync::Arc};

use actix_prefork::{Snapshot, Snapshots, Start};
use opentelemetry_sdk::Resource;
use prometheus_multiprocess::{
    DIRECTORY_VARIABLE, Directory, GaugeMode, GaugeOpts, MultiProcessCollector, Store, Sweeper,
};

use super::{exposition::Exposition, labels::labels};
use crate::resource::hand_on;

/// Prepares the directory of the store, in the master's `on_start` hook: that of
/// `PROMETHEUS_MULTIPROC_DIR`, else a private one that is removed at the end.
///
/// The workers find it in their environment. `target_info` tells who is scraped: the
/// server as a whole is one target, with the identity of the master. Files of workers
/// that have ended are cleared up when they end and every two seconds.
///
/// # Errors
///
/// If another master uses the directory, or it cannot be used.
pub fn prepare(start: &mut Start, resource: &Resource) -> anyhow::Result<Arc<Directory>> {
    hand_on(&mut start.environment);
    let directory = Arc::new(Directory::from_env()?);
    let path = directory.path().display().to_string();
    start.notes.push(format!("directory {path}"));
    start
        .environment
        .insert(DIRECTORY_VARIABLE.to_owned(), path);
    store_target_info(directory.store(), resource)?;
    let sweeper = Sweeper::start(directory.clone())?;
    start.on_exit(move |_| sweeper.wake());
    Ok(directory)
}

/// Answers a scrape with the sum over all processes of the store, and with the
/// metrics of the harness if `snapshots` are given.
pub fn exposition(collector: MultiProcessCollector, snapshots: Option<Snapshots>) -> Exposition {
    Exposition::with_format(move |format| {
        let mut text = String::new();
        collector.encode_for(format, &mut text)?;
        if let Some(snapshots) = &snapshots {
            let snapshot = snapshots.take();
            snapshot.encode_text(&mut text);
            encode_worker_info(&collector, &snapshot, &mut text);
        }
        Ok(text)
    })
}

/// Appends `worker_info`, which joins what is known of a worker by its slot, by its
/// identifier in the store (`pid`, as Python's client calls that label) and by its
/// process id.
fn encode_worker_info(collector: &MultiProcessCollector, snapshot: &Snapshot, text: &mut String) {
    let slot_of = |process| {
        let mut slots = snapshot.slots.iter();
        slots.find(|slot| slot.pids.contains(&process))
    };
    text.push_str("# HELP worker_info Slot, identifier and process id of each worker\n");
    text.push_str("# TYPE worker_info gauge\n");
    for (identifier, process) in collector.processes() {
        if let Some(slot) = slot_of(process).map(|slot| slot.slot) {
            // Writing to a string cannot fail, and an identifier is letters and digits.
            let _ = writeln!(
                text,
                "worker_info{{pid=\"{identifier}\",process_pid=\"{process}\",slot=\"{slot}\"}} 1.0"
            );
        }
    }
}

fn store_target_info(store: &Store, resource: &Resource) -> Result<(), prometheus::Error> {
    let labels = labels(resource);
    let names: Vec<&str> = labels.keys().map(String::as_str).collect();
    let values: Vec<&str> = labels.values().map(String::as_str).collect();
    let opts = GaugeOpts::new("target_info", "Target metadata").mode(GaugeMode::LiveMax);
    let info = store.gauge_vec(opts, &names)?;
    info.get_metric_with_label_values(&values)?.set(1.0);
    Ok(())
}
