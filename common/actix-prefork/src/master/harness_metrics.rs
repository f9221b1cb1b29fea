//! The list of harness metrics, for pull and push under the same names.

use super::{
    reason::SpawnReason,
    snapshot::{SlotSnapshot, Snapshot},
    tally::ExitKind,
    usage::Usage,
};

/// A metric of the harness.
///
/// Points of a slot have the attribute `slot`; points of the whole server or of the
/// master do not. A metric may have one more attribute, with a fixed set of values.
/// There are at most 30 series for each slot.
#[derive(Debug)]
#[non_exhaustive]
pub struct HarnessMetric {
    /// The OpenTelemetry name, for example `worker.spawns`.
    pub name: &'static str,
    /// The UCUM unit: `s`, `By`, or an annotation in braces such as `{process}`.
    pub unit: &'static str,
    /// The description, for people.
    pub description: &'static str,
    /// The kind of instrument.
    pub kind: MetricKind,
    /// The name of the attribute that it has besides `slot`.
    pub attribute: Option<&'static str>,
    prometheus: Option<&'static str>,
    read: Read,
}

/// The kind of a [`HarnessMetric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only rises.
    Counter,
    /// A sum that rises and falls, in Prometheus a gauge.
    UpDownCounter,
    /// A value of its own.
    Gauge,
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
    const fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// With an attribute besides `slot`.
    const fn by(mut self, attribute: &'static str) -> Self {
        self.attribute = Some(attribute);
        self
    }

    /// With the name that Prometheus' client libraries have for it.
    const fn in_prometheus(mut self, name: &'static str) -> Self {
        self.prometheus = Some(name);
        self
    }

    /// The Prometheus name, for example `worker_spawns_total`: the one that Prometheus'
    /// [client libraries] agree on, else mapped from the OpenTelemetry name as the
    /// OpenTelemetry specification says.
    ///
    /// [client libraries]: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
    pub fn prometheus_name(&self) -> String {
        if let Some(name) = self.prometheus {
            return name.to_owned();
        }
        let mut name = self.name.replace('.', "_");
        if self.unit == "s" {
            name += "_seconds";
        }
        if self.kind == MetricKind::Counter {
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
pub const HARNESS_METRICS: [HarnessMetric; 18] = [
    gauge("worker.up", "{worker}", |all| {
        each(all, |slot| Some(f64::from(u8::from(slot.up))))
    })
    .about("1 if the slot has a worker that serves, else 0"),
    gauge("worker.processes", "{process}", |all| {
        each_of(all, STATES, |slot| slot.processes)
    })
    .by("state")
    .about("Worker processes, by state"),
    counter("worker.spawns", "{process}", |all| {
        let reasons = SpawnReason::ALL.map(SpawnReason::as_str);
        each_of(all, reasons, |slot| slot.spawns)
    })
    .by("reason")
    .about("Worker processes started, by reason"),
    counter("worker.exits", "{process}", |all| {
        let kinds = ExitKind::ALL.map(ExitKind::as_str);
        each_of(all, kinds, |slot| slot.exits)
    })
    .by("kind")
    .about("Worker processes ended, by kind: exit status 0, another status, or a signal"),
    counter("worker.requests", "{request}", |all| {
        each(all, |slot| Some(slot.requests as f64))
    })
    .about("Requests answered, on all routes"),
    gauge("worker.connections", "{connection}", |all| {
        each(all, |slot| Some(slot.connections as f64))
    })
    .about("Open connections"),
    counter("worker.cut_connections", "{connection}", |all| {
        each(all, |slot| Some(slot.cut_connections as f64))
    })
    .about("Connections, including idle ones, that were open when their worker ended"),
    gauge("worker.accept_queue", "{connection}", |all| {
        each(all, |slot| slot.accept_queue.map(f64::from))
    })
    .about("Connections waiting to be accepted, sampled every second"),
    gauge("worker.heartbeat.age", "s", |all| {
        each(all, |slot| Some(slot.heartbeat_age?.as_secs_f64()))
    })
    .about("Time since all serving threads were last known to run"),
    gauge("worker.boot.duration", "s", |all| {
        each(all, |slot| Some(slot.boot?.as_secs_f64()))
    })
    .about("Time from start to ready of the last worker that became ready"),
    gauge("worker.drain.duration", "s", |all| {
        each(all, |slot| Some(slot.drain?.as_secs_f64()))
    })
    .about("Drain time of the last worker that drained"),
    counter("worker.reloads", "{reload}", |all| {
        let results = [("success", all.reloads), ("failure", all.failed_reloads)];
        let point = |(result, count)| Point {
            slot: None,
            attribute: Some(result),
            value: count as f64,
        };
        results.map(point).into()
    })
    .by("result")
    .about("Reloads, by result"),
    counter("process.cpu.time", "s", |all| {
        used(all, |usage| Some(usage.cpu.as_secs_f64()))
    })
    .in_prometheus("process_cpu_seconds_total")
    .about("User and system CPU time, of a slot over all its processes"),
    up_down_counter("process.memory.usage", "By", |all| {
        used(all, |usage| Some(usage.resident_memory as f64))
    })
    .in_prometheus("process_resident_memory_bytes")
    .about("Resident memory"),
    up_down_counter("process.memory.virtual", "By", |all| {
        used(all, |usage| Some(usage.virtual_memory as f64))
    })
    .in_prometheus("process_virtual_memory_bytes")
    .about("Virtual memory"),
    up_down_counter(
        "process.unix.file_descriptor.count",
        "{file_descriptor}",
        |all| used(all, |usage| Some(usage.open_fds? as f64)),
    )
    .in_prometheus("process_open_fds")
    .about("Open file descriptors"),
    gauge("worker.start_time", "s", |all| {
        used(all, |usage| Some(usage.start_time?.as_secs_f64()))
    })
    .in_prometheus("process_start_time_seconds")
    .about("Start of the newest process since the Unix epoch"),
    gauge("worker.pid", "", |all| {
        each(all, |slot| Some(f64::from(slot.pid?)))
    })
    .about("Process id of the worker that serves"),
];

type Read = fn(&Snapshot) -> Vec<Point>;

const fn counter(name: &'static str, unit: &'static str, read: Read) -> HarnessMetric {
    HarnessMetric {
        kind: MetricKind::Counter,
        ..gauge(name, unit, read)
    }
}

const fn up_down_counter(name: &'static str, unit: &'static str, read: Read) -> HarnessMetric {
    HarnessMetric {
        kind: MetricKind::UpDownCounter,
        ..gauge(name, unit, read)
    }
}

const fn gauge(name: &'static str, unit: &'static str, read: Read) -> HarnessMetric {
    HarnessMetric {
        name,
        unit,
        description: "",
        kind: MetricKind::Gauge,
        attribute: None,
        prometheus: None,
        read,
    }
}

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

/// A point of the master, and one of each slot.
fn used(snapshot: &Snapshot, value: impl Fn(&Usage) -> Option<f64>) -> Vec<Point> {
    let master = snapshot.master.as_ref().and_then(&value);
    let master = master.map(|value| Point {
        slot: None,
        attribute: None,
        value,
    });
    let slots = each(snapshot, |slot| value(&slot.usage));
    master.into_iter().chain(slots).collect()
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
            "process_cpu_seconds_total",
        ] {
            assert!(names.iter().any(|name| name == expected), "{names:?}");
        }
    }
}
