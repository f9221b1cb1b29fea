//! The workers of a harness in the live view, from the metrics that their master exports.

use collector::Collector;
use serde_json::{Value, json};
use support::view::{self, attribute, start};

mod support;

fn api(collector: &Collector, path: &str) -> Value {
    view::api(collector.http_addr(), &format!("/api/{path}"))
}

/// What a harness exports: metric, slot, the other attribute and its value, and the number.
type Sample<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>, f64);

fn push(collector: &Collector, pid: &str, samples: &[Sample<'_>]) {
    let metric = |(name, slot, other, value): &Sample<'_>| {
        let mut attributes = vec![attribute("slot", slot)];
        attributes.extend(other.map(|(key, value)| attribute(key, value)));
        let points = json!([{"timeUnixNano": view::now().to_string(), "asDouble": value, "attributes": attributes}]);
        match ["worker.spawns", "worker.exits", "worker.requests"].contains(name) {
            true => json!({"name": name, "sum":
                {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points}}),
            false => json!({"name": name, "gauge": {"dataPoints": points}}),
        }
    };
    let metrics: Vec<_> = samples.iter().map(metric).collect();
    let resource = view::resource(pid);
    let body = json!({"resourceMetrics": [
        {"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]});
    view::send(collector.http_addr(), "metrics", &body);
}

/// Slot 0 serves as process 11, slot 1 as process 12.
fn two_workers(collector: &Collector) {
    let of_slot = |slot, pid| {
        [
            ("worker.up", slot, None, 1.0),
            ("worker.processes", slot, Some(("state", "booting")), 0.0),
            ("worker.spawns", slot, Some(("reason", "boot")), 1.0),
            ("worker.exits", slot, Some(("kind", "signal")), 0.0),
            ("worker.spawns", slot, Some(("reason", "crash")), 0.0),
            ("worker.accept_queue", slot, None, 0.0),
            ("worker.heartbeat.age", slot, None, 0.01),
            ("worker.requests", slot, None, 5.0),
            ("worker.pid", slot, None, pid),
        ]
    };
    push(collector, "10", &of_slot("0", 11.0));
    push(collector, "10", &of_slot("1", 12.0));
}

fn states(collector: &Collector) -> Vec<(Value, Value, Value)> {
    let found = api(collector, "workers");
    let workers = found["workers"].as_array().expect("a list").iter();
    let parts = |worker: &Value| {
        (
            worker["slot"].clone(),
            worker["pid"].clone(),
            worker["state"].clone(),
        )
    };
    workers.map(parts).collect()
}

fn events(collector: &Collector) -> Vec<String> {
    let found = api(collector, "workers");
    let events = found["events"].as_array().expect("a list").iter();
    let text = |event: &Value| event["text"].as_str().expect("a text").to_owned();
    events.map(text).collect()
}

#[test]
fn each_slot_is_a_worker_and_its_process_is_not_listed_again() {
    let collector = start();
    two_workers(&collector);
    // The worker itself exports, too.
    push(&collector, "12", &[("jobs", "", None, 3.0)]);
    assert_eq!(
        states(&collector),
        [
            (json!(0), json!("11"), json!("serving")),
            (json!(1), json!("12"), json!("serving")),
        ]
    );
    let workers = api(&collector, "workers");
    assert!(workers["workers"][1]["seconds_since_last_export"].is_number());
    assert!(workers["workers"][0]["seconds_since_last_export"].is_null());
    assert_eq!(events(&collector), [""; 0], "the start is no news");
}

#[test]
fn a_killed_worker_is_dead_until_its_successor_serves() {
    let collector = start();
    two_workers(&collector);
    let killed = ("worker.exits", "1", Some(("kind", "signal")), 1.0);
    push(&collector, "10", &[("worker.up", "1", None, 0.0), killed]);
    assert_eq!(
        states(&collector)[1],
        (json!(1), json!("12"), json!("dead"))
    );
    assert_eq!(
        events(&collector),
        ["worker 1 (pid 12) was killed by a signal"]
    );
    let booting = ("worker.processes", "1", Some(("state", "booting")), 1.0);
    let spawned = ("worker.spawns", "1", Some(("reason", "crash")), 1.0);
    push(&collector, "10", &[booting, spawned]);
    assert_eq!(states(&collector)[1].2, "booting");
    push(
        &collector,
        "10",
        &[
            ("worker.up", "1", None, 1.0),
            ("worker.pid", "1", None, 13.0),
        ],
    );
    assert_eq!(
        states(&collector)[1],
        (json!(1), json!("13"), json!("serving"))
    );
    assert_eq!(events(&collector)[0], "worker 1 started, reason: crash");
}

#[test]
fn a_worker_without_heartbeats_is_stalled() {
    let collector = start();
    two_workers(&collector);
    push(
        &collector,
        "10",
        &[("worker.heartbeat.age", "0", None, 0.7)],
    );
    assert_eq!(states(&collector)[0].2, "stalled");
    push(
        &collector,
        "10",
        &[("worker.heartbeat.age", "0", None, 0.9)],
    );
    assert_eq!(events(&collector), ["worker 0 (pid 11) stalled"]);
    push(
        &collector,
        "10",
        &[("worker.heartbeat.age", "0", None, 0.02)],
    );
    assert_eq!(states(&collector)[0].2, "serving");
}

#[test]
fn hostile_slots_are_limited_and_their_names_are_cut() {
    let collector = start();
    two_workers(&collector);
    let slots: Vec<_> = (0..2_000).map(|slot| slot.to_string()).collect();
    let samples: Vec<_> = slots
        .iter()
        .map(|slot| ("worker.up", slot.as_str(), None, 1.0))
        .collect();
    push(&collector, "10", &samples);
    push(&collector, "10", &[("worker.up", "-1", None, 1.0)]);
    let found = api(&collector, "workers");
    assert_eq!(found["workers"].as_array().map(Vec::len), Some(64));
    assert_eq!(found["more"], 256 - 64);
    let reason = "x".repeat(3_000);
    let spawn = ("worker.spawns", "0", Some(("reason", reason.as_str())), 1.0);
    push(&collector, "10", &[spawn]);
    assert_eq!(
        events(&collector)[0].len(),
        "worker 0 started, reason: ".len() + 20
    );
}
