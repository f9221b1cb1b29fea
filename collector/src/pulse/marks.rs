//! What happened to worker processes.

use std::collections::VecDeque;

use crate::totals::Change;

/// Marks that are remembered.
const MAX_MARKS: usize = 50;

/// Something that happened to a worker process.
pub(crate) struct Mark {
    /// Unix time in seconds.
    pub(crate) time: f64,
    pub(crate) text: String,
}

#[derive(Default)]
pub(super) struct Marks(VecDeque<Mark>);

impl Marks {
    pub(super) fn push(&mut self, time: f64, text: String) {
        self.0.push_back(Mark { time, text });
        if self.0.len() > MAX_MARKS {
            self.0.pop_front();
        }
    }

    /// Notes what the metrics of a harness say about processes.
    pub(super) fn note(&mut self, change: &Change, now: f64) {
        let what = match change.metric.as_str() {
            "worker.spawns" => "started",
            "worker.exits" => "ended",
            "worker.reloads" => "reload",
            _ => return,
        };
        let find = |key: &str| {
            let found = change.attributes.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.as_str())
        };
        let why = ["reason", "kind", "result"].into_iter().find_map(find);
        let why = why.unwrap_or_default();
        let added = change.added.as_f64();
        let is_first = change.total.amount().as_f64() == added;
        if added <= 0.0 || is_first && why == "boot" {
            return;
        }
        let text = match find("slot") {
            Some(slot) => format!("worker {slot} {what}: {why}"),
            None => format!("{what}: {why}"),
        };
        self.push(now, text);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.0.iter()
    }
}
