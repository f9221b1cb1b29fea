//! The list of harness metrics, for pull and push under the same names.

use super::{
    reason::SpawnReason,
    snapshot::{SlotSnapshot, Snapshot},
    tally::ExitKind,
};

/// A metric of the harness.
///
/// Points of a slot have the attribute `slot`; points of the whole server do not. A
/// metric may have one more attribute, with a fixed set of values. There are at most
/// two dozen series for each slot.
#[derive(Debug)]
#[non_exhaustive]
pub struct HarnessMetric {
    /// The OpenTelemetry name, for example `worker.spawns`.
    pub name: &'static str,
    /// The UCUM unit: `s`, or an annotation in braces such as `{process}`.
    pub unit: &'static str,
    /// The description, for people.
    pub description: &'static str,
    /// Whether it is a counter, as opposed to a gauge.
    pub is_counter: bool,
    /// The name of the attribute that it has besides `slot`.
    pub attribute: Option<&'static str>,
    read: fn(&Snapshot) -> Vec<Point>,
}

/// One value of a [`HarnessMetric`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The slot; `None` for the whole server.
    pub slot: Option<u16>,
    /// The value of the other attribute, [`HarnessMetric::attribute`].
    pub attribute: Option<&'static str>,
    /// The value.
    pub value: f64,
}

impl HarnessMetric {
    /// The Prometheus name, for example `worker_spawns_total`, mapped from the
    /// OpenTelemetry name as the OpenTelemetry specification says.
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

    /// The points of this metric in a snapshot.
    pub fn points(&self, snapshot: &Snapshot) -> Vec<Point> {
        (self.read)(snapshot)
    }
}

/// Every metric of the harness.
pub const HARNESS_METRICS: [HarnessMetric; 12] = [
    HarnessMetric {
        name: "worker.up",
        unit: "{worker}",
        description: "1 if the slot has a worker that serves, else 0",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(f64::from(u8::from(slot.up)))),
    },
    HarnessMetric {
        name: "worker.processes",
        unit: "{process}",
        description: "Worker processes, by state",
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
        description: "Worker processes ended, by kind: exit status 0, another status, or a signal",
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
        description: "Requests answered, on all routes",
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
        description: "Connections, including idle ones, that were open when their worker ended",
        is_counter: true,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.cut_connections as f64)),
    },
    HarnessMetric {
        name: "worker.accept_queue",
        unit: "{connection}",
        description: "Connections waiting to be accepted, sampled every second",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| slot.accept_queue.map(f64::from)),
    },
    HarnessMetric {
        name: "worker.heartbeat.age",
        unit: "s",
        description: "Time since all serving threads were last known to run",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.heartbeat_age?.as_secs_f64())),
    },
    HarnessMetric {
        name: "worker.boot.duration",
        unit: "s",
        description: "Time from start to ready of the last worker that became ready",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.boot?.as_secs_f64())),
    },
    HarnessMetric {
        name: "worker.drain.duration",
        unit: "s",
        description: "Drain time of the last worker that drained",
        is_counter: false,
        attribute: None,
        read: |snapshot| each(snapshot, |slot| Some(slot.drain?.as_secs_f64())),
    },
    HarnessMetric {
        name: "worker.reloads",
        unit: "{reload}",
        description: "Reloads, by result",
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
