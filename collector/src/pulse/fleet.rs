//! The slots of worker processes, as the metrics of their harness describe them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::marks::{Mark, Marks};
use crate::{attribute, harness, instance::Instance, ring::Ring, totals::Change};

/// Harnesses, and slots of each, that are shown at most.
const MAX_FLEETS: usize = 16;
const MAX_SLOTS: usize = 256;

/// Process ids of a harness whose slot is remembered.
const MAX_PIDS: usize = 1_024;

/// Longest reason of an event in bytes.
const MAX_WORD: usize = 20;

/// A worker without a heartbeat for so long is stalled, in seconds. A heartbeat is due every 50 ms.
pub(crate) const STALLED: f64 = 0.5;

/// The place of a worker, which stays the same when its process is replaced.
#[derive(Default)]
pub(crate) struct Slot {
    /// The process that serves, or did so last.
    pub(crate) pid: Option<String>,
    pub(crate) is_up: bool,
    pub(crate) is_booting: bool,
    pub(crate) is_draining: bool,
    pub(crate) connections: f64,
    pub(crate) accept_queue: Option<f64>,
    /// In seconds.
    pub(crate) heartbeat_age: f64,
    /// Start of the newest process, in Unix time.
    pub(crate) started: Option<f64>,
    /// Whether the last process that ended did so with an error or by a signal.
    pub(crate) failed: bool,
    /// Requests by second.
    pub(crate) requests: Ring<f64>,
}

/// The workers of one master.
pub(crate) struct Fleet {
    /// Who exports the metrics: the master, or the service that was scraped.
    pub(crate) instance: Arc<Instance>,
    pub(crate) slots: BTreeMap<u16, Slot>,
    /// Unix time of the last export.
    pub(crate) last: f64,
    /// Slots of processes that serve or did so.
    slots_of_pids: HashMap<String, u16>,
}

#[derive(Default)]
pub(super) struct Fleets(BTreeMap<u64, Fleet>);

impl Fleets {
    /// Takes what an export of a harness has changed. Other exports change nothing.
    pub(super) fn note(
        &mut self,
        instance: &Arc<Instance>,
        changes: &[Change],
        marks: &mut Marks,
        now: f64,
    ) {
        let is_known = self.0.contains_key(&instance.number);
        if !is_known {
            if !changes.iter().any(|change| change.metric == "worker.up") {
                return;
            }
            if self.0.len() >= MAX_FLEETS {
                let oldest = self.0.iter().min_by(|a, b| a.1.last.total_cmp(&b.1.last));
                let oldest = oldest.map(|(number, _)| *number);
                oldest.map(|number| self.0.remove(&number));
            }
        }
        let fleet = self.0.entry(instance.number).or_insert_with(|| Fleet {
            instance: Arc::clone(instance),
            slots: BTreeMap::new(),
            last: now,
            slots_of_pids: HashMap::new(),
        });
        let since = is_known.then_some(fleet.last);
        fleet.last = now;
        // A worker ended before another one took its place.
        let is_exit = |change: &&Change| change.metric == "worker.exits";
        let (exits, others): (Vec<_>, Vec<_>) = changes.iter().partition(is_exit);
        for change in exits.into_iter().chain(others) {
            // Totals of a first export say nothing of when it happened.
            let happened = fleet.apply(change, since, now);
            if let Some(mark) = happened.filter(|_| is_known) {
                marks.push(mark);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Fleet> {
        self.0.values()
    }

    /// Whether a service has a harness.
    pub(super) fn has(&self, service: &str) -> bool {
        let mut fleets = self.0.values();
        fleets.any(|fleet| fleet.instance.service() == service)
    }

    /// The slot of a worker process.
    pub(super) fn slot(&self, instance: &Instance) -> Option<u16> {
        let pid = instance.pid()?;
        let service = instance.service();
        let mut fleets = self.0.values().rev();
        fleets.find_map(|fleet| {
            let slot = *fleet.slots_of_pids.get(pid)?;
            (fleet.instance.service() == service).then_some(slot)
        })
    }
}

impl Fleet {
    /// Returns what has happened, if something did. `since` is the time of the export before.
    fn apply(&mut self, change: &Change, since: Option<f64>, now: f64) -> Option<Mark> {
        let metric = harness::metric(&change.metric)?;
        let find = |name: &str| attribute::find_text(&change.attributes, name).unwrap_or_default();
        let value = change.total.amount().as_f64();
        let added = change.added.as_f64().max(0.0);
        if metric == "reloads" {
            let result = find("result");
            let text = format!("reload: {}", attribute::cut(result, MAX_WORD));
            return (added > 0.0).then(|| Mark {
                time: now,
                text,
                is_bad: result != "success",
                export_of: None,
                slot: None,
            });
        }
        let number: u16 = find("slot").parse().ok()?;
        if self.slots.len() >= MAX_SLOTS && !self.slots.contains_key(&number) {
            return None;
        }
        let slot = self.slots.entry(number).or_default();
        let was_stalled = slot.is_stalled();
        match metric {
            "up" => slot.is_up = value > 0.0,
            "processes" if find("state") == "booting" => slot.is_booting = value > 0.0,
            "processes" if find("state") == "draining" => slot.is_draining = value > 0.0,
            "connections" => slot.connections = value,
            "accept_queue" => slot.accept_queue = Some(value),
            "start_time" => slot.started = Some(value),
            "heartbeat.age" => slot.heartbeat_age = value,
            // A first total happened in no particular second.
            "requests" => {
                let add = |second: &mut f64, share| *second += added * share;
                if let Some(since) = since {
                    slot.requests.spread(since, now, add);
                }
            }
            "pid" if value > 0.0 => {
                let pid = format!("{value:.0}");
                if self.slots_of_pids.len() >= MAX_PIDS {
                    self.slots_of_pids.clear();
                }
                self.slots_of_pids.insert(pid.clone(), number);
                slot.pid = Some(pid);
            }
            "exits" if added > 0.0 => slot.failed = find("kind") != "clean",
            _ => {}
        }
        let worker = match &slot.pid {
            Some(pid) => format!("worker {number} (pid {pid})"),
            None => format!("worker {number}"),
        };
        let is_stall = slot.is_stalled() && !was_stalled;
        let (text, is_bad) = match metric {
            "heartbeat.age" if is_stall => (format!("{worker} stalled"), true),
            "exits" if added > 0.0 => match find("kind") {
                "signal" => (format!("{worker} was killed by a signal"), true),
                // One that was replaced, or a helper.
                "clean" => (format!("a process of worker {number} exited"), false),
                // One that could not boot has a process id that no metric names.
                _ => (format!("a process of worker {number} failed"), true),
            },
            // The start of the server is no news.
            "spawns" if added > 0.0 && find("reason") != "boot" => {
                match attribute::cut(find("reason"), MAX_WORD) {
                    "hang" => (format!("a helper for worker {number} started"), true),
                    reason => (format!("worker {number} started, reason: {reason}"), false),
                }
            }
            _ => return None,
        };
        Some(Mark {
            time: now,
            text,
            is_bad,
            export_of: None,
            slot: Some((self.instance.number, number)),
        })
    }
}

impl Slot {
    /// Whether its serving threads do not run.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_up && self.heartbeat_age >= STALLED
    }
}
