//! The metrics of the harness: one list, from which they are pulled and pushed
//! under the same names.

use crate::{
    SpawnReason,
    snapshot::{SlotSnapshot, Snapshot},
    tally::ExitKind,
};

/// A metric of the harness.
///
/// Every point has the attribute `slot`, unless it is of the whole server, and
/// perhaps one more; both have few values, so that there are at most two dozen
/// series for each slot.
#[derive(Debug)]
#[non_exhaustive]
pub struct HarnessMetric {
    /// Its name as OpenTelemetry has it, for example `worker.spawns`.
    pub name: &'static str,
    /// Its unit, as UCUM has it: `s` or one in braces.
    pub unit: &'static str,
    /// What it says.
    pub description: &'static str,
    /// Whether it only ever rises.
    pub is_counter: bool,
    /// The attribute that it has besides `slot`.
    pub attribute: Option<&'static str>,
    read: fn(&Snapshot) -> Vec<Point>,
}

/// One value of a [`HarnessMetric`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The slot, or none if it is of the whole server.
    pub slot: Option<u16>,
    /// The value of the metric's other attribute.
    pub attribute: Option<&'static str>,
    /// The value.
    pub value: f64,
}

impl HarnessMetric {
    /// Its name as Prometheus has it, for example `worker_spawns_total`: the
    /// OpenTelemetry name as the specification maps it.
    pub fn prometheus_name(&self) -> String {
        let mut name = self.name.replace('.', "_");
        if self.unit == "s" {
            name += "_seconds";
        }
        if self.is_counter {
            name += "_total";
        }
        name
    }

    /// Its points in a snapshot.
    pub fn points(&self, snapshot: &Snapshot) -> Vec<Point> {
        (self.read)(snapshot)
    }
}

/// Every metric of the harness.
pub const HARNESS_METRICS: [HarnessMetric; 12] = [
    HarnessMetric {
        name: "worker.up",
        unit: "{worker}",
        description: "Whether the slot has a worker that serves",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(f64::from(u8::from(slot.up)))),
    },
    HarnessMetric {
        name: "worker.processes",
        unit: "{process}",
        description: "Worker processes that are there, by state",
        is_counter: false,
        attribute: Some("state"),
        read: |snapshot| each_of(snapshot, STATES, |slot| slot.processes),
    },
    HarnessMetric {
        name: "worker.spawns",
        unit: "{process}",
        description: "Worker processes started, by reason",
        is_counter: true,
        attribute: Some("reason"),
        read: |snapshot| {
            let reasons = SpawnReason::ALL.map(SpawnReason::as_str);
            each_of(snapshot, reasons, |slot| slot.spawns)
        },
    },
    HarnessMetric {
        name: "worker.exits",
        unit: "{process}",
        description: "Worker processes ended, by kind: exit code 0, another one, or a signal",
        is_counter: true,
        attribute: Some("kind"),
        read: |snapshot| {
            let kinds = ExitKind::ALL.map(ExitKind::as_str);
            each_of(snapshot, kinds, |slot| slot.exits)
        },
    },
    HarnessMetric {
        name: "worker.requests",
        unit: "{request}",
        description: "Requests answered, of whatever route",
        is_counter: true,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.requests as f64)),
    },
    HarnessMetric {
        name: "worker.connections",
        unit: "{connection}",
        description: "Open connections",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.connections as f64)),
    },
    HarnessMetric {
        name: "worker.cut_connections",
        unit: "{connection}",
        description: "Connections that were open when their worker ended, idle ones included",
        is_counter: true,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.cut_connections as f64)),
    },
    HarnessMetric {
        name: "worker.accept_queue",
        unit: "{connection}",
        description: "Connections that wait to be accepted, as of at most a second ago",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| slot.accept_queue.map(f64::from)),
    },
    HarnessMetric {
        name: "worker.heartbeat.age",
        unit: "s",
        description: "Time since all serving threads were known to run",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.heartbeat_age?.as_secs_f64())),
    },
    HarnessMetric {
        name: "worker.boot.duration",
        unit: "s",
        description: "How long the last worker that became ready took",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.boot?.as_secs_f64())),
    },
    HarnessMetric {
        name: "worker.drain.duration",
        unit: "s",
        description: "How long the last worker that was told to finish took",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.drain?.as_secs_f64())),
    },
    HarnessMetric {
        name: "worker.reloads",
        unit: "{reload}",
        description: "Reloads, by whether every worker was replaced",
        is_counter: true,
        attribute: Some("result"),
        read: |snapshot| {
            let results = [
                ("success", snapshot.reloads),
                ("failure", snapshot.failed_reloads),
            ];
            let point = |(result, count)| Point {
                slot: None,
                attribute: Some(result),
                value: count as f64,
            };
            results.map(point).into()
        },
    },
];

/// The states of [`SlotSnapshot::processes`].
const STATES: [&str; 3] = ["booting", "serving", "draining"];

fn each(snapshot: &Snapshot, value: impl Fn(&SlotSnapshot) -> Option<f64>) -> Vec<Point> {
    let point = |slot: &SlotSnapshot| {
        Some(Point {
            slot: Some(slot.slot),
            attribute: None,
            value: value(slot)?,
        })
    };
    snapshot.slots.iter().filter_map(point).collect()
}

fn each_of<const N: usize>(
    snapshot: &Snapshot,
    names: [&'static str; N],
    values: impl Fn(&SlotSnapshot) -> [u64; N],
) -> Vec<Point> {
    let points = |slot: &SlotSnapshot| {
        let number = slot.slot;
        let pairs = names.into_iter().zip(values(slot));
        pairs.map(move |(name, value)| Point {
            slot: Some(number),
            attribute: Some(name),
            value: value as f64,
        })
    };
    snapshot.slots.iter().flat_map(points).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_prometheus_end_with_their_unit_and_counters_with_total() {
        let names: Vec<_> = HARNESS_METRICS
            .iter()
            .map(HarnessMetric::prometheus_name)
            .collect();
        for expected in [
            "worker_up",
            "worker_spawns_total",
            "worker_heartbeat_age_seconds",
            "worker_cut_connections_total",
        ] {
            assert!(names.iter().any(|name| name == expected), "{names:?}");
        }
    }
}
